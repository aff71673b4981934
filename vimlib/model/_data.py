"""Data objects: typed values in wire order."""

from __future__ import annotations

from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import UNSET, Struct, field

from vimlib.model._wire import Field, parse_fields

if TYPE_CHECKING:
    from typing import dataclass_transform

SECRET: Final = "***"  # noqa: S105 - the mask, not what it masks
_LONGEST: Final = 120


def required() -> Any:
    """Mark a field that must be given: type checkers demand it, the encoder refuses its absence.

    At run time every field may be left out, since the decoder builds objects positionally in
    wire order, where required fields stand behind optional ones.
    """
    return field(default=UNSET)


def wire_fields(cls: type[Any]) -> tuple[Field, ...]:
    """Return all fields of a data or fault class in wire order, base first."""
    fields: list[Field] = []
    for base in reversed(cls.__mro__):
        wire = base.__dict__.get("_wire_")
        if wire:
            fields.extend(parse_fields(wire))
    return tuple(fields)


def show(value: Any, secret: bool = False) -> str:
    """Return a short `repr` of a field's value; secrets are masked, long values are cut."""
    if secret:
        return SECRET
    if isinstance(value, list):
        if len(value) > 3:
            return f"[{_short(value[0])}, ... {len(value)} in all]"
        return "[" + ", ".join(map(_short, value)) + "]"
    return _short(value)


def _short(value: Any) -> str:
    text = repr(value)
    if len(text) > _LONGEST:
        return text[: _LONGEST - 4] + "..." + text[-1]
    return text


def show_fields(obj: Any) -> str:
    """Return `name=value, ...` of the fields of `obj` that are set."""
    parts = []
    for item in wire_fields(type(obj)):
        value = getattr(obj, item.attribute, None)
        if value is not None and value is not UNSET and value != []:
            parts.append(f"{item.attribute}={show(value, item.secret)}")
    return ", ".join(parts)


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, field_specifiers=(required,))
    class DataObject:
        """A value that travels between client and server; see the runtime class."""

        _wire_: ClassVar[str]
        _since_: ClassVar[str]

else:
    # Off the cycle collector's lists: what travels is a tree, and a large inventory would be walked
    # again and again. Code that creates a reference cycle through one must break it.
    class DataObject(Struct, gc=False):
        """A value that travels between client and server.

        Fields stand in wire order, those of the base first. Give them by keyword. An array
        that is absent on the wire is an empty list; any other absent field is None.
        """

        # The schema of the class's own fields (vimlib.model._wire) and the API version that brought it.
        _wire_ = ""
        _since_ = ""

        @recursive_repr()
        def __repr__(self) -> str:
            return f"{type(self).__name__}({show_fields(self)})"

        def __rich_repr__(self):
            """Tell rich the fields that `repr` shows, secrets masked."""
            for item in wire_fields(type(self)):
                value = getattr(self, item.attribute)
                if value is not None and value is not UNSET and value != []:
                    yield item.attribute, SECRET if item.secret else value


class Enumeration:
    """A set of string constants. A newer host may send values that are not among them."""

    _since_: ClassVar[str] = ""

    @classmethod
    def __values__(cls) -> tuple[str, ...]:
        """Return the known values, in the schema's order."""
        return tuple(
            v
            for k, v in vars(cls).items()
            if isinstance(v, str) and not k.startswith("__") and k != "_since_"
        )
