"""Proxies of the objects that live on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from vimlib.errors import UnboundError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimlib.model._binding import Binding
    from vimlib.model._method import Method

__all__ = ["Invoker", "ManagedObject"]


class Invoker(Protocol):
    """Whoever makes the calls of bound proxies; a client is one."""

    @property
    def host(self) -> str:
        """`host:port` of the server, which tells equal ids on two servers apart."""
        ...

    async def invoke(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        """Make the call and return its decoded result. `args` maps wire names to values."""
        ...


class ManagedObject:
    """A reference to an object on the server, with the API's methods to await.

    No attribute does I/O. The only public attribute beside the API's methods is `moref`.
    Two proxies are equal if type, id and host are.
    """

    __slots__ = ("_guid", "_id", "_invoker", "_kind")

    _binding_: ClassVar[Binding]
    _properties_: ClassVar[str] = ""
    _since_: ClassVar[str] = ""

    def __init__(
        self, value: str, *, invoker: Invoker | None = None, kind: str = "", guid: str | None = None
    ) -> None:
        self._id = value
        # The type's name on the wire: differs from the class where the host knows a newer type.
        self._kind = kind or type(self).__name__
        self._guid = guid
        self._invoker = invoker

    @property
    def moref(self) -> tuple[str, str]:
        """`(type, value)` of the reference, as `("VirtualMachine", "vm-12")`."""
        return self._kind, self._id

    def _identity(self) -> tuple[str, str, str | None]:
        return self._kind, self._id, None if self._invoker is None else self._invoker.host

    def __eq__(self, other: object) -> bool:
        return (
            self._identity() == other._identity()
            if isinstance(other, ManagedObject)
            else NotImplemented
        )

    def __hash__(self) -> int:
        return hash((self._kind, self._id))

    def __repr__(self) -> str:
        return f"<{printable(str(self._kind), 80)} {printable(str(self._id), 120)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # A proxy travels (pickle, copy) as what it refers to, without its client.
        return _restore, (type(self), self._id, self._kind, self._guid)


def _restore(cls: type[ManagedObject], value: str, kind: str, guid: str | None) -> ManagedObject:
    return cls(value, kind=kind, guid=guid)


def invoker_of(proxy: ManagedObject, method: str) -> Invoker:
    """Return whom `proxy` is bound to. Raises `UnboundError` if it belongs to no client."""
    if proxy._invoker is None:
        raise UnboundError(
            f"cannot call {method}: {proxy!r} belongs to no client",
            hint="Bind it first: client.bind(proxy).",
        )
    return proxy._invoker


def rebind(proxy: ManagedObject, invoker: Invoker | None) -> ManagedObject:
    """Return a proxy of the same object that calls through `invoker`."""
    return type(proxy)(proxy._id, invoker=invoker, kind=proxy._kind, guid=proxy._guid)
