"""Plain HTTP on the same trust, for `/folder`, NFC and the service's documents.

A request's body goes out while the reply is already awaited: an answer that comes before or amid
the body is the answer, not a broken pipe. The length of both bodies is policed: what the source
delivers must be exactly what was announced, what the server announces must come.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vimlib._secret import Secret, forget_locals
from vimlib._transport.http11 import LONGEST_HEAD, chunk_size, length_of, parse_head, wrong
from vimlib._transport.wire import RECEIVE
from vimlib.errors import (
    ConnectionLostError,
    LimitError,
    ProtocolError,
    RedirectError,
    SourceError,
    UsageError,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from vimlib._progress import Progress
    from vimlib._transport.http11 import Head
    from vimlib._transport.wire import Connection

__all__ = ["HTTPReply", "HTTPRequest", "exchange_http"]

_LINE: Final = 8 << 10
_PIECE: Final = 1 << 20
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_LENGTH: Final = re.compile(r"[0-9]{1,18}\Z")
_NOT_TEXT: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
# How long an answer may take that was on its way when writing failed.
_LAST_WORDS: Final = 5.0
# Interim answers (1xx) before an answer: each is a sign of life, so no deadline ends an endless row.
_INTERIM: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPRequest:
    """A request without credentials in its `repr`."""

    method: str
    target: str
    """Path and query, percent-encoded."""
    headers: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    body: AsyncIterable[bytes] | None = field(default=None, repr=False)
    length: int = 0
    """Bytes of the body, exactly."""
    on_sent: Progress | None = field(default=None, repr=False)
    """Called with the body bytes that the kernel has taken, after each piece."""


class HTTPReply:
    """The head of a reply, and its body as it comes. Valid within its context manager."""

    def __init__(self, head: Head, body: _Body) -> None:
        self.status = head.status
        self.reason = head.reason
        self._head = head
        self._body = body

    def header(self, name: str) -> str | None:
        """Return the header of that name, joined by commas if there are several, or None."""
        return self._head.get(name.lower())

    @property
    def length(self) -> int | None:
        """Bytes of the body as announced; None if the server does not say."""
        return self._body.length

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body. Raises `ConnectionLostError` if it ends before its announced end."""
        return self._body.chunks()

    async def read(self, limit: int = 1 << 20) -> bytes:
        """Read the whole body. Raises `LimitError` if it is longer than `limit`."""
        parts, total = [], 0
        async for chunk in self.chunks():
            total += len(chunk)
            if total > limit:
                raise LimitError(
                    f"the reply must have at most {limit} bytes", limit="http", allowed=limit
                )
            parts.append(chunk)
        return b"".join(parts)

    async def excerpt(self, limit: int = 200) -> str:
        """Return the beginning of the body, escaped, for an error message; "" if none is to be had."""
        data = b""
        with contextlib.suppress(ConnectionLostError, ProtocolError, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                async for chunk in self.chunks():
                    data += chunk
                    if len(data) >= limit:
                        break
        return printable(data.decode("utf-8", "replace").strip(), limit)

    def __repr__(self) -> str:
        return f"<HTTPReply {self.status}, {self.length} bytes>"


@contextlib.asynccontextmanager
async def exchange_http(
    connection: Connection, request: HTTPRequest, authority: str
) -> AsyncIterator[HTTPReply]:
    """Send `request` and yield its reply; the connection is used up by it.

    Raises `ConnectionLostError`, `DeadlineError`, `ProtocolError`, `RedirectError`, `SourceError`
    for a source that delivers too little, too much or an error of its own (as `__cause__`).
    Leaving early or being cancelled closes the connection.
    """
    try:
        await connection.send(_head(request, authority))
        reader = _Reader(connection)
        reply = await _answer(connection, reader, request)
        if 300 <= reply.status < 400 and reply.status != 304:
            where = printable(reply.header("location") or "", 200)
            raise RedirectError(
                f"{connection.host} redirects to {where!r}, which is not followed",
                hint="Connect to the host that serves the API itself.",
                host=connection.host,
                location=where,
            )
        coding = (reply.header("content-encoding") or "identity").strip().lower()
        if coding != "identity":  # the bytes of the file are wanted, and counted
            raise reader.wrong(f"Content-Encoding must be identity, got {printable(coding, 40)!r}")
        yield reply
    except BaseException:
        connection.abort()
        raise
    connection.close()


def _head(request: HTTPRequest, authority: str) -> bytes:
    if not re.fullmatch(r"[A-Z]+", request.method) or not re.fullmatch(r"/[!-~]*", request.target):
        raise UsageError(f"invalid request line: {request.method} {printable(request.target)!r}")
    lines = [
        f"{request.method} {request.target} HTTP/1.1",
        f"Host: {authority}",
        "Connection: close",
        "Accept-Encoding: identity",
    ]
    if request.body is not None:
        lines.append(f"Content-Length: {request.length}")
    for name, value in request.headers.items():
        text = value.reveal() if isinstance(value, Secret) else value
        if not _TOKEN.match(name.encode("utf-8")) or _NOT_TEXT.search(text):
            raise UsageError(f"invalid characters in header {printable(name, 40)!r}")
        lines.append(f"{name}: {text}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "strict")


async def _answer(connection: Connection, reader: _Reader, request: HTTPRequest) -> HTTPReply:
    """Send the body and await the head of the reply, whichever ends first."""
    if request.body is None:
        return await reader.reply(request.method)
    pump = asyncio.create_task(_pump(connection, request), name="vimlib http body")
    # While the body goes out the server is silent by right, so the read deadline starts behind it.
    head = asyncio.create_task(reader.reply(request.method, pump), name="vimlib http head")
    try:
        await asyncio.wait({pump, head}, return_when=asyncio.FIRST_COMPLETED)
        if not head.done():
            failure = pump.exception()
            if isinstance(failure, ConnectionLostError):
                # The peer hung up on us: its reason may still stand in our receive buffer.
                await asyncio.wait({head}, timeout=_LAST_WORDS)
                if not head.done() or head.exception() is not None:
                    raise failure
            elif failure is not None:
                raise failure
        reply = await head
        if 200 <= reply.status < 300:
            # A yes, maybe an early one: it counts if all that was announced goes out.
            await pump
        return reply
    finally:
        for task in (pump, head):
            task.cancel()
        await asyncio.gather(pump, head, return_exceptions=True)


async def _pump(connection: Connection, request: HTTPRequest) -> None:
    assert request.body is not None
    done = 0
    source = aiter(request.body)
    try:
        while True:
            try:
                chunk = await anext(source)
            except StopAsyncIteration:
                break
            except (Exception, asyncio.CancelledError) as exc:
                task = asyncio.current_task()
                ours = isinstance(exc, asyncio.CancelledError) and task and task.cancelling()
                if ours or isinstance(exc, SourceError):
                    raise
                raise SourceError(
                    f"the source failed after {done} of {request.length} bytes: {type(exc).__name__}",
                    outcome="unknown",
                ) from exc
            if done + len(chunk) > request.length:
                raise SourceError(
                    f"the source must deliver {request.length} bytes, got more",
                    outcome="unknown",
                )
            # In pieces: the deadline of a write is one for bytes that do not move, not for a large chunk.
            for at in range(0, len(chunk), _PIECE):
                piece = chunk if len(chunk) <= _PIECE else memoryview(chunk)[at : at + _PIECE]
                await connection.send(piece)
                done += len(piece)
                if request.on_sent is not None:
                    request.on_sent(len(piece))
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
    if done != request.length:
        raise SourceError(
            f"the source ended after {done} of {request.length} bytes", outcome="unknown"
        )


class _Reader:
    """Lines and bytes out of a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.buffer = bytearray()

    async def more(self, pump: asyncio.Task[None] | None = None) -> bool:
        if pump is None or pump.done():
            data = await self.connection.receive()
        else:
            data = await self._beside(pump)
        if not data:
            return False
        self.buffer += data
        return True

    async def _beside(self, pump: asyncio.Task[None]) -> bytes:
        """Read while the body still goes out: the read deadline begins when its last piece is gone."""
        # Each piece has a deadline of its own (`write`).
        arrival = asyncio.create_task(self.connection.receive(float("inf")))
        try:
            await asyncio.wait({arrival, pump}, return_when=asyncio.FIRST_COMPLETED)
            if not arrival.done():
                await asyncio.wait({arrival}, timeout=self.connection.read_timeout)
            if not arrival.done():
                raise self.connection.late()
            return await arrival
        finally:
            arrival.cancel()
            await asyncio.gather(arrival, return_exceptions=True)

    async def some(self, limit: int) -> bytes:
        """Return at most `limit` bytes, b"" at the end; what comes whole is not copied."""
        buffer = self.buffer
        if not buffer:
            data = await self.connection.receive()
            if len(data) <= limit:
                return data
            buffer += data
        with memoryview(buffer) as view:
            piece = bytes(view[:limit])
        del buffer[: len(piece)]
        return piece

    async def line(self, limit: int = _LINE) -> bytes:
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > limit:
                raise self.wrong("header line too long")
            if not await self.more():
                raise self.cut()
        if end > limit:
            raise self.wrong("header line too long")
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line.removesuffix(b"\r")

    async def reply(self, method: str, pump: asyncio.Task[None] | None = None) -> HTTPReply:
        """Read the head of the final reply, passing over interim ones."""
        interim = 0
        while (head := await self._one_head(pump)).status < 200:
            if head.status == 101:
                raise self.wrong("unrequested switch of protocols")
            interim += pump is None or pump.done()  # before that the body's end ends the row
            if interim > _INTERIM:
                raise self.wrong("too many interim responses")
        length = length_of(head, method, self.connection.host)
        body = _Body(self, length)
        if method == "HEAD":  # it says what a GET would bring
            announced = head.get("content-length") or ""
            body.length = int(announced) if _LENGTH.match(announced) else None
        return HTTPReply(head, body)

    async def _one_head(self, pump: asyncio.Task[None] | None) -> Head:
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > LONGEST_HEAD or not b"HTTP/".startswith(self.buffer[:5]):
                raise self.wrong("malformed status line", bytes(self.buffer[:200]))
            if not await self.more(pump):
                raise self.cut()
        raw = bytes(self.buffer[:end])
        del self.buffer[: end + 4]
        try:
            return parse_head(raw, self.connection.host)
        except ProtocolError as exc:
            forget_locals(exc)
            raise
        finally:
            del raw  # a head may give a cookie, and tracebacks hold frames

    def wrong(self, why: str, data: bytes = b"") -> ProtocolError:
        return wrong(self.connection.host, why, data)

    def cut(self) -> ConnectionLostError:
        return ConnectionLostError(
            f"{self.connection.host} closed the connection before the end of its reply",
            host=self.connection.host,
        )


class _Body:
    """The body of a reply: counted, chunked, or until the connection ends."""

    def __init__(self, reader: _Reader, length: int | None) -> None:
        self.length = None if length == -1 else length
        self._framing = length
        self._reader = reader
        self._started = False

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._started:
            raise UsageError("the body of a reply can be read once")
        self._started = True
        if self._framing == -1:
            while size := chunk_size(await self._reader.line(), self._reader.connection.host):
                async for piece in self._exactly(size):
                    yield piece
                if await self._reader.line() != b"":
                    raise self._reader.wrong("a chunk is longer than its size")
            while await self._reader.line():  # trailers
                pass
        elif self._framing is not None:
            async for piece in self._exactly(self._framing):
                yield piece
        else:
            while piece := await self._reader.some(RECEIVE):
                yield piece
            if self._reader.connection.cut:
                raise self._reader.cut()

    async def _exactly(self, count: int) -> AsyncIterator[bytes]:
        while count:
            piece = await self._reader.some(count)
            if not piece:
                raise self._reader.cut()
            count -= len(piece)
            yield piece
