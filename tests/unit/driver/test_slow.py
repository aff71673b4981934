"""Image transfers of the driver against hosts that drip, refuse for the session's end, or answer 5xx.

The relay is on the test's loop, the host in another thread; both clocks are real, so the limits here
are tenths of seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vimlib
from tests.rig import certs
from tests.rig.relay import HTML, Act, Relay, Turn, answer, relay
from tests.unit.driver.hosted import CONFIG, Hosted, spec
from vimdriver._config import DriverConfig
from vimdriver._driver import ESXDriver
from vimdriver._images.local import LocalImages
from vimdriver._images.push import PushEvent, PushResult, push_images
from vimlib._client import Client
from vimlib.errors import DeadlineError, TransferRejectedError

GOOD = certs.make("good")
LIMITS = vimlib.Timeouts(connect=20, handshake=20, read=20, write=20, call=20, logout=5)
QUICK = DriverConfig(owner="tests", settle_seconds=0.1, task_seconds=1, cleanup_seconds=20)


@dataclass
class Between:
    """A host behind a relay."""

    host: Hosted
    relay: Relay
    client: Client

    async def push(self, image: Path, config: DriverConfig = CONFIG) -> tuple[PushResult, int]:
        """Push an image; return its result, and of how many bytes was told that they had left."""
        told: list[PushEvent] = []
        (result,) = await push_images(
            self.client,
            LocalImages(),
            [str(image)],
            datastore="datastore1",
            as_is=True,
            config=config,
            events=told.append,
        )
        await asyncio.sleep(0)
        return result, sum(event.bytes for event in told if event.kind == "progress")


@pytest.fixture
async def between(host: Hosted) -> AsyncIterator[Between]:
    async with (
        relay("127.0.0.1", host.esx.port, tls=GOOD.server_context()) as found,
        host.client(
            url=found.stage.url, tls=vimlib.TLS(pin=GOOD.digest()), timeouts=LIMITS
        ) as client,
    ):
        yield Between(host, found, client)


async def drip(turn: Turn) -> None:
    """Answer one byte each tenth of a second."""
    for byte in (await turn.forward()).raw():
        await turn.conn.send(bytes([byte]))
        await asyncio.sleep(0.1)


async def interim(turn: Turn) -> None:
    """Say 100 for ever."""
    while True:
        await drip_bytes(turn, b"HTTP/1.1 100 Continue\r\n\r\n")


async def drip_bytes(turn: Turn, data: bytes) -> None:
    for byte in data:
        await turn.conn.send(bytes([byte]))
        await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("act", [drip, interim])
async def test_row_86_a_spawn_whose_upload_is_answered_slowly_ends_by_its_deadline(
    between: Between, image: Path, act: Act
) -> None:
    before = between.host.state()
    between.relay.on("PUT", act, times=None)
    driver = ESXDriver(between.client, LocalImages(), QUICK)
    began = time.monotonic()
    with pytest.raises(DeadlineError) as caught:
        await driver.spawn(spec(image))
    error = caught.value
    assert (error.rule, error.seconds, error.phase, error.outcome) == ("call", 1, "call", "unknown")
    assert error.bytes is not None
    assert time.monotonic() - began < 15
    assert between.host.state() == before


@pytest.mark.slow
async def test_row_86_a_push_that_is_answered_slowly_leaves_nothing(
    between: Between, image: Path
) -> None:
    between.relay.on("PUT", drip, times=None)
    result, _ = await between.push(image, QUICK)
    assert isinstance(result.error, DeadlineError)
    assert (result.error.rule, result.error.seconds) == ("call", 1)
    assert between.host.state().files == frozenset()


@pytest.mark.parametrize("after", [0, 1 << 20, None])
async def test_row_33_a_push_that_meets_the_end_of_the_session_is_sent_again_once(
    between: Between, image: Path, after: int | None
) -> None:
    """The 401 comes before the body, amid it, or for want of a session after it."""
    host = between.host
    if after is None:

        async def ended(turn: Turn) -> None:
            host.beside.call(host.esx.expire_sessions)
            await turn.conn.send((await turn.forward()).raw())

        between.relay.on("PUT", ended)
    else:
        host.esx.faults.add("PUT", "status", status=401, after=after)
    logins = between.relay.count("Login")
    result, told = await between.push(image)
    assert result.error is None
    assert (host.folder / "images" / image.name).read_bytes() == image.read_bytes()
    assert host.state().files == {f"images/{image.name}"}
    assert told == image.stat().st_size
    assert between.relay.count("PUT") == 2
    assert between.relay.count("Login") - logins == (after is None)

    (host.folder / "images" / image.name).unlink()
    between.relay.on("PUT", answer(401, b"", HTML), times=None)
    result, _ = await between.push(image)
    assert isinstance(result.error, TransferRejectedError)
    assert (result.error.status, result.error.outcome) == (401, "refused")
    assert between.relay.count("PUT") == 4
    assert host.state().files == frozenset()


async def test_row_33_a_spawn_that_meets_the_end_of_the_session_sends_the_image_again(
    between: Between, image: Path
) -> None:
    between.host.esx.faults.add("PUT", "status", status=401)
    driver = ESXDriver(between.client, LocalImages(), CONFIG)
    told: list[int] = []
    machine = await driver.spawn(spec(image), on_progress=told.append)
    assert machine.power_state == "poweredOn"
    assert between.relay.count("PUT") == 2
    await asyncio.sleep(0)
    assert sum(told) == image.stat().st_size


@pytest.mark.parametrize("status", [500, 502, 503, 507])
async def test_row_85_a_push_that_is_answered_by_5xx_is_settled_by_the_listing(
    between: Between, image: Path, status: int
) -> None:
    between.relay.on("PUT", answer(status, b"sorry", HTML, forward=True))
    result, _ = await between.push(image)
    assert result.error is None
    assert between.host.state().files == {f"images/{image.name}"}
    (between.host.folder / "images" / image.name).unlink()

    between.relay.on("PUT", answer(status, b"sorry", HTML))
    result, _ = await between.push(image)
    assert isinstance(result.error, TransferRejectedError)
    assert (result.error.status, result.error.outcome) == (status, "unknown")
    assert between.relay.count("PUT") == 2
    assert between.host.state().files == frozenset()
