"""A checked body as an async iterator: the request body that an HTTP client sends.

Source -> inspect -> hash -> HTTP client. At most three chunks are held: one in the check's thread,
one being sent, one just read. No byte is sent before the beginning has passed the check, and the
last chunk not before the whole body has: a target never receives an invalid body completely.
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

_INLINE: Final = 16 << 10
"""Bytes up to which hashing here is faster than the round trip to a thread, about 20 us."""


class Pipe:
    """The checked chunks of one body. Iterate it once; created by `piped`."""

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
        # An HTTP client iterates in a task of its own, which may still be running when its request
        # has failed and we close the pipe.
        self._turn = asyncio.Lock()
        self._taken = 0
        self.failure: Exception | None = None
        """The error of the source or check. HTTP clients wrap it in errors of their own: raise this
        one."""

    @property
    def size(self) -> int:
        """The number of bytes that iterating yields: the request's Content-Length."""
        return self._check.info.size

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk; the call also means that the previous chunk was sent.

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
        """Stop, and wait for the chunk in the check (milliseconds). Idempotent."""
        async with self._turn:
            await self._chunks.aclose()

    async def _checked(self) -> AsyncGenerator[bytes]:
        """Yield each chunk once the previous one has passed the check."""
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
    """Yield a `Pipe` for one request.

    An error of the pipe replaces any error of the block, since it is the cause. Cancelling the
    block is
    safe: the pipe stops and no thread holds a chunk.

    Args:
        body: The open body.
        check: A new check for it.
        executor: Executor that hashes and inflates chunks; a stream uses one thread at a time.
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
