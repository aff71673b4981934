"""How methods that return a task refuse: `refused` in `_service/tasks.py` has the sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator import ESXHost

VM = vim25.VirtualMachine
OFF, ON = "vm-0", "vm-1"
CENTER = vim25.Datacenter("ha-datacenter")
POOL = vim25.ResourcePool("ha-root-pool")
VMS = vim25.Folder("ha-folder-vm")
DISKS = vim25.VirtualDiskManager("ha-vdiskmanager")
FILES = vim25.FileManager("ha-nfc-file-manager")
DELETE_DISK = vim25.VirtualDiskManager.DeleteVirtualDisk_Task
ABSENT = "[datastore1] absent"
RELOCATE = vim25.VirtualMachineRelocateSpec()

# Method, object (a machine's name, or a reference), arguments, fault.
REFUSED: list[tuple[Any, Any, dict[str, Any], type[vim25.MethodFault]]] = [
    (VM.PowerOnVM_Task, ON, {}, vim25.InvalidPowerState),
    (VM.PowerOffVM_Task, OFF, {}, vim25.InvalidPowerState),
    (VM.SuspendVM_Task, OFF, {}, vim25.InvalidPowerState),
    (VM.ResetVM_Task, OFF, {}, vim25.InvalidPowerState),
    (VM.Destroy_Task, ON, {}, vim25.InvalidPowerState),
    (VM.CreateScreenshot_Task, OFF, {}, vim25.InvalidPowerState),
    (VM.Rename_Task, OFF, {"newName": ON}, vim25.DuplicateName),
    (VM.Rename_Task, OFF, {"newName": "a" * 99}, vim25.InvalidName),
    (VM.RevertToCurrentSnapshot_Task, OFF, {}, vim25.NotFound),
    (
        VM.CloneVM_Task,
        OFF,
        {
            "folder": VMS,
            "name": "c",
            "spec": vim25.VirtualMachineCloneSpec(location=RELOCATE, powerOn=False, template=False),
        },
        vim25.NotSupported,
    ),
    (VM.RelocateVM_Task, OFF, {"spec": RELOCATE}, vim25.NotSupported),
    (
        vim25.Folder.CreateVM_Task,
        VMS,
        {"config": vim25.VirtualMachineConfigSpec(), "pool": POOL},
        vim25.InvalidVmConfig,
    ),
    (
        vim25.Folder.RegisterVM_Task,
        VMS,
        {"path": "[datastore1] vm-0/vm-0.vmx", "asTemplate": False, "pool": POOL},
        vim25.AlreadyExists,
    ),
    (
        vim25.Folder.RegisterVM_Task,
        VMS,
        {"path": "[gone] a.vmx", "asTemplate": False, "pool": POOL},
        vim25.InvalidDatastore,
    ),
    (DELETE_DISK, DISKS, {"name": ABSENT}, vim25.FileNotFound),
    (DELETE_DISK, DISKS, {"name": "absent"}, vim25.InvalidDatastorePath),
    (vim25.FileManager.DeleteDatastoreFile_Task, FILES, {"name": ABSENT}, vim25.FileNotFound),
    (
        vim25.FileManager.DeleteDatastoreFile_Task,
        FILES,
        {"name": "[gone] a"},
        vim25.InvalidDatastore,
    ),
]


async def made(make: Callable[..., Any], **options: Any) -> Any:
    call = await make(vms=2, **options)
    await call.done(VM.PowerOnVM_Task, call.esx.machine(ON).ref)
    return call


def target(call: Any, this: Any) -> Any:
    return call.esx.machine(this).ref if isinstance(this, str) else this


@pytest.mark.parametrize(
    ("method", "this", "args", "fault"), REFUSED, ids=lambda v: getattr(v, "name", None)
)
async def test_a_host_refuses_by_a_task_that_fails(
    method: Any,
    this: Any,
    args: dict[str, Any],
    fault: type[vim25.MethodFault],
    make: Callable[..., Any],
) -> None:
    call = await made(make)
    with pytest.raises(fault):
        await call.done(method, target(call, this), **args)
    assert call.esx.call_log[-1].fault is None
    # It does not count as a task in progress.
    await call.done(VM.PowerOnVM_Task, call.esx.machine(OFF).ref)


@pytest.mark.parametrize(
    ("method", "this", "args", "fault"), REFUSED, ids=lambda v: getattr(v, "name", None)
)
async def test_a_host_refuses_the_call_on_order(
    method: Any,
    this: Any,
    args: dict[str, Any],
    fault: type[vim25.MethodFault],
    make: Callable[..., Any],
) -> None:
    call = await made(make, refusals="call")
    with pytest.raises(fault):
        await call.done(method, target(call, this), **args)
    # Faults that the work itself meets are the task's in either case.
    met = fault is vim25.FileNotFound
    assert (call.esx.call_log[-1].fault is None) is met


async def test_a_refusing_task_is_complete_when_the_call_returns(make: Callable[..., Any]) -> None:
    call = await made(make)
    ref = await call(VM.PowerOffVM_Task, call.esx.machine(OFF).ref)
    info = (await call.read(ref, "info"))["info"]
    assert (info.state, info.entity) == ("error", call.esx.machine(OFF).ref)
    assert info.descriptionId == "VirtualMachine.powerOff"
    assert info.error.fault == vim25.InvalidPowerState(
        requestedState="poweredOff", existingState="poweredOff"
    )
    assert info.error.localizedMessage.endswith("current state (Powered off).")
    assert info.completeTime >= info.startTime >= info.queueTime
    read = await call.read(call.esx.machine(OFF).ref, "recentTask")
    assert ref in read["recentTask"]


@pytest.mark.parametrize("refusals", ["task", "call"])
@pytest.mark.parametrize(
    ("method", "args", "fault"),
    [
        (VM.UnregisterVM, {}, vim25.InvalidPowerState),
        (VM.ExportVm, {}, vim25.InvalidPowerState),
        (VM.ShutdownGuest, {}, vim25.ToolsUnavailable),
        (VM.MarkAsTemplate, {}, vim25.NotSupported),
    ],
    ids=lambda v: getattr(v, "name", None),
)
async def test_a_method_without_a_task_refuses_the_call(
    method: Any,
    args: dict[str, Any],
    fault: type[vim25.MethodFault],
    refusals: str,
    make: Callable[..., Any],
) -> None:
    call = await made(make, refusals=refusals)
    with pytest.raises(fault):
        await call(method, call.esx.machine(ON).ref, **args)


async def test_what_a_host_finds_before_it_makes_a_task_is_a_fault_of_the_call(
    make: Callable[..., Any],
) -> None:
    call = await make(vms=1, licensed=False)
    with pytest.raises(vim25.RestrictedVersion):
        await call(VM.PowerOnVM_Task, call.esx.machine(OFF).ref)
    with pytest.raises(vim25.ManagedObjectNotFound):
        await call(VM.PowerOnVM_Task, VM("99"))
    call.cookie = None
    with pytest.raises(vim25.NotAuthenticated):
        await call(VM.PowerOnVM_Task, call.esx.machine(OFF).ref)


def test_an_unknown_way_to_refuse() -> None:
    with pytest.raises(ValueError, match='refusals must be "task" or "call"'):
        ESXHost(refusals="both")  # type: ignore[arg-type]
