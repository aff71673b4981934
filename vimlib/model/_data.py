"""Data objects: typed values in wire order."""

from __future__ import annotations

from functools import cache
from reprlib import recursive_repr
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import UNSET, Struct, defstruct, field
from msgspec.structs import astuple

from vimlib._text import printable
from vimlib.model._wire import Field, parse_fields

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias, dataclass_transform

# The elements of an unknown type that its known ancestor does not have: each with the number of
# fields before it, its name and its value.
Raw: TypeAlias = "tuple[tuple[int, str, Any], ...]"

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


def raw_view(raw: Raw) -> Mapping[str, Any]:
    """Return raw fields by name; those of a repeated name as a list."""
    found: dict[str, list[Any]] = {}
    for _, name, value in raw:
        found.setdefault(name, []).append(value)
    return MappingProxyType(
        {name: values[0] if len(values) == 1 else values for name, values in found.items()}
    )


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, field_specifiers=(required,))
    class DataObject:
        """A value that travels between client and server; see the runtime class."""

        _wire_: ClassVar[str]
        _since_: ClassVar[str]
        _raw: ClassVar[Raw]

        @property
        def type_name(self) -> str: ...
        @property
        def raw_fields(self) -> Mapping[str, Any]: ...

else:
    # Off the cycle collector's lists: what travels is a tree, and a large inventory would be walked
    # again and again. Code that creates a reference cycle through one must break it.
    class DataObject(Struct, gc=False):
        """A value that travels between client and server.

        Fields stand in wire order, those of the base first. Give them by keyword. An array
        that is absent on the wire is an empty list; any other absent field is None.

        A host newer than the binding may send an object of a type that the binding does not have.
        It is an instance of a subclass of the nearest known ancestor, with the host's name for it in
        `type_name` and its other elements in `raw_fields`, and is sent as it was read.
        """

        # The schema of the class's own fields (vimlib.model._wire) and the API version that brought it.
        _wire_ = ""
        _since_ = ""
        _raw = ()

        @property
        def type_name(self):
            """The name of its type on the wire."""
            return type(self).__name__

        @property
        def raw_fields(self):
            """The elements that its class does not have, by name: text, proxies, `soap.Unknown`.

            Empty for a known type. A list stands for the values of a repeated name.
            """
            return raw_view(self._raw)

        @recursive_repr()
        def __repr__(self) -> str:
            known = show_fields(self)
            fields = [known] if known else []
            # Nothing states which of the others are secret.
            fields += [f"{printable(name, 80)}={SECRET}" for _, name, _ in self._raw[:10]]
            return f"{printable(self.type_name, 80)}({', '.join(fields)})"

        def __rich_repr__(self):
            """Tell rich the fields that `repr` shows, secrets masked."""
            for item in wire_fields(type(self)):
                value = getattr(self, item.attribute)
                if value is not None and value is not UNSET and value != []:
                    yield item.attribute, SECRET if item.secret else value
            for _, name, _ in self._raw:
                yield name, SECRET


@cache
def subtype_of(base: type[Any]) -> type[Any]:
    """Return the class of the objects whose type is an unknown subtype of `base`.

    Its two last fields are the name of the type and the raw fields.
    """

    def reduce(self: Any) -> tuple[Any, ...]:
        return _restore, (base, astuple(self))

    return defstruct(
        f"Unknown{base.__name__}",
        [("type_name", str, base.__name__), ("_raw", tuple, ())],
        bases=(base,),
        namespace={"__reduce__": reduce},
        module=__name__,
    )


def is_subtype(cls: type[Any]) -> bool:
    """Whether `subtype_of` made the class."""
    return cls.__module__ == __name__ and cls is not DataObject


def _restore(base: type[Any], values: tuple[Any, ...]) -> Any:
    return subtype_of(base)(*values)  # type: ignore[arg-type]  # a class is hashable


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
