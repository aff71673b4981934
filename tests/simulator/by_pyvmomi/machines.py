"""Making machines, their power, and ending them."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_pyvmomi.search import place
from tests.simulator.by_pyvmomi.stage import Stage, adapter, disk, outcome, scenario
from tests.simulator.vmomi import vim


@scenario
def makes_and_destroys_a_machine(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), disk_kb=1024)
    path = vm.config.files.vmPathName
    stage.done(vm.Destroy_Task())
    return path == stage.path(f"{name}/{name}.vmx"), stage.files.exists(name)


@scenario
def makes_the_same_name_twice(stage: Stage) -> Any:
    stage.create(name := stage.name())
    return outcome(lambda: stage.create(name))


@scenario
def makes_a_machine_without_a_name(stage: Stage) -> Any:
    spec = vim.vm.ConfigSpec(memoryMB=128, files=vim.vm.FileInfo(vmPathName=stage.path("")))
    return outcome(lambda: stage.done(stage.folder.CreateVM_Task(spec, stage.pool)))


@scenario
def makes_a_machine_of_three_megabytes(stage: Stage) -> Any:
    return outcome(lambda: stage.create(memoryMB=3))


@scenario
def starts_a_machine_of_three_megabytes(stage: Stage) -> Any:
    vm = stage.create(memoryMB=3)
    return outcome(lambda: stage.done(vm.PowerOnVM_Task()))


@scenario
def makes_a_machine_without_a_processor(stage: Stage) -> Any:
    return outcome(lambda: stage.create(numCPUs=0))


@scenario
def makes_a_machine_with_a_disk_that_is_not_there(stage: Stage) -> Any:
    changes = disk(1024, file=stage.path(f"{stage.name()}/such.vmdk"), operation=None)
    return outcome(lambda: stage.create(deviceChange=changes))


@scenario
def makes_a_machine_on_an_unknown_datastore(stage: Stage) -> Any:
    files = vim.vm.FileInfo(vmPathName="[nowhere]")
    return outcome(lambda: stage.create(files=files))


@scenario
def makes_a_machine_on_an_unknown_network(stage: Stage) -> Any:
    change = vim.vm.device.VirtualDeviceSpec(operation="add", device=adapter("nowhere"))
    return outcome(lambda: stage.create(deviceChange=[change]))


@scenario
def clones_a_machine(stage: Stage) -> Any:
    vm = stage.create()
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), powerOn=False, template=False)
    return outcome(lambda: stage.done(vm.CloneVM_Task(stage.folder, stage.name(), spec)))


@scenario
def goes_through_all_states(stage: Stage) -> Any:
    vm = stage.create()
    seen = []
    for method in ("PowerOnVM_Task", "SuspendVM_Task", "PowerOnVM_Task", "ResetVM_Task"):
        stage.done(getattr(vm, method)())
        seen.append(stage.state(vm))
    stage.done(vm.PowerOffVM_Task())
    return [*seen, stage.state(vm)]


@scenario
def powers_on_twice(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(lambda: stage.done(vm.PowerOnVM_Task()))


@scenario
def powers_off_while_off(stage: Stage) -> Any:
    vm = stage.create()
    return outcome(lambda: stage.done(vm.PowerOffVM_Task()))


@scenario
def suspends_while_off(stage: Stage) -> Any:
    vm = stage.create()
    return outcome(lambda: stage.done(vm.SuspendVM_Task()))


@scenario
def resets_while_off(stage: Stage) -> Any:
    vm = stage.create()
    return outcome(lambda: stage.done(vm.ResetVM_Task()))


@scenario
def resets_while_suspended(stage: Stage) -> Any:
    vm = stage.running()
    stage.done(vm.SuspendVM_Task())
    return outcome(lambda: stage.done(vm.ResetVM_Task()))


@scenario
def shuts_down_a_guest_without_tools(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(vm.ShutdownGuest)


@scenario
def reboots_a_guest_without_tools(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(vm.RebootGuest)


@scenario
def puts_a_guest_to_sleep_without_tools(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(vm.StandbyGuest)


@scenario
def destroys_a_running_machine(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(lambda: stage.done(vm.Destroy_Task()))


@scenario
def unregisters_a_running_machine(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(vm.UnregisterVM)


@scenario
def unregisters_and_registers_again(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), memoryMB=256)
    vm.UnregisterVM()
    path = stage.path(f"{name}/{name}.vmx")
    again = stage.done(stage.folder.RegisterVM_Task(path, asTemplate=False, pool=stage.pool))
    assert again.name == name
    return again.config.hardware.memoryMB


@scenario
def registers_what_is_registered(stage: Stage) -> Any:
    stage.create(name := stage.name())
    path = stage.path(f"{name}/{name}.vmx")
    task = stage.folder.RegisterVM_Task(path, asTemplate=False, pool=stage.pool)
    return outcome(lambda: stage.done(task))


@scenario
def registers_what_is_not_there(stage: Stage) -> Any:
    path = stage.path(f"{stage.name()}/such.vmx")
    task = stage.folder.RegisterVM_Task(path, asTemplate=False, pool=stage.pool)
    return outcome(lambda: stage.done(task))


@scenario
def renames_a_machine(stage: Stage) -> Any:
    vm = stage.create()
    stage.done(vm.Rename_Task(name := stage.name()))
    return vm.name == name


@scenario
def renames_to_a_name_in_use(stage: Stage) -> Any:
    stage.create(name := stage.name())
    vm = stage.create()
    return outcome(lambda: stage.done(vm.Rename_Task(name)))


@scenario
def destroys_a_machine_twice(stage: Stage) -> Any:
    vm = stage.create()
    stage.done(vm.Destroy_Task())
    return outcome(lambda: stage.done(vm.Destroy_Task()))


@scenario
def makes_a_folder_of_machines(stage: Stage) -> Any:
    return outcome(lambda: stage.folder.CreateFolder(stage.name()))


@scenario
def keeps_a_machine_in_a_place_of_another_name(stage: Stage) -> Any:
    vm = stage.create(files=(where := place(stage)))
    return vm.config.files.vmPathName == where.vmPathName
