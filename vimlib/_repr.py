"""A `repr` that never fails. This module imports nothing of ours."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def robust(function: Callable[[T], str]) -> Callable[[T], str]:
    """Make a `__repr__` work on an object whose `__init__` failed, which a traceback may show.

    An error of its own would hide the one that the traceback is about.
    """

    @wraps(function)
    def shown(self: T) -> str:
        try:
            return function(self)
        except AttributeError:
            return f"<{type(self).__name__}, not initialized>"

    return shown
