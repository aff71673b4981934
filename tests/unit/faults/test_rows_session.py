"""Sessions that expire, refuse and get lost: rows 16 and 30 to 36 of the catalogue of faults."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.rig import certs
from tests.rig.canary import PASSWORD
from tests.rig.host import USERNAME, Face, RigHost, answer, cut, reset, rig_host
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from tests.unit.soap.cases import envelope
from vimlib import vim25
from vimlib._secret import Secret
from vimlib._session import RetryPolicy, Session
from vimlib._session.credentials import Credentials
from vimlib._session.policy import Backoff
from vimlib._tls import TLS
from vimlib._transport import EncodedCall, HTTPTransport, Reply, Timeouts
from vimlib._transport.base import Exchange
from vimlib.errors import (
    ClosedError,
    ConnectError,
    ConnectionLostError,
    HTTPStatusError,
    LoginError,
    OutcomeUnknownError,
    VimlibError,
)
from vimlib.simulator import ESXHost

FAST = RetryPolicy(backoff=Backoff(first=0.001, longest=0.002))


@asynccontextmanager
async def session_on(host: RigHost, password: str = PASSWORD, **how: Any) -> AsyncIterator[Session]:
    tls = TLS(pin=certs.make("good").digest())
    timeouts = how.pop("timeouts", Timeouts(logout=1))
    async with (
        HTTPTransport(host.url, tls=tls, timeouts=timeouts) as transport,
        Session(
            transport,
            Credentials(USERNAME, Secret(password)),
            timeouts=timeouts,
            retries=how.pop("retries", FAST),
            **how,
        ) as session,
    ):
        yield session


@pytest.fixture
async def host() -> AsyncIterator[RigHost]:
    async with leakcheck(), rig_host() as found:
        yield found


async def read(session: Session, key: str = "ha-host") -> Any:
    spec = vim25.PropertyFilterSpec(
        propSet=[vim25.PropertySpec(type="HostSystem", pathSet=["name"])],
        objectSet=[vim25.ObjectSpec(obj=vim25.HostSystem(key))],
    )
    collector = session.content.propertyCollector
    return await collector.RetrievePropertiesEx([spec], vim25.RetrieveOptions())


def machine(session: Session) -> vim25.VirtualMachine:
    return session.bind(vim25.VirtualMachine("1"))


async def test_logs_in_and_out(host: RigHost) -> None:
    async with session_on(host) as session:
        assert session.api_version == "8.0.3.0"
        assert host.sessions
    assert host.calls == ["RetrieveServiceContent", "Login", "Logout"]
    assert not host.sessions


async def test_row_16_http_401_leads_to_one_login_then_raises(host: RigHost) -> None:
    async with session_on(host) as session:
        host.expire("http401")
        assert (await read(session)).objects
        assert host.logins == 2
        for _ in range(2):
            host.before["CurrentTime"].append(answer(401))
        root = session.bind(vim25.ServiceInstance("ServiceInstance"))
        with pytest.raises(HTTPStatusError) as caught:
            await root.CurrentTime()
        assert caught.value.status == 401
        assert caught.value.outcome == "refused"


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_row_16_http_refusals_are_typed_and_not_repeated(host: RigHost, status: int) -> None:
    async with session_on(host) as session:
        host.before["CurrentTime"].append(answer(status, b"<html>no\x1b[31m</html>"))
        with pytest.raises(HTTPStatusError) as caught:
            await session.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime()
        assert (caught.value.status, caught.value.outcome) == (status, "refused")
        assert "\x1b" not in str(caught.value)
        assert host.count("CurrentTime") == 1


@pytest.mark.slow
@pytest.mark.parametrize("face", ["fault", "empty", "missing", "noPermission"])
async def test_row_30_31_a_thousand_callers_make_one_login(host: RigHost, face: Face) -> None:
    async with session_on(host) as session:
        host.expire(face)
        results = await asyncio.gather(*(read(session) for _ in range(1000)))
        assert all(result.objects[0].propSet[0].val == "value of name" for result in results)
        assert host.logins == 2
        assert len(host.sessions) == 1


async def test_row_30_a_write_refused_by_not_authenticated_is_sent_once_more(host: RigHost) -> None:
    async with session_on(host) as session:
        host.expire()
        await machine(session).PowerOnVM_Task()
        assert host.count("PowerOnVM_Task") == 2
        assert host.applied.count("PowerOnVM_Task") == 1
        assert host.logins == 2


async def test_row_30_not_authenticated_for_ever_is_raised_after_one_login(host: RigHost) -> None:
    async with session_on(host) as session:
        host.faults["PowerOnVM_Task"] = [vim25.NotAuthenticated(privilegeId="x") for _ in range(5)]
        with pytest.raises(vim25.NotAuthenticated):
            await machine(session).PowerOnVM_Task()
        assert host.count("PowerOnVM_Task") == 2
        assert host.logins == 1, "currentSession told that the session lives"


async def test_row_30_a_user_without_the_right_is_told_from_an_expired_session(
    host: RigHost,
) -> None:
    async with session_on(host) as session:
        host.faults["PowerOnVM_Task"] = [
            vim25.NoPermission(privilegeId="VirtualMachine.Interact.PowerOn")
        ]
        with pytest.raises(vim25.NoPermission) as caught:
            await machine(session).PowerOnVM_Task()
        assert caught.value.privilegeId == "VirtualMachine.Interact.PowerOn"
        assert (host.count("PowerOnVM_Task"), host.logins) == (1, 1)


async def test_row_31_an_empty_listing_of_a_live_session_is_empty(host: RigHost) -> None:
    async with session_on(host) as session:
        assert await read(session, "nothing") is None
        assert host.logins == 1


async def test_row_34_invalid_login_is_tried_once(host: RigHost) -> None:
    with pytest.raises(LoginError) as caught:
        async with session_on(host, "canary-wrong"):
            pass
    assert caught.value.username == USERNAME
    assert (caught.value.retryable, caught.value.outcome) == (False, "refused")
    assert host.logins == 1


async def test_row_34_a_changed_password_opens_the_breaker(host: RigHost) -> None:
    async with session_on(host) as session:
        host.expire()
        host.password = "changed"
        outcomes = await asyncio.gather(*(read(session) for _ in range(50)), return_exceptions=True)
        assert all(isinstance(outcome, LoginError) for outcome in outcomes)
        assert len({id(outcome) for outcome in outcomes}) == 50, (
            "each caller has an error of its own"
        )
        for _ in range(3):
            with pytest.raises(LoginError):
                await read(session)
        assert host.logins == 2, "one at the start, one that was refused, none after"


async def test_row_35_invalid_login_on_a_live_session_is_taken_for_being_in(host: RigHost) -> None:
    # The first login's reply is damaged after the cookie was seen; the host says that we are in.
    async def damaged(conn: Any, request: Any) -> bool:
        (cookie,) = host.sessions
        await conn.reply(200, b"<half", [("Set-Cookie", f"vmware_soap_session={cookie}")])
        conn.close()
        return True

    host.after["Login"].append(damaged)
    async with session_on(host) as session:
        assert (await read(session)).objects
    assert host.logins == 1
    assert not host.sessions


@pytest.mark.parametrize("hook", [reset, cut])
async def test_row_10_a_lost_login_reply_is_no_second_login(host: RigHost, hook: Any) -> None:
    host.after["Login"].append(hook)
    with pytest.raises(ConnectionLostError) as caught:
        async with session_on(host):
            pass
    assert host.logins == 1
    assert caught.value.outcome == "unknown"


@pytest.mark.parametrize(
    ("hook", "asked"), [(reset, 2), (cut, 2), (answer(503), 1), (answer(200, b""), 1)]
)
async def test_row_36_a_logout_that_fails_is_logged_and_leaves_nothing_here(
    host: RigHost, hook: Any, asked: int, caplog: pytest.LogCaptureFixture
) -> None:
    host.before["Logout"] += [hook] * asked
    with caplog.at_level(logging.WARNING, "vimlib.session"):
        async with session_on(host):
            pass
    assert host.count("Logout") == asked
    assert "logout failed" in caplog.text


@pytest.mark.parametrize("hook", [reset, cut])
@pytest.mark.parametrize("done", [True, False])
async def test_row_36_a_logout_whose_connection_broke_is_asked_for_once_more(
    host: RigHost, hook: Any, done: bool, caplog: pytest.LogCaptureFixture
) -> None:
    (host.after if done else host.before)["Logout"].append(hook)
    with caplog.at_level(logging.WARNING, "vimlib.session"):
        async with session_on(host):
            pass
    assert host.count("Logout") == 2
    assert not host.sessions
    assert "logout failed" not in caplog.text
    assert host.logins == 1, "a second one that is refused leads to no login"


async def test_row_36_a_session_too_many_is_refused_and_harms_nobody() -> None:
    async with leakcheck(), ESXHost(session_limit=1) as esx:
        async with connected(esx, retries=FAST) as first:
            with pytest.raises(HTTPStatusError) as caught:
                async with connected(esx, retries=FAST):
                    raise AssertionError("not reached")
            assert caught.value.status == 503
            assert len(esx.sessions.by_cookie) == 1
            assert await first.collect(vim25.HostSystem, "name").first() is not None
        assert not esx.sessions.by_cookie
        async with connected(esx, retries=FAST):
            pass
        assert not esx.sessions.by_cookie


async def test_row_36_closing_twice_logs_out_once(host: RigHost) -> None:
    async with session_on(host) as session:
        await session.aclose()
        await session.aclose()
    assert host.count("Logout") == 1
    assert not host.sessions


async def test_row_36_the_block_s_own_error_survives_the_logout(host: RigHost) -> None:
    host.before["Logout"] += [reset, reset]
    with pytest.raises(ZeroDivisionError):
        async with session_on(host):
            1 / 0  # noqa: B018
    assert host.count("Logout") == 2


@pytest.mark.parametrize(
    ("hook", "replied"),
    [
        (reset, False),
        (cut, False),
        (answer(502), True),
        (answer(503), True),
        (answer(504), True),
        (answer(200, b""), True),
        (answer(200, b"<html>"), True),
        (answer(200, envelope("<CreateVM_TaskResponse xmlns='urn:vim25'/>")), True),
    ],
)
async def test_row_09_15_a_write_whose_reply_is_lost_is_not_repeated(
    host: RigHost, hook: Any, replied: bool
) -> None:
    async with session_on(host) as session:
        host.after["CreateVM_Task"].append(hook)
        folder = session.bind(vim25.Folder("ha-folder-vm"))
        with pytest.raises(OutcomeUnknownError) as caught:
            await folder.CreateVM_Task(
                vim25.VirtualMachineConfigSpec(name="inst-1"), vim25.ResourcePool("p")
            )
        assert (caught.value.method, caught.value.this) == ("CreateVM_Task", folder)
        assert caught.value.outcome == "unknown"
        assert isinstance(caught.value.__cause__, VimlibError)
        assert caught.value.replied is replied
        assert ("no reply arrived" in str(caught.value)) is not replied
        assert host.machines == ["inst-1"]


@pytest.mark.parametrize("hook", [reset, cut, answer(502), answer(503), answer(504), answer(429)])
async def test_row_15_a_read_is_repeated(host: RigHost, hook: Any) -> None:
    async with session_on(host) as session:
        host.before["RetrievePropertiesEx"] += [hook, hook]
        assert (await read(session)).objects
        assert host.count("RetrievePropertiesEx") == 3


async def test_row_15_repeats_end(host: RigHost) -> None:
    async with session_on(host) as session:
        host.before["RetrievePropertiesEx"] += [answer(503)] * 9
        with pytest.raises(HTTPStatusError):
            await read(session)
        assert host.count("RetrievePropertiesEx") == 3


async def test_row_15_the_budget_ends_repeats_for_everybody(host: RigHost) -> None:
    policy = RetryPolicy(
        attempts=3, budget=4, refill=0, backoff=Backoff(first=0.001, longest=0.002)
    )
    async with session_on(host, retries=policy) as session:
        host.before["RetrievePropertiesEx"] += [answer(503)] * 100
        outcomes = await asyncio.gather(*(read(session) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(outcome, HTTPStatusError) for outcome in outcomes)
        assert host.count("RetrievePropertiesEx") == 14


async def test_nothing_is_sent_again_once_the_session_is_closed(host: RigHost) -> None:
    sends: list[str] = []

    class Away:
        async def __call__(self, call: EncodedCall, exchange: Exchange, /) -> Reply:
            if call.method == "PowerOnVM_Task":
                sends.append(call.method)
                closing.append(asyncio.ensure_future(session.aclose()))
                raise ConnectError("away")
            return await exchange(call)

    closing: list[asyncio.Future[None]] = []
    async with session_on(host, middleware=[Away()]) as session:
        with pytest.raises(ClosedError) as caught:
            await machine(session).PowerOnVM_Task()
        assert caught.value.outcome == "not_sent"
        await asyncio.gather(*closing)
    assert sends == ["PowerOnVM_Task"]


async def test_a_call_that_waited_for_a_connection_carries_the_cookie_of_then(
    host: RigHost,
) -> None:
    tls = TLS(pin=certs.make("good").digest())
    async with (
        HTTPTransport(host.url, tls=tls, connections=3) as transport,
        Session(transport, Credentials(USERNAME, Secret(PASSWORD))) as session,
    ):
        assert transport._pool is not None
        budget = transport._pool.budget
        for _ in range(3):
            assert budget.take("call")
        waiting = asyncio.create_task(read(session))
        while not budget.waiting:  # noqa: ASYNC110 - a queue has no event
            await asyncio.sleep(0)
        host.sessions.add("renewed")
        session._caller.cookie = Secret("renewed")
        for _ in range(3):
            budget.release("call")
        assert (await waiting).objects
        assert host.cookies[-1] == "renewed"
