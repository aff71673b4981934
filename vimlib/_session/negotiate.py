"""Chooses the API version: the newest that the host offers and our types know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, runtime_checkable
from xml.etree import ElementTree as ET

from vimlib._text import printable
from vimlib.errors import ForbiddenXMLError, ProtocolError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCUMENT: Final = "vimServiceVersions.xml"
"""In the same folder as the service; needs no login (vSphere 4.0 and newer)."""
FIRST: Final = "4.0"
"""The version of the first call: every supported host answers it."""

_VERSION: Final = re.compile(r"\d{1,4}(?:\.\d{1,4}){1,5}(?:u\d{1,3})?\Z")
_MOST: Final = 1000


@runtime_checkable
class VersionSource(Protocol):
    """A transport that can also fetch the versions document."""

    async def fetch_versions(self) -> bytes | None:
        """Return the document, or None if the host has none."""
        ...


class _NoDoctype(ET.TreeBuilder):
    """Builds a document, and refuses a DOCTYPE where it begins."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        """Refuse. Expat calls this before it reads the declarations of the DOCTYPE."""
        raise ForbiddenXMLError("the host's list of API versions has a DOCTYPE")


def read_versions(document: bytes, namespace: str = "urn:vim25") -> tuple[str, ...]:
    """Return the versions that a versions document offers for `namespace`, newest first as listed.

    Raises `ProtocolError`; `ForbiddenXMLError` for a DOCTYPE.
    """
    # Without a DOCTYPE there are no entities, the one thing that makes a small document large.
    parser = ET.XMLParser(target=_NoDoctype())  # noqa: S314
    try:
        root = ET.fromstring(document, parser)  # noqa: S314
    except (ET.ParseError, ValueError, LookupError) as exc:
        raise ProtocolError(
            f"the host's list of API versions is not XML: {printable(str(exc), 120)}"
        ) from None
    found: list[str] = []
    for item in root.iter("namespace"):
        if (item.findtext("name") or "").strip() != namespace:
            continue
        found.extend((node.text or "").strip() for node in item.iter("version"))
    return tuple(text for text in found[:_MOST] if _VERSION.match(text))


def choose(offered: Iterable[str], known: Sequence[str]) -> str | None:
    """Return the newest version that both sides know, or None."""
    ours = {parse_version(version): version for version in known}
    both = [parsed for version in offered if (parsed := parse_version(version)) in ours]
    return ours[max(both)] if both else None


def newest_known(about_version: str, known: Sequence[str]) -> str:
    """Return the newest version we know that a host of `about.apiVersion` knows too.

    Raises `ProtocolError` for an invalid version.
    """
    if not _VERSION.match(about_version):
        raise ProtocolError(f"invalid API version from the host: {printable(about_version, 40)!r}")
    theirs = parse_version(about_version)
    fitting = [version for version in known if parse_version(version) <= theirs]
    return max(fitting, key=parse_version) if fitting else FIRST
