"""An HTTP proxy in memory that breaks chosen exchanges between a client and the simulated host."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

Act: TypeAlias = "Callable[[Turn], Awaitable[None]]"

_CALL = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_COOKIE = re.compile(rb'(?i)set-cookie: *\w+="?([^";\r\n]+)')
HTML = b"<html><head><title>Log in</title></head><body>Please log in.</body></html>"


class TooManyRequests(Exception):
    """The client did not stop asking."""


@dataclass
class Answer:
    """A response as the host sent it."""

    head: bytes
    """Up to and with the empty line."""
    body: bytes
    """As on the wire, so perhaps in chunks."""

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    def with_body(self, body: bytes, length: int | None = None) -> bytes:
        """Return the response with another body and its length, or another length."""
        lines = [
            line
            for line in self.head.split(b"\r\n")[:-2]
            if not re.match(rb"(?i)content-length:|transfer-encoding:", line)
        ]
        lines.append(b"Content-Length: %d" % (len(body) if length is None else length))
        return b"\r\n".join([*lines, b"", b""]) + body


def response(status: int, body: bytes = b"", *headers: bytes, kind: bytes = b"text/html") -> bytes:
    """Return a response of the proxy's own."""
    lines = [
        b"HTTP/1.1 %d X" % status,
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join([*lines, b"", b""]) + body


class Turn:
    """One request, and what can be done with it."""

    def __init__(
        self, proxy: Proxy, client: Side, server: Callable[[], Awaitable[Side]], head: bytes
    ) -> None:
        self.proxy = proxy
        self.client = client
        self.head = head
        self.body = b""
        self.intact = False
        """Whether the host's own answer was passed to a client that still listened."""
        self._server = server
        self._answer: bytes | None = None
        first = head.split(b" ", 2)
        self.verb = first[0].decode()
        """The wire name of a call, else the HTTP method."""
        self.target = first[1].decode()
        found = _LENGTH.search(head)
        self.length = int(found[1]) if found else 0

    async def read_body(self) -> None:
        """Read the whole body of the request."""
        if self.length and not self.body:
            self.body = await self.client.exactly(self.length)
            if self.verb == "POST" and (found := _CALL.search(self.body)):
                self.verb = found[1].decode()

    async def forward(self, body: bytes | None = None, *, cut: int | None = None) -> Answer:
        """Have the host execute it, and return its response.

        `cut` sends so many bytes of the body and then resets the connection to the host. Raises
        `ConnectionError` where the host closes without a response.
        """
        await self.read_body()
        server = await self._server()
        sent = self.body if body is None else body
        server.writer.write(self.head)
        if cut is not None:
            server.writer.write(sent[:cut])
            await server.writer.drain()
            await asyncio.sleep(0.001)
            server.abort()
            raise ConnectionResetError("cut by the proxy")
        server.writer.write(sent)
        try:
            while True:
                head = await server.head()
                if not head:
                    raise ConnectionResetError("the host closed without a response")
                if head.split(b" ", 2)[1] != b"100":
                    break
            answer = Answer(head, await server.response_body(head, self.verb))
            self.proxy.cookies |= set(_COOKIE.findall(head))
        except (ConnectionError, asyncio.IncompleteReadError):
            server.abort()
            raise ConnectionResetError("the host closed without a response") from None
        if re.search(rb"(?i)\r\nconnection: *close", head + self.head):
            server.abort()
        self._answer = answer.raw
        return answer

    async def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        self.intact = data == self._answer and not self.client.gone
        self.client.writer.write(data)
        await self.client.writer.drain()

    def close(self) -> None:
        """Close the client's connection after what was sent."""
        self.client.writer.close()

    def reset(self) -> None:
        """Reset the client's connection."""
        self.client.abort()

    async def hold(self) -> None:
        """Return when the client closes."""
        with contextlib.suppress(ConnectionError):
            while await self.client.reader.read(1 << 16):
                pass


class Side:
    """A connection of the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def gone(self) -> bool:
        """Whether the peer has closed the connection."""
        reader = self.reader
        return self.writer.is_closing() or reader.at_eof() or reader.exception() is not None

    def abort(self) -> None:
        self.writer.transport.abort()

    async def head(self) -> bytes:
        """Read a head; b"" at the end of the connection."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def exactly(self, count: int) -> bytes:
        """Read so many bytes. Raises `IncompleteReadError`, `ConnectionError`."""
        return await self.reader.readexactly(count)

    async def response_body(self, head: bytes, verb: str) -> bytes:
        status = int(head.split(b" ", 2)[1])
        if verb == "HEAD" or status in (204, 304):
            return b""
        if _CHUNKED.search(head):
            return await self._chunks()
        found = _LENGTH.search(head)
        return await self.exactly(int(found[1])) if found else await self.reader.read(-1)

    async def _chunks(self) -> bytes:
        whole = b""
        while True:
            line = await self.reader.readuntil(b"\r\n")
            chunk = await self.exactly(int(line.split(b";")[0], 16) + 2)
            whole += line + chunk
            if line.startswith(b"0\r"):
                return whole


class Proxy:
    """Forwards requests to the port of a host in memory; `plan` chooses what happens to each."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.latency = 0.0
        """Seconds by which each response is late."""
        self.plan: Callable[[Turn], Act | None] | None = None
        self.on_turn: Callable[[Turn], Awaitable[None]] | None = None
        """Runs before each request is forwarded."""
        self.seen: list[str] = []
        """Wire names of calls and HTTP methods, in order."""
        self.lost: set[str] = set()
        """Those of which an answer of the host did not reach the client as it was."""
        self.cookies: set[bytes] = set()
        """Values of cookies that the host has set."""
        self.on_connect = b""
        """Another response to CONNECT."""
        self.most = 5000
        """Requests after which the client counts as endless."""
        self.exhausted = asyncio.Event()
        self.dead = False
        """Whether the client is cut off: a process that was killed sends nothing more."""
        self._host = port
        self._sides: set[Side] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Side(reader, writer)
        self._sides.add(client)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream: Side | None = None

        async def server() -> Side:
            nonlocal upstream
            if upstream is None or upstream.writer.is_closing():
                pair = await asyncio.open_connection("127.0.0.1", self._host, limit=1 << 20)
                upstream = Side(*pair)
                self._sides.add(upstream)
            return upstream

        try:
            while head := await client.head():
                if self.dead:
                    return
                turn = Turn(self, client, server, head)
                if turn.verb == "CONNECT":  # the client's own proxy: the tunnel leads here again
                    await turn.send(self.on_connect or b"HTTP/1.1 200 Connected\r\n\r\n")
                    continue
                if turn.verb == "POST":
                    await turn.read_body()
                self.seen.append(turn.verb)
                if len(self.seen) > self.most:
                    self.exhausted.set()
                    return
                act = self.plan(turn) if self.plan is not None else None
                if self.on_turn is not None:
                    await self.on_turn(turn)
                # Where that was the kill, the connections are gone.
                try:
                    await (pass_on if act is None else act)(turn)
                finally:
                    if not turn.intact:
                        self.lost.add(turn.verb)
                if writer.is_closing() or re.search(rb"(?i)\r\nconnection: *close", head):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            client.abort()
        finally:
            self._tasks.discard(task)
            writer.close()
            self._sides.discard(client)
            if upstream is not None:
                upstream.abort()
                self._sides.discard(upstream)

    def kill(self) -> None:
        """Cut the client off, as the end of its process does."""
        self.dead = True
        for side in tuple(self._sides):
            side.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """Serve on a port in memory until the end of the block."""
        # Little is taken ahead of the handler, so that a stalled one stalls the client.
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 12)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.kill()
            for task in tuple(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)


# -- acts ------------------------------------------------------------------------------------------


async def pass_on(turn: Turn) -> None:
    """Forward the request and the response."""
    answer = await turn.forward()
    if turn.proxy.latency:
        await asyncio.sleep(turn.proxy.latency)
    await turn.send(answer.raw)


async def reset(turn: Turn) -> None:
    """Reset; the host does not see the request."""
    turn.reset()


async def drop(turn: Turn) -> None:
    """Close; the host does not see the request."""
    turn.close()


async def hang(turn: Turn) -> None:
    """Never respond; the host does not see the request."""
    await turn.hold()
    turn.close()


def say(raw: bytes, *, close: bool = False) -> Act:
    """Respond with these bytes; the host does not see the request."""

    async def act(turn: Turn) -> None:
        await turn.read_body()
        await turn.send(raw)
        if close:
            turn.close()

    return act


async def lose(turn: Turn) -> None:
    """Have it executed, and reset instead of responding."""
    await turn.forward()
    turn.reset()


async def lose_politely(turn: Turn) -> None:
    """Have it executed, and close instead of responding."""
    await turn.forward()
    turn.close()


async def lose_silently(turn: Turn) -> None:
    """Have it executed, and never respond."""
    await turn.forward()
    await turn.hold()
    turn.close()


def answer_after(raw: bytes) -> Act:
    """Have it executed, and respond with other bytes."""

    async def act(turn: Turn) -> None:
        await turn.forward()
        await turn.send(raw)

    return act


def rewrite(change: Callable[[Answer], bytes], *, close: bool = False) -> Act:
    """Have it executed, and change the response."""

    async def act(turn: Turn) -> None:
        await turn.send(change(await turn.forward()))
        if close:
            turn.close()

    return act


def late(seconds: float, act: Act = pass_on) -> Act:
    """Wait before the request is forwarded, even if the client has gone by then."""

    async def wait(turn: Turn) -> None:
        await turn.read_body()
        await asyncio.sleep(seconds)
        await act(turn)

    return wait


def cut_request(share: float, raw: bytes | None) -> Act:
    """Forward a part of the body and cut the host off; respond with `raw`, or reset."""

    async def act(turn: Turn) -> None:
        await turn.read_body()
        with contextlib.suppress(ConnectionError):
            await turn.forward(cut=int(len(turn.body) * share))
        if raw is None:
            turn.reset()
        else:
            await turn.send(raw)

    return act


def drip(pause: float, burst: int = 1) -> Act:
    """Send the response in pieces of `burst` bytes with a pause between them."""

    async def act(turn: Turn) -> None:
        raw = (await turn.forward()).raw
        for at in range(0, len(raw), burst):
            await turn.send(raw[at : at + burst])
            await asyncio.sleep(pause)

    return act


def stall(at: int) -> Act:
    """Send so many bytes of the response and then nothing."""

    async def act(turn: Turn) -> None:
        await turn.send((await turn.forward()).raw[:at])
        await turn.hold()
        turn.close()

    return act


def sip(pause: float, burst: int = 1) -> Act:
    """Take the body of the request in pieces of `burst` bytes with a pause between them."""

    async def act(turn: Turn) -> None:
        if not turn.body:
            while len(turn.body) < turn.length:
                turn.body += await turn.client.exactly(min(burst, turn.length - len(turn.body)))
                await asyncio.sleep(pause)
        await pass_on(turn)

    return act


async def no_reading(turn: Turn) -> None:
    """Take nothing of the request's body."""
    await asyncio.sleep(1e7)
