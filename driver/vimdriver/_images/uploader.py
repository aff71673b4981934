"""Uploaders stream a body from a source to a sink. This is the interface that all of them
implement.

`AsyncUploader` is here; `vimdriver._images.threads` has the one that owns its sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from vimdriver._images.check import BodyCheck
from vimdriver._images.pipe import piped
from vimlib._secret import forgetful
from vimlib.errors import TransferCorruptError, TransferRejectedError

if TYPE_CHECKING:
    from vimdriver._images.check import BodyReport
    from vimdriver._images.raw_http import RawRequest
    from vimdriver._images.source import ImageInfo, ImageSource
    from vimlib._progress import Progress


class BodySink(Protocol):
    """The target of a body: one HTTP PUT to a path that nothing else writes to."""

    @property
    def pad(self) -> int:
        """The body is padded with zeros to a multiple of this many bytes; 1 means no padding. `put`
        pads by itself; an uploader that uses `wire` pads too.
        """
        ...

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Hold a connection of the server for the one `put` or `wire` of the block.

        Waits in turn for it, so that a source is opened only once its bytes can leave.
        """
        ...

    async def put(self, body: AsyncIterable[bytes], size: int) -> None:
        """Send `body` with Content-Length `size`; return when the server has confirmed it.

        Cancelling aborts the connection: the server never receives the complete body.

        Raises:
            VimlibError: The server refused, closed the connection or stalled.
        """
        ...

    async def wire(self, size: int) -> RawRequest:
        """Return the same request as a value, with a fresh cookie, for uploaders that own sockets.

        Args:
            size: Bytes of the body, before padding.

        Raises:
            VimlibError: The session could not be renewed.
        """
        ...

    async def confirm(self, after: TransferRejectedError | None = None) -> None:
        """Confirm an upload that was sent by `wire`: read the file's size back from the server.

        `after` is the answer 5xx to the whole body, whose outcome is unknown: it is raised unless
        the server has the whole file.

        Raises:
            TransferCorruptError: The file does not exist or has another size.
        """
        ...


class BodyUploader(Protocol):
    """Streams a body from a source to a sink."""

    async def upload(
        self,
        source: ImageSource,
        sink: BodySink,
        check: BodyCheck,
        *,
        on_progress: Progress | None = None,
    ) -> BodyReport:
        """Upload the whole body and check it during the transfer. Back-pressure reaches the source.

        On any failure the request to the sink is aborted before its last byte, so the server keeps
        at most a partial file. Cancelling does the same and leaves no thread and no socket behind.

        Args:
            source: The image.
            sink: The target.
            check: A new check for `await source.info()`; this call uses it up.
            on_progress: Called on the event loop with the number of bytes just sent.

        Raises:
            ImageError: The source failed or the body was refused.
            VimlibError: The sink failed.
        """
        ...


async def upload_image(
    uploader: BodyUploader,
    source: ImageSource,
    sink: BodySink,
    info: ImageInfo,
    *,
    on_progress: Progress | None = None,
) -> BodyReport:
    """Upload an image, again from its first byte if the host's session ends as the PUT begins.

    A PUT that is answered by 401 was not executed; the second one has a new session. Of both,
    `on_progress` is told of each byte once. Raises and is cancelled as `BodyUploader.upload`.
    """
    reported = sent = 0

    def report(count: int) -> None:
        nonlocal reported, sent
        sent += count
        if on_progress is not None and sent > reported:
            on_progress(sent - reported)
        reported = max(reported, sent)

    try:
        return await uploader.upload(source, sink, BodyCheck(info), on_progress=report)
    except TransferRejectedError as error:
        if error.status != 401:
            raise
    sent = 0
    return await uploader.upload(source, sink, BodyCheck(info), on_progress=report)


class AsyncUploader:
    """Streams bodies on the event loop, from one async iterator into another.

    Args:
        executor: Executor that hashes and inflates chunks; the caller owns it. Each stream uses one
            of its threads at a time.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    @forgetful
    async def upload(
        self,
        source: ImageSource,
        sink: BodySink,
        check: BodyCheck,
        *,
        on_progress: Progress | None = None,
    ) -> BodyReport:
        """See `BodyUploader.upload`."""
        async with (
            sink.slot(),
            source.open() as body,
            piped(body, check, executor=self._executor, on_progress=on_progress) as pipe,
        ):
            await sink.put(pipe, pipe.size)
        if check.report is None:
            raise TransferCorruptError(
                "the server reported success before it had the whole file",
                expected=check.info.size,
                actual=check.received,
                hint="Check for a proxy between here and the host that may have answered.",
            )
        return check.report
