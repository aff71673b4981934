"""A `.vmx` with the keys that hosts write, registered: the machine that the API shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator._core.versions import RELEASES
from vimlib.simulator._vm import vmx
from vimlib.simulator._vm.guests import guest_of_vmx, guests_of, vmx_guest
from vimlib.simulator._vm.reconfigure import blank_config
from vimlib.simulator._vm.vmx_text import VmxReader, read_uuid, written_uuid

# Keys and forms of published files of hosts; see the docstring of `vmx`. Values are made up.
HOSTS_OWN = """\
#!/usr/bin/vmware
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "14"
nvram = "real.nvram"
extendedConfigFile = "real.vmxf"
pciBridge0.present = "TRUE"
svga.present = "TRUE"
svga.vramSize = "8388608"
vmci0.present = "TRUE"
vmci0.id = "-586792232"
DISPLAYNAME = "real"
guestOS = "ubuntu-64"
memsize = "2048"
numvcpus = "2"
cpuid.coresPerSocket = "2"
sched.cpu.units = "mhz"
sched.cpu.min = "100"
sched.cpu.max = "900"
sched.cpu.shares = "high"
sched.cpu.affinity = "0,3"
sched.cpu.latencySensitivity = "normal"
sched.mem.min = "512"
sched.mem.minSize = "512"
sched.mem.shares = "4000"
sched.swap.derivedName = "/vmfs/volumes/0/real/real-1.vswp"
uuid.bios = "56 4d 11 22 33 44 55 66-77 88 99 aa bb cc dd ee"
uuid.location = "56 4d 11 22 33 44 55 66-77 88 99 aa bb cc dd 00"
vc.uuid = "52 0a 11 22 33 44 55 66-77 88 99 aa bb cc dd ef"
scsi0.virtualDev = "pvscsi"
scsi0.present = "TRUE"
scsi0.sharedBus = "physical"
scsi0.pciSlotNumber = "160"
scsi0:0.deviceType = "scsi-hardDisk"
scsi0:0.fileName = "real.vmdk"
sched.scsi0:0.shares = "low"
sched.scsi0:0.throughputCap = "500"
scsi0:0.present = "true"
scsi0:0.redo = ""
scsi0:16.fileName = "/vmfs/volumes/datastore1/elsewhere/more.vmdk"
scsi0:16.mode = "independent-nonpersistent"
scsi0:16.writeThrough = "TRUE"
scsi0:16.present = "TRUE"
sata0.present = "TRUE"
sata0:1.deviceType = "cdrom-image"
sata0:1.fileName = "/vmfs/volumes/datastore1/a.iso"
sata0:1.startConnected = "FALSE"
sata0:1.present = "TRUE"
ide0:0.deviceType = "cdrom-image"
ide0:0.fileName = "/usr/lib/vmware/isoimages/linux.iso"
ide0:0.present = "TRUE"
ide1:0.deviceType = "atapi-cdrom"
ide1:0.fileName = "emptyBackingString"
ide1:0.clientDevice = "TRUE"
ide1:0.present = "TRUE"
ide1:1.deviceType = "cdrom-raw"
ide1:1.fileName = "/vmfs/devices/cdrom/mpx.vmhba64:C0:T0:L0"
ide1:1.present = "TRUE"
floppy0.startConnected = "FALSE"
floppy0.clientDevice = "TRUE"
floppy0.fileName = "vmware-null-remote-floppy"
floppy1.fileType = "file"
floppy1.fileName = "x.flp"
floppy1.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.networkName = "VM Network"
ethernet0.addressType = "generated"
ethernet0.generatedAddress = "00:0c:29:cc:dd:ee"
ethernet0.generatedAddressOffset = "0"
ethernet0.wakeOnPcktRcv = "FALSE"
ethernet0.present = "TRUE"
ethernet1.networkName = "gone"
ethernet1.addressType = "vpx"
ethernet1.generatedAddress = "00:50:56:9a:9c:7a"
ethernet1.present = "TRUE"
ethernet2.virtualDev = "vmxnet"
ethernet2.features = "15"
ethernet2.networkName = "VM Network"
ethernet2.addressType = "static"
ethernet2.address = "00:50:56:11:22:33"
ethernet2.present = "TRUE"
serial0.fileType = "network"
serial0.fileName = "telnet://:33233"
serial0.network.endPoint = "server"
serial0.yieldOnMsrRead = "TRUE"
serial0.present = "TRUE"
serial1.fileType = "pipe"
serial1.fileName = "p"
serial1.pipe.endPoint = "client"
serial1.tryNoRxLoss = "TRUE"
serial1.present = "TRUE"
serial2.fileType = "file"
serial2.fileName = "serial.txt"
serial2.present = "TRUE"
parallel0.fileType = "device"
parallel0.fileName = "/dev/parport0"
parallel0.present = "TRUE"
usb.present = "TRUE"
ehci.present = "TRUE"
usb_xhci.present = "TRUE"
sound.present = "TRUE"
sound.virtualDev = "hdaudio"
sound.fileName = "-1"
sound.autodetect = "TRUE"
tools.syncTime = "TRUE"
tools.upgrade.policy = "upgradeAtPowerCycle"
toolScripts.afterPowerOn = "FALSE"
powerType.powerOff = "default"
powerType.suspend = "soft"
bios.bootDelay = "2000"
bios.forceSetupOnce = "TRUE"
bios.bootRetry.enabled = "TRUE"
bios.bootRetry.delay = "5000"
vcpu.hotadd = "TRUE"
mem.hotadd = "TRUE"
disk.EnableUUID = "TRUE"
annotation = "line one|0Aline |22two|22 |7C"
guestinfo.metadata = "abc"
migrate.hostLog = "./real-1.hlog"
"""

# Keys of the file that the API shows as extra options, in any release that has them.
EXTRA = {
    "nvram": "real.nvram",
    "pciBridge0.present": "TRUE",
    "svga.present": "TRUE",
    "sched.swap.derivedName": "/vmfs/volumes/0/real/real-1.vswp",
    "scsi0.pciSlotNumber": "160",
    "scsi0:0.redo": "",
    "ethernet0.generatedAddressOffset": "0",
    "disk.EnableUUID": "TRUE",
    "guestinfo.metadata": "abc",
    "migrate.hostLog": "./real-1.hlog",
}


async def register(call: Any, text: str, name: str = "real") -> Any:
    """Register the machine of a text; return its configuration."""
    folder = call.esx.datastore_path() / name
    folder.mkdir()
    (folder / f"{name}.vmx").write_bytes(text.encode("utf-8", "surrogateescape"))
    await call.done(
        vim25.Folder.RegisterVM_Task,
        vim25.Folder("ha-folder-vm"),
        path=f"[datastore1] {name}/{name}.vmx",
        asTemplate=False,
        pool=vim25.ResourcePool("ha-root-pool"),
    )
    return call.esx.machine(name).config


@pytest.fixture
async def config(make: Callable[..., Any]) -> Any:
    return await register(await make(), HOSTS_OWN)


def described(config: Any) -> dict[int, Any]:
    return {device.key: device for device in config.hardware.device}


async def test_the_fields_of_a_hosts_own_file(config: Any) -> None:
    assert config.uuid == "564d1122-3344-5566-7788-99aabbccddee"
    assert config.locationId == "564d1122-3344-5566-7788-99aabbccdd00"
    assert config.instanceUuid == "520a1122-3344-5566-7788-99aabbccddef"
    assert (config.guestId, config.guestFullName) == ("ubuntu64Guest", "Ubuntu Linux (64-bit)")
    hardware = config.hardware
    assert (hardware.memoryMB, hardware.numCPU, hardware.numCoresPerSocket) == (2048, 2, 2)
    assert config.firmware == "bios"
    assert config.annotation == 'line one\nline "two" |'
    cpu, memory = config.cpuAllocation, config.memoryAllocation
    assert (cpu.reservation, cpu.limit, cpu.shares.level, cpu.shares.shares) == (
        100,
        900,
        "high",
        4000,
    )
    assert (memory.reservation, memory.limit) == (512, -1)
    assert (memory.shares.level, memory.shares.shares) == ("custom", 4000)
    assert config.cpuAffinity.affinitySet == [0, 3]
    assert config.latencySensitivity.level == "normal"
    boot = config.bootOptions
    assert (boot.bootDelay, boot.enterBIOSSetup) == (2000, True)
    assert (boot.bootRetryEnabled, boot.bootRetryDelay) == (True, 5000)
    tools = config.tools
    assert (tools.syncTimeWithHost, tools.afterPowerOn, tools.afterResume) == (True, False, True)
    assert tools.toolsUpgradePolicy == "upgradeAtPowerCycle"
    assert config.defaultPowerOps.powerOffType == "preset"
    assert config.defaultPowerOps.suspendType == "soft"
    assert config.cpuHotAddEnabled
    assert config.memoryHotAddEnabled
    assert config.flags.diskUuidEnabled
    assert {option.key: option.value for option in config.extraConfig} == EXTRA


async def test_the_devices_of_a_hosts_own_file(config: Any) -> None:
    found = {
        device.deviceInfo.label: (device.key, type(device).__name__, device.deviceInfo.summary)
        for device in config.hardware.device
        if device.key not in (100, 200, 201, 300, 400, 500, 600, 700, 12000)
    }
    assert found == {
        "SCSI controller 0": (1000, "ParaVirtualSCSIController", "VMware paravirtual SCSI"),
        "Hard disk 1": (2000, "VirtualDisk", "0 KB"),
        "Hard disk 2": (131088, "VirtualDisk", "0 KB"),
        "SATA controller 0": (15000, "VirtualAHCIController", "AHCI"),
        "CD/DVD drive 1": (3000, "VirtualCdrom", "ISO [] /usr/lib/vmware/isoimages/linux.iso"),
        "CD/DVD drive 2": (3002, "VirtualCdrom", "Remote ATAPI"),
        "CD/DVD drive 3": (
            3003,
            "VirtualCdrom",
            "Device /vmfs/devices/cdrom/mpx.vmhba64:C0:T0:L0",
        ),
        "CD/DVD drive 4": (16001, "VirtualCdrom", "ISO [datastore1] a.iso"),
        "Floppy drive 1": (8000, "VirtualFloppy", "Remote"),
        "Floppy drive 2": (8001, "VirtualFloppy", "Image [datastore1] real/x.flp"),
        "Network adapter 1": (4000, "VirtualVmxnet3", "VM Network"),
        "Network adapter 2": (4001, "VirtualPCNet32", "gone"),
        "Network adapter 3": (4002, "VirtualVmxnet2", "VM Network"),
        "Serial port 1": (9000, "VirtualSerialPort", "Remote telnet://:33233"),
        "Serial port 2": (9001, "VirtualSerialPort", "Named pipe p"),
        "Serial port 3": (9002, "VirtualSerialPort", "File [datastore1] real/serial.txt"),
        "Parallel port 1": (10000, "VirtualParallelPort", "Device /dev/parport0"),
        "USB controller": (7000, "VirtualUSBController", "USB controller"),
        "USB xHCI controller ": (14000, "VirtualUSBXHCIController", "USB controller"),
        "Sound card 1": (5000, "VirtualHdAudioCard", "Sound card"),
    }


async def test_the_values_of_devices_of_a_hosts_own_file(config: Any) -> None:
    devices = described(config)
    assert devices[1000].sharedBus == "physicalSharing"
    first, second = devices[2000], devices[131088]
    assert (first.unitNumber, first.backing.fileName) == (0, "[datastore1] real/real.vmdk")
    assert (first.shares.level, first.storageIOAllocation.limit) == ("low", 500)
    assert (second.unitNumber, second.backing.fileName) == (16, "[datastore1] elsewhere/more.vmdk")
    assert (second.backing.diskMode, second.backing.writeThrough) == (
        "independent_nonpersistent",
        True,
    )
    assert not devices[16001].connectable.startConnected
    assert devices[3003].backing.deviceName == "/vmfs/devices/cdrom/mpx.vmhba64:C0:T0:L0"
    nics = [devices[key] for key in (4000, 4001, 4002)]
    assert [(nic.addressType, nic.macAddress) for nic in nics] == [
        ("generated", "00:0c:29:cc:dd:ee"),
        ("assigned", "00:50:56:9a:9c:7a"),
        ("manual", "00:50:56:11:22:33"),
    ]
    assert [nic.wakeOnLanEnabled for nic in nics] == [False, True, True]
    assert [nic.backing.network is None for nic in nics] == [False, True, False]
    assert devices[9000].yieldOnPoll
    pipe = devices[9001].backing
    assert (pipe.pipeName, pipe.endpoint, pipe.noRxLoss) == ("p", "client", True)
    assert devices[7000].ehciEnabled
    assert devices[500].videoRamSizeInKB == 8192
    assert devices[12000].id == -586792232


async def test_a_hosts_own_file_is_found_by_its_uuid_and_does_not_start_without_its_disks(
    make: Callable[..., Any],
) -> None:
    call = await make()
    await register(call, HOSTS_OWN)
    found = await call(
        vim25.SearchIndex.FindByUuid,
        call.content.searchIndex,
        uuid="564d1122-3344-5566-7788-99aabbccddee",
        vmSearch=True,
    )
    assert found == call.esx.machine("real").ref
    with pytest.raises(vim25.FileNotFound):
        await call.done(vim25.VirtualMachine.PowerOnVM_Task, found)


async def test_a_disk_on_a_datastore_that_the_host_has_not_got(make: Callable[..., Any]) -> None:
    text = """config.version = "8"
virtualHW.version = "8"
scsi0.present = "TRUE"
scsi0:0.fileName = "/vmfs/volumes/498076b2-02796c1a-ef5b-000ae484a6a3/a/a.vmdk"
scsi0:0.present = "TRUE"
"""
    call = await make()
    config = await register(call, text)
    disks: list[Any] = [d for d in config.hardware.device if isinstance(d, vim25.VirtualDisk)]
    [disk] = disks
    assert disk.backing.fileName == "[] /vmfs/volumes/498076b2-02796c1a-ef5b-000ae484a6a3/a/a.vmdk"
    with pytest.raises(vim25.FileNotFound):
        await call.done(vim25.VirtualMachine.PowerOnVM_Task, call.esx.machine("real").ref)


@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_what_was_read_is_written_and_read_the_same(
    version: str, make: Callable[..., Any]
) -> None:
    call = await make(version=version)
    before = await register(call, HOSTS_OWN)
    machine = call.esx.machine("real")
    written = (call.esx.datastore_path() / "real" / "real.vmx").read_bytes()
    values = vmx.parse(written)
    blank = blank_config(machine.registry, "other", before.files.vmPathName)
    again = vmx.read_config(machine.registry, blank, values, {})
    unwritten = {"hardware", "modified", *(["createDate"] if version == "4.1" else [])}
    for field in set(before.__struct_fields__) - unwritten:
        assert getattr(again, field) == getattr(before, field), field
    assert described(again) == described(before)
    assert ("memsize" if version == "4.1" else "memSize") in dict(values.items())
    assert ("extendedConfigFile" in values) is (version == "4.1")
    # What libvirt and hosts want: no BIOS by name, UUIDs in pairs, absolute names of other folders.
    assert "firmware" not in values
    assert values["uuid.bios"] == "56 4d 11 22 33 44 55 66-77 88 99 aa bb cc dd ee"
    uuid = call.esx.datastores["datastore1"].uuid
    assert values["scsi0:16.fileName"] == f"/vmfs/volumes/{uuid}/elsewhere/more.vmdk"
    assert values["ide0:0.fileName"] == "/usr/lib/vmware/isoimages/linux.iso"


async def test_a_file_of_two_lines(make: Callable[..., Any]) -> None:
    config = await register(await make(), 'config.version = "8"\nvirtualHW.version = "4"\n')
    assert (config.name, config.guestId, config.firmware) == ("real", "otherGuest", "bios")
    assert (config.hardware.memoryMB, config.hardware.numCPU) == (32, 1)
    assert not [d for d in config.hardware.device if isinstance(d, vim25.VirtualFloppy)]
    assert config.extraConfig == []


@pytest.mark.parametrize(
    "line",
    [
        'firmware = "coreboot"',
        'memsize = "-1"',
        'memsize = "0"',
        'numvcpus = "99999999999999999999"',
        '.encoding = "nonesuch"',
        "\udcff",
        "# " + "x" * vmx.LARGEST,
    ],
    ids=lambda line: line[:20].encode("ascii", "replace").decode(),
)
async def test_a_malformed_file_is_refused(line: str, make: Callable[..., Any]) -> None:
    text = f'config.version = "8"\nvirtualHW.version = "8"\n{line}\n'
    call = await make()
    with pytest.raises(vim25.InvalidVmConfig):
        await register(call, text)
    assert call.esx.machines == {}


def test_keys_compare_in_any_case_and_the_encoding_is_the_files_own() -> None:
    values = vmx.parse(
        '.ENCODING = "windows-1252"\nConfig.Version = 8\ndisplayname = "Grün"\nA=\n'.encode(
            "cp1252"
        )
    )
    reader = VmxReader(values)
    assert (reader.text("displayName"), reader.number("CONFIG.version", 0)) == ("Grün", 8)
    assert reader.rest() == [(".ENCODING", "windows-1252"), ("A", "")]


def test_a_uuid_in_both_forms() -> None:
    plain = "564d1122-3344-5566-7788-99aabbccddee"
    assert read_uuid(written_uuid(plain)) == plain
    assert read_uuid("56 4D 11 22 33 44 55 66-77 88 99 AA BB CC DD EE") == plain
    assert read_uuid("56 4d") is None


# From the table of VMware's own names; the ids are those of the API's enumeration.
NAMES = {
    "other": "otherGuest",
    "other-64": "otherGuest64",
    "otherlinux-64": "otherLinux64Guest",
    "other26xlinux-64": "other26xLinux64Guest",
    "other5xlinux-64": "other5xLinux64Guest",
    "ubuntu": "ubuntuGuest",
    "ubuntu-64": "ubuntu64Guest",
    "debian11-64": "debian11_64Guest",
    "rhel7-64": "rhel7_64Guest",
    "rhel8-64": "rhel8_64Guest",
    "centos-64": "centos64Guest",
    "centos7-64": "centos7_64Guest",
    "windows7-64": "windows7_64Guest",
    "windows7srv-64": "windows7Server64Guest",
    "windows8srv-64": "windows8Server64Guest",
    "windows9srv-64": "windows9Server64Guest",
    "windows2019srv-64": "windows2019srv_64Guest",
    "winnetenterprise-64": "winNetEnterprise64Guest",
    "winnetstandard": "winNetStandardGuest",
    "winxppro-64": "winXPPro64Guest",
    "longhorn-64": "winLonghorn64Guest",
    "vmware-photon-64": "vmwarePhoton64Guest",
    "winhyperv": "windowsHyperVGuest",
    "vmkernel4": "vmkernelGuest",
}


@pytest.mark.parametrize(("name", "guest"), NAMES.items())
def test_the_name_of_a_guest_system(name: str, guest: str) -> None:
    newest = RELEASES["9.0"].numbers
    assert vmx_guest(guest) == name
    assert guest_of_vmx(name.upper(), newest) == guest
    assert guest_of_vmx(guest, newest) == guest


def test_each_guest_id_has_a_name_of_its_own() -> None:
    newest = RELEASES["9.0"].numbers
    ids = [guest.id for guest in guests_of(newest)]
    assert [guest_of_vmx(vmx_guest(id_), newest) for id_ in ids] == ids


def test_a_guest_system_that_the_release_does_not_know() -> None:
    assert guest_of_vmx("windows9srv-64", RELEASES["4.1"].numbers) == "otherGuest64"
    assert guest_of_vmx("beos", RELEASES["9.0"].numbers) == "otherGuest"
