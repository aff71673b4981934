"""The 512 bytes at the start of a hosted sparse extent (VMware Virtual Disk Format 5.0)."""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass, fields
from typing import Final

from vimdriver._images.formats.cursor import COPY_AGAIN
from vimdriver._images.formats.extents import PREFIX, SECTOR
from vimdriver.errors import ImageUnacceptableError

MAGIC: Final = b"KDMV"
GTES: Final = 512
"""Entries per grain table."""
GT_SECTORS: Final = GTES * 4 // SECTOR
GD_AT_END: Final = (1 << 64) - 1
MAX_TABLES: Final = 1 << 21
"""Entries of a grain directory, which is kept in memory: 8 MiB, 64 TiB of disk with usual grains."""

FLAG_NEWLINES: Final = 1 << 0
FLAG_REDUNDANT: Final = 1 << 1
FLAG_ZERO_GRAIN: Final = 1 << 2
FLAG_COMPRESSED: Final = 1 << 16
FLAG_MARKERS: Final = 1 << 17
_KNOWN: Final = FLAG_NEWLINES | FLAG_REDUNDANT | FLAG_ZERO_GRAIN | FLAG_COMPRESSED | FLAG_MARKERS
_NEWLINES: Final = b"\n \r\n"
_ANY_SECTOR: Final = 1 << 55
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
    def at_end(self) -> bool:
        """Whether the grain directory is at the end of the file, where a footer points to it."""
        return self.gd == GD_AT_END

    @property
    def grain_bytes(self) -> int:
        """Bytes of one grain."""
        return self.grain * SECTOR

    @property
    def tables(self) -> int:
        """How many grain tables cover the capacity: the number of directory entries."""
        return -(-self.capacity // (self.grain * GTES))

    @property
    def directory_sectors(self) -> int:
        """Sectors of one grain directory."""
        return -(-self.tables * 4 // SECTOR)

    @property
    def descriptor_end(self) -> int:
        """The first sector behind the descriptor."""
        return self.descriptor_offset + self.descriptor_size


def unpack(sector: bytes) -> SparseHeader:
    """Unpack the fields without checking them."""
    names = [field.name for field in fields(SparseHeader)]
    return SparseHeader(**dict(zip(names, _LAYOUT.unpack_from(sector)[1:], strict=True)))


def pack(header: SparseHeader) -> bytes:
    """Return the sector that holds `header`."""
    return _LAYOUT.pack(MAGIC, *astuple(header)).ljust(SECTOR, b"\0")


def _refuse(rule: str, detail: str, hint: str | None = None) -> ImageUnacceptableError:
    return ImageUnacceptableError(rule=f"header.{rule}", detail=detail, hint=hint)


def check(head: SparseHeader, *, size: int | None, max_capacity: int) -> None:
    """Check the rules without which the file cannot be read.

    Args:
        head: The header.
        size: Bytes of the file; None if they are not known.
        max_capacity: Bytes of the largest disk to accept.

    Raises:
        ImageUnacceptableError: A `header.*` rule is broken.
    """
    if head.version not in (1, 2, 3):
        raise _refuse("version", f"version {head.version}")
    if head.flags & FLAG_NEWLINES and head.newlines != _NEWLINES:
        raise _refuse("newlines", f"bytes {head.newlines.hex()}", COPY_AGAIN)
    if head.flags & ~_KNOWN:
        raise _refuse("flags", f"flags {head.flags:#x}")
    if bool(head.flags & FLAG_MARKERS) != head.compressed:
        raise _refuse("flags", f"flags {head.flags:#x}: compression and markers go together")
    if head.compressed and head.compression != 1:
        raise _refuse("compression", f"algorithm {head.compression}")
    if not 8 <= head.grain <= 2048 or head.grain & (head.grain - 1):
        raise _refuse("grain_size", f"{head.grain} sectors")
    if head.gtes != GTES:
        raise _refuse("gtes", f"{head.gtes} entries")
    if not 0 < head.capacity <= max_capacity // SECTOR or head.tables > MAX_TABLES:
        raise _refuse("capacity", f"{head.capacity} sectors, limit {max_capacity // SECTOR}")
    if head.unclean:
        raise _refuse("unclean", "the file was not closed cleanly")
    if not head.descriptor_offset or not head.descriptor_size:
        raise ImageUnacceptableError(
            rule="format.split",
            detail="an extent without a descriptor, which is one part of a disk",
            hint="Convert the disk, whose descriptor names its parts, with: "
            "qemu-img convert -f vmdk -O vmdk -o subformat=streamOptimized DESCRIPTOR.vmdk OUT.vmdk",
        )
    if head.descriptor_end > PREFIX // SECTOR:
        raise _refuse(
            "descriptor", f"{head.descriptor_size} sectors at sector {head.descriptor_offset}"
        )
    if head.compressed and head.overhead < head.descriptor_end:
        raise _refuse("overhead", f"{head.overhead} sectors")
    _check_directory(head, size)


def _check_directory(head: SparseHeader, size: int | None) -> None:
    limit = _ANY_SECTOR if size is None else -(-size // SECTOR)
    if head.at_end:
        if not head.compressed:
            raise _refuse("directory", "only a stream may have its directory at its end")
    elif head.gd < head.descriptor_end or head.gd + head.directory_sectors > limit:
        raise _refuse("directory", f"{head.directory_sectors} sectors at sector {head.gd}")


def check_strict(head: SparseHeader, *, size: int | None) -> None:
    """Check the rules that a file keeps, besides those of `check`, whose bytes a host parses.

    Raises:
        ImageUnacceptableError: A `header.*` rule is broken.
    """
    if head.newlines != _NEWLINES:
        raise _refuse("newlines", f"bytes {head.newlines.hex()}", COPY_AGAIN)
    if head.compression != int(head.compressed):
        raise _refuse("compression", f"algorithm {head.compression}, flags {head.flags:#x}")
    if head.descriptor_offset != 1:
        raise _refuse("descriptor", f"at sector {head.descriptor_offset}")
    end = head.descriptor_end
    limit = _ANY_SECTOR if size is None else -(-size // SECTOR)
    if not end <= head.overhead <= limit:
        raise _refuse("overhead", f"{head.overhead} sectors of a file of {limit}")
    redundant = bool(head.flags & FLAG_REDUNDANT)
    if head.at_end:
        if redundant:
            raise _refuse("directory", "a stream must not have a redundant directory")
        return
    places = [head.gd, head.rgd] if redundant else [head.gd]
    for place in places:
        if place < end or place + head.directory_sectors > head.overhead:
            raise _refuse("directory", f"{head.directory_sectors} sectors at sector {place}")
    if redundant and abs(head.gd - head.rgd) < head.directory_sectors:
        raise _refuse("directory", "the two directories overlap")
