"""Reads monolithicSparse VMDKs: tables in front, then plain grains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vimdriver._images.formats.cursor import TO_THE_END, ParsedFile, Parser, Skip, Upto
from vimdriver._images.formats.extents import SECTOR, Extent, FileOrder, data_of
from vimdriver._images.formats.header import FLAG_REDUNDANT, GT_SECTORS, SparseHeader
from vimdriver._images.formats.tables import (
    Entries,
    Run,
    Runs,
    batches,
    read_batch,
    read_directory,
    read_tables,
)
from vimdriver.errors import ImageOrderError

WINDOW: Final = 8 << 20
"""Bytes of grains that are held back because grains of lower offsets follow them in the file."""


def sparse_reader(
    head: SparseHeader, size: int | None, *, ranges: bool, strict: bool
) -> ParsedFile[Extent]:
    """Return the `DiskReader` of a monolithicSparse file.

    Args:
        head: Its header, checked.
        size: Bytes of the file; None if they are not known.
        ranges: Read by Range, in the order of the disk.
        strict: Check the redundant tables too.
    """

    def parse(extents: list[Extent]) -> Parser:
        parser = _SparseParser(head, Entries(head, size, strict=strict), extents)
        return parser.by_range() if ranges else parser.in_file_order(strict=strict)

    return ParsedFile(head.capacity * SECTOR, parse, "tables.end", size)


def sparse_survey(head: SparseHeader, size: int) -> ParsedFile[Extent]:
    """Return the reader of `ImageFormat.survey`."""

    def parse(extents: list[Extent]) -> Parser:
        return _SparseParser(head, Entries(head, size), extents).survey()

    return ParsedFile(head.capacity * SECTOR, parse, "tables.end", size)


class _SparseParser:
    def __init__(self, head: SparseHeader, rules: Entries, extents: list[Extent]) -> None:
        self.head = head
        self.rules = rules
        self.extents = extents

    def in_file_order(self, *, strict: bool) -> Parser:
        head, runs, at = self.head, Runs(self.head), 0
        redundant = strict and head.flags & FLAG_REDUNDANT
        for place in sorted({head.gd, head.rgd} if redundant else {head.gd}):
            if place < at:
                raise ImageOrderError(
                    rule="tables.directory", detail=f"a directory at sector {place}, after {at}"
                )
            yield Skip((place - at) * SECTOR)
            directory = yield from read_directory(head, self.rules)

            def add(index: int, table: memoryview, *, used: bool = place == head.gd) -> None:
                entries = self.rules.grains(table)
                if used:
                    runs.add_table(index, entries)

            at = yield from read_tables(directory, place + head.directory_sectors, add)
        yield from self.read_runs(runs, self.order(runs, at), at)
        yield Skip(TO_THE_END)

    def by_range(self) -> Parser:
        head = self.head
        directory = yield from read_directory(head, self.rules, head.gd)
        for index, sector, count in batches(directory):
            runs = Runs(head)
            for place, table in enumerate((yield from read_batch(sector, count)), index):
                runs.add_table(place, self.rules.grains(table))
            for run in runs:
                offset, left = self.place(run)
                at = run.sector * SECTOR
                while left:
                    piece = yield Upto(left, at)
                    self.extents += data_of(offset, piece)
                    offset, at, left = offset + len(piece), at + len(piece), left - len(piece)

    def survey(self) -> Parser:
        """Read the tables by Range; raise `ImageOrderError` unless `in_file_order` reads the file."""
        head, order, end, first = self.head, FileOrder(WINDOW), 0, TO_THE_END
        directory = yield from read_directory(head, self.rules, head.gd)
        for index, sector, count in batches(directory):
            runs = Runs(head)
            for place, table in enumerate((yield from read_batch(sector, count)), index):
                runs.add_table(place, self.rules.grains(table))
            if sector < end:
                raise ImageOrderError(
                    rule="tables.directory", detail=f"table {index} at sector {sector}, after {end}"
                )
            end = sector + count * GT_SECTORS
            for run in runs:
                order.note(run.sector * SECTOR)
                first = min(first, run.sector)
        if first < end:
            raise ImageOrderError(
                rule="tables.order", detail=f"a grain at {first}, tables to {end}"
            )

    def place(self, run: Run) -> tuple[int, int]:
        """Return the run's offset on the disk and its bytes up to the disk's end."""
        offset = run.grain * self.head.grain_bytes
        return offset, min(run.length * self.head.grain_bytes, self.head.capacity * SECTOR - offset)

    def order(self, runs: Runs, sector: int) -> Sequence[int]:
        """Return the indexes of the runs in the order of the file, from `sector` on.

        Raises:
            ImageOrderError: They overlap, or more than `WINDOW` bytes would have to be held back.
        """
        if self.ascend(runs, range(len(runs)), sector):
            return range(len(runs))
        order = runs.by_sector()
        if not self.ascend(runs, order, sector):
            raise ImageOrderError(rule="tables.order", detail="grains overlap each other or tables")
        held: set[int] = set()
        expected = size = 0
        for index in order:
            if index != expected:
                held.add(index)
                size += self.place(runs[index])[1]
            else:
                expected += 1
            while expected in held:
                held.remove(expected)
                size -= self.place(runs[expected])[1]
                expected += 1
            if size > WINDOW:
                raise ImageOrderError(
                    rule="tables.order",
                    detail=f"{size} bytes are stored before grain {runs[expected].grain}, "
                    "which precedes them on the disk",
                )
        return order

    def ascend(self, runs: Runs, order: Sequence[int], at: int) -> bool:
        """Return whether the runs follow sector `at` and each other in this order."""
        for index in order:
            run = runs[index]
            if run.sector < at:
                return False
            at = run.sector + run.length * self.head.grain
        return True

    def read_runs(self, runs: Runs, order: Sequence[int], sector: int) -> Parser:
        """Read runs in the order of the file; hold each back until it is the next of the disk."""
        held: dict[int, list[Extent]] = {}
        expected, at = 0, sector * SECTOR
        for index in order:
            run = runs[index]
            yield Skip(run.sector * SECTOR - at)
            offset, left = self.place(run)
            at = run.sector * SECTOR + left
            ahead = index != expected
            results = held.setdefault(index, []) if ahead else self.extents
            while left:
                piece = yield Upto(left)
                results += data_of(offset, bytes(piece) if ahead else piece)
                offset, left = offset + len(piece), left - len(piece)
            if not ahead:
                expected += 1
            while expected in held:
                self.extents += held.pop(expected)
                expected += 1
                yield Skip(0)
