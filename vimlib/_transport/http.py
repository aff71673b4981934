"""Transfers: plain HTTP on the same trust, for `/folder` and NFC, with streamed bodies.

The response is awaited while the request's body is sent: one that comes before the end of the body
is the response, not a broken pipe. The lengths of both bodies are enforced: the source must deliver
exactly the announced length, and so must the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from vimlib._repr import robust
from vimlib._secret import Secret, mask_error, secrets_of
from vimlib._shield import stopped
from vimlib._text import printable
from vimlib._transport.http11 import request_head
from vimlib._transport.pace import NEVER, Breach, Deadline, Pace
from vimlib._transport.replies import redirect
from vimlib._transport.status import readable
from vimlib.errors import ConnectionLostError, LimitError, ProtocolError, SourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

    from vimlib._progress import Progress
    from vimlib._transport.base import Timeouts
    from vimlib._transport.connection import Connection
    from vimlib._transport.http11 import Head


# A piece of a body that has the write deadline to itself.
_PIECE: Final = 1 << 20
# Received bytes that may wait for the consumer.
_AHEAD: Final = 1 << 19
# Seconds to wait for the body of a refusal.
_EXCERPT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPRequest:
    """A request without credentials in its `repr`."""

    method: str
    target: str
    """Path and query, percent-encoded."""
    headers: Mapping[str, Header] = field(default_factory=dict, repr=False)
    body: AsyncIterable[Buffer] | None = field(default=None, repr=False)
    length: int | None = 0
    """Bytes of the body, exactly; None sends it chunked (RFC 9112, 7.1)."""
    on_sent: Progress | None = field(default=None, repr=False)
    """Called with the body bytes that the kernel has taken, after each piece."""
    end: Deadline = NEVER
    """When all must be over, by the loop's clock."""


class Credential(Protocol):
    """A header whose value changes while its request waits for a connection."""

    async def renew(self) -> None:
        """Make sure that the value is valid; may make calls."""
        ...

    def value(self) -> Secret | None:
        """Return the header's value of this moment; None leaves it out."""
        ...


Header: TypeAlias = "str | Secret | Credential"
Buffer: TypeAlias = bytes | bytearray | memoryview
"""A piece of a body. It is not changed before the next one is asked for."""


async def renew(headers: Mapping[str, Header]) -> None:
    """Make sure of the credentials in `headers`."""
    for value in headers.values():
        if not isinstance(value, str | Secret):
            await value.renew()


def authorized(headers: Mapping[str, Header]) -> dict[str, str | Secret]:
    """Return headers with the values that hold now, for a request that is written now."""
    now = {
        name: value if isinstance(value, str | Secret) else value.value()
        for name, value in headers.items()
    }
    return {name: value for name, value in now.items() if value is not None}


class HTTPReply:
    """The head of a reply, and its body as it comes. Valid within its context manager."""

    def __init__(self, head: Head, body: _Incoming) -> None:
        self.status = head.status
        self.reason = head.reason
        self._head = head
        self._body = body

    def header(self, name: str) -> str | None:
        """Return the header of that name, joined by commas if there are several, or None."""
        return self._head.get(name.lower())

    @property
    def length(self) -> int | None:
        """Bytes of the body as announced; None if it is unknown."""
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
            async with asyncio.timeout(_EXCERPT_SECONDS):
                async for chunk in self.chunks():
                    data += chunk
                    if len(data) >= limit:
                        break
        return readable(data, limit)

    @robust
    def __repr__(self) -> str:
        return f"<HTTPReply {self.status}, {self.length} bytes>"


@contextlib.asynccontextmanager
async def exchange_http(
    connection: Connection, request: HTTPRequest, authority: str, timeouts: Timeouts
) -> AsyncIterator[HTTPReply]:
    """Send `request` and yield its reply; the connection is used up by it.

    The head of the reply must be there within `Timeouts.call` once the request is sent; both bodies
    keep to `Timeouts.rate`, and all of it to `request.end`.

    Raises `ConnectionLostError`, `DeadlineError`, `ProtocolError`, `RedirectError`, `SourceError`
    for a source that delivers too little, too much or an error of its own (as `__cause__`).
    Leaving early or being cancelled closes the connection.
    """
    incoming = _Incoming(connection, timeouts, request.end)
    headers = authorized(request.headers)
    try:
        incoming.begin(request.method, _head(request, authority, headers))
        head = await _answer(connection, incoming, request, timeouts)
        if 300 <= head.status < 400 and head.status != 304:
            raise redirect(connection.host, head.get("location"))
        coding = (head.get("content-encoding") or "identity").strip().lower()
        if coding != "identity":  # the bytes of the file are wanted, and counted
            raise ProtocolError(
                f"invalid HTTP response from {connection.host}: "
                f"Content-Encoding must be identity, got {printable(coding, 40)!r}"
            )
        yield HTTPReply(head, incoming)
    except BaseException as exc:
        # The caller's errors too, which quote the reply.
        mask_error(exc, secrets_of(headers))
        connection.abort(reset=True)
        raise
    finally:
        connection.end()
    connection.close()


def _head(request: HTTPRequest, authority: str, given: Mapping[str, str | Secret]) -> bytes:
    headers: dict[str, str | Secret] = {
        "Host": authority,
        "Connection": "close",
        "Accept-Encoding": "identity",
    }
    if request.body is not None and request.length is None:
        headers["Transfer-Encoding"] = "chunked"
    elif request.body is not None:
        headers["Content-Length"] = str(request.length)
    return request_head(request.method, request.target, {**headers, **given}) + b"\r\n"


async def _answer(
    connection: Connection, incoming: _Incoming, request: HTTPRequest, timeouts: Timeouts
) -> Head:
    """Send the body and await the head of the reply, whichever ends first."""
    if request.body is None:
        return await incoming.final_head()
    pace = Pace.writing(timeouts, request.end)
    pump = asyncio.create_task(_pump(connection, request, pace), name="vimlib http body")
    # The server may be silent while the body is sent: its deadlines start after that.
    head = asyncio.create_task(incoming.final_head(pump, pace), name="vimlib http head")
    try:
        await asyncio.wait({pump, head}, return_when=asyncio.FIRST_COMPLETED)
        # A refusal that arrived before the peer hung up on the body explains that.
        if not head.done() and pump.exception() is not None and not incoming.has_head:
            await pump
        reply = await head
        if 200 <= reply.status < 300:
            # A success, perhaps an early one: it counts if all that was announced goes out.
            await pump
        return reply
    finally:
        await stopped(pump, head)


async def _pump(connection: Connection, request: HTTPRequest, pace: Pace) -> None:
    assert request.body is not None
    length = inf if request.length is None else request.length
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
                said = f"{done} bytes" if length == inf else f"{done} of {length} bytes"
                raise SourceError(
                    f"the source failed after {said}: {type(exc).__name__}", outcome="unknown"
                ) from exc
            if done + len(chunk) > length:
                raise SourceError(
                    f"the source must deliver {length} bytes, got more",
                    outcome="unknown",
                )
            # In pieces: progress is reported after each.
            for at in range(0, len(chunk), _PIECE):
                piece = chunk if len(chunk) <= _PIECE else memoryview(chunk)[at : at + _PIECE]
                await connection.send(piece if length < inf else _chunk(piece), pace)
                done += len(piece)
                if request.on_sent is not None:
                    request.on_sent(len(piece))
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
    if length == inf:
        await connection.send(b"0\r\n\r\n", pace)
    elif done != length:
        raise SourceError(f"the source ended after {done} of {length} bytes", outcome="unknown")


def _chunk(piece: Buffer) -> bytes:
    return b"".join((b"%x\r\n" % len(piece), piece, b"\r\n"))


class _Incoming:
    """Receives a reply for a consumer that takes it at its own pace."""

    def __init__(self, connection: Connection, timeouts: Timeouts, end: Deadline) -> None:
        self.length: int | None = None
        """Bytes of the body as announced."""
        self._verb = ""
        self._connection = connection
        self._timeouts = timeouts
        self._end = end
        self._head: Head | None = None
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._paused = False
        self._started = False
        self._answer: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None

    def begin(self, method: str, request: bytes) -> None:
        """Write a request, or its head."""
        self._verb = "upload" if method in {"PUT", "POST"} else "download"
        try:
            self._answer = self._connection.begin(method, request, self)
        finally:
            del request  # it holds the cookie
        self._answer.add_done_callback(self._wake)

    # -- as the receiver -----------------------------------------------------------------------

    def head(self, head: Head) -> None:
        """Take the head."""
        self._head = head
        self.length = head.announced
        self._wake()

    def data(self, data: bytes) -> None:
        """Queue a piece, and let the peer wait if there are enough of them."""
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= _AHEAD and not self._paused:
            self._paused = True
            self._connection.pause()
        self._wake()

    def end(self) -> None:
        """Do nothing: the exchange's future resolves."""

    def _wake(self, _: object = None) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # -- as the consumer -----------------------------------------------------------------------

    @property
    def has_head(self) -> bool:
        """Whether the final head is there."""
        return self._head is not None

    async def final_head(
        self, pump: asyncio.Task[None] | None = None, sent: Pace | None = None
    ) -> Head:
        """Return the final head; while `pump` runs, it may take any time. `sent` counts the body."""
        clock = asyncio.get_running_loop().time
        if pump is not None:
            pump.add_done_callback(self._wake)
            while self._head is None and not pump.done():
                await self._wait(inf)
        end = self._end.within(self._timeouts.call, "call", clock())
        while self._head is None:
            # Each byte ends the silence, an interim reply too: the deadline ends them all.
            if not await self._wait(end.until - clock(), silence=self._timeouts.read):
                count = 0 if sent is None else sent.bytes
                raise Breach(end.rule, end.seconds, count).error(self._verb, self._connection.host)
        return self._head

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._started:
            raise UsageError("the body of a reply can be read once")
        self._started = True
        answer = self._answer
        assert answer is not None
        clock = asyncio.get_running_loop().time
        pace = Pace.reading(self._timeouts, self._end)
        waited = 0.0
        while True:
            breach = None
            if self._pieces:
                piece = self._pieces.popleft()
                self._waiting -= len(piece)
                breach = pace.add(len(piece), waited, clock())
                waited = 0.0
                if breach is None:
                    yield piece
            elif self._paused:
                self._paused = False
                self._connection.resume()
            elif answer.done():
                answer.result()  # raises what ended it early
                return
            else:
                began = clock()
                heard = await self._wait(pace.left(began))
                waited = clock() - began
                if not heard:
                    breach = pace.add(0, waited, clock())
                    waited = 0.0
            if breach is not None:
                raise breach.error("download", self._connection.host)

    async def _wait(self, seconds: float, *, silence: float = inf) -> bool:
        """Wait for news; return whether there are any. Raise what ended the exchange early."""
        answer = self._answer
        assert answer is not None
        if answer.done():
            answer.result()
        news = self._news = asyncio.get_running_loop().create_future()
        self._connection.expect(silence)
        try:
            async with asyncio.timeout(None if seconds == inf else seconds):
                await news
        except TimeoutError:
            return news.done() and not news.cancelled()
        finally:
            self._news = None
            self._connection.expect(inf)
        return True
