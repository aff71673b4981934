"""The image that nova has made for a snapshot, as the target of a capture."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping

    from vimdriver._images import Glance
    from vimdriver._images.source import ImageInfo


class SnapshotImage:
    """An `ImageTarget` that takes one image: a queued one, whose name and visibility nova has set.

    Args:
        glance: The service that has the image.
        image: Its id.
        begin: Called in a thread when the disk is frozen, before its bytes are sent.
    """

    def __init__(self, glance: Glance, image: str, begin: Callable[[], object]) -> None:
        self._glance = glance
        self._image = image
        self._begin = begin

    @asynccontextmanager
    async def new_image(
        self, name: str, *, properties: Mapping[str, str], visibility: str = "private"
    ) -> AsyncIterator[str]:
        """See `Glance.queued_image`. Yields the id."""
        async with self._glance.queued_image(self._image, properties=properties):
            await asyncio.to_thread(self._begin)
            yield self._image

    async def fill(self, image: str, body: AsyncIterable[bytes]) -> None:
        """See `Glance.fill`."""
        await self._glance.fill(image, body)

    async def find(self, ref: str) -> ImageInfo:
        """See `Glance.find`."""
        return await self._glance.find(ref)
