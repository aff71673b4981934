"""`Fetch`, the one call that no WSDL has: reads one property of one object.

pyVmomi calls it whenever an attribute of a managed object is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import Binding, ManagedObject, operation
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._properties.paths import read_path
from vimlib.simulator._properties.typed import as_any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.model import Method
    from vimlib.simulator._core.call import Call


class _Fetching(ManagedObject):
    """Declares the method as if every managed object had it."""

    __slots__ = ()
    _binding_ = vim25.BINDING
    _since_ = "2.0"

    @operation("prop:string!", "anyType", since="2.0")
    async def Fetch(self, prop: str) -> Any:  # noqa: N802
        """Return the value of a property."""


class _ServedBinding(Binding):
    """`vim25` with `Fetch`."""

    def __init__(self) -> None:
        super().__init__(vim25.BINDING.package, vim25.BINDING.namespace, areas={}, methods={})
        self.codec = vim25.BINDING.codec

    @property
    def where(self) -> dict[str, str]:
        """Type name to module."""
        return vim25.BINDING.where

    def find(self, name: str) -> type[Any] | None:
        """Return the class of that name."""
        return vim25.BINDING.find(name)

    def method(self, name: str) -> Method[..., Any] | None:
        """Return the method of that wire name."""
        return _Fetching.Fetch if name == "Fetch" else vim25.BINDING.method(name)

    def names(self) -> Iterator[str]:
        """Yield the names of all types."""
        return vim25.BINDING.names()


BINDING = _ServedBinding()


@handles(SimObject, "Fetch")
def fetch(obj: SimObject, call: Call) -> Any:
    """Return the value of a property, None if it is unset."""
    value, field = read_path(obj, call.args["prop"], call.session)
    return None if value is None else as_any(value, field)
