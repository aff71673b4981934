"""Select the uploader of a body: threads with their own sockets where possible, else asyncio."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vimdriver._images.local import LocalImage
from vimdriver._images.pump import PumpOptions
from vimdriver._images.source import RawSource
from vimdriver._images.threads import ThreadUploader
from vimdriver._images.uploader import AsyncUploader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimdriver._images.check import BodyCheck, BodyReport
    from vimdriver._images.source import ImageSource
    from vimdriver._images.uploader import BodySink, BodyUploader
    from vimlib._client import Client
    from vimlib._progress import Progress
    from vimlib._transport.base import Timeouts


class _Chooser:
    """Passes each body to the faster uploader that supports its source (docs/appendix/benchmarks.md)."""

    def __init__(self, threads: ThreadUploader, general: AsyncUploader) -> None:
        self._threads = threads
        self._general = general

    async def upload(
        self,
        source: ImageSource,
        sink: BodySink,
        check: BodyCheck,
        *,
        on_progress: Progress | None = None,
    ) -> BodyReport:
        """See `BodyUploader.upload`."""
        plain = isinstance(source, LocalImage | RawSource)
        uploader: BodyUploader = self._threads if plain else self._general
        return await uploader.upload(source, sink, check, on_progress=on_progress)


@asynccontextmanager
async def open_uploader(
    client: Client, streams: int, timeouts: Timeouts | None = None
) -> AsyncIterator[BodyUploader]:
    """Yield an uploader for `streams` parallel bodies; its threads have ended on return.

    `timeouts` are its deadlines, those of the client if None.

    The threads connect to the host themselves, so behind a proxy, and where threads are not
    supported, all bodies go through the client's transport.
    """
    executor = ThreadPoolExecutor(max(1, min(streams, 4)), thread_name_prefix="vimlib-hash")
    general = AsyncUploader(executor)
    try:
        if client.proxied or not ThreadUploader.supported():
            yield general
        else:
            options = PumpOptions.of(timeouts or client.timeouts)
            async with ThreadUploader(streams=max(1, streams), options=options) as threads:
                yield _Chooser(threads, general)
    finally:
        # No job is running: each stream has waited for its own.
        executor.shutdown(wait=True)
