"""Reading property paths: `config.hardware.device[4000].backing` of an object's state."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from vimlib import vim25
from vimlib.model import parse_version, wire_fields
from vimlib.simulator._core.messages import with_message

if TYPE_CHECKING:
    from vimlib.model import Field
    from vimlib.simulator._core.objects import SimObject
    from vimlib.simulator._core.session import Session

ABSENT: Final = None
"""The value of an unset property, which replies leave out."""

_STEP = re.compile(r'(?P<name>[A-Za-z_]\w*)(?:\[(?:"(?P<text>[^"]*)"|(?P<key>[^\]]*))\])?')


class PathStep(NamedTuple):
    """One part of a path: a name and, for one element of an array, its key."""

    name: str
    key: str | None


@lru_cache(maxsize=4096)
def parse_path(path: str) -> tuple[PathStep, ...]:
    """Parse a path. Raises `InvalidProperty`."""
    steps = []
    rest = path
    while True:
        match = _STEP.match(rest)
        if match is None:
            raise invalid(path)
        key = match["text"] if match["text"] is not None else match["key"]
        steps.append(PathStep(match["name"], key))
        rest = rest[match.end() :]
        if not rest:
            return tuple(steps)
        if not rest.startswith("."):
            raise invalid(path)
        rest = rest[1:]


_REMEMBERED = 10_000
"""Size of the cache of parsed paths: clients use few, but may send any number."""

_FIELDS: dict[Any, dict[str, Field]] = {}


def fields_of(cls: Any) -> dict[str, Field]:
    """Return the fields of a data class by wire name, each with the version that brought it."""
    found = _FIELDS.get(cls)
    if found is not None:
        return found
    fields: dict[str, Field] = {}
    for base in reversed(cls.__mro__):
        own = base.__dict__.get("_wire_")
        if own:
            since = base.__dict__.get("_since_", "")
            for field in wire_fields(base)[-len(own.split()) :]:
                fields[field.name] = field if field.since else replace(field, since=since)
    _FIELDS[cls] = fields
    return fields


def known_since(since: str, version: tuple[int, ...]) -> bool:
    """Whether an item of API version `since` ("" is always) exists in `version`."""
    return not since or parse_version(since) <= version


_DIRECT: dict[tuple[Any, str, tuple[int, ...]], tuple[str, tuple[str, ...], Field] | None] = {}


def _direct(obj: SimObject, path: str) -> tuple[str, tuple[str, ...], Field] | None:
    """Return a path as property, attributes and last field, if the declared types determine them.

    None where a key picks an element or the value's subtype decides; `read_path` then goes step by step.
    """
    steps = parse_path(path)
    version = obj.registry.version
    field = obj.knows(steps[0].name)
    if (
        field is None
        or any(step.key is not None for step in steps)
        or field.name == "currentSession"
    ):
        return None
    attributes = []
    for step in steps[1:]:
        cls = vim25.BINDING.find(field.type)
        if cls is None or field.array:
            return None
        found = fields_of(cls).get(step.name)
        if found is None or not known_since(found.since, version):
            return None
        field = found
        attributes.append(field.attribute)
    return steps[0].name, tuple(attributes), field


def read_path(obj: SimObject, path: str, session: Session | None) -> tuple[Any, Field]:
    """Return the value at `path` (`ABSENT` if unset) and the declaration of its last field.

    Raises `InvalidProperty` for a path that the object cannot have.
    """
    known = (type(obj), path, obj.registry.version)
    try:
        direct = _DIRECT[known]
    except KeyError:
        direct = _direct(obj, path)
        if len(_DIRECT) < _REMEMBERED:
            _DIRECT[known] = direct
    if direct is not None:
        value = obj.read(direct[0])
        for attribute in direct[1]:
            if value is None:
                break
            value = getattr(value, attribute)
        return value, direct[2]
    steps = parse_path(path)
    name, key = steps[0]
    field = obj.knows(name)
    if field is None:
        raise invalid(path)
    if name == "currentSession" and obj.kind == "SessionManager":
        value = session.info() if session else None
    else:
        value = obj.read(name)
    if len(steps) == 1 and key is None:
        return value, field
    version = obj.registry.version
    if key is not None:
        value = element(value, key, field, path)
    for name, key in steps[1:]:
        field, value = _descend(value, name, field, path, version)
        if key is not None:
            value = element(value, key, field, path)
    if steps[-1].key is not None:
        field = _single(field)
    return value, field


def _descend(
    value: Any, name: str, declared: Field, path: str, version: tuple[int, ...]
) -> tuple[Field, Any]:
    if value is None:
        cls = vim25.BINDING.find(declared.type)
        field = fields_of(cls).get(name) if cls else None
        if field is None or not known_since(field.since, version):
            raise invalid(path)
        return field, None
    field = fields_of(type(value)).get(name)
    if field is None or isinstance(value, list) or not known_since(field.since, version):
        raise invalid(path)
    return field, getattr(value, field.attribute)


def element(value: Any, key: str, field: Field, path: str) -> Any:
    """Return the element of an array whose `key` field is `key`, `ABSENT` if it does not exist."""
    if not field.array:
        raise invalid(path)
    for item in value or ():
        own = getattr(item, "key", None)
        if own is None and hasattr(item, "moref"):
            own = item.moref[1]
        if own is not None and str(own) == key:
            return item
    return ABSENT


@lru_cache(maxsize=1024)
def _single(field: Field) -> Field:
    return replace(field, array=False)


def invalid(path: str) -> Any:
    """Return the fault for an invalid path."""
    return with_message(vim25.InvalidProperty(name=path), f"Invalid property: {path}")
