"""The documents that describe the service: its versions and its WSDL, made from the binding."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from vimlib.simulator._core.versions import namespaces

if TYPE_CHECKING:
    from vimlib.simulator._core.versions import Release


def versions_document(release: Release) -> bytes:
    """Return `vimServiceVersions.xml`."""
    newest, *prior = namespaces(release)
    versions = "".join(f"<version>{escape(text)}</version>" for text in prior)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<namespaces version="1.0"><namespace><name>urn:vim25</name>'
        f"<version>{escape(newest)}</version><priorVersions>{versions}</priorVersions></namespace>"
        "<namespace><name>urn:vim2</name><version>2.0</version></namespace></namespaces>\n"
    ).encode()


@lru_cache(maxsize=8)
def wsdl_document(name: str, release: Release) -> bytes | None:
    """Return a file of that release's WSDL, None if the name is unknown."""
    from vimlib.simulator._protocol import wsdl

    return wsdl.document(name, release)
