"""Objects to XML: the encoder and the envelope around a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import UNSET
from msgspec.structs import astuple

from vimlib._text import printable
from vimlib.errors import EncodeError, VersionError
from vimlib.model import DataObject, Enumeration, ManagedObject, MethodFault, parse_version
from vimlib.model._data import is_subtype
from vimlib.soap._leaf import ENCODE, InvalidValueError, encode_string, escape_attribute
from vimlib.soap._limits import Limits
from vimlib.soap._names import ENVELOPE, REFERENCE, XSD, XSI, array_name, item_of_array
from vimlib.soap._tables import DATA, LAZY, LEAF, REF, FieldInfo, Tables, TypeInfo, tables_of
from vimlib.soap._typed import Typed, Unknown, leaf_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vimlib.model import Method
    from vimlib.model._data import Raw

_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<soapenv:Envelope xmlns:soapenv="{ENVELOPE}" xmlns:xsd="{XSD}" xmlns:xsi="{XSI}">'
)
_TAIL: Final = "</soapenv:Body></soapenv:Envelope>"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")
_DROP: Final = 'Omit it, or send with newer="drop" to leave out fields that the host does not know.'
# Names of elements that came from the wire.
_XML_NAME = re.compile(r"[^\W\d][\w.-]*")

Newer = Literal["refuse", "drop"]


class Refused(Exception):
    """Carries a reason up through the value; each level puts its part of the path in front."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint
        self.path: list[str] = []

    def at(self, part: str) -> Refused:
        self.path.append(part)
        return self

    def where(self) -> str:
        text = ""
        for part in reversed(self.path):
            text += part if part.startswith("[") or not text else f".{part}"
        return text


class Encoder:
    """Writes values of one binding as XML into a list of strings."""

    def __init__(
        self,
        tables: Tables,
        *,
        version: str | None = None,
        newer: Newer = "refuse",
        limits: Limits,
        check_referents: bool = False,
        typed_items: bool = False,
        host: str = "",
    ) -> None:
        """`typed_items` gives each element of an array in anyType its xsi:type, as a server does."""
        self.tables = tables
        self.out: list[str] = []
        self._write = self.out.append
        self._version = parse_version(version) if version else None
        self._speaks = version or ""
        self._host = host
        self._drop = newer == "drop"
        self._depth = limits.depth - 3  # Envelope, Body, message
        self._check_referents = check_referents
        self._typed_items = typed_items

    def items(self, shape: TypeInfo, values: Iterable[Any]) -> None:
        """Write the values of a shape's items, given in their order."""
        version = self._version
        for item, value in zip(shape.items, values, strict=False):
            if value is None or value is UNSET:
                # A field that the version does not know cannot be missing.
                if item.required and (version is None or item.since <= version):
                    raise Refused("required field missing").at(item.name)
                continue
            if item.array and isinstance(value, list | tuple) and not value:
                continue
            if version is not None and item.since > version:
                if self._drop:
                    continue
                raise self._too_young(f"{shape.name}.{item.name}", item.since_text)
            if item.array:
                self._array(item, value)
                continue
            try:
                self._value(item, value)
            except Refused as refusal:
                refusal.at(item.name)
                raise

    def _array(
        self, item: FieldInfo, values: Any, write: Callable[[FieldInfo, Any], None] | None = None
    ) -> None:
        write = write or self._value
        if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
            raise Refused(f"must be a list, got {type(values).__name__}").at(item.name)
        index = 0
        try:
            for value in values:
                if value is None or value is UNSET:
                    raise Refused("an item of an array must not be None")
                write(item, value)
                index += 1
        except Refused as refusal:
            # An array as a value of its own has no element's name in its path.
            refusal.at(f"[{index}]")
            if item.attribute:
                refusal.at(item.name)
            raise

    def _value(self, item: FieldInfo, value: Any) -> None:
        kind = item.kind
        if kind == LAZY:
            self.tables.settle(item)
            kind = item.kind
        name = item.name
        if kind == LEAF:
            assert item.encode is not None
            try:
                text = item.encode(value)
            except InvalidValueError as reason:
                raise Refused(str(reason)) from None
            self._write(f"<{name}>{text}</{name}>")
        elif kind == DATA:
            self._data(item, value)
        elif kind == REF:
            self._reference(item, value, "")
        else:
            self._any(name, value)

    # Structures

    def _data(self, item: FieldInfo, value: Any, *, typed: bool = False) -> None:
        declared = item.shape
        assert declared is not None
        assert declared.cls is not None
        cls = type(value)
        if cls is declared.cls:
            self._structure(item.name, declared, value, declared.name if typed else "")
            return
        if not isinstance(value, declared.cls):
            raise Refused(f"must be {_article(declared.name)}, got {cls.__name__}")
        shape: TypeInfo | None = self._shape(cls)
        assert shape is not None
        if self._version is not None and shape.since > self._version:
            shape = self._old_enough(shape, declared, item)
            if shape is None:
                return
        self._structure(
            item.name, shape, value, shape.name if typed or shape is not declared else ""
        )

    def _shape(self, cls: type[Any]) -> TypeInfo:
        try:
            return self.tables.shape(cls)
        except LookupError as error:
            raise Refused(str(error)) from None

    def _old_enough(
        self, shape: TypeInfo, declared: TypeInfo | None, item: FieldInfo | None
    ) -> TypeInfo | None:
        """Return the nearest base that the version knows; None where the value is to be left out."""
        assert self._version is not None
        assert shape.cls is not None
        if self._drop:
            for base in shape.cls.__mro__:
                if not self.tables.knows(base):
                    break
                known = self.tables.shape(base)
                if known.since <= self._version:
                    return known
                if known is declared:
                    break
            if item is not None and not item.required:
                return None
        raise self._too_young(shape.name, shape.since_text)

    def _too_young(self, item: str, needs: str) -> VersionError:
        return too_young(item, needs, self._speaks, self._host, _DROP)

    def _deeper(self) -> None:
        if self._depth <= 0:
            raise Refused("nested too deep; check whether the value contains itself")
        self._depth -= 1

    def _structure(self, name: str, shape: TypeInfo, value: Any, xsi_type: str) -> None:
        self._deeper()
        if shape.cls is value.__class__ and not shape.fault:
            self._write(f'<{name} xsi:type="{xsi_type}">' if xsi_type else f"<{name}>")
            self.items(shape, astuple(value))
        else:
            unknown = self._unknown_type(shape, value)
            self._write(f"<{name}{_type_attribute(unknown or xsi_type)}>")
            self._mixed(shape, value, value._raw if unknown else ())
        self._write(f"</{name}>")
        self._depth += 1

    def _unknown_type(self, shape: TypeInfo, value: Any) -> str:
        """Return the name of the value's type if it is not known and `shape` is its nearest ancestor, else ""."""
        if shape.fault:
            name: str = "" if value.fault_name == type(value).__name__ else value.fault_name
        else:
            name = value.type_name if is_subtype(type(value)) else ""
        return name if name and self._shape(type(value)) is shape else ""

    def _mixed(self, shape: TypeInfo, value: Any, raw: Raw) -> None:
        """Write the fields of an object, and between them the elements that only its type on the wire has."""
        values = [getattr(value, item.attribute) for item in shape.items]
        done = 0
        for place, name, node in raw:
            self.items(shape.like(items=shape.items[done:place]), values[done:place])
            self._node(name, node)
            done = place
        self.items(shape.like(items=shape.items[done:]) if raw else shape, values[done:])

    def _node(self, name: str, node: Any) -> None:
        """Write an element of a type that is not known, or whose declaration is not."""
        if _XML_NAME.fullmatch(name) is None:
            raise Refused(f"cannot send the element {printable(name, 80)!r}")
        if isinstance(node, ManagedObject):
            self._reference(None, node, REFERENCE, name)
            return
        if not isinstance(node, str | Unknown):
            raise Refused(f"must be a str or Unknown, got {type(node).__name__}").at(name)
        type_ = node.type if isinstance(node, Unknown | Typed) else ""
        if isinstance(node, str):
            self._text(name, type_, node)
            return
        self._deeper()
        self._write(f"<{name}{_type_attribute(type_)}>")
        for child, inner in node.children:
            self._node(child, inner)
        self._write(f"</{name}>")
        self._depth += 1

    def fault(self, value: MethodFault) -> None:
        """Write a fault as the element `<NAMEFault>` in which it stands as a message's detail."""
        shape = self._shape(type(value))
        unknown = self._unknown_type(shape, value)
        if self._version is not None and shape.since > self._version:
            nearest = self._old_enough(shape, None, None)
            assert nearest is not None
            shape, unknown = nearest, ""
        type_ = unknown or shape.name
        # An element may have another name than a type, which the attribute gives.
        name = f"{type_ if _XML_NAME.fullmatch(type_) else shape.name}Fault"
        namespace = escape_attribute(self.tables.namespace)
        self._write(f'<{name} xmlns="{namespace}"{_type_attribute(type_)}>')
        self._mixed(shape, value, value._raw if unknown else ())
        self._write(f"</{name}>")

    def _reference(self, item: FieldInfo | None, value: Any, xsi_type: str, name: str = "") -> None:
        if not isinstance(value, ManagedObject):
            raise Refused(f"must be a reference, got {type(value).__name__}")
        if item is not None:
            name = item.name
            if self._check_referents and item.referent:
                self._check_referent(item.referent, value)
        kind, id_ = value.moref
        guid = value._guid
        try:
            self._write(reference(name, kind, id_, guid, xsi_type))
        except InvalidValueError as reason:
            raise Refused(str(reason)) from None

    def _check_referent(self, referent: str, value: ManagedObject) -> None:
        expected = self.tables.binding.find(referent)
        # A kind that the binding does not know may well be the requested one.
        known = self.tables.binding.find(value.moref[0])
        if expected is not None and known is not None and not issubclass(known, expected):
            raise Refused(f"must be a reference to {_article(referent)}, got {value!r}")

    # anyType

    def _any(self, name: str, value: Any, type_: str = "") -> None:
        if not type_:
            type_ = value.type if isinstance(value, (Typed, Unknown)) else self._type_of(value)
        encode = ENCODE.get(type_[4:]) if type_.startswith("xsd:") else None
        if encode is not None:
            self._any_leaf(name, type_, encode, value)
        elif isinstance(value, Unknown):
            self._node(name, value)
        elif type_ == REFERENCE:
            self._reference(None, value, type_, name)
        elif item_of_array(type_) and isinstance(value, list | tuple):
            self._any_array(name, type_, value)
        elif self.tables.binding.find(type_):
            self._any_named(name, type_, value)
        elif isinstance(value, str):
            self._text(name, type_, value)
        else:
            raise Refused(f"unknown type in {self.tables.binding.package}: {type_}")

    def _any_leaf(self, name: str, type_: str, encode: Callable[[Any], str], value: Any) -> None:
        try:
            self._write(f'<{name} xsi:type="{type_}">{encode(value)}</{name}>')
        except InvalidValueError as reason:
            raise Refused(str(reason)) from None

    def _text(self, name: str, type_: str, value: str) -> None:
        """Write a text of a type that is not known here, or of none."""
        try:
            self._write(f"<{name}{_type_attribute(type_)}>{encode_string(value)}</{name}>")
        except InvalidValueError as reason:
            raise Refused(str(reason)) from None

    def _any_array(self, name: str, type_: str, values: Any) -> None:
        shape = self.tables.array(type_)
        if shape is None:
            raise Refused(f"unknown array type in {self.tables.binding.package}: {type_}")
        item = shape.items[0]
        if item.kind == LAZY:
            self.tables.settle(item)
        if self._version is not None and item.shape and item.shape.since > self._version:
            nearest = self._old_enough(item.shape, None, None)
            assert nearest is not None
            type_ = array_name(nearest.name)
            shape = self.tables.array(type_)
            assert shape is not None
        self._deeper()
        self._write(f'<{name} xsi:type="{type_}">')
        self._array(shape.items[0], values, self._typed_value if self._typed_items else None)
        self._write(f"</{name}>")
        self._depth += 1

    def _typed_value(self, item: FieldInfo, value: Any) -> None:
        """Write an element of an array in anyType as hosts do; strict clients refuse it without a type.

        Recorded of an ESX 4.1 (`resources/esx-4.1.0-1` of fusioninventory-agent); libvirt's
        `esxVI_*_CastFromAnyType` needs it.
        """
        if item.kind == LAZY:
            self.tables.settle(item)
        if item.kind == REF:
            self._reference(item, value, REFERENCE)
        elif item.kind == DATA:
            self._data(item, value, typed=True)
        elif item.kind == LEAF:
            self._any(item.name, value, f"{'xsd:' if item.type in ENCODE else ''}{item.type}")
        else:
            self._any(item.name, value)

    def _any_named(self, name: str, type_: str, value: Any) -> None:
        cls = self.tables.binding.find(type_)
        assert cls is not None
        if issubclass(cls, Enumeration):
            since = parse_version(cls._since_) if cls._since_ else ()
            if self._version is not None and since > self._version:
                if not self._drop:
                    raise self._too_young(type_, cls._since_)
                type_ = "xsd:string"  # which it restricts
            self._text(name, type_, value)
            return
        if not isinstance(value, cls) or not isinstance(value, DataObject | MethodFault):
            raise Refused(f"must be {_article(type_)}, got {type(value).__name__}")
        shape = self._shape(cls)
        if self._version is not None and shape.since > self._version:
            nearest = self._old_enough(shape, None, None)
            assert nearest is not None
            shape = nearest
        self._structure(name, shape, value, shape.name)

    def _type_of(self, value: Any) -> str:
        """Return the type as which an anyType value is sent."""
        type_ = leaf_type(value)
        if type_:
            return type_
        if isinstance(value, DataObject | MethodFault):
            return self._shape(type(value)).name
        if isinstance(value, ManagedObject):
            return REFERENCE
        if isinstance(value, list | tuple):
            return self._type_of_list(value)
        raise Refused(f"cannot send a value of type {type(value).__name__}")

    def _type_of_list(self, values: list[Any] | tuple[Any, ...]) -> str:
        if not values:
            raise Refused(
                "cannot tell the type of an empty list",
                'Give its type: Typed("ArrayOfString", []).',
            )
        if all(isinstance(value, DataObject | MethodFault) for value in values):
            return array_name(self._common_base(values))
        if any(isinstance(value, list | tuple | Typed | Unknown) for value in values):
            return "ArrayOfAnyType"
        names = {self._type_of(value) for value in values}
        if names == {"xsd:int", "xsd:long"}:
            return "ArrayOfLong"
        if len(names) == 1:
            return array_name(names.pop().removeprefix("xsd:"))
        return "ArrayOfAnyType"

    def _common_base(self, values: Iterable[Any]) -> str:
        classes = {type(value) for value in values}
        first = next(iter(classes))
        for base in first.__mro__:
            if self.tables.knows(base) and all(issubclass(cls, base) for cls in classes):
                return self.tables.shape(base).name
        return "anyType"


def too_young(item: str, needs: str, speaks: str, host: str, hint: str) -> VersionError:
    """Return the error for an `item` newer than the API `speaks` of `host`."""
    return VersionError(
        f"{item} needs API {needs}, {host or 'the host'} has API {speaks}",
        hint=hint,
        item=item,
        needs=needs,
        speaks=speaks,
    )


def _type_attribute(type_: str) -> str:
    """Return the `xsi:type` for a name in the form of `Typed.type`."""
    try:
        if type_.startswith("{"):
            uri, _, local = type_[1:].partition("}")
            return f' xmlns:t="{escape_attribute(uri)}" xsi:type="t:{escape_attribute(local)}"'
        if ":" in type_ and not type_.startswith("xsd:"):
            raise Refused(f"a type must be xsd:NAME or a name of the binding, got {type_!r}")
        return f' xsi:type="{escape_attribute(type_)}"' if type_ else ""
    except InvalidValueError as reason:
        raise Refused(str(reason)) from None


def _article(name: str) -> str:
    return f"an {name}" if name[:1] in "AEIOUaeiou" else f"a {name}"


def reference(name: str, kind: str, id_: str, guid: str | None, xsi_type: str = "") -> str:
    """Return a reference as an element. Raises `InvalidValueError` for characters that XML cannot carry."""
    head = f"<{name}"
    if guid is not None:
        head += f' serverGuid="{escape_attribute(guid)}"'
    head += f' type="{escape_attribute(kind)}"'
    if xsi_type:
        head += f' xsi:type="{xsi_type}"'
    return f"{head}>{encode_string(id_)}</{name}>"


def envelope(body: list[str], header: Mapping[str, str] | None = None) -> bytes:
    """Return a whole message. Raises `EncodeError` for a header that XML cannot carry."""
    parts = [_HEAD]
    if header:
        parts.append("<soapenv:Header>")
        for name, value in header.items():
            if _NAME.fullmatch(name) is None:
                raise EncodeError(f"invalid header name: {name!r}", path=name)
            try:
                parts.append(f"<{name}>{encode_string(value)}</{name}>")
            except InvalidValueError as reason:
                raise EncodeError(f"header {name}: {reason}", path=name) from None
        parts.append("</soapenv:Header>")
    parts.append("<soapenv:Body>")
    parts += body
    parts.append(_TAIL)
    return "".join(parts).encode()


def encode_request(
    method: Method[..., Any],
    this: ManagedObject | tuple[str, str],
    args: Mapping[str, Any],
    *,
    version: str | None = None,
    newer: Newer = "refuse",
    limits: Limits = Limits(),
    header: Mapping[str, str] | None = None,
    host: str = "",
) -> bytes:
    """Encode a call of `method` on `this` (a proxy, or its `(type, id)`).

    `args` maps wire names to values; None, UNSET and [] stand for "not given". A value for an
    anyType field may be `Typed`, and is where the decoder read one of a type that does not follow
    from its value; objects of unknown types are sent as they were read. With `version`, as `"4.1"`, fields that a host of that API cannot know
    is refused, or with `newer="drop"` left out: a field goes missing, an object of a too young
    subtype goes as its nearest base that is old enough; the method itself is refused always.
    `header` becomes elements of the SOAP header, as `{"operationID": "..."}`; `host` is whom a
    `VersionError` names.

    Raises:
        EncodeError: A value does not fit; `path` is its place, as `spec.deviceChange[0].device.key`.
        VersionError: The host's API is older than the method, a field or a type.
    """
    tables = tables_of(method.binding)
    if isinstance(this, tuple):
        this = ManagedObject(this[1], kind=this[0])
    message = None if args else _known_message(tables, method, this, version)
    if message is None:
        message = _message(tables, method, this, args, version, newer, limits, host)
    body = envelope(message, header)
    if len(body) > limits.wire:
        raise EncodeError(f"the request must have at most {limits.wire} bytes, got {len(body)}")
    return body


def _message(
    tables: Tables,
    method: Method[..., Any],
    this: ManagedObject,
    args: Mapping[str, Any],
    version: str | None,
    newer: Newer,
    limits: Limits,
    host: str,
) -> list[str]:
    """Return the Body's child. Raises as `encode_request`."""
    shape = tables.request(method)
    if (
        version is not None
        and method.since
        and parse_version(method.since) > parse_version(version)
    ):
        hint = "Use a method that this host has."
        raise too_young(repr(method), method.since, version, host, hint)
    known = {item.name for item in shape.items}
    for name in args:
        if name not in known or name == "_this":
            raise EncodeError(f"{method!r} has no parameter {name!r}", path=name)
    encoder = Encoder(
        tables, version=version, newer=newer, limits=limits, check_referents=True, host=host
    )
    name = method.name
    start, end = f'<{name} xmlns="{escape_attribute(tables.namespace)}">', f"</{name}>"
    try:
        values = [args.get(item.name) for item in shape.items]
        if method.addressed:
            values[0] = this
        encoder.items(shape, values)
    except Refused as refusal:
        path = refusal.where()
        raise EncodeError(f"{path}: {refusal.reason}", path=path, hint=refusal.hint) from None
    if not args and method.addressed and this._guid is None:
        head, id_, tail = encoder.out[0].partition(f">{encode_string(this._id)}<")
        assert id_, "a reference without its id"
        tables.remember_bare((method, version, this._kind), (f"{start}{head}>", f"<{tail}{end}"))
    return [start, *encoder.out, end]


def _known_message(
    tables: Tables, method: Method[..., Any], this: ManagedObject, version: str | None
) -> list[str] | None:
    """Return what `_message` made of a call without arguments on an object of the same kind, this
    one's id in it; None before the first call.
    """
    try:
        around = tables.bare.get((method, version, this._kind))
        if around is None or this._guid is not None:
            return None
        return [around[0], encode_string(this._id), around[1]]
    except (InvalidValueError, AttributeError):  # no id, or no reference at all
        return None  # the slower encoder reports it with its path
