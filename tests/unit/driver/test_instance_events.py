"""What happens to one machine, or to all, as it happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.rig.leaks import leakcheck
from tests.unit.driver.hosted import Hosted, spec
from vimlib import vim25
from vimlib.errors import NotFoundError, UsageError


async def test_of_one_machine_and_of_all(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await driver.spawn(spec(image, name="other", power_on=False, nics=()))
        one = [event async for event in driver.events("web", follow=False)]
        assert {event.vm.name for event in one if event.vm is not None} == {"web"}
        kinds = [type(event) for event in one]
        assert kinds[0] is vim25.VmCreatedEvent
        assert vim25.VmPoweredOnEvent in kinds
        everything = [event async for event in driver.events(follow=False)]
        assert {e.vm.name for e in everything if e.vm is not None} == {"web", "other"}
        late = datetime(2099, 1, 1, tzinfo=UTC)
        assert [e async for e in driver.events(since=late, follow=False)] == []


async def test_it_goes_on_and_leaves_nothing_on_the_host(host: Hosted, image: Path) -> None:
    async with leakcheck(), host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        seen: list[type[vim25.Event]] = []
        async with driver.events("web") as events, asyncio.timeout(60):
            assert "web" in repr(events)
            async for event in events:
                seen.append(type(event))
                if len(seen) == 1:
                    await driver.power_on("web")
                if isinstance(event, vim25.VmPoweredOnEvent):
                    break
        collectors = host.esx.calls("DestroyCollector")
        assert len(collectors) == len(host.esx.calls("CreateCollectorForEvents"))


async def test_no_such_machine_and_no_such_time(host: Hosted) -> None:
    async with host.driver() as driver:
        with pytest.raises(NotFoundError):
            async for _ in driver.events("nosuch"):
                pass
        with pytest.raises(UsageError):
            driver.events(since=datetime(2026, 1, 1))
