"""Objects of any generated type, made from a source of chance: seeded, or hypothesis' own."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, Final

from vimlib import vim25
from vimlib.model import DataObject, Enumeration, Field, ManagedObject, MethodFault, wire_fields
from vimlib.soap import Typed
from vimlib.soap._leaf import RANGES
from vimlib.soap._names import array_name

BINDING: Final = vim25.BINDING
ALPHABET: Final = "ab cZ09._-<>&\"'\t\n\r]/:üß世\u2028\U0001f600\ufffd"
DEEPEST: Final = 3


def is_value(cls: type[Any]) -> bool:
    return issubclass(cls, DataObject | MethodFault)


@cache
def classes() -> tuple[type[Any], ...]:
    """Every data object and fault class."""
    found = [BINDING.find(name) for name in BINDING.names()]
    return tuple(cls for cls in found if cls is not None and is_value(cls))


@cache
def enumerations() -> tuple[str, ...]:
    """The name of every enumeration."""
    found = ((name, BINDING.find(name)) for name in BINDING.names())
    return tuple(name for name, cls in found if cls is not None and issubclass(cls, Enumeration))


@cache
def subtypes(cls: type[Any]) -> tuple[type[Any], ...]:
    return tuple(other for other in classes() if issubclass(other, cls))


@cache
def kinds(name: str) -> tuple[type[ManagedObject], ...]:
    base = BINDING.find(name or "ManagedObject")
    assert base is not None
    found = [BINDING.find(name) for name in BINDING.names()]
    return tuple(cls for cls in found if cls is not None and issubclass(cls, base))


class Builder:
    """Builds values. `portable` keeps to what other clients can send too."""

    def __init__(
        self,
        rng: random.Random,
        *,
        portable: bool = False,
        optional: float = 0.3,
        adjust: Callable[[type[Any], dict[str, Any]], None] = lambda cls, fields: None,
    ) -> None:
        self.rng = rng
        self.portable = portable
        self.optional = optional
        self.adjust = adjust  # has the last word on the fields of an object

    def text(self) -> str:
        letters = "abcXYZ019 ._-<&>" if self.portable else ALPHABET
        return "".join(self.rng.choice(letters) for _ in range(self.rng.randrange(1, 8)))

    def number(self, type_: str) -> int:
        low, high = RANGES[type_]
        return self.rng.choice((0, 1, low, high, self.rng.randint(low, high)))

    def leaf(self, type_: str) -> Any:
        rng = self.rng
        if type_ in ("string", "anyURI"):
            return self.text() if self.portable or rng.random() < 0.9 else ""
        if type_ == "boolean":
            return rng.random() < 0.5
        if type_ == "float":
            return struct.unpack("f", struct.pack("f", rng.uniform(-1e6, 1e6)))[0]
        if type_ == "double":
            return rng.choice((0.5, -1e300, 5e-324, rng.uniform(-1, 1)))
        if type_ == "dateTime":
            return self.moment()
        if type_ == "base64Binary":
            return bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        return self.number(type_)

    def moment(self) -> datetime:
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(
            microseconds=self.rng.randrange(10**15)
        )
        if self.portable:
            return moment
        return moment.astimezone(timezone(timedelta(minutes=self.rng.randrange(-840, 841))))

    def reference(self, referent: str) -> ManagedObject:
        cls = self.rng.choice(kinds(referent))
        return cls("moid-" + ("1" if self.portable else self.text()))

    def typed_value(self) -> Any:
        """Return a value whose type does not follow from it."""
        rng = self.rng
        type_ = rng.choice(("byte", "short", "long", "float", "anyURI"))
        which = rng.randrange(5)
        if which == 0:
            return Typed(f"xsd:{type_}", self.leaf(type_))
        if which == 1:
            return Typed(array_name(type_), [self.leaf(type_)] * rng.randrange(3))
        if which == 2:
            return Typed(rng.choice(("", "xsd:token", "NewState", "{urn:other}t")), self.text())
        name = rng.choice(enumerations())
        if which == 3:
            return Typed(name, self.text())
        return Typed(array_name(name), [self.text()] * rng.randrange(3))

    def any_value(self, depth: int) -> Any:
        rng = self.rng
        if not self.portable and rng.random() < 0.3:
            return self.typed_value()
        which = rng.randrange(9 if depth < DEEPEST else 7)
        if which < 6:
            return self.leaf(
                ("string", "boolean", "int", "double", "dateTime", "base64Binary")[which]
            )
        if which == 6:
            return self.reference("")
        if which == 7:
            # A bare fault as a value is one that pyVmomi wraps.
            kinds = (
                vim25.OptionValue,
                vim25.Description,
                *(() if self.portable else (vim25.NotFound,)),
            )
            return self.value(rng.choice(kinds), depth + 1)
        return [self.leaf(rng.choice(("string", "int")))] * rng.randrange(1, 3)

    def field(self, field: Field, depth: int) -> Any:
        if field.array:
            count = self.rng.randrange(1, 3) if depth < DEEPEST else 1
            return [self.one(field, depth) for _ in range(count)]
        return self.one(field, depth)

    def one(self, field: Field, depth: int) -> Any:
        if field.type == "ref":
            return self.reference(field.referent)
        if field.type == "anyType":
            return self.any_value(depth)
        cls = BINDING.find(field.type)
        if cls is None:
            return self.leaf(field.type)
        if issubclass(cls, Enumeration):
            known = cls.__values__()
            return self.rng.choice(known if self.portable else (*known, "brandNew"))
        return self.value(self.rng.choice(subtypes(cls)) if depth < DEEPEST else cls, depth + 1)  # type: ignore[arg-type]

    def value(self, cls: type[Any], depth: int = 0) -> Any:
        fields = {}
        for field in wire_fields(cls):
            wanted = field.required or (depth < DEEPEST and self.rng.random() < self.optional)
            if wanted and (depth < 12 or not field.array):
                fields[field.attribute] = self.field(field, depth)
            elif field.required:
                fields[field.attribute] = []
        self.adjust(cls, fields)
        return cls(**fields)
