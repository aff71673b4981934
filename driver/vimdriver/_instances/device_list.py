"""The devices of a machine as people name and read them: pure functions of `config.hardware.device`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from vimdriver.errors import NoSlotError
from vimlib import vim25
from vimlib.errors import NotFoundError, UsageError, VersionError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

D = TypeVar("D", bound=vim25.VirtualDevice)
DeviceKind: TypeAlias = Literal[
    "disk", "nic", "cdrom", "floppy", "serial port", "controller", "other"
]

_KINDS: Final[tuple[tuple[type[vim25.VirtualDevice], DeviceKind], ...]] = (
    (vim25.VirtualDisk, "disk"),
    (vim25.VirtualEthernetCard, "nic"),
    (vim25.VirtualCdrom, "cdrom"),
    (vim25.VirtualFloppy, "floppy"),
    (vim25.VirtualSerialPort, "serial port"),
    (vim25.VirtualController, "controller"),
)
# Our words for the types of the API; others keep the API's.
_MODELS: Final[dict[str, str]] = {
    "VirtualE1000": "e1000",
    "VirtualE1000e": "e1000e",
    "VirtualVmxnet3": "vmxnet3",
    "VirtualVmxnet2": "vmxnet2",
    "VirtualPCNet32": "pcnet32",
    "VirtualLsiLogicController": "lsiLogic",
    "VirtualLsiLogicSASController": "lsiLogicsas",
    "VirtualBusLogicController": "busLogic",
    "ParaVirtualSCSIController": "paraVirtual",
    "VirtualIDEController": "ide",
    "VirtualAHCIController": "sata",
    "VirtualNVMEController": "nvme",
}


class Bus(NamedTuple):
    """A type of disk controller."""

    controller: type[vim25.VirtualController]
    units: int
    """Devices on one, from unit 0 on ("Configuration Maximums")."""
    since: str = "4.0"
    """API version that brought it."""


BUSES: Final[dict[str, Bus]] = {
    "lsiLogic": Bus(vim25.VirtualLsiLogicController, 16),
    "lsiLogicsas": Bus(vim25.VirtualLsiLogicSASController, 16),
    "busLogic": Bus(vim25.VirtualBusLogicController, 16),
    "paraVirtual": Bus(vim25.ParaVirtualSCSIController, 16),
    "ide": Bus(vim25.VirtualIDEController, 2),
    "sata": Bus(vim25.VirtualAHCIController, 30, "5.5"),
    "nvme": Bus(vim25.VirtualNVMEController, 15, "6.5"),
}
"""Disk controllers by the words for them."""
_SCSI_SELF: Final = 7  # the unit of the SCSI controller itself
_MOST_CONTROLLERS: Final = 4  # of one bus
_NEW_CONTROLLER: Final = -110


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """A virtual device, as last read. A field that its kind does not have is None or ""."""

    key: int
    """The API's `VirtualDevice.key`."""
    label: str
    """As `Network adapter 1`."""
    kind: DeviceKind
    model: str
    """As `vmxnet3` or `paraVirtual`; for a disk or CD-ROM that of its controller."""
    unit: int | None = None
    """Position on its controller."""
    connected: bool | None = None
    network: str = ""
    """Name of the port group."""
    mac: str = ""
    path: str = ""
    """Datastore path of the disk or of the image in the drive."""
    capacity: int | None = None
    """Bytes."""
    mode: str = ""
    """Of a disk, the API's word: `persistent`, `independent_persistent`, ..."""
    thin: bool | None = None
    """Whether a disk takes space only as it is written."""

    def to_json(self) -> dict[str, Any]:
        """Return the row that `vimctl instance devices --json` prints."""
        return asdict(self)


def kind_of(device: vim25.VirtualDevice) -> DeviceKind:
    """Return the word for a device."""
    return next((kind for cls, kind in _KINDS if isinstance(device, cls)), "other")


def _model(device: vim25.VirtualDevice | None) -> str:
    name = "" if device is None else type(device).__name__
    return _MODELS.get(name, name)


def label_of(device: vim25.VirtualDevice) -> str:
    """Return what people see as a device's name."""
    label = device.deviceInfo.label if device.deviceInfo is not None else ""
    return label or f"{_model(device)} {device.key}"


def file_of(device: vim25.VirtualDevice) -> str:
    """Return the datastore path that a device stands on; "" if it has none."""
    return str(getattr(device.backing, "fileName", None) or "")


def describe(device: vim25.VirtualDevice, devices: Iterable[vim25.VirtualDevice]) -> DeviceInfo:
    """Return a device in our words; `devices` are all of its machine."""
    connect, kind = device.connectable, kind_of(device)
    of = device
    if kind in ("disk", "cdrom"):
        of = next((one for one in devices if one.key == device.controllerKey), device)
    card = isinstance(device, vim25.VirtualEthernetCard)
    disk = isinstance(device, vim25.VirtualDisk)
    backing: Any = device.backing
    return DeviceInfo(
        key=device.key,
        label=label_of(device),
        kind=kind,
        model=_model(of),
        unit=device.unitNumber,
        connected=None if connect is None else connect.connected,
        network=str(getattr(backing, "deviceName", "") or "") if card else "",
        mac=str(getattr(device, "macAddress", "") or ""),
        path=file_of(device),
        capacity=capacity_kb(device) * 1024 if disk else None,
        mode=str(getattr(backing, "diskMode", "") or "") if disk else "",
        thin=bool(getattr(backing, "thinProvisioned", False)) if disk else None,
    )


def capacity_kb(disk: vim25.VirtualDevice) -> int:
    """Return the capacity of a disk in KiB; 0 for another device."""
    return int(getattr(disk, "capacityInKB", 0) or 0)


def is_card(device: vim25.VirtualDevice, mac: str) -> bool:
    """Return whether a device is the network card of a MAC address."""
    return str(getattr(device, "macAddress", "") or "").lower() == mac.lower()


def choose(
    devices: Sequence[vim25.VirtualDevice], kind: type[D], which: str, *, noun: str, machine: str
) -> D:
    """Return the device of a type that `which` names: its key, label, MAC address or path.

    Raises:
        NotFoundError: The machine has none; names those that it has.
    """
    there = [device for device in devices if isinstance(device, kind)]
    for device in there:
        names = (str(device.key), label_of(device), file_of(device))
        if which and (which in names or is_card(device, which)):
            return device
    known = ", ".join(f"{label_of(one)} ({_id_of(one)})" for one in there)
    raise NotFoundError(
        f"machine {machine} has no {noun} {which!r}",
        kind=kind.__name__,
        name=which,
        hint=f"It has: {known or 'none'}.",
    )


def _id_of(device: vim25.VirtualDevice) -> str:
    return str(getattr(device, "macAddress", None) or file_of(device) or device.key)


class Slot(NamedTuple):
    """A free position for a disk or drive."""

    controller: int
    """Key of the controller, that of `add` where it is made by the same call."""
    unit: int
    add: tuple[vim25.VirtualDeviceConfigSpec, ...] = ()
    """The spec that adds the controller, if none has room."""


def units_of(controller: vim25.VirtualDevice, devices: Iterable[vim25.VirtualDevice]) -> set[int]:
    """Return the used positions of a controller, its own among them."""
    used = {
        device.unitNumber
        for device in devices
        if device.controllerKey == controller.key and device.unitNumber is not None
    }
    return used | ({_SCSI_SELF} if isinstance(controller, vim25.VirtualSCSIController) else set())


def free_slot(
    devices: Sequence[vim25.VirtualDevice],
    bus: str | None,
    *,
    api_version: str,
    machine: str,
    noun: str = "disk",
) -> Slot:
    """Return a free position on a controller of a type; None takes the first SCSI controller with room.

    Where none has room, the slot adds a controller. Pure.

    Raises:
        UsageError: There is no such type.
        VersionError: The host is too old for it.
        NoSlotError: The machine has all controllers that it may have, and they are full.
    """
    if bus is not None and bus not in BUSES:
        raise UsageError(f"adapter must be one of {', '.join(BUSES)}, got {bus!r}", field="adapter")
    wanted = BUSES[bus or "lsiLogic"]
    if parse_version(api_version) < parse_version(wanted.since):
        raise VersionError(
            f"a {bus} controller needs API {wanted.since}, the host has API {api_version}",
            item=wanted.controller.__name__,
            needs=wanted.since,
            speaks=api_version,
            hint="Choose lsiLogic, lsiLogicsas, busLogic, paraVirtual or ide.",
        )
    kind = vim25.VirtualSCSIController if bus is None else wanted.controller
    there = [one for one in devices if isinstance(one, kind)]
    for controller in sorted(there, key=lambda one: one.key):
        used = units_of(controller, devices)
        for unit in range(wanted.units):
            if unit not in used:
                return Slot(controller.key, unit)
    family = next(
        cls
        for cls in (
            vim25.VirtualSCSIController,
            vim25.VirtualSATAController,
            vim25.VirtualNVMEController,
            vim25.VirtualIDEController,
        )
        if issubclass(wanted.controller, cls)
    )
    taken = {one.busNumber for one in devices if isinstance(one, family)}
    free = next((n for n in range(_MOST_CONTROLLERS) if n not in taken), None)
    if free is None or family is vim25.VirtualIDEController:
        # A machine has two IDE controllers from birth, and gets no third.
        raise NoSlotError(name=machine, noun=noun, bus=bus or "SCSI")
    given: dict[str, Any] = {"key": _NEW_CONTROLLER, "busNumber": free}
    if family is vim25.VirtualSCSIController:
        given["sharedBus"] = vim25.VirtualSCSISharing.noSharing
    added = vim25.VirtualDeviceConfigSpec(
        operation=vim25.VirtualDeviceConfigSpecOperation.add, device=wanted.controller(**given)
    )
    return Slot(_NEW_CONTROLLER, 0, (added,))


def on_ide(device: vim25.VirtualDevice, devices: Iterable[vim25.VirtualDevice]) -> bool:
    """Return whether a device is on an IDE controller, where nothing is added or removed while it runs."""
    return any(
        isinstance(one, vim25.VirtualIDEController) and one.key == device.controllerKey
        for one in devices
    )
