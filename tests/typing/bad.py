"""Uses that every type checker must refuse: each line marked `# wrong`, and no other."""

from __future__ import annotations

from vimlib import vim25


async def calls(vm: vim25.VirtualMachine, folder: vim25.Folder, pool: vim25.ResourcePool) -> None:
    vim25.VirtualMachineConfigSpec(numCPUs="two")  # wrong: type
    vim25.VirtualMachineConfigSpec(bogus=1)  # wrong: unknown field
    vim25.Description(label="x")  # wrong: a required field is missing
    vim25.VirtualMachineConfigSpec("name")  # wrong: fields go by keyword
    vm.nonsense()  # wrong: unknown method
    await folder.CreateVM_Task(vim25.VirtualMachineConfigSpec())  # wrong: a required argument is missing
    await vm.PowerOnVM_Task(vim25.HostSystem("h"))  # wrong: optional arguments go by keyword
    await vm.PowerOnVM_Task(host=pool)  # wrong: another managed type
    vim25.InvalidPowerState(existingState="poweredOn", bogus=1)  # wrong: unknown fault field
    name: int = vim25.VirtualMachine.PowerOnVM_Task.name  # wrong: type
    print(name, vm.name)  # wrong: properties are read by a collector, never by an attribute
