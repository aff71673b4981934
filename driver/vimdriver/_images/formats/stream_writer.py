"""Writes streamOptimized VMDKs: deflated grains behind markers, tables after their grains, footer."""

from __future__ import annotations

import struct
import sys
from array import array
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from vimdriver._images.formats import header
from vimdriver._images.formats.deflate import deflate
from vimdriver._images.formats.descriptor_text import (
    DESCRIPTOR_SECTORS,
    NEVER_OPENED,
    descriptor_text,
)
from vimdriver._images.formats.extents import GRAIN, SECTOR, Data, Extent, ExtentOrder, is_zero
from vimdriver._images.formats.header import GD_AT_END, GT_SECTORS, GTES, SparseHeader
from vimdriver.errors import ImageUnacceptableError

if TYPE_CHECKING:
    from concurrent.futures import Future

END_OF_STREAM, GRAIN_TABLE, GRAIN_DIRECTORY, FOOTER = range(4)
GRAIN_HEAD: Final = struct.Struct("<QI")
"""What precedes the bytes of a grain: its first sector on the disk and their count."""
_MAX_SECTORS: Final = 1 << 32


class GrainDeflater(Protocol):
    """Deflates grains elsewhere, while the writer goes on."""

    @property
    def ahead(self) -> int:
        """The number of grains that a writer should have in progress at most."""
        ...

    def start(self, data: bytes, level: int) -> Future[bytes]:
        """Begin to deflate a grain; the future returns what `deflate` does."""
        ...


class StreamOptimizedWriter:
    """Writes a disk as VMware exports it: directory and footer at the end. See `DiskWriter`.

    Grains of zeros are left out. Memory: one grain or those in progress, one table, and 4 bytes for each
    table (32 MiB of the disk with grains of 64 KiB).

    Args:
        capacity: Bytes of the disk, rounded up to whole sectors.
        level: Of zlib, 0 to 9; qemu-img writes 6. 1 is ISA-L's where it is installed.
        grain_bytes: Bytes per grain, a power of 2 from 4 KiB to 1 MiB. `write_compressed` needs the
            grain size of its source.
        adapter_type: Of the descriptor: lsilogic, buslogic or ide.
        cid: Of the descriptor, the content id.
        deflater: Deflates the grains; the bytes of the file are the same. None deflates them one after
            another where `write` is called.
    """

    def __init__(
        self,
        capacity: int,
        *,
        level: int = 6,
        grain_bytes: int = GRAIN,
        adapter_type: str = "lsilogic",
        cid: int = NEVER_OPENED,
        deflater: GrainDeflater | None = None,
    ) -> None:
        sectors = -(-capacity // SECTOR)
        self._order = ExtentOrder(sectors * SECTOR)
        self.capacity = sectors * SECTOR
        self.grain_bytes = grain_bytes
        self.written = 0
        """Bytes returned so far."""
        self._level = level
        self._adapter_type = adapter_type
        self._cid = cid
        self._grain_sectors = grain_bytes // SECTOR
        self._head = SparseHeader(
            version=3,
            flags=header.FLAG_NEWLINES | header.FLAG_COMPRESSED | header.FLAG_MARKERS,
            capacity=sectors,
            grain=self._grain_sectors,
            descriptor_offset=1,
            descriptor_size=DESCRIPTOR_SECTORS,
            gtes=GTES,
            rgd=0,
            gd=GD_AT_END,
            overhead=GRAIN // SECTOR,
            unclean=0,
            newlines=b"\n \r\n",
            compression=1,
        )
        self._partial = bytearray()
        """The beginning of the grain `_index`, if it did not come in one piece."""
        self._index = 0
        self._deflater = deflater
        self._begun: deque[tuple[int, Future[bytes]]] = deque()
        """Grains that are being deflated, in order."""
        self._table = array("I", bytes(GTES * 4))
        self._table_index = 0
        self._directory = array("I", bytes(self._head.tables * 4))

    def start(self) -> bytes:
        """See `DiskWriter`."""
        text = descriptor_text(
            "streamOptimized", self._head.capacity, adapter_type=self._adapter_type, cid=self._cid
        )
        beginning = (header.pack(self._head) + text).ljust(self._head.overhead * SECTOR, b"\0")
        return self._count(beginning)

    def write(self, extent: Extent) -> list[Data]:
        """See `DiskWriter`.

        Raises:
            ImageUnacceptableError: The file exceeds 2 TiB, the most that its tables can address.
        """
        offset, view = extent.offset, memoryview(extent.data)
        self._order.check(offset, len(view))
        pieces: list[Data] = []
        grain = self.grain_bytes
        while len(view):
            index, skipped = divmod(offset, grain)
            taken = min(grain - skipped, len(view))
            if taken == grain:
                self._complete(pieces)
                self._store(index, view[:grain], pieces)
            else:
                if index != self._index:
                    self._complete(pieces)
                    self._index = index
                self._partial += bytes(skipped - len(self._partial))
                self._partial += view[:taken]
            offset += taken
            view = view[taken:]
        return pieces

    def write_compressed(self, lba: int, data: Data) -> list[Data]:
        """Return the file's bytes for a grain that is deflated already.

        Args:
            lba: The grain's first sector, a multiple of the grain's size.
            data: A zlib stream of one grain of `grain_bytes`; it is not checked.

        Raises:
            ValueError: It overlaps its predecessor, or begins behind the capacity.
            ImageUnacceptableError: As for `write`.
        """
        offset = lba * SECTOR
        if offset % self.grain_bytes:
            raise ValueError(f"grains must be aligned, got sector {lba}")
        self._order.check(offset, min(self.grain_bytes, max(self.capacity - offset, 1)))
        pieces: list[Data] = []
        self._complete(pieces)
        self._collect(pieces)
        self._append(offset // self.grain_bytes, data, pieces)
        return pieces

    def finish(self) -> list[Data]:
        """See `DiskWriter`."""
        pieces: list[Data] = []
        self._complete(pieces)
        self._collect(pieces)
        self._end_table(pieces)
        sectors = self._head.directory_sectors
        pieces.append(self._count(_marker(GRAIN_DIRECTORY, sectors)))
        place = self.written // SECTOR
        pieces.append(self._count(_words(self._directory).ljust(sectors * SECTOR, b"\0")))
        footer = header.pack(replace(self._head, gd=place))
        pieces.append(self._count(_marker(FOOTER, 1) + footer + _marker(END_OF_STREAM, 0)))
        return pieces

    def _complete(self, pieces: list[Data]) -> None:
        """Append the grain that came in parts."""
        if self._partial:
            self._store(self._index, self._partial, pieces)
            self._partial = bytearray()

    def _store(self, index: int, data: Data, pieces: list[Data]) -> None:
        if is_zero(data):
            return
        if len(data) < self.grain_bytes:
            data = bytes(data).ljust(self.grain_bytes, b"\0")
        if self._deflater is None:
            self._append(index, deflate(data, self._level), pieces)
            return
        self._begun.append((index, self._deflater.start(bytes(data), self._level)))
        self._collect(pieces, self._deflater.ahead)

    def _collect(self, pieces: list[Data], most: int = 0) -> None:
        """Append the grains that are deflated; wait for them where more than `most` are in progress."""
        while self._begun and (len(self._begun) > most or self._begun[0][1].done()):
            index, deflated = self._begun.popleft()
            self._append(index, deflated.result(), pieces)

    def _append(self, index: int, data: Data, pieces: list[Data]) -> None:
        table, entry = divmod(index, GTES)
        if table != self._table_index:
            self._end_table(pieces)
            self._table_index = table
        used = GRAIN_HEAD.size + len(data)
        if (self.written + used) // SECTOR >= _MAX_SECTORS - GT_SECTORS:
            raise ImageUnacceptableError(
                rule="stream.sectors",
                detail=f"a streamOptimized file must be smaller than {_MAX_SECTORS * SECTOR} bytes",
                hint="Convert it with: qemu-img convert -O raw IN OUT",
            )
        self._table[entry] = self.written // SECTOR
        head = GRAIN_HEAD.pack(index * self._grain_sectors, len(data))
        pieces.append(self._count(b"".join((head, data, bytes(-used % SECTOR)))))

    def _end_table(self, pieces: list[Data]) -> None:
        """Append the table of the grains since the last one, unless there were none."""
        if any(self._table):
            pieces.append(self._count(_marker(GRAIN_TABLE, GT_SECTORS)))
            self._directory[self._table_index] = self.written // SECTOR
            pieces.append(self._count(_words(self._table)))
            self._table = array("I", bytes(GTES * 4))

    def _count(self, data: bytes) -> bytes:
        self.written += len(data)
        return data


def _words(values: array[int]) -> bytes:
    if sys.byteorder == "big":  # pragma: no cover
        values = array("I", values)
        values.byteswap()
    return values.tobytes()


def _marker(kind: int, sectors: int) -> bytes:
    return struct.pack("<QII", sectors, 0, kind).ljust(SECTOR, b"\0")
