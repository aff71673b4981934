"""How much of a reply is read before it is refused, and how deep a value may be that is sent."""

from __future__ import annotations

from msgspec import Struct

MIB = 1 << 20


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on replies, per message, with sizes in bytes; and on what a client holds on a host."""

    wire: int = 256 * MIB
    """Bytes of a body as it travels. The 2,000 machines of a large host are 15 MB in full detail;
    a vCenter's 10,000 are 75 MB, and three times that is still no attack."""
    inflated: int = 256 * MIB
    """Bytes after decompression, for the same reason: it is what gets decoded."""
    elements: int = 10_000_000
    """XML elements: 256 MiB of vSphere's usual mix (36 bytes an element) has 7 million."""
    depth: int = 128
    """Nested elements. The schema itself goes a dozen deep; snapshot trees and fault causes, which
    nest without end in theory, add two levels a step and vSphere stops at 32 steps."""
    text: int = 8 * MIB
    """One text, attribute list or other token: the largest real ones are screenshots and
    certificates in base64, well below a megabyte."""
    attributes: int = 256
    """Attributes of one element. Replies have three; a SOAP envelope declares a dozen prefixes."""
    ratio: int = 200
    """Inflated bytes per wire byte. Gzip makes 20 of vSphere's XML, and 1,000 of a bomb."""
    objects: int = 1_000_000
    """Objects of one listing, over all its pages: twenty times what the largest vCenter manages."""
    leases: int = 8
    """NFC leases that a client holds at once; more wait in turn. Hosts cap the buffers of NFC at
    32 MB (5.x) or 48 MB (6.x, 7.0), ESX 4.1 at about 11 connections, and refuse what exceeds that."""
