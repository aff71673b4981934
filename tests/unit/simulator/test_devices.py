from __future__ import annotations

from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator._vm.devices import DeviceList, default_devices, generated_mac


def mac() -> str:
    return "00:0c:29:00:00:01"


def controller(cls: Any, bus: Any = 0, key: int = -1) -> Any:
    more = {"sharedBus": "noSharing"} if issubclass(cls, vim25.VirtualSCSIController) else {}
    return cls(key=key, busNumber=bus, **more)


def disk(on: int, unit: Any = None) -> Any:
    return vim25.VirtualDisk(key=-9, controllerKey=on, unitNumber=unit, capacityInKB=4)


@pytest.mark.parametrize(
    ("cls", "bus", "key", "first"),
    [
        (vim25.VirtualLsiLogicController, 0, 1000, 2000),
        (vim25.ParaVirtualSCSIController, 3, 1003, 2048),
        (vim25.VirtualAHCIController, 0, 15000, 16000),
        (vim25.VirtualNVMEController, 1, 31001, 32015),
    ],
)
def test_keys_are_those_of_a_host(cls: Any, bus: int, key: int, first: int) -> None:
    devices = DeviceList(default_devices())
    assert devices.add(controller(cls, bus), 0, mac).key == key
    made = devices.add(disk(-1), 0, mac)
    assert (made.key, made.controllerKey, made.unitNumber) == (first, key, 0)
    [found] = [device for device in devices.result() if device.key == key]
    assert found.device == [first]


def test_the_unit_of_the_controller_itself_is_left_out() -> None:
    devices = DeviceList(default_devices())
    devices.add(controller(vim25.VirtualLsiLogicController), 0, mac)
    units = [devices.add(disk(1000), 0, mac).unitNumber for _ in range(15)]
    assert units == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15]
    with pytest.raises(vim25.InvalidDeviceSpec):
        devices.add(disk(1000), 3, mac)


@pytest.mark.parametrize("unit", [0, 7, 16, 99])
def test_invalid_units_are_refused(unit: int) -> None:
    devices = DeviceList(default_devices())
    devices.add(controller(vim25.VirtualLsiLogicController), 0, mac)
    devices.add(disk(1000, 0), 0, mac)
    with pytest.raises(vim25.InvalidDeviceSpec) as caught:
        devices.add(disk(1000, unit), 4, mac)
    assert (caught.value.deviceIndex, caught.value.property) == (
        4,
        "deviceChange[4].device.unitNumber",
    )


def test_an_unknown_controller_is_refused() -> None:
    devices = DeviceList(default_devices())
    for key in (77, 600, 100):
        with pytest.raises(vim25.InvalidController):
            devices.add(disk(key), 0, mac)


def test_a_bus_is_used_once() -> None:
    devices = DeviceList(default_devices())
    for bus in range(4):
        devices.add(controller(vim25.VirtualLsiLogicController, bus), 0, mac)
    for wrong in (0, None, -1):
        with pytest.raises(vim25.InvalidDeviceSpec):
            devices.add(controller(vim25.VirtualLsiLogicController, wrong), 0, mac)


def test_ten_adapters_and_no_more() -> None:
    devices = DeviceList(default_devices())
    keys = [devices.add(vim25.VirtualE1000(key=-1), 0, mac).key for _ in range(10)]
    assert keys == list(range(4000, 4010))
    with pytest.raises(vim25.InvalidDeviceSpec):
        devices.add(vim25.VirtualE1000(key=-1), 0, mac)


def test_default_devices_cannot_be_removed() -> None:
    devices = DeviceList(default_devices())
    for device in default_devices():
        with pytest.raises(vim25.InvalidDeviceSpec):
            devices.drop(device.key, 0)


def test_a_controller_in_use_stays() -> None:
    devices = DeviceList(default_devices())
    devices.add(controller(vim25.VirtualLsiLogicController), 0, mac)
    devices.add(disk(1000), 0, mac)
    with pytest.raises(vim25.InvalidDeviceSpec):
        devices.drop(1000, 0)
    devices.drop(2000, 0)
    devices.drop(1000, 0)
    assert len(devices.result()) == len(default_devices())


def test_an_edit_keeps_what_it_does_not_name() -> None:
    devices = DeviceList(default_devices())
    devices.add(
        vim25.VirtualE1000(key=-1, macAddress="00:50:56:00:00:02", addressType="manual"), 0, mac
    )
    backing = vim25.VirtualEthernetCardNetworkBackingInfo(deviceName="other")
    old, new = devices.edit(vim25.VirtualE1000(key=4000, backing=backing), 0)
    assert old.backing is None
    assert (new.macAddress, new.backing, new.key) == ("00:50:56:00:00:02", backing, 4000)
    for wrong in (vim25.VirtualE1000(key=77), vim25.VirtualVmxnet3(key=4000)):
        with pytest.raises(vim25.InvalidDeviceSpec):
            devices.edit(wrong, 0)


def test_generated_addresses_are_of_the_hosts_range() -> None:
    assert generated_mac(0xABCDEF) == "00:0c:29:ab:cd:ef"
