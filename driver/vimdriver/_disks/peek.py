"""Read a source for its first bytes, behind which its body may stay open, or for its hash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from vimdriver._images.hashing import new_hasher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimdriver._images.source import ImageBody, ImageInfo, ImageSource


class PeekedSource:
    """A source whose body is open already. The first `open` continues it, later ones open it again."""

    def __init__(self, source: ImageSource, info: ImageInfo) -> None:
        self._source = source
        self._info = info
        self._body: _PeekedBody | None = None
        self.head = b""
        """The first bytes, as many as were wanted; all of a shorter image."""

    async def info(self) -> ImageInfo:
        """Return the properties that were read first."""
        return self._info

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ImageBody]:
        """See `ImageSource.open`."""
        body, self._body = self._body, None
        if body is not None:
            yield body
            return
        async with self._source.open() as again:
            yield again

    def keep(self, body: _PeekedBody, head: bytes) -> None:
        self._body, self.head = body, head


class _PeekedBody:
    """The rest of a body, behind the chunks that were read."""

    def __init__(self, info: ImageInfo, chunks: list[bytes], rest: AsyncIterator[bytes]) -> None:
        self.info = info
        self._chunks = chunks
        self._rest = rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._chunks:
            yield self._chunks.pop(0)
        async for chunk in self._rest:
            yield chunk


@asynccontextmanager
async def peeked(source: ImageSource, info: ImageInfo, size: int) -> AsyncIterator[PeekedSource]:
    """Yield `source`, of these properties, with its first `size` bytes in `head`.

    Leaving the block in any way closes the body. Cancelling loses nothing.

    Raises:
        ImageError: The source failed.
    """
    found = PeekedSource(source, info)
    async with AsyncExitStack() as stack:
        body = await stack.enter_async_context(source.open())
        rest = aiter(body)
        if isinstance(rest, AsyncGenerator):
            await stack.enter_async_context(aclosing(rest))
        chunks: list[bytes] = []
        length = 0
        while length < size:
            chunk = await anext(rest, b"")
            if not chunk:
                break
            chunks.append(chunk)
            length += len(chunk)
        found.keep(_PeekedBody(body.info, chunks, rest), b"".join(chunks)[:size])
        yield found


async def read_prefix(source: ImageSource, info: ImageInfo, size: int) -> bytes:
    """Return the first `size` bytes of an image, or all if it is shorter. Cancelling closes its body.

    Raises:
        ImageError: The source failed.
    """
    async with peeked(source, info, size) as found:
        return found.head


async def read_hash(source: ImageSource, info: ImageInfo, algorithm: str) -> str:
    """Return the hash of an image in lower-case hex; it is read whole. Cancelling closes its body.

    Raises:
        ImageError: The source failed.
    """
    hasher = new_hasher(algorithm, image=info.id)
    async with source.open() as body:
        async for chunk in body:
            await asyncio.to_thread(hasher.update, chunk)
    return hasher.hexdigest()
