"""Reads streamOptimized VMDKs: deflated grains behind markers.

In the order of the file, the markers state where each grain is on the disk; the tables must then
list the same grains, so that every reader sees the same disk. By Range, the tables are followed.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Generator
from dataclasses import replace
from heapq import heappop, heappush
from typing import Final, TypeVar

from vimdriver._images.formats.cursor import (
    COPY_AGAIN,
    Exact,
    ParsedFile,
    Parser,
    Request,
    Skip,
)
from vimdriver._images.formats.deflate import inflate, trimmed
from vimdriver._images.formats.extents import (
    SECTOR,
    DeflatedGrain,
    Extent,
    FileOrder,
    is_zero,
)
from vimdriver._images.formats.header import GTES, MAGIC, SparseHeader, unpack
from vimdriver._images.formats.stream_writer import (
    END_OF_STREAM,
    FOOTER,
    GRAIN_DIRECTORY,
    GRAIN_HEAD,
    GRAIN_TABLE,
)
from vimdriver._images.formats.tables import (
    TABLE_BYTES,
    Entries,
    batches,
    read_batch,
    read_directory,
    read_tables,
)
from vimdriver.errors import ImageOrderError, ImageUnacceptableError

Result = TypeVar("Result")

WINDOW: Final = 4 << 20
"""Bytes of deflated grains that are held back, since grains of lower offsets may follow."""
PROGRESS: Final = 4
"""A marker that VMware's exports contain while they find no data."""
_SLACK: Final = 1024
"""Bytes by which deflated data may exceed the plain grain: 5 per 16 KiB block, 6 for zlib's own
frame, some for writers that pad.
"""
_END: Final = 3 * SECTOR
"""Bytes of the footer with its marker and the marker behind it."""
_MARKER: Final = struct.Struct("<QII")
_PIECE: Final = 64 << 10
_FETCH: Final = 1 << 20
"""Bytes of grains that are read by Range at once."""


def stream_reader(
    head: SparseHeader, size: int | None, *, ranges: bool, strict: bool
) -> ParsedFile[Extent]:
    """Return the `DiskReader` of a streamOptimized file.

    Args:
        head: Its header, checked.
        size: Bytes of the file; None if they are not known.
        ranges: Read by Range, in the order of the disk.
        strict: Refuse whatever a host's parser may not expect.
    """
    capacity = head.capacity * SECTOR

    def unpacked(lba: int, data: memoryview | bytes) -> Extent | None:
        offset = lba * SECTOR
        length = min(head.grain_bytes, capacity - offset)
        plain = inflate(data, head.grain_bytes, at=lba, least=length, strict=strict)
        if is_zero(plain):
            return None
        return Extent(offset, plain if len(plain) == length else memoryview(plain)[:length])

    return _reader(head, size, unpacked, ranges=ranges, strict=strict)


def grain_reader(
    head: SparseHeader, size: int | None, *, verify: bool
) -> ParsedFile[DeflatedGrain]:
    """Return a reader of a streamOptimized file that returns its grains as they are stored.

    Bytes behind the stream of a grain, which readers ignore, are left out where it is inflated.

    Args:
        head: Its header, checked.
        size: Bytes of the file; None if they are not known.
        verify: Inflate each grain, to check it.
    """
    capacity = head.capacity * SECTOR

    def packed(lba: int, data: memoryview | bytes) -> DeflatedGrain:
        offset = lba * SECTOR
        if verify:
            length = min(head.grain_bytes, capacity - offset)
            data = trimmed(data, head.grain_bytes, at=lba, least=length)
        return DeflatedGrain(offset, bytes(data))

    return _reader(head, size, packed, ranges=False, strict=False)


def _reader(
    head: SparseHeader,
    size: int | None,
    result: Callable[[int, memoryview | bytes], Result | None],
    *,
    ranges: bool,
    strict: bool,
) -> ParsedFile[Result]:
    def parse(results: list[Result]) -> Parser:
        rules = Entries(head, size)

        def emit(lba: int, data: memoryview | bytes) -> None:
            if (item := result(lba, data)) is not None:
                results.append(item)

        if ranges:
            assert size is not None, "the caller checks that"
            return _by_range(head, rules, size, emit)
        return _StreamParser(head, rules, emit, strict=strict).run()

    return ParsedFile(head.capacity * SECTOR, parse, "stream.end", size)


def _refuse(rule: str, detail: str, hint: str | None = None) -> ImageUnacceptableError:
    return ImageUnacceptableError(rule=f"stream.{rule}", detail=detail, hint=hint)


class _TableCheck:
    """Compares the tables of a stream with its grains, by 8 bytes of a hash for each table.

    Args:
        head: The header.
        rules: The rules for entries.
    """

    def __init__(self, head: SparseHeader, rules: Entries) -> None:
        self._rules = rules
        self._tables = head.tables
        self._step = head.grain
        self._seen = array("q", bytes(8 * head.tables))
        """By table: the hash of the table that lists the grains that were seen."""
        self._current = array("I", bytes(TABLE_BYTES))
        self._index = 0
        self._places = array("I")
        self._hashes = array("q")

    def grain(self, lba: int, sector: int) -> None:
        """Note a grain; they must ascend."""
        index, entry = divmod(lba // self._step, GTES)
        if index != self._index:
            self._close()
            self._index = index
        self._current[entry] = sector

    def table(self, sector: int, table: memoryview) -> None:
        """Note a table that the file has at `sector`; they must ascend."""
        entries = self._rules.grains(table)
        self._places.append(sector)
        self._hashes.append(_hash(entries))

    def compare(self, directory: array[int]) -> None:
        """Compare the tables of `directory` with the grains.

        Raises:
            ImageOrderError: They list other grains.
        """
        self._close()
        for index, sector in enumerate(directory):
            stored = 0
            if sector:
                place = bisect_left(self._places, sector)
                if place == len(self._places) or self._places[place] != sector:
                    raise _refuse("table", f"there is no table {index} at sector {sector}")
                stored = self._hashes[place]
            if stored != self._seen[index]:
                raise ImageOrderError(
                    rule="stream.table",
                    detail=f"table {index} lists other grains than the stream has",
                )

    def _close(self) -> None:
        self._seen[self._index] = _hash(self._current)
        self._current = array("I", bytes(TABLE_BYTES))


def _hash(entries: array[int]) -> int:
    return hash(entries.tobytes()) if any(entries) else 0


class _StreamParser:
    """Parses a stream from its start to its end."""

    def __init__(
        self,
        head: SparseHeader,
        rules: Entries,
        emit: Callable[[int, memoryview | bytes], None],
        *,
        strict: bool,
    ) -> None:
        self.head = head
        self.rules = rules
        self.emit = emit
        self.strict = strict
        self.window = 0 if strict else WINDOW
        self.check = _TableCheck(head, rules)
        self.sector = 0
        """The next sector of the file."""
        self.held: list[tuple[int, int, bytes]] = []
        """A heap of grains: first sector on the disk, sector in the file, bytes."""
        self.held_bytes = 0
        self.last = -1
        """First sector on the disk of the last grain that was emitted."""
        self.directory: array[int] | None = None
        self.directory_sector = 0
        self.footer = False

    def run(self) -> Parser:
        head = self.head
        if not head.at_end:
            yield from self.tables_in_front()
        yield Skip((head.overhead - self.sector) * SECTOR)
        self.sector = head.overhead
        while marker := (yield Exact(_MARKER.size, optional=not head.at_end)):
            if len(marker) < _MARKER.size:
                raise _refuse("end", "the file ends inside a marker", COPY_AGAIN)
            value, count, kind = _MARKER.unpack(marker)
            if count:
                yield from self.grain(value, count, bytes(marker[GRAIN_HEAD.size :]))
            else:
                yield Skip(SECTOR - _MARKER.size)
                self.sector += 1
                if kind == END_OF_STREAM:
                    yield from self.end(value)
                    break
                yield from self.metadata(kind, value)
        while self.held:
            self.release()
            yield Skip(0)
        assert self.directory is not None, "each file has one: see `end`"
        self.check.compare(self.directory)

    def tables_in_front(self) -> Parser:
        head = self.head
        yield Skip(head.gd * SECTOR)
        self.directory = yield from read_directory(head, self.rules)
        at = head.gd + head.directory_sectors

        def note(index: int, table: memoryview) -> None:
            assert self.directory is not None
            self.check.table(self.directory[index], table)

        self.sector = yield from read_tables(self.directory, at, note)
        if self.sector > head.overhead:
            raise _refuse("table", f"tables end at sector {self.sector}, after the first grain")

    def grain(self, lba: int, count: int, first: bytes) -> Parser:
        """Read a grain, whose marker has its `first` bytes."""
        head = self.head
        if self.footer or (head.at_end and self.directory is not None):
            raise _refuse("marker", "a grain after the directory")
        if lba % head.grain or lba >= head.capacity:
            raise _refuse("grain", f"grain at {lba} of {head.capacity}")
        if count > head.grain_bytes + _SLACK:
            raise _refuse("grain_size", f"{count} bytes for {head.grain_bytes}")
        if lba <= self.last:
            raise ImageOrderError(rule="stream.grain", detail=f"grain at {lba} after {self.last}")
        data = first[:count]
        if count > len(first):
            data += yield Exact(count - len(first))
        used = GRAIN_HEAD.size + count
        # Some writers end the file after the last grain, without its padding.
        yield Skip(-max(used, _MARKER.size) % SECTOR)
        heappush(self.held, (lba, self.sector, data))
        self.held_bytes += count
        self.sector += -(-used // SECTOR)
        while self.held_bytes > self.window:
            self.release()
            yield Skip(0)

    def release(self) -> None:
        """Emit the first of the grains that are held."""
        lba, sector, data = heappop(self.held)
        if lba == self.last:
            raise ImageOrderError(rule="stream.grain", detail=f"grain at {lba} comes twice")
        self.held_bytes -= len(data)
        self.last = lba
        self.check.grain(lba, sector)
        self.emit(lba, data)

    def metadata(self, kind: int, sectors: int) -> Parser:
        head = self.head
        if kind == PROGRESS and not self.strict and sectors <= _PIECE // SECTOR:
            yield Skip(sectors * SECTOR)
        elif not head.at_end or self.footer:
            raise _refuse("marker", f"marker {kind} is out of place")
        elif kind == GRAIN_TABLE and sectors * SECTOR == TABLE_BYTES and self.directory is None:
            self.check.table(self.sector, (yield Exact(TABLE_BYTES)))
        elif (
            kind == GRAIN_DIRECTORY and sectors == head.directory_sectors and self.directory is None
        ):
            self.directory_sector = self.sector
            self.directory = yield from read_directory(head, self.rules)
        elif kind == FOOTER and sectors == 1 and self.directory is not None:
            footer = _footer(head, (yield Exact(SECTOR)))
            if footer.gd != self.directory_sector:
                raise _refuse(
                    "footer",
                    f"the footer places the directory at {footer.gd}, found at {self.directory_sector}",
                )
            self.footer = True
        else:
            raise _refuse("marker", f"marker {kind} of {sectors} sectors")
        self.sector += sectors

    def end(self, value: int) -> Parser:
        """Read the bytes after the end of the stream: in qemu's files less than a grain of zeros."""
        if value or (self.head.at_end and not self.footer):
            raise _refuse("marker", "the stream ends without a footer", COPY_AGAIN)
        left = 0 if self.head.at_end else self.head.grain_bytes
        while piece := (yield Exact(_PIECE, optional=True)):
            left -= len(piece)
            if left < 0 or not is_zero(piece):
                raise _refuse("trailing", "bytes follow the end of the stream")


def _footer(head: SparseHeader, sector: memoryview) -> SparseHeader:
    """Unpack the footer.

    Raises:
        ImageUnacceptableError: It differs from the header.
    """
    footer = unpack(bytes(sector))
    if bytes(sector[:4]) != MAGIC or replace(footer, gd=head.gd) != head:
        raise _refuse("footer", "the footer differs from the header")
    return footer


def stream_survey(head: SparseHeader, size: int) -> ParsedFile[Extent]:
    """Return the reader of `ImageFormat.survey`."""

    def parse(extents: list[Extent]) -> Parser:
        order, rules = FileOrder(WINDOW), Entries(head, size)
        directory = yield from _directory_by_range(head, rules, size)
        for _, sector, count in batches(directory):
            for table in (yield from read_batch(sector, count)):
                for entry in filter(None, rules.grains(table)):
                    order.note(entry * SECTOR)

    return ParsedFile(head.capacity * SECTOR, parse, "stream.end", size)


def _directory_by_range(
    head: SparseHeader, rules: Entries, size: int
) -> Generator[Request, memoryview, array[int]]:
    """Read the directory of a stream that is read by Range."""
    gd = head.gd
    if head.at_end:
        if size < head.overhead * SECTOR + _END:
            raise _refuse("end", f"the file ends after {size} bytes", COPY_AGAIN)
        end = yield Exact(_END, size - _END)
        if _MARKER.unpack_from(end) != (1, 0, FOOTER) or not is_zero(end[2 * SECTOR :]):
            raise _refuse("footer", "the file does not end with a footer", COPY_AGAIN)
        gd = _footer(head, end[SECTOR : 2 * SECTOR]).gd
        if not head.overhead <= gd <= size // SECTOR - head.directory_sectors:
            raise _refuse("footer", f"the footer places the directory at {gd}")
    return (yield from read_directory(head, rules, gd))


def _by_range(
    head: SparseHeader, rules: Entries, size: int, emit: Callable[[int, memoryview | bytes], None]
) -> Parser:
    """Follow the tables of a stream that is read by Range."""
    directory = yield from _directory_by_range(head, rules, size)
    for index, sector, count in batches(directory):
        for table, piece in enumerate((yield from read_batch(sector, count)), index):
            yield from _grains_by_range(head, size, table * GTES, rules.grains(piece), emit)


def _grains_by_range(
    head: SparseHeader,
    size: int,
    first: int,
    entries: array[int],
    emit: Callable[[int, memoryview | bytes], None],
) -> Parser:
    """Read the grains of one table, as many at once as follow each other in the file."""
    longest = -(-(GRAIN_HEAD.size + head.grain_bytes + _SLACK) // SECTOR) * SECTOR
    total = -(-head.capacity // head.grain)
    stored = [
        (first + i, entry * SECTOR) for i, entry in enumerate(entries[: total - first]) if entry
    ]
    while stored:
        start, count = stored[0][1], 1
        while (
            count < len(stored)
            and stored[count - 1][1] < stored[count][1] <= stored[count - 1][1] + longest
            and stored[count][1] + longest - start <= _FETCH
        ):
            count += 1
        end = min(stored[count - 1][1] + longest, size)
        piece = yield Exact(end - start, start)
        for index, at in stored[:count]:
            place = at - start
            if place + GRAIN_HEAD.size > len(piece):
                raise _refuse("end", f"the file ends after {size} bytes", COPY_AGAIN)
            lba, length = GRAIN_HEAD.unpack_from(piece, place)
            data = piece[place + GRAIN_HEAD.size :][:length]
            if lba != index * head.grain or len(data) < length or not length:
                raise _refuse("table", f"table entry {index} points to a grain at {lba}")
            emit(lba, data)
            yield Skip(0)
        del stored[:count]
