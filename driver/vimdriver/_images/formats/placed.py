"""Writers of local disk files: their results are placed anywhere in the file, unlike those of a `DiskWriter`.

A piece is an `Extent` whose offset is that in the file. What no piece covers is zero.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Final, Protocol

from vimdriver._images.formats.extents import Extent, ExtentOrder, is_zero

_CLUSTER_BITS: Final = 16
_CLUSTER: Final = 1 << _CLUSTER_BITS
_L2_ENTRIES: Final = _CLUSTER // 8
_REFCOUNTS: Final = _CLUSTER // 2
"""Counts of 16 bits in a block."""
_COPIED: Final = 1 << 63
_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQQQQII")


class PlacedWriter(Protocol):
    """Writes a disk into a file, incrementally and in bounded memory. It does no I/O."""

    @property
    def size(self) -> int:
        """Bytes of the whole file; known after `finish`."""
        ...

    def write(self, extent: Extent) -> Iterator[Extent]:
        """Yield the pieces that the next extent of the disk completes. Extents must ascend."""
        ...

    def finish(self) -> Iterator[Extent]:
        """Yield the other pieces. Call it once, last."""
        ...


class RawFileWriter:
    """Writes a raw disk whose holes are holes of the file. See `PlacedWriter`."""

    def __init__(self, capacity: int) -> None:
        self.size = capacity
        self._order = ExtentOrder(capacity)

    def write(self, extent: Extent) -> Iterator[Extent]:
        """See `PlacedWriter`."""
        self._order.check(extent.offset, len(extent.data))
        yield extent

    def finish(self) -> Iterator[Extent]:
        """See `PlacedWriter`."""
        return iter(())


class Qcow2Writer:
    """Writes a qcow2 of version 3 with plain clusters of 64 KiB (QEMU, docs/interop/qcow2). See `PlacedWriter`.

    Memory: a cluster, a table, and 8 bytes for each 512 MiB of the disk.

    Args:
        capacity: Bytes of the disk, a multiple of 512.
    """

    def __init__(self, capacity: int) -> None:
        self.size = 0
        self._capacity = capacity
        self._order = ExtentOrder(capacity)
        tables = -(-capacity // (_L2_ENTRIES << _CLUSTER_BITS))
        self._l1 = array("Q", bytes(8 * tables))
        self._next = 1 + -(-8 * tables // _CLUSTER)
        """The next free cluster: behind the header and the first table."""
        self._l2 = array("Q", bytes(_CLUSTER))
        self._table = 0
        self._place = 0
        """The cluster of the table `_l2`; 0 as long as it is empty."""
        self._partial = bytearray()
        """The beginning of the cluster `_index`, if it did not come in one piece."""
        self._index = 0

    def write(self, extent: Extent) -> Iterator[Extent]:
        """See `PlacedWriter`."""
        offset, view = extent.offset, memoryview(extent.data)
        self._order.check(offset, len(view))
        while len(view):
            index, skipped = divmod(offset, _CLUSTER)
            taken = min(_CLUSTER - skipped, len(view))
            if taken == _CLUSTER:
                yield from self._complete()
                yield from self._store(index, view[:taken])
            else:
                if index != self._index:
                    yield from self._complete()
                    self._index = index
                self._partial += bytes(skipped - len(self._partial))
                self._partial += view[:taken]
            offset, view = offset + taken, view[taken:]

    def finish(self) -> Iterator[Extent]:
        """See `PlacedWriter`."""
        yield from self._complete()
        yield from self._end_table()
        yield Extent(_CLUSTER, _big_endian(self._l1))
        used = self._next
        blocks, clusters = _refcount_sizes(used)
        total = used + blocks + clusters
        counts = array("H", [1]) * total
        counts.frombytes(bytes(2 * (blocks * _REFCOUNTS - total)))
        yield Extent(used * _CLUSTER, _big_endian(counts))
        places = array("Q", range(used * _CLUSTER, (used + blocks) * _CLUSTER, _CLUSTER))
        yield Extent((used + blocks) * _CLUSTER, _big_endian(places))
        self.size = total * _CLUSTER
        head = _HEADER.pack(
            b"QFI\xfb", 3, 0, 0, _CLUSTER_BITS, self._capacity, 0, len(self._l1), _CLUSTER,
            (used + blocks) * _CLUSTER, clusters, 0, 0, 0, 0, 0, 4, _HEADER.size,
        )  # fmt: skip
        yield Extent(0, head)

    def _complete(self) -> Iterator[Extent]:
        """Store the cluster that came in parts."""
        if self._partial:
            data, self._partial = self._partial, bytearray()
            yield from self._store(self._index, data)

    def _store(self, index: int, data: memoryview | bytearray) -> Iterator[Extent]:
        if is_zero(data):
            return
        table, entry = divmod(index, _L2_ENTRIES)
        if table != self._table:
            yield from self._end_table()
            self._table = table
        if not self._place:
            # In front of its clusters, so that the file can be read in its own order.
            self._place = self._next
            self._next += 1
        self._l2[entry] = self._next << _CLUSTER_BITS | _COPIED
        yield Extent(self._next << _CLUSTER_BITS, data)
        self._next += 1

    def _end_table(self) -> Iterator[Extent]:
        if self._place:
            self._l1[self._table] = self._place << _CLUSTER_BITS | _COPIED
            yield Extent(self._place << _CLUSTER_BITS, _big_endian(self._l2))
            self._place = 0
            self._l2 = array("Q", bytes(_CLUSTER))


def _refcount_sizes(used: int) -> tuple[int, int]:
    """Return how many blocks of refcounts and clusters of their table a file of `used` clusters needs."""
    blocks = clusters = 1
    while True:
        total = used + blocks + clusters
        needed = -(-total // _REFCOUNTS), -(-8 * blocks // _CLUSTER)
        if needed == (blocks, clusters):
            return needed
        blocks, clusters = max(blocks, needed[0]), max(clusters, needed[1])


def _big_endian(values: array[int]) -> bytes:
    if sys.byteorder == "little":
        values = array(values.typecode, values)
        values.byteswap()
    return values.tobytes()
