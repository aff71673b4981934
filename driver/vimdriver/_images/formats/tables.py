"""Grain directories and tables, and the runs of grains that they list."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Generator, Iterator
from typing import Final, NamedTuple

from vimdriver._images.formats.cursor import COPY_AGAIN, Exact, Request, Skip
from vimdriver._images.formats.extents import SECTOR, Data
from vimdriver._images.formats.header import FLAG_ZERO_GRAIN, GT_SECTORS, GTES, SparseHeader
from vimdriver.errors import ImageOrderError, ImageUnacceptableError

TABLE_BYTES: Final = GT_SECTORS * SECTOR
_PIECE: Final = 64 << 10
_BATCH: Final = 512
"""Tables that are read at once: 1 MiB."""
_MAX_RUNS: Final = 1 << 20


def words(piece: Data) -> array[int]:
    """Return the little-endian 32-bit words of `piece`."""
    values = array("I")
    values.frombytes(piece)
    if sys.byteorder == "big":  # pragma: no cover
        values.byteswap()
    return values


class Entries:
    """The rules for the entries of directories and tables.

    Args:
        head: The header of the file.
        size: Bytes of the file; None if they are not known.
        strict: Whether grains must lie behind `overhead`.
    """

    def __init__(self, head: SparseHeader, size: int | None, *, strict: bool = False) -> None:
        self._low = head.descriptor_end
        self._low_grain = head.overhead if head.compressed or strict else self._low
        self._high = 1 << 32 if size is None else -(-size // SECTOR)
        self._zero_grains = bool(head.flags & FLAG_ZERO_GRAIN)

    def grains(self, table: Data) -> array[int]:
        """Return the sectors of a table's grains; 0 for those that are not stored.

        Raises:
            ImageUnacceptableError: `tables.entry` is broken.
        """
        entries = words(table)
        if self._zero_grains and 1 in entries:
            entries = array("I", [0 if entry == 1 else entry for entry in entries])
        self._check(entries, self._low_grain)
        return entries

    def tables(self, directory: array[int]) -> None:
        """Check the entries of a directory.

        Raises:
            ImageUnacceptableError: `tables.entry` is broken.
        """
        self._check(directory, self._low)

    def _check(self, entries: array[int], low: int) -> None:
        if (highest := max(entries)) >= self._high:
            raise ImageUnacceptableError(
                rule="tables.entry",
                detail=f"entry {highest} of a file of {self._high} sectors",
                hint=COPY_AGAIN,
            )
        if highest and (lowest := min(filter(None, entries))) < low:
            raise ImageUnacceptableError(
                rule="tables.entry", detail=f"entry {lowest} points into the header"
            )


class Run(NamedTuple):
    """Grains that follow each other both on the disk and in the file."""

    grain: int
    """Index of the first grain on the disk."""
    sector: int
    """Its sector in the file."""
    length: int
    """Number of the grains."""


class Runs:
    """The runs of a disk, in its order; 16 bytes each."""

    def __init__(self, head: SparseHeader) -> None:
        self._step = head.grain
        self._total = -(-head.capacity // head.grain)
        self._grains = array("Q")
        self._sectors = array("I")
        self._lengths = array("I")

    def __len__(self) -> int:
        return len(self._grains)

    def __getitem__(self, index: int) -> Run:
        return Run(self._grains[index], self._sectors[index], self._lengths[index])

    def __iter__(self) -> Iterator[Run]:
        return map(Run, self._grains, self._sectors, self._lengths)

    def by_sector(self) -> list[int]:
        """Return the indexes of the runs in the order of the file."""
        return sorted(range(len(self)), key=self._sectors.__getitem__)

    def add_table(self, index: int, entries: array[int]) -> None:
        """Add the grains of a table, whose `index` is that in the directory.

        Raises:
            ImageOrderError: There are more runs than are kept in memory.
        """
        first, step = index * GTES, self._step
        del entries[max(self._total - first, 0) :]  # behind the disk
        if not any(entries):
            return
        start, end = entries[0], entries[0] + step * len(entries)
        if start and entries[-1] == end - step and entries == array("I", range(start, end, step)):
            self._add(first, start, len(entries))
            return
        for place, entry in enumerate(entries):
            if entry:
                self._add(first + place, entry, 1)

    def _add(self, grain: int, sector: int, length: int) -> None:
        if self._grains:
            last = self[-1]
            if (
                last.grain + last.length == grain
                and last.sector + last.length * self._step == sector
            ):
                self._lengths[-1] += length
                return
            if len(self) >= _MAX_RUNS:
                raise ImageOrderError(
                    rule="tables.runs", detail=f"the disk is stored in more than {_MAX_RUNS} runs"
                )
        self._grains.append(grain)
        self._sectors.append(sector)
        self._lengths.append(length)


def read_directory(
    head: SparseHeader, rules: Entries, at: int | None = None
) -> Generator[Request, memoryview, array[int]]:
    """Read a directory; return the sectors of the tables, 0 for no table.

    Args:
        head: The header.
        rules: The rules for its entries.
        at: The directory's sector, for a file that is read by Range; None if it comes next.

    Raises:
        ImageUnacceptableError: `tables.entry` is broken.
    """
    directory = array("I")
    left = head.directory_sectors * SECTOR
    place = None if at is None else at * SECTOR
    while left:
        piece = yield Exact(min(left, _PIECE), place)
        directory += words(piece)
        left -= len(piece)
        if place is not None:
            place += len(piece)
    del directory[head.tables :]
    rules.tables(directory)
    return directory


def read_tables(
    directory: array[int], at: int, on_table: Callable[[int, memoryview], None]
) -> Generator[Request, memoryview, int]:
    """Read the tables that follow in the file; return the sector behind them.

    Args:
        directory: The sectors of the tables.
        at: The next sector of the file.
        on_table: Called with the index and bytes of each table, in ascending order.

    Raises:
        ImageOrderError: The tables are not in the order of the disk.
    """
    for index, sector in enumerate(directory):
        if sector:
            if sector < at:
                raise ImageOrderError(
                    rule="tables.directory", detail=f"table {index} at sector {sector}, after {at}"
                )
            yield Skip((sector - at) * SECTOR)
            on_table(index, (yield Exact(TABLE_BYTES)))
            at = sector + GT_SECTORS
    return at


def read_batch(sector: int, count: int) -> Generator[Request, memoryview, list[memoryview]]:
    """Read `count` tables at `sector` of a file that is read by Range."""
    piece = yield Exact(count * TABLE_BYTES, sector * SECTOR)
    return [piece[at : at + TABLE_BYTES] for at in range(0, len(piece), TABLE_BYTES)]


def batches(directory: array[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (index, sector, count) of tables that follow each other in directory and file."""
    index = 0
    while index < len(directory):
        sector, count = directory[index], 1
        if sector:
            while (
                count < _BATCH
                and index + count < len(directory)
                and directory[index + count] == sector + count * GT_SECTORS
            ):
                count += 1
            yield index, sector, count
        index += count
