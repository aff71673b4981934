"""Clocks, races and secrets: rows 65, 68, 69 and 81 of the catalogue of faults."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.rig import canary as birds
from tests.rig import certs, clock
from tests.rig.canary import canary
from tests.rig.cancel import cancel_everywhere
from tests.rig.host import (
    BINDING,
    USERNAME,
    RigHost,
    answer,
    cut,
    reset,
    rig_host,
    service_content,
    session_of,
)
from tests.rig.leaks import leakcheck
from tests.rig.stage import Conn, stage
from vimlib import vim25
from vimlib._secret import Secret
from vimlib._session import RetryPolicy, Session
from vimlib._session.credentials import Credentials
from vimlib._session.policy import Backoff
from vimlib._tls import TLS
from vimlib._transport import (
    EncodedCall,
    HTTPRequest,
    HTTPTransport,
    Reply,
    ScriptedTransport,
    Timeouts,
)
from vimlib._transport.base import Exchange
from vimlib.errors import ConnectionLostError, VimlibError
from vimlib.soap import encode_fault, encode_response

GOOD = certs.make("good")
FAST = RetryPolicy(backoff=Backoff(first=0.001, longest=0.002))
CREDENTIALS = Credentials(USERNAME, Secret(birds.PASSWORD))


def encoded(method: str, result: Any = None) -> bytes:
    found = BINDING.method(method)
    assert found is not None
    return encode_response(found, result)


def script(**more: Any) -> dict[str, Any]:
    now = session_of("x").loginTime
    return {
        "RetrieveServiceContent": encoded("RetrieveServiceContent", service_content()),
        "Login": encoded("Login", session_of("x")),
        "Logout": encoded("Logout"),
        "CurrentTime": encoded("CurrentTime", now),
        **more,
    }


@asynccontextmanager
async def scripted(transport: ScriptedTransport, **how: Any) -> AsyncIterator[Session]:
    async with Session(transport, CREDENTIALS, retries=FAST, **how) as session:
        yield session


# -- the keepalive, under a clock that a test can turn ----------------------------------------------


def beats(transport: ScriptedTransport) -> int:
    return transport.count("CurrentTime")


def test_row_69_the_keepalive_beats_when_idle_by_the_loop_s_clock() -> None:
    transport = ScriptedTransport(script(), cookie=Secret("c"))

    async def main() -> None:
        async with scripted(transport, keepalive=300) as session:
            await asyncio.sleep(299)
            assert beats(transport) == 0
            await asyncio.sleep(2)
            assert beats(transport) == 1
            root = session.bind(vim25.ServiceInstance("ServiceInstance"))
            for _ in range(10):  # in use: no beat is needed
                await asyncio.sleep(200)
                await root.CurrentTime()
            assert beats(transport) == 11
            await asyncio.sleep(3001)
            assert beats(transport) == 21
        assert transport.count("Logout") == 1
        before = beats(transport)
        await asyncio.sleep(10_000)
        assert beats(transport) == before, "it stops with the session"

    clock.run(main())


def test_row_68_69_a_loop_that_was_blocked_or_suspended_beats_once_and_goes_on() -> None:
    transport = ScriptedTransport(script(), cookie=Secret("c"))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.FakeClockLoop)
        async with scripted(transport, keepalive=300):
            await asyncio.sleep(1)
            loop.advance(86_400)  # the machine slept for a day
            await asyncio.sleep(1)
            assert beats(transport) == 1
            await asyncio.sleep(298)
            assert beats(transport) == 1
            await asyncio.sleep(3)
            assert beats(transport) == 2

    clock.run(main())


def test_row_69_the_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = ScriptedTransport(script(), cookie=Secret("c"))

    async def main() -> None:
        async with scripted(transport, keepalive=300):
            real = time.time
            for jump in (86_400, -86_400):
                monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
                await asyncio.sleep(150)
            assert beats(transport) <= 1
            monkeypatch.undo()

    clock.run(main())


def test_the_keepalive_survives_failed_beats(caplog: pytest.LogCaptureFixture) -> None:
    now = encoded("CurrentTime", session_of("x").loginTime)
    lost = ConnectionLostError("gone", outcome="unknown", retryable=False)
    transport = ScriptedTransport(
        script(CurrentTime=[lost, lost, now, lost, now]), cookie=Secret("c")
    )

    async def main() -> None:
        async with scripted(transport, keepalive=60):
            await asyncio.sleep(301)
        assert beats(transport) == 5

    with caplog.at_level(logging.WARNING):
        clock.run(main())
    assert caplog.text.count("keepalive failed") == 3


def test_the_keepalive_survives_a_middleware_s_own_error(caplog: pytest.LogCaptureFixture) -> None:
    transport = ScriptedTransport(script(), cookie=Secret("c"))
    failures = iter([ZeroDivisionError("a bug of theirs"), None])

    async def broken(call: EncodedCall, exchange: Exchange, /) -> Reply:
        failure = next(failures, None) if call.method == "CurrentTime" else None
        if failure is not None:
            raise failure
        return await exchange(call)

    async def main() -> None:
        async with scripted(transport, keepalive=60, middleware=[broken]):
            await asyncio.sleep(121)
        assert beats(transport) == 1

    with caplog.at_level(logging.WARNING):
        clock.run(main())
    assert "a bug of theirs" in caplog.text


def test_the_keepalive_ends_when_the_login_is_refused() -> None:
    expired = encode_fault(vim25.NotAuthenticated(privilegeId="System.View"))
    transport = ScriptedTransport(
        script(
            CurrentTime=expired,
            RetrieveProperties=expired,
            Login=[encoded("Login", session_of("x")), encode_fault(vim25.InvalidLogin())],
        ),
        cookie=Secret("c"),
    )

    async def main() -> None:
        async with scripted(transport, keepalive=60):
            await asyncio.sleep(100_000)
        assert transport.count("Login") == 2

    clock.run(main())


def test_row_14_a_repeat_waits_as_long_as_the_host_asks() -> None:
    from vimlib._transport.status import status_error

    root = vim25.ServiceInstance("ServiceInstance")
    transport = ScriptedTransport(
        script(
            CurrentTime=[
                status_error("h", 503, "", 20.0),
                status_error("h", 503, "", None),
                encoded("CurrentTime", session_of("x").loginTime),
            ]
        ),
        cookie=Secret("c"),
    )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with scripted(transport, keepalive=None) as session:
            began = loop.time()
            await session.bind(root).CurrentTime()
            assert 20 <= loop.time() - began < 21

    clock.run(main())


def test_a_short_read_deadline_ends_no_long_poll_that_is_told_no_end() -> None:
    found = encoded("WaitForUpdates", vim25.UpdateSet(version="1", filterSet=[]))
    transport = ScriptedTransport(script(WaitForUpdates=found), cookie=Secret("c"))

    async def main() -> None:
        async with scripted(transport, keepalive=None, timeouts=Timeouts(read=5)) as session:
            await session.bind(vim25.PropertyCollector("pc")).WaitForUpdates()

    clock.run(main())
    (sent,) = [call for call in transport.calls if call.method == "WaitForUpdates"]
    assert sent.read is not None
    assert sent.read > 20, "Context.max_wait, after which it is cancelled on the host"


# -- races -----------------------------------------------------------------------------------------


def test_row_65_a_deadline_that_fires_as_the_reply_lands() -> None:
    """Whichever wins, the call ends as itself or as the deadline, and the session goes on."""

    async def main() -> None:
        outcomes = set()
        for ticks in range(12):
            transport = ScriptedTransport(script(), cookie=Secret("c"))
            slow = transport.exchange
            lands = 1 + (ticks - 6) * 1e-9

            async def exchange(call: EncodedCall, slow: Any = slow, lands: float = lands) -> Reply:
                if call.method == "CurrentTime":
                    await asyncio.sleep(lands)
                reply: Reply = await slow(call)
                return reply

            transport.exchange = exchange  # type: ignore[method-assign]
            async with scripted(transport, keepalive=None) as session:
                root = session.bind(vim25.ServiceInstance("ServiceInstance"))
                task = asyncio.current_task()
                assert task is not None
                try:
                    async with asyncio.timeout(1):
                        for _ in range(ticks):
                            await asyncio.sleep(0)
                        await root.CurrentTime()
                    outcomes.add("reply")
                except TimeoutError:
                    outcomes.add("deadline")
                assert task.cancelling() == 0
                transport.exchange = slow  # type: ignore[method-assign]
                await root.CurrentTime()
            assert transport.count("Logout") == 1
        assert outcomes == {"reply", "deadline"}

    clock.run(main())


@pytest.mark.slow
async def test_row_65_a_cancelled_call_poisons_no_connection() -> None:
    """Calls cancelled at random moments: what follows gets its own reply, and only that."""
    async with (
        leakcheck(),
        rig_host() as host,
        HTTPTransport(host.url, tls=TLS(pin=GOOD.digest()), connections=4) as transport,
        Session(transport, CREDENTIALS, retries=FAST) as session,
    ):

        async def name(number: int) -> Any:
            spec = vim25.PropertyFilterSpec(
                propSet=[vim25.PropertySpec(type="HostSystem", pathSet=[f"p{number}"])],
                objectSet=[vim25.ObjectSpec(obj=vim25.HostSystem(f"h{number}"))],
            )
            collector = session.content.propertyCollector
            return await collector.RetrievePropertiesEx([spec], vim25.RetrieveOptions())

        for number in range(150):
            doomed = [asyncio.create_task(name(number)) for _ in range(3)]
            await asyncio.sleep((number % 15) / 5000)
            for task in doomed:
                task.cancel()
            found = await name(number + 1000)
            assert found.objects[0].propSet[0].val == f"value of p{number + 1000}"
            await asyncio.gather(*doomed, return_exceptions=True)


@pytest.mark.slow
async def test_login_and_call_cancelled_at_every_await_leave_no_session(
    record_property: Callable[[str, object], None],
) -> None:
    async with leakcheck(), rig_host() as host:

        async def attempt() -> None:
            async with (
                HTTPTransport(host.url, tls=TLS(pin=GOOD.digest())) as transport,
                Session(transport, CREDENTIALS, timeouts=Timeouts(logout=2)) as session,
            ):
                await session.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime()
                host.expire()
                await session.bind(vim25.VirtualMachine("1")).PowerOnVM_Task()

        async def check(at: int) -> None:
            assert not host.sessions, f"cancelled at {at}: a session stayed"

        report = await cancel_everywhere(attempt, check)
        record_property("suspensions", str(report))
        assert report.suspensions > 20
        assert report.cancelled > report.finished


async def test_a_login_cancelled_while_its_reply_is_on_the_way_is_undone() -> None:
    async with leakcheck(), rig_host() as host:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def late(conn: Conn, request: Any) -> bool:
            arrived.set()
            await go_on.wait()
            return False

        host.after["Login"].append(late)

        async def attempt() -> None:
            async with (
                HTTPTransport(host.url, tls=TLS(pin=GOOD.digest())) as transport,
                Session(transport, CREDENTIALS),
            ):
                raise AssertionError("not reached")

        task = asyncio.create_task(attempt())
        await arrived.wait()
        assert host.sessions
        task.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not host.sessions


# -- secrets ---------------------------------------------------------------------------------------

Breaker = Callable[[RigHost], None]


def break_everything() -> list[tuple[str, Breaker]]:
    def hook(method: str, what: Callable[..., Awaitable[bool]], when: str = "before") -> Breaker:
        return lambda host: getattr(host, when)[method].extend([what] * 3)

    html = answer(200, b"<html>", ("Content-Type", "text/html"))
    ways: list[tuple[str, Breaker]] = []
    for method in ("RetrieveServiceContent", "Login", "CurrentTime", "PowerOnVM_Task", "Logout"):
        for name, what in (
            ("reset", reset),
            ("cut", cut),
            ("html", html),
            ("503", answer(503)),
            ("401", answer(401)),
            ("302", answer(302, b"", ("Location", "https://other.test/"))),
            ("garbage", answer(200, b"\0\1\2", ("Content-Type", "text/xml"))),
            ("bad head", answer(200, b"x", ("Content-Encoding", "br"))),
        ):
            ways.append((f"{method} {name}", hook(method, what)))
    ways.append(("wrong password", lambda host: setattr(host, "password", "else")))
    return ways


@pytest.mark.parametrize(
    ("name", "break_it"), break_everything(), ids=lambda value: str(value)[:40]
)
async def test_row_81_no_secret_is_shown(name: str, break_it: Breaker) -> None:
    async with rig_host() as host:
        with canary() as seen:
            break_it(host)
            try:
                async with (
                    HTTPTransport(host.url, tls=TLS(pin=GOOD.digest())) as transport,
                    Session(transport, CREDENTIALS, retries=FAST) as session,
                ):
                    seen.look_at(session, transport, session._credentials, session.cookie)
                    await session.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime()
                    await session.bind(vim25.VirtualMachine("1")).PowerOnVM_Task()
            except VimlibError as exc:
                seen.look_at(exc, *exc.args)


@pytest.mark.parametrize("kind", ["refused", "pin", "silent", "cut", "proxy"])
async def test_row_81_no_secret_is_shown_by_the_wire(kind: str) -> None:
    async def play(conn: Conn) -> None:
        await conn.request()
        if kind == "silent":
            await conn.hold()
        conn.reset()

    async def refuse(conn: Conn) -> None:
        await conn.head()
        await conn.send(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")

    headers: dict[str, str | Secret] = {"Cookie": Secret(f"vmware_cgi_ticket={birds.TICKET}")}
    pin = certs.make("good", 1 if kind == "pin" else 0).digest()
    async with stage(play, GOOD.server_context()) as server, stage(refuse) as proxy:
        url = "https://127.0.0.1:1/sdk" if kind == "refused" else server.url
        with canary() as seen:
            made = HTTPTransport(
                url,
                tls=TLS(pin=pin),
                timeouts=Timeouts(read=0.2),
                # Inline: a local variable of this frame would be found in the tracebacks.
                proxy=f"http://user:{birds.PROXY}@127.0.0.1:{proxy.port}"
                if kind == "proxy"
                else None,
            )
            async with made as transport:
                seen.look_at(transport, transport.proxy)
                call = EncodedCall(
                    method="Login",
                    body=f"<password>{birds.PASSWORD}</password>".encode(),
                    receive=lambda _: None,
                    cookie=Secret(birds.COOKIE),
                )
                seen.look_at(call)
                with pytest.raises(VimlibError) as caught:
                    await transport.exchange(call)
                seen.look_at(caught.value)
                request = HTTPRequest(method="GET", target="/x", headers=headers)
                seen.look_at(request)
                with pytest.raises(VimlibError) as caught:
                    async with transport.http(request):
                        pass
                seen.look_at(caught.value)


def test_the_canary_sings() -> None:
    """The check that the others rely on finds what it looks for."""
    for shown in (birds.PASSWORD, ValueError(birds.COOKIE)):
        with pytest.raises(AssertionError, match="a secret was shown"), canary() as seen:
            seen.look_at(shown)
    with pytest.raises(AssertionError), canary():
        logging.getLogger("anything").debug("password is %s", birds.PASSWORD)

    def frame(password: str) -> None:
        raise ValueError

    with pytest.raises(ValueError) as caught:
        frame(birds.PASSWORD)
    with pytest.raises(AssertionError), canary() as seen:
        seen.look_at(caught.value)


def test_a_fake_clock_is_no_real_one() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) >= 3600
