"""Making machines, their power, and ending them."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_vimlib.search import place
from tests.simulator.by_vimlib.stage import Stage, adapter, disk, outcome, scenario
from vimlib import vim25


@scenario
async def makes_and_destroys_a_machine(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name(), disk_kb=1024)
    path = await stage.read(vm, "config.files.vmPathName")
    await stage.done(vm.Destroy_Task())
    return path == stage.path(f"{name}/{name}.vmx"), await stage.files.exists(name)


@scenario
async def makes_the_same_name_twice(stage: Stage) -> Any:
    await stage.create(name := stage.name())
    return await outcome(stage.create(name))


@scenario
async def makes_a_machine_without_a_name(stage: Stage) -> Any:
    spec = vim25.VirtualMachineConfigSpec(
        memoryMB=128, files=vim25.VirtualMachineFileInfo(vmPathName=stage.path(""))
    )
    return await outcome(stage.done(stage.folder.CreateVM_Task(spec, stage.pool)))


@scenario
async def makes_a_machine_of_three_megabytes(stage: Stage) -> Any:
    return await outcome(stage.create(memoryMB=3))


@scenario
async def starts_a_machine_of_three_megabytes(stage: Stage) -> Any:
    vm = await stage.create(memoryMB=3)
    return await outcome(stage.done(vm.PowerOnVM_Task()))


@scenario
async def makes_a_machine_without_a_processor(stage: Stage) -> Any:
    return await outcome(stage.create(numCPUs=0))


@scenario
async def makes_a_machine_with_a_disk_that_is_not_there(stage: Stage) -> Any:
    changes = disk(1024, file=stage.path(f"{stage.name()}/such.vmdk"), operation=None)
    return await outcome(stage.create(deviceChange=changes))


@scenario
async def makes_a_machine_on_an_unknown_datastore(stage: Stage) -> Any:
    files = vim25.VirtualMachineFileInfo(vmPathName="[nowhere]")
    return await outcome(stage.create(files=files))


@scenario
async def makes_a_machine_on_an_unknown_network(stage: Stage) -> Any:
    change = vim25.VirtualDeviceConfigSpec(operation="add", device=adapter("nowhere"))
    return await outcome(stage.create(deviceChange=[change]))


@scenario
async def clones_a_machine(stage: Stage) -> Any:
    vm = await stage.create()
    spec = vim25.VirtualMachineCloneSpec(
        location=vim25.VirtualMachineRelocateSpec(), powerOn=False, template=False
    )
    return await outcome(stage.done(vm.CloneVM_Task(stage.folder, stage.name(), spec)))


@scenario
async def goes_through_all_states(stage: Stage) -> Any:
    vm = await stage.create()
    seen = []
    for method in ("PowerOnVM_Task", "SuspendVM_Task", "PowerOnVM_Task", "ResetVM_Task"):
        await stage.done(getattr(vm, method)())
        seen.append(await stage.state(vm))
    await stage.done(vm.PowerOffVM_Task())
    return [*seen, await stage.state(vm)]


@scenario
async def powers_on_twice(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(stage.done(vm.PowerOnVM_Task()))


@scenario
async def powers_off_while_off(stage: Stage) -> Any:
    vm = await stage.create()
    return await outcome(stage.done(vm.PowerOffVM_Task()))


@scenario
async def suspends_while_off(stage: Stage) -> Any:
    vm = await stage.create()
    return await outcome(stage.done(vm.SuspendVM_Task()))


@scenario
async def resets_while_off(stage: Stage) -> Any:
    vm = await stage.create()
    return await outcome(stage.done(vm.ResetVM_Task()))


@scenario
async def resets_while_suspended(stage: Stage) -> Any:
    vm = await stage.running()
    await stage.done(vm.SuspendVM_Task())
    return await outcome(stage.done(vm.ResetVM_Task()))


@scenario
async def shuts_down_a_guest_without_tools(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(vm.ShutdownGuest())


@scenario
async def reboots_a_guest_without_tools(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(vm.RebootGuest())


@scenario
async def puts_a_guest_to_sleep_without_tools(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(vm.StandbyGuest())


@scenario
async def destroys_a_running_machine(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(stage.done(vm.Destroy_Task()))


@scenario
async def unregisters_a_running_machine(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(vm.UnregisterVM())


@scenario
async def unregisters_and_registers_again(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name(), memoryMB=256)
    await vm.UnregisterVM()
    path = stage.path(f"{name}/{name}.vmx")
    again = await stage.done(stage.folder.RegisterVM_Task(path, asTemplate=False, pool=stage.pool))
    assert await stage.read(again, "name") == name
    return await stage.read(again, "config.hardware.memoryMB")


@scenario
async def registers_what_is_registered(stage: Stage) -> Any:
    await stage.create(name := stage.name())
    path = stage.path(f"{name}/{name}.vmx")
    task = stage.folder.RegisterVM_Task(path, asTemplate=False, pool=stage.pool)
    return await outcome(stage.done(task))


@scenario
async def registers_what_is_not_there(stage: Stage) -> Any:
    path = stage.path(f"{stage.name()}/such.vmx")
    task = stage.folder.RegisterVM_Task(path, asTemplate=False, pool=stage.pool)
    return await outcome(stage.done(task))


@scenario
async def renames_a_machine(stage: Stage) -> Any:
    vm = await stage.create()
    await stage.done(vm.Rename_Task(name := stage.name()))
    return await stage.read(vm, "name") == name


@scenario
async def renames_to_a_name_in_use(stage: Stage) -> Any:
    await stage.create(name := stage.name())
    vm = await stage.create()
    return await outcome(stage.done(vm.Rename_Task(name)))


@scenario
async def destroys_a_machine_twice(stage: Stage) -> Any:
    vm = await stage.create()
    await stage.done(vm.Destroy_Task())
    return await outcome(stage.done(vm.Destroy_Task()))


@scenario
async def makes_a_folder_of_machines(stage: Stage) -> Any:
    return await outcome(stage.folder.CreateFolder(stage.name()))


@scenario
async def keeps_a_machine_in_a_place_of_another_name(stage: Stage) -> Any:
    vm = await stage.create(files=(where := place(stage)))
    return await stage.read(vm, "config.files.vmPathName") == where.vmPathName
