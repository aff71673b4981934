"""Virtual devices: the defaults of a new machine, and the keys and units that a host assigns.

Pure: from devices and a change to devices. `reconfigure` handles the files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.messages import with_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PCI = 100
_SCSI_SELF = 7  # the unit of the SCSI controller itself
_UNITS = {"scsi": 16, "ide": 2, "sata": 30, "nvme": 15}
_WIDE_UNITS = 64
"""Units of a paravirtual SCSI controller from hardware version 14 on."""
_IDE = 200


def default_devices() -> list[Any]:
    """Return the devices that every machine has."""

    def info(label: str) -> Any:
        return vim25.Description(label=label, summary=label)

    return [
        vim25.VirtualIDEController(key=200, deviceInfo=info("IDE 0"), busNumber=0),
        vim25.VirtualIDEController(key=201, deviceInfo=info("IDE 1"), busNumber=1),
        vim25.VirtualPS2Controller(
            key=300, deviceInfo=info("PS2 controller 0"), busNumber=0, device=[600, 700]
        ),
        vim25.VirtualPCIController(
            key=_PCI, deviceInfo=info("PCI controller 0"), busNumber=0, device=[500, 12000]
        ),
        vim25.VirtualSIOController(key=400, deviceInfo=info("SIO controller 0"), busNumber=0),
        vim25.VirtualKeyboard(
            key=600, deviceInfo=info("Keyboard "), controllerKey=300, unitNumber=0
        ),
        vim25.VirtualPointingDevice(
            key=700,
            deviceInfo=vim25.Description(
                label="Pointing device", summary="Pointing device; Device"
            ),
            backing=vim25.VirtualPointingDeviceDeviceBackingInfo(
                deviceName="", useAutoDetect=False, hostPointingDevice="autodetect"
            ),
            controllerKey=300,
            unitNumber=1,
        ),
        vim25.VirtualMachineVideoCard(
            key=500,
            deviceInfo=vim25.Description(label="Video card ", summary="Video card"),
            controllerKey=_PCI,
            unitNumber=0,
            videoRamSizeInKB=4096,
            numDisplays=1,
            useAutoDetect=False,
            enable3DSupport=False,
            use3dRenderer="automatic",
            graphicsMemorySizeInKB=262144,
        ),
        vim25.VirtualMachineVMCIDevice(
            key=12000,
            deviceInfo=vim25.Description(
                label="VMCI device",
                summary="Device on the virtual machine PCI bus that provides support for the virtual machine communication interface",
            ),
            controllerKey=_PCI,
            unitNumber=17,
            id=-1,
            allowUnrestrictedCommunication=False,
        ),
    ]


# What every machine has one of, with its key: a spec that adds one means this one.
_FIXED = (
    (vim25.VirtualPCIController, _PCI),
    (vim25.VirtualPS2Controller, 300),
    (vim25.VirtualSIOController, 400),
    (vim25.VirtualMachineVideoCard, 500),
    (vim25.VirtualKeyboard, 600),
    (vim25.VirtualPointingDevice, 700),
    (vim25.VirtualMachineVMCIDevice, 12000),
)
_FIXED_KEYS = frozenset({_IDE, _IDE + 1, *(key for _, key in _FIXED)})
# The devices on a bus, with their label.
_DRIVES = (
    (vim25.VirtualDisk, "Hard disk"),
    (vim25.VirtualCdrom, "CD/DVD drive"),
    (vim25.VirtualSCSIPassthrough, "SCSI device"),
)


def bad_device(index: int, prop: str, cls: Any = None, **fields: Any) -> Any:
    """Return the fault for an invalid device change."""
    fault = (cls or vim25.InvalidDeviceSpec)(
        property=f"deviceChange[{index}].device{prop}", deviceIndex=index, **fields
    )
    return with_message(fault, f"Invalid configuration for device '{index}'.")


def generated_mac(random_bits: int) -> str:
    """Return an address of the range in which ESX generates them."""
    return f"00:0c:29:{random_bits >> 16 & 0xFF:02x}:{random_bits >> 8 & 0xFF:02x}:{random_bits & 0xFF:02x}"


_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")


def revised(value: Any, **fields: Any) -> Any:
    """Return a data object with other values for some fields."""
    return replace(value, **fields)


class DeviceList:
    """The devices of one machine while a spec is applied to them.

    With `wide`, as from hardware version 14 on, a paravirtual SCSI controller has 64 units.
    """

    def __init__(self, devices: Iterable[Any], *, wide: bool = False) -> None:
        self.devices: dict[int, Any] = {device.key: device for device in devices}
        self._wide = wide
        self._given: set[int] = set()
        """The IDE controllers that the spec has named."""
        self.renamed: dict[int, int] = {}
        """Keys that the spec used for new devices, to those that they got."""

    def result(self) -> list[Any]:
        """Return the devices, with each controller's list of its devices."""
        hanging: dict[int, list[int]] = {}
        for device in self.devices.values():
            if device.controllerKey is not None:
                hanging.setdefault(device.controllerKey, []).append(device.key)
        return [
            revised(device, device=hanging.get(device.key, []))
            if isinstance(device, vim25.VirtualController)
            and device.device != hanging.get(device.key, [])
            else device
            for device in self.devices.values()
        ]

    def controller(self, device: Any, index: int) -> Any:
        """Return the controller that a spec's device names. Raises `InvalidController`."""
        key = self.renamed.get(device.controllerKey, device.controllerKey)
        found = self.devices.get(key)
        if not isinstance(found, vim25.VirtualController):
            raise bad_device(
                index, ".controllerKey", vim25.InvalidController, controllerKey=device.controllerKey
            )
        return found

    def units(self, controller: int) -> set[int]:
        """Return the used units of a controller."""
        return {
            d.unitNumber
            for d in self.devices.values()
            if d.controllerKey == controller and d.unitNumber is not None
        }

    def add(
        self, device: Any, index: int, mac: Callable[[], str], number: int | None = None
    ) -> Any:
        """Add a device; return it with the key and unit that it got.

        `number` is that of an adapter or port of a configuration file, `1` of `ethernet1`.
        """
        fixed = next((key for cls, key in _FIXED if isinstance(device, cls)), None)
        if fixed is not None:
            made = self._merged(device, fixed)
        elif isinstance(device, vim25.VirtualIDEController):
            made = self._ide(device, index)
        elif isinstance(device, vim25.VirtualController):
            made = self._controller(device, index)
        elif isinstance(device, vim25.VirtualEthernetCard):
            made = self._nic(device, index, mac, number)
        elif isinstance(device, tuple(cls for cls, _ in _DRIVES)):
            made = self._on_bus(device, index)
        else:
            made = self._other(device, number)
        self.renamed[device.key] = made.key
        self.devices[made.key] = made
        return made

    def edit(self, device: Any, index: int) -> tuple[Any, Any]:
        """Return the device of an edit and its new value, without changing anything."""
        old = self.devices.get(self.renamed.get(device.key, device.key))
        if old is None or not isinstance(device, type(old)):
            raise bad_device(index, ".key")
        given = {
            field: getattr(device, field)
            for field in device.__struct_fields__
            if getattr(device, field) not in (None, []) and field not in ("key", "deviceInfo")
        }
        for field in ("controllerKey", "unitNumber"):
            if given.get(field) is None:
                given.pop(field, None)
        return old, replace(old, **given)

    def put(self, device: Any) -> None:
        """Store the result of an edit."""
        self.devices[device.key] = self._described(device)

    def drop(self, key: int, index: int) -> Any:
        """Remove a device and return it."""
        found = self.devices.get(self.renamed.get(key, key))
        if found is None or found.key in _FIXED_KEYS:
            raise bad_device(index, ".key")
        if isinstance(found, vim25.VirtualController) and self.units(found.key):
            raise bad_device(index, ".key")
        del self.devices[found.key]
        return found

    def _merged(self, device: Any, key: int) -> Any:
        """Return the device that every machine has, with the values of a spec's."""
        own = self.devices[key]
        given = {
            field: value
            for field in own.__struct_fields__
            if (value := getattr(device, field, None)) not in (None, [])
            and field
            not in ("key", "controllerKey", "unitNumber", "busNumber", "deviceInfo", "device")
        }
        return revised(own, **given)

    def _ide(self, device: Any, index: int) -> Any:
        """Return the controller of the same bus: a machine has exactly two, and gets no third.

        Clients of hosts send them all the same (community.vmware's vmware_guest one, libvirt none).
        """
        free = [key for key in (_IDE, _IDE + 1) if key not in self._given]
        key = _IDE + (device.busNumber or 0)
        if key not in free:
            if not free or device.busNumber in (0, 1):
                raise bad_device(index, ".busNumber")
            key = free[0]
        self._given.add(key)
        return self.devices[key]

    def _described(self, device: Any) -> Any:
        """Return a device with the summary of its backing."""
        info = device.deviceInfo
        if info is None or isinstance(device, vim25.VirtualEthernetCard | vim25.VirtualController):
            return device
        summary = _summary(device) or info.summary
        return revised(device, deviceInfo=vim25.Description(label=info.label, summary=summary))

    def _free_key(self, base: int) -> int:
        while base in self.devices:
            base += 1
        return base

    def _controller(self, device: Any, index: int) -> Any:
        bus = device.busNumber
        for cls, name, base, most in (
            (vim25.VirtualSCSIController, "SCSI controller", 1000, 4),
            (vim25.VirtualSATAController, "SATA controller", 15000, 4),
            (vim25.VirtualNVMEController, "NVME controller", 31000, 4),
        ):
            if isinstance(device, cls):
                taken = {d.busNumber for d in self.devices.values() if isinstance(d, cls)}
                if bus is None or bus in taken or not 0 <= bus < most:
                    free = next((n for n in range(most) if n not in taken), None)
                    # A used bus number is refused; a host picks one only for -1 or no number.
                    if free is None or (bus is not None and bus in taken):
                        raise bad_device(index, ".busNumber")
                    bus = free
                label = f"{name} {bus}"
                given: dict[str, Any] = (
                    {"scsiCtlrUnitNumber": _SCSI_SELF, "hotAddRemove": True} if base == 1000 else {}
                )
                return revised(
                    device,
                    key=base + bus,
                    busNumber=bus,
                    controllerKey=_PCI,
                    unitNumber=3 + bus if base == 1000 else 24 + bus,
                    deviceInfo=vim25.Description(label=label, summary=_summary(device)),
                    **given,
                )
        base = 14000 if isinstance(device, vim25.VirtualUSBXHCIController) else 7000
        if base in self.devices:
            raise bad_device(index, ".key")
        return replace(
            device,
            key=base,
            busNumber=bus or 0,
            controllerKey=_PCI,
            unitNumber=23 if base == 14000 else 22,
            deviceInfo=vim25.Description(
                label="USB xHCI controller " if base == 14000 else "USB controller",
                summary="USB controller",
            ),
        )

    def _nic(self, device: Any, index: int, mac: Callable[[], str], number: int | None) -> Any:
        nics = [d for d in self.devices.values() if isinstance(d, vim25.VirtualEthernetCard)]
        if len(nics) >= 10:
            raise bad_device(index, "")
        key = self._free_key(4000) if number is None else 4000 + number
        kind = (device.addressType or "generated").lower()
        address = device.macAddress
        if kind == "manual":
            if not address or not _MAC.fullmatch(address):
                raise bad_device(index, ".macAddress")
        elif not address:
            address = mac()
        numbers = self.units(_PCI)
        network = getattr(device.backing, "deviceName", "") or ""
        return replace(
            device,
            key=key,
            controllerKey=_PCI,
            unitNumber=next(n for n in range(7, 60) if n not in numbers),
            addressType=kind,
            macAddress=address,
            wakeOnLanEnabled=device.wakeOnLanEnabled
            if device.wakeOnLanEnabled is not None
            else True,
            connectable=device.connectable
            or vim25.VirtualDeviceConnectInfo(
                startConnected=True, allowGuestControl=True, connected=False
            ),
            deviceInfo=vim25.Description(label=f"Network adapter {key - 3999}", summary=network),
        )

    def _on_bus(self, device: Any, index: int) -> Any:
        controller = self.controller(device, index)
        kind = _bus(controller)
        if kind is None:
            raise bad_device(
                index, ".controllerKey", vim25.InvalidController, controllerKey=device.controllerKey
            )
        taken = self.units(controller.key)
        unit = device.unitNumber
        pvscsi = isinstance(controller, vim25.ParaVirtualSCSIController)
        units = _WIDE_UNITS if self._wide and pvscsi else _UNITS[kind]
        if unit is None or unit < 0:
            unit = next(
                (
                    n
                    for n in range(units)
                    if n not in taken and not (kind == "scsi" and n == _SCSI_SELF)
                ),
                None,
            )
        if (
            unit is None
            or unit in taken
            or unit >= units
            or (kind == "scsi" and unit == _SCSI_SELF)
        ):
            raise bad_device(index, ".unitNumber")
        bus = controller.busNumber
        key = {
            "scsi": 2000 + 16 * bus,
            "ide": 3000 + 2 * bus,
            "sata": 16000 + 30 * bus,
            "nvme": 32000 + 15 * bus,
        }[kind] + unit
        if kind == "scsi" and unit >= _UNITS[kind]:  # the keys from 2016 on are the next bus's
            key = self._free_key(131_072 + _WIDE_UNITS * bus + unit)
        cls, label = next((cls, label) for cls, label in _DRIVES if isinstance(device, cls))
        number = sum(isinstance(d, cls) for d in self.devices.values()) + 1
        return replace(
            device,
            key=key,
            controllerKey=controller.key,
            unitNumber=unit,
            connectable=device.connectable if cls is vim25.VirtualDisk else _connectable(device),
            deviceInfo=vim25.Description(label=f"{label} {number}", summary=_summary(device)),
        )

    def _other(self, device: Any, number: int | None) -> Any:
        for cls, base, label, controller in (
            (vim25.VirtualFloppy, 8000, "Floppy drive", 400),
            (vim25.VirtualSerialPort, 9000, "Serial port", 400),
            (vim25.VirtualParallelPort, 10000, "Parallel port", 400),
            (vim25.VirtualSoundCard, 5000, "Sound card", _PCI),
            (vim25.VirtualUSB, 7001, "USB device", 7000),
        ):
            if isinstance(device, cls):
                key = self._free_key(base) if number is None else base + number
                # Ports have units of their own kind on the SIO controller.
                taken = self.units(controller) if controller == _PCI else ()
                unit = next(n for n in range(60) if n not in taken)
                return revised(
                    device,
                    key=key,
                    controllerKey=controller,
                    unitNumber=unit if controller == _PCI else key - base,
                    connectable=_connectable(device),
                    deviceInfo=vim25.Description(
                        label=f"{label} {key - base + 1}", summary=_summary(device) or label
                    ),
                )
        key = self._free_key(13000)
        label = type(device).__name__.removeprefix("Virtual")
        return replace(device, key=key, deviceInfo=vim25.Description(label=label, summary=label))


def _bus(controller: Any) -> str | None:
    for cls, name in (
        (vim25.VirtualSCSIController, "scsi"),
        (vim25.VirtualIDEController, "ide"),
        (vim25.VirtualSATAController, "sata"),
        (vim25.VirtualNVMEController, "nvme"),
    ):
        if isinstance(controller, cls):
            return name
    return None


def _connectable(device: Any) -> Any:
    """Return how a removable device is connected, which hosts show of each."""
    return device.connectable or vim25.VirtualDeviceConnectInfo(
        startConnected=True, allowGuestControl=True, connected=False, status="untried"
    )


_SUMMARIES = {
    "VirtualLsiLogicController": "LSI Logic",
    "VirtualLsiLogicSASController": "LSI Logic SAS",
    "VirtualBusLogicController": "BusLogic",
    "ParaVirtualSCSIController": "VMware paravirtual SCSI",
    "VirtualAHCIController": "AHCI",
    "VirtualNVMEController": "NVME",
}


def _summary(device: Any) -> str:
    """Return the summary of a device, "" if nothing of it makes one.

    "ISO [ds] x.iso" and "Remote" of a floppy are recorded of an ESX 4.1 (`resources/esx-4.1.0-1` of
    fusioninventory-agent), "Image [ds] x.img", "File [ds] x" and "Remote telnet://:33233" are expected
    by govc's own tests (`govc/test/device.bats`). The others are our choice.
    """
    backing = getattr(device, "backing", None)
    if isinstance(device, vim25.VirtualDisk):
        return f"{device.capacityInKB or 0:,} KB"
    if isinstance(backing, vim25.VirtualCdromIsoBackingInfo):
        return f"ISO {backing.fileName}"
    if isinstance(backing, vim25.VirtualFloppyImageBackingInfo):
        return f"Image {backing.fileName}"
    if isinstance(backing, vim25.VirtualDeviceFileBackingInfo):
        return f"File {backing.fileName}"
    if isinstance(backing, vim25.VirtualDeviceURIBackingInfo):
        return f"Remote {backing.serviceURI}"
    if isinstance(backing, vim25.VirtualDevicePipeBackingInfo):
        return f"Named pipe {backing.pipeName}"
    if isinstance(backing, vim25.VirtualFloppyRemoteDeviceBackingInfo):
        return "Remote"
    if isinstance(backing, vim25.VirtualCdromRemoteAtapiBackingInfo):
        return "Remote ATAPI"
    if isinstance(backing, vim25.VirtualDeviceRemoteDeviceBackingInfo):
        return "Remote device"
    if isinstance(backing, vim25.VirtualCdromAtapiBackingInfo):
        return f"ATAPI {backing.deviceName}"
    if isinstance(device, (vim25.VirtualController, vim25.VirtualSCSIPassthrough)):
        return _SUMMARIES.get(type(device).__name__, type(device).__name__)
    if isinstance(backing, vim25.VirtualDeviceDeviceBackingInfo) and not backing.useAutoDetect:
        return f"Device {backing.deviceName}" if backing.deviceName else ""
    return ""
