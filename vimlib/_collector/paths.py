"""Property paths: their grammar, and the checks that need no host."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from vimlib._text import printable
from vimlib.errors import UsageError, VersionError
from vimlib.model import Field, ManagedObject, parse_fields, parse_version, wire_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

# `config.hardware.device[4000].backing`, `config.extraConfig["machine.id"].value`
_PART = re.compile(r"([A-Za-z_]\w*)(\[[^\]\x00-\x1f]*\])?(?:\.(?=.)|$)", re.ASCII)


def split_path(path: str) -> list[str]:
    """Return the property names of `path`, keys in brackets left out.

    Raises:
        UsageError: It is not of the form `name.name[key].name`.
    """
    names: list[str] = []
    at = 0
    while at < len(path):
        match = _PART.match(path, at)
        if match is None:
            break
        names.append(match[1])
        at = match.end()
    if not names or at < len(path):
        raise UsageError(
            f"invalid property path: {printable(path)!r}",
            hint='Write it as "runtime.powerState" or "config.hardware.device[4000]".',
        )
    return names


_known: dict[type[ManagedObject], dict[str, Field]] = {}


def properties_of(kind: type[ManagedObject]) -> dict[str, Field]:
    """Return the properties of a managed type by name, inherited ones included."""
    if kind in _known:
        return _known[kind]
    found: dict[str, Field] = {}
    for base in reversed(kind.__mro__):
        line = base.__dict__.get("_properties_")
        if line:
            found.update((item.name, item) for item in parse_fields(line))
    _known[kind] = found
    return found


def check_kind(kind: type[ManagedObject], version: str) -> None:
    """Refuse a managed type that a host of API `version` cannot have.

    Raises:
        UsageError: `kind` is not a managed type.
        VersionError: It is younger than `version`.
    """
    given: object = kind  # what callers without a type checker may hand in
    if not (isinstance(given, type) and issubclass(given, ManagedObject)):
        raise UsageError(
            f"the kind must be a managed type, got {kind!r}",
            hint="Give a managed type, as vim25.VirtualMachine.",
        )
    _check_since(kind.__name__, kind._since_, version)


def check_path(kind: type[ManagedObject], path: str, version: str) -> None:
    """Refuse a path that the type cannot have or that is younger than the host.

    Only certain errors are refused: below the first name a path may lead into
    subtypes that the declared type does not show, and there the host has the last word.

    Raises:
        UsageError: Invalid path, or the type has no such property.
        VersionError: The host is older than a part of it.
    """
    first, *rest = split_path(path)
    properties = properties_of(kind)
    if not properties:
        return  # a binding without a sidecar knows no properties
    item = properties.get(first)
    if item is None:
        raise UsageError(
            f"{kind.__name__} has no property {first!r}", hint=_similar(first, properties)
        )
    _check_since(f"{kind.__name__}.{first}", item.since, version)
    for name in rest:
        cls: type[Any] | None = kind._binding_.find(item.type)
        if cls is None or issubclass(cls, ManagedObject):
            return
        fields = {known.name: known for known in wire_fields(cls)}
        below = fields.get(name)
        if below is None:
            return
        _check_since(f"{cls.__name__}.{name}", below.since, version)
        item = below


def _check_since(item: str, since: str, version: str) -> None:
    if since and parse_version(since) > parse_version(version):
        raise VersionError(
            f"{item} needs API {since}, the host has API {version}",
            hint="Omit it for this host.",
            item=item,
            needs=since,
            speaks=version,
        )


def _similar(name: str, known: Iterable[str]) -> str:
    # `nmae` and `powerstate` are the usual slips.
    folded = {item.lower(): item for item in known}
    close = difflib.get_close_matches(name.lower(), folded, n=3)
    if close:
        return "Did you mean " + " or ".join(repr(folded[item]) for item in close) + "?"
    return "The docstring of the type names the reference page that lists its properties."
