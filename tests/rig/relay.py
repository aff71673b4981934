"""A relay of HTTP messages in front of a real server, with a rule per method for its replies.

`proxy` breaks bytes of connections; this one parses enough of HTTP and SOAP to affect one call and
leave the others alone. TLS ends here, so the relay reads all requests in plain text.

::

    async with relay("127.0.0.1", port, tls=certs.make("good").server_context()) as between:
        between.on("CreateVM_Task", lose)
        ...
        between.calls, between.cookies, between.stage.received
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.rig.stage import Conn, Request, Stage, stage

Act: TypeAlias = "Callable[[Turn], Awaitable[None]]"

XML = ("Content-Type", "text/xml; charset=utf-8")
HTML = ("Content-Type", "text/html; charset=utf-8")

_CALL = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
_COOKIE = re.compile(r'vmware_soap_session="?([^";]+)')


def method_of(request: Request) -> str:
    """Return the wire name of a SOAP call, or the HTTP method of anything else."""
    found = _CALL.search(request.body) if request.method == "POST" else None
    return found[1].decode() if found else request.method


@dataclass
class Reply:
    """A server's reply."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = field(repr=False)
    length: int | None = None
    """Content-Length if it is not the body's: of the response to a HEAD."""

    def raw(self, *, length: int | None = None) -> bytes:
        """Return its bytes on the wire; `length` fakes the Content-Length, a negative one omits
        it."""
        lines = [f"HTTP/1.1 {self.status} X"]
        length = self.length if length is None else length
        if length is None or length >= 0:
            lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass
class Rule:
    """The action for some calls of a method."""

    method: str
    act: Act
    nth: int = 1
    times: int | None = 1
    seen: int = 0

    def strikes(self, method: str) -> bool:
        if self.method not in (method, "*"):
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


@dataclass
class Turn:
    """One request, with the possible actions."""

    relay: Relay
    conn: Conn
    request: Request
    method: str

    async def forward(self) -> Reply:
        """Forward it to the server and return the whole reply."""
        reply = await self.relay.ask(self.request)
        for name, value in reply.headers:
            if name.lower() == "set-cookie" and (found := _COOKIE.search(value)):
                self.relay.cookies.add(found[1])
        return reply


class Relay:
    """The log of forwarded messages, and the rules for later ones."""

    def __init__(self, host: str, port: int) -> None:
        self.calls: list[str] = []
        """Methods in the order of the requests."""
        self.cookies: set[str] = set()
        """Values of session cookies that the server set."""
        self.sent_cookies: list[str] = []
        """Cookie headers that clients sent."""
        self.rules: list[Rule] = []
        self.stage: Stage
        self._server = host, port
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The server is one of the test's own processes, on loopback.
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._front: ssl.SSLContext | None = None

    def on(self, method: str, act: Act, *, nth: int = 1, times: int | None = 1) -> Rule:
        """Apply `act` to the `nth` call of a method from now on, and to `times` in total (None:
        all).

        `method` is a SOAP call's wire name, `GET`, `PUT`..., or `*`.
        """
        rule = Rule(method, act, nth, times)
        self.rules.append(rule)
        return rule

    def present(self, context: ssl.SSLContext) -> None:
        """Use another certificate for new connections."""
        self._front = context

    def count(self, method: str) -> int:
        return self.calls.count(method)

    async def ask(self, request: Request) -> Reply:
        """Send a request to the server on a separate connection."""
        reader, writer = await asyncio.open_connection(*self._server, ssl=self._tls, limit=1 << 20)
        try:
            lines = [f"{request.method} {request.target} HTTP/1.1", "Connection: close"]
            lines += [f"{k}: {v}" for k, v in request.headers.items() if k not in _HOP]
            lines.append(f"Content-Length: {len(request.body)}")
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + request.body)
            await writer.drain()
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        first, *rest = head.decode("latin-1").split("\r\n")
        if not first:
            raise ConnectionResetError("the server closed without an answer")
        headers = [(k, v.strip()) for k, _, v in (line.partition(":") for line in rest)]
        if any(k.lower() == "transfer-encoding" for k, _ in headers):
            body = _dechunked(body)
        kept = [(k, v) for k, v in headers if k.lower() not in _HOP]
        reply = Reply(int(first.split(" ")[1]), kept, body)
        if request.method == "HEAD":
            reply.length = int(next(v for k, v in headers if k.lower() == "content-length"))
        return reply

    async def play(self, conn: Conn) -> None:
        while True:
            request = await conn.request()
            method = method_of(request)
            self.calls.append(method)
            if "cookie" in request.headers:
                self.sent_cookies.append(request.headers["cookie"])
            turn = Turn(self, conn, request, method)
            struck = [rule for rule in self.rules if rule.strikes(method)]
            if struck:
                await struck[0].act(turn)
            else:
                await conn.send((await turn.forward()).raw())
            if conn.writer.is_closing() or request.headers.get("connection", "").lower() == "close":
                return


_HOP = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive"})


def _dechunked(body: bytes) -> bytes:
    whole = bytearray()
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            break
        whole += body[:length]
        body = body[length + 2 :]
    return bytes(whole)


# -- acts ----------------------------------------------------------------------------------------


async def lose(turn: Turn) -> None:
    """Forward the request, and reset the connection instead of replying."""
    await turn.forward()
    turn.conn.reset()


async def silence(turn: Turn) -> None:
    """Never reply; the server does not receive the request."""
    await turn.conn.hold()
    turn.conn.close()


def answer(status: int, body: bytes, *headers: tuple[str, str], forward: bool = False) -> Act:
    """Send this reply instead; with `forward` the server still executes the request."""

    async def act(turn: Turn) -> None:
        if forward:
            await turn.forward()
        await turn.conn.send(Reply(status, list(headers or (XML,)), body).raw())

    return act


def edit(change: Callable[[Reply], Reply]) -> Act:
    """Change the server's reply."""

    async def act(turn: Turn) -> None:
        await turn.conn.send(change(await turn.forward()).raw())

    return act


def cut(share: float, *, length: bool = True) -> Act:
    """Send this share of the reply's body and close; without `length` there is no
    Content-Length."""

    async def act(turn: Turn) -> None:
        reply = await turn.forward()
        whole = len(reply.body)
        reply.body = reply.body[: int(whole * share)]
        if not length:
            reply.headers.append(("Connection", "close"))
        await turn.conn.send(reply.raw(length=whole if length else -1))
        turn.conn.close()

    return act


def trickle(pause: float) -> Act:
    """Send the reply byte by byte, with a pause in seconds between them."""

    async def act(turn: Turn) -> None:
        for byte in (await turn.forward()).raw():
            await turn.conn.send(bytes([byte]))
            await asyncio.sleep(pause)

    return act


def alter(change: Callable[[bytes], bytes]) -> Act:
    """Forward another body than the client sent."""

    async def act(turn: Turn) -> None:
        turn.request.body = change(turn.request.body)
        await turn.conn.send((await turn.forward()).raw())

    return act


async def reset_when_idle(turn: Turn) -> None:
    """Forward the reply, then reset the connection while it is idle."""
    await turn.conn.send((await turn.forward()).raw())
    await asyncio.sleep(0.05)  # a reset that overtakes the reply would destroy it
    turn.conn.reset()


@asynccontextmanager
async def relay(
    host: str, port: int, *, tls: ssl.SSLContext, address: str = "127.0.0.1"
) -> AsyncIterator[Relay]:
    """Relay to a TLS server on loopback, with `tls` towards clients."""
    between = Relay(host, port)
    front = tls

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = between._front or front

    # Called for each handshake, with or without a server name.
    tls.sni_callback = choose
    async with stage(between.play, tls, address=address) as between.stage:
        yield between
