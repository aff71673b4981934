"""Making machines, their power, and ending them."""

from __future__ import annotations

from typing import Any

from tests.simulator.stage import Stage, adapter, added, disk, one_call, outcome, scenario
from tests.simulator.values import Obj, Ref, new


def place(stage: Stage) -> Obj:
    """Return a folder whose name has nothing of the machine's."""
    name = stage.name()
    return new("VirtualMachineFileInfo", vmPathName=stage.path(f"{name}/{name}.vmx"))


def register(stage: Stage, path: str) -> Ref:
    return stage.done(  # type: ignore[no-any-return]
        "RegisterVM_Task", stage.folder, path=path, asTemplate=False, pool=stage.pool
    )


@scenario()
def makes_and_destroys_a_machine(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), disk_kb=1024)
    path = stage.get(vm, "config.files.vmPathName")
    stage.done("Destroy_Task", vm)
    return path == stage.path(f"{name}/{name}.vmx"), stage.client.exists(name)


@scenario()
def makes_the_same_name_twice(stage: Stage) -> Any:
    stage.create(name := stage.name())
    return outcome(stage.create, name)


@scenario()
def makes_a_machine_without_a_name(stage: Stage) -> Any:
    files = new("VirtualMachineFileInfo", vmPathName=stage.path(""))
    spec = new("VirtualMachineConfigSpec", memoryMB=128, files=files)
    return outcome(stage.done, "CreateVM_Task", stage.folder, config=spec, pool=stage.pool)


@scenario()
def makes_a_machine_of_three_megabytes(stage: Stage) -> Any:
    return outcome(stage.create, memoryMB=3)


@scenario()
def starts_a_machine_of_three_megabytes(stage: Stage) -> Any:
    return outcome(stage.done, "PowerOnVM_Task", stage.create(memoryMB=3))


@scenario()
def makes_a_machine_without_a_processor(stage: Stage) -> Any:
    return outcome(stage.create, numCPUs=0)


@scenario()
def makes_a_machine_with_a_missing_disk(stage: Stage) -> Any:
    changes = disk(1024, file=stage.path(f"{stage.name()}/such.vmdk"), operation=None)
    return outcome(stage.create, deviceChange=changes)


@scenario()
def makes_a_machine_on_an_unknown_datastore(stage: Stage) -> Any:
    return outcome(stage.create, files=new("VirtualMachineFileInfo", vmPathName="[nowhere]"))


@scenario()
def makes_a_machine_on_an_unknown_network(stage: Stage) -> Any:
    return outcome(stage.create, deviceChange=added(adapter("nowhere")))


@scenario()
def clones_a_machine(stage: Stage) -> Any:
    location = new("VirtualMachineRelocateSpec")
    spec = new("VirtualMachineCloneSpec", location=location, powerOn=False, template=False)
    args = {"folder": stage.folder, "name": stage.name(), "spec": spec}
    return outcome(stage.done, "CloneVM_Task", stage.create(), **args)


@scenario()
def goes_through_all_states(stage: Stage) -> Any:
    vm, seen = stage.create(), []
    for verb in ("PowerOn", "Suspend", "PowerOn", "Reset", "PowerOff"):
        stage.done(f"{verb}VM_Task", vm)
        seen.append(stage.state(vm))
    return seen


@scenario()
def resets_while_suspended(stage: Stage) -> Any:
    vm = stage.running()
    stage.done("SuspendVM_Task", vm)
    return outcome(stage.done, "ResetVM_Task", vm)


@scenario()
def unregisters_and_registers_again(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), memoryMB=256)
    stage.call("UnregisterVM", vm)
    again = register(stage, stage.path(f"{name}/{name}.vmx"))
    assert stage.get(again, "name") == name
    return stage.get(again, "config.hardware.memoryMB")


@scenario()
def registers_a_machine_twice(stage: Stage) -> Any:
    stage.create(name := stage.name())
    return outcome(register, stage, stage.path(f"{name}/{name}.vmx"))


@scenario()
def registers_a_missing_file(stage: Stage) -> Any:
    return outcome(register, stage, stage.path(f"{stage.name()}/such.vmx"))


@scenario()
def renames_a_machine(stage: Stage) -> Any:
    vm = stage.create()
    stage.done("Rename_Task", vm, newName=(name := stage.name()))
    return stage.get(vm, "name") == name


@scenario()
def renames_to_a_name_in_use(stage: Stage) -> Any:
    stage.create(name := stage.name())
    return outcome(stage.done, "Rename_Task", stage.create(), newName=name)


@scenario()
def destroys_a_machine_twice(stage: Stage) -> Any:
    vm = stage.create()
    stage.done("Destroy_Task", vm)
    return outcome(stage.done, "Destroy_Task", vm)


@scenario()
def makes_a_folder_of_machines(stage: Stage) -> Any:
    return outcome(stage.call, "CreateFolder", stage.folder, name=stage.name())


@scenario()
def keeps_a_machine_in_a_folder_of_another_name(stage: Stage) -> Any:
    vm = stage.create(files=(where := place(stage)))
    return stage.get(vm, "config.files.vmPathName") == where.vmPathName


# One call on a new machine that is off, or on one that runs.
one_call("powers_off_while_off", "PowerOffVM_Task", running=False)
one_call("suspends_while_off", "SuspendVM_Task", running=False)
one_call("resets_while_off", "ResetVM_Task", running=False)
one_call("mounts_the_tools", "MountToolsInstaller", running=False)
one_call("powers_on_twice", "PowerOnVM_Task")
one_call("destroys_a_running_machine", "Destroy_Task")
one_call("unregisters_a_running_machine", "UnregisterVM")
one_call("shuts_down_a_guest_without_tools", "ShutdownGuest")
one_call("reboots_a_guest_without_tools", "RebootGuest")
one_call("puts_a_guest_to_sleep_without_tools", "StandbyGuest")
one_call("takes_a_picture_of_the_screen", "CreateScreenshot_Task")
one_call("asks_for_an_mks_ticket", "AcquireMksTicket")
one_call("asks_for_a_console_ticket", "AcquireTicket", ticketType="webmks")
one_call("answers_an_unknown_question", "AnswerVM", questionId="1", answerChoice="0")
