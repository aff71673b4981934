"""Uses that must pass in every type checker. Read by test_checkers.py, never run."""

from __future__ import annotations

from typing import assert_type

from vimlib import vim25
from vimlib.model import Method


async def calls(vm: vim25.VirtualMachine, folder: vim25.Folder, pool: vim25.ResourcePool) -> None:
    assert_type(await vm.PowerOnVM_Task(), vim25.Task[None])
    await vm.PowerOnVM_Task(host=vim25.HostSystem("ha-host"))
    spec = vim25.VirtualMachineConfigSpec(name="a", numCPUs=2, memoryMB=1024, deviceChange=[])
    assert_type(await folder.CreateVM_Task(spec, pool), vim25.Task[vim25.VirtualMachine])
    assert_type(await vm.QueryUnownedFiles(), list[str])
    assert_type(await vm.UnregisterVM(), None)
    method: Method[..., vim25.Task[None]] = vim25.VirtualMachine.PowerOnVM_Task
    assert_type(method.name, str)


def faults() -> None:
    try:
        pass
    except vim25.InvalidPowerState as fault:
        state: str | None = fault.requestedState
        print(state, fault.localized_message, fault.fault_name, fault.retryable)
    except vim25.VimFault as fault:
        assert_type(fault.faultMessage, list[vim25.LocalizableMessage])


def data() -> None:
    disk = vim25.VirtualDisk(key=-1, capacityInKB=1024)
    change = vim25.VirtualDeviceConfigSpec(operation="add", device=disk)
    device: vim25.VirtualDevice = change.device
    print(device.key + 1, vim25.VirtualMachinePowerState.poweredOn.upper())
    word: vim25.VirtualMachinePowerStateValue = "a state of a newer host"
    print(word)
