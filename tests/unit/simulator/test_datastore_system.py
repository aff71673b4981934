from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator import ESXHost
from vimlib.simulator._vm import vmx

SYSTEM = vim25.HostDatastoreSystem("ha-datastoresystem")
CENTER = vim25.Datacenter("ha-datacenter")
VM = vim25.VirtualMachine


async def make_local(call: Any, name: str, path: str) -> Any:
    return await call(vim25.HostDatastoreSystem.CreateLocalDatastore, SYSTEM, name=name, path=path)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """Give a folder for local datastores, with two folders in it and a way out."""
    root = tmp_path / "local"
    (root / "a" / "deep").mkdir(parents=True)
    (root / "b").mkdir()
    (root / "file").write_text("")
    (root / "out").symlink_to(tmp_path)
    return root


async def test_a_host_makes_no_local_datastore_unless_it_may(make: Callable[..., Any]) -> None:
    call = await make()
    assert not (await call.read(SYSTEM, "capabilities"))["capabilities"].localDatastoreSupported
    with pytest.raises(vim25.NotSupported):
        await make_local(call, "mine", "/")


async def test_a_local_datastore(make: Callable[..., Any], local: Path) -> None:
    call = await make(local_folders=local)
    (local / "a" / "old.txt").write_text("12345")
    ref = await make_local(call, "mine", "/a")
    read = await call.read(ref, "name", "info", "summary", "host")
    assert read["name"] == read["info"].name == "mine"
    assert isinstance(read["info"], vim25.LocalDatastoreInfo)
    assert read["info"].path == "/a"
    assert read["summary"].freeSpace == read["summary"].capacity - 5
    assert ref in (await call.read(CENTER, "datastore"))["datastore"]
    assert ref in (await call.read(SYSTEM, "datastore"))["datastore"]
    await call.done(
        vim25.VirtualDiskManager.CreateVirtualDisk_Task,
        vim25.VirtualDiskManager("ha-vdiskmanager"),
        name="[mine] new.vmdk",
        datacenter=CENTER,
        spec=vim25.FileBackedVirtualDiskSpec(
            diskType="thin", adapterType="lsiLogic", capacityKb=1024
        ),
    )
    assert (local / "a" / "new.vmdk").exists()
    await call(vim25.HostDatastoreSystem.RemoveDatastore, SYSTEM, datastore=ref)
    assert ref not in (await call.read(CENTER, "datastore"))["datastore"]
    assert (local / "a" / "new.vmdk").exists()  # only the datastore is removed, not its files
    with pytest.raises(vim25.ManagedObjectNotFound):
        await call.read(ref, "name")
    await make_local(call, "again", "a/deep")


@pytest.mark.parametrize(
    ("name", "path", "fault"),
    [
        ("datastore1", "/b", vim25.DuplicateName),
        ("other", "/a", vim25.DuplicateName),
        ("", "/b", vim25.InvalidName),
        ("a/b", "/b", vim25.InvalidName),
        ("x" * 43, "/b", vim25.InvalidName),
        ("new\nline", "/b", vim25.InvalidName),
        ("other", "/none", vim25.FileNotFound),
        ("other", "/file", vim25.FileNotFound),
        ("other", "/b/..", vim25.FileNotFound),
        ("other", "../..", vim25.FileNotFound),
        ("other", "/out", vim25.FileNotFound),
        ("other", "/out/local/b", None),
    ],
)
async def test_where_a_local_datastore_may_be(
    make: Callable[..., Any], local: Path, name: str, path: str, fault: Any
) -> None:
    call = await make(local_folders=local)
    await make_local(call, "mine", "/a")
    if fault is None:
        assert await make_local(call, name, path)
        return
    with pytest.raises(fault):
        await make_local(call, name, path)
    assert set(call.esx.datastores) == {"datastore1", "mine"}


async def test_a_datastore_in_use_stays(make: Callable[..., Any]) -> None:
    call = await make(vms=1, datastores={"full": None, "empty": None})
    full, empty = call.esx.datastores.values()
    for method, this, args in (
        (vim25.HostDatastoreSystem.RemoveDatastore, SYSTEM, {"datastore": full.ref}),
        (vim25.Datastore.DestroyDatastore, full.ref, {}),
    ):
        with pytest.raises(vim25.ResourceInUse) as caught:
            await call(method, this, **args)
        assert caught.value.name == "full"
    await call(vim25.Datastore.DestroyDatastore, empty.ref)
    assert set(call.esx.datastores) == {"full"}
    assert empty.root.is_dir()
    assert await call(vim25.HostDatastoreSystem.QueryAvailableDisksForVmfs, SYSTEM) == []


async def test_a_renamed_datastore_is_shown_so_everywhere(make: Callable[..., Any]) -> None:
    call = await make(vms=2)
    esx = call.esx
    machine = esx.machine("vm-0")
    (esx.datastore_path() / "a.iso").write_bytes(b"")
    cd = vim25.VirtualCdrom(
        key=-1,
        controllerKey=200,
        backing=vim25.VirtualCdromIsoBackingInfo(fileName="[datastore1] a.iso"),
    )
    await call.done(
        VM.ReconfigVM_Task,
        machine.ref,
        spec=vim25.VirtualMachineConfigSpec(
            annotation="[datastore1] is its home",
            deviceChange=[vim25.VirtualDeviceConfigSpec(operation="add", device=cd)],
        ),
    )
    await call.done(VM.CreateSnapshot_Task, machine.ref, name="one", memory=False, quiesce=False)
    store = esx.datastores["datastore1"]
    await call(vim25.Datastore.RenameDatastore, store.ref, newName="new name")
    assert (await call.read(store.ref, "name", "summary"))["summary"].name == "new name"
    assert esx.datastore_path("new name") == store.root
    for each in (machine.config, machine.snapshots[0].config):
        shown = (
            vmx.render(machine.registry, each)
            + repr(each.files)
            + repr([d.backing for d in machine.disks()])
        )
        assert "[datastore1]" not in shown.replace("[datastore1] is its home", "")
    assert machine.config.annotation == "[datastore1] is its home"
    text = (store.root / "vm-0" / "vm-0.vmx").read_text()
    assert f'fileName = "/vmfs/volumes/{store.uuid}/a.iso"' in text
    # What was made before the new name still works: power, snapshots, a machine to register.
    await call.done(VM.PowerOnVM_Task, machine.ref)
    await call.done(VM.PowerOffVM_Task, machine.ref)
    await call.done(VM.RemoveAllSnapshots_Task, machine.ref)
    other = esx.machine("vm-1")
    await call(VM.UnregisterVM, other.ref)
    await call.done(
        vim25.Folder.RegisterVM_Task,
        vim25.Folder("ha-folder-vm"),
        path="[new name] vm-1/vm-1.vmx",
        asTemplate=False,
        pool=vim25.ResourcePool("ha-root-pool"),
    )
    await call.done(VM.PowerOnVM_Task, esx.machine("vm-1").ref)
    await call(vim25.Datastore.RenameDatastore, store.ref, newName="new name")


async def test_names_that_a_datastore_cannot_have(make: Callable[..., Any]) -> None:
    call = await make(datastores={"a": None, "b": None})
    store = call.esx.datastores["a"]
    for name, fault in (("b", vim25.DuplicateName), ("", vim25.InvalidName)):
        with pytest.raises(fault):
            await call(vim25.Datastore.RenameDatastore, store.ref, newName=name)
    assert list(call.esx.datastores) == ["a", "b"]
    await call(vim25.Datastore.RenameDatastore, store.ref, newName="c")
    assert list(call.esx.datastores) == ["c", "b"]


async def test_a_datastore_is_not_renamed_under_a_task(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    call.esx.faults.hold_task("PowerOnVM_Task")
    machine, store = call.esx.machine("vm-0"), call.esx.datastores["datastore1"]
    await call(VM.PowerOnVM_Task, machine.ref)
    with pytest.raises(vim25.TaskInProgress):
        await call(vim25.Datastore.RenameDatastore, store.ref, newName="new")
    assert list(call.esx.datastores) == ["datastore1"]


async def test_the_state_remembers_datastores(
    make: Callable[..., Any], tmp_path: Path, local: Path
) -> None:
    options: dict[str, Any] = {
        "datastores": {name: tmp_path / name for name in ("one", "two", "three")},
        "state": tmp_path / "state.json",
        "local_folders": local,
    }
    call = await make(vms=1, **options)
    stores = call.esx.datastores
    await call(vim25.Datastore.RenameDatastore, stores["one"].ref, newName="first")
    await call(vim25.Datastore.DestroyDatastore, stores["two"].ref)
    mine = await make_local(call, "mine", "/a")
    before = {name: store.moid for name, store in call.esx.datastores.items()}
    assert list(before) == ["first", "three", "mine"]
    await call.esx.aclose()
    async with ESXHost(**options) as again:
        after = {name: store.moid for name, store in again.datastores.items()}
        assert after == before
        assert again.datastores["mine"].ref == mine
        assert again.datastore_path("first") == (tmp_path / "one").resolve()
        assert again.machine("vm-0").config.files.vmPathName == "[first] vm-0/vm-0.vmx"
        assert len(again.machine("vm-0").disks()) == 1
