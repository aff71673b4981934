"""What another process is making stays, whichever clock is stepped meanwhile."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import OWNER, Hosted, host_of, spec, until, write_note
from vimdriver._images.sink import temporary_name
from vimdriver._instances.types import NICSpec
from vimdriver._sweep import sweep
from vimdriver._verbs.host import own_time

STEPS = [timedelta(hours=25), timedelta(hours=-25), timedelta(days=400)]


class Stepped:
    """A clock that somebody has set."""

    def __init__(self, clock: Any, by: timedelta) -> None:
        self._clock, self._by = clock, by

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def now(self) -> datetime:
        found: datetime = self._clock.now() + self._by
        return found


async def live_work(host: Hosted, image: Path, driver: Any) -> asyncio.Task[Any]:
    """Hold a spawn between its machine and its disk, next to an upload and a note that are as young."""
    host.beside.call(lambda: host.esx.faults.hold_task("CreateVirtualDisk_Task"))
    nics = (NICSpec(network="vlan-3", vlan=3),)
    spawning = asyncio.create_task(driver.spawn(spec(image, nics=nics)))
    await until(lambda: "CreateVirtualDisk_Task" in host.state().running)
    (host.folder / "images").mkdir()
    (host.folder / "images" / temporary_name("disk.img", OWNER)).write_bytes(b"x")
    await write_note(driver.host(), "vlan-4", 4)
    return spawning


async def finished(host: Hosted, spawning: asyncio.Task[Any]) -> None:
    host.beside.call(lambda: host.esx.faults.release_task("CreateVirtualDisk_Task"))
    assert (await spawning).power_state == "poweredOn"
    assert {"vlan-3"} <= host.state().groups


@pytest.mark.parametrize("by", STEPS)
async def test_the_hosts_clock_is_stepped(by: timedelta, host: Hosted, image: Path) -> None:
    async with host.driver() as one, host.driver() as other:
        spawning = await live_work(host, image, one)
        before = host.state()
        registry = host.esx.registry
        registry.clock = Stepped(registry.clock, by)
        report = await other.sweep()
        assert {item.action for item in report.items} == {"left"}, report.items
        assert host.state() == before
        await finished(host, spawning)


@pytest.mark.parametrize("by", STEPS)
async def test_this_computers_clock_is_stepped(by: timedelta, host: Hosted, image: Path) -> None:
    async with host.driver() as one, host.client() as client:
        spawning = await live_work(host, image, one)
        before = host.state()
        report = await sweep(host_of(client, clock=lambda: own_time() + by))
        assert {item.action for item in report.items} == {"left"}, report.items
        assert host.state() == before
        await finished(host, spawning)


async def test_what_is_old_by_both_clocks_is_removed(host: Hosted) -> None:
    registry = host.esx.registry
    async with host.client() as client:
        await write_note(host_of(client), "vlan-4", 4)
        registry.clock = Stepped(registry.clock, timedelta(hours=25))
        later = host_of(client, clock=lambda: own_time() + timedelta(hours=25))
        assert [item.kind for item in (await sweep(later)).removed] == ["note"]
    assert host.state().files == frozenset()
