"""However many verbs run at once, a host sees no more sockets than the client may open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.driver.hosted import CONFIG, Hosted, spec, until
from vimdriver._driver import ESXDriver
from vimdriver._images.local import LocalImages
from vimdriver._images.push import push_images
from vimdriver._images.uploader import Uploader


@asynccontextmanager
async def driver_of(host: Hosted, shared: bool, connections: int) -> AsyncIterator[ESXDriver]:
    """Yield a driver with an uploader that its spawns share, or with one for each of them."""
    async with host.client(connections=connections) as client, Uploader() as uploader:
        yield ESXDriver(client, LocalImages(), CONFIG, uploader=uploader if shared else None)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.img"
    path.write_bytes(os.urandom(1 << 16))
    return path


async def spawn_many(host: Hosted, small: Path, shared: bool, connections: int, many: int) -> None:
    host.beside.call(lambda: host.esx.faults.add("PUT", "delay", seconds=0.05, times=None))
    async with driver_of(host, shared, connections) as driver:
        made = await asyncio.gather(
            *(driver.spawn(spec(small, f"web-{n}", nics=())) for n in range(many))
        )
        assert len({each.uuid for each in made}) == many
        removed = await asyncio.gather(*(driver.destroy(each.uuid) for each in made))
        assert removed == [True] * many
    assert host.esx.most_connections <= connections


@pytest.mark.parametrize("connections", [3, 6])
@pytest.mark.parametrize("shared", [False, True])
async def test_spawns_at_once_stay_within_the_connections(
    host: Hosted, small: Path, shared: bool, connections: int
) -> None:
    await spawn_many(host, small, shared, connections, 8)
    assert host.esx.most_connections == connections


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
async def test_a_hundred_spawns_stay_within_the_connections(
    host: Hosted, small: Path, shared: bool
) -> None:
    await spawn_many(host, small, shared, 32, 100)


async def test_a_destroy_goes_before_spawns_that_wait(host: Hosted, small: Path) -> None:
    async with driver_of(host, True, 3) as driver:
        doomed = await driver.spawn(spec(small, "doomed", nics=()))
        # Each of these makes calls, one after the other, over the one or two connections.
        spawns = [
            asyncio.create_task(driver.spawn(spec(small, f"web-{n}", nics=()))) for n in range(8)
        ]
        await until(lambda: host.methods().count("CreateVM_Task") > 1)
        assert await driver.destroy(doomed.uuid)
        assert sum(task.done() for task in spawns) < 4
        await asyncio.gather(*spawns)


async def test_a_push_and_downloads_share_the_connections(host: Hosted, small: Path) -> None:
    async with host.client(connections=4) as client:
        files = []
        for number in range(6):
            path = small.with_name(f"{number}.img")
            path.write_bytes(small.read_bytes())
            files.append(str(path))
        datastore = client.datastore("datastore1")
        await datastore.upload("big", os.urandom(1 << 20))

        async def fetch() -> int:
            async with datastore.download("big") as body:
                return sum([len(piece) async for piece in body])

        pushing = asyncio.create_task(
            push_images(client, LocalImages(), files, datastore="datastore1", concurrency=6)
        )
        assert await asyncio.gather(*(fetch() for _ in range(6))) == [1 << 20] * 6
        assert not [result.error for result in await pushing if result.error]
    assert host.esx.most_connections <= 4
