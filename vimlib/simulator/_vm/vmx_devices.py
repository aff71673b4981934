"""The devices of a `.vmx`.

Forms: published files of hosts (libvirt's `tests/vmx2xmldata/*-in-the-wild-*.vmx`), and what
libvirt's `src/vmx/vmx.c` reads and writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._vm.devices import DeviceList, generated_mac
from vimlib.simulator._vm.vmx_text import Values, VmxReader, flag

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._vm.vmx_files import DiskInfo, FileNames

_SCSI = {
    "lsilogic": "VirtualLsiLogicController",
    "lsisas1068": "VirtualLsiLogicSASController",
    "buslogic": "VirtualBusLogicController",
    "pvscsi": "ParaVirtualSCSIController",
}
_SCSI_NAMES = {name: key for key, name in _SCSI.items()}
_SHARING = {"none": "noSharing", "virtual": "virtualSharing", "physical": "physicalSharing"}
_SHARING_NAMES = {word: key for key, word in _SHARING.items()}
_NICS = {
    "vlance": "VirtualPCNet32",
    "e1000": "VirtualE1000",
    "e1000e": "VirtualE1000e",
    "vmxnet": "VirtualVmxnet",
    "vmxnet2": "VirtualVmxnet2",
    "vmxnet3": "VirtualVmxnet3",
}
_NIC_NAMES = {name: key for key, name in _NICS.items()}
_SOUND = {
    "sb16": "VirtualSoundBlaster16",
    "es1371": "VirtualEnsoniq1371",
    "hdaudio": "VirtualHdAudioCard",
}
_SOUND_NAMES = {name: key for key, name in _SOUND.items()}
# The API's word for the origin of a MAC address, and the file's.
_ADDRESSES = {"generated": "generated", "vpx": "assigned", "static": "manual"}
_ADDRESS_NAMES = {word: key for key, word in _ADDRESSES.items()}
# The controllers that hold drives: name in the file, class, buses, units of each.
_BUSES = (
    ("scsi", vim25.VirtualSCSIController, 4, 64),
    ("ide", vim25.VirtualIDEController, 2, 2),
    ("sata", vim25.VirtualSATAController, 4, 30),
    ("nvme", vim25.VirtualNVMEController, 4, 15),
)
# What hosts write for a drive of nothing.
_EMPTY = "emptyBackingString"


def _class(name: str) -> Any:
    found = vim25.BINDING.find(name)
    assert found is not None, name
    return found


def read_shares(text: str, normal: int) -> Any:
    """Return the shares of `normal`, `high`, `low` or a number."""
    level = text.lower() or "normal"
    share = {"low": normal // 2, "normal": normal, "high": normal * 2}.get(level)
    if share is not None:
        return vim25.SharesInfo(shares=share, level=level)
    number = int(level) if level.isdecimal() and len(level) < 9 else normal
    return vim25.SharesInfo(shares=number, level="custom")


def written_shares(shares: Any) -> str:
    """Return shares as the file has them."""
    return str(shares.shares) if shares.level == "custom" else str(shares.level)


class DeviceReader:
    """Adds the devices of a file to those that every machine has."""

    def __init__(
        self,
        registry: Registry,
        devices: DeviceList,
        reader: VmxReader,
        names: FileNames,
        disks: dict[str, DiskInfo],
    ) -> None:
        self.registry = registry
        self.devices = devices
        self.reader = reader
        self.names = names
        self.disks = disks

    def read(self) -> None:
        """Read all. Raises `VmxError`, and the fault of a host for a place that no device can have."""
        for kind, base, buses, units in _BUSES:
            for bus in range(buses):
                slot = f"{kind}{bus}"
                controller = 200 + bus if kind == "ide" else self._controller(kind, base, bus)
                if controller is None:
                    continue
                for unit in range(units):
                    if self._present(f"{slot}:{unit}"):
                        self._add(self._drive(f"{slot}:{unit}", controller, unit))
        for number in range(2):
            # `floppy0.present` absent means that there is one, of a machine that says anything of it.
            if self._present(f"floppy{number}", self.reader.names(f"floppy{number}.")):
                self._add(self._floppy(f"floppy{number}"), number)
        for number in range(32):
            if self._present(f"serial{number}"):
                self._add(self._serial(f"serial{number}"), number)
        for number in range(3):
            if self._present(f"parallel{number}"):
                self._add(self._parallel(f"parallel{number}"), number)
        for number in range(10):
            if self._present(f"ethernet{number}"):
                self._add(self._nic(f"ethernet{number}"), number)
        self._usb()
        if self._present("sound"):
            self._add(self._sound())
        self._fixed()

    def _present(self, slot: str, default: bool = False) -> bool:
        return self.reader.flag(f"{slot}.present", default)

    def _add(self, device: Any, number: int | None = None) -> Any:
        def mac() -> str:
            return generated_mac(self.registry.random.getrandbits(24))

        return self.devices.add(device, 0, mac, number)

    def _controller(self, kind: str, base: Any, bus: int) -> int | None:
        reader, slot = self.reader, f"{kind}{bus}"
        if not self._present(slot):
            return None
        if base is vim25.VirtualSCSIController:
            cls = _class(_SCSI.get(reader.text(f"{slot}.virtualDev").lower(), _SCSI["lsilogic"]))
            sharing = _SHARING.get(reader.text(f"{slot}.sharedBus").lower(), "noSharing")
            made = cls(key=-1, busNumber=bus, sharedBus=sharing)
        else:
            cls = vim25.VirtualNVMEController if kind == "nvme" else vim25.VirtualAHCIController
            made = cls(key=-1, busNumber=bus)
        return int(self._add(made).key)

    def _connectable(self, slot: str) -> Any:
        return vim25.VirtualDeviceConnectInfo(
            startConnected=self.reader.flag(f"{slot}.startConnected", True),
            allowGuestControl=self.reader.flag(f"{slot}.allowGuestConnectionControl", True),
            connected=False,
            status="untried",
        )

    def _file(self, slot: str) -> str:
        name = self.reader.text(f"{slot}.fileName")
        return "" if name == _EMPTY else name

    def _file_backing(self, cls: Any, name: str) -> Any:
        shown = self.names.shown(name)
        store = self.names.store(shown) if shown else None
        return cls(fileName=shown, datastore=store.ref if store else None)

    def _drive(self, slot: str, controller: int, unit: int) -> Any:
        kind = self.reader.text(f"{slot}.deviceType").lower()
        if "cdrom" in kind:
            return vim25.VirtualCdrom(
                key=-1,
                controllerKey=controller,
                unitNumber=unit,
                backing=self._cdrom(slot, kind),
                connectable=self._connectable(slot),
            )
        if kind == "scsi-passthru":
            return vim25.VirtualSCSIPassthrough(
                key=-1,
                controllerKey=controller,
                unitNumber=unit,
                backing=vim25.VirtualSCSIPassthroughDeviceBackingInfo(deviceName=self._file(slot)),
                connectable=self._connectable(slot),
            )
        return self._disk(slot, controller, unit)

    def _cdrom(self, slot: str, kind: str) -> Any:
        remote = self.reader.flag(f"{slot}.clientDevice")
        name = self._file(slot)
        auto = self.reader.flag(f"{slot}.autodetect", name == "auto detect")
        if kind == "cdrom-image":
            return self._file_backing(vim25.VirtualCdromIsoBackingInfo, name)
        if kind == "cdrom-raw":
            if remote:
                return vim25.VirtualCdromRemotePassthroughBackingInfo(
                    deviceName=name, useAutoDetect=auto, exclusive=False
                )
            return vim25.VirtualCdromPassthroughBackingInfo(
                deviceName=name, useAutoDetect=auto, exclusive=False
            )
        cls: Any = (
            vim25.VirtualCdromRemoteAtapiBackingInfo
            if remote
            else vim25.VirtualCdromAtapiBackingInfo
        )
        return cls(deviceName=name, useAutoDetect=auto)

    def _disk(self, slot: str, controller: int, unit: int) -> Any:
        reader = self.reader
        name = self._file(slot)
        mode = reader.text(f"{slot}.mode", "persistent").lower().replace("-", "_")
        through = reader.flag(f"{slot}.writeThrough")
        info = self.disks.get(name)
        cap = reader.text(f"sched.{slot}.throughputCap", "off")
        shares = read_shares(reader.text(f"sched.{slot}.shares"), 1000)
        size = info.capacity if info else 0
        backing = (
            _backing(info, mode, through)
            if info
            else vim25.VirtualDiskFlatVer2BackingInfo(
                fileName=self.names.shown(name), diskMode=mode, writeThrough=through
            )
        )
        return vim25.VirtualDisk(
            key=-1,
            controllerKey=controller,
            unitNumber=unit,
            capacityInKB=size // 1024,
            capacityInBytes=size,
            shares=shares,
            storageIOAllocation=vim25.StorageIOAllocationInfo(
                limit=int(cap) if cap.isdecimal() and len(cap) < 10 else -1, shares=shares
            ),
            backing=backing,
        )

    def _floppy(self, slot: str) -> Any:
        name = self._file(slot)
        backing: Any
        if self.reader.flag(f"{slot}.clientDevice"):
            backing = vim25.VirtualFloppyRemoteDeviceBackingInfo(deviceName="", useAutoDetect=False)
        elif self.reader.text(f"{slot}.fileType").lower() == "file":
            backing = self._file_backing(vim25.VirtualFloppyImageBackingInfo, name)
        else:
            auto = self.reader.flag(f"{slot}.autodetect")
            backing = vim25.VirtualFloppyDeviceBackingInfo(deviceName=name, useAutoDetect=auto)
        return vim25.VirtualFloppy(key=-1, backing=backing, connectable=self._connectable(slot))

    def _serial(self, slot: str) -> Any:
        reader, name = self.reader, self._file(slot)
        kind = reader.text(f"{slot}.fileType").lower()
        backing: Any
        if kind == "network" or "://" in name:
            backing = vim25.VirtualSerialPortURIBackingInfo(
                serviceURI=name,
                direction=reader.text(f"{slot}.network.endPoint", "server"),
                proxyURI=reader.given(f"{slot}.vspc"),
            )
        elif kind == "pipe":
            backing = vim25.VirtualSerialPortPipeBackingInfo(
                pipeName=name,
                endpoint=reader.text(f"{slot}.pipe.endPoint", "server"),
                noRxLoss=reader.flag(f"{slot}.tryNoRxLoss"),
            )
        elif kind == "file":
            backing = self._file_backing(vim25.VirtualSerialPortFileBackingInfo, name)
        else:
            auto = reader.flag(f"{slot}.autodetect")
            backing = vim25.VirtualSerialPortDeviceBackingInfo(deviceName=name, useAutoDetect=auto)
        return vim25.VirtualSerialPort(
            key=-1,
            backing=backing,
            connectable=self._connectable(slot),
            yieldOnPoll=reader.flag(f"{slot}.yieldOnMsrRead"),
        )

    def _parallel(self, slot: str) -> Any:
        name = self._file(slot)
        backing: Any
        if self.reader.text(f"{slot}.fileType").lower() == "file":
            backing = self._file_backing(vim25.VirtualParallelPortFileBackingInfo, name)
        else:
            auto = self.reader.flag(f"{slot}.autodetect")
            backing = vim25.VirtualParallelPortDeviceBackingInfo(
                deviceName=name, useAutoDetect=auto
            )
        return vim25.VirtualParallelPort(
            key=-1, backing=backing, connectable=self._connectable(slot)
        )

    def _nic(self, slot: str) -> Any:
        reader = self.reader
        model = reader.text(f"{slot}.virtualDev", "vlance").lower()
        if model == "vmxnet" and reader.text(f"{slot}.features") == "15":
            model = "vmxnet2"
        kind = _ADDRESSES.get(reader.text(f"{slot}.addressType", "generated").lower(), "generated")
        given, made = reader.given(f"{slot}.address"), reader.given(f"{slot}.generatedAddress")
        return _class(_NICS.get(model, "VirtualPCNet32"))(
            key=-1,
            backing=self._network(slot),
            connectable=self._connectable(slot),
            addressType=kind,
            macAddress=(given or made) if kind == "manual" else (made or given),
            wakeOnLanEnabled=reader.flag(f"{slot}.wakeOnPcktRcv", True),
            uptCompatibilityEnabled=reader.flag(f"{slot}.uptCompatibility") or None,
        )

    def _network(self, slot: str) -> Any:
        reader = self.reader
        name = reader.text(f"{slot}.networkName")
        switch = reader.given(f"{slot}.dvs.switchId")
        if switch is not None:
            connection = reader.text(f"{slot}.dvs.connectionId")
            return vim25.VirtualEthernetCardDistributedVirtualPortBackingInfo(
                port=vim25.DistributedVirtualSwitchPortConnection(
                    switchUuid=switch,
                    portgroupKey=reader.given(f"{slot}.dvs.portgroupId"),
                    portKey=reader.given(f"{slot}.dvs.portId"),
                    connectionCookie=int(connection)
                    if connection.isdecimal() and len(connection) < 10
                    else None,
                )
            )
        network = self.registry.one(NetworkSystem).networks.get(name)
        return vim25.VirtualEthernetCardNetworkBackingInfo(
            deviceName=name, useAutoDetect=False, network=network.ref if network else None
        )

    def _usb(self) -> None:
        ehci = self.reader.flag("ehci.present")
        if self._present("usb") or ehci:
            self._add(vim25.VirtualUSBController(key=-1, busNumber=0, ehciEnabled=ehci))
        if self._present("usb_xhci"):
            self._add(vim25.VirtualUSBXHCIController(key=-1, busNumber=0))

    def _sound(self) -> Any:
        model = self.reader.text("sound.virtualDev", "sb16").lower()
        name = self.reader.text("sound.fileName")
        return _class(_SOUND.get(model, _SOUND["sb16"]))(
            key=-1,
            backing=vim25.VirtualSoundCardDeviceBackingInfo(
                deviceName=name, useAutoDetect=self.reader.flag("sound.autodetect", name == "-1")
            ),
            connectable=self._connectable("sound"),
        )

    def _fixed(self) -> None:
        """Read the video card and the VMCI device, which every machine has."""
        reader = self.reader
        for device in tuple(self.devices.devices.values()):
            if isinstance(device, vim25.VirtualMachineVideoCard):
                device.videoRamSizeInKB = reader.number("svga.vramSize", 4096 << 10) >> 10
                device.useAutoDetect = reader.flag("svga.autodetect")
                device.numDisplays = reader.number("svga.numDisplays", 1, least=1)
                device.enable3DSupport = reader.flag("mks.enable3d")
            elif isinstance(device, vim25.VirtualMachineVMCIDevice):
                reader.flag("vmci0.present")
                text = reader.text("vmci0.id")
                device.id = int(text) if text.lstrip("-").isdecimal() and len(text) < 12 else -1
                device.allowUnrestrictedCommunication = reader.flag("vmci0.unrestricted")


def _backing(info: DiskInfo, mode: str, through: bool) -> Any:
    return vim25.VirtualDiskFlatVer2BackingInfo(
        fileName=info.file,
        datastore=info.store.ref,
        diskMode=mode,
        split=False,
        writeThrough=through,
        thinProvisioned=info.thin,
        uuid=info.uuid,
        parent=_backing(info.parent, mode, through) if info.parent else None,
    )


class DeviceWriter:
    """Writes devices as hosts do."""

    def __init__(self, lines: Values, names: FileNames) -> None:
        self.lines = lines
        self.names = names
        self._buses: dict[int, str] = {}

    def write(self, devices: list[Any]) -> None:
        """Write all."""
        for device in devices:
            if isinstance(device, vim25.VirtualController):
                self._controller(device)
        for device in devices:
            self._device(device)
        if "floppy0.present" not in self.lines:
            self.lines["floppy0.present"] = "FALSE"

    def _controller(self, device: Any) -> None:
        lines, bus = self.lines, device.busNumber
        for kind, cls, _, _ in _BUSES:
            if isinstance(device, cls):
                slot = self._buses[device.key] = f"{kind}{bus}"
                if isinstance(device, vim25.VirtualSCSIController):
                    name = type(device).__name__
                    lines[f"{slot}.virtualDev"] = _SCSI_NAMES.get(name, "lsilogic")
                    lines[f"{slot}.sharedBus"] = _SHARING_NAMES.get(device.sharedBus, "none")
                if kind != "ide":
                    lines[f"{slot}.present"] = "TRUE"
                return
        if isinstance(device, vim25.VirtualUSBXHCIController):
            lines["usb_xhci.present"] = "TRUE"
        elif isinstance(device, vim25.VirtualUSBController):
            lines["usb.present"] = "TRUE"
            if device.ehciEnabled:
                lines["ehci.present"] = "TRUE"

    def _device(self, device: Any) -> None:
        if isinstance(device, vim25.VirtualEthernetCard):
            self._nic(f"ethernet{device.key - 4000}", device)
        elif device.controllerKey in self._buses:
            self._drive(f"{self._buses[device.controllerKey]}:{device.unitNumber}", device)
        elif isinstance(device, vim25.VirtualFloppy):
            self._floppy(f"floppy{device.key - 8000}", device)
        elif isinstance(device, vim25.VirtualSerialPort):
            self._serial(f"serial{device.key - 9000}", device)
        elif isinstance(device, vim25.VirtualParallelPort):
            self._port(
                f"parallel{device.key - 10000}", device, vim25.VirtualParallelPortFileBackingInfo
            )
        elif isinstance(device, vim25.VirtualSoundCard):
            self.lines["sound.virtualDev"] = _SOUND_NAMES.get(type(device).__name__, "sb16")
            self.lines["sound.fileName"] = getattr(device.backing, "deviceName", "")
            self.lines["sound.autodetect"] = flag(getattr(device.backing, "useAutoDetect", False))
            self._present("sound", device)
        elif isinstance(device, vim25.VirtualMachineVideoCard):
            self._video(device)
        elif isinstance(device, vim25.VirtualMachineVMCIDevice):
            self.lines["vmci0.present"] = "TRUE"
            if device.id not in (None, -1):
                self.lines["vmci0.id"] = str(device.id)
            if device.allowUnrestrictedCommunication:
                self.lines["vmci0.unrestricted"] = "TRUE"

    def _present(self, slot: str, device: Any) -> None:
        connect = device.connectable
        if connect is not None and not connect.startConnected:
            self.lines[f"{slot}.startConnected"] = "FALSE"
        if connect is not None and not connect.allowGuestControl:
            self.lines[f"{slot}.allowGuestConnectionControl"] = "FALSE"
        self.lines[f"{slot}.present"] = "TRUE"

    def _drive(self, slot: str, device: Any) -> None:
        lines, backing = self.lines, device.backing
        file = getattr(backing, "fileName", "") or ""
        if isinstance(device, vim25.VirtualCdrom):
            self._cdrom(slot, backing)
        elif isinstance(device, vim25.VirtualSCSIPassthrough):
            lines[f"{slot}.deviceType"] = "scsi-passthru"
            lines[f"{slot}.fileName"] = getattr(backing, "deviceName", "")
        else:
            kind = {"scsi": "scsi-hardDisk", "ide": "ata-hardDisk"}.get(slot.rstrip("0123456789:"))
            if kind is not None:
                lines[f"{slot}.deviceType"] = kind
            lines[f"{slot}.fileName"] = self.names.written(file)
            mode = getattr(backing, "diskMode", "persistent")
            if mode != "persistent":
                lines[f"{slot}.mode"] = mode.replace("_", "-")
            if getattr(backing, "writeThrough", False):
                lines[f"{slot}.writeThrough"] = "TRUE"
            # `shares` is the older place of the same value.
            given = getattr(device.storageIOAllocation, "shares", None) or device.shares
            if given is not None:
                lines[f"sched.{slot}.shares"] = written_shares(given)
            limit = device.storageIOAllocation.limit if device.storageIOAllocation else -1
            if given is not None:
                lines[f"sched.{slot}.throughputCap"] = "off" if limit in (None, -1) else str(limit)
        self._present(slot, device)

    def _cdrom(self, slot: str, backing: Any) -> None:
        lines = self.lines
        if isinstance(backing, vim25.VirtualCdromIsoBackingInfo):
            lines[f"{slot}.deviceType"] = "cdrom-image"
            lines[f"{slot}.fileName"] = self.names.written(backing.fileName) or _EMPTY
            return
        raw = isinstance(
            backing,
            vim25.VirtualCdromPassthroughBackingInfo
            | vim25.VirtualCdromRemotePassthroughBackingInfo,
        )
        lines[f"{slot}.deviceType"] = "cdrom-raw" if raw else "atapi-cdrom"
        lines[f"{slot}.fileName"] = getattr(backing, "deviceName", "") or _EMPTY
        if isinstance(backing, vim25.VirtualDeviceRemoteDeviceBackingInfo):
            lines[f"{slot}.clientDevice"] = "TRUE"
        if getattr(backing, "useAutoDetect", False):
            lines[f"{slot}.autodetect"] = "TRUE"

    def _floppy(self, slot: str, device: Any) -> None:
        if isinstance(device.backing, vim25.VirtualFloppyRemoteDeviceBackingInfo):
            self.lines[f"{slot}.clientDevice"] = "TRUE"
            self.lines[f"{slot}.fileName"] = "vmware-null-remote-floppy"
            self._present(slot, device)
        else:
            self._port(slot, device, vim25.VirtualFloppyImageBackingInfo)

    def _serial(self, slot: str, device: Any) -> None:
        lines, backing = self.lines, device.backing
        if device.yieldOnPoll:
            lines[f"{slot}.yieldOnMsrRead"] = "TRUE"
        if isinstance(backing, vim25.VirtualSerialPortURIBackingInfo):
            lines[f"{slot}.fileType"] = "network"
            lines[f"{slot}.fileName"] = backing.serviceURI
            lines[f"{slot}.network.endPoint"] = backing.direction
            if backing.proxyURI:
                lines[f"{slot}.vspc"] = backing.proxyURI
            self._present(slot, device)
        elif isinstance(backing, vim25.VirtualSerialPortPipeBackingInfo):
            lines[f"{slot}.fileType"] = "pipe"
            lines[f"{slot}.fileName"] = backing.pipeName
            lines[f"{slot}.pipe.endPoint"] = backing.endpoint
            lines[f"{slot}.tryNoRxLoss"] = flag(backing.noRxLoss)
            self._present(slot, device)
        else:
            self._port(slot, device, vim25.VirtualSerialPortFileBackingInfo)

    def _port(self, slot: str, device: Any, file: Any) -> None:
        """Write a floppy or port that is a file or a device of the host."""
        backing = device.backing
        if isinstance(backing, file):
            self.lines[f"{slot}.fileType"] = "file"
            self.lines[f"{slot}.fileName"] = self.names.written(backing.fileName)
        else:
            self.lines[f"{slot}.fileType"] = "device"
            self.lines[f"{slot}.fileName"] = getattr(backing, "deviceName", "")
            if getattr(backing, "useAutoDetect", False):
                self.lines[f"{slot}.autodetect"] = "TRUE"
        self._present(slot, device)

    def _nic(self, slot: str, device: Any) -> None:
        lines, backing = self.lines, device.backing
        model = _NIC_NAMES.get(type(device).__name__, "e1000")
        if model == "vmxnet2":  # the file has no such name
            model = "vmxnet"
            lines[f"{slot}.features"] = "15"
        if model != "vlance":  # what an absent one means: the flexible adapter
            lines[f"{slot}.virtualDev"] = model
        if isinstance(backing, vim25.VirtualEthernetCardDistributedVirtualPortBackingInfo):
            port = backing.port
            for key, value in (
                ("switchId", port.switchUuid),
                ("portgroupId", port.portgroupKey),
                ("portId", port.portKey),
                ("connectionId", port.connectionCookie),
            ):
                if value is not None:
                    lines[f"{slot}.dvs.{key}"] = str(value)
        else:
            lines[f"{slot}.networkName"] = getattr(backing, "deviceName", "") or ""
        kind = _ADDRESS_NAMES.get(device.addressType, "generated")
        lines[f"{slot}.addressType"] = kind
        if device.macAddress:
            lines[f"{slot}.{'address' if kind == 'static' else 'generatedAddress'}"] = (
                device.macAddress
            )
        if device.wakeOnLanEnabled is False:
            lines[f"{slot}.wakeOnPcktRcv"] = "FALSE"
        if device.uptCompatibilityEnabled:
            lines[f"{slot}.uptCompatibility"] = "TRUE"
        self._present(slot, device)

    def _video(self, device: Any) -> None:
        self.lines["svga.vramSize"] = str((device.videoRamSizeInKB or 4096) << 10)
        if device.useAutoDetect:
            self.lines["svga.autodetect"] = "TRUE"
        if device.numDisplays not in (None, 1):
            self.lines["svga.numDisplays"] = str(device.numDisplays)
        if device.enable3DSupport:
            self.lines["mks.enable3d"] = "TRUE"
