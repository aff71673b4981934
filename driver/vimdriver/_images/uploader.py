"""Moves image bodies: source -> check -> stage -> sink. Everything that sends one comes through here.

The event loop moves the bytes, since it serves every source and every way to the target, proxies
included; checking, hashing and converting, which release the GIL, run in a few threads, and so does
deflating (docs/appendix/transfers.md).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from vimdriver._images.check import BodyCheck
from vimdriver._images.deflater import Deflater
from vimdriver._images.pipe import Passage, piped
from vimdriver._images.ranges import RangedBody, check_whole
from vimdriver._images.source import RangedSource
from vimlib._secret import forgetful
from vimlib.errors import ClosedError, TransferCorruptError, TransferRejectedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable
    from contextlib import AbstractAsyncContextManager

    from vimdriver._images.check import BodyReport
    from vimdriver._images.pipe import Stage
    from vimdriver._images.ranges import RangedStage
    from vimdriver._images.source import ImageBody, ImageInfo, ImageSource
    from vimlib._progress import Progress
    from vimlib._transport.http import Buffer


class BodySink(Protocol):
    """The target of a body: one HTTP request, to where nothing else writes."""

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Hold a connection of the server for the one `put` of the block.

        Waits in turn for it, so that a source is opened only once its bytes can leave.
        """
        ...

    async def put(self, body: AsyncIterable[Buffer], size: int | None) -> None:
        """Send `body` with Content-Length `size`; return when the server has confirmed it.

        Without `size` it is sent chunked; a sink that cannot do that raises `UsageError`. A request
        that failed is sent again only by `Uploader.upload`, which calls `put` once more with a body
        that begins at its first byte. Cancelling aborts the connection: the server never receives
        the complete body.

        Raises:
            VimlibError: The server refused, closed the connection or stalled.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A body that the sink has confirmed."""

    source: BodyReport
    """The verified properties of the source's bytes."""
    bytes: int
    """Bytes that came out of the stage; without one the source's."""


class Uploader:
    """Sends bodies. Use it with `async with`: leaving ends its threads.

    Args:
        streams: Number of bodies that will be sent at once, a hint for the number of threads.
            More than that are sent all the same.
        shared: Most of them are the same body for several sinks: see `Deflater`.
    """

    def __init__(self, *, streams: int = 16, shared: bool = False) -> None:
        # More threads than cores would only take turns.
        self._threads = max(1, min(streams, os.cpu_count() or 4))
        self._executor: ThreadPoolExecutor | None = None
        self.deflater = Deflater(shared=shared)
        """For the writers of stages that are uploaded here."""

    async def __aenter__(self) -> Self:
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="vimlib-image")
        return self

    async def __aexit__(self, *exc: object) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            # Each stream waits for its own job, milliseconds; one that goes on gets `ClosedError`.
            executor.shutdown(wait=True)
        # After the stages, which wait for it.
        self.deflater.close()

    @forgetful
    async def upload(
        self,
        source: ImageSource,
        sink: BodySink,
        info: ImageInfo,
        *,
        stage: Callable[[], Stage] | None = None,
        by_range: Callable[[], RangedStage] | None = None,
        hashing: bool = True,
        on_progress: Progress | None = None,
    ) -> Uploaded:
        """Upload a whole body and check it on the way. Back-pressure reaches the source.

        On any failure the request to the sink is aborted before its last byte, so the server keeps
        at most a partial file. A request that the host answers by 401 was not executed, since the
        session had ended: it is sent once more, from the first byte, with a new session.
        Cancelling aborts the request and leaves no thread and no socket behind.

        Args:
            source: The image.
            sink: The target.
            info: `await source.info()`, or the facts to check the body against instead.
            stage: Makes the conversion between source and sink; None sends the source's bytes.
            by_range: Makes the conversion instead, which a `RangedSource` feeds what it wants, after
                the whole has been read once and passed the check; see `ranges`.
            hashing: False skips the hash of the source's bytes, so that they are not verified.
            on_progress: Called on the event loop with the source's bytes that have just been sent,
                each byte once.

        Raises:
            ImageError: The source failed or the body was refused.
            VimlibError: The sink failed.
        """
        reported = sent = 0

        def report(count: int) -> None:
            nonlocal reported, sent
            sent += count
            if on_progress is not None and sent > reported:
                on_progress(sent - reported)
            reported = max(reported, sent)

        def passage() -> Passage:
            return Passage(
                BodyCheck(info, hashing=hashing, unchanged=stage is None),
                None if stage is None else stage(),
            )

        async def send() -> Uploaded:
            if by_range is not None:
                return await self._send_parts(source, sink, info, by_range(), report)
            return await self._send(source, sink, passage(), report)

        try:
            return await send()
        except TransferRejectedError as error:
            if error.status != 401:
                raise
        sent = 0
        return await send()

    async def _send(
        self, source: ImageSource, sink: BodySink, passage: Passage, on_progress: Progress
    ) -> Uploaded:
        async with sink.slot(), source.open() as body:
            return await self._pipe(body, sink, passage, on_progress)

    async def _send_parts(
        self,
        source: ImageSource,
        sink: BodySink,
        info: ImageInfo,
        stage: RangedStage,
        on_progress: Progress,
    ) -> Uploaded:
        assert isinstance(source, RangedSource), "the caller checks that"
        check = BodyCheck(info, unchanged=False)
        async with sink.slot(), source.parts() as parts:
            await check_whole(parts, check, self._opened())
            passage = Passage(check, stage, by_range=True)
            return await self._pipe(RangedBody(parts, stage), sink, passage, on_progress)

    def _opened(self) -> ThreadPoolExecutor:
        if self._executor is None:
            raise ClosedError("the uploader is not open", hint="Use it with `async with`.")
        return self._executor

    async def _pipe(
        self, body: ImageBody, sink: BodySink, passage: Passage, on_progress: Progress
    ) -> Uploaded:
        check = passage.check
        async with piped(body, passage, executor=self._opened(), on_progress=on_progress) as pipe:
            await pipe.begin()
            await sink.put(pipe, pipe.size)
        report = check.report
        if report is None:
            raise TransferCorruptError(
                "the server reported success before it had the whole file",
                expected=check.info.size,
                actual=check.received,
                hint="Check for a proxy between here and the host that may have answered.",
            )
        sent = report.bytes if passage.stage is None else passage.out
        return Uploaded(source=report, bytes=sent)
