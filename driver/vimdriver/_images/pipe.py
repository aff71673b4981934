"""A checked body as an async iterator: the request body that an HTTP client sends.

Source -> check -> stage -> HTTP client. At most three chunks are held: one in a thread, one being
sent, one just read. No byte is sent before the beginning has passed the check, and the last bytes of
the announced size not before the whole body has: a target never receives an invalid body completely.
A body of unknown size is complete with the end of its chunked coding, which only a valid one gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

from vimdriver._images.formats import GRAIN
from vimdriver._images.worker import Worker
from vimlib._transport.http import Buffer

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from vimdriver._images.check import BodyCheck
    from vimdriver._images.source import ImageBody
    from vimlib._progress import Progress

_INLINE: Final = 16 << 10
"""Bytes up to which hashing here is faster than the round trip to a thread, about 20 us."""
_SLICE: Final = GRAIN
"""Bytes that a stage gets at a time: what comes out may be hundreds of times as much. Whole grains of a raw
disk need not be put together."""
_BATCH: Final = 1 << 20
"""Bytes that come out of a stage before they are sent and it goes on."""
_JOINED: Final = 64 << 10
"""Bytes of a piece below which it is joined with its neighbours: a write costs as much as copying it."""


class Stage(Protocol):
    """A pure conversion of a body: bytes in, bytes out. It does no I/O and keeps little.

    It runs in a thread, one call at a time, and its result is consumed there before the next call: a
    list, or a generator where much comes out of little. It may pass on parts of its input without
    copying them.
    """

    @property
    def size(self) -> int | None:
        """Bytes that come out in all, known once the first came out; None sends them chunked."""
        ...

    def feed(self, data: Buffer) -> Iterable[Buffer]:
        """Take the next bytes of the source and return the output that is ready.

        Raises:
            ImageError: The bytes break a rule.
        """
        ...

    def finish(self) -> Iterable[Buffer]:
        """Return the rest. The source has ended, and its bytes have passed the check.

        Raises:
            ImageError: The bytes ended too early.
        """
        ...


class Batch(NamedTuple):
    """The output of a chunk, or a part of it."""

    pieces: list[Buffer]
    taken: int
    """Bytes of the source that are used up with it."""


class Passage:
    """What is done to each chunk in a thread: check it, put it through the stage.

    Args:
        check: The check of the source's bytes.
        stage: The conversion; None sends the bytes as they are.
        by_range: The chunks come in the order of the disk, from a source that passed the check.
    """

    def __init__(
        self, check: BodyCheck, stage: Stage | None = None, *, by_range: bool = False
    ) -> None:
        self.check = check
        self.stage = stage
        self.by_range = by_range
        self.more = False
        """Whether `take` has more of the last chunk."""
        self.out = 0
        """Bytes that came out of the stage so far."""
        self._rest: Iterator[Buffer] = iter(())

    @property
    def size(self) -> int | None:
        """Bytes that come out in all; None if that is unknown."""
        return self.check.info.size if self.stage is None else self.stage.size

    @property
    def light(self) -> bool:
        """Whether a thread would cost more than it saves."""
        return self.stage is None and self.check.light

    def feed(self, chunk: Buffer) -> list[Buffer]:
        """Take a chunk and return its first output; `take` returns the rest."""
        if not self.by_range:
            self.check.feed(chunk)
        if self.stage is None:
            return [chunk]
        self._rest = self._sliced(self.stage, memoryview(chunk))
        return self.take()

    def finish(self) -> list[Buffer]:
        """Check the whole body and return the first of the last output."""
        self.check.finish()
        if self.stage is None:
            return []
        self._rest = iter(self.stage.finish())
        return self.take()

    def take(self) -> list[Buffer]:
        """Return the next pieces, about `_BATCH` bytes."""
        pieces: list[Buffer] = []
        small: list[Buffer] = []
        size = 0
        self.more = False
        for piece in self._rest:
            size += len(piece)
            if len(piece) < _JOINED:
                small.append(piece)
            else:
                pieces += [b"".join(small), piece] if small else [piece]
                small = []
            if size >= _BATCH:
                self.more = True
                break
        self.out += size
        return [*pieces, b"".join(small)] if small else pieces

    @staticmethod
    def _sliced(stage: Stage, view: memoryview) -> Iterator[Buffer]:
        for at in range(0, len(view), _SLICE):
            yield from stage.feed(view[at : at + _SLICE])


class Pipe:
    """The pieces of one body on their way out. Iterate it once; created by `piped`."""

    def __init__(
        self,
        body: ImageBody,
        passage: Passage,
        executor: Executor,
        on_progress: Progress | None = None,
    ) -> None:
        self._body = body
        self._passage = passage
        self._executor = executor
        self._on_progress = on_progress
        self._batches = self._judged()
        self._pieces: list[Buffer] = []
        # An HTTP client iterates in a task of its own, which may still be running when its request
        # has failed and we close the pipe.
        self._turn = asyncio.Lock()
        self._taken = 0
        self.failure: Exception | None = None
        """The error of the source or check. HTTP clients wrap it in errors of their own: raise this
        one."""

    @property
    def size(self) -> int | None:
        """Bytes that iterating yields, the request's Content-Length; None if unknown. See `begin`."""
        return self._passage.size

    async def begin(self) -> None:
        """Read and check until the first bytes may leave: then `size` is known. Raises as iterating.

        Cancelling ends the pipe.
        """
        async with self._turn:
            await self._filled()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Buffer:
        """Return the next piece; the call also means that the previous one was sent.

        Cancelling ends the pipe.

        Raises:
            ImageError: Source, format, length or hash failed; the body must not be completed.
        """
        async with self._turn:
            while await self._filled():
                piece = self._pieces.pop(0)
                if piece:
                    return piece
            raise StopAsyncIteration

    async def _filled(self) -> bool:
        """Make sure of a piece; return whether there is one."""
        while not self._pieces:
            if self._taken and self._on_progress is not None:
                self._on_progress(self._taken)
            self._taken = 0
            try:
                batch = await anext(self._batches)
            except StopAsyncIteration:
                return False
            except Exception as error:
                self.failure = error
                raise
            self._pieces, self._taken = list(batch.pieces), batch.taken
        return True

    async def aclose(self) -> None:
        """Stop, and wait for the chunk in the thread (milliseconds). Idempotent."""
        async with self._turn:
            self._pieces = []
            await self._batches.aclose()

    async def _judged(self) -> AsyncGenerator[Batch]:
        """Yield batches as soon as their bytes may leave."""
        passage = self._passage
        held: list[Batch] = []  # the beginning, at most 1 MiB and a chunk; later the end
        out = 0
        async with aclosing(self._passed()) as batches:
            async for batch in batches:
                out += sum(map(len, batch.pieces))
                held.append(batch)
                if not passage.check.decided:
                    continue
                size = passage.size
                if passage.check.report is None and size is not None and out >= size:
                    continue  # the body would be complete, and may not be valid
                for earlier in held:
                    yield earlier
                held.clear()
        for last in held:
            yield last

    async def _passed(self) -> AsyncGenerator[Batch]:
        """Yield the output of each chunk, while the next one is in the thread."""
        passage = self._passage
        async with Worker[list[Buffer]](self._executor) as worker, AsyncExitStack() as stack:
            chunks = aiter(self._body)
            if isinstance(chunks, AsyncGenerator):
                await stack.enter_async_context(aclosing(chunks))
            inside = 0
            async for chunk in chunks:
                while worker.busy() and (batch := await self._next(worker, inside)).taken == 0:
                    yield batch
                before = [batch] if inside else []
                inside = len(chunk)
                if passage.light or (passage.stage is None and inside <= _INLINE):
                    before.append(Batch(passage.feed(chunk), inside))
                    inside = 0
                else:
                    worker.start(passage.feed, chunk)
                for each in before:
                    yield each
                # What is wanted next is known once this chunk has been read.
                while passage.by_range and worker.busy():
                    yield await self._next(worker, inside)
                    inside = 0 if not worker.busy() else inside
            while worker.busy():
                yield await self._next(worker, inside)
            worker.start(passage.finish)
            while worker.busy():
                yield await self._next(worker, 0)

    async def _next(self, worker: Worker[list[Buffer]], inside: int) -> Batch:
        """Return the next output of the chunk in the thread, which has `inside` bytes."""
        pieces = await worker.result()
        if not self._passage.more:
            return Batch(pieces, inside)
        worker.start(self._passage.take)
        return Batch(pieces, 0)


@asynccontextmanager
async def piped(
    body: ImageBody,
    passage: Passage,
    *,
    executor: Executor,
    on_progress: Progress | None = None,
) -> AsyncIterator[Pipe]:
    """Yield a `Pipe` for one request.

    An error of the pipe replaces any error of the block, since it is the cause. Cancelling the
    block is safe: the pipe stops and no thread holds a chunk.

    Args:
        body: The open body.
        passage: A new one for it.
        executor: Executor of the passage; a stream uses one thread at a time.
        on_progress: Called with the bytes of the source that the client took.

    Raises:
        ImageError: Source, format, length or hash failed.
    """
    pipe = Pipe(body, passage, executor, on_progress)
    try:
        async with aclosing(pipe):
            yield pipe
    except Exception as error:
        if pipe.failure is not None and pipe.failure is not error:
            raise pipe.failure from None
        raise
