"""A simulated host behind a relay, with a client, all on one fake clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

import vimlib
from tests.rig import certs, clock
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from tests.rig.relay import Relay, Turn, relay
from vimlib._client import Client
from vimlib.errors import DeadlineError
from vimlib.simulator import ESXHost

Work: TypeAlias = "Callable[[Client, ESXHost, Relay], Awaitable[None]]"
LIMITS = vimlib.Timeouts(
    read=9, write=9, call=30, window=20, rate=100, transfer=200, listing=60, files=120, logout=5
)


def run_between(work: Work, timeouts: vimlib.Timeouts = LIMITS, **given: Any) -> None:
    """Run `work`; then nothing of the client may be left here or, as a session, on the host.

    `given` is `ESXHost`'s.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.HostedClockLoop)
        good = certs.make("good")
        async with leakcheck(), ESXHost(**given) as esx:
            loop.others = lambda: len(esx.registry._jobs)
            async with (
                relay("127.0.0.1", esx.port, tls=good.server_context()) as between,
                connected(
                    esx,
                    url=between.stage.url,
                    tls=vimlib.TLS(pin=good.digest()),
                    timeouts=timeouts,
                    keepalive=None,
                ) as client,
            ):
                await work(client, esx, between)
                between.rules.clear()
            assert not esx.sessions.by_cookie

    clock.run_hosted(main())


async def drip(turn: Turn) -> None:
    """Send the reply one byte a second, head and body."""
    for byte in (await turn.forward()).raw():
        await turn.conn.send(bytes([byte]))
        await asyncio.sleep(1)


async def drip_body(turn: Turn) -> None:
    """Send the head of the reply, then its body one byte a second."""
    raw = (await turn.forward()).raw()
    at = raw.index(b"\r\n\r\n") + 4
    await turn.conn.send(raw[:at])
    for byte in raw[at:]:
        await turn.conn.send(bytes([byte]))
        await asyncio.sleep(1)


async def interim(turn: Turn) -> None:
    """Say 100 for ever, a byte a second, and nothing else."""
    while True:
        for byte in b"HTTP/1.1 100 Continue\r\n\r\n":
            await turn.conn.send(bytes([byte]))
            await asyncio.sleep(1)


async def took(work: Awaitable[object]) -> tuple[DeadlineError, float]:
    """Return the deadline's error, and how long it took to come."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(DeadlineError) as caught:
        await work
    return caught.value, loop.time() - began
