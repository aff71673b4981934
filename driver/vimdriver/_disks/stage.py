"""The stage of an image that becomes a disk: the bytes of a file in, those of the target's format out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._images.formats import FlatWriter
from vimdriver._images.formats.extents import SECTOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vimdriver._images.formats import (
        DeflatedGrain,
        DiskReader,
        DiskWriter,
        Extent,
        GrainReader,
        StreamOptimizedWriter,
    )
    from vimdriver._images.hashing import Hasher
    from vimlib._transport.http import Buffer


class GrainStage:
    """Copies the deflated grains of a streamOptimized image behind a header and tables of ours. See `Stage`.

    Args:
        reader: Of the image's grains.
        writer: With the image's grain size.
    """

    size = None

    def __init__(self, reader: GrainReader, writer: StreamOptimizedWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._begun = False

    def feed(self, data: Buffer) -> Iterator[Buffer]:
        """See `Stage.feed`."""
        return self._written(self._reader.feed(data))

    def finish(self) -> Iterator[Buffer]:
        """See `Stage.finish`."""
        yield from self._written(self._reader.finish())
        yield from self._writer.finish()

    def _written(self, grains: Iterable[DeflatedGrain]) -> Iterator[Buffer]:
        if not self._begun:
            self._begun = True
            yield self._writer.start()
        for grain in grains:
            yield from self._writer.write_compressed(grain.offset // SECTOR, grain.data)


class DiskStage:
    """Reads one format and writes another. See `Stage`.

    Args:
        reader: Of the image.
        writer: Of the target.
        size: Bytes that come out, where the writer's format has a fixed length.
        content: Hashes the disk's bytes, holes as zeros: `capacity` of them.
        capacity: Bytes of the disk.
    """

    def __init__(
        self,
        reader: DiskReader,
        writer: DiskWriter,
        *,
        size: int | None = None,
        content: Hasher | None = None,
        capacity: int = 0,
    ) -> None:
        self.size = size
        self.content = content
        self._reader = reader
        self._writer = writer
        self._flat = None if content is None else FlatWriter(capacity)
        self._begun = False

    @property
    def wanted(self) -> range | None:
        """See `RangedStage.wanted`."""
        return self._reader.wanted

    def feed(self, data: Buffer) -> Iterator[Buffer]:
        """See `Stage.feed`."""
        return self._written(self._reader.feed(data))

    def finish(self) -> Iterator[Buffer]:
        """See `Stage.finish`."""
        yield from self._written(self._reader.finish())
        yield from self._writer.finish()
        if self._flat is not None:
            self._hash(self._flat.finish())

    def _written(self, extents: Iterable[Extent]) -> Iterator[Buffer]:
        if not self._begun:
            self._begun = True
            yield self._writer.start()
        for extent in extents:
            if self._flat is not None:
                self._hash(self._flat.write(extent))
            yield from self._writer.write(extent)

    def _hash(self, pieces: Iterable[Buffer]) -> None:
        assert self.content is not None, "there is one to feed"
        for piece in pieces:
            self.content.update(piece)
