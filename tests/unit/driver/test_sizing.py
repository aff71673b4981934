"""Sizes of machines: changed at once, or resized, confirmed and reverted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as revised

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, spec
from tests.unit.driver.test_disks import disks, paths
from vimdriver._driver import ESXDriver
from vimdriver._instances.pending import PENDING_KEY
from vimdriver._verbs import Plan, execute
from vimdriver.errors import (
    DiskSharedError,
    DiskSnapshotError,
    ForeignInstanceError,
    InstanceStateError,
    NoSpaceError,
    PendingChangeError,
)
from vimlib import vim25
from vimlib.errors import NotFoundError, OutcomeUnknownError, UsageError

GIB = 1 << 30
ROOT = "[datastore1] web/web.vmdk"


def marks(host: Hosted, name: str = "web") -> dict[str, Any]:
    found: dict[str, Any] = host.beside.call(
        lambda: {one.key: one.value for one in host.esx.machine(name).config.extraConfig}
    )
    return found


async def sizes(driver: ESXDriver) -> tuple[int, int, int | None]:
    found = await driver.info("web")
    (disk,) = await disks(driver)
    return found.cpus, found.memory_mb, disk.capacity


async def test_cpus_and_memory_of_a_machine_that_is_off(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        changed = await driver.change_hardware("web", cpus=2, memory_mb=128)
        assert (changed.cpus, changed.memory_mb) == (2, 128)
        assert (await driver.change_hardware.plan("web", cpus=2)).steps == ()
        assert (await driver.change_hardware("web", memory_mb=64)).memory_mb == 64


async def test_a_running_machine_needs_hot_add_and_only_gets_more(
    host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image))
        with pytest.raises(InstanceStateError, match="must be poweredOff, is poweredOn"):
            await driver.change_hardware("web", cpus=2)
        host.beside.call(lambda: _hot_add(host))
        assert (await driver.change_hardware("web", cpus=2, memory_mb=128)).cpus == 2
        with pytest.raises(InstanceStateError, match="must be poweredOff"):
            await driver.change_hardware("web", cpus=1)


def _hot_add(host: Hosted) -> None:
    web = host.esx.machine("web")
    web.set_config(revised(web.config, cpuHotAddEnabled=True, memoryHotAddEnabled=True))


@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_resize_is_confirmed(
    version: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        clean = host.state()
        async with host.driver() as driver:
            await driver.spawn(spec(image, power_on=False))
            await driver.resize("web", cpus=2, memory_mb=128, disk_gb=1)
            assert await sizes(driver) == (2, 128, GIB)
            (now,) = await disks(driver)
            assert now.path.startswith("[datastore1] web/web-resize-")
            assert (now.unit, now.model) == (0, "lsiLogic")
            assert "web/web.vmdk" in host.state().files
            content = (host.folder / now.path[13:].replace(".vmdk", "-flat.vmdk")).read_bytes()
            assert content[: image.stat().st_size] == image.read_bytes()
            await driver.power_on("web")
            assert (await driver.confirm_resize("web")).power_state == "poweredOn"
            assert "web/web.vmdk" not in host.state().files
            assert PENDING_KEY not in marks(host)
            with pytest.raises(PendingChangeError, match="machine 'web' has no resize to end"):
                await driver.confirm_resize("web")
            # The next one starts from there.
            await driver.power_off("web")
            await driver.resize("web", disk_gb=2)
            await driver.confirm_resize("web")
            assert await sizes(driver) == (2, 128, 2 * GIB)
            await driver.destroy("web")
        await host.settled(clean)


async def test_a_resize_is_reverted(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        files, before = host.state().files, await sizes(driver)
        await driver.resize("web", cpus=2, memory_mb=128, disk_gb=1)
        await driver.revert_resize("web")
        assert await sizes(driver) == before
        assert await paths(driver) == [ROOT]
        assert host.state().files == files
        assert PENDING_KEY not in marks(host)


PLANS: dict[str, Callable[[ESXDriver], Awaitable[Plan[Any]]]] = {
    "resize": lambda d: d.resize.plan("web", cpus=2),
    "resize with a disk": lambda d: d.resize.plan("web", disk_gb=1),
    "rescue": lambda d: d.rescue.plan("web", ROOT),
    "rebuild": lambda d: d.rebuild.plan("web", ROOT),
}


@pytest.mark.parametrize("verb", PLANS)
async def test_of_two_processes_that_change_a_machine_at_once_one_is_refused(
    verb: str, host: Hosted, image: Path
) -> None:
    async with host.driver() as one, host.driver() as other:
        await one.spawn(spec(image, power_on=False))
        plan = await PLANS[verb](one)
        await other.resize("web", disk_gb=2)
        files, there = host.state().files, marks(host)
        with pytest.raises(vim25.ConcurrentAccess):
            await execute(one.host(), plan)
        assert (host.state().files, marks(host)) == (files, there)
        # The verb itself reads the machine again.
        with pytest.raises(PendingChangeError):
            await one.resize("web", cpus=2)


async def test_a_disk_that_another_process_gave_back_is_not_deleted(
    host: Hosted, image: Path
) -> None:
    async with host.driver() as one, host.driver() as other:
        await one.spawn(spec(image, power_on=False))
        await one.resize("web", disk_gb=1)
        confirm = await one.confirm_resize.plan("web")
        await other.revert_resize("web")
        with pytest.raises(vim25.ConcurrentAccess):
            await execute(one.host(), confirm)
        assert await paths(one) == [ROOT]
        assert "web/web-flat.vmdk" in host.state().files
        assert PENDING_KEY not in marks(host)


async def test_a_machine_that_was_changed_meanwhile_is_read_once_more(
    host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        seen = host.methods().count("ReconfigVM_Task")
        host.esx.faults.fail("ReconfigVM_Task", vim25.ConcurrentAccess())
        assert (await driver.resize("web", cpus=2)).cpus == 2
        assert host.methods().count("ReconfigVM_Task") == seen + 2
        host.esx.faults.fail("ReconfigVM_Task", vim25.ConcurrentAccess(), times=2)
        with pytest.raises(vim25.ConcurrentAccess):
            await driver.revert_resize("web")


async def test_a_resize_without_a_disk(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        before = await sizes(driver)
        copies = len(host.esx.calls("CopyVirtualDisk_Task"))
        await driver.resize("web", cpus=2)
        with pytest.raises(
            PendingChangeError,
            match=r"has a resize that is not final. End it first: vimctl instance confirm-resize or revert-resize",
        ):
            await driver.resize("web", cpus=1)
        assert (await driver.revert_resize("web")).cpus == before[0]
        await driver.resize("web", memory_mb=128)
        await driver.confirm_resize("web")
        assert await sizes(driver) == (1, 128, before[2])
        assert len(host.esx.calls("CopyVirtualDisk_Task")) == copies


async def test_a_machine_with_a_resize_is_destroyed_whole(host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        await driver.resize("web", disk_gb=1)
        await driver.destroy("web")
    await host.settled(clean)


async def test_refusals_state_the_rule_and_change_nothing(host: Hosted, image: Path) -> None:
    call: Awaitable[Any]
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False, disk_gb=2))
        state, seen = host.state(), len(host.esx.calls("ReconfigVM_Task"))
        for call, rule in (
            (driver.resize("web"), "at least one size is required"),
            (driver.change_hardware("web"), "at least one size is required"),
            (driver.resize("web", cpus=0), "cpus must be at least 1, got 0"),
            (driver.resize("web", memory_mb=6), "memory_mb must be a multiple of 4, at least 4, got 6"),
            (driver.resize("web", disk_gb=0), "disk_gb must be 1 to 63488, got 0"),
            (driver.resize("web", disk_gb=1), "disk_gb must be at least 2, the disk's present size, got 1"),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=rule):
                await call
        for call in (driver.confirm_resize("web"), driver.revert_resize("web")):
            with pytest.raises(
                PendingChangeError,
                match=r"machine 'web' has no resize to end. Only a machine after",
            ):
                await call
        assert len(host.esx.calls("ReconfigVM_Task")) == seen
        # What only the host knows.
        for call in (driver.change_hardware("web", cpus=4096), driver.resize("web", cpus=4096)):
            with pytest.raises(
                UsageError, match="cpus must be a number that the host supports, got 4096"
            ):
                await call
        assert PENDING_KEY not in marks(host)
        await driver.power_on("web")
        with pytest.raises(InstanceStateError, match="must be poweredOff, is poweredOn"):
            await driver.resize("web", cpus=2)
        await driver.power_off("web")
        await driver.snapshot("web", "one")
        with pytest.raises(DiskSnapshotError):
            await driver.resize("web", disk_gb=5)
        await driver.remove_snapshot("web", "one")
        assert host.state().files - {"web/vmware.log"} == state.files


async def test_a_full_datastore_leaves_the_machine_as_it_was(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", capacity=GIB) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image, power_on=False))
            state, before = host.state(), await sizes(driver)
            with pytest.raises(NoSpaceError, match=r"needs 2\.0 GiB free"):
                await driver.resize("web", cpus=2, disk_gb=2)
            assert host.state() == state
            assert await sizes(driver) == before
            assert PENDING_KEY not in marks(host)


async def test_an_answer_that_is_lost(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image, power_on=False))
            state = host.state()
            # A copy that the host never began.
            host.esx.faults.add("CopyVirtualDisk_Task", "drop")
            with pytest.raises(OutcomeUnknownError):
                await driver.resize("web", disk_gb=1)
            assert host.state() == state
            assert PENDING_KEY not in marks(host)
            host.esx.faults.add("CopyVirtualDisk_Task", "lose")
            host.esx.faults.add("ExtendVirtualDisk_Task", "lose")
            host.esx.faults.add("ReconfigVM_Task", "lose", nth=2)
            await driver.resize("web", cpus=2, disk_gb=1)
            host.esx.faults.add("DeleteVirtualDisk_Task", "lose")
            host.esx.faults.add("ReconfigVM_Task", "lose")
            await driver.confirm_resize("web")
            assert await sizes(driver) == (2, 64, GIB)


async def test_a_former_disk_that_is_gone_or_used_by_another(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, power_on=False))
        await driver.spawn(spec(image, "db", nics=(), power_on=False))
        await driver.resize("web", disk_gb=1)
        await driver.attach_disk("db", path=ROOT)
        with pytest.raises(DiskSharedError, match=r"machine 'web' shares .* with machine 'db'"):
            await driver.confirm_resize("web")
        await driver.detach_disk("db", ROOT, delete=True)
        with pytest.raises(NotFoundError, match="the former disk of web is gone"):
            await driver.revert_resize("web")
        await driver.confirm_resize("web")


async def test_a_machine_of_another_owner_is_changed_on_demand_only(
    host: Hosted, image: Path
) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.spawn(spec(image, power_on=False))
    async with host.driver() as driver:
        for call in (
            driver.change_hardware("web", cpus=2),
            driver.resize("web", cpus=2),
            driver.confirm_resize("web"),
            driver.revert_resize("web"),
        ):
            with pytest.raises(ForeignInstanceError):
                await call
        await driver.resize("web", cpus=2, foreign=True)
        assert (await driver.revert_resize("web", foreign=True)).cpus == 1
