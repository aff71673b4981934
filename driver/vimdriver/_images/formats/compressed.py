"""gzip, xz and Zstandard files with an image inside, decompressed in the stream."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from vimdriver._images.formats.cursor import COPY_AGAIN
from vimdriver._images.formats.extents import PREFIX, Data, Inner, is_zero
from vimdriver._images.formats.zstd import ZSTD_ERRORS, zstd_decompressor
from vimdriver.errors import ImageUnacceptableError

Item = TypeVar("Item", covariant=True)

_PIECE: Final = 256 << 10
"""Bytes that are decompressed at a time."""
_MEMORY: Final = 256 << 20
"""Bytes that xz may use: its largest preset needs 65 MiB."""
RATIO: Final = 10_000
"""Bytes per byte of the file, on average behind the first `FREE` bytes."""
FREE: Final = 1 << 30
_ERRORS: Final[tuple[type[Exception], ...]] = (zlib.error, lzma.LZMAError, EOFError, *ZSTD_ERRORS)


@dataclass(frozen=True, slots=True)
class Compression:
    """A form of compression."""

    name: str
    magic: bytes
    suffix: str
    """Of the names of such files."""
    unpack: str
    """The command that decompresses a file."""
    start: Callable[[], Any]
    """Returns a decompressor of one member, with `decompress(data, max_length)`, `eof`, and
    `unused_data`."""


COMPRESSIONS: Final = (
    Compression("gzip", b"\x1f\x8b\x08", ".gz", "gzip -dc", lambda: zlib.decompressobj(31)),
    Compression(
        "xz",
        b"\xfd7zXZ\0",
        ".xz",
        "xz -dc",
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY),
    ),
    Compression("zstd", b"\x28\xb5\x2f\xfd", ".zst", "zstd -dc", zstd_decompressor),
)


def compression_of(prefix: Data) -> Compression | None:
    """Return the compression that a file's first bytes show."""
    start = bytes(prefix[:6])
    return next((found for found in COMPRESSIONS if start.startswith(found.magic)), None)


class Decompressor:
    """Decompresses a file of one or more members, incrementally, in bounded memory and ratio."""

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._member: Any = compression.start()
        self._started = False
        """Whether the current member has begun."""
        self._padding = False
        """Whether zeros have followed a member: nothing else may come."""
        self.taken = 0
        """Bytes fed."""
        self.made = 0
        """Bytes returned."""

    def feed(self, data: Data) -> Iterator[bytes]:
        """Yield pieces of the decompressed bytes. Iterate to the end before the next call.

        Raises:
            ImageUnacceptableError: The bytes are damaged, or decompress to too much.
        """
        self.taken += len(data)
        rest = bytes(data)
        while rest or self._more():
            if not self._started and rest:
                if is_zero(rest):
                    self._padding = True
                    return
                if self._padding:
                    raise self._error("bytes follow the padding")
                self._started = True
            try:
                piece, rest = self._step(rest)
            except _ERRORS as error:
                raise self._error(str(error)) from None
            if piece:
                self.made += len(piece)
                if self.made > FREE + RATIO * self.taken:
                    raise ImageUnacceptableError(
                        rule="compressed.ratio",
                        detail=f"{self.taken} bytes decompress to more than {self.made}",
                        hint=f"If that is meant, unpack it: {self._compression.unpack} IN > OUT",
                    )
                yield piece

    def finish(self) -> None:
        """End the file.

        Raises:
            ImageUnacceptableError: It ends within a member.
        """
        if self._started or not self.taken:
            raise self._error(f"the file ends after {self.taken} bytes")

    def _more(self) -> bool:
        """Return whether the current member has output for the input that it has."""
        member = self._member
        if not self._started or member.eof:
            return False
        if self._compression.name == "gzip":
            return bool(member.unconsumed_tail)
        return not member.needs_input

    def _step(self, rest: bytes) -> tuple[bytes, bytes]:
        """Decompress some of `rest`; return the output and the input that is left."""
        member = self._member
        if self._compression.name == "gzip":
            rest = member.unconsumed_tail + rest
        piece: bytes = member.decompress(rest, _PIECE)
        left = b""
        if member.eof:
            left = member.unused_data
            self._member = self._compression.start()
            self._started = False
        return piece, left

    def _error(self, reason: str) -> ImageUnacceptableError:
        return ImageUnacceptableError(
            rule="compressed.damaged",
            detail=f"{self._compression.name}: {reason}",
            hint=COPY_AGAIN,
        )


def beginning(compression: Compression, prefix: Data) -> bytes:
    """Return the first `PREFIX` bytes, or as many as a file's first bytes decompress to.

    Raises:
        ImageUnacceptableError: They are damaged.
    """
    found = bytearray()
    for piece in Decompressor(compression).feed(prefix):
        found += piece
        if len(found) >= PREFIX:
            break
    return bytes(found[:PREFIX])


class CompressedReader(Generic[Item]):
    """A `DiskReader` or `GrainReader` of a compressed file, in its order.

    Args:
        compression: Of the file.
        reader: Of the image inside.
    """

    def __init__(self, compression: Compression, reader: Inner[Item]) -> None:
        self._decompressor = Decompressor(compression)
        self._reader = reader
        self.wanted: range | None = None

    @property
    def capacity(self) -> int | None:
        """See `DiskReader`."""
        return self._reader.capacity

    def feed(self, chunk: Data) -> Iterator[Item]:
        """See `DiskReader`."""
        for piece in self._decompressor.feed(chunk):
            yield from self._reader.feed(piece)

    def finish(self) -> Iterator[Item]:
        """See `DiskReader`."""
        self._decompressor.finish()
        yield from self._reader.finish()
