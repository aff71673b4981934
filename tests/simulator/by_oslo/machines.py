"""Machines and their snapshots."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_oslo.stage import Stage, outcome, scenario


@scenario()
def makes_and_destroys_a_machine(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), 1024)
    path = stage.read(vm, "config.files.vmPathName")
    stage.done("Destroy_Task", vm)
    return path == stage.path(f"{name}/{name}.vmx"), bool(stage.files("", name))


@scenario()
def makes_the_same_name_twice(stage: Stage) -> Any:
    stage.create(name := stage.name())
    return outcome(stage.create, name)


@scenario()
def goes_through_all_states(stage: Stage) -> Any:
    vm = stage.create()
    seen = []
    for method in (
        "PowerOnVM_Task",
        "SuspendVM_Task",
        "PowerOnVM_Task",
        "ResetVM_Task",
        "PowerOffVM_Task",
    ):
        stage.done(method, vm)
        seen.append(stage.read(vm, "runtime.powerState"))
    return seen


@scenario()
def powers_off_while_off(stage: Stage) -> Any:
    return outcome(stage.done, "PowerOffVM_Task", stage.create())


@scenario()
def shuts_down_a_guest_without_tools(stage: Stage) -> Any:
    return outcome(stage.call, "ShutdownGuest", stage.running())


@scenario()
def destroys_a_running_machine(stage: Stage) -> Any:
    return outcome(stage.done, "Destroy_Task", stage.running())


@scenario()
def renames_to_a_name_in_use(stage: Stage) -> Any:
    stage.create(name := stage.name())
    return outcome(stage.done, "Rename_Task", stage.create(), newName=name)


def take(stage: Stage, vm: Any, name: str) -> Any:
    return stage.done(
        "CreateSnapshot_Task", vm, name=name, description="", memory=False, quiesce=False
    )


@scenario()
def writes_to_a_delta_after_a_snapshot(stage: Stage) -> Any:
    vm = stage.create(kb=1024)
    take(stage, vm, "one")
    devices = stage.read(vm, "config.hardware.device").VirtualDevice
    backing = next(d for d in devices if d.__class__.__name__ == "VirtualDisk").backing
    parent = getattr(backing, "parent", None)
    return parent is not None and parent.fileName != backing.fileName


@scenario()
def removes_all_snapshots(stage: Stage) -> Any:
    vm = stage.create()
    snapshot = take(stage, vm, "one")
    take(stage, vm, "two")
    stage.done("RevertToSnapshot_Task", snapshot)
    stage.done("RemoveAllSnapshots_Task", vm)
    return stage.read(vm, "snapshot")


@scenario()
def removes_a_snapshot_twice(stage: Stage) -> Any:
    vm = stage.create()
    snapshot = take(stage, vm, "one")
    stage.done("RemoveSnapshot_Task", snapshot, removeChildren=False)
    return outcome(stage.done, "RemoveSnapshot_Task", snapshot, removeChildren=False)
