"""Configuration files: a machine written as `.vmx`, and read back when it is registered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._vm.devices import DeviceList, generated_mac
from vimlib.simulator._vm.guests import full_name

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._storage.datastore import Datastore

_LINE = re.compile(r'^\s*([^=\s]+)\s*=\s*"(.*)"\s*$')
_ESCAPED = re.compile(r"\|([0-9A-Fa-f]{2})")

_SCSI = {
    "lsilogic": "VirtualLsiLogicController",
    "lsisas1068": "VirtualLsiLogicSASController",
    "buslogic": "VirtualBusLogicController",
    "pvscsi": "ParaVirtualSCSIController",
}
_NICS = {
    "vlance": "VirtualPCNet32",
    "e1000": "VirtualE1000",
    "e1000e": "VirtualE1000e",
    "vmxnet": "VirtualVmxnet",
    "vmxnet2": "VirtualVmxnet2",
    "vmxnet3": "VirtualVmxnet3",
}
# Keys that the configuration has as fields; all others are extra options.
_KNOWN = re.compile(
    r"(\.encoding|config\.version|virtualHW\.version|displayName|guestOS|memSize|numvcpus|cpuid\.coresPerSocket"
    r"|uuid\.bios|vc\.uuid|annotation|firmware|managedBy\.\w+|tools\.\w+|(scsi|ide|sata|nvme)\d+(:\d+)?\.\w+|ethernet\d+\.\w+)",
)


@dataclass(frozen=True)
class DiskInfo:
    """The values of a disk's descriptor."""

    file: str
    store: Datastore
    capacity: int
    thin: bool
    uuid: str
    parent: DiskInfo | None


def _backing(info: DiskInfo, mode: str) -> Any:
    return vim25.VirtualDiskFlatVer2BackingInfo(
        fileName=info.file,
        datastore=info.store.ref,
        diskMode=mode,
        split=False,
        writeThrough=False,
        thinProvisioned=info.thin,
        uuid=info.uuid,
        parent=_backing(info.parent, mode) if info.parent else None,
    )


class VmxError(Exception):
    """A file is not a machine's configuration."""


def _escape(text: str) -> str:
    return "".join(f"|{ord(c):02X}" if c in '"|\n\r' or ord(c) < 32 else c for c in text)


def render(config: Any) -> str:
    """Return a configuration as the text of a `.vmx` file."""
    lines = {
        ".encoding": "UTF-8",
        "config.version": "8",
        "virtualHW.version": str(int(config.version.removeprefix("vmx-"))),
        "displayName": config.name,
        "guestOS": config.guestId,
        "memSize": str(config.hardware.memoryMB),
        "numvcpus": str(config.hardware.numCPU),
        "cpuid.coresPerSocket": str(config.hardware.numCoresPerSocket or 1),
        "uuid.bios": config.uuid,
        "vc.uuid": config.instanceUuid or "",
        "annotation": config.annotation or "",
        "firmware": config.firmware or "bios",
    }
    if config.managedBy is not None:
        lines["managedBy.extensionKey"] = config.managedBy.extensionKey
        lines["managedBy.type"] = config.managedBy.type
    folder = _folder_of(config.files.vmPathName)
    _render_devices(config.hardware.device, lines, folder)
    lines.update({option.key: str(option.value) for option in config.extraConfig})
    return "".join(f'{key} = "{_escape(value)}"\n' for key, value in lines.items())


def _folder_of(path: str) -> str:
    """Return the part before a file's own name: `[ds] folder/`, or `[ds] ` at the root."""
    head, slash, _ = path.rpartition("/")
    return head + "/" if slash else path.partition("]")[0] + "] "


def _beside(file: str, folder: str) -> str:
    """Return a file's name for a configuration in `folder`: without a path if it is in that folder.

    Hosts do so, and the configuration stays valid when its folder is copied or its datastore renamed.
    """
    name = file.removeprefix(folder)
    return file if "/" in name else name


def _render_devices(devices: list[Any], lines: dict[str, str], folder: str) -> None:
    buses = {}
    scsi = {name: key for key, name in _SCSI.items()}
    nics = {name: key for key, name in _NICS.items()}
    number = 0
    for device in devices:
        name = type(device).__name__
        if isinstance(device, vim25.VirtualController):
            prefix = next(
                (
                    text
                    for cls, text in (
                        (vim25.VirtualSCSIController, "scsi"),
                        (vim25.VirtualIDEController, "ide"),
                        (vim25.VirtualSATAController, "sata"),
                        (vim25.VirtualNVMEController, "nvme"),
                    )
                    if isinstance(device, cls)
                ),
                None,
            )
            if prefix is None:
                continue
            buses[device.key] = f"{prefix}{device.busNumber}"
            if prefix != "ide":
                lines[f"{prefix}{device.busNumber}.present"] = "TRUE"
            if prefix == "scsi":
                lines[f"scsi{device.busNumber}.virtualDev"] = scsi.get(name, "lsilogic")
        elif (
            isinstance(device, (vim25.VirtualDisk, vim25.VirtualCdrom))
            and device.controllerKey in buses
        ):
            slot = f"{buses[device.controllerKey]}:{device.unitNumber}"
            lines[f"{slot}.present"] = "TRUE"
            file = getattr(device.backing, "fileName", "") or ""
            if isinstance(device, vim25.VirtualCdrom):
                lines[f"{slot}.fileName"] = file
                lines[f"{slot}.deviceType"] = "cdrom-image"
            else:
                lines[f"{slot}.fileName"] = _beside(file, folder)
                lines[f"{slot}.deviceType"] = "scsi-hardDisk"
                lines[f"{slot}.mode"] = getattr(device.backing, "diskMode", "persistent")
        elif isinstance(device, vim25.VirtualEthernetCard):
            slot = f"ethernet{number}"
            number += 1
            lines[f"{slot}.present"] = "TRUE"
            lines[f"{slot}.virtualDev"] = nics.get(name, "e1000")
            lines[f"{slot}.networkName"] = getattr(device.backing, "deviceName", "") or ""
            lines[f"{slot}.addressType"] = device.addressType or "generated"
            lines[f"{slot}.address"] = device.macAddress or ""


def parse(text: str) -> dict[str, str]:
    """Return the keys and values of a `.vmx` file. Raises `VmxError`."""
    values = {}
    # Not `splitlines`, which splits at more characters than the format.
    for line in text.split("\n"):
        match = _LINE.match(line)
        if match is not None:
            values[match[1]] = _ESCAPED.sub(lambda m: chr(int(m[1], 16)), match[2])
        elif line.strip() and not line.lstrip().startswith("#"):
            raise VmxError(f"invalid configuration line: {line[:40]!r}")
    if "config.version" not in values and "virtualHW.version" not in values:
        raise VmxError("not a configuration file")
    return values


def read_config(
    registry: Registry, base: Any, values: dict[str, str], disks: dict[str, DiskInfo]
) -> Any:
    """Return `base` with the values of a file; `disks` has the descriptor of each disk."""
    guest = values.get("guestOS", "otherGuest")
    hardware = replace(
        base.hardware,
        numCPU=_number(values, "numvcpus", 1),
        numCoresPerSocket=_number(values, "cpuid.coresPerSocket", 1),
        memoryMB=_number(values, "memSize", 32),
    )
    devices = DeviceList(hardware.device)
    folder = _folder_of(base.files.vmPathName)
    _read_devices(registry, devices, values, disks, folder)
    managed = None
    if "managedBy.extensionKey" in values:
        managed = vim25.ManagedByInfo(
            extensionKey=values["managedBy.extensionKey"], type=values.get("managedBy.type", "")
        )
    return replace(
        base,
        name=values.get("displayName") or base.name,
        guestId=guest,
        guestFullName=full_name(guest),
        version=f"vmx-{_number(values, 'virtualHW.version', 7):02d}",
        uuid=values.get("uuid.bios") or base.uuid,
        instanceUuid=values.get("vc.uuid") or base.instanceUuid,
        annotation=values.get("annotation", ""),
        firmware=values.get("firmware", "bios"),
        managedBy=managed,
        hardware=replace(hardware, device=devices.result()),
        extraConfig=[
            vim25.OptionValue(key=key, value=value)
            for key, value in values.items()
            if not _KNOWN.fullmatch(key)
        ],
    )


def _number(values: dict[str, str], key: str, default: int) -> int:
    try:
        return int(values.get(key, default))
    except ValueError:
        raise VmxError(f"{key} must be a number") from None


def _read_devices(
    registry: Registry,
    devices: DeviceList,
    values: dict[str, str],
    disks: dict[str, DiskInfo],
    folder: str,
) -> None:
    buses: dict[str, int] = {"ide0": 200, "ide1": 201}

    def mac() -> str:
        return generated_mac(registry.random.getrandbits(24))

    def present(slot: str) -> bool:
        return values.get(f"{slot}.present", "").upper() == "TRUE"

    for kind, default in (
        ("scsi", ""),
        ("sata", "VirtualAHCIController"),
        ("nvme", "VirtualNVMEController"),
    ):
        for bus in range(4):
            if present(f"{kind}{bus}"):
                name = default or _SCSI.get(
                    values.get(f"{kind}{bus}.virtualDev", "lsilogic"), "VirtualLsiLogicController"
                )
                cls = vim25.BINDING.find(name)
                assert cls is not None
                given = {"sharedBus": "noSharing"} if kind == "scsi" else {}
                buses[f"{kind}{bus}"] = devices.add(cls(key=-1, busNumber=bus, **given), 0, mac).key
    for bus_name, key in buses.items():
        for unit in range(30):
            slot = f"{bus_name}:{unit}"
            if not present(slot):
                continue
            file = values.get(f"{slot}.fileName", "")
            if values.get(f"{slot}.deviceType", "").startswith("cdrom"):
                device: Any = vim25.VirtualCdrom(
                    key=-1,
                    controllerKey=key,
                    unitNumber=unit,
                    backing=vim25.VirtualCdromIsoBackingInfo(fileName=file),
                )
            else:
                info = disks.get(file)
                shown = file if not file or file.startswith("[") else folder + file
                device = _disk(key, unit, shown, info, values.get(f"{slot}.mode", "persistent"))
            devices.add(device, 0, mac)
    for number in range(10):
        slot = f"ethernet{number}"
        if present(slot):
            cls = vim25.BINDING.find(
                _NICS.get(values.get(f"{slot}.virtualDev", "vlance"), "VirtualPCNet32")
            )
            assert cls is not None
            name = values.get(f"{slot}.networkName", "")
            network = registry.one(NetworkSystem).networks.get(name)
            devices.add(
                cls(
                    key=-1,
                    backing=vim25.VirtualEthernetCardNetworkBackingInfo(
                        deviceName=name, network=network.ref if network else None
                    ),
                    addressType=values.get(f"{slot}.addressType", "generated"),
                    macAddress=values.get(f"{slot}.address") or None,
                ),
                0,
                mac,
            )


def _disk(controller: int, unit: int, file: str, info: DiskInfo | None, mode: str) -> Any:
    size = info.capacity if info else 0
    return vim25.VirtualDisk(
        key=-1,
        controllerKey=controller,
        unitNumber=unit,
        capacityInKB=size // 1024,
        capacityInBytes=size,
        shares=vim25.SharesInfo(shares=1000, level="normal"),
        backing=_backing(info, mode)
        if info
        else vim25.VirtualDiskFlatVer2BackingInfo(fileName=file, diskMode=mode),
    )
