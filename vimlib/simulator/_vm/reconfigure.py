"""Applies a `VirtualMachineConfigSpec` to a machine: fields, extra options, devices and their files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.messages import invalid_argument, with_message
from vimlib.simulator._host.host_system import HostSystem
from vimlib.simulator._host.network import NetworkSystem
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import Datastore, already_exists, by_name, find_path
from vimlib.simulator._storage.disks import disk_fault, disk_paths, disk_uuid
from vimlib.simulator._vm.devices import (
    DeviceList,
    bad_device,
    default_devices,
    generated_mac,
    revised,
)
from vimlib.simulator._vm.guests import full_name, is_known
from vimlib.simulator._vm.hardware import hardware_of
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry

# Fields of the spec that are copied to the configuration.
_SAME = (
    "guestId alternateGuestName annotation swapPlacement firmware nestedHVEnabled vPMCEnabled managedBy "
    "memoryHotAddEnabled cpuHotAddEnabled cpuHotRemoveEnabled changeTrackingEnabled maxMksConnections "
    "guestAutoLockEnabled memoryReservationLockedToMax latencySensitivity locationId messageBusTunnelEnabled "
    "migrateEncryption ftEncryptionMode sevEnabled vAssertsEnabled createDate cpuAffinity memoryAffinity "
    "networkShaper consolePreferences"
).split()
# Fields that are objects, whose given parts replace the current ones.
_MERGED = {
    "tools": "tools",
    "flags": "flags",
    "powerOpInfo": "defaultPowerOps",
    "bootOptions": "bootOptions",
    "cpuAllocation": "cpuAllocation",
    "memoryAllocation": "memoryAllocation",
}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_name(name: str) -> None:
    """Raise `InvalidName` for an invalid name of an entity."""
    if not name or len(name) > 80 or any(ord(char) < 32 for char in name):
        raise with_message(vim25.InvalidName(name=name))


def _shares(amount: int) -> Any:
    return vim25.ResourceAllocationInfo(
        reservation=0,
        expandableReservation=False,
        limit=-1,
        shares=vim25.SharesInfo(shares=amount, level="normal"),
        overheadLimit=None,
    )


def _default_flags() -> Any:
    """Return the flags of a new machine."""
    return vim25.VirtualMachineFlagInfo(
        disableAcceleration=False,
        enableLogging=True,
        useToe=False,
        runWithDebugInfo=False,
        monitorType="release",
        htSharing="any",
        snapshotDisabled=False,
        snapshotLocked=False,
        diskUuidEnabled=False,
        virtualMmuUsage="automatic",
        virtualExecUsage="hvAuto",
        snapshotPowerOffBehavior="powerOff",
        recordReplayEnabled=False,
    )


def _default_power_operations() -> Any:
    """Return what power verbs without a type do to a new machine."""
    return vim25.VirtualMachineDefaultPowerOpInfo(
        powerOffType="soft",
        suspendType="hard",
        resetType="soft",
        defaultPowerOffType="soft",
        defaultSuspendType="hard",
        defaultResetType="soft",
        standbyAction="checkpoint",
    )


def _hidden_options(stem: str, hardware: str) -> list[Any]:
    """Return the extra options of a new machine: keys of its `.vmx` for which the API has no field.

    Recorded of an ESX 4.1 (`resources/esx-4.1.0-1` of fusioninventory-agent) and, for `svga` and `hpet0`,
    in published files of newer hosts (libvirt's `tests/vmx2xmldata/*-in-the-wild-*.vmx`).
    """
    pairs = {"nvram": f"{stem}.nvram"}
    if hardware >= "vmx-07":
        pairs["pciBridge0.present"] = "TRUE"
        pairs["svga.present"] = "TRUE"
        for number in range(4, 8):
            bridge = f"pciBridge{number}"
            pairs[f"{bridge}.present"] = "TRUE"
            pairs[f"{bridge}.virtualDev"] = "pcieRootPort"
            pairs[f"{bridge}.functions"] = "8"
    if hardware >= "vmx-08":
        pairs["hpet0.present"] = "TRUE"
    return [vim25.OptionValue(key=key, value=value) for key, value in pairs.items()]


def blank_config(registry: Registry, name: str, path: str) -> Any:
    """Return the default configuration of a machine with a name and a path."""
    uuid = "564d" + registry.new_uuid()[4:]
    folder = path.rpartition("/")[0]
    stem = path.rpartition("/")[2].rpartition("] ")[2].removesuffix(".vmx")
    return vim25.VirtualMachineConfigInfo(
        changeVersion="1",
        modified=registry.clock.now(),
        name=name,
        guestFullName=full_name("otherGuest", registry.version),
        version=registry.release.hardware,
        uuid=uuid,
        createDate=registry.clock.now(),
        instanceUuid="52" + registry.new_uuid()[2:],
        locationId=uuid,
        template=False,
        guestId="otherGuest",
        alternateGuestName="",
        annotation="",
        files=vim25.VirtualMachineFileInfo(
            vmPathName=path,
            snapshotDirectory=folder + "/",
            suspendDirectory=folder + "/",
            logDirectory=folder + "/",
        ),
        tools=vim25.ToolsConfigInfo(
            toolsVersion=0,
            afterPowerOn=True,
            afterResume=True,
            beforeGuestStandby=True,
            beforeGuestShutdown=True,
            toolsUpgradePolicy="manual",
            syncTimeWithHost=False,
            # Hosts since 5.0 have it before tools were ever installed; community.vmware reads it so.
            lastInstallInfo=vim25.ToolsConfigInfoToolsLastInstallInfo(counter=0),
        ),
        flags=_default_flags(),
        defaultPowerOps=_default_power_operations(),
        hardware=vim25.VirtualHardware(
            numCPU=1,
            numCoresPerSocket=1,
            memoryMB=128,
            virtualICH7MPresent=False,
            virtualSMCPresent=False,
            device=default_devices(),
        ),
        cpuAllocation=_shares(1000),
        memoryAllocation=_shares(1280),
        memoryHotAddEnabled=False,
        cpuHotAddEnabled=False,
        cpuHotRemoveEnabled=False,
        extraConfig=_hidden_options(stem, registry.release.hardware),
        swapPlacement="inherit",
        bootOptions=vim25.VirtualMachineBootOptions(
            bootDelay=0, enterBIOSSetup=False, bootRetryEnabled=False, bootRetryDelay=10000
        ),
        vAssertsEnabled=False,
        changeTrackingEnabled=False,
        firmware="bios",
        maxMksConnections=40,
        guestAutoLockEnabled=False,
        memoryReservationLockedToMax=False,
        nestedHVEnabled=False,
        vPMCEnabled=False,
    )


class ConfigChange:
    """A spec applied to a configuration: first all checks and values, then the files."""

    def __init__(
        self,
        registry: Registry,
        config: Any,
        spec: Any,
        *,
        machine: VirtualMachine | None,
        running: bool = False,
    ) -> None:
        self.registry = registry
        self.config = config
        self.spec = spec
        self.machine = machine
        self.running = running
        self.devices = DeviceList(config.hardware.device, wide=config.version >= "vmx-14")
        name, _, self.vmx = config.files.vmPathName[1:].partition("]")
        self.vmx = self.vmx.strip()
        self.store = by_name(registry)[name]
        self.made: list[tuple[Datastore, str]] = []
        """Disks that were made, to be undone if a later part fails."""
        self.doomed: list[tuple[Datastore, str]] = []
        """Disks to delete once all else went well."""

    async def apply(self) -> Any:
        """Return the new configuration. Raises the fault of a host, without leaving a new file behind."""
        config = self._values()
        try:
            for index, change in enumerate(self.spec.deviceChange):
                await self._device(change, index)
        except BaseException:
            for store, path in self.made:
                await store.work(vmdk.delete, store.local(path), touched=disk_paths(store, path))
            raise
        for store, path in self.doomed:
            try:
                await store.work(vmdk.delete, store.local(path), touched=disk_paths(store, path))
            except OSError as error:
                raise disk_fault(error, store.shown(path)) from None
        hardware = replace(config.hardware, device=self.devices.result())
        return replace(
            config,
            hardware=hardware,
            changeVersion=str(int(config.changeVersion) + 1),
            modified=self.registry.clock.now(),
        )

    def _values(self) -> Any:
        spec, config = self.spec, self.config
        if (
            spec.changeVersion
            and self.machine is not None
            and spec.changeVersion != config.changeVersion
        ):
            raise with_message(
                vim25.ConcurrentAccess(), "The resource was modified by another operation."
            )
        given: dict[str, Any] = {
            name: getattr(spec, name) for name in _SAME if getattr(spec, name, None) is not None
        }
        if spec.guestId is not None:
            if not is_known(spec.guestId, self.registry.version):
                raise invalid_argument("configSpec.guestId")
            given["guestFullName"] = full_name(spec.guestId, self.registry.version)
        if spec.name is not None:
            check_name(spec.name)
            given["name"] = spec.name
        if spec.version:
            if spec.version not in hardware_of(self.registry.release):
                raise with_message(
                    vim25.VirtualHardwareVersionNotSupported(
                        hostName=self.registry.one(HostSystem).name,
                        host=self.registry.one(HostSystem).ref,
                    ),
                    f"Virtual hardware version {spec.version} is not supported by the host.",
                )
            given["version"] = spec.version
        for field in ("uuid", "instanceUuid"):
            value = getattr(spec, field)
            if value:
                if not _UUID.fullmatch(value.lower()):
                    raise invalid_argument(f"configSpec.{field}")
                given[field] = value.lower()
        for field, target in _MERGED.items():
            value = getattr(spec, field, None)
            if value is not None:
                given[target] = merge(getattr(config, target), value)
        given["hardware"] = self._hardware()
        if spec.extraConfig:
            given["extraConfig"] = _options(config.extraConfig, spec.extraConfig)
        return replace(config, **given)

    def _hardware(self) -> Any:
        spec, hardware = self.spec, self.config.hardware
        given: dict[str, Any] = {}
        shape = self.registry.one(HostSystem).shape
        if spec.numCPUs is not None:
            if not 1 <= spec.numCPUs <= shape.threads:
                raise invalid_argument("configSpec.numCPUs")
            self._cold(
                spec.numCPUs != hardware.numCPU
                and not (self.config.cpuHotAddEnabled and spec.numCPUs > hardware.numCPU)
            )
            given["numCPU"] = spec.numCPUs
        if spec.numCoresPerSocket is not None:
            cpus = given.get("numCPU", hardware.numCPU)
            if spec.numCoresPerSocket and cpus % spec.numCoresPerSocket:
                raise invalid_argument("configSpec.numCoresPerSocket")
            given["numCoresPerSocket"] = spec.numCoresPerSocket or 1
        if spec.memoryMB is not None:
            # Memory that is not a multiple of four is accepted, and refused at power-on.
            if not 0 < spec.memoryMB <= 6 << 20:
                raise invalid_argument("configSpec.memoryMB")
            self._cold(
                spec.memoryMB != hardware.memoryMB
                and not (self.config.memoryHotAddEnabled and spec.memoryMB > hardware.memoryMB)
            )
            given["memoryMB"] = spec.memoryMB
        for field in ("virtualICH7MPresent", "virtualSMCPresent"):
            if getattr(spec, field) is not None:
                given[field] = getattr(spec, field)
        return replace(hardware, **given)

    def _cold(self, needed: bool) -> None:
        if needed and self.running:
            raise with_message(
                vim25.InvalidPowerState(requestedState="poweredOff", existingState="poweredOn"),
                "The attempted operation cannot be performed in the current state (Powered on).",
            )

    async def _device(self, change: Any, index: int) -> None:
        device, operation = change.device, change.operation
        if operation == "add":
            await self._add(change, device, index)
        elif operation == "edit":
            await self._edit(device, index)
        elif operation == "remove":
            await self._remove(change, device, index)
        else:
            raise bad_device(index, "", vim25.InvalidDeviceOperation, badOp=operation)

    async def _add(self, change: Any, device: Any, index: int) -> None:
        if isinstance(device, vim25.VirtualEthernetCard):
            device = revised(device, backing=self._network(device.backing, index))
            if self.running:
                connect = device.connectable or vim25.VirtualDeviceConnectInfo(
                    startConnected=True, allowGuestControl=True, connected=True
                )
                device = revised(
                    device, connectable=revised(connect, connected=connect.startConnected)
                )
        if isinstance(device, vim25.VirtualDisk):
            self.devices.controller(device, index)  # refused before a file is made
            if self.running and isinstance(
                self.devices.controller(device, index), vim25.VirtualIDEController
            ):
                self._cold(True)
            device = await self._disk(change, device, index)
        else:
            device = await self._file_backed(device)
        self.devices.add(device, index, lambda: generated_mac(self.registry.random.getrandbits(24)))

    async def _edit(self, device: Any, index: int) -> None:
        old, new = self.devices.edit(device, index)
        if isinstance(new, vim25.VirtualEthernetCard) and new.backing != old.backing:
            backing = self._network(new.backing, index)
            info = vim25.Description(label=old.deviceInfo.label, summary=backing.deviceName)
            new = revised(new, backing=backing, deviceInfo=info)
        if isinstance(new, vim25.VirtualDisk):
            new = await self._grow(old, new, index)
        else:
            new = await self._file_backed(new)
        self.devices.put(new)

    async def _grow(self, old: Any, new: Any, index: int) -> Any:
        wanted = (
            new.capacityInBytes
            if new.capacityInBytes not in (None, old.capacityInBytes)
            else new.capacityInKB * 1024
        )
        before = old.capacityInKB * 1024
        if wanted < before:
            raise bad_device(index, ".capacityInKB", vim25.InvalidDeviceOperation, badOp="edit")
        if wanted > before:
            if self.machine is not None and self.machine.snapshots:
                raise bad_device(index, ".capacityInKB", vim25.InvalidDeviceOperation, badOp="edit")
            store, path = find_path(self.registry, old.backing.fileName)
            if not old.backing.thinProvisioned:
                store.require(wanted - before)
            try:
                await store.work(
                    vmdk.extend, store.local(path), wanted, touched=disk_paths(store, path)
                )
            except (OSError, vmdk.DiskError) as error:
                raise disk_fault(error, old.backing.fileName) from None
        return replace(
            new,
            capacityInKB=wanted // 1024,
            capacityInBytes=wanted,
            backing=merge(old.backing, new.backing),
        )

    async def _remove(self, change: Any, device: Any, index: int) -> None:
        found: Any = self.devices.drop(device.key, index)
        if isinstance(found, vim25.VirtualDisk):
            if self.running and found.controllerKey in (200, 201):
                self._cold(True)
            if change.fileOperation == "destroy":
                self.doomed.append(find_path(self.registry, _file_of(found)))
            elif change.fileOperation is not None:
                raise bad_device(
                    index, "", vim25.InvalidDeviceOperation, badFileOp=change.fileOperation
                )

    def _network(self, backing: Any, index: int) -> Any:
        if not isinstance(backing, vim25.VirtualEthernetCardNetworkBackingInfo):
            raise bad_device(index, ".backing", vim25.InvalidDeviceBacking)
        network = self.registry.one(NetworkSystem).networks.get(backing.deviceName)
        if network is None:
            raise bad_device(index, ".backing.deviceName", vim25.InvalidDeviceBacking)
        return revised(backing, network=network.ref, useAutoDetect=False)

    async def _file_backed(self, device: Any) -> Any:
        """Return a drive or port with the datastore of its file.

        A machine that is off takes an ISO that is absent, and starts without it: "the CD-ROM will be
        added but will not connect to the media" (vmware/packer-plugin-vsphere#453).
        """
        backing = device.backing
        if not isinstance(backing, vim25.VirtualDeviceFileBackingInfo) or not backing.fileName:
            return device
        store, path = find_path(self.registry, backing.fileName)
        wanted = device.connectable is None or device.connectable.connected
        needed = self.running and wanted and isinstance(device, vim25.VirtualCdrom)
        if needed and not await self.registry.io(store.local(path).is_file):
            raise with_message(vim25.FileNotFound(file=backing.fileName))
        return revised(device, backing=revised(backing, datastore=store.ref))

    async def _disk(self, change: Any, device: Any, index: int) -> Any:
        backing = device.backing
        if not isinstance(backing, vim25.VirtualDeviceFileBackingInfo):
            raise bad_device(index, ".backing", vim25.InvalidDeviceBacking)
        if change.fileOperation == "create":
            return await self._new_disk(device, index)
        if change.fileOperation == "replace":
            raise bad_device(index, "", vim25.InvalidDeviceOperation, badFileOp="replace")
        store, path = find_path(self.registry, backing.fileName)
        for other in self.registry.all(VirtualMachine).values():
            if (
                other is not self.machine
                and other.power == "poweredOn"
                and (store, path) in other.disk_files()
            ):
                raise with_message(vim25.FileLocked(file=backing.fileName))
        try:
            disk = await self.registry.io(vmdk.load, store.local(path))
        except (OSError, vmdk.DiskError) as error:
            raise disk_fault(error, store.shown(path)) from None
        return replace(
            device,
            backing=await self._flat(backing, store, path, thin=disk.thin, uuid=disk.uuid),
            capacityInKB=disk.capacity // 1024,
            capacityInBytes=disk.capacity,
            shares=device.shares or vim25.SharesInfo(shares=1000, level="normal"),
        )

    async def _new_disk(self, device: Any, index: int) -> Any:
        backing = device.backing
        parent = getattr(backing, "parent", None)
        capacity = device.capacityInBytes or device.capacityInKB * 1024
        if parent is None and not 0 < capacity <= 62 << 40:
            raise bad_device(index, ".capacityInKB")
        store, path = self._place(backing, index)
        thin = bool(getattr(backing, "thinProvisioned", False))
        if not thin and parent is None:
            store.require(capacity)
        uuid = disk_uuid("6000C29" + self.registry.new_uuid().replace("-", "")[7:])
        controller = self.devices.controller(device, index)
        adapter = (
            "ide"
            if isinstance(controller, vim25.VirtualIDEController)
            else "buslogic"
            if isinstance(controller, vim25.VirtualBusLogicController)
            else "lsilogic"
        )
        try:
            if parent is not None:
                other, parent_path = find_path(self.registry, parent.fileName)
                base = await self.registry.io(vmdk.verify, other.local(parent_path))
                disk = await store.work(
                    vmdk.create_delta,
                    store.local(path),
                    base,
                    uuid,
                    touched=disk_paths(store, path),
                )
            else:
                place = store.local(path)
                disk = await store.work(
                    lambda: vmdk.create(place, capacity, adapter=adapter, thin=thin, uuid=uuid),
                    touched=disk_paths(store, path),
                )
        except FileExistsError:
            raise already_exists(store.shown(path)) from None
        except (OSError, vmdk.DiskError) as error:
            raise disk_fault(error, store.shown(path)) from None
        self.made.append((store, path))
        return replace(
            device,
            backing=await self._flat(backing, store, path, thin=thin, uuid=uuid),
            capacityInKB=disk.capacity // 1024,
            capacityInBytes=disk.capacity,
            shares=device.shares or vim25.SharesInfo(shares=1000, level="normal"),
        )

    def _place(self, backing: Any, index: int) -> tuple[Datastore, str]:
        """Return the path of a new disk: the given one, or a free name in the machine's folder."""
        text = (backing.fileName or "").strip()
        store, path = self.store, ""
        if text:
            store, path = find_path(self.registry, text)
        elif backing.datastore is not None:
            store = self.registry.find(backing.datastore)
        if path.endswith(".vmdk"):
            return store, path
        stem = self.vmx.removesuffix(".vmx")
        number = 0
        while True:
            path = f"{stem}.vmdk" if not number else f"{stem}_{number}.vmdk"
            if not store.local(path).exists():
                return store, path
            number += 1

    async def _flat(
        self, backing: Any, store: Datastore, path: str, *, thin: bool, uuid: str
    ) -> Any:
        given = backing if isinstance(backing, vim25.VirtualDiskFlatVer2BackingInfo) else None
        return vim25.VirtualDiskFlatVer2BackingInfo(
            fileName=store.shown(path),
            datastore=store.ref,
            diskMode=getattr(backing, "diskMode", None) or "persistent",
            split=False,
            writeThrough=bool(given.writeThrough) if given else False,
            thinProvisioned=thin,
            eagerlyScrub=given.eagerlyScrub if given else None,
            uuid=plain_uuid(uuid),
            contentId=self.registry.new_uuid().replace("-", ""),
            parent=await self._parent(store, path),
            digestEnabled=False,
            sharing="sharingNone",
        )

    async def _parent(self, store: Datastore, path: str) -> Any:
        """Return the chain of disks that a disk stands on, as its descriptor has it."""
        like = vim25.VirtualDiskFlatVer2BackingInfo(fileName="", diskMode="persistent")
        try:
            return (await backing_of(self.registry, store, path, like)).parent
        except (OSError, vmdk.DiskError):
            return None


async def backing_of(
    registry: Registry, store: Datastore, path: str, like: Any, depth: int = 0
) -> Any:
    """Return the backing of a disk with its chain of parents, from its descriptors."""
    disk = await registry.io(vmdk.load, store.local(path))
    parent = None
    if disk.parent:
        if depth >= vmdk.DEEPEST:
            raise vmdk.DiskError(f"{disk.path.name} has too long a chain of parents")
        above = store.relative(vmdk.parent_of(disk))
        parent = await backing_of(registry, store, above, like, depth + 1)
    return revised(
        like,
        fileName=store.shown(path),
        datastore=store.ref,
        uuid=plain_uuid(disk.uuid),
        thinProvisioned=disk.thin,
        parent=parent,
    )


def _file_of(device: Any) -> str:
    name: str = device.backing.fileName
    return name


def plain_uuid(text: str) -> str:
    """Return the UUID that a descriptor writes in pairs in the usual form."""
    digits = text.replace(" ", "").replace("-", "").lower()
    return (
        f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        if len(digits) == 32
        else text
    )


def merge(old: Any, new: Any) -> Any:
    """Return `old` with the fields that `new` sets."""
    if old is None or not isinstance(new, type(old)):
        return new
    given = {
        name: value
        for name in new.__struct_fields__
        if (value := getattr(new, name)) is not None and value != []
    }
    return replace(old, **given)


def _options(old: list[Any], changes: list[Any]) -> list[Any]:
    """Return extra options with changes applied; an empty value removes one."""
    found = {option.key: option for option in old}
    for option in changes:
        value = getattr(option.value, "value", option.value)
        if not option.key:
            raise invalid_argument("configSpec.extraConfig")
        if value is None or value == "":
            found.pop(option.key, None)
        else:
            # A .vmx file has text only.
            text = (
                value
                if isinstance(value, str)
                else ("TRUE" if value else "FALSE")
                if isinstance(value, bool)
                else str(value)
            )
            found[option.key] = vim25.OptionValue(key=option.key, value=text)
    return list(found.values())
