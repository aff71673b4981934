"""Changing the virtual hardware of a machine."""

from __future__ import annotations

from typing import Any

from tests.simulator.stage import Stage, adapter, added, disk, outcome, scenario
from tests.simulator.values import Obj, Ref, new


def first_disk(stage: Stage, vm: Ref) -> Obj:
    return stage.devices(vm, "VirtualDisk")[0]


def resize(stage: Stage, vm: Ref, kb: int) -> None:
    device = first_disk(stage, vm)
    device.capacityInKB, device.capacityInBytes = kb, None
    stage.change(vm, "edit", device)


def option(value: str) -> list[Obj]:
    return [new("OptionValue", key="machine.id", value=value)]


def keys_of(stage: Stage, vm: Ref, device: Obj) -> list[int]:
    """Add a device and return the keys of all of its type."""
    stage.change(vm, "add", device)
    return [each.key for each in stage.devices(vm, device._kind)]


@scenario()
def changes_memory_and_processors(stage: Stage) -> Any:
    vm = stage.create()
    stage.reconfigure(vm, memoryMB=512, numCPUs=2, annotation="bigger")
    paths = ("config.hardware.memoryMB", "config.hardware.numCPU", "config.annotation")
    return [stage.get(vm, path) for path in paths]


@scenario()
def sends_a_stale_change_version(stage: Stage) -> Any:
    return outcome(stage.reconfigure, stage.create(), annotation="x", changeVersion="stale")


@scenario()
def keeps_an_extra_option(stage: Stage) -> Any:
    vm = stage.create()
    stage.reconfigure(vm, extraConfig=option("x;y#"))
    options = stage.get(vm, "config.extraConfig")
    return [each.value for each in options if each.key == "machine.id"]


@scenario()
def clears_an_extra_option(stage: Stage) -> Any:
    vm = stage.create()
    for value in ("x", ""):
        stage.reconfigure(vm, extraConfig=option(value))
    options = stage.get(vm, "config.extraConfig") or ()
    return sum(each.key == "machine.id" for each in options)


@scenario()
def adds_and_removes_a_disk(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), disk_kb=1024)
    controller = first_disk(stage, vm).controllerKey
    file = stage.path(f"{name}/second.vmdk")
    stage.reconfigure(vm, deviceChange=disk(2048, file=file, unit=1, controller=controller))
    second = stage.devices(vm, "VirtualDisk")[1]
    stage.change(vm, "remove", second, fileOperation="destroy")
    left = [device.capacityInKB for device in stage.devices(vm, "VirtualDisk")]
    return second.capacityInKB, left


@scenario()
def removes_a_disk_and_its_file(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), disk_kb=1024)
    stage.change(vm, "remove", first_disk(stage, vm), fileOperation="destroy")
    return [entry.name for entry in stage.client.entries(name, "*.vmdk")]


@scenario()
def grows_a_disk(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    resize(stage, vm, 2048)
    return first_disk(stage, vm).capacityInKB


@scenario()
def shrinks_a_disk(stage: Stage) -> Any:
    return outcome(resize, stage, stage.create(disk_kb=2048), 1024)


@scenario()
def adds_two_disks_to_one_unit(stage: Stage) -> Any:
    vm = stage.create(name := stage.name(), disk_kb=1024)
    device, file = first_disk(stage, vm), stage.path(f"{name}/second.vmdk")
    unit, controller = device.unitNumber or 0, device.controllerKey
    changes = disk(1024, file=file, unit=unit, controller=controller)
    return outcome(stage.reconfigure, vm, deviceChange=changes)


@scenario()
def adds_a_disk_to_an_unknown_controller(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    changes = disk(1024, file=stage.path(f"{name}/lost.vmdk"), controller=7777)
    return outcome(stage.reconfigure, vm, deviceChange=changes)


@scenario()
def removes_an_unknown_device(stage: Stage) -> Any:
    return outcome(stage.change, stage.create(), "remove", new("VirtualDevice", key=7777))


@scenario()
def adds_an_adapter(stage: Stage) -> Any:
    vm = stage.create()
    stage.change(vm, "add", adapter())
    [card] = stage.devices(vm, "VirtualVmxnet3")
    assert card.macAddress
    return card.key


@scenario()
def sees_the_network_of_an_adapter(stage: Stage) -> Any:
    vm = stage.create(deviceChange=added(adapter()))
    return [stage.get(network, "name") for network in stage.get(vm, "network")]


@scenario()
def adds_a_cd_drive(stage: Stage) -> Any:
    vm = stage.create()
    controller = stage.devices(vm, "VirtualIDEController")[0].key
    backing = new("VirtualCdromAtapiBackingInfo", deviceName="")
    return keys_of(
        stage, vm, new("VirtualCdrom", key=-40, controllerKey=controller, backing=backing)
    )


@scenario()
def adds_a_serial_port(stage: Stage) -> Any:
    backing = new(
        "VirtualSerialPortURIBackingInfo", serviceURI="telnet://127.0.0.1:1", direction="client"
    )
    port = new("VirtualSerialPort", key=-50, yieldOnPoll=True, backing=backing)
    return keys_of(stage, stage.create(), port)


@scenario()
def asks_for_changed_areas(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    key = first_disk(stage, vm).key
    return outcome(
        stage.call, "QueryChangedDiskAreas", vm, deviceKey=key, startOffset=0, changeId="*"
    )
