"""What a session asks before it logs in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.rig import certs
from tests.rig.canary import PASSWORD
from tests.rig.host import USERNAME, RigHost
from tests.rig.leaks import leakcheck
from tests.rig.stage import Conn, stage
from vimlib._secret import Secret
from vimlib._session import RetryPolicy, Session
from vimlib._session.credentials import Credentials
from vimlib._session.policy import Backoff
from vimlib._tls import TLS
from vimlib._transport import HTTPTransport
from vimlib.errors import ConnectionLostError

QUICK = Backoff(first=0.001, longest=0.001)


async def drops(conn: Conn) -> None:
    await conn.request()
    conn.reset()


@asynccontextmanager
async def opened(host: RigHost, resets: int, attempts: int) -> AsyncIterator[Session]:
    """Open a session on a host whose first connections are reset when they ask."""
    scripts = [*[drops] * resets, host.play]
    good = certs.make("good")
    async with leakcheck(), stage(scripts, good.server_context()) as host.stage:
        policy = RetryPolicy(attempts=attempts, backoff=QUICK)
        async with (
            HTTPTransport(host.url, tls=TLS(pin=good.digest())) as transport,
            Session(transport, Credentials(USERNAME, Secret(PASSWORD)), retries=policy) as session,
        ):
            yield session


async def test_the_list_of_versions_is_asked_for_again() -> None:
    host = RigHost("7.0.3.0")
    async with opened(host, resets=2, attempts=3) as session:
        assert session.api_version == "7.0.3.0"
    assert host.calls == ["RetrieveServiceContent", "Login", "Logout"]


async def test_it_is_asked_for_no_oftener_than_the_policy_says() -> None:
    host = RigHost("7.0.3.0")
    with pytest.raises(ConnectionLostError):
        async with opened(host, resets=2, attempts=2):
            pass
    assert host.calls == []
