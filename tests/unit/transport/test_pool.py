"""Connections: shared out in turn, capped, never lost, closed when they rest too long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.rig import certs, clock
from tests.rig.stage import Conn, stage
from vimlib._tls import TLS
from vimlib._transport import EncodedCall, HTTPTransport, Timeouts
from vimlib._transport.pool import IDLE, Pool
from vimlib.errors import ClosedError, ConnectError, ConnectionLostError, DeadlineError

GOOD = certs.make("good")


class FakeConnection:
    """A connection without a socket."""

    def __init__(self) -> None:
        self.usable = True
        self.idle_since = 0.0
        self.closed = False
        self.on_lost: Any = None

    def close(self) -> None:
        self.closed = True
        self.usable = False

    abort = close


class Opener:
    """Opens fake connections, one by one."""

    def __init__(self, *, fail: int = 0, slow: float = 0.0) -> None:
        self.made: list[FakeConnection] = []
        self.fail = fail
        self.slow = slow

    async def __call__(self) -> Any:
        await asyncio.sleep(self.slow)
        if self.fail:
            self.fail -= 1
            raise ConnectError("no")
        self.made.append(FakeConnection())
        return self.made[-1]


def pool_of_one(opener: Opener) -> Pool:
    """Return a pool that has a transfer and a long poll, and so room for one call."""
    pool = Pool(opener, 3)
    assert pool.budget.take("transfer")
    assert pool.budget.take("poll")
    return pool


def test_a_connection_is_used_again_and_the_cap_holds() -> None:
    async def main() -> None:
        opener = Opener(slow=1)
        pool = Pool(opener, 3)
        most = 0

        async def use() -> None:
            nonlocal most
            connection = await pool.acquire()
            most = max(most, pool.connections)
            await asyncio.sleep(1)
            pool.release(connection, reusable=True)

        await asyncio.gather(*(use() for _ in range(30)))
        assert most == 3
        assert len(opener.made) == 3
        pool.close()
        assert all(connection.closed for connection in opener.made)

    clock.run(main())


def test_who_waits_longest_is_served_first() -> None:
    async def main() -> None:
        pool = pool_of_one(Opener())
        first = await pool.acquire()
        served: list[int] = []

        async def use(number: int) -> None:
            connection = await pool.acquire()
            served.append(number)
            pool.release(connection, reusable=number % 2 == 0)

        tasks = []
        for number in range(10):
            tasks.append(asyncio.create_task(use(number)))
            await asyncio.sleep(0.1)
        assert pool.ready() is None, "nobody overtakes"
        pool.release(first, reusable=True)
        await asyncio.gather(*tasks)
        assert served == list(range(10))
        pool.close()

    clock.run(main())


@pytest.mark.parametrize("ticks", range(8))
def test_cancelling_a_waiter_loses_no_connection(ticks: int) -> None:
    async def main() -> None:
        opener = Opener(slow=0)
        pool = pool_of_one(opener)
        connection = await pool.acquire()
        doomed = asyncio.create_task(pool.acquire())
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.1)
        pool.release(connection, reusable=True)
        for _ in range(ticks):
            await asyncio.sleep(0)
        doomed.cancel()
        outcome = (await asyncio.gather(doomed, return_exceptions=True))[0]
        if not isinstance(outcome, BaseException):
            pool.release(outcome, reusable=True)
        got = await asyncio.wait_for(waiting, 1)
        assert got is connection
        pool.release(got, reusable=True)
        assert pool.connections == 1
        pool.close()

    clock.run(main())


def test_opening_that_fails_lets_the_next_one_try() -> None:
    async def main() -> None:
        pool = pool_of_one(Opener(fail=2, slow=1))
        outcomes = await asyncio.gather(*(pool.acquire() for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [
            ConnectError,
            ConnectError,
            FakeConnection,
        ]
        pool.close()

    clock.run(main())


def test_opening_that_is_cancelled_gives_its_place_back() -> None:
    async def main() -> None:
        pool = pool_of_one(Opener(slow=10))
        doomed = asyncio.create_task(pool.acquire())
        await asyncio.sleep(1)
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(1)
        doomed.cancel()
        await asyncio.gather(doomed, return_exceptions=True)
        assert isinstance(await waiting, FakeConnection)
        assert pool.connections == 1
        pool.close()

    clock.run(main())


def test_a_connection_that_rests_is_closed() -> None:
    async def main() -> None:
        opener = Opener()
        pool = Pool(opener, 4)
        connections = [await pool.acquire() for _ in range(3)]
        for connection in connections:
            pool.release(connection, reusable=True)
            await asyncio.sleep(1)
        await asyncio.sleep(IDLE - 2.5)
        assert [connection.closed for connection in opener.made] == [True, False, False]
        await asyncio.sleep(3)
        assert pool.connections == 0
        pool.close()

    clock.run(main())


def test_a_connection_that_has_gone_bad_is_not_handed_out() -> None:
    async def main() -> None:
        opener = Opener()
        pool = pool_of_one(opener)
        bad: Any = await pool.acquire()
        pool.release(bad, reusable=True)
        bad.usable = False
        good = await pool.acquire()
        assert good is not bad
        assert bad.closed
        pool.close()

    clock.run(main())


def test_closing_wakes_who_waits() -> None:
    async def main() -> None:
        pool = pool_of_one(Opener())
        connection = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(1)
        pool.close()
        with pytest.raises(ClosedError):
            await waiting
        pool.release(connection, reusable=True)
        assert connection.closed  # type: ignore[attr-defined]

    clock.run(main())


def test_a_connection_that_opens_after_the_closing_is_closed() -> None:
    async def main() -> None:
        opener = Opener(slow=1)
        pool = pool_of_one(opener)
        opening = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.5)
        pool.close()
        with pytest.raises(ClosedError):
            await opening
        assert [connection.closed for connection in opener.made] == [True]
        assert pool.connections == 0

    clock.run(main())


@pytest.mark.slow
@pytest.mark.usefixtures("no_leaks")
async def test_calls_wait_for_a_connection_within_their_own_deadline() -> None:
    async def slow(conn: Conn) -> None:
        while True:
            await conn.request()
            await asyncio.sleep(0.3)
            await conn.reply(200, b"<ok/>")

    async with (
        stage(slow, GOOD.server_context()) as server,
        HTTPTransport(
            server.url, tls=TLS(pin=GOOD.digest()), connections=3, timeouts=Timeouts(call=0.4)
        ) as transport,
    ):
        call = EncodedCall(method="x", body=b"", receive=lambda _: None)
        outcomes = await asyncio.gather(
            *(transport.exchange(call) for _ in range(9)), return_exceptions=True
        )
        late = [outcome for outcome in outcomes if isinstance(outcome, DeadlineError)]
        assert len(late) == 6
        assert {error.outcome for error in late} == {"unknown", "not_sent"}
        assert len(server.connections) <= 6


@pytest.mark.usefixtures("no_leaks")
async def test_closing_the_transport_ends_calls_that_are_under_way() -> None:
    async with stage(Conn.hold, GOOD.server_context()) as server:
        transport = HTTPTransport(server.url, tls=TLS(pin=GOOD.digest()))
        await transport.__aenter__()
        call = EncodedCall(method="x", body=b"", receive=lambda _: None)
        task = asyncio.create_task(transport.exchange(call))
        while not transport.connections or not server.received:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await transport.aclose()
        with pytest.raises(ConnectionLostError) as caught:
            await task
        assert caught.value.outcome == "unknown"
        with pytest.raises(ClosedError):
            await transport.exchange(call)
