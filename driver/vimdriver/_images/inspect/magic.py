"""Detect the disk format from the first bytes of an image."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Format: TypeAlias = Literal[
    "raw", "qcow2", "vhd", "vhdx", "vdi", "qed", "iso", "gpt", "vmdk", "cowd", "descriptor"
]

PREFIX: Final = 36 << 10
"""Bytes that detection needs: ISO 9660's first volume descriptor is at 32 KiB."""

FOREIGN: Final = frozenset({"qcow2", "vhd", "vhdx", "vdi", "qed", "vmdk", "cowd", "descriptor"})
"""Formats that a flat image must not start with, since a probing reader would detect them. A
partition table or an ISO file system is normal at the start of a raw disk.
"""

_MAGIC: Final[tuple[tuple[int, bytes, Format], ...]] = (
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "cowd"),
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"conectix", "vhd"),  # dynamic disks start with a copy of their footer
    (0, b"vhdxfile", "vhdx"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (512, b"EFI PART", "gpt"),
    (4096, b"EFI PART", "gpt"),  # disks with 4 KiB sectors
    (0x8001, b"CD001", "iso"),
)

_DESCRIPTOR: Final = b"# disk descriptorfile"


def detect(prefix: bytes) -> Format:
    """Return the detected format of `prefix`; `raw` if none matches.

    Pass `PREFIX` bytes, or the whole image if it is shorter. A hybrid ISO with a GPT counts as an
    ISO.
    """
    text = prefix[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(_DESCRIPTOR):
        return "descriptor"
    found: list[Format] = [
        name for offset, magic, name in _MAGIC if prefix.startswith(magic, offset)
    ]
    for name in found:
        if name in FOREIGN:
            return name
    return found[-1] if found else "raw"
