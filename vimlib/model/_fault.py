"""Faults: the server's errors, as exceptions with fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from vimlib._repr import robust
from vimlib._text import printable
from vimlib.errors import VimlibError
from vimlib.model._data import raw_view, required, show_fields, wire_fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import dataclass_transform

    from vimlib.errors import Outcome
    from vimlib.model._data import Raw
else:

    def dataclass_transform(**_: Any) -> Any:
        """Do nothing at run time."""
        return lambda cls: cls


# Faults that pass by themselves: another task holds the object, or the host is busy. Named, not
# imported, since the generated classes stand above this module. Subtypes count too.
TRANSIENT: Final = frozenset(
    {"TaskInProgress", "ConcurrentAccess", "ResourceInUse", "HostCommunication"}
)


@dataclass_transform(kw_only_default=True, field_specifiers=(required,))
class MethodFault(VimlibError):
    """A fault of the API: raised by the call that met it, or found as data in a reply.

    Match it by type, ancestors included: ``except vim25.InvalidPowerState as fault:``.
    Fields are attributes; equality is by type and fields.
    """

    _wire_: ClassVar[str] = ""
    _since_: ClassVar[str] = ""

    outcome: Outcome = "refused"

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        known = {item.attribute: item for item in wire_fields(type(self))}
        for name, item in known.items():
            setattr(self, name, fields.pop(name, [] if item.array else None))
        if fields:
            raise TypeError(f"{type(self).__name__} has no field {next(iter(fields))!r}")
        self.fault_name: str = type(self).__name__
        """Name of the fault on the wire; differs from the class where the host knows a newer fault."""
        self.localized_message: str = ""
        """The server's message, in its locale. For people; never match on it."""
        self._raw: Raw = ()
        self.retryable = any(base.__name__ in TRANSIENT for base in type(self).__mro__)

    @property
    def raw_fields(self) -> Mapping[str, Any]:
        """The elements of an unknown fault that its nearest known ancestor does not have, by name.

        As in `DataObject.raw_fields`. Empty for a known fault.
        """
        return raw_view(self._raw)

    @property
    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, item.attribute) for item in wire_fields(type(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MethodFault):
            return NotImplemented
        return (
            type(self) is type(other)
            and self.fault_name == other.fault_name
            and self._values == other._values
            and self._raw == other._raw
        )

    def __hash__(self) -> int:
        return hash((type(self), self.fault_name))

    def __str__(self) -> str:
        fields = show_fields(self)
        name = printable(self.fault_name, 80)  # a newer host's, so its own word
        head = f"{name}({fields})" if fields else name
        text = f"{head}: {printable(self.localized_message)}" if self.localized_message else head
        return f"{text}. {self.hint}" if self.hint else text

    @robust
    def __repr__(self) -> str:
        return f"{printable(self.fault_name, 80)}({show_fields(self)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self.__dict__))

    def copy(self) -> MethodFault:
        """Return an equal fault without traceback, to be raised where this one is data."""
        state = dict(self.__dict__)
        if "__notes__" in state:
            state["__notes__"] = list(state["__notes__"])
        return _restore(type(self), state)


def _restore(cls: type[MethodFault], state: dict[str, Any]) -> MethodFault:
    fault = cls()
    for name, value in state.items():
        setattr(fault, name, value)
    return fault
