"""A file on its way from the host, resumed by Range when the connection breaks."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from vimlib.errors import (
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    TransferCorruptError,
    TransferRejectedError,
    TransportError,
    UsageError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from vimlib._transport.http import HTTPReply

# A break costs a new connection, not the bytes that came: as long as some come, go on.
_FRUITLESS: Final = 3


def content_range(value: str | None) -> tuple[int, int, int]:
    """Read `bytes 5-9/20` into (5, 10, 20): start, end (exclusive), size of the file.

    Raises `ProtocolError`.
    """
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", value or "")
    if match is None or not int(match[1]) <= int(match[2]) < int(match[3]):
        raise ProtocolError("the host sent a part of the file without a valid Content-Range")
    return int(match[1]), int(match[2]) + 1, int(match[3])


class Download:
    """The bytes of a file or of a range of it; iterate over it once, within its context manager."""

    def __init__(
        self,
        path: str,
        request: Callable[[int, int | None], AbstractAsyncContextManager[HTTPReply]],
        start: int,
        stop: int | None,
    ) -> None:
        self.path = path
        self.start = start
        """Offset of the first byte."""
        self.stop = stop or 0
        """Offset behind the last byte; known once it is open."""
        self.file_size = 0
        """Size of the whole file, in bytes."""
        self.received = 0
        """Bytes that were handed out so far."""
        self.resumed = 0
        """How often the connection broke and was taken up again."""
        self._request = request
        self._asked_stop = stop
        self._stack = AsyncExitStack()
        self._reply: HTTPReply | None = None
        self._stamp: str | None = None
        self._iterated = False

    @property
    def size(self) -> int:
        """Bytes that will come in all."""
        return self.stop - self.start

    async def open(self) -> None:
        """Ask for the file, again if the connection breaks. Raises what the host answers."""
        reply = await self._resume(0, patient=False)
        self._stamp = reply.header("etag") or reply.header("last-modified")

    async def aclose(self) -> None:
        """Close the connection. Safe to call twice."""
        self._reply = None
        await self._stack.aclose()

    async def _ask(self, start: int, stop: int | None) -> HTTPReply:
        await self._stack.aclose()
        reply = await self._stack.enter_async_context(self._request(start, stop))
        if reply.status == 206:
            first, end, total = content_range(reply.header("content-range"))
        else:
            # A host that ignores Range sends all; what was not asked for is skipped below.
            if reply.length is None:
                raise ProtocolError(f"the host sent {self.path} without a Content-Length")
            first, end, total = 0, reply.length, reply.length
        wanted_end = min(total, stop) if stop is not None else total
        if first > start or end < wanted_end or start > total:
            raise ProtocolError(f"the host sent a different part of {self.path} than requested")
        if self.file_size and total != self.file_size:
            raise self._changed(total)
        self.file_size, self.stop = total, wanted_end
        self._skip = start - first
        self._reply = reply
        return reply

    def _changed(self, total: int) -> TransferCorruptError:
        return TransferCorruptError(
            f"{self.path} changed during the download",
            hint="Download it again when no one writes to it.",
            path=self.path,
            expected=self.file_size,
            actual=total,
        )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._iterated or self._reply is None:
            raise UsageError("a download can be read once, while it is open")
        self._iterated = True
        fruitless = 0
        while True:
            before = self.received
            try:
                async for piece in self._pieces(self._reply):
                    self.received += len(piece)
                    yield piece
                return
            except (ConnectionLostError, DeadlineError):
                if self.received == self.size:
                    return  # all that was announced has come; only the framing's end is lost
                fruitless = fruitless + 1 if self.received == before else 0
                if fruitless >= _FRUITLESS:
                    raise
            self.resumed += 1
            reply = await self._resume(fruitless)
            stamp = reply.header("etag") or reply.header("last-modified")
            if stamp != self._stamp:
                raise self._changed(self.file_size)

    async def _resume(self, fruitless: int, *, patient: bool = True) -> HTTPReply:
        """Ask for what has not come yet, again if the connection breaks, or (`patient`) is silent."""
        while True:
            try:
                return await self._ask(self.start + self.received, self._asked_stop)
            except TransportError as error:
                fruitless += 1
                late = isinstance(error, DeadlineError) and not patient
                if fruitless >= _FRUITLESS or late or not error.retryable:
                    raise

    async def _pieces(self, reply: HTTPReply) -> AsyncIterator[bytes]:
        skip = self._skip
        async for chunk in reply.chunks():
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            piece = chunk[skip:] if skip else chunk
            skip = 0
            left = self.size - self.received
            if left <= 0:
                return
            yield piece[:left] if len(piece) > left else piece
        if self.received != self.size:
            raise ConnectionLostError(
                f"{self.path} ended after {self.received} of {self.size} bytes"
            )

    async def read(self) -> bytes:
        """Return all of it; for small files. Cancelling closes the connection."""
        return b"".join([piece async for piece in self])

    def __repr__(self) -> str:
        return f"<Download of {self.path}, {self.received} of {self.size} bytes>"


def rejected(path: str, verb: str, status: int, excerpt: str) -> VimlibError:
    """Return the error for a status with which the host refuses a transfer."""
    hints = {
        401: "The session has ended: start again from the first byte.",
        403: "Check the user's rights, and whether the host's licence allows writing.",
        404: "Check that the datastore and the folder exist.",
        409: "Choose another name, or allow overwriting.",
        416: "The range begins after the end of the file; stat() returns its size.",
        413: "The file is larger than the datastore allows.",
        507: "Free some space on the datastore.",
    }
    said = f": {excerpt}" if excerpt else ""
    return TransferRejectedError(
        f"the host refused to {verb} {path}: HTTP {status}{said}",
        hint=hints.get(status, ""),
        path=path,
        status=status,
        excerpt=excerpt,
        # 5xx may come after a part was written.
        outcome="unknown" if status >= 500 and status != 507 else "refused",
    )
