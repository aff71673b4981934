"""An image store of a caller's own, as docs/driver/configuration.md describes one."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fuzz.flows import Taken
from vimdriver import ImageInfo


class Body:
    """The open body of an image."""

    def __init__(self, info: ImageInfo, data: bytes) -> None:
        self.info = info
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # Small pieces: where a deadline is that of a piece, a slow peer has many of them.
        for at in range(0, len(self._data), 2000):
            yield self._data[at : at + 2000]


class Image:
    """One image of bytes in memory."""

    def __init__(self, name: str, data: bytes, *, hashed: bool = True) -> None:
        self.name, self.data, self.hashed = name, data, hashed

    async def info(self) -> ImageInfo:
        return ImageInfo(
            id=self.name,
            name=f"{self.name}.img",
            size=len(self.data),
            disk_format="raw",
            hash_algo="sha256" if self.hashed else None,
            hash_value=hashlib.sha256(self.data).hexdigest() if self.hashed else None,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Body]:
        yield Body(await self.info(), self.data)


class Images(Taken):
    """A store of them, which also takes an image."""

    def __init__(self, **images: bytes) -> None:
        super().__init__()
        self.images = images

    def image(self, ref: str) -> Image:
        return Image(ref, self.images[ref])
