"""A checked body as an async iterator: what a mover on asyncio hands to an HTTP client.

Source -> inspect -> hash -> whoever iterates. At most three chunks are held: one in the check's
thread, one being sent, one just read. Nothing leaves before the beginning is judged, and the last
chunk does not leave before the whole is: a target that counts bytes never has a bad body whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final, Self

from vimdriver._images.worker import Worker

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from vimdriver._images.check import BodyCheck
    from vimdriver._images.source import ImageBody
    from vimlib._progress import Progress

__all__ = ["Pipe", "piped"]

_INLINE: Final = 16 << 10
"""Bytes up to which hashing here is quicker than the way to a thread and back: about 20 us."""


class Pipe:
    """The chunks of one body, checked. Iterate it once; `piped` makes it."""

    def __init__(
        self,
        body: ImageBody,
        check: BodyCheck,
        executor: Executor,
        on_progress: Progress | None = None,
    ) -> None:
        self._body = body
        self._check = check
        self._executor = executor
        self._on_progress = on_progress
        self._chunks = self._checked()
        # An HTTP client iterates in a task of its own, which may still be at it when its request
        # has failed and we want to close.
        self._turn = asyncio.Lock()
        self._taken = 0
        self.failure: Exception | None = None
        """What went wrong on this side. HTTP clients wrap it in errors of their own: raise this."""

    @property
    def size(self) -> int:
        """How many bytes iterating gives: the request's Content-Length."""
        return self._check.info.size

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Give the next chunk, which says that the one before has been taken.

        Cancelling ends the pipe.

        Raises:
            ImageError: Source, format, length or hash failed; the body must not be completed.
        """
        async with self._turn:
            if self._taken and self._on_progress is not None:
                self._on_progress(self._taken)
            self._taken = 0
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                raise
            except Exception as error:
                self.failure = error
                raise
            self._taken = len(chunk)
            return chunk

    async def aclose(self) -> None:
        """Stop, and wait for the chunk that is being checked (milliseconds). Safe to call twice."""
        async with self._turn:
            await self._chunks.aclose()

    async def _checked(self) -> AsyncGenerator[bytes]:
        """Yield each chunk once the one before it has passed the check."""
        check = self._check
        held: list[bytes] = []  # the beginning, at most 1 MiB and a chunk; later the newest chunk
        async with Worker[None](self._executor) as worker:
            async for chunk in self._body:
                await worker.idle()
                if check.light or len(chunk) <= _INLINE:
                    check.feed(chunk)
                else:
                    worker.start(check.feed, chunk)
                if not check.decided:
                    await worker.idle()
                if check.decided:
                    for earlier in held:
                        yield earlier
                    held.clear()
                held.append(chunk)
            await worker.idle()
            check.finish()
            for last in held:
                yield last


@asynccontextmanager
async def piped(
    body: ImageBody,
    check: BodyCheck,
    *,
    executor: Executor,
    on_progress: Progress | None = None,
) -> AsyncIterator[Pipe]:
    """Hold a `Pipe` for the length of one request.

    Whatever the block raises, an error of the pipe itself takes its place, since that is the cause.
    Cancelling the block is safe: the pipe stops and no thread keeps a chunk.

    Args:
        body: The open body.
        check: Its judge, fresh.
        executor: Where chunks are hashed and inflated; more than one thread a stream is never used.
        on_progress: Called with each chunk's length after the client took it.

    Raises:
        ImageError: Source, format, length or hash failed.
    """
    pipe = Pipe(body, check, executor, on_progress)
    try:
        async with aclosing(pipe):
            yield pipe
    except Exception as error:
        if pipe.failure is not None and pipe.failure is not error:
            raise pipe.failure from None
        raise
