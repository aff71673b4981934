"""The `_wire_` lines of a binding, compiled into what encoder and decoder walk along.

Everything is compiled on first use and kept in `binding.codec`. Areas of a generated package are
loaded no earlier than a value of theirs is met: a field whose type is not known to be an
enumeration or a structure yet is `LAZY` until then.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from vimlib._repr import robust
from vimlib.model import (
    DataObject,
    Enumeration,
    Field,
    ManagedObject,
    MethodFault,
    parse_fields,
    parse_version,
)
from vimlib.model._wire import PRIMITIVES
from vimlib.soap._leaf import DECODE, ENCODE, decode_enum, encode_string
from vimlib.soap._names import REFERENCE, item_of_array
from vimlib.soap._typed import enumeration_decoder, typed_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vimlib.model import Binding, Method

log = logging.getLogger("vimlib.soap")

# Kinds of items. The decoder's inner loop tests `kind > DATA`, so these are ints in this order.
LEAF: Final = 0
"""Text: a primitive or an enumeration."""
DATA: Final = 1
"""A data object or a fault."""
REF: Final = 2
"""A reference to a managed object."""
ANY: Final = 3
"""xsd:anyType: the value names its type."""
LAZY: Final = 4
"""LEAF or DATA; `Tables.settle` finds out."""

_MOST_BARE: Final = 4096
_KINDS = {"ref": REF, "anyType": ANY}


class FieldInfo:
    """One field of a shape: where its value goes and how it is read and written."""

    __slots__ = (
        "array",
        "attribute",
        "decode",
        "encode",
        "index",
        "kind",
        "name",
        "native",
        "optional_result",
        "referent",
        "required",
        "shape",
        "since",
        "since_text",
        "type",
    )

    def __init__(self, field: Field, index: int, since: tuple[int, ...]) -> None:
        self.name = field.name
        self.attribute = field.attribute
        self.index = index
        self.array = field.array
        self.required = field.required
        self.since = since
        """Version that brought it, where that is newer than its class; else ()."""
        self.since_text = field.since
        self.type = field.type
        """XSD type or name in the binding."""
        self.referent = field.referent
        self.kind = _KINDS.get(field.type, LEAF if field.type in PRIMITIVES else LAZY)
        self.shape: TypeInfo | None = None
        """For `DATA`: the declared type."""
        # For `LEAF`: text to value (None: the text is the value), value to text.
        self.decode: Callable[[str], Any] | None = DECODE.get(field.type)
        self.encode: Callable[[Any], str] | None = ENCODE.get(field.type)
        self.native: Any = None
        """Its compiled form."""
        self.optional_result = False
        """Whether an empty element stands for "no result"; see `Tables.reply`."""

    def like(self, **changes: Any) -> FieldInfo:
        """Return a copy for the same place whose value is read otherwise."""
        other = FieldInfo.__new__(FieldInfo)
        for name in FieldInfo.__slots__:
            setattr(other, name, changes.get(name, getattr(self, name)))
        other.native = None
        return other

    @robust
    def __repr__(self) -> str:
        return f"<FieldInfo {self.name}:{self.type}>"


class TypeInfo:
    """One type in the order of the wire: its items and how values become an object."""

    def __init__(
        self,
        name: str,
        items: tuple[FieldInfo, ...],
        make: Callable[..., Any],
        namespace: str,
        cls: type[Any] | None,
    ) -> None:
        self.name = name
        self.cls = cls
        """Class of its objects; None for the shapes of messages and arrays."""
        self.items = items
        self.make = make
        """Called with one value for each item, in order."""
        self.by_tag = {f"{namespace} {item.name}": item for item in items}
        self.blank: list[Any] = [None] * len(items)
        # What `make` must not see as None: indices of arrays; indices of required others.
        self.arrays = tuple(item.index for item in items if item.array)
        self.needed = tuple(item.index for item in items if item.required and not item.array)
        self.since: tuple[int, ...] = ()
        self.since_text = ""
        self.fault = cls is not None and issubclass(cls, MethodFault)
        self.known: TypeInfo | None = None
        """For an unknown type: its nearest known ancestor. The last value of a frame collects the
        children that this does not have."""
        self.obvious = False
        """Whether its object is the list that is its only value, unless that is empty."""
        self.native: Any = None
        """Its compiled form."""
        self.open_ended = False
        """Whether any child may come, as in the detail of a SOAP fault; the machine asks for its item."""

    def like(self, **changes: Any) -> TypeInfo:
        """Return a copy with some attributes changed."""
        other = TypeInfo.__new__(TypeInfo)
        other.__dict__.update(self.__dict__ | {"native": None} | changes)
        return other

    @robust
    def __repr__(self) -> str:
        return f"<TypeInfo {self.name}>"


def _fault_maker(cls: type[MethodFault], names: tuple[str, ...]) -> Callable[..., Any]:
    def make(*values: Any) -> MethodFault:
        return cls(**dict(zip(names, values, strict=True)))

    return make


def _localized_maker(cls: type[Any], items: tuple[FieldInfo, ...]) -> Callable[..., Any]:
    """Copy the message of a LocalizedMethodFault to its fault."""
    places = {item.name: item.index for item in items}
    if not {"fault", "localizedMessage"} <= places.keys():
        return cls
    fault_at, message_at = places["fault"], places["localizedMessage"]

    def make(*values: Any) -> Any:
        fault, message = values[fault_at], values[message_at]
        if message and isinstance(fault, MethodFault):
            fault.localized_message = message
        return cls(*values)

    return make


# The encoder finds the type of an array of such items by itself.
_OBVIOUS: Final = frozenset("string boolean int double dateTime base64Binary".split()) | {REFERENCE}


def _tuple(*values: Any) -> tuple[Any, ...]:
    return values


class Tables:
    """All compiled shapes of one binding."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self.namespace = binding.namespace
        self._shapes: dict[type[Any], TypeInfo] = {}
        self._arrays: dict[str, TypeInfo] = {}
        self._enumerations: dict[str, Callable[[str], Any]] = {}
        self._messages: dict[tuple[str, str], TypeInfo] = {}
        self._requests: dict[Method[..., Any], TypeInfo] = {}
        self._replies: dict[Method[..., Any], TypeInfo] = {}
        self.bare: dict[tuple[Method[..., Any], str | None, str], tuple[str, str]] = {}
        """The bytes around the id of a call without arguments, by method, version and kind."""
        self.beginnings: dict[Any, Any] = {}
        """How replies began; the compiled decoder's."""
        self._warned: set[str] = set()
        self.fault_base: type[MethodFault] = self._find(MethodFault) or MethodFault
        self.managed_base: type[ManagedObject] = self._find(ManagedObject) or ManagedObject

    def _find(self, base: type[Any]) -> type[Any] | None:
        found = self.binding.find(base.__name__)
        return found if found is not None and issubclass(found, base) else None

    # Shapes

    def shape(self, cls: type[Any]) -> TypeInfo:
        """Return the shape of a data or fault class; of a user's subclass, that of its nearest known base."""
        found = self._shapes.get(cls)
        if found is None:
            known = next((c for c in cls.__mro__ if self.knows(c)), None)
            if known is None:
                raise LookupError(f"unknown type in {self.binding.package}: {cls.__name__}")
            found = self._shapes[cls] = self._compile(known) if known is cls else self.shape(known)
        return found

    def knows(self, cls: type[Any]) -> bool:
        """Whether `cls` is a data or fault class of this binding."""
        if not issubclass(cls, DataObject | MethodFault):
            return False
        return self.binding.find(cls.__name__) is cls or cls is self.fault_base

    def _compile(self, cls: type[Any]) -> TypeInfo:
        items: list[FieldInfo] = []
        for base in reversed(cls.__mro__):
            wire = base.__dict__.get("_wire_")
            for field in parse_fields(wire) if wire else ():
                items.append(self._item(field, len(items)))
        fields = tuple(items)
        make: Callable[..., Any] = cls
        if issubclass(cls, MethodFault):
            make = _fault_maker(cls, tuple(item.attribute for item in fields))
        elif cls.__struct_fields__ != tuple(item.attribute for item in fields):
            raise TypeError(f"the fields of {cls.__name__} differ from its _wire_ line")
        elif cls.__name__ == "LocalizedMethodFault":
            make = _localized_maker(cls, fields)
        shape = TypeInfo(cls.__name__, fields, make, self.namespace, cls)
        shape.since_text = cls._since_
        shape.since = parse_version(cls._since_) if cls._since_ else ()
        return shape

    @staticmethod
    def _item(field: Field, index: int) -> FieldInfo:
        return FieldInfo(field, index, parse_version(field.since) if field.since else ())

    def array(self, name: str) -> TypeInfo | None:
        """Return the shape of an `ArrayOf...` type, whose object is a list; None if its item is unknown."""
        shape = self._arrays.get(name)
        if shape is None:
            item = item_of_array(name)
            if not item or not (item == REFERENCE or item in PRIMITIVES or self.is_value(item)):
                return None
            type_ = "ref" if item == REFERENCE else item
            field = Field(item, "", type_, array=True)
            obvious = item in _OBVIOUS

            def make(items: list[Any]) -> list[Any]:
                return items if obvious and items else typed_list(name, items)

            items = (self._item(field, 0),)
            shape = self._arrays[name] = TypeInfo(name, items, make, self.namespace, None)
            shape.obvious = obvious
        return shape

    def enumeration(self, name: str) -> Callable[[str], Any]:
        """Return the decoder of an enumeration of the binding where an anyType field holds it."""
        decode = self._enumerations.get(name)
        if decode is None:
            decode = self._enumerations[name] = enumeration_decoder(name)
        return decode

    def is_value(self, name: str) -> bool:
        """Whether `name` is a data object, fault or enumeration of the binding."""
        cls = self.binding.find(name)
        return cls is not None and issubclass(cls, DataObject | MethodFault | Enumeration)

    def settle(self, item: FieldInfo) -> None:
        """Resolve a `LAZY` item."""
        cls = self.binding.find(item.type)
        if cls is not None and issubclass(cls, DataObject | MethodFault):
            item.kind, item.shape = DATA, self.shape(cls)
        elif cls is not None and issubclass(cls, Enumeration):
            item.kind, item.decode, item.encode = LEAF, decode_enum, encode_string
        elif item.type == "MethodFault":
            item.kind, item.shape = DATA, self.shape(self.fault_base)
        else:
            raise TypeError(
                f"{item.name}: unknown data type in {self.binding.package}: {item.type}"
            )

    # Messages

    def request(self, method: Method[..., Any]) -> TypeInfo:
        """Return the shape of a call: `_this`, then the parameters; its object is a tuple.

        Services other than vSphere's do not address objects; their calls are the parameters alone.
        """
        shape = self._requests.get(method)
        if shape is None:
            fields = method.params
            if method.addressed:
                this = Field("_this", "_this", "ref", referent=method.owner.__name__, required=True)
                fields = (this, *fields)
            shape = self._message("request", method.name, fields, method.name)
            self._requests[method] = shape
        return shape

    def reply(self, method: Method[..., Any]) -> TypeInfo:
        """Return the shape of a reply: `returnval` or nothing; its object is a tuple."""
        shape = self._replies.get(method)
        if shape is not None:
            return shape
        returns = method.returns
        shape = self._message(
            "reply", method.name, () if returns is None else (returns,), f"{method.name}Response"
        )
        for item in shape.items:
            item.optional_result = not item.required and not item.array
        self._replies[method] = shape
        return shape

    def remember_bare(
        self, call: tuple[Method[..., Any], str | None, str], around: tuple[str, str]
    ) -> None:
        """Cache the bytes around the id of a valid call without arguments."""
        if len(self.bare) >= _MOST_BARE:  # kinds may come from the wire
            self.bare.clear()
        self.bare[call] = around

    def _message(self, direction: str, method: str, fields: Iterable[Field], name: str) -> TypeInfo:
        shape = self._messages.get((direction, method))
        if shape is None:
            items = tuple(self._item(field, index) for index, field in enumerate(fields))
            shape = self._messages[direction, method] = TypeInfo(
                name, items, _tuple, self.namespace, None
            )
        return shape

    # Tolerance

    def tolerate(self, type_name: str, what: str, instead: str = "decoded as None") -> None:
        """Log once for a type that a peer does not keep to its schema, and what is returned instead."""
        if type_name not in self._warned:
            self._warned.add(type_name)
            log.warning(
                "%s: invalid reply, %s; %s (logged once per type)", type_name, what, instead
            )


def tables_of(binding: Binding) -> Tables:
    """Return the compiled tables of `binding`, made on first use."""
    tables: Tables | None = binding.codec.get(Tables)
    if tables is None:
        tables = binding.codec[Tables] = Tables(binding)
    return tables
