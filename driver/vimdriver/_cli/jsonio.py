"""Data objects as JSON, both ways. Pure: no I/O, no client.

A data object is a JSON object with `_typeName` and the fields that are set, by wire name. The
format is that of vSphere's own VI JSON API::

    {"_typeName": "VirtualMachineConfigSpec", "name": "web", "numCPUs": 2}
    {"_typeName": "ManagedObjectReference", "type": "VirtualMachine", "value": "12"}
    {"_typeName": "short", "_value": 5}          in an anyType field, where JSON's own type is not
    enough

Reading is lenient: `_typeName` may be omitted if it is the schema's own type, and a reference may
be written `"VirtualMachine:12"`. Everything else that does not fit is refused with its path.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from vimlib._text import printable
from vimlib.errors import EncodeError, UsageError
from vimlib.model import DataObject, Enumeration, Field, ManagedObject, MethodFault, wire_fields
from vimlib.soap import Typed, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vimlib.model import Binding, Method

TYPE: Final = "_typeName"
VALUE: Final = "_value"
REFERENCE: Final = "ManagedObjectReference"
# More than any type of the API nests, less than Python's recursion limit.
_DEPTH: Final = 100
_INTEGERS: Final = frozenset({"byte", "short", "int", "long"})
_WORDS: Final = {"NaN": math.nan, "INF": math.inf, "-INF": -math.inf}


def to_json(value: Any) -> Any:
    """Return a value of the API (data object, fault, proxy, leaf, list of them) for `json.dumps`."""
    if value is None or value is UNSET:
        return None
    if isinstance(value, Typed):
        return to_json(value.plain())
    if isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _word(value)
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return b64encode(value).decode("ascii")
    if isinstance(value, ManagedObject):
        kind, ident = value.moref
        return {TYPE: REFERENCE, "type": kind, "value": ident}
    if isinstance(value, Unknown):
        return _unknown_to_json(value)
    if isinstance(value, (DataObject, MethodFault)):
        return _structure_to_json(value)
    raise TypeError(f"not a value of the API: {type(value).__name__}")


def _word(value: float) -> str:
    return "NaN" if value != value else "INF" if value > 0 else "-INF"


def _structure_to_json(value: DataObject | MethodFault) -> dict[str, Any]:
    name = value.fault_name if isinstance(value, MethodFault) else value.type_name
    document: dict[str, Any] = {TYPE: name}
    for item in wire_fields(type(value)):
        inner = getattr(value, item.attribute)
        if inner is None or inner is UNSET or (item.array and not inner):
            continue
        document[item.name] = _any_to_json(inner) if item.type == "anyType" else to_json(inner)
    for name, raw in value.raw_fields.items():
        document.setdefault(name, _any_to_json(raw))
    return document


def _any_to_json(value: Any) -> Any:
    # A type that JSON lacks is boxed, since the schema does not give the type of the string here.
    if isinstance(value, Typed) and value.type:
        inner = _any_to_json(value.plain())
        return {TYPE: value.type.removeprefix("xsd:"), VALUE: inner}
    if isinstance(value, (list, tuple)):
        return [_any_to_json(item) for item in value]
    for kind, name in ((datetime, "dateTime"), (bytes, "base64Binary")):
        if isinstance(value, kind):
            return {TYPE: name, VALUE: to_json(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {TYPE: "double", VALUE: _word(value)}
    return to_json(value)


def _unknown_to_json(value: Unknown) -> dict[str, Any]:
    document: dict[str, Any] = {TYPE: value.type}
    if value.text:
        document[VALUE] = value.text
    children: dict[str, list[Any]] = {}
    for name, child in value.children:
        children.setdefault(name, []).append(_any_to_json(child))
    document.update(
        {name: found[0] if len(found) == 1 else found for name, found in children.items()}
    )
    return document


def parse_json(text: str, what: str) -> Any:
    """Parse JSON from user input; `what` names it in the error.

    Raises:
        UsageError: It is not valid JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageError(f"{what} must not be nested so deep") from None
    except ValueError as error:
        raise UsageError(
            f"{what} must be JSON: {error}", hint="Quote it for the shell: '{...}'."
        ) from None


def parse_kind(text: str, binding: Binding) -> type[ManagedObject]:
    """Return the managed type of that name.

    Raises:
        UsageError: No such type exists.
    """
    cls = binding.find(text)
    if cls is None or not issubclass(cls, ManagedObject):
        near = [
            name
            for name in get_close_matches(text, list(binding.names()), n=6, cutoff=0.8)
            if issubclass(binding.find(name) or object, ManagedObject)
        ][:3]
        raise UsageError(
            f"unknown managed type: {printable(text, 80)!r}",
            hint=f"Did you mean {' or '.join(near)}?"
            if near
            else "Use the name in the API reference: VirtualMachine, HostSystem, Datastore, Network, Folder...",
        )
    return cls


def parse_reference(text: str, binding: Binding) -> ManagedObject:
    """Parse `TYPE:ID`; the proxy is unbound.

    Raises:
        UsageError: The managed type is unknown, or the id is missing.
    """
    kind, colon, ident = text.partition(":")
    cls = parse_kind(kind, binding)
    if not colon or not ident:
        raise UsageError(f"a reference must be {kind}:ID, got {printable(text, 80)!r}")
    return cls(ident)


def arguments(method: Method[..., Any], document: Any) -> dict[str, Any]:
    """Read the arguments of a call from a JSON object of parameters by wire name.

    Raises:
        EncodeError: A value does not fit; the error has its path.
    """
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise EncodeError(
            f"the arguments of {method.name} must be a JSON object, got {_kind(document)}",
            hint='Name each argument: {"force": true}.',
        )
    return _JSONReader(method.binding).fields(method.params, document, "", method.name)


def from_json(document: Any, field: Field, binding: Binding) -> Any:
    """Read a JSON document as a value of `field`'s type.

    Raises:
        EncodeError: A value does not fit; the error has its path.
    """
    return _JSONReader(binding).value(field, document, field.name)


def _kind(document: Any) -> str:
    for types, name in (
        (bool, "a boolean"),
        (str, "a string"),
        ((int, float), "a number"),
        (list, "an array"),
    ):
        if isinstance(document, types):
            return name
    return "null" if document is None else "an object"


def _refused(path: str, reason: str, hint: str = "") -> EncodeError:
    return EncodeError(f"{path}: {reason}", path=path, hint=hint)


class _JSONReader:
    """Reads JSON against the schema of one binding."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._depth = 0

    def fields(
        self, known: tuple[Field, ...], document: Mapping[str, Any], path: str, owner: str
    ) -> dict[str, Any]:
        """Read an object's members by wire name; the result has wire names too."""
        by_name = {item.name: item for item in known}
        values: dict[str, Any] = {}
        for name, inner in document.items():
            if name == TYPE:
                continue
            item = by_name.get(name)
            where = f"{path}.{name}" if path else name
            if item is None:
                have = ", ".join(by_name) or "nothing"
                raise _refused(printable(where), f"{owner} has no such field", f"It has: {have}.")
            if inner is not None:
                values[name] = self.value(item, inner, where)
        return values

    def value(self, field: Field, document: Any, path: str) -> Any:
        """Read the value of a field, an array or one."""
        if not field.array:
            return self.one(field, document, path)
        if not isinstance(document, list):
            raise _refused(path, f"must be an array, got {_kind(document)}")
        return [self.one(field, item, f"{path}[{index}]") for index, item in enumerate(document)]

    def one(self, field: Field, document: Any, path: str) -> Any:
        """Read one value."""
        read = _LEAVES.get(field.type)
        if read is not None:
            return read(document, path)
        if self._depth >= _DEPTH:
            raise _refused(path, "nested too deep")
        self._depth += 1
        try:
            if field.type == "ref":
                return self.reference(document, path, field.referent)
            if field.type == "anyType":
                return self.anything(document, path)
            return self.named(field.type, document, path)
        finally:
            self._depth -= 1

    def reference(self, document: Any, path: str, referent: str) -> ManagedObject:
        """Read a reference: an object, or `"TYPE:ID"`."""
        kind: Any
        ident: Any
        if isinstance(document, str):
            kind, _, ident = document.partition(":")
        elif isinstance(document, dict):
            kind, ident = document.get("type"), document.get("value")
            extra = set(document) - {TYPE, "type", "value"}
            if extra or document.get(TYPE, REFERENCE) != REFERENCE:
                raise _refused(path, f"a {REFERENCE} must have only type and value")
        else:
            raise _refused(path, f"must be a reference, got {_kind(document)}", 'Write "TYPE:ID".')
        if not (kind and isinstance(kind, str) and ident and isinstance(ident, str)):
            raise _refused(path, "a reference must have a type and an id", 'Write "TYPE:ID".')
        cls = self._binding.find(kind)
        if cls is not None and issubclass(cls, ManagedObject):
            return cls(ident)
        # For a type newer than the binding, the name that the host sent is kept.
        base = self._binding.find(referent) if referent else None
        return (base or ManagedObject)(ident, kind=kind)

    def anything(self, document: Any, path: str) -> Any:
        """Read the value of an anyType field, whose type the document itself names."""
        if isinstance(document, (bool, str, int, float)):
            return document
        if isinstance(document, list):
            return [self.anything(item, f"{path}[{index}]") for index, item in enumerate(document)]
        if not isinstance(document, dict):
            raise _refused(path, "must not be null")
        name = document.get(TYPE)
        if not isinstance(name, str):
            raise _refused(path, f"{TYPE} is required", "The schema allows any type here.")
        if name == REFERENCE:
            return self.reference(document, path, "")
        if VALUE in document:
            return self.boxed(name, document, path)
        return self.named(name, document, path)

    def boxed(self, name: str, document: Mapping[str, Any], path: str) -> Any:
        """Read `{"_typeName": ..., "_value": ...}`."""
        if set(document) != {TYPE, VALUE}:
            raise _refused(path, f"an object with {VALUE} must have only {TYPE} and {VALUE}")
        inner = document[VALUE]
        read = _LEAVES.get(name)
        if read is not None:
            value = read(inner, path)
            # JSON input of these two types needs no type name.
            plain = isinstance(value, (datetime, bytes)) or (
                name == "double" and isinstance(value, float)
            )
            return value if plain else Typed(f"xsd:{name}", value)
        if name.startswith("ArrayOf") and isinstance(inner, list):
            return Typed(
                name, [self.anything(item, f"{path}[{i}]") for i, item in enumerate(inner)]
            )
        cls = self._binding.find(name)
        if cls is not None and issubclass(cls, Enumeration):
            return Typed(name, _string(inner, path))
        raise _refused(path, f"not a type of a plain value: {printable(name, 80)}")

    def named(self, declared: str, document: Any, path: str) -> Any:
        """Read a value of a type of the binding: a data object, a fault or an enumeration."""
        cls = self._binding.find(declared)
        if cls is None:
            raise _refused(path, f"unknown type: {printable(declared, 80)}")
        if issubclass(cls, Enumeration):
            return _string(document, path)
        if not isinstance(document, dict):
            raise _refused(path, f"must be a {declared} object, got {_kind(document)}")
        name = document.get(TYPE, declared)
        found = self._binding.find(name) if isinstance(name, str) else None
        if found is None or not issubclass(found, cls):
            raise _refused(path, f"must be {declared} or a subtype, got {printable(str(name), 80)}")
        known = wire_fields(found)
        values = self.fields(known, document, path, found.__name__)
        return found(**{item.attribute: values[item.name] for item in known if item.name in values})


def _string(document: Any, path: str) -> str:
    if not isinstance(document, str):
        raise _refused(path, f"must be a string, got {_kind(document)}")
    return document


def _boolean(document: Any, path: str) -> bool:
    if not isinstance(document, bool):
        raise _refused(path, f"must be true or false, got {_kind(document)}")
    return document


def _integer(document: Any, path: str) -> int:
    # The encoder checks ranges.
    if isinstance(document, bool) or not isinstance(document, int):
        raise _refused(path, f"must be an integer, got {_kind(document)}")
    return document


def _float(document: Any, path: str) -> float:
    if isinstance(document, str) and document in _WORDS:
        return _WORDS[document]
    if isinstance(document, bool) or not isinstance(document, (int, float)):
        raise _refused(path, f"must be a number, got {_kind(document)}")
    try:
        return float(document)
    except OverflowError:
        raise _refused(path, "number too large") from None


def _datetime(document: Any, path: str) -> datetime:
    text = _string(document, path)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _refused(
            path, f"invalid date and time: {printable(text, 40)!r}", "Write 2026-11-24T12:00:00Z."
        ) from None


def _bytes(document: Any, path: str) -> bytes:
    text = _string(document, path)
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise _refused(path, "invalid base64") from None


_LEAVES: Final[dict[str, Callable[[Any, str], Any]]] = {
    "string": _string,
    "anyURI": _string,
    "boolean": _boolean,
    **dict.fromkeys(_INTEGERS, _integer),
    "float": _float,
    "double": _float,
    "dateTime": _datetime,
    "base64Binary": _bytes,
}
