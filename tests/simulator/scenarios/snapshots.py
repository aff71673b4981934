"""Snapshots: the tree, reverting, removing."""

from __future__ import annotations

from typing import Any

from tests.simulator.stage import Stage, outcome, scenario
from tests.simulator.values import Obj, Ref


def take(stage: Stage, vm: Ref, name: str) -> Ref:
    return stage.done("CreateSnapshot_Task", vm, name=name, memory=False, quiesce=False)  # type: ignore[no-any-return]


def chain(stage: Stage, *names: str, **more: Any) -> tuple[Ref, list[Ref]]:
    """Make a machine with snapshots, each the child of the one before."""
    vm = stage.create(**more)
    return vm, [take(stage, vm, name) for name in names]


def revert(stage: Stage, snapshot: Ref) -> None:
    stage.done("RevertToSnapshot_Task", snapshot)


def remove(stage: Stage, snapshot: Ref, children: bool = False) -> None:
    stage.done("RemoveSnapshot_Task", snapshot, removeChildren=children)


def tree(stage: Stage, vm: Ref) -> Any:
    """Return the names of the tree, each with its children."""

    def names(level: list[Obj]) -> list[Any]:
        return [[item.name, *names(item.childSnapshotList or [])] for item in level]

    info = stage.get(vm, "snapshot")
    return names(info.rootSnapshotList) if info is not None else None


@scenario()
def takes_a_tree_of_snapshots(stage: Stage) -> Any:
    vm, [one, two] = chain(stage, "one", "two")
    revert(stage, one)
    take(stage, vm, "three")
    revert(stage, two)
    return tree(stage, vm), stage.get(vm, "snapshot").currentSnapshot == two


@scenario()
def removes_snapshots_of_a_chain(stage: Stage) -> Any:
    vm, snapshots = chain(stage, "one", "two", "three")
    remove(stage, snapshots[1])
    return tree(stage, vm)


@scenario()
def removes_a_snapshot_with_its_children(stage: Stage) -> Any:
    vm, snapshots = chain(stage, "one", "two")
    remove(stage, snapshots[0], children=True)
    return tree(stage, vm)


@scenario()
def removes_the_current_root_that_has_a_child(stage: Stage) -> Any:
    vm, [one, _] = chain(stage, "one", "two")
    revert(stage, one)
    remove(stage, one)
    return tree(stage, vm)


@scenario()
def removes_all_snapshots(stage: Stage) -> Any:
    vm, [one, _] = chain(stage, "one", "two")
    revert(stage, one)
    stage.done("RemoveAllSnapshots_Task", vm)
    return tree(stage, vm)


@scenario()
def removes_a_snapshot_twice(stage: Stage) -> Any:
    _, [one] = chain(stage, "one")
    remove(stage, one)
    return outcome(remove, stage, one)


@scenario()
def reverts_to_the_current_snapshot(stage: Stage) -> Any:
    vm, _ = chain(stage, "one")
    return outcome(stage.done, "RevertToCurrentSnapshot_Task", vm)


@scenario()
def reverts_without_a_snapshot(stage: Stage) -> Any:
    return outcome(stage.done, "RevertToCurrentSnapshot_Task", stage.create())


@scenario()
def reverts_a_changed_annotation(stage: Stage) -> Any:
    vm, [one] = chain(stage, "one", annotation="before")
    stage.reconfigure(vm, annotation="after")
    revert(stage, one)
    return stage.get(vm, "config.annotation")


@scenario()
def reverts_a_running_machine_to_when_it_was_off(stage: Stage) -> Any:
    vm, [one] = chain(stage, "one")
    stage.done("PowerOnVM_Task", vm)
    revert(stage, one)
    return stage.state(vm)


@scenario()
def writes_to_a_delta_after_a_snapshot(stage: Stage) -> Any:
    vm, _ = chain(stage, "one", disk_kb=1024)
    backing = stage.devices(vm, "VirtualDisk")[0].backing
    return backing.parent is not None and backing.parent.fileName != backing.fileName


@scenario()
def renames_a_snapshot(stage: Stage) -> Any:
    _, [one] = chain(stage, "one")
    return outcome(stage.call, "RenameSnapshot", one, name="first")


@scenario()
def takes_a_snapshot_the_newer_way(stage: Stage) -> Any:
    return outcome(stage.done, "CreateSnapshotEx_Task", stage.create(), name="one", memory=False)


@scenario()
def consolidates_disks(stage: Stage) -> Any:
    return outcome(stage.done, "ConsolidateVMDisks_Task", stage.create(disk_kb=1024))
