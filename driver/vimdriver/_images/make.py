"""Disk images generated from a deterministic pattern, for `vimctl demo`, benchmarks and tests.

Each function is a pure generator: it yields the same bytes each time, stores nothing on disk and
holds no image whole in memory. `qemu-img check` and `qemu-img compare` accept the images.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal, TypeAlias

from vimdriver._images.formats import header
from vimdriver._images.formats.descriptor_text import DESCRIPTOR_SECTORS, descriptor_text
from vimdriver._images.formats.extents import GRAIN, SECTOR, Extent
from vimdriver._images.formats.header import GT_SECTORS, GTES, SparseHeader
from vimdriver._images.formats.stream_writer import StreamOptimizedWriter

__all__ = ["GRAIN", "Kind", "Pattern", "make", "monolithic_sparse", "raw", "stream_optimized"]

_GRAIN_SECTORS: Final = GRAIN // SECTOR
_RANDOM: Final = 48 << 10

Kind: TypeAlias = Literal["raw", "monolithicSparse", "streamOptimized"]


@dataclass(frozen=True)
class Pattern:
    """The content of a disk: distinct grains, three quarters noise, with holes between them."""

    seed: int
    """Disks of different seeds differ."""
    capacity: int
    """Bytes of the disk, a multiple of 512."""
    hole_every: int = 16
    """Every n-th grain is all zeros; 0 means no grain is."""

    def __post_init__(self) -> None:
        if self.capacity <= 0 or self.capacity % SECTOR:
            raise ValueError("the capacity must be a multiple of 512 above 0")

    @cached_property
    def _noise(self) -> bytes:
        return hashlib.shake_256(b"vimlib pattern %d" % self.seed).digest(2 * GRAIN)

    @property
    def grains(self) -> int:
        """The number of grains; the last one may be partial."""
        return -(-self.capacity // GRAIN)

    def hole(self, index: int) -> bool:
        """Return whether grain `index` is all zeros."""
        return bool(self.hole_every) and index % self.hole_every == self.hole_every - 1

    def grain(self, index: int) -> bytes:
        """Return grain `index`, truncated at the end of the disk."""
        length = min(GRAIN, self.capacity - index * GRAIN)
        if self.hole(index):
            return bytes(length)
        tag = b"vimlib pattern %d %d\n" % (self.seed, index)
        start = index * 4099 % GRAIN
        noise = self._noise[start : start + _RANDOM]
        return b"".join((tag, noise)).ljust(GRAIN, b"\0")[:length]


def make(kind: Kind, pattern: Pattern, *, adapter_type: str = "lsilogic") -> Iterator[bytes]:
    """Yield the chunks of an image of `kind` that holds `pattern`."""
    if kind == "raw":
        return raw(pattern)
    if kind == "monolithicSparse":
        return monolithic_sparse(pattern, adapter_type=adapter_type)
    return stream_optimized(pattern, adapter_type=adapter_type)


def raw(pattern: Pattern) -> Iterator[bytes]:
    """Yield the disk itself, one grain per chunk."""
    return (pattern.grain(index) for index in range(pattern.grains))


def monolithic_sparse(pattern: Pattern, *, adapter_type: str = "lsilogic") -> Iterator[bytes]:
    """Yield a monolithicSparse VMDK: header, descriptor, both directories with tables, grains."""
    head = SparseHeader(
        version=1,
        flags=header.FLAG_NEWLINES | header.FLAG_REDUNDANT,
        capacity=pattern.capacity // SECTOR,
        grain=_GRAIN_SECTORS,
        descriptor_offset=1,
        descriptor_size=DESCRIPTOR_SECTORS,
        gtes=GTES,
        rgd=0,
        gd=0,
        overhead=0,
        unclean=0,
        newlines=b"\n \r\n",
        compression=0,
    )
    rgd = 1 + DESCRIPTOR_SECTORS
    gd = rgd + head.directory_sectors + head.tables * GT_SECTORS
    end = gd + head.directory_sectors + head.tables * GT_SECTORS
    head = replace(head, rgd=rgd, gd=gd, overhead=-(-end // _GRAIN_SECTORS) * _GRAIN_SECTORS)
    yield header.pack(head)
    yield descriptor_text(
        "monolithicSparse", head.capacity, adapter_type=adapter_type, cid=_cid(pattern)
    )
    entries = list(_grain_sectors(pattern, head.overhead))
    for directory in (rgd, gd):
        first = directory + head.directory_sectors
        yield _words(range(first, first + head.tables * GT_SECTORS, GT_SECTORS)).ljust(
            head.directory_sectors * SECTOR, b"\0"
        )
        yield _words(entries).ljust(head.tables * GT_SECTORS * SECTOR, b"\0")
    yield bytes((head.overhead - end) * SECTOR)
    for index in range(pattern.grains):
        if not pattern.hole(index):
            yield pattern.grain(index).ljust(GRAIN, b"\0")


def stream_optimized(pattern: Pattern, *, adapter_type: str = "lsilogic") -> Iterator[bytes]:
    """Yield a streamOptimized VMDK in VMware's layout: directory and footer at the end."""
    # Level 1: higher levels do not compress the noise better.
    writer = StreamOptimizedWriter(
        pattern.capacity, level=1, adapter_type=adapter_type, cid=_cid(pattern)
    )
    yield writer.start()
    for index in range(pattern.grains):
        if not pattern.hole(index):
            yield from map(bytes, writer.write(Extent(index * GRAIN, pattern.grain(index))))
    yield from map(bytes, writer.finish())


def _cid(pattern: Pattern) -> int:
    return zlib.crc32(pattern.seed.to_bytes(16, "little", signed=True)) & 0xFFFFFFFD


def _grain_sectors(pattern: Pattern, at: int) -> Iterator[int]:
    for index in range(pattern.grains):
        if pattern.hole(index):
            yield 0
        else:
            yield at
            at += _GRAIN_SECTORS


def _words(values: Iterable[int]) -> bytes:
    words = array("I", values)
    return struct.pack(f"<{len(words)}I", *words)
