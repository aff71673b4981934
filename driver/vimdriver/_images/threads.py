"""An uploader that owns its sockets: threads and preallocated buffers, controlled from asyncio.

It uses 5 to 17 % less CPU than the aiohttp uploader (docs/appendix/benchmarks.md) and scales past one core,
since OpenSSL and hashlib release the GIL. The event loop resolves names, starts threads, cancels
them and waits for them; it never touches a byte.
"""

from __future__ import annotations

import asyncio
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, BinaryIO, Self

from vimdriver._images.channel import Address, Stop
from vimdriver._images.local import LocalImage
from vimdriver._images.pump import (
    FileReader,
    Origin,
    Pump,
    PumpOptions,
    Reader,
    SocketReader,
    SocketWriter,
)
from vimdriver._images.raw_http import RawRequest
from vimdriver._images.source import ImageSource, RawSource
from vimdriver.errors import PlatformUnsupportedError, SourceRefusedError, SourceUnreachableError
from vimlib._secret import forgetful
from vimlib._shield import settled
from vimlib.errors import (
    ClosedError,
    ResolveError,
    TransferCorruptError,
    TransferRejectedError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimdriver._images.check import BodyCheck, BodyReport
    from vimdriver._images.uploader import BodySink
    from vimlib._progress import Progress


class ThreadUploader:
    """Uploads bodies in threads of its own. Use it with `async with`: leaving ends and joins them.

    Args:
        streams: Maximum number of parallel uploads; more wait. Each takes three threads and
            `options.buffers * options.buffer_bytes` of memory.
        options: Sizes and deadlines.

    Raises:
        PlatformUnsupportedError: The platform lacks `select.poll` (Windows).
    """

    def __init__(self, *, streams: int = 16, options: PumpOptions | None = None) -> None:
        if not self.supported():
            raise PlatformUnsupportedError(
                feature="ThreadUploader",
                needs="select.poll",
                hint="Use AsyncUploader, which does the same.",
            )
        self._streams = streams
        self._options = options or PumpOptions()
        self._slots = asyncio.Semaphore(streams)
        self._pumps: set[Pump] = set()
        self._executor: ThreadPoolExecutor | None = None

    @staticmethod
    def supported() -> bool:
        """Return whether this platform has `select.poll`."""
        return hasattr(select, "poll")

    async def __aenter__(self) -> Self:
        # One thread for every possible job: a transfer whose jobs do not all run would hang.
        self._executor = ThreadPoolExecutor(3 * self._streams, "image-pump")
        return self

    async def __aexit__(self, *exc: object) -> None:
        executor, self._executor = self._executor, None
        for pump in self._pumps:
            pump.call_off(ClosedError("the uploader is closed"))
        if executor is not None:
            # All jobs have ended or are cancelled; this waits for their last steps, milliseconds.
            executor.shutdown(wait=True)

    @forgetful
    async def upload(
        self,
        source: ImageSource,
        sink: BodySink,
        check: BodyCheck,
        *,
        on_progress: Progress | None = None,
    ) -> BodyReport:
        """See `BodyUploader.upload`.

        Raises:
            UsageError: The source is neither one HTTP request nor a local file.
        """
        async with self._slots, sink.slot(), AsyncExitStack() as stack:
            if isinstance(source, LocalImage):
                body = await stack.enter_async_context(source.open())
                await self._run(body.file, sink, check, on_progress)
            elif isinstance(source, RawSource):
                try:
                    await self._run(await source.wire(), sink, check, on_progress)
                except SourceRefusedError as error:
                    if error.status != 401:
                        raise
                    # Refused before a byte of the body was read: nothing was sent to the sink.
                    wire = await source.wire(fresh=True)
                    await self._run(wire, sink, check, on_progress)
            else:
                raise UsageError(
                    f"the source cannot be read by threads: {source!r}",
                    hint="Use the asyncio uploader.",
                )
        if check.report is None:
            raise TransferCorruptError("the transfer ended before the image was checked")
        return check.report

    async def _run(
        self,
        origin: RawRequest | BinaryIO,
        sink: BodySink,
        check: BodyCheck,
        on_progress: Progress | None,
    ) -> None:
        if self._executor is None:
            raise ClosedError("the uploader is not open", hint="Use it with `async with`.")
        loop = asyncio.get_running_loop()
        options = self._options
        wire = await sink.wire(check.info.size)
        target = Origin(wire, await _resolve_target(wire))

        def on_sent(count: int) -> None:
            if on_progress is not None:
                loop.call_soon_threadsafe(on_progress, count)

        with ExitStack() as stack:
            stop = Stop()
            stack.callback(stop.close)
            reader: Reader
            if isinstance(origin, RawRequest):
                where = Origin(origin, await _resolve_source(origin, check.info.id))
                reader = SocketReader(check.info, where, stop, options)
            else:
                reader = FileReader(check.info, origin)
            size = check.info.size
            writer = SocketWriter(target, size, stop, options, padding=-size % sink.pad)
            pump = Pump(reader, writer, check, stop, options, on_sent)
            self._pumps.add(pump)
            try:
                # When cancelled, stop the threads and still wait: a few milliseconds.
                jobs = [loop.run_in_executor(self._executor, job) for job in pump.jobs]
                await settled(*jobs, on_cancel=pump.call_off)
            finally:
                self._pumps.discard(pump)
        after = pump.error
        if after is not None and not (
            isinstance(after, TransferRejectedError) and after.status >= 500 and writer.whole
        ):
            raise after
        await sink.confirm(after)


async def _resolve(wire: RawRequest) -> Sequence[Address]:
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(wire.host, wire.port, type=socket.SOCK_STREAM)


async def _resolve_source(wire: RawRequest, image: str) -> Sequence[Address]:
    try:
        return await _resolve(wire)
    except OSError as error:
        raise SourceUnreachableError(
            host=wire.origin, reason=error.strerror or "", image=image
        ) from None


async def _resolve_target(wire: RawRequest) -> Sequence[Address]:
    try:
        return await _resolve(wire)
    except OSError as error:
        raise ResolveError(
            f"cannot resolve {wire.host}: {error.strerror}", host=wire.origin
        ) from None
