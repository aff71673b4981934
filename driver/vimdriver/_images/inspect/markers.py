"""The body of a streamOptimized file: compressed grains behind markers, tables, footer, end.

Two dialects exist. VMware's has directory and footer at its end, behind markers; qemu's has them in
front (`tables`) and ends after its last grain with less than a grain of zeros.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Final

from vimdriver._images.formats.header import GD_AT_END, GT_SECTORS, SECTOR, SparseHeader, unpack
from vimdriver._images.inspect.cursor import Check, Exact, Skip, Upto
from vimdriver._images.inspect.tables import check_entries, check_tables
from vimdriver.errors import ImageUnacceptableError

END_OF_STREAM, GRAIN_TABLE, GRAIN_DIRECTORY, FOOTER = range(4)

_GRAIN_HEAD: Final = struct.Struct("<QI")
_SLACK: Final = 1024
"""Bytes by which deflated data may exceed the plain grain: 5 per 16 KiB block, 6 for zlib's own
frame, some for writers that pad.
"""
_PIECE: Final = 16 << 10


class _Stream:
    """The state of the check of one stream."""

    def __init__(self, head: SparseHeader, file_bytes: int) -> None:
        self.head = head
        self.size = file_bytes
        self.at = head.overhead * SECTOR
        """Bytes read so far."""
        self.last_lba = -1
        self.directory = 0
        """Sector of the directory, 0 until it is found."""
        self.footer = False
        self.at_end = head.gd == GD_AT_END

    def run(self) -> Check:
        while True:
            if self.at >= self.size:
                if self.at_end:
                    raise ImageUnacceptableError(
                        rule="stream.end", detail="no end-of-stream marker"
                    )
                return
            lba, count = _GRAIN_HEAD.unpack((yield Exact(_GRAIN_HEAD.size)))
            if count:
                yield from self.grain(lba, count)
                continue
            rest = yield Exact(SECTOR - _GRAIN_HEAD.size)
            self.at += SECTOR
            kind = int.from_bytes(rest[:4], "little")
            if kind == END_OF_STREAM:
                break
            yield from self.metadata(kind, lba)
        if lba or (self.at_end and not self.footer):
            raise ImageUnacceptableError(
                rule="stream.marker", detail="the stream ends without a footer"
            )
        if not self.at_end:
            yield from self.zeros(self.size - self.at)
        elif self.at != self.size:
            raise ImageUnacceptableError(
                rule="stream.trailing", detail=f"{self.size - self.at} bytes"
            )

    def zeros(self, count: int) -> Check:
        """Check the padding that qemu writes after its last grain: less than a grain, all zero."""
        if count > self.head.grain * SECTOR:
            raise ImageUnacceptableError(rule="stream.trailing", detail=f"{count} bytes")
        while count:
            piece = yield Upto(min(count, _PIECE))
            count -= len(piece)
            if piece.strip(b"\0"):
                raise ImageUnacceptableError(
                    rule="stream.trailing", detail="bytes that are not zero"
                )

    def grain(self, lba: int, count: int) -> Check:
        head, grain_bytes = self.head, self.head.grain * SECTOR
        if self.directory:
            raise ImageUnacceptableError(rule="stream.marker", detail="a grain after the directory")
        if lba <= self.last_lba or lba % head.grain or lba >= head.capacity:
            raise ImageUnacceptableError(
                rule="stream.grain", detail=f"grain at {lba} after {self.last_lba}"
            )
        if count > grain_bytes + _SLACK:
            raise ImageUnacceptableError(
                rule="stream.grain_size", detail=f"{count} bytes for {grain_bytes}"
            )
        self.last_lba = lba
        inflater, out, left = zlib.decompressobj(), 0, count
        while left:
            piece = yield Upto(min(left, _PIECE))
            left -= len(piece)
            try:
                out += len(inflater.decompress(piece, grain_bytes - out + 1))
            except zlib.error as error:
                raise ImageUnacceptableError(
                    rule="stream.inflate", detail=f"grain at {lba}"
                ) from error
            if out > grain_bytes or inflater.unused_data:
                raise ImageUnacceptableError(
                    rule="stream.inflate", detail=f"grain at {lba} is longer than its size"
                )
        if not inflater.eof or not out:
            raise ImageUnacceptableError(
                rule="stream.inflate", detail=f"grain at {lba} is incomplete"
            )
        used = _GRAIN_HEAD.size + count
        pad = -used % SECTOR
        self.at += used + pad
        # Some writers end the file after the last grain, without its padding.
        if self.at > self.size:
            pad -= self.at - self.size
            self.at = self.size
        yield Skip(max(pad, 0))

    def metadata(self, kind: int, sectors: int) -> Check:
        if not self.at_end or self.footer:
            raise ImageUnacceptableError(
                rule="stream.marker", detail=f"marker {kind} is out of place"
            )
        here = self.at // SECTOR
        if kind == GRAIN_TABLE and sectors == GT_SECTORS and not self.directory:
            piece = yield Exact(GT_SECTORS * SECTOR)
            check_entries(piece, low=self.head.overhead, high=here, rule="stream.table")
        elif (
            kind == GRAIN_DIRECTORY
            and sectors == self.head.directory_sectors
            and not self.directory
        ):
            self.directory = here
            for _ in range(sectors):
                piece = yield Exact(SECTOR)
                check_entries(piece, low=self.head.overhead, high=here, rule="stream.table")
        elif kind == FOOTER and sectors == 1 and self.directory:
            self.check_footer((yield Exact(SECTOR)))
        else:
            raise ImageUnacceptableError(
                rule="stream.marker", detail=f"marker {kind} of {sectors} sectors"
            )
        self.at += sectors * SECTOR

    def check_footer(self, sector: bytes) -> None:
        footer = unpack(sector)
        if not sector.startswith(b"KDMV") or replace(footer, gd=GD_AT_END) != self.head:
            raise ImageUnacceptableError(
                rule="stream.footer", detail="the footer differs from the header"
            )
        if footer.gd != self.directory:
            raise ImageUnacceptableError(
                rule="stream.footer",
                detail=f"the footer places the directory at {footer.gd}, found at {self.directory}",
            )
        self.footer = True


def check_stream(head: SparseHeader, *, file_bytes: int) -> Check:
    """Check everything after the descriptor of a streamOptimized file.

    Raises:
        ImageUnacceptableError: A `tables.*` or `stream.*` rule is broken.
    """
    if head.gd == GD_AT_END:
        yield Skip((head.overhead - 1 - head.descriptor_size) * SECTOR)
    else:
        yield from check_tables(head, file_bytes=file_bytes)
    yield from _Stream(head, file_bytes).run()
