"""A refused login is not repeated: not by this client, not by others, not by the next process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.rig.login import connected
from vimlib import vim25
from vimlib._secret import Secret
from vimlib._session import refusals
from vimlib.errors import LoginError
from vimlib.model import MethodFault
from vimlib.simulator import ESXHost


@pytest.fixture
async def esx() -> AsyncIterator[ESXHost]:
    async with ESXHost(vms=0) as host:
        yield host


def logins(esx: ESXHost) -> int:
    return sum(entry.method == "Login" for entry in esx.call_log)


async def refused(esx: ESXHost, password: str | Path | None = None, **how: Any) -> LoginError:
    with pytest.raises(LoginError) as caught:
        async with connected(esx, password, **how):
            raise AssertionError("not reached")
    return caught.value


async def test_a_refused_password_is_sent_once(esx: ESXHost) -> None:
    first = await refused(esx, "wrong")
    assert (first.reason, first.outcome, first.retryable) == ("credentials", "refused", False)
    second = await refused(esx, "wrong")
    assert (second.reason, second.outcome) == ("recently_refused", "not_sent")
    assert "--retry-login" in str(second)
    assert logins(esx) == 1


async def test_the_next_process_does_not_send_it_either(esx: ESXHost) -> None:
    await refused(esx, "wrong")
    refusals._at.cache_clear()
    assert (await refused(esx, "wrong")).reason == "recently_refused"
    assert logins(esx) == 1


async def test_another_password_is_sent(esx: ESXHost) -> None:
    await refused(esx, "wrong")
    async with connected(esx):
        pass
    assert logins(esx) == 2


async def test_retry_login_allows_one_more_attempt(esx: ESXHost) -> None:
    await refused(esx, "wrong")
    assert (await refused(esx, "wrong", retry_login=True)).reason == "credentials"
    assert logins(esx) == 2


async def test_fifty_clients_that_start_at_once_send_a_wrong_password_once(esx: ESXHost) -> None:
    errors = await asyncio.gather(*(refused(esx, "wrong") for _ in range(50)))
    assert sorted({error.reason for error in errors}) == ["credentials", "recently_refused"]
    assert logins(esx) == 1


async def test_clients_whose_sessions_end_after_a_change_send_the_old_password_once(
    esx: ESXHost,
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(esx)) for _ in range(8)]
        before = logins(esx)
        esx.sessions.password = "changed"
        esx.expire_sessions()
        results = await asyncio.gather(
            *(each.get(each.content.rootFolder, "name") for each in clients),
            return_exceptions=True,
        )
    reasons = [result.reason for result in results if isinstance(result, LoginError)]
    assert sorted(reasons) == ["credentials", *["recently_refused"] * 7]
    assert logins(esx) - before == 1


async def test_a_changed_password_file_is_read_and_sent(esx: ESXHost, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    await refused(esx, file)
    assert (await refused(esx, file)).reason == "recently_refused"
    # The same wrong text in a file that was written again is an attempt that somebody wants.
    os.utime(file, ns=(1, 1))
    assert (await refused(esx, file)).reason == "credentials"
    file.write_text(esx.credentials.password + "\n")
    async with connected(esx, file):
        pass
    assert logins(esx) == 3


async def test_a_session_is_renewed_with_the_password_that_the_file_has_by_then(
    esx: ESXHost, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(esx.credentials.password)
    async with connected(esx, file) as client:
        esx.sessions.password = "changed"
        esx.expire_sessions()
        for _ in range(2):
            with pytest.raises(LoginError):
                await client.collect(vim25.HostSystem, "name").all()
        assert logins(esx) == 2
        file.write_text("changed now")
        os.utime(file, ns=(1, 1))
        esx.sessions.password = "changed now"
        assert await client.collect(vim25.HostSystem, "name").all()
    assert logins(esx) == 3


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (vim25.PasswordExpired(), "password_expired", "has expired"),
        (vim25.AdminDisabled(), "lockdown", "lockdown mode"),
        (
            vim25.HostAccessRestrictedToManagementServer(managementServer="10.0.0.1"),
            "lockdown",
            "lockdown mode",
        ),
        (vim25.NoPermission(privilegeId="System.View"), "permission", "no permission to log in"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MethodFault) else "",
)
async def test_each_refusal_has_a_reason_that_says_so(
    esx: ESXHost, fault: MethodFault, reason: str, words: str
) -> None:
    esx.faults.add("Login", "fault", fault=fault)
    error = await refused(esx)
    assert error.reason == reason
    assert words in str(error)
    # These do not count towards locking, so that the next attempt is free.
    async with connected(esx):
        pass


async def test_no_error_shows_the_password(esx: ESXHost) -> None:
    for _ in range(2):
        error = await refused(esx, "canary-password")
        assert "canary-password" not in str(error) + repr(error)
    path = refusals.shared_refusals().path
    assert path is not None
    assert "canary" not in path.read_text()


def try_in_a_thread(esx: ESXHost, errors: list[LoginError]) -> None:
    errors.append(asyncio.run(refused(esx, "wrong")))


async def test_threads_with_a_loop_each_send_a_wrong_password_once(esx: ESXHost) -> None:
    errors: list[LoginError] = []
    await asyncio.gather(*(asyncio.to_thread(try_in_a_thread, esx, errors) for _ in range(6)))
    assert sorted(error.reason for error in errors) == ["credentials"] + ["recently_refused"] * 5
    assert logins(esx) == 1


async def test_a_login_waits_for_the_one_of_another_process(esx: ESXHost) -> None:
    # Another process is an object of its own on the same file.
    shared = refusals.RefusedLogins(refusals.shared_refusals().path)
    key = refusals.LoginKey(
        vimlib_host(esx), esx.credentials.username, Secret(esx.credentials.password)
    )
    held = shared.reserve(key)
    assert held is not None
    assert shared.reserve(key) is None

    async def connect() -> None:
        async with connected(esx):
            pass

    waiting = asyncio.create_task(connect())
    while not esx.call_log:  # noqa: ASYNC110 - a log has no event
        await asyncio.sleep(0.01)
    assert logins(esx) == 0
    held.close()
    await waiting
    assert logins(esx) == 1


def vimlib_host(esx: ESXHost) -> str:
    return esx.url.removeprefix("https://").removesuffix("/sdk")
