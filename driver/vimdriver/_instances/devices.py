"""Virtual devices as the API wants them added: pure functions from our words to its specs.

Keys below zero are ours for the length of one spec: the host replaces them (API reference,
`VirtualDevice.key`), so that a disk can name a controller that is made by the same call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec.structs import replace

from vimlib import vim25
from vimlib.errors import UsageError, VersionError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from vimdriver._instances.hardware import Allocation
    from vimdriver._instances.types import NICSpec

T = TypeVar("T", bound=vim25.DynamicData)

ADAPTERS: Final = ("lsiLogic", "lsiLogicsas", "busLogic", "paraVirtual", "ide")
"""Adapter words, as images carry them in `vmware_adaptertype`."""

_CONTROLLER_KEY: Final = -101
_DISK_KEY: Final = -100
_CDROM_KEY: Final = -99
_FIRST_NIC_KEY: Final = -47
_VIDEO_KEY: Final = -160
# Each machine has two IDE controllers from birth; the first has this key.
_IDE_KEY: Final = 200
_NIC_MODEL: Final = "e1000"
_E1000E_SINCE: Final = "5.0"


def revised(value: T, **fields: Any) -> T:
    """Return a data object with other values for some fields."""
    given: Any = value  # a Struct at run time, which type checkers do not know
    made: T = replace(given, **fields)
    return made


def add(device: vim25.VirtualDevice, *, new_file: bool = False) -> vim25.VirtualDeviceConfigSpec:
    """Return the spec that adds a device, and with `new_file` creates the file of the disk."""
    create = vim25.VirtualDeviceConfigSpecFileOperation.create
    return vim25.VirtualDeviceConfigSpec(
        operation=vim25.VirtualDeviceConfigSpecOperation.add,
        fileOperation=create if new_file else None,
        device=device,
    )


def edit(device: vim25.VirtualDevice) -> vim25.VirtualDeviceConfigSpec:
    """Return the spec that gives a device these values."""
    return vim25.VirtualDeviceConfigSpec(
        operation=vim25.VirtualDeviceConfigSpecOperation.edit, device=device
    )


def remove(device: vim25.VirtualDevice, *, files: bool = False) -> vim25.VirtualDeviceConfigSpec:
    """Return the spec that removes a device, and with `files` the files of the disk."""
    destroy = vim25.VirtualDeviceConfigSpecFileOperation.destroy
    return vim25.VirtualDeviceConfigSpec(
        operation=vim25.VirtualDeviceConfigSpecOperation.remove,
        fileOperation=destroy if files else None,
        device=device,
    )


def nic(
    spec: NICSpec, position: int, *, api_version: str, limits: Allocation | None = None
) -> vim25.VirtualDeviceConfigSpec:
    """Return the spec that adds one network card on a standard port group.

    Raises:
        VersionError: The host is too old for the card's model.
    """
    if spec.model == "e1000e" and parse_version(api_version) < parse_version(_E1000E_SINCE):
        raise VersionError(
            f"e1000e needs API {_E1000E_SINCE}, the host has API {api_version}",
            item="VirtualE1000e",
            needs=_E1000E_SINCE,
            speaks=api_version,
            hint="Choose e1000, vmxnet3 or pcnet32.",
        )
    card = {
        "e1000": vim25.VirtualE1000,
        "e1000e": vim25.VirtualE1000e,
        "vmxnet3": vim25.VirtualVmxnet3,
        "pcnet32": vim25.VirtualPCNet32,
    }[spec.model or _NIC_MODEL]
    return add(
        card(
            key=_FIRST_NIC_KEY - position,
            backing=vim25.VirtualEthernetCardNetworkBackingInfo(deviceName=spec.network),
            connectable=vim25.VirtualDeviceConnectInfo(
                startConnected=True, allowGuestControl=True, connected=True
            ),
            addressType="generated" if spec.mac is None else "manual",
            macAddress=spec.mac,
            wakeOnLanEnabled=True,
            resourceAllocation=None if limits is None else limits.of_card(),
        )
    )


def video_card(memory_mb: int) -> vim25.VirtualDeviceConfigSpec:
    """Return the spec that gives the video card, which each machine has from birth, so many MiB."""
    return add(vim25.VirtualMachineVideoCard(key=_VIDEO_KEY, videoRamSizeInKB=memory_mb * 1024))


def disk_type_adapter(adapter: str) -> str:
    """Return what `VirtualDiskSpec.adapterType` calls an adapter: it knows three kinds only."""
    if adapter not in ADAPTERS:
        raise UsageError(
            f"adapter must be one of {', '.join(ADAPTERS)}, got {adapter!r}", field="adapter"
        )
    return "lsiLogic" if adapter in ("lsiLogicsas", "paraVirtual") else adapter


def _controller(adapter: str) -> vim25.VirtualDeviceConfigSpec:
    made = {
        "lsiLogic": vim25.VirtualLsiLogicController,
        "lsiLogicsas": vim25.VirtualLsiLogicSASController,
        "busLogic": vim25.VirtualBusLogicController,
        "paraVirtual": vim25.ParaVirtualSCSIController,
    }[adapter]
    return add(made(key=_CONTROLLER_KEY, busNumber=0, sharedBus=vim25.VirtualSCSISharing.noSharing))


def root_disk(file: str, capacity_kb: int, adapter: str) -> list[vim25.VirtualDeviceConfigSpec]:
    """Return the specs that attach an existing flat disk, with its controller where one is needed.

    `file` is the descriptor as `[ds] dir/name.vmdk`; `capacity_kb` is in KiB.
    """
    disk_type_adapter(adapter)
    changes = [] if adapter == "ide" else [_controller(adapter)]
    controller = _IDE_KEY if adapter == "ide" else _CONTROLLER_KEY
    changes.append(add(disk(file, controller=controller, unit=0, capacity_kb=capacity_kb)))
    return changes


def disk(
    file: str,
    *,
    controller: int,
    unit: int,
    capacity_kb: int,
    mode: str = "persistent",
    disk_type: str = "thick",
) -> vim25.VirtualDisk:
    """Return a disk to add.

    Args:
        file: Its descriptor as `[ds] dir/name.vmdk`; `[ds]` lets the host name a new one.
        controller: Key of its controller.
        unit: Position on the controller.
        capacity_kb: KiB; hosts ignore it for a disk that exists.
        mode: The API's `diskMode`.
        disk_type: thin, thick or eagerZeroedThick.
    """
    return vim25.VirtualDisk(
        key=_DISK_KEY,
        controllerKey=controller,
        unitNumber=unit,
        capacityInKB=capacity_kb,
        backing=vim25.VirtualDiskFlatVer2BackingInfo(
            fileName=file,
            diskMode=mode,
            thinProvisioned=disk_type == "thin",
            eagerlyScrub=True if disk_type == "eagerZeroedThick" else None,
        ),
    )


def limited(
    changes: list[vim25.VirtualDeviceConfigSpec], limits: Allocation | None
) -> list[vim25.VirtualDeviceConfigSpec]:
    """Return the specs with this allocation for each disk that they add."""
    if limits is None:
        return changes
    allocation = limits.of_disk()
    return [
        revised(change, device=revised(change.device, storageIOAllocation=allocation))
        if isinstance(change.device, vim25.VirtualDisk)
        else change
        for change in changes
    ]


def new_disk(
    capacity_kb: int, adapter: str, *, disk_type: str = "thin"
) -> list[vim25.VirtualDeviceConfigSpec]:
    """Return the specs that make an empty disk in the machine's folder, with its controller.

    `capacity_kb` is in KiB, `disk_type` as of `disk`.
    """
    disk_type_adapter(adapter)
    changes = [] if adapter == "ide" else [_controller(adapter)]
    controller = _IDE_KEY if adapter == "ide" else _CONTROLLER_KEY
    made = add(
        disk("", controller=controller, unit=0, capacity_kb=capacity_kb, disk_type=disk_type)
    )
    made.fileOperation = vim25.VirtualDeviceConfigSpecFileOperation.create
    return [*changes, made]


def linked_disk(file: str, base: str, adapter: str) -> list[vim25.VirtualDeviceConfigSpec]:
    """Return the specs that make a disk on top of `base`, which only takes the writes of its machine.

    Both are descriptors as `[ds] dir/name.vmdk`. The capacity is that of the base.
    """
    changes = root_disk(file, 0, adapter)
    device = changes[-1].device
    assert isinstance(device, vim25.VirtualDisk), "it was added"
    return [*changes[:-1], add(linked(device, base), new_file=True)]


def linked(device: vim25.VirtualDisk, base: str) -> vim25.VirtualDisk:
    """Return a disk of `disk` on top of `base`, of whose capacity it is."""
    assert isinstance(device.backing, vim25.VirtualDiskFlatVer2BackingInfo), "disk() makes no other"
    parent = vim25.VirtualDiskFlatVer2BackingInfo(
        fileName=base, diskMode=vim25.VirtualDiskMode.persistent
    )
    backing = revised(device.backing, thinProvisioned=True, eagerlyScrub=None, parent=parent)
    return revised(device, capacityInKB=0, backing=backing)


def cdrom(file: str) -> vim25.VirtualDeviceConfigSpec:
    """Return the spec that adds a CD-ROM drive with an ISO image, `[ds] dir/name.iso`.

    It is the second drive of the first IDE controller: a root disk may be the first.
    """
    return add(
        vim25.VirtualCdrom(
            key=_CDROM_KEY,
            controllerKey=_IDE_KEY,
            unitNumber=1,
            backing=vim25.VirtualCdromIsoBackingInfo(fileName=file),
            connectable=vim25.VirtualDeviceConnectInfo(
                startConnected=True, allowGuestControl=True, connected=True
            ),
        )
    )
