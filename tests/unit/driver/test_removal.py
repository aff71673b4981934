"""Removing machines: all of ours, nothing of others, as often as one likes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, seen_file, spec, until
from vimdriver._instances.devices import root_disk
from vimdriver._instances.folder import remove_files
from vimdriver.errors import DiskSharedError, ForeignInstanceError, InstanceAmbiguousError
from vimlib import vim25
from vimlib._client import Client
from vimlib._datastore import Datastore, DatastorePath, FileEntry
from vimlib.errors import DeadlineError

DUMP = "vmware-vmx-zdump.000"
"""A file that a host writes for a machine, and does not remove with it."""


@pytest.mark.parametrize("power_on", [True, False])
async def test_all_of_it_goes(power_on: bool, host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, power_on=power_on))
        (host.folder / "web" / DUMP).write_bytes(b"x")
        assert await driver.destroy(made.uuid) is True
        assert await driver.destroy(made.uuid) is False
        assert await driver.destroy("never was") is False
    await host.settled(clean)
    assert not (host.folder / "web").exists()
    assert len(host.esx.calls("PowerOffVM_Task")) == power_on


async def test_its_files_can_be_kept(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image))
        files = sorted(path.name for path in (host.folder / "web").iterdir())
        assert await driver.destroy(made.uuid, keep_files=True) is True
        assert await driver.list_instances() == []
        assert await driver.destroy(made.uuid, keep_files=True) is False
        await driver.sweep(older_than=0)
    assert sorted(path.name for path in (host.folder / "web").iterdir()) == files
    assert host.esx.calls("Destroy_Task") == []


async def test_a_suspended_one(host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        made = await driver.spawn(spec(image))
        await driver.suspend(made.uuid)
        assert await driver.destroy(made.moref)
    await host.settled(clean)


async def test_what_another_made_stays(host: Hosted, image: Path, tmp_path: Path) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        made = await other.spawn(spec(image))
    before = host.state()
    async with host.driver() as driver:
        with pytest.raises(ForeignInstanceError) as caught:
            await driver.destroy(made.uuid)
        assert (caught.value.owner, caught.value.name) == ("another", made.uuid)
        assert replace(host.state(), sessions=0) == before
        # By force, and then what is not the machine's stays.
        (host.folder / "web" / "theirs").write_bytes(b"x")
        assert await driver.destroy(made.uuid, foreign=True)
    assert host.state().machines == frozenset()
    assert host.state().files == {"web/theirs"}


async def test_a_machine_that_nobody_marked(beside: Beside, tmp_path: Path) -> None:
    with hosted(beside, tmp_path / "s", vms=2) as host:
        async with host.driver() as driver:
            with pytest.raises(ForeignInstanceError, match="owner mark is missing"):
                await driver.destroy("vm-0")
            assert await driver.destroy("vm-0", foreign=True)
        assert host.state().machines == {"vm-1"}
        assert {f.partition("/")[0] for f in host.state().files} == {"vm-1"}


async def test_a_folder_with_another_machine_in_it_stays(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image))
        folder, pool = await machine_folder(driver.client), await root_pool(driver.client)
        guest = vim25.VirtualMachineConfigSpec(
            name="lodger",
            files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1] web/lodger.vmx"),
        )
        await driver.client.wait(await folder.CreateVM_Task(guest, pool))
        assert await driver.destroy(made.uuid)
    assert host.state().machines == {"lodger"}
    assert "web/lodger.vmx" in host.state().files


async def lend(client: Client, path: str) -> None:
    """Make a machine `borrower` that uses a disk which is there."""
    guest = vim25.VirtualMachineConfigSpec(
        name="borrower",
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
        deviceChange=root_disk(path, 4, "lsiLogic"),
    )
    folder, pool = await machine_folder(client), await root_pool(client)
    await client.wait(await folder.CreateVM_Task(guest, pool))


async def disk_in_folder(client: Client, path: str) -> None:
    manager = client.content.virtualDiskManager
    assert manager is not None
    wanted = vim25.FileBackedVirtualDiskSpec(
        adapterType="lsiLogic", diskType="thick", capacityKb=4096
    )
    center = (await client.datastore("datastore1").place()).datacenter
    bound = client.bind(manager)
    await client.wait(await bound.CreateVirtualDisk_Task(path, datacenter=center, spec=wanted))


async def test_a_disk_in_its_folder_that_another_machine_uses_stays(
    host: Hosted, image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image))
        await disk_in_folder(driver.client, "[datastore1] web/data.vmdk")
        await lend(driver.client, "[datastore1] web/data.vmdk")
        seen = [seen_file(path) for path in (host.folder / "web").iterdir()]
        assert await driver.destroy(made.uuid)
        assert "machine 'borrower' uses [datastore1] web/data.vmdk" in caplog.text
        assert {f for f in host.state().files if f.startswith("web/")} == {
            "web/data.vmdk",
            "web/data-flat.vmdk",
        }
        # A sweep that finds the folder in a journal spares it as well.
        folder = DatastorePath("datastore1", "web")
        against = await remove_files(driver.host(), folder, seen, token="0" * 16, emptied=True)
    assert "borrower" in against.reason
    assert "web/data-flat.vmdk" in host.state().files


@pytest.mark.parametrize("foreign", [False, True])
async def test_a_disk_that_is_another_machines_too_is_destroyed_under_neither(
    foreign: bool, host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, power_on=False))
        await lend(driver.client, "[datastore1] web/web.vmdk")
        await driver.power_on(made.uuid)
        before = host.state()
        with pytest.raises(DiskSharedError) as caught:
            await driver.destroy(made.uuid, foreign=foreign)
        assert (caught.value.path, caught.value.user) == ("[datastore1] web/web.vmdk", "borrower")
        assert host.state() == before
        assert (await driver.info(made.uuid)).power_state == "poweredOn"
        # Nor under the one that it was lent to.
        with pytest.raises(DiskSharedError, match="web"):
            await driver.destroy("borrower", foreign=True)
    assert host.state().machines == {"web", "borrower"}


async def machine_folder(client: Client) -> vim25.Folder:
    async for row in client.collect(vim25.Datacenter, "vmFolder"):
        folder: vim25.Folder = client.bind(row["vmFolder"])
        return folder
    raise AssertionError("no datacenter")


async def root_pool(client: Client) -> vim25.ResourcePool:
    async for row in client.collect(vim25.ResourcePool, "name"):
        return row.obj
    raise AssertionError("no pool")


@pytest.mark.parametrize("drivers", [1, 2])
@pytest.mark.parametrize("task_seconds", [0.0, 0.1])
async def test_of_several_calls_at_once_exactly_one_removes_it(
    drivers: int, task_seconds: float, beside: Beside, tmp_path: Path, image: Path
) -> None:
    """Two drivers have nothing in common but the host, as in two processes."""
    with hosted(beside, tmp_path / "s", task_seconds=task_seconds) as host:
        clean = host.state()
        async with host.driver() as one, host.driver() as two:
            for _ in range(3):
                made = await one.spawn(spec(image))
                both = (one, one if drivers == 1 else two)
                results = await asyncio.gather(*(d.destroy(made.uuid) for d in both for _ in "ab"))
                assert sorted(results) == [False, False, False, True]
        await host.settled(clean)


async def test_one_whose_answer_was_lost_removed_it(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s") as host:
        async with host.driver() as driver:
            for way in ("lose", "reset"):
                await driver.spawn(spec(image))
                host.esx.faults.add("Destroy_Task", way)
                assert await driver.destroy("web") is True
                assert await driver.destroy("web") is False


async def test_one_that_is_busy(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.1) as host:
        clean = host.state()
        async with host.driver() as driver:
            made = await driver.spawn(spec(image, power_on=False))
            starting = asyncio.ensure_future(driver.power_on(made.uuid))
            await until(lambda: bool(host.esx.calls("PowerOnVM_Task")))
            assert await driver.destroy(made.uuid)
            await asyncio.gather(starting, return_exceptions=True)
        await host.settled(clean)


@pytest.mark.parametrize("method", ["PowerOffVM_Task", "Destroy_Task", "DeleteDatastoreFile_Task"])
@pytest.mark.parametrize("way", ["lose", "reset"])
async def test_an_answer_that_is_lost(
    method: str, way: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        clean = host.state()
        async with host.driver() as driver:
            made = await driver.spawn(spec(image))
            (host.folder / "web" / DUMP).write_bytes(b"x")
            calls = len(host.esx.calls(method))
            host.esx.faults.add(method, way)  # type: ignore[arg-type]
            assert await driver.destroy(made.uuid)
            # What was not done is asked for again, what was done is not. The folder goes after the file.
            folder = method == "DeleteDatastoreFile_Task"
            assert len(host.esx.calls(method)) == calls + (1 if way == "lose" else 2) + folder
        await host.settled(clean)


async def test_what_is_left_is_named(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image))
        (host.folder / "web" / DUMP).write_bytes(b"x")
        host.esx.faults.fail_task("DeleteDatastoreFile_Task", vim25.FileLocked(file="x"))
        with pytest.raises(vim25.FileLocked) as caught:
            await driver.destroy(made.uuid)
    assert "Left behind: [datastore1] web" in caught.value.__notes__[-1]
    assert host.state().machines == frozenset()


def break_listing_after_removal(host: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no listing of a folder end in time once the host has removed a machine."""
    listed = Datastore.list

    async def list_(store: Datastore, path: Any, *given: Any, **more: Any) -> list[FileEntry]:
        if not host.state().machines:
            raise DeadlineError("no listing in time", outcome="not_sent")
        return await listed(store, path, *given, **more)

    monkeypatch.setattr(Datastore, "list", list_)


async def test_a_listing_that_fails_after_the_removal_does_not_deny_it(
    host: Hosted, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, power_on=False))
        break_listing_after_removal(host, monkeypatch)
        with pytest.raises(DeadlineError) as caught:
            await driver.destroy(made.uuid)
    assert host.state().machines == frozenset()
    assert caught.value.outcome == "applied"


async def test_of_two_at_once_the_one_that_removed_it_claims_it_though_it_fails(
    beside: Beside, tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.1) as host:
        async with host.driver() as driver:
            made = await driver.spawn(spec(image, power_on=False))
            break_listing_after_removal(host, monkeypatch)
            ends = await asyncio.gather(
                *(driver.destroy(made.uuid) for _ in "ab"), return_exceptions=True
            )
    (failed,) = [end for end in ends if isinstance(end, DeadlineError)]
    assert failed.outcome == "applied"
    assert [end for end in ends if end is not failed] == [False]


async def test_one_that_was_half_removed_by_hand(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, power_on=False))
        vm = driver.client.bind(vim25.VirtualMachine(made.moref))
        await vm.UnregisterVM()
        # Nothing shows that the files are ours, so they stay.
        assert await driver.destroy(made.uuid) is False
    assert "web/web.vmx" in host.state().files


async def test_one_whose_files_are_out_of_reach(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(image, power_on=False))
        machine = host.esx.machine("web")
        machine.connection = "inaccessible"
        machine.changed("runtime")
        await driver.destroy(made.uuid, foreign=True)
    assert host.state().machines == frozenset()


async def test_a_name_that_fits_two_removes_none(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(image, "one"))
        await driver.spawn(spec(image, "two"))
        two = host.esx.machine("two")
        # As on a vCenter, where two folders may hold machines of one name.
        two.set_config(structs.replace(two.config, name="one"))
        with pytest.raises(InstanceAmbiguousError) as caught:
            await driver.destroy("one")
        assert len(caught.value.references) == 2
        assert all(r in str(caught.value) for r in caught.value.references)
