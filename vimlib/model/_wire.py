"""The one-line notation in which generated classes carry their wire schema.

A class declares ``_wire_ = "key:int! backing:VirtualDeviceBackingInfo password:string~ tag:Tag*@5.0"``:
its own fields in wire order, one word each::

    NAME:TYPE[(REFERENT)][!][*][~][@SINCE]

``TYPE`` is an XSD type in lower case (see `PRIMITIVES`), ``ref`` for a managed object reference
(with the managed type in brackets), or the name of a type of the same binding. ``!`` required,
``*`` repeated (an array), ``~`` secret, ``@SINCE`` the API version that brought it where that is
newer than the class.
"""

from __future__ import annotations

import keyword
import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

PRIMITIVES: Final = frozenset(
    "string boolean byte short int long float double dateTime base64Binary anyURI anyType ref".split()
)

_CLAIMED: Final = frozenset({"self", "type_name", "raw_fields", "_raw"})
_NO_WORD = re.compile(r"\W")
_WORD = re.compile(
    r"(?P<name>[^:\s]+):(?P<type>[^\s(!*~@]+)(?:\((?P<ref>\w+)\))?"
    r"(?P<required>!?)(?P<array>\*?)(?P<secret>~?)(?:@(?P<since>\S+))?"
)


def attribute_name(wire_name: str) -> str:
    """Return the Python name of a wire name: itself, where Python allows it.

    A word that Python claims, or `DataObject` itself, gets `_` behind. Of other services' names, what cannot stand in an
    identifier becomes `_` (`low-power`: `low_power`), and a digit in front gets one before it.
    """
    if wire_name.isidentifier():
        claimed = keyword.iskeyword(wire_name) or wire_name in _CLAIMED
        return wire_name + "_" if claimed else wire_name
    name = _NO_WORD.sub("_", wire_name)
    return name if name.isidentifier() else f"_{name}"


class Field(Struct, frozen=True):
    """One field of a data object, one parameter or the result of a method."""

    name: str
    """Wire name."""
    attribute: str
    """Python name; differs from the wire name for keywords only."""
    type: str
    """A word of `PRIMITIVES`, or a type name of the binding."""
    referent: str = ""
    """For `ref`: the managed type that is referred to; "" if any."""
    required: bool = False
    array: bool = False
    secret: bool = False
    since: str = ""
    """API version that brought it; "" if as old as its class."""


@lru_cache(maxsize=8192)
def parse_fields(wire: str) -> tuple[Field, ...]:
    """Read a `_wire_` line. Raises `ValueError` naming the word that does not fit."""
    fields = []
    for word in wire.split():
        match = _WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"invalid field: {word!r}")
        name, type_, ref, required, array, secret, since = match.groups()
        fields.append(
            Field(
                name,
                attribute_name(name),
                type_,
                ref or "",
                bool(required),
                bool(array),
                bool(secret),
                since or "",
            )
        )
    return tuple(fields)
