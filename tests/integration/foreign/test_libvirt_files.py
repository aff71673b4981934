"""libvirt's esx driver reads the `.vmx` files of the simulator, and the simulator those of libvirt.

The third party of each comparison is libvirt's own test data: files of real hosts and of other tools.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.integration.foreign.govc_page import newer
from tests.integration.peers import libvirt
from tests.integration.peers.libvirt import Virsh
from vimlib import Client, vim25
from vimlib.simulator import ESXHost

pytestmark = pytest.mark.slow

VMS = vim25.Folder("ha-folder-vm")
POOL = vim25.ResourcePool("ha-root-pool")

# Files of libvirt's own tests that come back otherwise, and why.
OTHERWISE = {
    "ethernet-null": "the API has no adapter without a network; its name is empty",
    "fusion-in-the-wild-1": "a floppy that is mentioned is present, as to VMware's programs; to libvirt only by a key",
    "ws-in-the-wild-1": "the same",
    "ws-in-the-wild-2": "the same",
}


def comparable(text: str) -> str:
    """Return a domain without what a host writes where the file has nothing: an equal meaning."""
    assert text.startswith("<domain"), text
    root = ET.fromstring(text)
    cpus = int(root.findtext("vcpu", "1"))
    for parent in list(root.iter()):
        for child in list(parent):
            tag = child.tag.rpartition("}")[2]
            source = child.get("dev") if tag == "source" else None
            if (
                "}" in child.tag  # where the machine is on the host
                or (tag == "cputune" and child.findtext("shares") == str(1000 * cpus))
                or (tag == "model" and child.get("type") == "vlance")
                or source == "emptyBackingString"
            ):
                parent.remove(child)
            elif tag == "controller" and child.get("model") == "lsilogic":
                del child.attrib["model"]
    for element in root.iter():
        element.text = (element.text or "").strip()
        element.tail = ""
    return ET.canonicalize(ET.tostring(root, encoding="unicode"))


async def register(client: Client, esx: ESXHost, name: str, text: str) -> Any:
    """Register the machine of a file."""
    folder = esx.datastore_path() / name
    folder.mkdir()
    (folder / f"{name}.vmx").write_text(text, encoding="utf-8")
    task = await client.bind(VMS).RegisterVM_Task(
        f"[datastore1] {name}/{name}.vmx", asTemplate=False, pool=POOL
    )
    return await client.wait(task)


def named(name: str, number: int, text: str) -> str:
    """Return a file with a name and a UUID of its own, on the host's datastore."""
    text = re.sub(r"(?mi)^\s*(displayName|uuid\.bios)\s*=.*\n", "", text)
    text = re.sub("/vmfs/volumes/[^/]*/", "/vmfs/volumes/datastore1/", text)
    uuid = f"56 4d 00 00 00 00 00 00-00 00 00 00 00 00 00 {number:02x}"
    return f'{text}\ndisplayName = "{name}"\nuuid.bios = "{uuid}"\n'


async def compare(
    client: Client, esx: ESXHost, virsh: Virsh, files: dict[str, str], folder: Path
) -> set[str]:
    """Register the machines of files; return those that libvirt then sees otherwise than the files."""
    for name, text in files.items():
        (folder / f"{name}.vmx").write_text(text, encoding="utf-8")
        await register(client, esx, name, text)
    before = await virsh.run(
        *(f"domxml-from-native vmware-vmx {folder / name}.vmx" for name in files)
    )
    after = await virsh.run(*(f"dumpxml {name}" for name in files))
    found = {}
    for name, old, new in zip(files, before, after, strict=True):
        # libvirt does not know the folder of a file that is not on the host.
        shown = old.replace("[?] ", f"[datastore1] {name}/").replace("/?/", "/")
        found[name] = comparable(shown) == comparable(new)
    return {name for name, same in found.items() if not same}


async def test_published_files_mean_the_same_after_the_host_has_rewritten_them(
    client: Client, esx: ESXHost, virsh: Virsh, tmp_path: Path
) -> None:
    files = {
        file.stem: named(file.stem, number, file.read_text(encoding="utf-8"))
        for number, file in enumerate(sorted(libvirt.samples().glob("*.vmx")))
    }
    assert len(files) > 70
    assert sum("in-the-wild" in name for name in files) > 15
    assert await compare(client, esx, virsh, files, tmp_path) == set(OTHERWISE)


async def test_files_that_libvirt_writes_mean_the_same_to_the_host(
    client: Client, esx: ESXHost, virsh: Virsh, tmp_path: Path
) -> None:
    sources = sorted(libvirt.samples().glob("*.xml"))
    for file in sources:
        text = re.sub(r"\[[^]]*\]", "[datastore1]", file.read_text(encoding="utf-8"))
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    texts = await virsh.run(
        *(f"domxml-to-native vmware-vmx {tmp_path / file.name}" for file in sources)
    )
    written = {
        file.stem: named(file.stem, number, text + "\n")
        for number, (file, text) in enumerate(zip(sources, texts, strict=True))
        # Disks without a model of their controller are looked up on the host, which has not got them.
        if not text.startswith("error")
    }
    assert len(written) > 45
    changed = await compare(client, esx, virsh, written, tmp_path)
    assert changed == {"xml2vmx-ethernet-null"}


def add(device: Any, file: str | None = None) -> Any:
    return vim25.VirtualDeviceConfigSpec(operation="add", device=device, fileOperation=file)


def machine_of_everything(guest: str, firmware: str | None, *, serial_uri: bool) -> Any:
    """Return the spec of a machine with each kind of device that libvirt knows of hosts."""
    iso = vim25.VirtualCdromIsoBackingInfo(fileName="[datastore1] isos/a.iso")
    disk = vim25.VirtualDiskFlatVer2BackingInfo(
        fileName="", diskMode="persistent", thinProvisioned=True
    )
    other = vim25.VirtualDiskFlatVer2BackingInfo(
        fileName="[datastore1] isos/other.vmdk", diskMode="persistent", thinProvisioned=True
    )
    nic = vim25.VirtualEthernetCardNetworkBackingInfo(deviceName="VM Network")
    serial = vim25.VirtualSerialPortURIBackingInfo(
        serviceURI="telnet://0.0.0.0:33233", direction="server"
    )
    parallel = vim25.VirtualParallelPortDeviceBackingInfo(deviceName="/dev/parport0")
    floppy = vim25.VirtualFloppyImageBackingInfo(fileName="[datastore1] isos/a.flp")
    return vim25.VirtualMachineConfigSpec(
        name="all of it",
        guestId=guest,
        numCPUs=2,
        memoryMB=516,
        annotation='a "quoted" | piped\nnote',
        firmware=firmware,
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
        cpuAllocation=vim25.ResourceAllocationInfo(
            shares=vim25.SharesInfo(shares=4000, level="high")
        ),
        deviceChange=[
            add(vim25.VirtualLsiLogicSASController(key=-1, busNumber=0, sharedBus="noSharing")),
            add(
                vim25.VirtualDisk(
                    key=-2, controllerKey=-1, unitNumber=1, capacityInKB=1024, backing=disk
                ),
                "create",
            ),
            add(
                vim25.VirtualDisk(
                    key=-3, controllerKey=201, unitNumber=1, capacityInKB=2048, backing=other
                ),
                "create",
            ),
            add(vim25.VirtualCdrom(key=-4, controllerKey=200, unitNumber=0, backing=iso)),
            add(vim25.VirtualFloppy(key=-5, backing=floppy)),
            add(
                vim25.VirtualVmxnet3(
                    key=-6, backing=nic, addressType="manual", macAddress="00:50:56:00:00:01"
                )
            ),
            add(vim25.VirtualE1000(key=-7, backing=nic)),
            *(
                [add(vim25.VirtualSerialPort(key=-8, backing=serial, yieldOnPoll=True))]
                if serial_uri
                else []
            ),
            add(vim25.VirtualParallelPort(key=-9, backing=parallel)),
        ],
    )


async def test_a_machine_made_by_the_api_is_that_machine_to_libvirt(
    client: Client, esx: ESXHost, virsh: Virsh, release: str
) -> None:
    isos = esx.datastore_path() / "isos"
    isos.mkdir()
    (isos / "a.iso").write_bytes(b"")
    firmware = None if newer("5.0", release) else "efi"
    serial_uri = not newer("4.1", release)
    spec = machine_of_everything("rhel6_64Guest", firmware, serial_uri=serial_uri)
    task = await client.bind(VMS).CreateVM_Task(spec, POOL)
    await client.wait(task)
    machine = esx.machine("all of it")
    [text] = await virsh.run("dumpxml 'all of it'")
    root = ET.fromstring(text)
    assert root.findtext("name") == "all of it"
    assert root.findtext("uuid") == machine.config.uuid
    assert root.findtext("description") == 'a "quoted" | piped\nnote'
    assert (root.findtext("memory"), root.findtext("vcpu")) == ("528384", "2")
    assert root.findtext("cputune/shares") == "4000"
    assert root.find("os").get("firmware") == firmware  # type: ignore[union-attr]
    assert root.find("os/type").get("arch") == "x86_64"  # type: ignore[union-attr]

    def seen(path: str, *attributes: str) -> list[tuple[str | None, ...]]:
        found = []
        for element in root.findall(f"devices/{path}"):
            places = (attribute.rpartition("/") for attribute in attributes)
            found.append(
                tuple(
                    (element.find(place) if place else element).get(name)  # type: ignore[union-attr]
                    for place, _, name in places
                )
            )
        return found

    assert seen("disk", "device", "source/file", "target/dev", "target/bus") == [
        ("disk", "[datastore1] all of it/all of it.vmdk", "sdb", "scsi"),
        ("cdrom", "[datastore1] isos/a.iso", "hda", "ide"),
        ("disk", "[datastore1] isos/other.vmdk", "hdd", "ide"),
        ("floppy", "[datastore1] isos/a.flp", "fda", "fdc"),
    ]
    assert ("scsi", "0", "lsisas1068") in seen("controller", "type", "index", "model")
    [generated] = [nic.macAddress for nic in machine.nics() if nic.addressType == "generated"]
    assert seen("interface", "mac/address", "source/bridge", "model/type") == [
        ("00:50:56:00:00:01", "VM Network", "vmxnet3"),
        (generated, "VM Network", "e1000"),
    ]
    ports = [("tcp", "33233", "telnet")] if serial_uri else []
    assert seen("serial", "type", "source/service", "protocol/type") == ports
    assert seen("parallel", "type", "source/path") == [("dev", "/dev/parport0")]


async def test_a_machine_that_libvirt_defines_runs_on_the_host(
    client: Client, esx: ESXHost, virsh: Virsh, tmp_path: Path
) -> None:
    center = vim25.Datacenter("ha-datacenter")
    folder = esx.datastore_path() / "defined"
    folder.mkdir()
    disk = vim25.FileBackedVirtualDiskSpec(diskType="thin", adapterType="lsiLogic", capacityKb=1024)
    manager = client.content.virtualDiskManager
    assert manager is not None
    await client.wait(
        await manager.CreateVirtualDisk_Task(
            "[datastore1] defined/d.vmdk", spec=disk, datacenter=center
        )
    )
    source = tmp_path / "domain.xml"
    source.write_text(
        "<domain type='vmware'><name>defined</name><uuid>564d0000-0000-0000-0000-0000000000aa</uuid>"
        "<memory unit='MiB'>64</memory><vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os><devices>"
        "<disk type='file' device='disk'><source file='[datastore1] defined/d.vmdk'/>"
        "<target dev='sda' bus='scsi'/></disk><controller type='scsi' index='0' model='lsilogic'/>"
        "<interface type='bridge'><mac address='00:0c:29:00:00:07'/><source bridge='VM Network'/>"
        "<model type='e1000'/></interface></devices></domain>"
    )
    said = await virsh.run(f"define {source}", "start defined", "domstate defined")
    assert "error" not in " ".join(said), said
    assert said[2] == "running"
    machine = esx.machine("defined")
    config = machine.config
    assert (config.uuid, config.guestId) == ("564d0000-0000-0000-0000-0000000000aa", "otherGuest64")
    assert (config.hardware.memoryMB, config.hardware.numCPU) == (64, 2)
    [found] = machine.disks()
    assert (found.backing.fileName, found.capacityInKB) == ("[datastore1] defined/d.vmdk", 1024)
    [nic] = machine.nics()
    assert (type(nic), nic.macAddress) == (vim25.VirtualE1000, "00:0c:29:00:00:07")
    assert machine.power == "poweredOn"
    said = await virsh.run("destroy defined", "domstate defined", "undefine defined", "list --all")
    assert "error" not in " ".join(said), said
    assert said[1] == "shut off"
    assert esx.machines == {}
