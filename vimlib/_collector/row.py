"""One object's properties, as the property collector read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct, field

from vimlib._text import printable
from vimlib.errors import InvalidFieldError
from vimlib.model import ManagedObject, MethodFault
from vimlib.soap import Unknown

if TYPE_CHECKING:
    from vimlib import vim25

M = TypeVar("M", bound=ManagedObject, covariant=True)


class Row(Struct, Generic[M]):
    """The properties of one object: `row["runtime.powerState"]`."""

    obj: M
    """The object, as a proxy to call."""
    props: dict[str, Any]
    """Property path to value, without `Typed`. A path that was asked for and is not set is None."""
    missing: dict[str, MethodFault] = field(default_factory=dict)
    """Paths that could not be read, each with the host's reason; they are not in `props`."""

    def __getitem__(self, path: str) -> Any:
        """Return the value of `path`; None if it is not set on the object.

        Raises:
            MethodFault: The host could not read it; a copy of the fault in `missing`.
            KeyError: It was not asked for.
        """
        if path in self.missing:
            raise self.missing[path].copy()
        return self.props[path]

    def require(self, path: str) -> Any:
        """Return the value of `path`, which every object of its type has.

        Raises:
            InvalidFieldError: The host sent none, or an object of a type that the binding lacks.
            MethodFault, KeyError: As ``row[path]``.
        """
        value = self[path]
        if value is None:
            raise self._invalid(path, "set", "nothing")
        return self.known(path)

    def known(self, path: str) -> Any:
        """Return the value of `path`, or None as `get`, for a caller that reads its fields.

        Raises:
            InvalidFieldError: The host sent an object of a type that the binding lacks.
        """
        value = self.props.get(path)
        if isinstance(value, Unknown):
            actual = printable(value.type or "an element", 80)
            raise self._invalid(path, "of a type of the binding", actual)
        return value

    def _invalid(self, path: str, wanted: str, actual: str) -> InvalidFieldError:
        return InvalidFieldError(
            type=self.obj.moref[0],
            field=path,
            wanted=wanted,
            actual=actual,
            path=f"{self.obj!r}.{path}",
        )

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value of `path`, or `default` if it is not set, not readable or not asked for."""
        value = self.props.get(path)
        return default if value is None else value


# A localized message is shown to people; a host that sends a megabyte of it is not quoted whole.
MESSAGE_LIMIT = 2000


def fault_of(found: vim25.LocalizedMethodFault) -> MethodFault:
    """Return the fault found in data as an exception of its own, with the host's words, capped."""
    fault = found.fault.copy()
    words = found.localizedMessage or fault.localized_message
    fault.localized_message = printable(words, MESSAGE_LIMIT) if words else ""
    return fault
