"""A disk as ordered extents with holes between them: what readers return and writers take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from vimdriver.errors import ImageOrderError, ImageUnacceptableError

Item = TypeVar("Item", covariant=True)

SECTOR: Final = 512
GRAIN: Final = 64 << 10
"""Bytes of the grains that we write, and of the pieces that are checked for zeros."""
PREFIX: Final = 1 << 20
"""Bytes from the start of an image that decide its format; all of it, if it is shorter."""
TAIL: Final = 512
"""Bytes from the end of an image that show formats with a footer only."""
MAX_CAPACITY: Final = 62 << 40
"""Bytes of the largest disk that vSphere supports."""

Data: TypeAlias = bytes | bytearray | memoryview

# `bytearray == buffer` is one memcmp; comparing a memoryview is a loop over its items.
_ZEROS: Final = bytearray(GRAIN)


class Extent(NamedTuple):
    """Bytes of a disk."""

    offset: int
    """Bytes from the start of the disk."""
    data: Data
    """The bytes; at least one. A reader's extent may be a view of the chunk that was fed to it."""

    @property
    def end(self) -> int:
        """The offset of the first byte behind it."""
        return self.offset + len(self.data)


class DeflatedGrain(NamedTuple):
    """One grain of a streamOptimized file, as it is stored there."""

    offset: int
    """Bytes from the start of the disk; a multiple of the grain's size."""
    data: Data
    """A zlib stream (RFC 1950) of one grain."""


class DiskReader(Protocol):
    """Reads an image file, incrementally and in bounded memory. It does no I/O.

    The extents of all results ascend and do not overlap; the bytes between them are zero. Iterate
    over each result to its end before the next call: extents are read when they are asked for, so
    that a chunk which inflates to much takes little memory. Iterating raises
    `ImageUnacceptableError`, after which the reader is unusable.

    Where `wanted` is None, feed the file from its start to its end, in order, in chunks of any
    size. Otherwise feed the bytes at `wanted`, whole or in parts, until it is None::

        while (wanted := reader.wanted) is not None:
            async for chunk in source.read(wanted.start, len(wanted)):
                for extent in reader.feed(chunk): ...
        for extent in reader.finish(): ...
    """

    @property
    def capacity(self) -> int | None:
        """Bytes of the disk; None until it is known. It is known after `finish`."""
        ...

    @property
    def wanted(self) -> range | None:
        """The offsets in the file of the bytes to feed next; None in the order of the file.

        It shrinks with each chunk and is renewed when it is empty. It does not extend beyond the
        file.
        """
        ...

    def feed(self, chunk: Data) -> Iterator[Extent]:
        """Yield the extents that the next bytes complete."""
        ...

    def finish(self) -> Iterator[Extent]:
        """Yield the remaining extents, after the last byte of the file was fed.

        Raises:
            ImageUnacceptableError: The file ends too early for its format.
        """
        ...


class FileOrder:
    """Checks that the parts of a disk, in its order, can be read in one pass over the file.

    Args:
        window: Bytes of the file that may be held back, since parts of lower offsets follow them.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._furthest = 0

    def note(self, at: int) -> None:
        """Note the offset in the file of the next part of the disk.

        Raises:
            ImageOrderError: It is too far in front of an earlier part.
        """
        if self._furthest - at > self._window:
            raise ImageOrderError(
                rule="order", detail=f"byte {at} of the file is needed after byte {self._furthest}"
            )
        self._furthest = max(self._furthest, at)


class GrainReader(Protocol):
    """Reads the grains of a streamOptimized file, as they are stored. As `DiskReader`, in its order."""

    @property
    def capacity(self) -> int | None:
        """Bytes of the disk."""
        ...

    def feed(self, chunk: Data) -> Iterator[DeflatedGrain]:
        """Yield the grains that the next bytes complete."""
        ...

    def finish(self) -> Iterator[DeflatedGrain]:
        """Yield the remaining grains.

        Raises:
            ImageUnacceptableError: The file ends too early for its format.
        """
        ...


class Inner(Protocol[Item]):
    """A `DiskReader` or `GrainReader` inside of another one, which reads a file in its order."""

    @property
    def capacity(self) -> int | None: ...

    def feed(self, chunk: Data) -> Iterator[Item]: ...

    def finish(self) -> Iterator[Item]: ...


class DiskWriter(Protocol):
    """Writes a disk in one format, incrementally and in bounded memory. It does no I/O.

    The results are the bytes of the file, in order. They may be views of the extents' data.
    """

    def start(self) -> bytes:
        """Return the beginning of the file, which may be empty. Call it once, first."""
        ...

    def write(self, extent: Extent) -> Iterable[Data]:
        """Return the bytes that the next extent completes. Extents must ascend.

        Raises:
            ValueError: It overlaps its predecessor, or ends behind the capacity.
            ImageUnacceptableError: The format cannot hold so much data.
        """
        ...

    def finish(self) -> Iterable[Data]:
        """Return the end of the file. Call it once, last."""
        ...


def is_zero(data: Data) -> bool:
    """Return whether all bytes are zero."""
    view = memoryview(data)
    for start in range(0, len(view), GRAIN):
        piece = view[start : start + GRAIN]
        # The bytearray on the left: see above.
        if (_ZEROS if len(piece) == GRAIN else _ZEROS[: len(piece)]) != piece:
            return False
    return True


def data_of(offset: int, data: Data) -> Iterator[Extent]:
    """Yield the extents of `data`, which is at `offset` of the disk, without its aligned zeros."""
    view = memoryview(data)
    start = at = 0
    while at < len(view):
        end = min(at + GRAIN - (offset + at) % GRAIN, len(view))
        if is_zero(view[at:end]):
            if start < at:
                yield Extent(offset + start, view[start:at])
            start = end
        at = end
    if start < at:
        yield Extent(offset + start, view[start:at])


class ExtentOrder:
    """Checks that the extents for a writer ascend within its capacity."""

    def __init__(self, capacity: int) -> None:
        if not 0 < capacity <= MAX_CAPACITY:
            raise ImageUnacceptableError(
                rule="size.capacity", detail=f"{capacity} bytes, limit {MAX_CAPACITY}"
            )
        self.capacity = capacity
        self.end = 0
        """The end of the last extent."""

    def check(self, offset: int, length: int) -> None:
        """Check the next extent.

        Raises:
            ValueError: It overlaps its predecessor, or ends behind the capacity.
        """
        if offset < self.end:
            raise ValueError(f"extents must ascend, got {offset} after {self.end}")
        if offset + length > self.capacity:
            raise ValueError(
                f"extents must end within {self.capacity} bytes, got {offset + length}"
            )
        self.end = offset + length
