"""Snapshots: the tree, going back, taking away."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_vimlib.stage import VM, Stage, outcome, scenario
from vimlib import vim25


async def take(stage: Stage, vm: VM, name: str) -> vim25.VirtualMachineSnapshot:
    return await stage.done(vm.CreateSnapshot_Task(name, memory=False, quiesce=False))


async def tree(stage: Stage, vm: VM) -> Any:
    """Return the names of the tree, each with what is below it."""

    def names(level: list[vim25.VirtualMachineSnapshotTree]) -> list[Any]:
        return [[item.name, *names(item.childSnapshotList or [])] for item in level]

    info = await stage.read(vm, "snapshot")
    return names(info.rootSnapshotList) if info is not None else None


@scenario
async def takes_a_tree_of_snapshots(stage: Stage) -> Any:
    vm = await stage.create()
    one = await take(stage, vm, "one")
    two = await take(stage, vm, "two")
    await stage.done(one.RevertToSnapshot_Task())
    await take(stage, vm, "three")
    await stage.done(two.RevertToSnapshot_Task())
    current = await stage.read(vm, "snapshot")
    return await tree(stage, vm), current.currentSnapshot == two


@scenario
async def removes_snapshots_of_a_chain(stage: Stage) -> Any:
    vm = await stage.create()
    await take(stage, vm, "one")
    two = await take(stage, vm, "two")
    await take(stage, vm, "three")
    await stage.done(two.RemoveSnapshot_Task(False))
    return await tree(stage, vm)


@scenario
async def removes_a_snapshot_with_its_children(stage: Stage) -> Any:
    vm = await stage.create()
    one = await take(stage, vm, "one")
    await take(stage, vm, "two")
    await stage.done(one.RemoveSnapshot_Task(True))
    return await tree(stage, vm)


@scenario
async def removes_the_current_root_that_has_a_child(stage: Stage) -> Any:
    vm = await stage.create()
    one = await take(stage, vm, "one")
    await take(stage, vm, "two")
    await stage.done(one.RevertToSnapshot_Task())
    await stage.done(one.RemoveSnapshot_Task(False))
    return await tree(stage, vm)


@scenario
async def removes_all_snapshots(stage: Stage) -> Any:
    vm = await stage.create()
    await take(stage, vm, "one")
    await take(stage, vm, "two")
    await stage.done(vm.RemoveAllSnapshots_Task())
    return await tree(stage, vm)


@scenario
async def removes_a_snapshot_twice(stage: Stage) -> Any:
    vm = await stage.create()
    one = await take(stage, vm, "one")
    await stage.done(one.RemoveSnapshot_Task(False))
    return await outcome(stage.done(one.RemoveSnapshot_Task(False)))


@scenario
async def goes_back_to_the_current_snapshot(stage: Stage) -> Any:
    vm = await stage.create()
    await take(stage, vm, "one")
    return await outcome(stage.done(vm.RevertToCurrentSnapshot_Task()))


@scenario
async def goes_back_to_no_snapshot(stage: Stage) -> Any:
    vm = await stage.create()
    return await outcome(stage.done(vm.RevertToCurrentSnapshot_Task()))


@scenario
async def reverts_a_changed_annotation(stage: Stage) -> Any:
    vm = await stage.create(annotation="before")
    one = await take(stage, vm, "one")
    await stage.reconfigure(vm, annotation="after")
    await stage.done(one.RevertToSnapshot_Task())
    return await stage.read(vm, "config.annotation")


@scenario
async def reverts_a_running_machine_to_when_it_was_off(stage: Stage) -> Any:
    vm = await stage.create()
    one = await take(stage, vm, "one")
    await stage.done(vm.PowerOnVM_Task())
    await stage.done(one.RevertToSnapshot_Task())
    return await stage.state(vm)


@scenario
async def writes_to_a_delta_after_a_snapshot(stage: Stage) -> Any:
    vm = await stage.create(disk_kb=1024)
    await take(stage, vm, "one")
    device = (await stage.devices(vm, vim25.VirtualDisk))[0]
    backing = device.backing
    assert isinstance(backing, vim25.VirtualDiskFlatVer2BackingInfo)
    return backing.parent is not None and backing.parent.fileName != backing.fileName


@scenario
async def renames_a_snapshot(stage: Stage) -> Any:
    vm = await stage.create()
    one = await take(stage, vm, "one")
    return await outcome(one.RenameSnapshot(name="first"))


@scenario
async def takes_a_snapshot_the_newer_way(stage: Stage) -> Any:
    vm = await stage.create()
    return await outcome(stage.done(vm.CreateSnapshotEx_Task("one", memory=False)))


@scenario
async def consolidates_disks(stage: Stage) -> Any:
    vm = await stage.create(disk_kb=1024)
    return await outcome(stage.done(vm.ConsolidateVMDisks_Task()))
