"""Reads qcow2 images, versions 2 and 3 (docs/interop/qcow2.txt of QEMU).

In the order of the file, clusters may precede those of lower offsets within a window: with several
threads, `qemu-img convert -c` writes them so.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Final, NamedTuple

from vimdriver._images.formats.cursor import (
    COPY_AGAIN,
    TO_THE_END,
    Exact,
    ParsedFile,
    Parser,
    Request,
    Skip,
    Upto,
)
from vimdriver._images.formats.extents import SECTOR, Extent, FileOrder, data_of, is_zero
from vimdriver._images.formats.zstd import ZSTD_ERRORS, zstd_decompressor
from vimdriver.errors import ImageOrderError, ImageUnacceptableError

MAGIC: Final = b"QFI\xfb"
_LAYOUT: Final = struct.Struct(">4sIQIIQIIQQIIQ")
_MORE: Final = struct.Struct(">QQQII")
_EXTENSION: Final = struct.Struct(">II")
_FIELDS_OF_2: Final = 72
"""Bytes of the header of version 2."""
_LEAST_FIELDS: Final = 104
"""Bytes of the shortest header of version 3."""
_MAX_REFCOUNT_ORDER: Final = 6
_MAX_L1: Final = 4 << 20
"""Entries of the first table, which is kept in memory: 32 MiB, QEMU's own limit."""
_OFFSET: Final = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED: Final = 1 << 62
_ZERO: Final = 1
_PIECE: Final = 64 << 10
_FETCH: Final = 1 << 20
"""Bytes of compressed clusters that are read at once."""
WINDOW: Final = 8 << 20
"""Bytes of clusters that are held back because clusters of lower offsets follow them in the file."""
_MAX_ITEMS: Final = 1 << 18
_ERRORS: Final[tuple[type[Exception], ...]] = (zlib.error, *ZSTD_ERRORS)
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED = (1 << bit for bit in range(5))

FLATTEN: Final = (
    "Convert it, with its other files in place, with: "
    "qemu-img convert -f qcow2 -O qcow2 IN OUT.qcow2"
)


_SORT: Final = "Convert it with: qemu-img convert -f qcow2 -O qcow2 IN OUT.qcow2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Qcow2Header:
    """The properties of a qcow2 image that its reader needs."""

    version: int
    cluster_bits: int
    capacity: int
    """Bytes of the disk."""
    l1_offset: int
    l1_entries: int
    zstd: bool
    """Whether compressed clusters are Zstandard frames; else they are deflated."""

    @property
    def cluster(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.cluster_bits

    @property
    def per_table(self) -> int:
        """Clusters that one table of the second level lists."""
        return self.cluster // 8


def _refuse(rule: str, detail: str, hint: str = FLATTEN) -> ImageUnacceptableError:
    return ImageUnacceptableError(rule=f"qcow2.{rule}", detail=detail, hint=hint)


def read_header(prefix: bytes, *, size: int | None, max_capacity: int) -> Qcow2Header:
    """Check the header of an image that starts with `MAGIC`.

    Args:
        prefix: Its first bytes, at least 112 unless it is shorter.
        size: Bytes of the file; None if they are not known.
        max_capacity: Bytes of the largest disk to accept.

    Raises:
        ImageUnacceptableError: A `qcow2.*` rule is broken: the image needs other files, is
            encrypted or corrupt, or uses features that are not read.
    """
    if len(prefix) < 112:
        raise _refuse("short", f"the file has {len(prefix)} bytes", COPY_AGAIN)
    (_, version, backing, _, bits, capacity, crypt, entries, l1, *_) = _LAYOUT.unpack_from(prefix)
    incompatible, order, length = 0, 0, _FIELDS_OF_2
    if version == 3:
        incompatible, _, _, order, length = _MORE.unpack_from(prefix, _FIELDS_OF_2)
    elif version != 2:
        raise _refuse("version", f"version {version}")
    if not 9 <= bits <= 21:
        raise _refuse("cluster_size", f"2^{bits} bytes")
    if version == 3 and not _LEAST_FIELDS <= length <= 1 << bits:
        detail = f"the header must have {_LEAST_FIELDS} to {1 << bits} bytes, got {length}"
        raise _refuse("header", detail, COPY_AGAIN)
    if backing:
        raise _refuse("backing", "the image has a backing file")
    if crypt:
        raise _refuse("encryption", f"method {crypt}", _decrypt())
    if incompatible & _DATA_FILE:
        raise _refuse("data_file", "the image has its data in another file")
    if incompatible & _CORRUPT:
        hint = "Repair it with: qemu-img check -r all IN"
        raise _refuse("corrupt", "the image is marked as corrupt", hint)
    if incompatible & ~(_DIRTY | _COMPRESSION):
        raise _refuse("features", f"incompatible features {incompatible:#x}")
    compression = prefix[_LEAST_FIELDS] if length > _LEAST_FIELDS else 0
    if compression > 1 or bool(compression) != bool(incompatible & _COMPRESSION):
        raise _refuse("compression", f"method {compression}, features {incompatible:#x}")
    if order > _MAX_REFCOUNT_ORDER:
        raise _refuse("refcounts", f"reference counts of 2^{order} bits", COPY_AGAIN)
    _check_extensions(prefix, length, 1 << bits)
    if not 0 < capacity <= max_capacity or capacity % SECTOR:
        raise _refuse("capacity", f"{capacity} bytes, limit {max_capacity}")
    span = (1 << bits) * (1 << bits) // 8
    head = Qcow2Header(
        version=version,
        cluster_bits=bits,
        capacity=capacity,
        l1_offset=l1,
        l1_entries=-(-capacity // span),
        zstd=compression == 1,
    )
    if not head.l1_entries <= entries <= _MAX_L1:
        raise _refuse("tables", f"{entries} tables of {span} bytes for {capacity} bytes")
    if l1 % head.cluster or not l1 or (size is not None and l1 + 8 * head.l1_entries > size):
        raise _refuse("tables", f"the first table is at {l1}", COPY_AGAIN)
    return head


def _check_extensions(prefix: bytes, at: int, end: int) -> None:
    """Refuse extensions of the header that do not end within its cluster, as far as `prefix` has them."""
    while at + _EXTENSION.size <= min(end, len(prefix)):
        kind, length = _EXTENSION.unpack_from(prefix, at)
        at += _EXTENSION.size
        if length > end - at:
            detail = f"an extension of {length} bytes at {at} of the {end} of the header"
            raise _refuse("extensions", detail, COPY_AGAIN)
        if not kind:
            return
        at += -(-length // 8) * 8


def _decrypt() -> str:
    return (
        "Decrypt it with: qemu-img convert --object secret,id=key,file=PASSPHRASE --image-opts "
        "driver=qcow2,encrypt.key-secret=key,file.filename=IN -O qcow2 OUT.qcow2"
    )


def qcow2_reader(head: Qcow2Header, size: int | None, *, ranges: bool) -> ParsedFile[Extent]:
    """Return the `DiskReader` of a qcow2 file.

    Args:
        head: Its header, checked.
        size: Bytes of the file; None if they are not known.
        ranges: Read by Range, in the order of the disk.
    """
    if head.zstd:
        zstd_decompressor()  # refuses now what could not be read later

    def parse(extents: list[Extent]) -> Parser:
        parser = _Qcow2Parser(head, size, extents)
        return parser.by_range() if ranges else parser.in_file_order()

    return ParsedFile(head.capacity, parse, "qcow2.end", size)


def qcow2_survey(head: Qcow2Header, size: int) -> ParsedFile[Extent]:
    """Return the reader of `ImageFormat.survey`."""

    def parse(extents: list[Extent]) -> Parser:
        return _Qcow2Parser(head, size, extents).survey()

    return ParsedFile(head.capacity, parse, "qcow2.end", size)


class _Item(NamedTuple):
    """A table, clusters with data that follow each other in file and disk, or a compressed cluster."""

    at: int
    """Offset in the file."""
    kind: int
    offset: int
    """Offset on the disk."""
    length: int
    """Bytes in the file; of a compressed cluster up to the end of a sector."""


_TABLE, _DATA, _PACKED = range(3)


class _Missing:
    """The offsets of the disk of which the tables or clusters have not been read, some of them twice."""

    def __init__(self, offsets: Iterable[int]) -> None:
        self._heap = list(offsets)
        heapify(self._heap)
        self._read: Counter[int] = Counter()
        """How often each is removed that is in the heap still: to search the heap takes too long."""

    @property
    def first(self) -> int | None:
        """The lowest one; None if there is none."""
        heap, read = self._heap, self._read
        while heap and heap[0] in read:
            offset = heappop(heap)
            read[offset] -= 1
            if not read[offset]:
                del read[offset]
        return heap[0] if heap else None

    def add(self, offset: int) -> None:
        """Add an offset."""
        heappush(self._heap, offset)

    def remove(self, offset: int) -> None:
        """Remove an offset, once."""
        self._read[offset] += 1


class _Qcow2Parser:
    def __init__(self, head: Qcow2Header, size: int | None, extents: list[Extent]) -> None:
        self.head = head
        self.size = TO_THE_END if size is None else size
        self.extents = extents
        self.at = 0
        """In the order of the file: the offset of the next byte."""
        self.kept = max(4 * head.cluster, _FETCH)
        self.tail = bytearray()
        """The bytes before `at`, about `kept`: a compressed cluster begins where the last one ends, be
        it in front of the table that lists it."""
        self.any_packed = False

    def tables(self, l1: array[int]) -> Iterator[_Item]:
        """Yield the tables that the first table lists."""
        cluster, span = self.head.cluster, self.head.per_table << self.head.cluster_bits
        for index, entry in enumerate(l1):
            if entry & _OFFSET:
                yield _Item(self.place(entry & _OFFSET), _TABLE, index * span, cluster)

    def items(self, start: int, table: array[int]) -> Iterator[_Item]:
        """Yield the items that a table lists, in the order of the disk, from the offset `start` on."""
        head = self.head
        if not any(table):
            return
        run: _Item | None = None
        for offset, entry in zip(range(start, head.capacity, head.cluster), table, strict=False):
            packed = entry & _COMPRESSED
            if not packed and entry & _ZERO:
                self.check_zero(offset, entry)
                continue
            if not packed and not entry & _OFFSET:
                continue
            if not packed:
                at = self.place(entry & _OFFSET)
                if run and run.at + run.length == at and run.offset + run.length == offset:
                    run = run._replace(length=run.length + head.cluster)
                    continue
            if run:
                yield run
            run = None if packed else _Item(at, _DATA, offset, head.cluster)
            if packed:
                yield self.packed(offset, entry)
        if run:
            yield run

    def check_zero(self, offset: int, entry: int) -> None:
        """Check the entry of a cluster of zeros, which version 2 does not have."""
        if self.head.version < 3 or (entry & _OFFSET) % self.head.cluster:
            raise _refuse(
                "tables", f"the cluster of zeros at {offset}: entry {entry:#x}", COPY_AGAIN
            )

    def packed(self, offset: int, entry: int) -> _Item:
        shift = 62 - (self.head.cluster_bits - 8)
        at = entry & ((1 << shift) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> shift) + 1
        if not self.head.cluster <= at < self.size:
            raise _refuse("tables", f"a compressed cluster at {at} of {self.size}", COPY_AGAIN)
        self.any_packed = True
        return _Item(at, _PACKED, offset, (at & -SECTOR) + sectors * SECTOR - at)

    def place(self, offset: int) -> int:
        """Check the offset of a cluster in the file; return it."""
        if offset % self.head.cluster or offset >= self.size:
            raise _refuse("tables", f"a cluster at {offset} of {self.size}", COPY_AGAIN)
        return offset

    def add(self, item: _Item, data: memoryview | bytes) -> None:
        """Append the extent of a compressed cluster."""
        cluster = self.head.cluster
        try:
            if self.head.zstd:
                # Refused where it has more, unlike a deflated one, which ends when the cluster is
                # full: both as by QEMU.
                plain: bytes = zstd_decompressor().decompress(bytes(data), cluster + 1)
            else:
                plain = zlib.decompressobj(-15).decompress(data, cluster)
        except _ERRORS as error:
            raise _refuse("inflate", f"the cluster at {item.at}: {error}", COPY_AGAIN) from None
        if len(plain) != cluster:
            got = len(plain) if len(plain) < cluster else "more"
            detail = f"the cluster at {item.at} must have {cluster} bytes, got {got}"
            raise _refuse("inflate", detail, COPY_AGAIN)
        if not is_zero(plain):
            left = self.head.capacity - item.offset
            self.extents.append(Extent(item.offset, memoryview(plain)[:left]))

    def first_table(self) -> Generator[Request, memoryview, array[int]]:
        """Read the first table by Range."""
        l1 = array("Q")
        end = self.head.l1_offset + 8 * self.head.l1_entries
        for at in range(self.head.l1_offset, end, _PIECE):
            l1 += _words((yield Exact(min(_PIECE, end - at), at)))
        return l1

    def survey(self) -> Parser:
        """Read the tables by Range; raise `ImageOrderError` unless `in_file_order` reads the file."""
        head, order = self.head, FileOrder(WINDOW)
        first_end = head.l1_offset + 8 * head.l1_entries
        for table in self.tables((yield from self.first_table())):
            known = max(table.at, first_end)
            for item in self.items(table.offset, _words((yield Exact(head.cluster, table.at)))):
                order.note(item.at)
                if item.at < known - (self.kept if item.kind == _PACKED else 0):
                    raise _disordered(f"the cluster at {item.at} precedes its table at {known}")

    def by_range(self) -> Parser:
        """Read in the order of the disk."""
        head = self.head
        for table in self.tables((yield from self.first_table())):
            packed: list[_Item] = []
            for item in self.items(table.offset, _words((yield Exact(head.cluster, table.at)))):
                if packed and (
                    item.kind == _DATA
                    or item.at < packed[-1].at
                    or item.at + item.length - packed[0].at > _FETCH
                ):
                    yield from self.unpack(packed)
                    packed = []
                if item.kind == _PACKED:
                    packed.append(item)
                    continue
                offset, at = item.offset, item.at
                left = min(item.length, head.capacity - offset)
                while left:
                    piece = yield Upto(left, at)
                    self.extents += data_of(offset, piece)
                    offset, at, left = offset + len(piece), at + len(piece), left - len(piece)
            if packed:
                yield from self.unpack(packed)

    def unpack(self, items: list[_Item]) -> Parser:
        """Read compressed clusters that follow each other in the file."""
        start = items[0].at
        end = min(max(item.at + item.length for item in items), self.size)
        piece = yield Exact(end - start, start)
        for item in items:
            self.add(item, piece[item.at - start :][: item.length])
            yield Skip(0)

    def in_file_order(self) -> Parser:
        """Read from the start of the file to its end; hold back what precedes lower offsets."""
        head = self.head
        l1 = array("Q")
        yield from self.go(head.l1_offset)
        left = 8 * head.l1_entries
        while left:
            piece = yield Exact(min(_PIECE, left))
            l1 += _words(piece)
            left -= len(piece)
            self.at += len(piece)
            self.keep(piece)
        ahead = list(islice(self.tables(l1), _MAX_ITEMS + 1))
        del l1
        heapify(ahead)
        missing = _Missing(item.offset for item in ahead)
        held: list[tuple[int, _Item, list[Extent] | bytes]] = []
        size = 0
        while ahead:
            if len(ahead) > _MAX_ITEMS:
                raise _disordered(f"more than {_MAX_ITEMS} runs of clusters are known at once")
            item = heappop(ahead)
            if item.kind == _TABLE:
                table = _words((yield from self.read(item)))
                for found in self.items(item.offset, table):
                    heappush(ahead, found)
                    missing.add(found.offset)
                missing.remove(item.offset)
            elif missing.first == item.offset:
                if item.kind == _PACKED:
                    self.add(item, (yield from self.read(item)))
                else:
                    yield from self.data(item, self.extents, copied=False)
                missing.remove(item.offset)
            else:
                size += item.length
                if size > WINDOW:
                    raise _disordered(
                        f"{size} bytes are stored before the cluster of offset {missing.first}, "
                        "which precedes them on the disk"
                    )
                if item.kind == _PACKED:
                    heappush(held, (item.offset, item, bytes((yield from self.read(item)))))
                else:
                    pieces: list[Extent] = []
                    yield from self.data(item, pieces, copied=True)
                    heappush(held, (item.offset, item, pieces))
                missing.remove(item.offset)
            while held and (missing.first is None or held[0][0] < missing.first):
                _, item, content = heappop(held)
                size -= item.length
                if isinstance(content, bytes):
                    self.add(item, content)
                else:
                    self.extents += content
                yield Skip(0)
        yield Skip(TO_THE_END)

    def data(self, item: _Item, extents: list[Extent], *, copied: bool) -> Parser:
        """Read clusters with data."""
        yield from self.go(item.at)
        offset = item.offset
        left = min(item.length, self.head.capacity - offset)
        self.at += left
        if not self.any_packed:
            self.tail.clear()
        while left:
            piece = yield Upto(left)
            if self.any_packed:
                self.keep(piece)
            extents += data_of(offset, bytes(piece) if copied else piece)
            offset, left = offset + len(piece), left - len(piece)

    def go(self, at: int) -> Generator[Request, memoryview, None]:
        """Skip to an offset.

        Raises:
            ImageOrderError: It has passed.
        """
        if at < self.at:
            raise _disordered(f"the cluster at {at} is needed after that at {self.at}")
        gap = at - self.at
        self.at = at
        if gap <= self.kept:
            self.keep((yield Exact(gap, optional=True)))
        else:
            self.tail.clear()
            yield Skip(gap)

    def keep(self, piece: memoryview) -> None:
        self.tail += piece
        if len(self.tail) > 2 * self.kept:
            del self.tail[: -self.kept]

    def read(self, item: _Item) -> Generator[Request, memoryview, memoryview]:
        """Read a table or a compressed cluster, whose last sector the file may lack."""
        known, at = b"", item.at
        if at < self.at <= at + len(self.tail):
            known = bytes(self.tail[at - self.at :][: item.length])
            at = self.at
        left = item.length - len(known)
        if not left:
            return memoryview(known)
        yield from self.go(at)
        piece = yield Exact(left, optional=item.kind == _PACKED)
        self.at += len(piece)
        self.keep(piece)
        return memoryview(known + bytes(piece)) if known else piece


def _disordered(detail: str) -> ImageOrderError:
    return ImageOrderError(rule="qcow2.order", detail=detail, hint=_SORT)


def _words(piece: memoryview) -> array[int]:
    """Return the big-endian 64-bit words of `piece`."""
    values = array("Q")
    values.frombytes(piece)
    if sys.byteorder == "little":
        values.byteswap()
    return values
