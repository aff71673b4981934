"""A generated inventory in the form of a host's reply, which the codec's bench decodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from vimlib import vim25
from vimlib.soap import Typed, encode_response

__all__ = ["RETRIEVE", "create_vm", "reply"]

RETRIEVE = vim25.PropertyCollector.RetrievePropertiesEx
BOOT = datetime(2026, 3, 1, 6, 0, 0, 417000, UTC)
HOST = vim25.HostSystem("ha-host")
DATASTORES = [vim25.Datastore("5f3a1c2e-9d0b7a44-1f2e-0050569a0b11")]


def _text(label: str, summary: str) -> vim25.Description:
    return vim25.Description(label=label, summary=summary)


def _controllers() -> list[Any]:
    pointing = vim25.VirtualPointingDeviceDeviceBackingInfo(
        deviceName="", useAutoDetect=False, hostPointingDevice="autodetect"
    )
    remote = vim25.VirtualCdromRemotePassthroughBackingInfo(
        deviceName="", useAutoDetect=False, exclusive=False
    )
    return [
        vim25.VirtualIDEController(key=200, busNumber=0),
        vim25.VirtualIDEController(key=201, busNumber=1, device=[3002]),
        vim25.VirtualPS2Controller(key=300, busNumber=0, device=[600, 700]),
        vim25.VirtualPCIController(key=100, busNumber=0, device=[500, 1000, 4000]),
        vim25.VirtualSIOController(key=400, busNumber=0, device=[9000]),
        vim25.VirtualKeyboard(key=600, controllerKey=300, unitNumber=0),
        vim25.VirtualPointingDevice(key=700, backing=pointing, controllerKey=300, unitNumber=1),
        vim25.VirtualMachineVideoCard(
            key=500, controllerKey=100, unitNumber=0, videoRamSizeInKB=4096, numDisplays=1,
            useAutoDetect=False, enable3DSupport=False,
        ),
        vim25.ParaVirtualSCSIController(
            key=1000, deviceInfo=_text("SCSI controller 0", "VMware paravirtual SCSI"), controllerKey=100,
            unitNumber=3, busNumber=0, device=[2000, 2001], hotAddRemove=True, sharedBus="noSharing",
            scsiCtlrUnitNumber=7,
        ),
        vim25.VirtualCdrom(
            key=3002, deviceInfo=_text("CD/DVD drive 1", "Remote device"), backing=remote,
            connectable=_connectable(start=False), controllerKey=201, unitNumber=0,
        ),
    ]  # fmt: skip


def _connectable(*, start: bool) -> vim25.VirtualDeviceConnectInfo:
    return vim25.VirtualDeviceConnectInfo(
        startConnected=start, allowGuestControl=True, connected=start, status="ok"
    )


def _disk(machine: int, unit: int) -> vim25.VirtualDisk:
    name = f"web-{machine:05d}"
    return vim25.VirtualDisk(
        key=2000 + unit,
        deviceInfo=_text(f"Hard disk {unit + 1}", "41,943,040 KB"),
        backing=vim25.VirtualDiskFlatVer2BackingInfo(
            fileName=f"[datastore1] {name}/{name}{'_1' * unit}.vmdk", datastore=DATASTORES[0],
            diskMode="persistent", split=False, writeThrough=False, thinProvisioned=True,
            uuid=f"6000C29{unit}-{machine:04x}-9a0b-7c55-2f1e0d9c8b7a", contentId=f"{machine:032x}",
            digestEnabled=False,
        ),
        controllerKey=1000,
        unitNumber=unit,
        capacityInKB=41943040,
        shares=vim25.SharesInfo(shares=1000, level="normal"),
    )  # fmt: skip


def _nic(machine: int) -> vim25.VirtualVmxnet3:
    return vim25.VirtualVmxnet3(
        key=4000,
        deviceInfo=_text("Network adapter 1", "VM Network"),
        backing=vim25.VirtualEthernetCardNetworkBackingInfo(
            deviceName="VM Network",
            useAutoDetect=False,
            network=vim25.Network("HaNetwork-VM Network"),
        ),
        connectable=_connectable(start=True),
        controllerKey=100,
        unitNumber=7,
        addressType="assigned",
        macAddress=f"00:50:56:9a:{machine >> 8 & 255:02x}:{machine & 255:02x}",
        wakeOnLanEnabled=True,
    )


def _runtime(machine: int) -> vim25.VirtualMachineRuntimeInfo:
    return vim25.VirtualMachineRuntimeInfo(
        host=HOST, connectionState="connected", powerState="poweredOn" if machine % 5 else "poweredOff",
        faultToleranceState="notConfigured", toolsInstallerMounted=False,
        bootTime=BOOT + timedelta(seconds=machine * 7), numMksConnections=0, recordReplayState="inactive",
        maxCpuUsage=4788 + machine % 3, maxMemoryUsage=4096, onlineStandby=False,
    )  # fmt: skip


def _summary(machine: int, this: vim25.VirtualMachine) -> vim25.VirtualMachineSummary:
    name = f"web-{machine:05d}"
    return vim25.VirtualMachineSummary(
        vm=this,
        runtime=_runtime(machine),
        guest=vim25.VirtualMachineGuestSummary(
            guestId="ubuntu64Guest", guestFullName="Ubuntu Linux (64-bit)", toolsStatus="toolsOk",
            toolsRunningStatus="guestToolsRunning", hostName=name, ipAddress=f"10.1.{machine >> 8}.{machine & 255}",
        ),
        config=vim25.VirtualMachineConfigSummary(
            name=name, template=False, vmPathName=f"[datastore1] {name}/{name}.vmx", memorySizeMB=4096,
            cpuReservation=0, memoryReservation=0, numCpu=2, numEthernetCards=1, numVirtualDisks=2,
            uuid=f"421a{machine:04x}-5d1c-7a52-0c8e-9c1f5c1d7e3b", instanceUuid=f"501a{machine:04x}-0f3c-11d2-8a7e-5d2e8f9a0b1c",
            guestId="ubuntu64Guest", guestFullName="Ubuntu Linux (64-bit)", annotation="web tier, keep < 5 & > 1",
        ),
        storage=vim25.VirtualMachineStorageSummary(
            committed=21474836480 + machine, uncommitted=64424509440, unshared=21474836480, timestamp=BOOT
        ),
        quickStats=vim25.VirtualMachineQuickStats(
            overallCpuUsage=47 + machine % 9, guestMemoryUsage=409, hostMemoryUsage=2210,
            guestHeartbeatStatus="green", consumedOverheadMemory=47, uptimeSeconds=86400 + machine,
        ),
        overallStatus="green",
    )  # fmt: skip


def _guest(machine: int) -> vim25.GuestInfo:
    address = f"10.1.{machine >> 8}.{machine & 255}"
    mac = f"00:50:56:9a:{machine >> 8 & 255:02x}:{machine & 255:02x}"
    return vim25.GuestInfo(
        toolsStatus="toolsOk", toolsVersionStatus="guestToolsUnmanaged", toolsRunningStatus="guestToolsRunning",
        toolsVersion="11333", guestId="ubuntu64Guest", guestFamily="linuxGuest",
        guestFullName="Ubuntu Linux (64-bit)", hostName=f"web-{machine:05d}", ipAddress=address,
        net=[
            vim25.GuestNicInfo(
                network="VM Network", ipAddress=[address, "fe80::250:56ff:fe9a:1"], macAddress=mac,
                connected=True, deviceConfigId=4000,
            )
        ],
        disk=[vim25.GuestDiskInfo(diskPath="/", capacity=42139451392, freeSpace=35433480192)],
        screen=vim25.GuestScreenInfo(width=800, height=600), guestState="running",
    )  # fmt: skip


def _machine(number: int) -> vim25.ObjectContent:
    this = vim25.VirtualMachine(f"vm-{number}")
    devices = [*_controllers(), _disk(number, 0), _disk(number, 1), _nic(number)]
    values: dict[str, Any] = {
        "name": f"web-{number:05d}",
        "parent": vim25.Folder("ha-folder-vm"),
        "runtime": _runtime(number),
        "summary": _summary(number, this),
        "config.hardware": vim25.VirtualHardware(
            numCPU=2, numCoresPerSocket=1, memoryMB=4096, device=devices
        ),
        "guest": _guest(number),
        "network": Typed("ArrayOfManagedObjectReference", [vim25.Network("HaNetwork-VM Network")]),
        "datastore": Typed("ArrayOfManagedObjectReference", DATASTORES),
    }
    return vim25.ObjectContent(
        obj=this,
        propSet=[vim25.DynamicProperty(name=key, val=value) for key, value in values.items()],
    )


def reply(machines: int) -> bytes:
    """Return the reply to RetrievePropertiesEx for that many machines, eight properties each."""
    return encode_response(
        RETRIEVE, vim25.RetrieveResult(objects=[_machine(n) for n in range(machines)])
    )


def create_vm() -> tuple[Any, vim25.Folder, dict[str, Any]]:
    """Return a call of CreateVM_Task with a controller, a disk and a network card."""
    add: Any = vim25.VirtualDeviceConfigSpecOperation.add
    devices = [
        vim25.VirtualDeviceConfigSpec(operation=add, device=_controllers()[8]),
        vim25.VirtualDeviceConfigSpec(operation=add, fileOperation="create", device=_disk(1, 0)),
        vim25.VirtualDeviceConfigSpec(operation=add, device=_nic(1)),
    ]
    spec = vim25.VirtualMachineConfigSpec(
        name="web-00001", guestId="ubuntu64Guest", numCPUs=2, memoryMB=4096,
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"), deviceChange=devices,
        extraConfig=[
            vim25.OptionValue(key="machine.id", value="00:50:56:9a:00:01;10.1.0.1;255.255.0.0"),
            vim25.OptionValue(key="owner", value=7),
        ],
    )  # fmt: skip
    return (
        vim25.Folder.CreateVM_Task,
        vim25.Folder("ha-folder-vm"),
        {"config": spec, "pool": vim25.ResourcePool("ha-root-pool")},
    )
