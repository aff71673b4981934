"""Disks of machines that exist: attached, grown, detached."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as revised

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, spec
from vimdriver._driver import ESXDriver
from vimdriver._instances.device_list import DeviceInfo
from vimdriver._verbs import execute
from vimdriver.errors import (
    DiskSharedError,
    DiskSnapshotError,
    ForeignInstanceError,
    InstanceStateError,
    NoSlotError,
    NoSpaceError,
)
from vimlib.errors import NotFoundError, UsageError, VersionError

ROOT = "[datastore1] web/web.vmdk"
GIB = 1 << 30


async def disks(driver: ESXDriver, name: str = "web") -> list[DeviceInfo]:
    return [one for one in await driver.devices(name) if one.kind == "disk"]


async def paths(driver: ESXDriver, name: str = "web") -> list[str]:
    return [one.path for one in await disks(driver, name)]


@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_new_disk_is_attached_grown_and_deleted(
    version: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            clean = host.state().files
            made = await driver.attach_disk("web", size_gb=1, disk_type="thin")
            assert (made.path, made.capacity, made.unit) == ("[datastore1] web/web_1.vmdk", GIB, 1)
            assert (made.mode, made.thin, made.model) == ("persistent", True, "lsiLogic")
            grown = await driver.grow_disk("web", made.path, 2)
            assert grown.capacity == 2 * GIB
            assert (await driver.grow_disk.plan("web", made.path, 2)).steps == ()
            await driver.detach_disk("web", made.label, delete=True)
            assert await paths(driver) == [ROOT]
            assert host.state().files == clean


async def test_a_disk_moves_from_one_machine_to_another(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await driver.spawn(spec(image, "db", nics=()))
        made = await driver.attach_disk("web", size_gb=1)
        with pytest.raises(
            DiskSharedError, match=r"machine 'db' shares .*web_1.vmdk with machine 'web'"
        ):
            await driver.attach_disk("db", path=made.path)
        await driver.detach_disk("web", made.path)
        there = await driver.attach_disk("db", path=made.path, mode="independent_persistent")
        assert (there.path, there.mode, there.capacity) == (
            made.path,
            "independent_persistent",
            GIB,
        )


@pytest.mark.parametrize(
    ("adapter", "unit"), [("paraVirtual", 0), ("sata", 0), ("nvme", 0), ("lsiLogic", 1)]
)
async def test_a_controller_is_added_where_the_others_are_full(
    adapter: Any, unit: int, host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        made = await driver.attach_disk("web", size_gb=1, adapter=adapter)
        assert (made.model, made.unit) == (adapter, unit)


async def test_units_of_a_controller_are_used_up_before_the_next_one(
    host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        made = [await driver.attach_disk("web", size_gb=1, disk_type="thin") for _ in range(15)]
        # Position 7 is the controller's own.
        assert [one.unit for one in made] == [1, 2, 3, 4, 5, 6, *range(8, 16), 0]
        ide = [await driver.attach_disk("web", size_gb=1, adapter="ide") for _ in range(4)]
        assert [one.unit for one in ide] == [0, 1, 0, 1]
        with pytest.raises(NoSlotError, match="no free position for a disk on ide controllers"):
            await driver.attach_disk("web", size_gb=1, adapter="ide")


async def test_a_disk_that_was_added_in_vain_is_removed_with_its_controller_and_files(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            files, devices = host.state().files, await driver.devices("web")
            # The first reading is the verb's own, the second one its result.
            for given in ({"size_gb": 1}, {"size_gb": 1, "adapter": "paraVirtual"}):
                plan = await driver.attach_disk.plan("web", **given)

                async def fail(run: Any) -> Any:
                    raise UsageError("on order")

                with pytest.raises(UsageError, match="on order"):
                    await execute(driver.host(), replace(plan, result=fail))
                assert await driver.devices("web") == devices
                assert host.state().files == files
            plan = await driver.detach_disk.plan("web", ROOT)  # type: ignore[assignment]
            with pytest.raises(UsageError, match="on order"):
                await execute(driver.host(), replace(plan, result=fail))
            assert [(d.path, d.unit) for d in await disks(driver)] == [(ROOT, 0)]


async def test_refusals_state_the_rule_and_change_nothing(host: Hosted, image: Path) -> None:
    call: Awaitable[Any]
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await driver.attach_disk("web", size_gb=2, disk_type="thin")
        state, seen = host.state(), len(host.esx.calls("ReconfigVM_Task"))
        for call, rule in (
            (driver.attach_disk("web"), "exactly one of size_gb and path is required"),
            (driver.attach_disk("web", size_gb=1, path=ROOT), "exactly one of size_gb and path"),
            (driver.attach_disk("web", size_gb=0), "size_gb must be 1 to 63488, got 0"),
            (driver.attach_disk("web", size_gb=63489), "size_gb must be 1 to 63488, got 63489"),
            (driver.attach_disk("web", path="[datastore1] a.iso"), "path must name a disk's descriptor"),
            (driver.attach_disk("web", path="a.vmdk"), "invalid datastore path: a.vmdk"),
            (driver.attach_disk("web", size_gb=1, mode="x"), "mode must be one of persistent, "),  # type: ignore[arg-type]
            (driver.attach_disk("web", size_gb=1, disk_type="x"), "disk_type must be one of thin, "),  # type: ignore[arg-type]
            (driver.attach_disk("web", size_gb=1, adapter="x"), "adapter must be one of lsiLogic, "),  # type: ignore[arg-type]
            (driver.grow_disk("web", "Hard disk 2", 1), "size_gb must be at least 2, the disk's present size, got 1"),
            (driver.grow_disk("web", ROOT, 0), "size_gb must be 1 to 63488, got 0"),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=rule):
                await call
        for call in (
            driver.grow_disk("web", "[datastore1] b.vmdk", 1),
            driver.detach_disk("web", "[datastore1] b.vmdk"),
        ):
            with pytest.raises(
                NotFoundError, match=r"machine web has no disk '\[datastore1\] b.vmdk'. It has"
            ):
                await call
        with pytest.raises(InstanceStateError, match="must be poweredOff, is poweredOn"):
            await driver.attach_disk("web", size_gb=1, adapter="ide")
        assert len(host.esx.calls("ReconfigVM_Task")) == seen
        with pytest.raises(NotFoundError, match=r"file not found: \[datastore1\] b.vmdk"):
            await driver.attach_disk("web", path="[datastore1] b.vmdk")
        await driver.snapshot("web", "one")
        seen = len(host.esx.calls("ReconfigVM_Task"))
        for call in (
            driver.grow_disk("web", "Hard disk 1", 5),
            driver.detach_disk("web", "Hard disk 1", delete=True),
        ):
            with pytest.raises(DiskSnapshotError, match="has snapshots, which hold its disk"):
                await call
        assert len(host.esx.calls("ReconfigVM_Task")) == seen
        await driver.remove_snapshot("web", "one")
        assert host.state().files == state.files


async def test_a_full_datastore_is_named(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", capacity=GIB) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            state = host.state()
            for call in (
                driver.attach_disk("web", size_gb=2),
                driver.grow_disk("web", ROOT, 2),
            ):
                with pytest.raises(
                    NoSpaceError, match=r"datastore 'datastore1' needs 2\.0 GiB free"
                ):
                    await call
            assert host.state() == state


async def test_a_disk_of_a_linked_machine_is_not_deleted(host: Hosted, image: Path) -> None:
    """A disk that is the parent of another machine's is that machine's too."""
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        await driver.spawn(spec(image, "db", nics=()))
        await driver.power_off("web")
        host.beside.call(lambda: _borrow(host))
        with pytest.raises(DiskSharedError):
            await driver.detach_disk("web", ROOT, delete=True)
        assert await paths(driver) == [ROOT]


def _borrow(host: Hosted) -> None:
    """Let one machine stand on the other's disk."""
    web, db = host.esx.machine("web"), host.esx.machine("db")
    (root,) = web.disks()
    hardware = db.config.hardware
    devices = [
        revised(one, backing=revised(one.backing, parent=root.backing))
        if one.key == root.key
        else one
        for one in hardware.device
    ]
    db.set_config(revised(db.config, hardware=revised(hardware, device=devices)))


async def test_a_machine_of_another_owner_is_changed_on_demand_only(
    host: Hosted, image: Path
) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.spawn(spec(image))
    async with host.driver() as driver:
        for call in (
            driver.attach_disk("web", size_gb=1),
            driver.detach_disk("web", ROOT),
            driver.grow_disk("web", ROOT, 1),
        ):
            with pytest.raises(ForeignInstanceError):
                await call
        assert (await driver.grow_disk("web", ROOT, 1, foreign=True)).capacity == GIB


async def test_adapters_that_the_host_is_too_old_for(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", "4.1", legacy_tls=True) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            for adapter, version in (("sata", "5.5"), ("nvme", "6.5")):
                with pytest.raises(
                    VersionError, match=f"a {adapter} controller needs API {version}"
                ):
                    await driver.attach_disk("web", size_gb=1, adapter=adapter)  # type: ignore[arg-type]
