"""Values with an explicit XML type: those of anyType fields, and those of unknown types."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from vimlib.errors import EncodeError
from vimlib.soap._leaf import DECODE, RANGES, Remembering

if TYPE_CHECKING:
    from collections.abc import Callable

_INT_LOW, _INT_HIGH = RANGES["int"]


def leaf_type(value: Any) -> str:
    """Return the XSD type as which a value without an explicit one is sent; "" if it is no leaf."""
    if isinstance(value, bool):
        return "xsd:boolean"
    if isinstance(value, str):
        return "xsd:string"
    if isinstance(value, int):
        return "xsd:int" if _INT_LOW <= value <= _INT_HIGH else "xsd:long"
    if isinstance(value, float):
        return "xsd:double"
    if isinstance(value, bytes | bytearray | memoryview):
        return "xsd:base64Binary"
    return "xsd:dateTime" if isinstance(value, datetime) else ""


class Typed:
    """A value for an anyType field together with the type as which it is sent.

    ``Typed("xsd:long", 5)``, ``Typed("HostSystemPowerState", "poweredOn")``, ``Typed("ArrayOfString", [])``.

    The result is an int, a float, a str or a list that equals `value` and is used in its place.
    Without it the type follows from the Python value: xsd:int (xsd:long beyond its range),
    xsd:double, xsd:string, the ArrayOf... of the items. The decoder returns it where that would be
    another type than the one that it read, so a value keeps its type when it is sent back.
    Arithmetic gives plain values; `like` gives another value of the same type.

    A bool, bytes and a datetime have one XML type and are returned unchanged. Raises `EncodeError`
    for another type of these, and for a value of any other class.
    """

    __slots__ = ()

    type: str
    """`xsd:` and the name of an XSD type, or a name of the binding; `{namespace}name` for a name of
    another namespace; "" for a text that came without a type."""

    def __new__(cls, type_: str, value: Any, /) -> Any:
        """Return the value as an instance of the class that fits it."""
        for plain, make in _MAKERS.items():
            if isinstance(value, plain) and not isinstance(value, bool):
                return make(type_, value)
        if type_ and leaf_type(value) == type_:
            return value
        raise EncodeError(f"cannot send a value of type {value.__class__.__name__} as {type_!r}")

    @staticmethod
    def like(old: Any, new: Any) -> Any:
        """Return `new` with the type of `old`: ``option.value = Typed.like(option.value, 600)``.

        Raises `EncodeError` if `old` has no simple type, or `new` does not fit it.
        """
        type_ = type_of(old)
        if not type_:
            raise EncodeError(f"a value of type {old.__class__.__name__} has no simple type")
        return Typed(type_, new)

    def plain(self) -> Any:
        """Return the value as a plain int, float, str or list."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        return Typed, (self.type, self.plain())


def type_of(value: Any) -> str:
    """Return the type as which a text, number or other leaf is sent; "" if it is no leaf."""
    return value.type if isinstance(value, Typed) else leaf_type(value)


class _Int(Typed, int):
    def plain(self) -> int:
        return int(self)


class _Float(Typed, float):
    __slots__ = ("type",)

    def plain(self) -> float:
        return float(self)


class _Str(Typed, str):
    __slots__ = ("type",)

    def plain(self) -> str:
        return str.__str__(self)


class _List(Typed, list[Any]):
    __slots__ = ("type",)

    def __init__(self, type_: str, value: Any, /) -> None:
        super().__init__(value)

    def plain(self) -> list[Any]:
        return list(self)


def typed_int(type_: str, value: int) -> _Int:
    """Return `Typed(type_, value)` for an int."""
    made = int.__new__(_Int, value)
    made.type = type_
    return made


def typed_float(type_: str, value: float) -> _Float:
    """Return `Typed(type_, value)` for a float."""
    made = float.__new__(_Float, value)
    made.type = type_
    return made


def typed_str(type_: str, value: str) -> _Str:
    """Return `Typed(type_, value)` for a str."""
    made = str.__new__(_Str, str.__str__(value))  # a member of an enumeration is its value
    made.type = type_
    return made


def typed_list(type_: str, value: Any) -> _List:
    """Return `Typed(type_, value)` for a list, or for what iterates over its items."""
    made = list.__new__(_List)
    list.__init__(made, value)
    made.type = type_
    return made


_MAKERS: Final[dict[Any, Callable[[str, Any], Any]]] = {
    str: typed_str,
    int: typed_int,
    float: typed_float,
    list: typed_list,
    tuple: typed_list,
}


# Texts of anyType fields to values


def _text_decoder(type_: str) -> Callable[[str], _Str]:
    return lambda text: typed_str(type_, text)


def enumeration_decoder(name: str) -> Callable[[str], Any]:
    """Return the function from text to value for an enumeration; None for an empty text, which none has."""
    return Remembering(lambda text: typed_str(name, text) if text else None).__getitem__


def _int_decoder(name: str) -> Callable[[str], int]:
    decode: Callable[[str], int] = DECODE[name]  # type: ignore[assignment]

    def typed(text: str) -> int:
        value = decode(text)
        return value if leaf_type(value) == f"xsd:{name}" else typed_int(f"xsd:{name}", value)

    return Remembering(typed).__getitem__


def _decode_float(text: str) -> _Float:
    return typed_float("xsd:float", DECODE["float"](text))  # type: ignore[misc]


DECODE_ANY: Final[dict[str, Callable[[str], Any] | None]] = {
    **DECODE,
    **{name: _int_decoder(name) for name in RANGES if name != "int"},
    "float": _decode_float,
    **{
        name: _text_decoder(f"xsd:{name}")
        for name in "anyURI normalizedString token QName NCName Name date time duration".split()
    },
}
"""Text to value as `DECODE`, for a value that names its own type: `Typed` where that is needed."""

_LEAVES: Final = frozenset({_Int, _Float, _Str, _List})


def plain(value: Any) -> Any:
    """Return a value without its explicit type, if it has one."""
    return value.plain() if value.__class__ in _LEAVES else value


class Unknown(Struct, frozen=True):
    """An XML element with children, of a type that the binding does not have: opaque but kept.

    It is sent as it was read.
    """

    type: str
    """Its `xsi:type`, as in `Typed.type`; "" if it has none."""
    text: str
    """Its own text, "" if it has children."""
    children: tuple[tuple[str, Any], ...] = ()
    """Names of its child elements, each with its text (`Typed` if it has a type), its proxy if it is
    a reference, or its node if it has children itself. `{namespace}name` outside of the binding's."""
