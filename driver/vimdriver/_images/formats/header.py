"""The 512 bytes at the start of a hosted sparse extent (VMware Virtual Disk Format 5.0)."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass, fields
from typing import Final

from vimdriver.errors import ImageUnacceptableError

SECTOR: Final = 512
GTES: Final = 512
"""Entries per grain table."""
GT_SECTORS: Final = GTES * 4 // SECTOR
GD_AT_END: Final = (1 << 64) - 1
MAX_DESCRIPTOR: Final = (1 << 20) // SECTOR - 1
"""Sectors: header and descriptor together fit into 1 MiB, the most that we hold back."""

FLAG_NEWLINES: Final = 1 << 0
FLAG_REDUNDANT: Final = 1 << 1
FLAG_ZERO_GRAIN: Final = 1 << 2
FLAG_COMPRESSED: Final = 1 << 16
FLAG_MARKERS: Final = 1 << 17
_KNOWN: Final = FLAG_NEWLINES | FLAG_REDUNDANT | FLAG_ZERO_GRAIN | FLAG_COMPRESSED | FLAG_MARKERS
_NEWLINES: Final = b"\n \r\n"
_LAYOUT: Final = struct.Struct("<4sIIQQQQIQQQB4sH")


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseHeader:
    """The header's fields, in the order of the file. Offsets and sizes are in sectors."""

    version: int
    flags: int
    capacity: int
    grain: int
    descriptor_offset: int
    descriptor_size: int
    gtes: int
    rgd: int
    gd: int
    overhead: int
    unclean: int
    newlines: bytes
    compression: int

    @property
    def compressed(self) -> bool:
        """Whether grains are deflated, each behind a marker."""
        return bool(self.flags & FLAG_COMPRESSED)

    @property
    def tables(self) -> int:
        """How many grain tables cover the capacity: the number of directory entries."""
        return -(-self.capacity // (self.grain * GTES))

    @property
    def directory_sectors(self) -> int:
        """Sectors of one grain directory."""
        return -(-self.tables * 4 // SECTOR)

    @property
    def head_bytes(self) -> int:
        """Bytes of header and descriptor."""
        return (1 + self.descriptor_size) * SECTOR


def unpack(sector: bytes) -> SparseHeader:
    """Unpack the fields without checking them."""
    names = [field.name for field in fields(SparseHeader)]
    return SparseHeader(**dict(zip(names, _LAYOUT.unpack_from(sector)[1:], strict=True)))


def pack(header: SparseHeader) -> bytes:
    """Return the sector that holds `header`."""
    return _LAYOUT.pack(b"KDMV", *astuple(header)).ljust(SECTOR, b"\0")


def parse(sector: bytes, *, file_bytes: int, max_capacity: int) -> SparseHeader:
    """Parse and check the first sector of a file that starts with KDMV.

    Raises:
        ImageUnacceptableError: A `header.*` rule is broken.
    """
    head = unpack(sector)
    _check_geometry(head, max_capacity)
    _check_kind(head)
    _check_places(head, -(-file_bytes // SECTOR))
    return head


def _refuse(rule: str, detail: str) -> ImageUnacceptableError:
    return ImageUnacceptableError(rule=f"header.{rule}", detail=detail)


def _check_geometry(head: SparseHeader, max_capacity: int) -> None:
    if head.version not in (1, 2, 3):
        raise _refuse("version", f"version {head.version}")
    if head.newlines != _NEWLINES:
        raise _refuse("newlines", f"bytes {head.newlines.hex()}")
    if not 8 <= head.grain <= 2048 or head.grain & (head.grain - 1):
        raise _refuse("grain_size", f"{head.grain} sectors")
    if head.gtes != GTES:
        raise _refuse("gtes", f"{head.gtes} entries")
    if not 0 < head.capacity <= max_capacity // SECTOR:
        raise _refuse("capacity", f"{head.capacity} sectors, limit {max_capacity // SECTOR}")
    if head.unclean:
        raise _refuse("unclean", "the file was not closed cleanly")


def _check_kind(head: SparseHeader) -> None:
    if head.flags & ~_KNOWN:
        raise _refuse("flags", f"flags {head.flags:#x}")
    if bool(head.flags & FLAG_MARKERS) != head.compressed:
        raise _refuse(
            "flags", f"flags {head.flags:#x}: compression and markers must be set together"
        )
    if head.compression != int(head.compressed):
        raise _refuse("compression", f"algorithm {head.compression}, flags {head.flags:#x}")


def _check_places(head: SparseHeader, file_sectors: int) -> None:
    if head.descriptor_offset != 1 or not 0 < head.descriptor_size <= MAX_DESCRIPTOR:
        raise _refuse(
            "descriptor", f"{head.descriptor_size} sectors at sector {head.descriptor_offset}"
        )
    end = 1 + head.descriptor_size
    if not end <= head.overhead <= file_sectors:
        raise _refuse("overhead", f"{head.overhead} sectors of a file of {file_sectors}")
    if head.gd == GD_AT_END:
        if not head.compressed:
            raise _refuse("directory", "only a stream may have its directory at its end")
        if head.flags & FLAG_REDUNDANT:
            raise _refuse("directory", "a stream must not have a redundant directory")
        return
    places = [head.gd]
    if head.flags & FLAG_REDUNDANT:
        places.append(head.rgd)
    size = head.directory_sectors
    for place in places:
        if place < end or place + size > head.overhead:
            raise _refuse("directory", f"{size} sectors at sector {place}")
    if len(places) == 2 and abs(places[0] - places[1]) < size:
        raise _refuse("directory", "the two directories overlap")
