"""Snapshots of machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted, spec
from vimlib.errors import NotFoundError, OutcomeUnknownError, UsageError


@pytest.mark.parametrize("version", ["4.1", "6.7", "8.0"])
async def test_taken_listed_gone_back_to_and_removed(
    version: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version) as host:
        clean = host.state()
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            assert await driver.snapshots("web") == []
            one = await driver.snapshot("web", "one", description="the first")
            two = await driver.snapshot("web", "two", memory=True)
            listed = await driver.snapshots("web")
            assert [(s.name, s.parent, s.current) for s in listed] == [
                ("one", None, False),
                ("two", one.moref, True),
            ]
            assert listed[0].description == "the first"
            assert two.power_state == "poweredOn"
            assert (await driver.revert_snapshot("web", "one")).current
            assert (await driver.info("web")).power_state == "poweredOff"
            await driver.remove_snapshot("web", two.moref)
            assert [s.name for s in await driver.snapshots("web")] == ["one"]
            with pytest.raises(NotFoundError, match="one"):
                await driver.remove_snapshot("web", "two")
            await driver.remove_snapshot("web", "one", children=True)
            assert await driver.snapshots("web") == []
            await driver.destroy("web")
        await host.settled(clean)


async def test_what_cannot_be(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        for name in ("", "x" * 81):
            with pytest.raises(UsageError):
                await driver.snapshot("web", name)
        with pytest.raises(NotFoundError):
            await driver.snapshot("nobody", "one")
        await driver.snapshot("web", "same")
        await driver.snapshot("web", "same")
        with pytest.raises(NotFoundError, match="2 snapshots"):
            await driver.revert_snapshot("web", "same")


async def test_an_answer_that_is_lost(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            host.esx.faults.add("CreateSnapshot_Task", "lose")
            one = await driver.snapshot("web", "one")
            assert [s.moref for s in await driver.snapshots("web")] == [one.moref]
            host.esx.faults.add("RevertToSnapshot_Task", "lose")
            with pytest.raises(OutcomeUnknownError):
                await driver.revert_snapshot("web", "one")
            for way in ("lose", "reset"):
                host.esx.faults.add("RemoveSnapshot_Task", way)
                await driver.remove_snapshot("web", "one")
                assert await driver.snapshots("web") == []
                host.esx.faults.clear()
                await driver.snapshot("web", "one")
            assert len(host.esx.calls("CreateSnapshot_Task")) == 3
            assert len(host.esx.calls("RemoveSnapshot_Task")) == 3


async def test_a_machine_with_snapshots_is_removed_whole(host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await driver.snapshot("web", "one", memory=True)
        assert await driver.destroy("web")
    await host.settled(clean)
