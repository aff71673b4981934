"""The disks of an OVA, found in the stream: by the first bytes of the file, or by reading further."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

from vimdriver._images.formats.compressed import Decompressor
from vimdriver._images.formats.image import check_claim
from vimdriver._images.formats.survey import Survey
from vimdriver.errors import ImageUnacceptableError

if TYPE_CHECKING:
    from vimdriver._images.formats import ImageFormat
    from vimdriver._images.formats.survey import Contents
    from vimdriver._images.source import ImageInfo, ImageSource


async def contents_of(
    source: ImageSource, info: ImageInfo, image: ImageFormat, head: bytes
) -> Contents:
    """Return what an OVA has. Cancelling closes its body.

    The first bytes suffice where the descriptor precedes one disk; else the source is read up to the
    beginning of the last disk, or to the descriptor.

    Args:
        source: The image.
        info: Its properties.
        image: Its format, of kind `ova`.
        head: Its first bytes.

    Raises:
        ImageUnacceptableError: The archive, its descriptor or a disk breaks a rule, or the source's claims.
        ImageSourceError: The source failed.
    """
    try:
        found = _ArchiveReading(image)
        if not found.feed(head):
            found = _ArchiveReading(image)
            await _read(source, found)
        contents = found.survey.contents or found.finish()
        if info.disk_format is not None:
            for disk in contents.disks:
                disk_type = info.properties.get("vmware_disktype")
                check_claim(disk.inside.image.kind, info.disk_format, disk_type)
    except ImageUnacceptableError as error:
        error.image = error.image or info.id
        raise
    return contents


async def _read(source: ImageSource, found: _ArchiveReading) -> None:
    async with AsyncExitStack() as stack:
        chunks = aiter(await stack.enter_async_context(source.open()))
        if isinstance(chunks, AsyncGenerator):
            await stack.enter_async_context(aclosing(chunks))
        async for chunk in chunks:
            if await asyncio.to_thread(found.feed, chunk):
                return


class _ArchiveReading:
    """A survey of an archive that may be compressed."""

    def __init__(self, image: ImageFormat) -> None:
        self.survey = Survey()
        self._unpack = None if image.compression is None else Decompressor(image.compression)

    def feed(self, chunk: bytes) -> bool:
        pieces = [chunk] if self._unpack is None else self._unpack.feed(chunk)
        return any(self.survey.feed(piece) for piece in pieces)

    def finish(self) -> Contents:
        if self._unpack is not None:
            self._unpack.finish()
        return self.survey.finish()
