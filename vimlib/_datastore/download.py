"""A file on its way from the host, resumed by Range when the connection breaks."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from vimlib._datastore.completion import announced, begins_as_disk, changed
from vimlib._repr import robust
from vimlib.errors import (
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    TransferRejectedError,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from vimlib._transport.http import HTTPReply
    from vimlib._transport.pace import Pace

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
    """The bytes of a file or of a range of it; iterate over it once, within its context manager.

    Iterating to the end raises `TransferCorruptError` unless the host then still lists the file as it
    did before the first byte; what has come so far is not to be used before.
    """

    def __init__(
        self,
        path: str,
        request: Callable[[int, int | None], AbstractAsyncContextManager[HTTPReply]],
        start: int,
        stop: int | None,
        *,
        size: int,
        confirm: Callable[[], Awaitable[None]],
        host: str,
        pace: Pace,
        growing: bool = False,
        disk: bool = False,
    ) -> None:
        self.path = path
        self.start = start
        """Offset of the first byte."""
        self.stop = size if stop is None else min(size, stop)
        """Offset behind the last byte."""
        self.file_size = size
        """Size of the whole file in bytes, as the host listed it before the first byte."""
        self.received = 0
        """Bytes that were handed out so far."""
        self.resumed = 0
        """How often the connection broke and was taken up again."""
        self._request = request
        self._asked_stop = size or None if growing and stop is None else stop
        self._confirm = confirm
        self._host = host
        # Over all connections: one that breaks after each byte must come to an end too.
        self._pace = pace
        self._growing = growing
        self._disk = disk
        self._stack = AsyncExitStack()
        self._reply: HTTPReply | None = None
        self._stamp: str | None = None
        self._iterated = False

    @property
    def size(self) -> int:
        """Bytes that will come in all."""
        return self.stop - self.start

    async def open(self) -> None:
        """Ask for the file, again if the connection breaks. Raises the host's refusal."""
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
            if reply.length not in {None, end - first}:
                raise ProtocolError(f"the host sent a part of {self.path} of another length")
        else:
            # A host that ignores Range sends all; what was not asked for is skipped below.
            if reply.length is None:
                raise ProtocolError(f"the host sent {self.path} without a Content-Length")
            first, end, total = 0, reply.length, reply.length
        announced(self.path, self.file_size, total, growing=self._growing)
        if first > start or end < self.stop or start > total:
            raise ProtocolError(f"the host sent a different part of {self.path} than requested")
        self._skip = start - first
        self._reply = reply
        return reply

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        if self._iterated or self._reply is None:
            raise UsageError("a download can be read once, while it is open")
        self._iterated = True
        fruitless = 0
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            before = self.received
            try:
                async for piece in self._pieces(self._reply):
                    if self._disk and not self.received and not self.start:
                        begins_as_disk(self.path, piece)
                    self.received += len(piece)
                    self._check_pace(len(piece), clock() - began, clock())
                    yield piece
                    began = clock()
                break
            except (ConnectionLostError, DeadlineError) as error:
                if self.received == self.size:
                    break  # all that was announced has come; only the framing's end is lost
                fruitless = fruitless + 1 if self.received == before else 0
                if fruitless >= _FRUITLESS or _too_slow(error):
                    raise
            self._check_pace(0, clock() - began, began := clock())
            self.resumed += 1
            reply = await self._resume(fruitless)
            stamp = reply.header("etag") or reply.header("last-modified")
            if stamp != self._stamp and not self._growing:
                raise changed(self.path, self.file_size, None)
        await self._stack.aclose()  # the connection, which the host's listing may need
        await self._confirm()

    def _check_pace(self, count: int, waited: float, now: float) -> None:
        breach = self._pace.add(count, waited, now)
        if breach is not None:
            raise breach.error("download", self._host)

    async def _resume(self, fruitless: int, *, patient: bool = True) -> HTTPReply:
        """Ask for what has not come yet, again if the connection breaks, or (`patient`) is silent."""
        while True:
            try:
                return await self._ask(self.start + self.received, self._asked_stop)
            except TransportError as error:
                fruitless += 1
                late = isinstance(error, DeadlineError) and not patient
                if fruitless >= _FRUITLESS or late or not error.retryable or _too_slow(error):
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

    @robust
    def __repr__(self) -> str:
        return f"<Download of {self.path}, {self.received} of {self.size} bytes>"


def _too_slow(error: TransportError) -> bool:
    """Return whether another connection cannot help: the transfer is too slow, or its time is up."""
    return isinstance(error, DeadlineError) and error.rule in {"rate", "timeout", "transfer"}


def rejected(path: str, verb: str, status: int, excerpt: str) -> TransferRejectedError:
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
        # 5xx may come from a gateway that passed it on, or after a part was written.
        outcome="unknown" if status >= 500 else "refused",
        retryable=status in {401, 429, 502, 503, 504},
    )
