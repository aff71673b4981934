"""Clones of machines on one host."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import CONFIG, MAC, Beside, Hosted, hosted, spec
from tests.unit.driver.sweep.test_sweep import driver_of, told
from tests.unit.driver.test_disks import disks
from tests.unit.driver.test_hardware import config
from tests.unit.driver.test_sizing import marks
from vimdriver._driver import ESXDriver
from vimdriver._instances.device_list import DeviceInfo
from vimdriver._instances.disk_spec import DiskSpec
from vimdriver._instances.hardware import Allocation, HardwareSpec
from vimdriver._instances.machine import OWNER_KEY
from vimdriver._verbs import Plan, execute, returns
from vimdriver.errors import (
    DiskSharedError,
    ForeignInstanceError,
    InstanceExistsError,
    InstanceStateError,
    NoSpaceError,
)
from vimlib import vim25
from vimlib.errors import HostStateError, NotFoundError, UsageError

UUID = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a11"
FURTHER = (DiskSpec(size_gb=1), DiskSpec(size_gb=1, adapter="nvme", mode="independent_persistent"))


def shape(disk: DeviceInfo) -> tuple[Any, ...]:
    return (disk.model, disk.unit, disk.mode, disk.thin, disk.capacity)


async def web(driver: ESXDriver, image: Path, **given: Any) -> None:
    await driver.spawn(spec(image, power_on=False, **given))


@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_clone_is_like_the_machine(
    version: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        async with host.driver() as driver:
            limits = Allocation(limit=1000, shares="low")
            await web(driver, image, cpus=2, annotation="notes", hardware=HardwareSpec(cpu=limits))
            clean = host.state()
            made = await driver.clone("web", "web 2", uuid=UUID, power_on=True)
            assert (made.name, made.uuid, made.power_state) == ("web 2", UUID, "poweredOn")
            assert (made.cpus, made.memory_mb) == (2, 64)
            (disk,) = await disks(driver, "web 2")
            content = (host.folder / disk.path[13:].replace(".vmdk", "-flat.vmdk")).read_bytes()
            assert content[: image.stat().st_size] == image.read_bytes()
            theirs, ours = config(host), config(host, "web 2")
            assert ours.annotation == "notes"
            assert (ours.cpuAllocation.limit, ours.cpuAllocation.shares.level) == (1000, "low")
            (card,) = (one for one in await driver.devices("web 2") if one.kind == "nic")
            assert card.network == "VM Network"
            assert card.mac != MAC
            found = marks(host, "web 2")
            assert found[OWNER_KEY] == "tests"
            assert "machine.id" not in found
            assert "vimlib.making" not in found
            assert theirs.instanceUuid != ours.instanceUuid
            await driver.destroy("web 2")
            await host.settled(clean)


async def test_all_disks_are_copied_to_their_positions(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await web(driver, image, disks=FURTHER)
        clean = host.state()
        await driver.clone("web", "db")
        ours = await disks(driver, "db")
        assert sorted(map(shape, ours)) == sorted(map(shape, await disks(driver)))
        assert sorted(d.path for d in ours) == [
            "[datastore1] db/db.vmdk", "[datastore1] db/db_1.vmdk", "[datastore1] db/db_2.vmdk"
        ]  # fmt: skip
        assert "vimlib.disks" not in marks(host, "db")
        await driver.destroy("db")
        await host.settled(clean)


async def test_a_machine_without_a_disk_and_one_with_snapshots(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await web(driver, image)
        await driver.snapshot("web", "one")
        await driver.clone("web", "db")
        (disk,) = await disks(driver, "db")
        assert disk.path == "[datastore1] db/db.vmdk"
        assert await driver.snapshots("db") == []
        await driver.detach_disk("db", disk.path, delete=True)
        await driver.clone("db", "empty")
        assert await disks(driver, "empty") == []


async def test_a_machine_of_another_owner_is_cloned_and_not_changed(
    host: Hosted, image: Path
) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await web(other, image)
    before = config(host)
    async with host.driver() as driver:
        await driver.clone("web", "mine")
        assert marks(host, "mine")[OWNER_KEY] == "tests"
        assert config(host) == before
        assert await driver.destroy("mine")


async def test_refusals_state_the_rule_and_make_nothing(host: Hosted, image: Path) -> None:
    call: Awaitable[Any]
    async with host.driver() as driver:
        await web(driver, image)
        taken = (await driver.info("web")).uuid
        state = host.state()
        for call, rule in (
            (driver.clone("web", ""), "name must be 1 to 80 printable characters"),
            (driver.clone("web", "db", uuid="zz"), "invalid UUID: 'zz'"),
        ):
            with pytest.raises(UsageError, match=rule):
                await call
        for call in (driver.clone("web", "web"), driver.clone("web", "db", uuid=taken)):
            with pytest.raises(InstanceExistsError):
                await call
        for call in (driver.clone("nobody", "db"), driver.clone("web", "db", datastore="none")):
            with pytest.raises(NotFoundError):
                await call
        await driver.power_on("web")
        with pytest.raises(InstanceStateError, match="must be poweredOff, is poweredOn"):
            await driver.clone("web", "db")
        assert host.state().machines == state.machines
        assert host.state().files - {"web/vmware.log"} == state.files


async def test_a_full_datastore(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", capacity=(1 << 30) + (100 << 20)) as host:
        async with host.driver() as driver:
            await web(driver, image, disk_gb=1)
            state = host.state()
            with pytest.raises(NoSpaceError, match=r"needs 1\.0 GiB free"):
                await driver.clone("web", "db")
            assert host.state() == state


@pytest.mark.parametrize("method", ["CopyVirtualDisk_Task", "ReconfigVM_Task", "PowerOnVM_Task"])
async def test_a_clone_that_fails_leaves_nothing(method: str, host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await web(driver, image, disks=FURTHER)
        state = host.state()
        host.esx.faults.fail_task(method, vim25.SystemError(reason="on order"))
        with pytest.raises(vim25.SystemError) as caught:
            await driver.clone("web", "db", power_on=True)
        assert getattr(caught.value, "__notes__", []) == []
        assert host.state() == state


async def test_answers_that_are_lost(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        async with host.driver() as driver:
            await web(driver, image)
            state = host.state()
            methods = ("CreateVM_Task", "CopyVirtualDisk_Task", "ReconfigVM_Task", "PowerOnVM_Task")
            for method in methods:
                host.esx.faults.add(method, "lose")
            assert (await driver.clone("web", "db", power_on=True)).power_state == "poweredOn"
            assert len(host.esx.calls("CreateVM_Task")) == 2
            assert len(host.esx.calls("CopyVirtualDisk_Task")) == 1
            await driver.destroy("db")
            await host.settled(state)


def parents(host: Hosted, name: str) -> list[str]:
    """Return the files on which the disks of a machine stand, the nearest first."""
    found = []
    for disk in host.esx.machine(name).disks():
        at = disk.backing.parent
        while at is not None:
            found.append(at.fileName)
            at = at.parent
    return found


@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_linked_clone_stands_on_a_snapshot_and_is_destroyed_without_it(
    version: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        async with host.driver() as driver:
            await web(driver, image, disks=(DiskSpec(size_gb=1),))
            made = await driver.clone("web", "db", linked=True, power_on=True)
            assert made.power_state == "poweredOn"
            assert parents(host, "db") == [
                "[datastore1] web/web.vmdk",
                "[datastore1] web/web_1.vmdk",
            ]
            assert not host.esx.calls("CopyVirtualDisk_Task")
            (base,) = await driver.snapshots("web")
            assert base.name.startswith("vimlib-clone-")
            assert base.description == f"The machine db ({made.uuid}) is linked to it."
            assert sorted(map(shape, await disks(driver, "db"))) == [
                (*one[:3], True, one[4]) for one in sorted(map(shape, await disks(driver)))
            ]
            # The other machine goes on, and neither it nor the disks that are shared can be taken away.
            await driver.power_on("web")
            await driver.power_off("web")
            for call in (
                driver.destroy("web"),
                driver.remove_snapshot("web", base.moref),
                driver.remove_snapshot("web", base.name, children=True),
            ):
                with pytest.raises(DiskSharedError) as caught:
                    await call
                assert caught.value.user == "db"
            # A host refuses it only because the disk is locked.
            snapshot = driver.client.bind(vim25.VirtualMachineSnapshot(base.moref))
            with pytest.raises(vim25.FileLocked):
                await driver.client.wait(await snapshot.RemoveSnapshot_Task(removeChildren=False))
            state = host.state()
            seen = len(host.esx.call_log)
            assert await driver.destroy("db")
            assert "Destroy_Task" not in host.methods()[seen:]
            assert {f for f in state.files if f.startswith("web/")} <= host.state().files
            assert not {f for f in host.state().files if f.startswith("db/")}
            # Nobody stands on it any more.
            await driver.remove_snapshot("web", base.moref)
            assert await driver.destroy("web")
        assert host.state().files == frozenset()


async def test_a_machine_to_which_a_clone_is_linked_meanwhile_is_not_destroyed(
    host: Hosted, image: Path
) -> None:
    async with host.driver() as driver, host.driver() as other:
        await web(driver, image)
        planned = await driver.destroy.plan("web")
        await other.clone("web", "db", linked=True)
        state = host.state()
        with pytest.raises(DiskSharedError) as caught:
            await execute(driver.host(), planned)
        assert caught.value.user == "db"
        assert host.state() == state
        await driver.destroy("db")
        assert await driver.destroy("web")
    assert host.state().files == frozenset()


async def test_a_clone_is_linked_to_a_snapshot_of_a_machine_that_runs(
    host: Hosted, image: Path
) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.spawn(spec(image))
        one = await other.snapshot("web", "one")
        await other.snapshot("web", "two")
        await other.change_interface("web", MAC, connected=False)
    before = config(host)
    async with host.driver() as driver:
        await driver.clone("web", "db", linked=True, snapshot="two")
        assert config(host) == before
        assert parents(host, "db") == [
            "[datastore1] web/web-000001.vmdk", "[datastore1] web/web.vmdk"
        ]  # fmt: skip
        # The first one's removal would merge the disk that the clone stands on.
        for which in (one.moref, "two"):
            with pytest.raises(DiskSharedError):
                await driver.remove_snapshot("web", which, foreign=True)
        await driver.snapshot("web", "three", foreign=True)
        await driver.remove_snapshot("web", "three", foreign=True)
        assert await driver.destroy("db")
        await driver.remove_snapshot("web", "two", foreign=True)


async def test_what_cannot_be_linked_is_refused_and_nothing_is_made(
    host: Hosted, image: Path
) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await web(other, image, name="theirs", nics=())
    async with host.driver() as driver:
        await web(driver, image, disks=FURTHER)
        state = host.state()
        refusals: list[tuple[Awaitable[Any], type[Exception], str]] = [
            (driver.clone("theirs", "db", linked=True), ForeignInstanceError, "its owner mark"),
            (driver.clone("web", "db", linked=True), HostStateError, "is in no snapshot"),
            (driver.clone("web", "db", snapshot="one"), UsageError, "snapshot requires linked"),
            (driver.clone("web", "db", linked=True, snapshot="one"), NotFoundError, "has no snapsh"),
            (
                driver.clone("web", "db", linked=True, snapshot="one", datastore="other"),
                NotFoundError,
                "has no snapshots",
            ),
            (driver.clone("theirs", "db", linked=True, datastore="other", foreign=True), UsageError,
             "a linked clone must be on the datastore of the other, datastore1, got other"),
        ]  # fmt: skip
        for call, kind, rule in refusals:
            with pytest.raises(kind, match=rule):
                await call
        assert host.state() == state


@pytest.mark.parametrize(
    "method", ["CreateSnapshot_Task", "CreateVM_Task", "ReconfigVM_Task", "PowerOnVM_Task"]
)
async def test_a_linked_clone_that_fails_leaves_nothing(
    method: str, host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        await web(driver, image)
        state = host.state()
        host.esx.faults.fail_task(method, vim25.SystemError(reason="on order"))
        with pytest.raises(vim25.SystemError) as caught:
            await driver.clone("web", "db", linked=True, power_on=True)
        assert getattr(caught.value, "__notes__", []) == []
        assert host.state() == state
        assert await driver.snapshots("web") == []
        for lost in ("CreateSnapshot_Task", "CreateVM_Task", "ReconfigVM_Task", "PowerOnVM_Task"):
            host.esx.faults.add(lost, "lose")
        made = await driver.clone("web", "db", linked=True, power_on=True)
        assert made.power_state == "poweredOn"
        assert len(await driver.snapshots("web")) == 1


async def test_a_sweep_removes_a_linked_clone_that_was_being_made_and_keeps_a_whole_one(
    host: Hosted, image: Path
) -> None:
    async with host.client() as client:
        driver = driver_of(client)
        await web(driver, image)
        state = host.state()
        plan = await driver.clone.plan("web", "db", linked=True)
        assert len(plan.steps) == 5
        for steps in range(1, 5):
            plan = await driver.clone.plan("web", "db", linked=True)
            await execute(driver.host(), Plan(plan.title, plan.steps[:steps], returns(None)))
            journalled = told(await driver.sweep(older_than=0))
            assert ("removed", "machine", "db") in journalled or steps <= 2
            for one in await driver.snapshots("web"):  # no journal in a file: nobody knows of it
                await driver.remove_snapshot("web", one.moref)
            await host.settled(state)
        await driver.clone("web", "db", linked=True)
        assert (await driver.sweep(older_than=0)).items == ()


async def test_a_sweep_removes_a_clone_that_was_being_made(host: Hosted, image: Path) -> None:
    async with host.client() as client:
        driver = driver_of(client)
        await web(driver, image, disks=FURTHER)
        state = host.state()
        plan = await driver.clone.plan("web", "db")
        assert len(plan.steps) == 6
        for steps in range(1, 6):
            await execute(driver.host(), Plan(plan.title, plan.steps[:steps], returns(None)))
            assert told(await driver.sweep(older_than=0)) == [("removed", "machine", "db")]
            await host.settled(state)
        await driver.clone("web", "db")
        assert (await driver.sweep(older_than=0)).items == ()
