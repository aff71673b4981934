"""One connection for calls: its end, its deadlines, and what nobody asked for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.rig import canary as birds
from tests.rig import certs, clock
from tests.rig.stage import Conn, stage
from vimlib._tls import TLS
from vimlib._transport import EncodedCall, HTTPTransport
from vimlib._transport.connection import Connection
from vimlib._transport.http import HTTPRequest
from vimlib.errors import ConnectionLostError, DeadlineError, ProtocolError, VimlibError

GOOD = certs.make("good")
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n<ok/>"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<ok/>"


def with_goodbye(conn: Conn) -> None:
    conn.close()


def cut_off(conn: Conn) -> None:
    # The end of TCP without the end of TLS, which anybody on the way can make.
    conn.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)


def endless(end: Callable[[Conn], None]) -> Callable[[Conn], Awaitable[None]]:
    async def play(conn: Conn) -> None:
        await conn.request()
        await conn.send(ENDLESS)
        end(conn)
        await conn.hold()

    return play


async def call(server: Any) -> bytes:
    got: list[bytes] = []
    async with HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport:
        await transport.exchange(EncodedCall(method="x", body=b"", receive=got.append))
    return b"".join(got)


@pytest.mark.usefixtures("no_leaks")
async def test_a_body_without_a_length_ends_with_the_peers_goodbye() -> None:
    async with stage(endless(with_goodbye), GOOD.server_context()) as server:
        assert await call(server) == b"<ok/>"


@pytest.mark.usefixtures("no_leaks")
async def test_a_body_without_a_length_that_is_cut_off_is_not_whole() -> None:
    async with stage(endless(cut_off), GOOD.server_context()) as server:
        with pytest.raises(ConnectionLostError) as caught:
            await call(server)
    assert caught.value.outcome == "unknown"


@pytest.mark.usefixtures("no_leaks")
async def test_what_comes_before_it_was_asked_for_answers_nothing() -> None:
    async def eager(conn: Conn) -> None:
        await conn.send(WHOLE)
        await conn.hold()

    async with (
        stage(eager, GOOD.server_context()) as server,
        HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport,
    ):
        pool = transport._open()
        pool.release(await pool.acquire(), reusable=True)
        async with asyncio.timeout(60):
            while transport.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@pytest.mark.usefixtures("no_leaks")
async def test_a_reply_larger_than_one_wake_up_comes_whole_and_in_order() -> None:
    body = b"".join(b"<n>%d</n>" % number for number in range(60_000))

    async def play(conn: Conn) -> None:
        await conn.request()
        await conn.reply(200, body)
        await conn.hold()

    async with stage(play, GOOD.server_context()) as server:
        assert await call(server) == body


class Line(asyncio.Transport):
    """A transport without a socket, whose peer answers after `delay` seconds, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = Connection("host:1")
        self.connection.connection_made(self)
        self.delay: float | None = 0.0
        self.closed = False
        self.unsent = 0

    def write(self, data: Any) -> None:
        if self.delay is not None:
            asyncio.get_running_loop().call_later(self.delay, self.answer, WHOLE)

    def answer(self, data: bytes) -> None:
        if not self.closed:
            self.connection.get_buffer(-1)[: len(data)] = data
            self.connection.buffer_updated(len(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0, "writers wait until the kernel has taken everything"

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


class Silent:
    """A receiver that wants nothing."""

    def head(self, head: Any) -> None: ...

    def data(self, data: bytes) -> None: ...

    def end(self) -> None: ...


async def exchange(line: Line, *, read: float, seconds: float, delay: float | None) -> bool:
    line.delay = delay
    until = asyncio.get_running_loop().time() + seconds
    return await line.connection.exchange(
        "POST", b"x", Silent(), read=read, seconds=seconds, until=until
    )


@pytest.mark.parametrize("before", [(90.0, 300.0), (2.0, 300.0), (90.0, 2.0), (7.0, 7.0)])
@pytest.mark.parametrize(
    ("read", "seconds", "phase", "after"),
    [(5.0, 300.0, "read", 5.0), (90.0, 5.0, "call", 5.0), (100.0, 300.0, "read", 100.0)],
)
def test_a_deadline_is_kept_whatever_the_exchange_before_had(
    before: tuple[float, float], read: float, seconds: float, phase: str, after: float
) -> None:
    async def main() -> None:
        line = Line()
        loop = asyncio.get_running_loop()
        assert await exchange(line, read=before[0], seconds=before[1], delay=1.0)
        began = loop.time()
        with pytest.raises(DeadlineError) as caught:
            await exchange(line, read=read, seconds=seconds, delay=None)
        assert (caught.value.phase, caught.value.outcome) == (phase, "unknown")
        assert loop.time() - began == pytest.approx(after)
        assert line.closed

    clock.run(main())


def test_exchanges_one_after_the_other_share_a_timer_and_none_is_left() -> None:
    async def main() -> None:
        line = Line()
        loop: Any = asyncio.get_running_loop()
        for _ in range(500):
            assert await exchange(line, read=90.0, seconds=300.0, delay=0.0)
            assert len(loop._scheduled) <= 2, "the exchange's deadline and the peer's answer"
        line.connection.abort()
        assert not [timer for timer in loop._scheduled if not timer.cancelled()]

    clock.run(main())


def test_bytes_that_come_keep_the_silence_from_being_too_long() -> None:
    async def main() -> None:
        line = Line()
        for number, at in enumerate(range(4, 40, 4)):
            asyncio.get_running_loop().call_later(at, line.answer, WHOLE[number : number + 1])
        asyncio.get_running_loop().call_later(40, line.answer, WHOLE[9:])
        assert await exchange(line, read=5.0, seconds=300.0, delay=None)

    clock.run(main())


def test_a_connection_that_is_closed_sends_nothing() -> None:
    async def main() -> None:
        line = Line()
        line.connection.abort()
        with pytest.raises(ConnectionLostError) as caught:
            await exchange(line, read=5.0, seconds=5.0, delay=None)
        assert caught.value.outcome == "not_sent"

    clock.run(main())


def test_nothing_is_written_to_a_connection_that_is_being_closed() -> None:
    async def main() -> None:
        line = Line()
        line.closed = True  # by its peer, of which the loop has not told yet
        with pytest.raises(ConnectionLostError) as caught:
            await exchange(line, read=5.0, seconds=5.0, delay=None)
        assert caught.value.outcome == "not_sent"

    clock.run(main())


def test_a_body_without_a_length_is_not_whole_because_we_close() -> None:
    async def main() -> None:
        line = Line()
        call = asyncio.ensure_future(exchange(line, read=5.0, seconds=5.0, delay=None))
        await asyncio.sleep(1)
        line.answer(ENDLESS)
        line.connection.abort()
        line.connection.connection_lost(None)
        with pytest.raises(ConnectionLostError) as caught:
            await call
        assert caught.value.outcome == "unknown"

    clock.run(main())


def test_a_reply_that_comes_before_its_request_was_taken_ends_the_connection() -> None:
    async def main() -> None:
        line = Line()
        assert await exchange(line, read=5.0, seconds=5.0, delay=0.0)
        line.unsent = 1
        assert not await exchange(line, read=5.0, seconds=5.0, delay=0.0)

    clock.run(main())


GIVEN = f'Set-Cookie: vmware_soap_session="{birds.COOKIE}"; Path=/\r\n'
HEADS = {
    "redirect": f"HTTP/1.1 302 X\r\n{GIVEN}Location: /x\r\nContent-Length: 0\r\n\r\n",
    "no XML": f"HTTP/1.1 200 X\r\n{GIVEN}Content-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
    "encoding": f"HTTP/1.1 200 X\r\n{GIVEN}Content-Encoding: br\r\nContent-Length: 2\r\n\r\nhi",
    "length": f"HTTP/1.1 200 X\r\n{GIVEN}Content-Length: x\r\n\r\n",
    "line": f"HTTP/1.1 200 X\r\n{GIVEN}no header\r\n\r\n",
    "cookie": f"HTTP/1.1 200 X\r\n{GIVEN[:-2]}\0\r\n\r\n",
    "no HTTP": f"{GIVEN}\r\n\r\n",
    "decoder": f"HTTP/1.1 200 X\r\n{GIVEN}Content-Length: 2\r\n\r\nhi",
    "cut": f"HTTP/1.1 200 X\r\n{GIVEN}Content-Length: 9\r\n\r\nhi",
}


def refuse(data: bytes) -> None:
    if data == b"hi":
        raise ProtocolError("not that")


@pytest.mark.parametrize("what", HEADS)
async def test_row_81_no_cookie_is_shown_by_the_error_of_the_reply_that_gives_it(what: str) -> None:
    async def play(conn: Conn) -> None:
        await conn.request()
        await conn.send(HEADS[what].encode("latin-1"))
        conn.close()

    with birds.canary() as seen:
        async with (
            stage(play, GOOD.server_context()) as server,
            HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport,
        ):
            call = EncodedCall(method="Login", body=b"", receive=refuse, on_cookie=lambda _: None)
            with pytest.raises(VimlibError) as caught:
                await transport.exchange(call)
            seen.look_at(caught.value)
            try:
                async with transport.http(HTTPRequest(method="GET", target="/x")) as reply:
                    await reply.read()
            except VimlibError as error:
                seen.look_at(error)
