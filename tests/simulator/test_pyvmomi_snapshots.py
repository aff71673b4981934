from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import Host
from tests.simulator.vmomi import vim, vmodl

pytestmark = pytest.mark.slow


def snap(host: Host, vm: Any, name: str, *, memory: bool = False) -> Any:
    return host.done(vm.CreateSnapshot_Task(name, f"about {name}", memory, False))


def names(trees: Any) -> list[Any]:
    return [(tree.name, names(tree.childSnapshotList)) for tree in trees]


def disk_of(vm: Any) -> Any:
    return next(d for d in vm.config.hardware.device if d.key == 2000)


def chain(backing: Any) -> list[str]:
    found = []
    while backing is not None:
        found.append(backing.fileName.rpartition("/")[2])
        backing = backing.parent
    return found


def test_a_snapshot_freezes_the_disk_under_a_delta(shared: Host) -> None:
    vm = shared.create("frozen", disk_kb=1024)
    snapshot = snap(shared, vm, "one")
    assert vm.snapshot.currentSnapshot == snapshot
    assert names(vm.snapshot.rootSnapshotList) == [("one", [])]
    assert vm.snapshot.rootSnapshotList[0].description == "about one"
    assert chain(disk_of(vm).backing) == ["frozen-000001.vmdk", "frozen.vmdk"]
    [frozen] = [d for d in snapshot.config.hardware.device if d.key == 2000]
    assert chain(frozen.backing) == ["frozen.vmdk"]
    assert {"frozen-000001.vmdk", "frozen-000001-delta.vmdk"} < set(
        shared.files("[datastore1] frozen")
    )
    shared.done(vm.PowerOnVM_Task())
    shared.done(vm.PowerOffVM_Task())


def test_revert_goes_back_to_a_running_machine(shared: Host) -> None:
    vm = shared.create("running", disk_kb=1024)
    shared.done(vm.PowerOnVM_Task())
    snapshot = snap(shared, vm, "live", memory=True)
    assert vm.snapshot.rootSnapshotList[0].state == "poweredOn"
    shared.done(vm.PowerOffVM_Task())
    shared.done(snapshot.RevertToSnapshot_Task(None, None))
    assert vm.runtime.powerState == "poweredOn"
    shared.done(vm.PowerOffVM_Task())
    shared.done(snapshot.RevertToSnapshot_Task(None, True))
    assert vm.runtime.powerState == "poweredOff"


def test_a_tree_and_its_branches(shared: Host) -> None:
    vm = shared.create("tree", disk_kb=1024)
    first = snap(shared, vm, "1")
    snap(shared, vm, "1.1")
    shared.done(first.RevertToSnapshot_Task(None, None))
    branch = snap(shared, vm, "1.2")
    assert names(vm.snapshot.rootSnapshotList) == [("1", [("1.1", []), ("1.2", [])])]
    assert vm.snapshot.currentSnapshot == branch
    assert {s._moId for s in first.childSnapshot} == {
        t.snapshot._moId for t in vm.snapshot.rootSnapshotList[0].childSnapshotList
    }
    assert len(chain(disk_of(vm).backing)) == 3


def test_removing_one_merges_its_delta(shared: Host) -> None:
    vm = shared.create("merge", disk_kb=1024)
    first = snap(shared, vm, "1")
    second = snap(shared, vm, "2")
    assert len(chain(disk_of(vm).backing)) == 3
    shared.done(first.RemoveSnapshot_Task(False, None))
    assert names(vm.snapshot.rootSnapshotList) == [("2", [])]
    assert len(chain(disk_of(vm).backing)) == 2
    shared.done(second.RemoveSnapshot_Task(False, None))
    assert vm.snapshot is None
    assert chain(disk_of(vm).backing) == ["merge.vmdk"]
    assert {name for name in shared.files("[datastore1] merge") if name.endswith(".vmdk")} == {
        "merge.vmdk",
        "merge-flat.vmdk",
    }
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        first.RemoveSnapshot_Task(False, None)
    shared.done(vm.PowerOnVM_Task())
    shared.done(vm.PowerOffVM_Task())


def test_removing_all(shared: Host) -> None:
    vm = shared.create("all", disk_kb=1024)
    first = snap(shared, vm, "1")
    snap(shared, vm, "1.1")
    shared.done(first.RevertToSnapshot_Task(None, None))
    snap(shared, vm, "1.2")
    shared.done(vm.RemoveAllSnapshots_Task(None))
    assert vm.snapshot is None
    assert chain(disk_of(vm).backing) == ["all.vmdk"]
    assert {name for name in shared.files("[datastore1] all") if name.endswith(".vmdk")} == {
        "all.vmdk",
        "all-flat.vmdk",
    }
    shared.done(vm.PowerOnVM_Task())
    shared.done(vm.PowerOffVM_Task())


def test_the_newest_snapshot_is_the_current_one(shared: Host) -> None:
    vm = shared.create("newest", disk_kb=1024, annotation="kept")
    snap(shared, vm, "1")
    shared.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="lost")))
    shared.done(vm.RevertToCurrentSnapshot_Task(None, None))
    assert vm.config.annotation == "kept"


def test_a_snapshot_is_renamed(shared: Host) -> None:
    vm = shared.create("relabel")
    snapshot = snap(shared, vm, "old")
    snapshot.RenameSnapshot("new", "other")
    [tree] = vm.snapshot.rootSnapshotList
    assert (tree.name, tree.description) == ("new", "other")
    with pytest.raises(vim.fault.InvalidName):
        snapshot.RenameSnapshot("", None)


def test_a_disk_with_snapshots_does_not_grow(shared: Host) -> None:
    vm = shared.create("stuck", disk_kb=1024)
    snap(shared, vm, "1")
    device = disk_of(vm)
    device.capacityInKB, device.capacityInBytes = 4096, None
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)
    with pytest.raises(vim.fault.InvalidDeviceOperation):
        shared.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))


def test_destroying_takes_the_deltas_along(shared: Host) -> None:
    vm = shared.create("sweep", disk_kb=1024)
    snap(shared, vm, "1")
    snap(shared, vm, "2")
    shared.done(vm.Destroy_Task())
    assert "sweep" not in shared.files("[datastore1]")


def test_a_copy_of_a_chain_is_one_disk(shared: Host) -> None:
    vm = shared.create("chained", disk_kb=1024)
    (shared.esx.datastore_path() / "chained" / "chained-flat.vmdk").write_bytes(b"\x11" * (1 << 20))
    snap(shared, vm, "1")
    spec = vim.VirtualDiskManager.VirtualDiskSpec(diskType="thin", adapterType="lsiLogic")
    manager = shared.content.virtualDiskManager
    shared.done(
        manager.CopyVirtualDisk_Task(
            disk_of(vm).backing.fileName,
            shared.datacenter,
            "[datastore1] copy.vmdk",
            shared.datacenter,
            spec,
            False,
        )
    )
    copied = shared.esx.datastore_path() / "copy-flat.vmdk"
    assert copied.read_bytes() == b"\x11" * (1 << 20)


def test_no_more_than_32_in_a_row(shared: Host) -> None:
    vm = shared.create("deep")
    for number in range(32):
        snap(shared, vm, str(number))
    with pytest.raises(vim.fault.TooManySnapshotLevels):
        snap(shared, vm, "one more")
