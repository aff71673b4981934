"""Mutations of a reply that keep much of its structure, from a seeded random generator."""

from __future__ import annotations

import random
import re
from typing import Final

TOKEN: Final = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<[^>]*>|[^<]+", re.DOTALL)
ELEMENT: Final = re.compile(rb"<(?P<name>[\w:.-]+)(?P<attributes>[^<>]*?)(?P<empty>/?)>")

TYPES: Final = (
    b"xsd:int", b"xsd:string", b"xsd:boolean", b"xsd:dateTime", b"xsd:base64Binary", b"xsd:double", b"xsd:nonesuch",
    b"VirtualDisk", b"VirtualDevice", b"OptionValue", b"ArrayOfInt", b"ArrayOfString", b"ArrayOfVirtualDevice",
    b"ArrayOfAnyType", b"ManagedObjectReference", b"VirtualMachinePowerState", b"NotFound", b"LocalizedMethodFault",
    b"xsd:long", b"xsd:short", b"xsd:byte", b"xsd:float", b"xsd:anyURI", b"xsd:token", b"ArrayOfLong",
    b"ArrayOfVirtualMachinePowerState", b"OptionDef", b"Event", b"Future", b"ArrayOfFuture", b"x:int", b"soapenv:Fault", b"", b":", b"a:b:c", b"MethodFault", b"DynamicData",
)  # fmt: skip
TEXTS: Final = (
    b"", b" ", b"0", b"-1", b"2147483648", b"1e5", b"true", b"True", b"1", b"poweredOn", b"2026-01-02T03:04:05Z",
    b"2026-01-02T03:04:05.123456789Z", b"2026-02-30T00:00:00Z", b"2026-01-02T03:04:05", b"AP8Q", b"AP8", b"NaN",
    b"a&lt;b", b"&amp;", b"&#65;", b"&#xe9;", b"&#0;", b"&nope;", b"&", b"a]]>b", b"]]", b"]", b"\r\n", b"\t",
    "Gr\u00fc\u00dfe \u4e16 \U0001f600".encode(), b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbf\xbf", b"\xef\xbf\xbd",
    b"\x00", b"\x1b", b"\x7f", b"x" * 50, b"9" * 19, b"9" * 30, b"+5", b"-", b"--1", b" 7 ", b"\xc2\xa0",
    b"<![CDATA[a<b]]>", b"<!-- c -->", b"a<!-- c -->b", b"<!---->", b"<!-- a--b -->", b"<?pi?>", b"<?xml version='1.0'?>",
    b"<!DOCTYPE a>", b"<![CDATA[", b"<!--", b"<!", b"<?", b"<", b"</", b"<a", b"<a>", b"<a/>", b"</a>", b">",
)  # fmt: skip
ATTRIBUTES: Final = (
    b' xsi:nil="true"', b' a="1"', b' a="1" a="2"', b" a='>'", b' a="<"', b' a="&lt;&#9;\n"', b' a="&x;"', b" a", b' a="',
    b' xmlns="urn:other"', b' xmlns="urn:vim25"', b' xmlns=""', b' xmlns:p="urn:vim25"', b' xmlns:xsi="urn:x"',
    b' xmlns:q="http://www.w3.org/2001/XMLSchema-instance" q:type="xsd:int"', b' xmlns:p=""', b' q:a="1"',
    b' xmlns:xml="http://www.w3.org/XML/1998/namespace"', b' xml:lang="en"', b' type="VirtualMachine"', b' type="SuperVM"',
    b' type=""', b' serverGuid="7A"', b" ", b"\n\t", b' a = "1" ', b" =", b' a="1"b="2"', "\u00e9='1'".encode(),
    b' xmlns:xmlns="urn:a"', b' xmlns:a="urn:a b"', b' a:b:c="1"',
)  # fmt: skip
NAMES: Final = (
    b"nonesuch", b"p:name", b"soapenv:x", b":a", b"a:", b"1a", b"a.b-c_d", "\u00e9".encode(), b"name", b"val", b"returnval",
    b"key", b"objects", b"obj", b"faultCause", b"dynamicType", b"xsi:type",
)  # fmt: skip


def tokens(body: bytes) -> list[bytes]:
    """Split a reply into tags, comments, sections and texts."""
    return TOKEN.findall(body)


def extent(parts: list[bytes], at: int) -> int:
    """Return the end of the element that starts at token `at`; `at + 1` if none starts there."""
    level = 0
    for end in range(at, len(parts)):
        part = parts[end]
        if part.startswith(b"</"):
            level -= 1
        elif (
            part.startswith(b"<")
            and not part.startswith((b"<!", b"<?"))
            and not part.endswith(b"/>")
        ):
            level += 1
        if level <= 0:
            return end + 1
    return at + 1


class Mutator:
    """Creates variants of replies."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.changes = (
            self.retype, self.retype, self.rename, self.retext, self.retext, self.add_attribute, self.drop, self.drop,
            self.double, self.double, self.swap, self.swap, self.insert, self.wrap, self.close_empty, self.space, self.flip, self.cut, self.splice,
        )  # fmt: skip

    def mutate(self, body: bytes) -> bytes:
        """Return `body` with one to four changes."""
        for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3, 4))):
            body = self.rng.choice(self.changes)(body)
        return body

    def _at(self, parts: list[bytes], first: int = 0) -> int:
        # The envelope is at both ends; the interesting part is in the middle.
        low = 4 if len(parts) > 12 and self.rng.random() < 0.9 else first
        return self.rng.randrange(low, max(low + 1, len(parts)))

    def _replace(self, body: bytes, kind: bytes) -> tuple[list[bytes], int]:
        """Return the tokens and the index of one that starts with `kind` (empty: a text)."""
        parts = tokens(body)
        for _ in range(20):
            at = self._at(parts)
            if at < len(parts) and (
                parts[at].startswith(kind) if kind else not parts[at].startswith(b"<")
            ):
                return parts, at
        return parts, min(len(parts) - 1, 0)

    def retype(self, body: bytes) -> bytes:
        """Give an element another `xsi:type`."""
        parts, at = self._replace(body, b"<")
        wanted = self.rng.choice(TYPES)
        if at >= 0:
            part, count = re.subn(rb'(:type=)"[^"]*"', rb'\1"' + wanted + b'"', parts[at])
            parts[at] = (
                part if count else re.sub(rb"(/?>)$", rb' xsi:type="' + wanted + rb'"\1', parts[at])
            )
        return b"".join(parts)

    def rename(self, body: bytes) -> bytes:
        """Rename a tag, often its end tag too."""
        parts, at = self._replace(body, b"<")
        if at < 0:
            return body
        match = ELEMENT.match(parts[at])
        if match is None:
            return body
        old, new = match["name"], self.rng.choice(NAMES)
        parts[at] = parts[at].replace(old, new, 1)
        if self.rng.random() < 0.7:
            for later in range(at + 1, len(parts)):
                if parts[later] == b"</" + old + b">":
                    parts[later] = b"</" + new + b">"
                    break
        return b"".join(parts)

    def retext(self, body: bytes) -> bytes:
        """Change a text."""
        parts, at = self._replace(body, b"")
        if at >= 0:
            parts[at] = self.rng.choice(TEXTS)
        return b"".join(parts)

    def add_attribute(self, body: bytes) -> bytes:
        """Give a tag an attribute."""
        parts, at = self._replace(body, b"<")
        if at >= 0:
            extra = self.rng.choice(ATTRIBUTES)
            parts[at] = re.sub(rb"(/?>)$", lambda match: extra + match[1], parts[at])
        return b"".join(parts)

    def _stretch(self, parts: list[bytes]) -> slice:
        """Return the range of a few tokens, often of a whole element."""
        if self.rng.random() < 0.8:
            for _ in range(20):
                at = self._at(parts)
                if at < len(parts) and ELEMENT.match(parts[at]):
                    return slice(at, extent(parts, at))
        at = self._at(parts)
        return slice(at, at + self.rng.choice((1, 1, 2, 3)))

    def drop(self, body: bytes) -> bytes:
        """Delete an element or a few tokens."""
        parts = tokens(body)
        del parts[self._stretch(parts)]
        return b"".join(parts)

    def double(self, body: bytes) -> bytes:
        """Repeat an element or a few tokens, at the same place or elsewhere."""
        parts = tokens(body)
        stretch = self._stretch(parts)
        copy = parts[stretch]
        at = stretch.start if self.rng.random() < 0.5 else self._at(parts)
        parts[at:at] = copy
        return b"".join(parts)

    def swap(self, body: bytes) -> bytes:
        """Exchange two neighbours."""
        parts = tokens(body)
        first = self._stretch(parts)
        second = slice(first.stop, extent(parts, first.stop)) if first.stop < len(parts) else first
        parts[first.start : second.stop] = parts[second] + parts[first]
        return b"".join(parts)

    def insert(self, body: bytes) -> bytes:
        """Insert a token between two others."""
        parts = tokens(body)
        name = self.rng.choice(NAMES)
        text, attribute = self.rng.choice(TEXTS), self.rng.choice(ATTRIBUTES)
        something = self.rng.choice(
            (
                text,
                b"<" + name + b">" + text + b"</" + name + b">",
                b"<" + name + attribute + b">" + text + b"</" + name + b">",
                b"<" + name + attribute + b"/>",
            )
        )
        parts.insert(self._at(parts), something)
        return b"".join(parts)

    def wrap(self, body: bytes) -> bytes:
        """Wrap an element around a few tokens; sometimes a deep nest."""
        parts = tokens(body)
        at = self._at(parts)
        name = self.rng.choice(NAMES)
        deep = 130 if self.rng.random() < 0.05 else 1
        parts.insert(
            at + self.rng.choice((0, 1, 3)),
            b"</" + name + b">" * 1 if deep == 1 else (b"</" + name + b">") * deep,
        )
        parts.insert(at, (b"<" + name + b">") * deep)
        return b"".join(parts)

    def close_empty(self, body: bytes) -> bytes:
        """Turn `<a>` into `<a/>`, or the reverse."""
        parts, at = self._replace(body, b"<")
        if at >= 0:
            part = parts[at]
            parts[at] = part[:-2] + b">" if part.endswith(b"/>") else part[:-1] + b"/>"
        return b"".join(parts)

    def space(self, body: bytes) -> bytes:
        """Insert white space between all tags, as a server that indents."""
        blank = self.rng.choice((b"\n", b"\r\n", b"  ", b"\t", b"<!-- -->"))
        return re.sub(rb">(?=<)", b">" + blank, body)

    def flip(self, body: bytes) -> bytes:
        """Change a byte."""
        if not body:
            return body
        at = self.rng.randrange(len(body))
        return body[:at] + bytes([self.rng.randrange(256)]) + body[at + 1 :]

    def cut(self, body: bytes) -> bytes:
        """Truncate the end."""
        return body[: self.rng.randrange(len(body) + 1)]

    def splice(self, body: bytes) -> bytes:
        """Delete a range, or repeat it."""
        one, other = sorted(self.rng.randrange(len(body) + 1) for _ in range(2))
        other = min(other, one + 400)
        return body[:one] + body[other:] if self.rng.random() < 0.5 else body[:other] + body[one:]
