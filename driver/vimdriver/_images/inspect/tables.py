"""Grain directories and tables in front of the grains: monolithicSparse, and qemu's streams.

All known writers store the directory, its tables without gaps, the other directory, its tables.
Requiring that order keeps the memory constant, since no directory has to be stored.
"""

from __future__ import annotations

import sys
from array import array
from typing import Final

from vimdriver._images.formats.header import FLAG_REDUNDANT, GT_SECTORS, SECTOR, SparseHeader
from vimdriver._images.inspect.cursor import Check, Exact, Skip
from vimdriver.errors import ImageUnacceptableError

_PIECE: Final = 4096


def words(piece: bytes) -> array[int]:
    """Return the little-endian 32-bit words of `piece`."""
    values = array("I", piece)
    if sys.byteorder == "big":  # pragma: no cover
        values.byteswap()
    return values


def check_tables(head: SparseHeader, *, file_bytes: int) -> Check:
    """Check both directories and all their tables, from the descriptor's end up to the grains.

    Raises:
        ImageUnacceptableError: A `tables.*` rule is broken.
    """
    places = [head.gd]
    if head.flags & FLAG_REDUNDANT:
        places.append(head.rgd)
    at = 1 + head.descriptor_size
    limit = -(-file_bytes // SECTOR)
    for place in sorted(places):
        if place < at:
            raise ImageUnacceptableError(
                rule="tables.directory", detail="a directory between other tables"
            )
        yield Skip((place - at) * SECTOR)
        at = place + head.directory_sectors
        # Read the directory; its tables lie between `first` and `end`.
        first = end = 0
        left = head.directory_sectors * SECTOR
        index = 0
        while left:
            piece = yield Exact(min(_PIECE, left))
            left -= len(piece)
            for entry in words(piece)[: head.tables - index]:
                if entry and not first:
                    first = end = entry
                if entry:
                    if entry != end:
                        raise ImageUnacceptableError(
                            rule="tables.directory", detail=f"entry {index}: {entry}"
                        )
                    end += GT_SECTORS
                index += 1
        if not first:
            continue
        if first < at or end > head.overhead:
            raise ImageUnacceptableError(
                rule="tables.directory", detail=f"tables at sectors {first} to {end}"
            )
        yield Skip((first - at) * SECTOR)
        for _ in range((end - first) * SECTOR // _PIECE):
            check_entries((yield Exact(_PIECE)), low=head.overhead, high=limit)
        if odd := (end - first) * SECTOR % _PIECE:
            check_entries((yield Exact(odd)), low=head.overhead, high=limit)
        at = end
    yield Skip((head.overhead - at) * SECTOR)


def check_entries(piece: bytes, *, low: int, high: int, rule: str = "tables.entry") -> None:
    """Check that each entry is 0 (no grain), 1 (a grain of zeros) or a sector in [low, high).

    Raises:
        ImageUnacceptableError: `rule` is broken.
    """
    entries = words(piece)
    if max(entries) >= high:
        raise ImageUnacceptableError(
            rule=rule, detail=f"entry {max(entries)} of a file of {high} sectors"
        )
    lowest = min((entry for entry in entries if entry > 1), default=low)
    if lowest < low:
        raise ImageUnacceptableError(rule=rule, detail=f"entry {lowest} points into metadata")
