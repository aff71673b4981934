"""Readers of the hosted sparse formats monolithicSparse and streamOptimized, and a writer of the latter.

After VMware's published "Virtual Disk Format 1.1". A host reads them (CopyVirtualDisk, NFC import) and
writes streamOptimized (NFC export); no machine runs on one. The input is untrusted:
every value of a header is checked before it is used.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SECTOR = 512
LARGEST = 62 << 40
"""Bytes that a disk can have at most."""
GRAIN = 128
"""Sectors of a written grain: 64 KiB, as VMware's tools write them."""
_MAGIC = 0x564D444B  # "KDMV" as a little-endian number
_GD_AT_END = 0xFFFFFFFFFFFFFFFF
_HEADER = struct.Struct("<IIIQQQQIQQQBccccH")


class DiskError(Exception):
    """A file is not a valid disk."""


@dataclass(frozen=True)
class Header:
    """A hosted sparse extent's header."""

    version: int
    flags: int
    capacity: int
    grain: int
    descriptor_at: int
    descriptor_size: int
    tables: int
    """Entries a grain table."""
    directory: int
    """Sector of the grain directory."""
    overhead: int
    """Sectors in front of the first grain."""

    @property
    def compressed(self) -> bool:
        """Whether its grains are deflated and found by their markers."""
        return bool(self.flags & 0x10000)


def read_header(raw: bytes) -> Header:
    """Return the header of a file. Raises `DiskError`."""
    if len(raw) < _HEADER.size:
        raise DiskError("truncated sparse header")
    magic, version, flags, capacity, grain, at, size, tables, _, directory, overhead, _, *_ = (
        _HEADER.unpack_from(raw)
    )
    if magic != _MAGIC or version not in (1, 2, 3):
        raise DiskError("missing sparse header")
    if (
        not 0 < capacity * SECTOR <= LARGEST
        or grain < 8
        or grain & (grain - 1)
        or grain > 2048
        or tables != 512
    ):
        raise DiskError("invalid values in the sparse header")
    return Header(version, flags, capacity, grain, at, size, tables, directory, overhead)


def _seek(file: BinaryIO, sector: int) -> None:
    """Seek to a sector that a file names. Raises `DiskError` if it lies beyond the file's end."""
    if sector * SECTOR > os.fstat(file.fileno()).st_size:
        raise DiskError("an offset lies beyond the end of the file")
    file.seek(sector * SECTOR)


def read_kind(file: BinaryIO, header: Header) -> tuple[str, str]:
    """Return the type and the adapter that the descriptor inside names. Raises `DiskError`."""
    create_type = "streamOptimized" if header.compressed else "monolithicSparse"
    adapter = "lsilogic"
    if 0 < header.descriptor_size <= 2048:
        _seek(file, header.descriptor_at)
        raw = file.read(header.descriptor_size * SECTOR).split(b"\0", 1)[0]
        text = raw.decode("utf-8", "replace")
        found = re.search(r'^createType\s*=\s*"(\w+)"', text, re.MULTILINE)
        create_type = found[1] if found else create_type
        found = re.search(r'^ddb\.adapterType\s*=\s*"(\w+)"', text, re.MULTILINE)
        adapter = found[1] if found else adapter
    if create_type not in ("monolithicSparse", "streamOptimized"):
        raise DiskError(f"unsupported disk type: {create_type}")
    return create_type, adapter


def content(file: BinaryIO, capacity: int) -> Iterator[tuple[int, bytes]]:
    """Yield the written parts of a sparse disk. Raises `DiskError`."""
    header = read_header(file.read(SECTOR))
    if header.compressed:
        yield from _stream_content(file, header, capacity)
        return
    grains = -(-header.capacity // header.grain)
    _seek(file, header.directory)
    count = -(-grains // header.tables)
    directory = _numbers(file, count)
    length = header.grain * SECTOR
    for number, sector in enumerate(directory):
        if not sector:
            continue
        _seek(file, sector)
        for index, at in enumerate(_numbers(file, header.tables)):
            offset = (number * header.tables + index) * length
            if at <= 1 or offset >= capacity:  # 0: never written; 1: zeros
                continue
            _seek(file, at)
            data = file.read(min(length, capacity - offset))
            if len(data) < min(length, capacity - offset):
                raise DiskError("a grain lies beyond the end of the file")
            yield offset, data


def _numbers(file: BinaryIO, count: int) -> tuple[int, ...]:
    raw = file.read(count * 4)
    if len(raw) < count * 4:
        raise DiskError("truncated grain directory or table")
    return struct.unpack(f"<{count}I", raw)


def _stream_content(file: BinaryIO, header: Header, capacity: int) -> Iterator[tuple[int, bytes]]:
    """Read grains by their markers, front to back, as they were streamed."""
    _seek(file, max(header.overhead, header.descriptor_at + header.descriptor_size, 1))
    length = header.grain * SECTOR
    ended = False
    while True:
        at = file.tell()
        if at % SECTOR:
            file.seek(at + SECTOR - at % SECTOR)
        marker = file.read(SECTOR)
        if len(marker) < SECTOR:
            break
        value, size, kind = struct.unpack_from("<QII", marker)
        if size:
            if size > 2 * length + SECTOR:
                raise DiskError("a grain exceeds its maximum size")
            packed = marker[12:] + (file.read(size - 500) if size > 500 else b"")
            unpacker = zlib.decompressobj()
            try:
                data = unpacker.decompress(packed[:size], length + 1)
            except zlib.error as error:
                raise DiskError(f"cannot decompress a grain: {error}") from None
            offset = value * SECTOR
            if len(data) > length or offset >= capacity:
                raise DiskError("a grain lies outside the disk")
            yield offset, data[: capacity - offset]
        elif kind == 0:
            ended = True
            break
        else:  # a grain table, grain directory or footer: `value` sectors of it follow
            _seek(file, file.tell() // SECTOR + value)
    if not ended:
        raise DiskError("the stream has no end marker")


def stream(
    name: str, capacity: int, adapter: str, hardware: int, parts: Iterable[tuple[int, bytes]]
) -> Iterator[bytes]:
    """Yield a disk of `parts` as a streamOptimized file, written front to back."""
    text = (
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
        f'createType="streamOptimized"\n\n# Extent description\nRW {capacity // SECTOR} SPARSE "{name}"\n\n'
        f'# The Disk Data Base\n#DDB\n\nddb.adapterType = "{adapter}"\nddb.geometry.heads = "255"\n'
        f'ddb.geometry.sectors = "63"\nddb.virtualHWVersion = "{hardware}"\n'
    ).encode()
    yield _stream_header(capacity // SECTOR, _GD_AT_END)
    yield text.ljust(20 * SECTOR, b"\0")
    at = 128  # sectors; the overhead is filled up to one grain
    yield bytes((at - 21) * SECTOR)
    directory: list[int] = []
    table: list[int] = []
    pending: dict[int, int] = {}
    tables = -(-capacity // SECTOR // (GRAIN * 512))
    number = 0
    for grain, data in _grains(parts):
        while grain // 512 > number:
            table = [pending.get(index, 0) for index in range(512)]
            at, piece = _stream_table(at, table, directory)
            yield piece
            pending, number = {}, number + 1
        packed = zlib.compress(data)
        piece = struct.pack("<QI", grain * GRAIN, len(packed)) + packed
        piece += bytes(-len(piece) % SECTOR)
        pending[grain % 512] = at
        at += len(piece) // SECTOR
        yield piece
    while number < tables:
        at, piece = _stream_table(at, [pending.get(index, 0) for index in range(512)], directory)
        yield piece
        pending, number = {}, number + 1
    raw = struct.pack(f"<{len(directory)}I", *directory)
    raw += bytes(-len(raw) % SECTOR)
    yield struct.pack("<QII", len(raw) // SECTOR, 0, 2).ljust(SECTOR, b"\0") + raw
    directory_at = at + 1
    yield struct.pack("<QII", 1, 0, 3).ljust(SECTOR, b"\0") + _stream_header(
        capacity // SECTOR, directory_at
    )
    yield bytes(SECTOR)


def _stream_header(sectors: int, directory: int) -> bytes:
    flags = 0x30001  # newline test, compressed grains, markers
    raw = _HEADER.pack(
        _MAGIC,
        3,
        flags,
        sectors,
        GRAIN,
        1,
        20,
        512,
        0,
        directory,
        128,
        0,
        b"\n",
        b" ",
        b"\r",
        b"\n",
        1,
    )
    return raw.ljust(SECTOR, b"\0")


def _stream_table(at: int, table: list[int], directory: list[int]) -> tuple[int, bytes]:
    """Return the next offset and a grain table as a piece; an empty table is left out."""
    if not any(table):
        directory.append(0)
        return at, b""
    directory.append(at + 1)
    piece = struct.pack("<QII", 4, 0, 1).ljust(SECTOR, b"\0") + struct.pack("<512I", *table)
    return at + len(piece) // SECTOR, piece


def _grains(parts: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield the grains that are not all zeros, as number and bytes."""
    length = GRAIN * SECTOR
    number, held = -1, bytearray()
    for offset, data in parts:
        view = memoryview(data)
        while view:
            grain, skip = divmod(offset, length)
            if grain != number:
                if number >= 0 and any(held):
                    yield number, bytes(held)
                number, held = grain, bytearray(length)
            part = view[: length - skip]
            held[skip : skip + len(part)] = part
            offset += len(part)
            view = view[len(part) :]
    if number >= 0 and any(held):
        yield number, bytes(held)
