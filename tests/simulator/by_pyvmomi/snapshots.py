"""Snapshots: the tree, going back, taking away."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_pyvmomi.stage import Stage, outcome, scenario
from tests.simulator.vmomi import vim


def take(stage: Stage, vm: Any, name: str) -> Any:
    return stage.done(vm.CreateSnapshot_Task(name, memory=False, quiesce=False))


def tree(stage: Stage, vm: Any) -> Any:
    """Return the names of the tree, each with what is below it."""

    def names(level: list[Any]) -> list[Any]:
        return [[item.name, *names(item.childSnapshotList or [])] for item in level]

    info = stage.read(vm, "snapshot")
    return names(info.rootSnapshotList) if info is not None else None


@scenario
def takes_a_tree_of_snapshots(stage: Stage) -> Any:
    vm = stage.create()
    one = take(stage, vm, "one")
    two = take(stage, vm, "two")
    stage.done(one.RevertToSnapshot_Task())
    take(stage, vm, "three")
    stage.done(two.RevertToSnapshot_Task())
    current = vm.snapshot
    return tree(stage, vm), current.currentSnapshot == two


@scenario
def removes_snapshots_of_a_chain(stage: Stage) -> Any:
    vm = stage.create()
    take(stage, vm, "one")
    two = take(stage, vm, "two")
    take(stage, vm, "three")
    stage.done(two.RemoveSnapshot_Task(False))
    return tree(stage, vm)


@scenario
def removes_a_snapshot_with_its_children(stage: Stage) -> Any:
    vm = stage.create()
    one = take(stage, vm, "one")
    take(stage, vm, "two")
    stage.done(one.RemoveSnapshot_Task(True))
    return tree(stage, vm)


@scenario
def removes_the_current_root_that_has_a_child(stage: Stage) -> Any:
    vm = stage.create()
    one = take(stage, vm, "one")
    take(stage, vm, "two")
    stage.done(one.RevertToSnapshot_Task())
    stage.done(one.RemoveSnapshot_Task(False))
    return tree(stage, vm)


@scenario
def removes_all_snapshots(stage: Stage) -> Any:
    vm = stage.create()
    take(stage, vm, "one")
    take(stage, vm, "two")
    stage.done(vm.RemoveAllSnapshots_Task())
    return tree(stage, vm)


@scenario
def removes_a_snapshot_twice(stage: Stage) -> Any:
    vm = stage.create()
    one = take(stage, vm, "one")
    stage.done(one.RemoveSnapshot_Task(False))
    return outcome(lambda: stage.done(one.RemoveSnapshot_Task(False)))


@scenario
def goes_back_to_the_current_snapshot(stage: Stage) -> Any:
    vm = stage.create()
    take(stage, vm, "one")
    return outcome(lambda: stage.done(vm.RevertToCurrentSnapshot_Task()))


@scenario
def goes_back_to_no_snapshot(stage: Stage) -> Any:
    vm = stage.create()
    return outcome(lambda: stage.done(vm.RevertToCurrentSnapshot_Task()))


@scenario
def reverts_a_changed_annotation(stage: Stage) -> Any:
    vm = stage.create(annotation="before")
    one = take(stage, vm, "one")
    stage.reconfigure(vm, annotation="after")
    stage.done(one.RevertToSnapshot_Task())
    return vm.config.annotation


@scenario
def reverts_a_running_machine_to_when_it_was_off(stage: Stage) -> Any:
    vm = stage.create()
    one = take(stage, vm, "one")
    stage.done(vm.PowerOnVM_Task())
    stage.done(one.RevertToSnapshot_Task())
    return stage.state(vm)


@scenario
def writes_to_a_delta_after_a_snapshot(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    take(stage, vm, "one")
    device = stage.devices(vm, vim.vm.device.VirtualDisk)[0]
    backing = device.backing
    return backing.parent is not None and backing.parent.fileName != backing.fileName


@scenario
def renames_a_snapshot(stage: Stage) -> Any:
    vm = stage.create()
    one = take(stage, vm, "one")
    return outcome(lambda: one.RenameSnapshot(name="first"))


@scenario
def takes_a_snapshot_the_newer_way(stage: Stage) -> Any:
    vm = stage.create()
    return outcome(lambda: stage.done(vm.CreateSnapshotEx_Task("one", memory=False)))


@scenario
def consolidates_disks(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    return outcome(lambda: stage.done(vm.ConsolidateVMDisks_Task()))
