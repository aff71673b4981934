"""The table of handlers: the function that implements each method of each managed type.

To add a method, write a function with `@handles(Type, "Method")` in the module of its managed type;
it gets the object and the `Call`, and returns the result or raises a fault. CONTRIBUTING has an example.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.objects import SimObject

Handler = Callable[[Any, "Call"], Any | Awaitable[Any]]

HANDLERS: dict[str, list[tuple[type[SimObject], Handler]]] = {}
"""Wire name of a method to its handlers: the class of the object and the function."""


def handles(
    cls: type[SimObject], *names: str
) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Register a function as the handler of the methods `names` of `cls` and its subclasses."""

    def enter(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        for name in names:
            HANDLERS.setdefault(name, []).append((cls, function))
        return function

    return enter
