"""Reads tar archives incrementally: ustar, pax and GNU headers (POSIX.1-2017, pax; GNU tar, "Tar Internals").

Only regular files and folders are taken. Sparse members of GNU tar are expanded.
"""

from __future__ import annotations

import tarfile
from array import array
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from vimdriver._images.formats.cursor import (
    COPY_AGAIN,
    Exact,
    ParsedFile,
    Parser,
    Request,
    Skip,
    Upto,
)
from vimdriver._images.formats.extents import MAX_CAPACITY, SECTOR, Data, is_zero
from vimdriver.errors import ImageUnacceptableError
from vimlib._text import printable

_MOST_MEMBERS: Final = 4096
_LONGEST_NAME: Final = 4096
_LARGEST_HEADER: Final = 1 << 20
"""Bytes of an extended header."""
_MOST_PIECES: Final = 1 << 20
"""Pieces of a sparse member."""
_PIECE: Final = 256 << 10
_ZEROS: Final = bytes(_PIECE)
_FREE: Final = 1 << 30
_RATIO: Final = 10_000
"""A sparse member has at most `_FREE` bytes and so many for each that is stored."""
_LONG: Final = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file of an archive."""

    name: str
    """Relative, parts separated by `/`."""
    size: int
    """Bytes of the file."""
    at: int
    """The offset of its header in the archive; tells members apart."""


class TarPiece(NamedTuple):
    """Bytes of a member."""

    member: TarMember
    data: Data
    last: bool
    """Whether the member ends with it."""


def tar_reader(size: int | None) -> ParsedFile[TarPiece]:
    """Return a reader of the members of an archive, in its order.

    Each member has at least one piece. Reading raises `ImageUnacceptableError` for an archive that breaks
    a rule.

    Args:
        size: Bytes of the archive; None if they are not known.
    """
    return ParsedFile(0, lambda pieces: _TarArchive(pieces).run(), "tar.end", size)


def first_name(prefix: Data) -> str | None:
    """Return the name of the first member that an archive's first bytes show; None if they show none."""
    try:
        for piece in tar_reader(None).feed(prefix):
            return piece.member.name
    except ImageUnacceptableError:
        return None
    return None


def _refuse(rule: str, detail: str, hint: str | None = COPY_AGAIN) -> ImageUnacceptableError:
    return ImageUnacceptableError(rule=f"tar.{rule}", detail=detail, hint=hint)


class _TarArchive:
    def __init__(self, pieces: list[TarPiece]) -> None:
        self.pieces = pieces
        self.at = 0
        """The offset of the next byte."""
        self.names: set[str] = set()
        self.lasting: dict[str, str] = {}
        """Records of global pax headers."""

    def run(self) -> Parser:
        while True:
            at = self.at
            info, extra = yield from self.header()
            if info is None:
                break
            yield from self.member(info, extra, at)
        while piece := (yield Exact(_PIECE, optional=True)):
            if not is_zero(piece):
                raise _refuse("trailing", "bytes follow the end of the archive")

    def take(self, count: int) -> Generator[Request, memoryview, bytes]:
        """Read bytes and the padding behind them."""
        found = bytes((yield Exact(count))) if count else b""
        yield Skip(-count % SECTOR)
        self.at += count + -count % SECTOR
        return found

    def header(
        self,
    ) -> Generator[Request, memoryview, tuple[tarfile.TarInfo | None, list[tuple[str, str]]]]:
        """Read the headers of a member; None at the end."""
        extra: list[tuple[str, str]] = []
        for _ in range(8):
            block = yield from self.take(SECTOR)
            if is_zero(block):
                if extra:
                    raise _refuse("end", "the archive ends inside the headers of a file")
                return None, []
            info = _unpack(block)
            if info.type not in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, *_LONG):
                if info.type == tarfile.GNUTYPE_SPARSE:
                    extra += yield from self.old_map(block)
                return info, extra
            if not 0 < info.size <= _LARGEST_HEADER:
                raise _refuse("header", f"an extended header of {info.size} bytes")
            data = yield from self.take(info.size)
            if info.type in _LONG:
                name = data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
                extra.append((_LONG[info.type], name))
            elif info.type == tarfile.XGLTYPE:
                self.lasting |= _records(data)
            else:
                extra += _records(data)
        raise _refuse("header", "too many extended headers before a file")

    def old_map(self, block: bytes) -> Generator[Request, memoryview, list[tuple[str, str]]]:
        """Return the map of a sparse member in GNU's old format as records of its format 0.1."""
        numbers: list[int] = []
        size = _number(block[483:495])
        at, count, more = 386, 4, block[482] != 0
        while True:
            for start in range(at, at + 24 * count, 24):
                if not block[start]:
                    break
                numbers += [
                    _number(block[start : start + 12]),
                    _number(block[start + 12 : start + 24]),
                ]
            if not more:
                break
            if len(numbers) > 2 * _MOST_PIECES:
                raise _refuse("sparse", f"more than {_MOST_PIECES} pieces")
            block = yield from self.take(SECTOR)
            at, count, more = 0, 21, block[504] != 0
        return [("GNU.sparse.map", ",".join(map(str, numbers))), ("GNU.sparse.size", str(size))]

    def member(self, info: tarfile.TarInfo, extra: list[tuple[str, str]], at: int) -> Parser:
        given = self.lasting | dict(extra)
        stored = _decimal(given["size"]) if "size" in given else info.size
        if not 0 <= stored <= MAX_CAPACITY:
            raise _refuse("size", f"a file of {stored} bytes")
        name = _name(given.get("GNU.sparse.name") or given.get("path") or info.name)
        if info.isdir():
            yield from self.skip(stored)
            return
        if not (name and info.isreg()):
            raise _refuse(
                "type",
                f"{printable(name, 80)} must be a regular file, got type {info.type!r}",
                "Pack it again with: tar --format=ustar --dereference --hard-dereference -cf OUT FILES",
            )
        if name in self.names:
            raise _refuse("duplicate", f"{printable(name, 80)} comes twice")
        self.names.add(name)
        if len(self.names) > _MOST_MEMBERS:
            raise _refuse("members", f"more than {_MOST_MEMBERS} files")
        if any(key.startswith("GNU.sparse.") for key, _ in extra):
            yield from self.sparse(extra, stored, name, at)
            return
        member = TarMember(name, stored, at)
        left = stored
        if not left:
            self.pieces.append(TarPiece(member, b"", True))
            yield Skip(0)
        while left:
            piece = yield Upto(min(left, _PIECE))
            left -= len(piece)
            self.at += len(piece)
            self.pieces.append(TarPiece(member, piece, not left))
        yield from self.skip(-stored % SECTOR)

    def skip(self, count: int) -> Parser:
        # Unlike `Skip`, it shows that the file has these bytes.
        left = count
        while left:
            piece = yield Upto(min(left, _PIECE))
            left -= len(piece)
        self.at += count

    def sparse(self, extra: list[tuple[str, str]], stored: int, name: str, at: int) -> Parser:
        """Read a member whose zeros are left out."""
        given = dict(extra)
        left = stored
        size = _decimal(given.get("GNU.sparse.realsize") or given.get("GNU.sparse.size") or "")
        if given.get("GNU.sparse.major") == "1":
            numbers, used = yield from self.map_in_front(stored)
            left -= used
        elif "GNU.sparse.map" in given:
            text = given["GNU.sparse.map"]
            numbers = array("q", map(_decimal, text.split(",") if text else ()))
        else:
            keys = ("GNU.sparse.offset", "GNU.sparse.numbytes")
            numbers = array("q", (_decimal(value) for key, value in extra if key in keys))
        if len(numbers) % 2:
            raise _refuse("sparse", f"the map of {printable(name, 80)} has an odd number of values")
        if size > MAX_CAPACITY or size > _FREE + _RATIO * stored:
            raise _refuse(
                "sparse", f"{stored} bytes expand to {size}", "Pack it again without --sparse."
            )
        member = TarMember(name, size, at)
        end = 0
        for offset, count in zip(numbers[::2], numbers[1::2], strict=True):
            if offset < end or offset + count > size or count > left:
                raise _refuse("sparse", f"the pieces of {printable(name, 80)} do not fit together")
            yield from self.zeros(member, offset - end)
            end, rest = offset + count, count
            while rest:
                piece = yield Upto(min(rest, _PIECE))
                rest -= len(piece)
                self.pieces.append(TarPiece(member, piece, False))
            left -= count
        yield from self.zeros(member, size - end)
        self.pieces.append(TarPiece(member, b"", True))
        if left:
            raise _refuse("sparse", f"{printable(name, 80)} has bytes that its map does not place")
        self.at += stored
        yield from self.skip(-stored % SECTOR)

    def map_in_front(self, stored: int) -> Generator[Request, memoryview, tuple[array[int], int]]:
        """Read the map of GNU's format 1.0: decimal numbers in lines, padded to a block."""
        numbers: array[int] = array("q")
        wanted, used, text = 1, 0, b""
        while len(numbers) < wanted:
            if used + SECTOR > stored:
                raise _refuse("sparse", "its map is longer than the file")
            text += bytes((yield Exact(SECTOR)))
            used += SECTOR
            *lines, text = text.split(b"\n")
            numbers.extend(
                _decimal(line.decode("ascii", "replace")) for line in lines[: wanted - len(numbers)]
            )
            if wanted == 1 and numbers:
                wanted = 1 + 2 * numbers[0]
                if numbers[0] > _MOST_PIECES:
                    raise _refuse("sparse", f"more than {_MOST_PIECES} pieces")
                numbers.extend(
                    _decimal(line.decode("ascii", "replace")) for line in lines[1:wanted]
                )
        return numbers[1:], used

    def zeros(self, member: TarMember, count: int) -> Parser:
        while count:
            part = min(count, _PIECE)
            self.pieces.append(TarPiece(member, memoryview(_ZEROS)[:part], False))
            count -= part
            yield Skip(0)


def _unpack(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, OverflowError) as error:
        raise _refuse("header", f"the header of a file is invalid: {error}") from None


def _number(field: bytes) -> int:
    """Return a number of a header (GNU tar: octal digits, or base 256)."""
    try:
        if field[0] & 0x80:
            return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise _refuse("header", f"invalid number: {field!r}") from None


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise _refuse("header", f"invalid number: {printable(text, 40)!r}")
    return int(text)


def _records(data: bytes) -> list[tuple[str, str]]:
    """Return the records of a pax header, `LENGTH KEY=VALUE` lines."""
    found: list[tuple[str, str]] = []
    while data:
        digits, _, _ = data[:20].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if not key or not equals or length > len(data) or data[length - 1 : length] != b"\n":
            raise _refuse("header", "a record of a pax header is invalid")
        found.append(
            (key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        )
        data = data[length:]
    return found


def _name(text: str) -> str:
    """Return a member's name without `./`. Raises `ImageUnacceptableError` for one that leaves its folder."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    name = "/".join(parts)
    if (
        text.startswith("/")
        or ".." in parts
        or "\\" in text
        or len(text) > _LONGEST_NAME
        or not name.isprintable()
    ):
        raise _refuse(
            "name", f"the name of a file must be a relative path, got {printable(text, 80)!r}"
        )
    return name


def tar_header(name: str, size: int) -> bytes:
    """Return the headers of a regular file: the same bytes for the same name and size.

    Their length depends on the name alone: GNU's form has one field for sizes of any length.
    """
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def members_size(files: Iterator[tuple[str, int]]) -> int:
    """Return the bytes of an archive of these files: names and sizes."""
    total = sum(len(tar_header(name, size)) + size + -size % SECTOR for name, size in files)
    return total + 2 * SECTOR
