"""Flat disks: raw images, ISO images and the extents of preallocated VMDKs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import Final

from vimdriver._images.formats.extents import TAIL, Data, Extent, ExtentOrder, data_of
from vimdriver._images.formats.magic import footer, not_read

_PIECE: Final = bytes(1 << 20)


class FlatReader:
    """Reads a flat image, whose bytes are the disk. Grains of zeros become holes; nothing is copied.

    See `DiskReader`.

    Args:
        size: Bytes of the file; None if they are not known.
    """

    def __init__(self, size: int | None = None) -> None:
        self.capacity = size
        self.wanted: range | None = None
        self._at = 0
        self._tail = b""

    def feed(self, chunk: Data) -> Iterator[Extent]:
        """See `DiskReader`. The extents are views of `chunk`."""
        extents = data_of(self._at, chunk)
        self._at += len(chunk)
        self._tail = (self._tail + bytes(memoryview(chunk)[-TAIL:]))[-TAIL:]
        return extents

    def finish(self) -> Iterator[Extent]:
        """See `DiskReader`. The caller checks the length.

        Raises:
            ImageUnacceptableError: The last bytes are the footer of another format.
        """
        if (found := footer(self._tail)) is not None:
            raise not_read(found)
        if self.capacity is None:
            self.capacity = self._at
        return iter(())


class FlatWriter:
    """Writes a flat disk of `capacity` bytes, holes as zeros. See `DiskWriter`."""

    def __init__(self, capacity: int) -> None:
        self._order = ExtentOrder(capacity)
        self.capacity = capacity

    def start(self) -> bytes:
        """See `DiskWriter`."""
        return b""

    def write(self, extent: Extent) -> Iterable[Data]:
        """See `DiskWriter`."""
        gap = extent.offset - self._order.end
        self._order.check(extent.offset, len(extent.data))
        return chain(_zeros(gap), (extent.data,))

    def finish(self) -> Iterable[Data]:
        """See `DiskWriter`."""
        return _zeros(self.capacity - self._order.end)


def _zeros(count: int) -> Iterable[Data]:
    whole, rest = divmod(max(count, 0), len(_PIECE))
    return chain(repeat(_PIECE, whole), (memoryview(_PIECE)[:rest],) if rest else ())
