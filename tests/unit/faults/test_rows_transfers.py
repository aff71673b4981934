"""Bodies that are refused, cut, stalled, too short or too long: rows 33, 45 to 49, 52, 53, 56."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.rig import certs, clock
from tests.rig.stage import Conn, stage
from vimlib._secret import Secret
from vimlib._tls import TLS
from vimlib._transport import HTTPRequest, HTTPTransport, Timeouts
from vimlib.errors import (
    ConnectionLostError,
    DeadlineError,
    LimitError,
    ProtocolError,
    SourceError,
    UsageError,
)

pytestmark = pytest.mark.usefixtures("no_leaks")
GOOD = certs.make("good")
MIB = 1 << 20


class Body:
    """A source that counts, and knows that it was closed."""

    def __init__(
        self, size: int, *, chunk: int = 1 << 16, fail_at: int = -1, stall_at: int = -1
    ) -> None:
        self.size, self.chunk, self.fail_at, self.stall_at = size, chunk, fail_at, stall_at
        self.given = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        block = os.urandom(self.chunk)
        try:
            while self.given < self.size:
                if 0 <= self.fail_at <= self.given:
                    raise OSError(5, "the disk fell out")
                if 0 <= self.stall_at <= self.given:
                    await asyncio.Event().wait()
                piece = block[: min(self.chunk, self.size - self.given)]
                self.given += len(piece)
                yield piece
        finally:
            self.closed = True


async def put(
    transport: HTTPTransport, body: Body, length: int | None = None, **headers: str | Secret
) -> tuple[int, str]:
    request = HTTPRequest(
        method="PUT",
        target="/folder/x?dcPath=ha-datacenter&dsName=ds",
        headers=headers,
        body=body,
        length=body.size if length is None else length,
    )
    async with transport.http(request) as reply:
        return reply.status, await reply.excerpt()


def transport_to(url: str, **deadlines: float) -> HTTPTransport:
    deadlines = {"read": 30.0, "write": 30.0, "connect": 30.0, "handshake": 30.0, **deadlines}
    return HTTPTransport(url, tls=TLS(pin=GOOD.digest()), timeouts=Timeouts(**deadlines))


async def take(conn: Conn) -> None:
    """Take a whole body and say 201 with its size."""
    _, _, headers = await conn.head()
    left = int(headers["content-length"])
    while left:
        data = await conn.reader.read(min(left, 1 << 16))
        if not data:
            raise ConnectionResetError
        left -= len(data)
    await conn.reply(201, headers["content-length"].encode())


async def test_a_body_arrives_whole() -> None:
    body = Body(3 * MIB + 17)
    async with stage(take, GOOD.server_context()) as server, transport_to(server.url) as transport:
        assert await put(transport, body) == (201, str(body.size))
    assert body.closed


async def test_an_empty_body() -> None:
    async with stage(take, GOOD.server_context()) as server, transport_to(server.url) as transport:
        assert await put(transport, Body(0)) == (201, "0")


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403, 413, 500, 507])
@pytest.mark.parametrize("after", [0, 1 << 18])
@pytest.mark.parametrize("end", ["close", "reset", "half"])
async def test_row_45_an_early_answer_is_the_answer(status: int, after: int, end: str) -> None:
    """Before or amid the body, with the connection closed, reset or left: never a broken pipe."""

    async def refuse(conn: Conn) -> None:
        await conn.head()
        left = after
        while left > 0:
            left -= len(await conn.reader.read(left))
        await conn.reply(status, b"no room\x1b[1m")
        if end == "reset":
            # Let the answer arrive: a reset that overtakes it destroys it in the kernel.
            await asyncio.sleep(0.05)
            conn.reset()
        elif end == "close":
            conn.close()
        else:
            await asyncio.sleep(0.3)

    body = Body(64 * MIB)
    async with (
        stage(refuse, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
    ):
        assert await put(transport, body) == (status, "no room\\x1b[1m")
    assert body.closed
    assert body.given < body.size


async def test_row_45_an_answer_that_arrived_before_a_write_failed_is_read() -> None:
    """The answer lies in our receive buffer when the next write meets the reset."""
    answered = asyncio.Event()

    async def refuse(conn: Conn) -> None:
        await conn.head()
        await conn.reply(507, b"full")
        sock: socket.socket = conn.writer.get_extra_info("socket")
        sock.shutdown(socket.SHUT_RD)  # what comes from now on is answered by RST
        answered.set()
        await asyncio.sleep(0.2)

    class Late(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield bytes(1 << 16)
            await answered.wait()
            time.sleep(0.02)  # noqa: ASYNC251 - the loop shall not read meanwhile
            for _ in range(200):
                yield bytes(1 << 16)

    body = Late(201 << 16)
    async with (
        stage(refuse, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
    ):
        assert await put(transport, body) == (507, "full")


@pytest.mark.parametrize("after", [0, 1 << 18])
async def test_row_45_a_reset_without_an_answer_is_a_lost_connection(after: int) -> None:
    async def reset(conn: Conn) -> None:
        await conn.head()
        left = after
        while left > 0:
            left -= len(await conn.reader.read(left))
        conn.reset()

    body = Body(64 * MIB)
    async with stage(reset, GOOD.server_context()) as server, transport_to(server.url) as transport:
        with pytest.raises(ConnectionLostError) as caught:
            await put(transport, body)
    assert caught.value.outcome == "unknown"
    assert body.closed


@pytest.mark.slow
async def test_row_48_the_host_stops_taking_the_body() -> None:
    async def stall(conn: Conn) -> None:
        await conn.head()
        conn.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(1.5)

    body = Body(64 * MIB)
    async with (
        stage(stall, GOOD.server_context()) as server,
        transport_to(server.url, write=0.3) as transport,
    ):
        with pytest.raises(DeadlineError) as caught:
            await put(transport, body)
    assert (caught.value.phase, caught.value.outcome) == ("write", "unknown")
    assert body.closed


def test_row_86_the_host_takes_the_body_too_slowly() -> None:
    clock.run_hosted(_row_86())


async def _row_86() -> None:
    async def sip(conn: Conn) -> None:
        await conn.head()
        for _ in range(1000):
            await conn.reader.read(1 << 14)
            await asyncio.sleep(1)

    body = Body(64 * MIB)
    async with (
        stage(sip, GOOD.server_context()) as server,
        transport_to(server.url, write=50.0, rate=1 << 20, window=40.0) as transport,
    ):
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(DeadlineError) as caught:
            await put(transport, body)
        # What the kernels buffer is taken at once and helps for one window.
        assert 40 <= loop.time() - began < 82
    error = caught.value
    assert (error.rule, error.phase, error.outcome, error.seconds) == (
        "rate",
        "upload",
        "unknown",
        40,
    )
    assert error.bytes is not None
    assert 0 < error.bytes < body.size
    assert body.closed


@pytest.mark.slow
async def test_row_48_the_answer_to_a_whole_body_is_late() -> None:
    async def late(conn: Conn) -> None:
        await conn.request()
        await conn.hold()

    async with (
        stage(late, GOOD.server_context()) as server,
        transport_to(server.url, read=0.3) as transport,
    ):
        with pytest.raises(DeadlineError) as caught:
            await put(transport, Body(1000))
    assert (caught.value.phase, caught.value.outcome) == ("read", "unknown")


@pytest.mark.slow
def test_row_48_a_slow_source_is_no_late_answer() -> None:
    clock.run_hosted(_row_48())


async def _row_48() -> None:
    class Slow(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(4):
                await asyncio.sleep(0.2)
                yield b"x" * 10

    async with (
        stage(take, GOOD.server_context()) as server,
        transport_to(server.url, read=0.4) as transport,
    ):
        assert await put(transport, Slow(40)) == (201, "40")


@pytest.mark.parametrize(
    ("announced", "length"),
    [("1234", 1234), ("\xb2", None), ("9" * 5000, None), ("-1", None), ("5, 5", None), ("", None)],
)
async def test_the_length_that_a_head_announces(announced: str, length: int | None) -> None:
    async def play(conn: Conn) -> None:
        await conn.head()
        await conn.send(f"HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n".encode("latin-1"))

    async with (
        stage(play, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
        transport.http(HTTPRequest(method="HEAD", target="/folder/x")) as reply,
    ):
        assert reply.length == length
        assert await reply.read() == b""


async def test_row_49_interim_answers_are_passed_over() -> None:
    async def interim(conn: Conn) -> None:
        await conn.head()
        await conn.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n")
        await conn.reader.readexactly(1000)
        await conn.reply(200, b"ok")

    async with (
        stage(interim, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
    ):
        assert await put(transport, Body(1000)) == (200, "ok")


def test_row_49_an_interim_answer_amid_a_slow_body_starts_no_deadline() -> None:
    """Servers say 100 unasked, and the body takes as long as it takes."""
    clock.run_hosted(_row_49())


async def _row_49() -> None:

    async def interim(conn: Conn) -> None:
        await conn.head()
        await conn.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP")
        await conn.reader.readexactly(1000)
        await conn.send(b"/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    class Slow(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in super().__aiter__():
                await asyncio.sleep(0.12)
                yield piece

    async with (
        stage(interim, GOOD.server_context()) as server,
        transport_to(server.url, read=0.6) as transport,
    ):
        assert await put(transport, Slow(1000, chunk=100)) == (200, "ok")


async def test_a_large_chunk_goes_out_in_pieces_each_with_its_own_deadline() -> None:
    told: list[int] = []
    async with (
        stage(take, GOOD.server_context()) as server,
        transport_to(server.url, read=5.0, write=5.0) as transport,
    ):
        request = HTTPRequest(
            method="PUT",
            target="/folder/x",
            body=Body(5 * MIB // 2, chunk=5 * MIB // 2),
            length=5 * MIB // 2,
            on_sent=told.append,
        )
        async with transport.http(request) as reply:
            assert reply.status == 201
    assert told == [MIB, MIB, MIB // 2]


async def test_row_49_interim_answers_without_end_end() -> None:
    """Each is a sign of life, so no deadline passes: they are counted."""

    async def never(conn: Conn) -> None:
        await conn.head()
        await conn.reader.readexactly(1000)
        while True:
            await conn.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0)

    async with (
        stage(never, GOOD.server_context()) as server,
        transport_to(server.url, read=0.5) as transport,
    ):
        with pytest.raises(ProtocolError, match="interim"):
            await put(transport, Body(1000))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip"])
async def test_row_24_a_file_that_comes_encoded_is_not_taken_for_its_bytes(coding: str) -> None:
    heads: list[dict[str, str]] = []

    async def encodes(conn: Conn) -> None:
        heads.append((await conn.head())[2])
        body = gzip.compress(b"the file")
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}"
        await conn.send(head.encode() + b"\r\n\r\n" + body)

    async with (
        stage(encodes, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
    ):
        with pytest.raises(ProtocolError, match="Content-Encoding"):
            async with transport.http(HTTPRequest(method="GET", target="/folder/x")):
                raise AssertionError("not reached")
    assert heads[0]["accept-encoding"] == "identity"


async def test_row_52_a_source_that_ends_early_aborts_the_request() -> None:
    seen: list[int] = []

    async def record(conn: Conn) -> None:
        await conn.head()
        total = 0
        try:
            while data := await conn.reader.read(1 << 16):
                total += len(data)
        finally:
            seen.append(total)

    body = Body(1000)
    async with (
        stage(record, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
    ):
        with pytest.raises(SourceError) as caught:
            await put(transport, body, 2000)
        assert "1000 of 2000" in str(caught.value)
    assert body.closed
    assert len(seen) == 1
    assert seen[0] < 2000


async def test_row_53_a_source_that_is_too_long_sends_no_byte_too_many() -> None:
    async with stage(take, GOOD.server_context()) as server, transport_to(server.url) as transport:
        with pytest.raises(SourceError) as caught:
            await put(transport, Body(2000, chunk=999), 1000)
        assert "must deliver 1000 bytes, got more" in str(caught.value)


async def test_row_52_a_source_that_fails_is_the_cause() -> None:
    body = Body(1 << 20, fail_at=1 << 17)
    async with stage(take, GOOD.server_context()) as server, transport_to(server.url) as transport:
        with pytest.raises(SourceError) as caught:
            await put(transport, body)
    assert isinstance(caught.value.__cause__, OSError)
    assert body.closed


async def test_row_52_a_source_whose_own_work_was_cancelled_cancels_nobody() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        part = asyncio.get_running_loop().create_future()
        part.cancel()
        yield await part

    async with stage(take, GOOD.server_context()) as server, transport_to(server.url) as transport:
        with pytest.raises(SourceError) as caught:
            await put(transport, source(), 2000)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)


async def test_an_early_yes_does_not_stand_for_a_short_body() -> None:
    async def eager(conn: Conn) -> None:
        await conn.head()
        await conn.reply(201, b"")
        await conn.hold()

    body = Body(1 << 20, fail_at=1 << 19)
    async with stage(eager, GOOD.server_context()) as server, transport_to(server.url) as transport:
        with pytest.raises(SourceError):
            await put(transport, body)


@pytest.mark.slow
async def test_row_56_back_pressure_reaches_the_source() -> None:
    taken = 0

    async def throttle(conn: Conn) -> None:
        nonlocal taken
        _, _, headers = await conn.head()
        left = int(headers["content-length"])
        while left:
            data = await conn.reader.read(1 << 16)
            taken += len(data)
            left -= len(data)
            await asyncio.sleep(0.001)
        await conn.reply(201, b"")

    ahead = 0

    class Watched(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal ahead
            async for piece in super().__aiter__():
                ahead = max(ahead, self.given - taken)
                yield piece

    async with (
        stage(throttle, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
    ):
        tracemalloc.start()
        try:
            await put(transport, Watched(24 * MIB, chunk=1 << 18))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert ahead < 12 * MIB, "what the kernel and asyncio hold between here and there"
    assert peak < 16 * MIB


@pytest.mark.parametrize("when", [0, 1, 3, 10])
async def test_cancelling_aborts_the_connection(when: int) -> None:
    ended = asyncio.Event()

    async def record(conn: Conn) -> None:
        try:
            while await conn.read():
                pass
        finally:
            ended.set()

    body = Body(256 * MIB, stall_at=when << 20)
    async with (
        stage(record, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
    ):
        task = asyncio.create_task(put(transport, body))
        while body.given < when << 20 or not server.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()


# -- replies with bodies -------------------------------------------------------------------------


def giving(raw: bytes, *, reset: bool = False) -> Any:
    async def play(conn: Conn) -> None:
        await conn.request()
        await conn.send(raw)
        if reset:
            await asyncio.sleep(0.05)
            conn.reset()

    return play


async def get(script: Any, limit: int = MIB) -> bytes:
    async with (
        stage(script, GOOD.server_context()) as server,
        transport_to(server.url) as transport,
        transport.http(HTTPRequest(method="GET", target="/x")) as reply,
    ):
        return await reply.read(limit)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrail: er\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
async def test_bodies_in_all_framings(raw: bytes) -> None:
    assert await get(giving(raw)) == b"hello"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"",
    ],
)
async def test_a_body_that_is_cut_is_never_taken_for_whole(raw: bytes, reset: bool) -> None:
    with pytest.raises(ConnectionLostError):
        await get(giving(raw, reset=reset))


async def test_a_body_until_the_end_needs_the_end_of_tls() -> None:
    async def play(conn: Conn) -> None:
        await conn.head()
        await conn.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        # The end of TCP without the end of TLS, which anybody on the way can make.
        conn.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await conn.hold()

    with pytest.raises(ConnectionLostError):
        await get(play)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_a_head_beyond_all_bounds(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        await get(giving(raw))


async def test_a_body_beyond_the_limit() -> None:
    with pytest.raises(LimitError):
        await get(giving(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), limit=4)


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/folder/a b", {}),
        ("/folder/a\r\nX: y", {}),
        ("folder", {}),
        ("/x", {"X": "a\r\nY: b"}),
        ("/x", {"X Y": "a"}),
        ("/x", {"X": "a\0"}),
        ("/x", {"X": Secret("a\nb")}),
        ("/x", {"X": Secret("\u2028")}),
    ],
)
async def test_nothing_is_injected_into_a_request(
    target: str, headers: dict[str, str | Secret]
) -> None:
    async with stage(take, GOOD.server_context()) as server, transport_to(server.url) as transport:
        with pytest.raises(UsageError):
            async with transport.http(HTTPRequest(method="GET", target=target, headers=headers)):
                pass
        assert server.received == b""
