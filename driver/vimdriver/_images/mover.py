"""The seam: what moves a body from a source to a target. Everything else is the same for each mover.

`AsyncMover` is here; `vimdriver._images.threads` has one that owns its sockets.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Protocol

from vimdriver._images.pipe import piped
from vimlib.errors import TransferCorruptError

if TYPE_CHECKING:
    from vimdriver._images.check import BodyCheck, BodyReport
    from vimdriver._images.source import ImageSource
    from vimdriver._images.wire import Wire
    from vimlib._progress import Progress

__all__ = ["AsyncMover", "BodyMover", "BodySink"]


class BodySink(Protocol):
    """Where a body goes: one HTTP PUT to one address that is ours alone."""

    @property
    def pad(self) -> int:
        """Zeros follow the body up to a multiple of this many bytes; 1 for none. `put` does it
        itself, a mover that uses `wire` does it too.
        """
        ...

    async def put(self, body: AsyncIterable[bytes], size: int) -> None:
        """Send `body` with Content-Length `size`; return when the server has confirmed it.

        Cancelling aborts the connection: the server never sees the body whole.

        Raises:
            VimlibError: The server refused, vanished or stalled.
        """
        ...

    async def wire(self, size: int) -> Wire:
        """Give the same request as a value, its cookie fresh, for movers that own sockets.

        Args:
            size: Bytes of the body, before padding.

        Raises:
            VimlibError: The session could not be renewed.
        """
        ...

    async def confirm(self) -> None:
        """Have the server confirm what a mover sent by `wire`: its size is read back.

        Raises:
            TransferCorruptError: It is not there, or has another size.
        """
        ...


class BodyMover(Protocol):
    """Moves a body from a source to a sink."""

    async def move(
        self,
        source: ImageSource,
        sink: BodySink,
        check: BodyCheck,
        *,
        on_progress: Progress | None = None,
    ) -> BodyReport:
        """Move the whole body, checked on its way. Back-pressure reaches the source.

        On any failure the request to the sink is aborted before its last byte, so what the server
        keeps is at most a partial file. Cancelling does the same and leaves no thread and no
        socket behind.

        Args:
            source: The image.
            sink: Where it goes.
            check: Made from `await source.info()`; used up by this call.
            on_progress: Called on the event loop with the bytes that have just left.

        Raises:
            ImageError: The source failed or the body was refused.
            VimlibError: The sink failed.
        """
        ...


class AsyncMover:
    """Moves bodies on the event loop: an async iterator in, an async iterator out.

    Args:
        executor: Where chunks are hashed and inflated. The caller owns it; two threads keep two
            cores busy, more than one a stream is never used.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def move(
        self,
        source: ImageSource,
        sink: BodySink,
        check: BodyCheck,
        *,
        on_progress: Progress | None = None,
    ) -> BodyReport:
        """See `BodyMover.move`."""
        async with (
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
