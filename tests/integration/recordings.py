"""Public recordings of hosts, from the upstream archives of Debian's source packages, verified."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from lxml import etree

from tests.integration.peers import source_package

_ESX: Final = "resources/esx-4.1.0-1/"
_ESX_SHA256: Final = "8c8258609b22fcaea1c1d7b6c0ae445f3b410d988a6a5ce30d0a62ade30823bf"
_XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_VIM: Final = "{urn:vim25}"
_RESERVED: Final = "dynamicType"


def esx_4_1() -> Path:
    """Return a folder with replies of a standalone ESX 4.1.0 (fusioninventory-agent)."""
    folder = source_package.files_of(
        "fusioninventory-agent", lambda name: name.startswith(_ESX) and name.endswith(".soap")
    )
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.soap")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    assert digest.hexdigest() == _ESX_SHA256
    return folder


def esxi_6_5() -> Path:
    """Return a folder with what a standalone ESXi 6.5.0 showed, as Go source (govmomi)."""
    return source_package.files_of(
        "golang-github-vmware-govmomi",
        lambda name: name.startswith("simulator/esx/") and name.endswith(".go"),
        label="esx",
    )


def property_paths(reply: bytes, kind: str) -> set[str]:
    """Return the paths of all elements that a reply has for objects of a type, without places in lists."""
    found: set[str] = set()
    for result in etree.fromstring(reply).iter(f"{_VIM}returnval"):
        obj = result.find(f"{_VIM}obj")
        if obj is None or obj.get("type") != kind:
            continue
        for prop in result.findall(f"{_VIM}propSet"):
            name, value = prop[0].text, prop[1]
            found.add(name)
            for inner in value if value.get(_XSI_TYPE, "").startswith("ArrayOf") else [value]:
                found.update(_below(inner, name))
    return found


def _below(element: Any, path: str) -> Iterator[str]:
    for child in element:
        name = etree.QName(child).localname
        if name != _RESERVED:
            yield f"{path}.{name}"
            yield from _below(child, f"{path}.{name}")


class GoStruct(dict[str, Any]):
    """A composite literal with named fields."""

    def __init__(self, type_: str, fields: dict[str, Any]) -> None:
        super().__init__(fields)
        self.type = type_


_TOKEN: Final = re.compile(
    r'\s+|//[^\n]*|(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\w.]*)|(?P<name>[A-Za-z_][\w.]*)|(?P<mark>[{}\[\](),:&*])'
)


class _Reader:
    """Reads Go's composite literals, as far as govmomi's recordings have them."""

    def __init__(self, source: str, known: dict[str, Any]) -> None:
        found = (m for m in _TOKEN.finditer(source) if m.lastgroup)
        self._tokens = [(m.lastgroup, m.group()) for m in found]
        self._known = known
        self._at = 0

    def take(self, wanted: str = "") -> str:
        _, text = self._tokens[self._at]
        assert wanted in ("", text), (wanted, text, self._at)
        self._at += 1
        return text

    def next_is(self, text: str) -> bool:
        return self._tokens[self._at][1] == text

    def value(self) -> Any:
        kind, text = self._tokens[self._at]
        if kind == "text":
            return self.take()[1:-1]
        if kind == "number":
            return int(self.take(), 0) if "." not in text else float(self.take())
        if text == "&":
            self.take()
            found = self.value()
            if isinstance(found, GoStruct):
                found.type = f"&{found.type}"
            return found
        if text == "(":  # (*T)(nil)
            while not self.next_is("nil"):
                self.take()
            self.take()
            self.take(")")
            return None
        if text == "[":
            self.take()
            self.take("]")
            while not self.next_is("{"):
                self.take()
            return self._items()
        if text == "{":
            return self._fields("")
        return self._named()

    def _named(self) -> Any:
        name = self.take().rpartition("types.")[2].removeprefix("mo.")
        if name in ("true", "false", "nil"):
            return {"true": True, "false": False, "nil": None}[name]
        if self.next_is("{"):
            return self._fields(name)
        if self.next_is("("):  # types.NewBool(true)
            self.take()
            found = self.value()
            while not self.next_is(")"):
                self.take()
            self.take()
            return GoStruct("*", {"": found}) if isinstance(found, bool) else found
        variable, _, field = name.partition(".")
        found = self._known[variable]
        return found[field] if field else found

    def _items(self) -> list[Any]:
        self.take("{")
        found = []
        while not self.next_is("}"):
            found.append(self.value())
            if self.next_is(","):
                self.take()
        self.take("}")
        return found

    def _fields(self, type_: str) -> GoStruct:
        self.take("{")
        found: dict[str, Any] = {}
        while not self.next_is("}"):
            name = self.take()
            self.take(":")
            found[name] = self.value()
            if self.next_is(","):
                self.take()
        self.take("}")
        return GoStruct(type_, found)


def go_value(source: str, variable: str, known: dict[str, Any]) -> Any:
    """Return the value of a variable of a Go file; `known` has the variables that it may name."""
    _, _, text = source.partition(f"var {variable} = ")
    assert text, variable
    return _Reader(text, known).value()


def go_paths(value: Any, path: str) -> set[str]:
    """Return the paths of all that a value sets: not nil, not an empty text and not a zero."""
    if isinstance(value, list):
        return {path}.union(*(go_paths(item, path) for item in value)) if value else set()
    if isinstance(value, GoStruct) and value.type == "*":
        return {path}
    if not isinstance(value, GoStruct):
        return {path} if value not in (None, "", 0) or value is False else set()
    if value.type.endswith("ManagedObjectReference"):
        return {path}
    found = {path}
    for name, inner in value.items():
        if isinstance(inner, GoStruct) and inner.type == name:  # an embedded base
            found |= go_paths(inner, path)
        else:
            found |= go_paths(inner, f"{path}.{name[:1].lower()}{name[1:]}".lstrip("."))
    return found
