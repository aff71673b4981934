"""Changing what a machine is made of."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_pyvmomi.stage import Stage, adapter, disk, outcome, scenario
from tests.simulator.vmomi import vim


def first_disk(stage: Stage, vm: Any) -> Any:
    return stage.devices(vm, vim.vm.device.VirtualDisk)[0]


@scenario
def changes_memory_and_processors(stage: Stage) -> Any:
    vm = stage.create()
    stage.reconfigure(vm, memoryMB=512, numCPUs=2, annotation="bigger")
    hardware = vm.config.hardware
    return [hardware.memoryMB, hardware.numCPU, vm.config.annotation]


@scenario
def sends_a_stale_change_version(stage: Stage) -> Any:
    vm = stage.create()
    return outcome(lambda: stage.reconfigure(vm, annotation="x", changeVersion="stale"))


@scenario
def keeps_an_extra_option(stage: Stage) -> Any:
    vm = stage.create()
    stage.reconfigure(vm, extraConfig=[vim.option.OptionValue(key="machine.id", value="x;y#")])
    options = vm.config.extraConfig
    return [option.value for option in options if option.key == "machine.id"]


@scenario
def clears_an_extra_option(stage: Stage) -> Any:
    vm = stage.create()
    for value in ("x", ""):
        option = vim.option.OptionValue(key="machine.id", value=value)
        stage.reconfigure(vm, extraConfig=[option])
    options = vm.config.extraConfig
    return sum(option.key == "machine.id" for option in options)


@scenario
def adds_and_removes_a_disk(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), disk_kb=1024)
    controller = first_disk(stage, vm).controllerKey
    file = stage.path(f"{name}/second.vmdk")
    stage.reconfigure(vm, deviceChange=disk(2048, file=file, unit=1, controller=controller))
    second = stage.devices(vm, vim.vm.device.VirtualDisk)[1]
    stage.change(vm, "remove", second, fileOperation="destroy")
    left = [device.capacityInKB for device in stage.devices(vm, vim.vm.device.VirtualDisk)]
    return second.capacityInKB, left


@scenario
def removes_a_disk_and_its_file(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), disk_kb=1024)
    device = first_disk(stage, vm)
    stage.change(vm, "remove", device, fileOperation="destroy")
    return [item.name for item in stage.files.list(name, "*.vmdk")]


@scenario
def grows_a_disk(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    device = first_disk(stage, vm)
    device.capacityInKB, device.capacityInBytes = 2048, None
    stage.change(vm, "edit", device)
    return first_disk(stage, vm).capacityInKB


@scenario
def shrinks_a_disk(stage: Stage) -> Any:
    vm = stage.create(disk_kb=2048)
    device = first_disk(stage, vm)
    device.capacityInKB, device.capacityInBytes = 1024, None
    return outcome(lambda: stage.change(vm, "edit", device))


@scenario
def puts_two_disks_in_one_place(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), disk_kb=1024)
    device = first_disk(stage, vm)
    changes = disk(
        1024,
        file=stage.path(f"{name}/second.vmdk"),
        unit=device.unitNumber or 0,
        controller=device.controllerKey,
    )
    return outcome(lambda: stage.reconfigure(vm, deviceChange=changes))


@scenario
def puts_a_disk_on_no_controller(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    changes = disk(1024, file=stage.path(f"{name}/lost.vmdk"), controller=7777)
    return outcome(lambda: stage.reconfigure(vm, deviceChange=changes))


@scenario
def removes_a_device_that_is_none(stage: Stage) -> Any:
    vm = stage.create()
    device = vim.vm.device.VirtualDevice(key=7777)
    return outcome(lambda: stage.change(vm, "remove", device))


@scenario
def adds_an_adapter(stage: Stage) -> Any:
    vm = stage.create()
    stage.change(vm, "add", adapter())
    [card] = stage.devices(vm, vim.vm.device.VirtualEthernetCard)
    assert card.macAddress
    return card.key


@scenario
def sees_the_network_of_an_adapter(stage: Stage) -> Any:
    vm = stage.create(
        deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="add", device=adapter())]
    )
    networks = vm.network
    return [network.name for network in networks]


@scenario
def adds_a_cd_drive(stage: Stage) -> Any:
    vm = stage.create()
    ide = stage.devices(vm, vim.vm.device.VirtualIDEController)[0]
    drive = vim.vm.device.VirtualCdrom(
        key=-40,
        controllerKey=ide.key,
        backing=vim.vm.device.VirtualCdrom.AtapiBackingInfo(deviceName=""),
    )
    stage.change(vm, "add", drive)
    return [device.key for device in stage.devices(vm, vim.vm.device.VirtualCdrom)]


@scenario
def adds_a_serial_port(stage: Stage) -> Any:
    vm = stage.create()
    port = vim.vm.device.VirtualSerialPort(
        key=-50,
        yieldOnPoll=True,
        backing=vim.vm.device.VirtualSerialPort.URIBackingInfo(
            serviceURI="telnet://127.0.0.1:1", direction="client"
        ),
    )
    stage.change(vm, "add", port)
    return [device.key for device in stage.devices(vm, vim.vm.device.VirtualSerialPort)]


@scenario
def asks_for_a_console_ticket(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(lambda: vm.AcquireTicket("webmks"))


@scenario
def asks_for_an_mks_ticket(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(vm.AcquireMksTicket)


@scenario
def takes_a_picture_of_the_screen(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(lambda: stage.done(vm.CreateScreenshot_Task()))


@scenario
def answers_a_question_that_is_none(stage: Stage) -> Any:
    vm = stage.running()
    return outcome(lambda: vm.AnswerVM("1", "0"))


@scenario
def asks_for_changed_areas(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    key = first_disk(stage, vm).key
    return outcome(lambda: vm.QueryChangedDiskAreas(deviceKey=key, startOffset=0, changeId="*"))


@scenario
def mounts_the_tools(stage: Stage) -> Any:
    vm = stage.create()
    return outcome(vm.MountToolsInstaller)
