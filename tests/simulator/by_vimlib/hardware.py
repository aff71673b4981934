"""Changing what a machine is made of."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_vimlib.stage import VM, Stage, adapter, disk, outcome, scenario
from vimlib import vim25


async def first_disk(stage: Stage, vm: VM) -> vim25.VirtualDisk:
    return (await stage.devices(vm, vim25.VirtualDisk))[0]


@scenario
async def changes_memory_and_processors(stage: Stage) -> Any:
    vm = await stage.create()
    await stage.reconfigure(vm, memoryMB=512, numCPUs=2, annotation="bigger")
    row = await stage.client.get(
        vm, "config.hardware.memoryMB", "config.hardware.numCPU", "config.annotation"
    )
    return list(row.props.values())


@scenario
async def sends_a_stale_change_version(stage: Stage) -> Any:
    vm = await stage.create()
    return await outcome(stage.reconfigure(vm, annotation="x", changeVersion="stale"))


@scenario
async def keeps_an_extra_option(stage: Stage) -> Any:
    vm = await stage.create()
    await stage.reconfigure(vm, extraConfig=[vim25.OptionValue(key="machine.id", value="x;y#")])
    options = await stage.read(vm, "config.extraConfig")
    return [option.value for option in options if option.key == "machine.id"]


@scenario
async def clears_an_extra_option(stage: Stage) -> Any:
    vm = await stage.create()
    for value in ("x", ""):
        option = vim25.OptionValue(key="machine.id", value=value)
        await stage.reconfigure(vm, extraConfig=[option])
    options = await stage.read(vm, "config.extraConfig")
    return sum(option.key == "machine.id" for option in options)


@scenario
async def adds_and_removes_a_disk(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name(), disk_kb=1024)
    controller = (await first_disk(stage, vm)).controllerKey
    file = stage.path(f"{name}/second.vmdk")
    await stage.reconfigure(vm, deviceChange=disk(2048, file=file, unit=1, controller=controller))
    second = (await stage.devices(vm, vim25.VirtualDisk))[1]
    await stage.change(vm, "remove", second, fileOperation="destroy")
    left = [device.capacityInKB for device in await stage.devices(vm, vim25.VirtualDisk)]
    return second.capacityInKB, left


@scenario
async def removes_a_disk_and_its_file(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name(), disk_kb=1024)
    device = await first_disk(stage, vm)
    await stage.change(vm, "remove", device, fileOperation="destroy")
    return [item.name for item in await stage.files.list(name, "*.vmdk")]


@scenario
async def grows_a_disk(stage: Stage) -> Any:
    vm = await stage.create(disk_kb=1024)
    device = await first_disk(stage, vm)
    device.capacityInKB, device.capacityInBytes = 2048, None
    await stage.change(vm, "edit", device)
    return (await first_disk(stage, vm)).capacityInKB


@scenario
async def shrinks_a_disk(stage: Stage) -> Any:
    vm = await stage.create(disk_kb=2048)
    device = await first_disk(stage, vm)
    device.capacityInKB, device.capacityInBytes = 1024, None
    return await outcome(stage.change(vm, "edit", device))


@scenario
async def puts_two_disks_in_one_place(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name(), disk_kb=1024)
    device = await first_disk(stage, vm)
    changes = disk(
        1024,
        file=stage.path(f"{name}/second.vmdk"),
        unit=device.unitNumber or 0,
        controller=device.controllerKey,
    )
    return await outcome(stage.reconfigure(vm, deviceChange=changes))


@scenario
async def puts_a_disk_on_no_controller(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name())
    changes = disk(1024, file=stage.path(f"{name}/lost.vmdk"), controller=7777)
    return await outcome(stage.reconfigure(vm, deviceChange=changes))


@scenario
async def removes_a_device_that_is_none(stage: Stage) -> Any:
    vm = await stage.create()
    device = vim25.VirtualDevice(key=7777)
    return await outcome(stage.change(vm, "remove", device))


@scenario
async def adds_an_adapter(stage: Stage) -> Any:
    vm = await stage.create()
    await stage.change(vm, "add", adapter())
    [card] = await stage.devices(vm, vim25.VirtualEthernetCard)
    assert card.macAddress
    return card.key


@scenario
async def sees_the_network_of_an_adapter(stage: Stage) -> Any:
    vm = await stage.create(
        deviceChange=[vim25.VirtualDeviceConfigSpec(operation="add", device=adapter())]
    )
    networks = await stage.read(vm, "network")
    return [await stage.read(network, "name") for network in networks]


@scenario
async def adds_a_cd_drive(stage: Stage) -> Any:
    vm = await stage.create()
    ide = (await stage.devices(vm, vim25.VirtualIDEController))[0]
    drive = vim25.VirtualCdrom(
        key=-40,
        controllerKey=ide.key,
        backing=vim25.VirtualCdromAtapiBackingInfo(deviceName=""),
    )
    await stage.change(vm, "add", drive)
    return [device.key for device in await stage.devices(vm, vim25.VirtualCdrom)]


@scenario
async def adds_a_serial_port(stage: Stage) -> Any:
    vm = await stage.create()
    port = vim25.VirtualSerialPort(
        key=-50,
        yieldOnPoll=True,
        backing=vim25.VirtualSerialPortURIBackingInfo(
            serviceURI="telnet://127.0.0.1:1", direction="client"
        ),
    )
    await stage.change(vm, "add", port)
    return [device.key for device in await stage.devices(vm, vim25.VirtualSerialPort)]


@scenario
async def asks_for_a_console_ticket(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(vm.AcquireTicket("webmks"))


@scenario
async def asks_for_an_mks_ticket(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(vm.AcquireMksTicket())


@scenario
async def takes_a_picture_of_the_screen(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(stage.done(vm.CreateScreenshot_Task()))


@scenario
async def answers_a_question_that_is_none(stage: Stage) -> Any:
    vm = await stage.running()
    return await outcome(vm.AnswerVM("1", "0"))


@scenario
async def asks_for_changed_areas(stage: Stage) -> Any:
    vm = await stage.create(disk_kb=1024)
    key = (await first_disk(stage, vm)).key
    return await outcome(vm.QueryChangedDiskAreas(deviceKey=key, startOffset=0, changeId="*"))


@scenario
async def mounts_the_tools(stage: Stage) -> Any:
    vm = await stage.create()
    return await outcome(vm.MountToolsInstaller())
