"""libvirt's esx driver on the simulated host: what `virsh` prints is what the host holds, and what it
changes is changed.

The driver has no upload and no download of volumes (`virStorageVolUpload` is "not supported by the
connection driver" in libvirt 9.0), so these two are left to the other clients.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.integration.peers.libvirt import Virsh
from vimlib import Client, vim25
from vimlib.simulator import ESXHost

pytestmark = pytest.mark.slow

VMS = vim25.Folder("ha-folder-vm")
POOL = vim25.ResourcePool("ha-root-pool")


async def create(client: Client, name: str, mib: int = 64) -> None:
    """Create a machine with a disk of 8 MiB and an adapter."""
    nic = vim25.VirtualEthernetCardNetworkBackingInfo(deviceName="VM Network")
    disk = vim25.VirtualDiskFlatVer2BackingInfo(
        fileName="", diskMode="persistent", thinProvisioned=True
    )
    devices = (
        (vim25.VirtualLsiLogicController(key=-1, busNumber=0, sharedBus="noSharing"), None),
        (
            vim25.VirtualDisk(
                key=-2, controllerKey=-1, unitNumber=0, capacityInKB=8192, backing=disk
            ),
            "create",
        ),
        (vim25.VirtualE1000(key=-3, backing=nic), None),
    )
    spec = vim25.VirtualMachineConfigSpec(
        name=name,
        guestId="otherGuest",
        numCPUs=1,
        memoryMB=mib,
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
        deviceChange=[
            vim25.VirtualDeviceConfigSpec(operation="add", device=device, fileOperation=file)
            for device, file in devices
        ],
    )
    await client.wait(await client.bind(VMS).CreateVM_Task(spec, POOL))


def fields(text: str) -> dict[str, str]:
    """Return the `Name: value` lines of a command."""
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def done(said: list[str]) -> list[str]:
    """Check that no command failed."""
    assert not [text for text in said if text.startswith("error")], said
    return said


async def test_the_node_is_the_host(virsh: Virsh, client: Client, esx: ESXHost) -> None:
    row = await client.get(esx.host.ref, "hardware", "summary.config.name", "summary.hardware")
    hardware, summary = row["hardware"], row["summary.hardware"]
    info, name, capabilities, version, free = done(
        await virsh.run("nodeinfo", "hostname", "capabilities", "version", "freecell")
    )
    node = fields(info)
    cpu = hardware.cpuInfo
    assert int(node["CPU(s)"]) == cpu.numCpuCores  # so the driver counts
    assert int(node["Thread(s) per core"]) == cpu.numCpuThreads // cpu.numCpuCores
    assert int(node["CPU socket(s)"]) == cpu.numCpuPackages
    assert int(node["Core(s) per socket"]) == cpu.numCpuCores // cpu.numCpuPackages
    assert int(node["Memory size"].split()[0]) == hardware.memorySize // 1024
    assert node["CPU model"] == summary.cpuModel[:31]
    assert name == row["summary.config.name"]
    root = ET.fromstring(capabilities)
    assert root.findtext("host/uuid") == hardware.systemInfo.uuid
    # From the feature registers of the processors, so it has 64 bits.
    assert [guest.get("name") for guest in root.findall("guest/arch")] == ["i686", "x86_64"]
    assert f"Running hypervisor: ESX {client.about.version}" in version
    assert int(fields(free)["Total"].split()[0]) < hardware.memorySize // 1024


async def test_machines_are_listed_with_their_state(
    virsh: Virsh, client: Client, esx: ESXHost
) -> None:
    for name in ("one", "two words"):
        await create(client, name)
    done(await virsh.run("start one"))
    everything, running, uuids, number, state, nics, disks = done(
        await virsh.run(
            *("list --all", "list", "list --all --uuid", "domid one", "domstate 'two words'"),
            *("domiflist one", "domblklist one"),
        )
    )
    one, two = esx.machine("one"), esx.machine("two words")
    assert [line.split(maxsplit=1)[1] for line in everything.splitlines()] == [
        "one         running",
        "two words   shut off",
    ]
    assert running.split() == [one.moid, "one", "running"]
    assert set(uuids.split()) == {one.config.uuid, two.config.uuid}
    assert (number, state) == (one.moid, "shut off")
    assert nics.split()[1:] == ["bridge", "VM", "Network", "e1000", one.nics()[0].macAddress]
    assert disks.split(maxsplit=1) == ["sda", one.disks()[0].backing.fileName]


async def test_a_machine_runs_through_its_states(
    virsh: Virsh, client: Client, esx: ESXHost
) -> None:
    await create(client, "one")
    machine = esx.machine("one")
    for command, power, state in (
        ("start", "poweredOn", "running"),
        ("suspend", "suspended", "paused"),
        ("resume", "poweredOn", "running"),
        ("destroy", "poweredOff", "shut off"),
    ):
        said = done(await virsh.run(f"{command} one", "domstate one"))
        assert (machine.power, said[1]) == (power, state), command
    [refused] = await virsh.run("destroy one")
    assert "Domain is not powered on" in refused
    done(await virsh.run("start one"))
    [refused] = await virsh.run("shutdown one")
    assert "VMware Tools is not running" in refused
    assert machine.power == "poweredOn"
    esx.set_guest("one", ip="10.0.0.7", host_name="guest.example")
    said = done(await virsh.run("domhostname one", "reboot one", "shutdown one", "domstate one"))
    assert (said[0], said[3]) == ("guest.example", "shut off")
    assert machine.power == "poweredOff"


async def test_a_machine_is_given_processors_and_shares(
    virsh: Virsh, client: Client, esx: ESXHost
) -> None:
    await create(client, "one")
    said = done(
        await virsh.run(
            *("setvcpus one 2", "schedinfo one --set shares=3000 --set limit=900", "dumpxml one")
        )
    )
    config = esx.machine("one").config
    assert config.hardware.numCPU == 2
    assert config.cpuAllocation.shares.shares == 3000
    assert config.cpuAllocation.limit == 900
    root = ET.fromstring(said[2])
    assert (root.findtext("vcpu"), root.findtext("cputune/shares")) == ("2", "3000")


async def test_a_machine_starts_with_the_host(virsh: Virsh, client: Client, esx: ESXHost) -> None:
    await create(client, "one")
    said = done(await virsh.run("dominfo one", "autostart one", "dominfo one"))
    assert (fields(said[0])["Autostart"], fields(said[2])["Autostart"]) == ("disable", "enable")
    row = await client.get(esx.host.ref, "config.autoStart")
    [info] = row["config.autoStart"].powerInfo
    assert (info.key.moref[1], info.startAction) == (esx.machine("one").moid, "powerOn")
    said = done(await virsh.run("autostart one --disable", "dominfo one"))
    assert fields(said[1])["Autostart"] == "disable"


async def test_snapshots_are_those_of_the_machine(
    virsh: Virsh, client: Client, esx: ESXHost
) -> None:
    await create(client, "one")
    done(await virsh.run("snapshot-create-as one s1 'the first'", "snapshot-create-as one s2"))
    machine = esx.machine("one")
    assert [(each.name, each.description) for each in machine.all_snapshots()] == [
        ("s1", "the first"),
        ("s2", ""),
    ]
    names, parent, current, text = done(
        await virsh.run(
            *("snapshot-list one --name", "snapshot-parent one s2", "snapshot-current one --name"),
            "snapshot-dumpxml one s1",
        )
    )
    assert (names.split(), parent, current) == (["s1", "s2"], "s1", "s2")
    root = ET.fromstring(text)
    assert root.findtext("description") == "the first"
    assert root.findtext("creationTime") == str(int(machine.all_snapshots()[0].created.timestamp()))
    assert root.findtext("domain/uuid") == machine.config.uuid
    done(await virsh.run("snapshot-revert one s1"))
    assert machine.current is not None
    assert machine.current.name == "s1"
    done(await virsh.run("snapshot-delete one s2"))
    assert [each.name for each in machine.all_snapshots()] == ["s1"]
    done(await virsh.run("snapshot-create-as one s3", "snapshot-delete one s1 --children"))
    assert machine.all_snapshots() == []


async def test_a_datastore_is_a_pool_of_its_disks(
    virsh: Virsh, client: Client, esx: ESXHost
) -> None:
    await create(client, "one")
    store = esx.datastores["datastore1"]
    pools, text, names, key, shown, path = done(
        await virsh.run(
            *("pool-list --all", "pool-dumpxml datastore1", "vol-list datastore1"),
            *("vol-key one/one.vmdk --pool datastore1", "vol-dumpxml one/one.vmdk datastore1"),
            "vol-path one/one.vmdk --pool datastore1",
        )
    )
    assert pools.split() == ["datastore1", "active", "yes"]
    pool = ET.fromstring(text)
    assert pool.findtext("capacity") == str(store.capacity)
    assert int(pool.findtext("capacity", "")) - int(pool.findtext("available", "")) == int(
        pool.findtext("allocation", "")
    )
    row = await client.get(store.ref, "host")
    assert pool.findtext("target/path") == row["host"][0].mountInfo.path
    assert names.split(maxsplit=1) == ["one/one.vmdk", "[datastore1] one/one.vmdk"]
    assert path == "[datastore1] one/one.vmdk"
    assert key == esx.machine("one").disks()[0].backing.uuid
    assert ET.fromstring(shown).findtext("capacity") == str(8 << 20)


async def test_volumes_are_made_copied_and_deleted(virsh: Virsh, esx: ESXHost) -> None:
    folder = esx.datastore_path()
    said = done(
        await virsh.run(
            "vol-create-as datastore1 vols/a.vmdk 8M --format vmdk",
            "vol-clone vols/a.vmdk vols/b.vmdk --pool datastore1",
            "vol-info vols/b.vmdk --pool datastore1",
        )
    )
    assert fields(said[2])["Capacity"] == "8.00 MiB"
    assert (folder / "vols/a-flat.vmdk").stat().st_size == 8 << 20
    assert (folder / "vols/b-flat.vmdk").stat().st_size == 8 << 20
    done(await virsh.run("vol-delete vols/b.vmdk --pool datastore1", "pool-refresh datastore1"))
    assert {file.name for file in (folder / "vols").iterdir()} == {"a.vmdk", "a-flat.vmdk"}
    [listed] = done(await virsh.run("vol-list datastore1"))
    assert listed.split()[0] == "vols/a.vmdk"
    [refused] = await virsh.run("vol-create-as datastore1 vols/a.vmdk 8M --format vmdk")
    assert "FileAlreadyExists" in refused or "already exist" in refused, refused


async def test_switches_are_networks_and_port_groups_are_in_them(
    virsh: Virsh, esx: ESXHost, tmp_path: Path
) -> None:
    [listed, text] = done(await virsh.run("net-list --all", "net-dumpxml vSwitch0"))
    assert listed.split() == ["vSwitch0", "active", "yes", "yes"]
    root = ET.fromstring(text)
    nic = root.find("forward/interface")
    assert nic is not None
    assert [nic.get("dev")] == esx.networks.switches["vSwitch0"].pnics
    assert [group.get("name") for group in root.findall("portgroup")] == ["VM Network"]
    source = tmp_path / "network.xml"
    source.write_text(
        "<network><name>sw1</name><forward mode='bridge'><interface dev='vmnic1'/></forward>"
        "<portgroup name='pg1'/></network>"
    )
    [_, text] = done(await virsh.run(f"net-define {source}", "net-dumpxml sw1"))
    assert esx.networks.switches["sw1"].pnics == ["vmnic1"]
    assert esx.networks.groups["pg1"].switch == "sw1"
    assert [group.get("name") for group in ET.fromstring(text).findall("portgroup")] == ["pg1"]
    done(await virsh.run("net-undefine sw1"))
    assert set(esx.networks.switches) == {"vSwitch0"}
    assert "pg1" not in esx.networks.groups


async def test_the_screen_of_a_machine_is_a_picture(
    virsh: Virsh, client: Client, tmp_path: Path
) -> None:
    await create(client, "one")
    picture = tmp_path / "screen.png"
    done(await virsh.run("start one", f"screenshot one {picture}"))
    assert picture.read_bytes().startswith(b"\x89PNG")
