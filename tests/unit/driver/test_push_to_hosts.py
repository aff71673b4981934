"""One push to several hosts: each image is read once, and each host finishes or fails alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import vimlib
from tests.unit.driver.hosted import CONFIG, Beside, Hosted, glance, hosted, store
from vimdriver._images.embedded import EmbeddedGlance, EmbeddedImage, made_image
from vimdriver._images.fan import FanLimits
from vimdriver._images.make import Pattern
from vimdriver._images.push import PushEvent, PushResult
from vimdriver._images.push_to_hosts import push_to_hosts
from vimlib.errors import ConnectError, TransferRejectedError, UsageError

MIB = 1 << 20
LIMITS = FanLimits(patience=60, gather=60)


@pytest.fixture
def hosts(beside: Beside, tmp_path: Path) -> Iterator[list[Hosted]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(hosted(beside, tmp_path / f"store-{n}")) for n in range(3)]


@pytest.fixture
def image() -> EmbeddedImage:
    return made_image("raw", "raw", Pattern(1, 3 * MIB))


@pytest.fixture
def service(beside: Beside, image: EmbeddedImage) -> Iterator[EmbeddedGlance]:
    with glance(beside, image) as found:
        yield found


async def push(
    hosts: list[Hosted], service: EmbeddedGlance, *refs: str, **how: object
) -> list[PushResult]:
    async with store(service) as images:
        return await push_to_hosts(
            {f"host-{number}": host.client() for number, host in enumerate(hosts)},
            images,
            refs or ("raw",),
            datastore="datastore1",
            config=CONFIG,
            limits=LIMITS,
            **how,  # type: ignore[arg-type]
        )


def reads(service: EmbeddedGlance) -> int:
    return sum(seen.path.endswith("/file") for seen in service.seen)


def stored(host: Hosted, image: EmbeddedImage) -> bytes | None:
    found = list(host.folder.rglob(f"{image.id}-flat.vmdk"))
    return found[0].read_bytes() if found else None


async def test_all_hosts_get_an_image_of_one_read(
    hosts: list[Hosted], service: EmbeddedGlance, image: EmbeddedImage
) -> None:
    events: list[PushEvent] = []
    results = await push(hosts, service, events=events.append)
    assert [(r.host, r.error, r.verified) for r in results] == [
        (f"host-{number}", None, True) for number in range(3)
    ]
    assert [r.to_json()["host"] for r in results] == ["host-0", "host-1", "host-2"]
    whole = b"".join(image.chunks())
    assert [stored(host, image) for host in hosts] == [whole] * 3
    assert reads(service) == 1
    for host in ("host-0", "host-1", "host-2"):
        mine = [event for event in events if event.host == host]
        assert sum(event.bytes for event in mine if event.kind == "progress") == image.size
        assert mine[-1].kind == "done"


async def test_a_host_that_refuses_fails_alone(
    hosts: list[Hosted], service: EmbeddedGlance, image: EmbeddedImage
) -> None:
    hosts[1].esx.faults.add("PUT", "status", status=403, after=MIB)
    before = hosts[1].state()
    results = await push(hosts, service)
    assert isinstance(results[1].error, TransferRejectedError)
    assert [results[0].error, results[2].error] == [None, None]
    assert reads(service) == 1
    await hosts[1].settled(before)
    assert stored(hosts[1], image) is None


async def test_a_host_that_cannot_be_reached_fails_alone(
    hosts: list[Hosted], service: EmbeddedGlance
) -> None:
    async with store(service) as images:
        results = await push_to_hosts(
            {"there": hosts[0].client(), "away": vimlib.connect("127.0.0.1:1", "u", "p")},
            images,
            ["raw"],
            datastore="datastore1",
            config=CONFIG,
            limits=LIMITS,
        )
    assert results[0].error is None
    assert isinstance(results[1].error, ConnectError)
    assert (results[1].host, results[1].image) == ("away", "raw")


async def test_an_invalid_argument_is_an_error_of_all(
    hosts: list[Hosted], service: EmbeddedGlance
) -> None:
    for how in ({"concurrency": 0}, {"bandwidth": 0.0}, {"host_bandwidth": -1.0}):
        with pytest.raises(UsageError):
            await push(hosts, service, **how)
    with pytest.raises(UsageError):
        await push([], service)
    assert reads(service) == 0


async def test_one_host_given_twice_is_refused(
    hosts: list[Hosted], service: EmbeddedGlance
) -> None:
    async with hosts[0].client() as client, store(service) as images:
        with pytest.raises(UsageError):
            await push_to_hosts([client, client], images, ["raw"], datastore="datastore1")
