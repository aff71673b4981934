"""One script for each of the other clients: its changes of the simulated host, and the values that it read."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import needed_tools
from tests.integration.foreign.govc_page import newer
from tests.integration.peers import soap_clients, tools
from tests.integration.peers.cache import REPOSITORY
from tests.integration.peers.process import Ended, ended, free_port, running
from tests.rig.login import connected
from vimlib import vim25
from vimlib.simulator import ESXHost
from vimlib.simulator._managers.esxcli_commands import commands_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SCRIPTS = Path(__file__).with_name("scripts")
SECONDS = 300
MACHINE = vim25.VirtualMachineConfigSpec(
    name="one",
    guestId="otherGuest",
    numCPUs=1,
    memoryMB=64,
    files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
)


async def create(esx: ESXHost) -> None:
    """Create a machine without a disk."""
    async with connected(esx) as client:
        folder, pool = vim25.Folder("ha-folder-vm"), vim25.ResourcePool("ha-root-pool")
        await client.wait(await client.bind(folder).CreateVM_Task(MACHINE, pool))


async def script(esx: ESXHost, program: Path, name: str, **more: object) -> dict[str, Any]:
    """Run a script with the login and `more` as its input; return the document that it prints."""
    login = {
        **more,
        "port": esx.port,
        "username": esx.credentials.username,
        "password": esx.credentials.password,
    }
    words = [program, SCRIPTS / name]
    env = {"PYTHONPATH": str(REPOSITORY)}
    end = await ended(words, env=env, given=json.dumps(login), deadline=SECONDS)
    assert end.code == 0, end.output[-3000:]
    found: dict[str, Any] = json.loads(end.output.strip().splitlines()[-1])
    return found


async def test_rbvmomi(esx: ESXHost) -> None:
    with needed_tools():
        ruby = tools.find("ruby")
    told = await script(esx, ruby, "rbvmomi_client.rb")
    machine = esx.machine("made by ruby")
    async with connected(esx) as client:
        row = await client.get(esx.host.ref, "name", "hardware.cpuInfo", "config.product")
    assert (told["datacenter"], told["host"]) == ("ha-datacenter", [row["name"]])
    assert told["cores"] == row["hardware.cpuInfo"].numCpuCores
    assert told["product"] == row["config.product"].fullName
    assert told["datastores"] == [["datastore1", esx.datastores["datastore1"].capacity]]
    assert told["disks"] == [disk.capacityInKB for disk in machine.disks()] == [4096]
    assert told["annotation"] == machine.config.annotation == "a < b & c"
    assert told["power"] == ["poweredOff", "poweredOn"]
    assert told["task fault"] == "InvalidPowerState"
    assert told["call fault"] == "InvalidDatastore"
    assert told["snapshots"] == [["s", "d"]]
    assert (told["view"], told["found"]) == (["made by ruby"], True)
    assert machine.power == "poweredOn"


async def test_rbvmomi_runs_esxcli(esx: ESXHost, release: str) -> None:
    with needed_tools():
        ruby = tools.find("ruby")
    await create(esx)
    machine = esx.machine("one")
    machine.set_power("poweredOn")
    old = newer("5.0", release)
    told = await script(esx, ruby, "rbvmomi_esxcli.rb", processes="vms.vm" if old else "vm.process")
    if newer("4.1", release):
        assert told == {"refused": "esxcli not supported before 4.1.0"}
        return
    answers = told["answers"]
    assert set(told["needed"]) == set(commands_of(esx.registry.release)) == set(told["helps"])
    [process] = answers["vms.vm.list" if old else "vm.process.list"]
    uuid = process["UUID"].replace(" ", "").replace("-", "")
    assert (process["DisplayName"], uuid) == ("one", machine.config.uuid.replace("-", ""))
    kind, _, lines = told["fault"]
    assert (kind, lines) == (
        "VimEsxCLICLIFault",
        ["Unable to find a virtual machine with the world ID 7"],
    )
    assert machine.power == "poweredOn"
    if old:
        return
    async with connected(esx) as client:
        about = client.about
    version = answers["system.version.get"]
    assert (version["Version"], version["Build"]) == (about.version, f"Releasebuild-{about.build}")
    assert answers["system.uuid.get"] == esx.host.uuid
    nics = {each["Name"]: each["MACAddress"] for each in answers["network.nic.list"]}
    assert nics == {nic.device: nic.mac for nic in esx.networks.pnics}
    [volume] = answers["storage.filesystem.list"]
    store = esx.datastores["datastore1"]
    assert (volume["VolumeName"], volume["Size"], volume["Mounted"]) == (
        "datastore1",
        store.capacity,
        True,
    )
    switches = {
        each["Name"]: each["Portgroups"] for each in answers["network.vswitch.standard.list"]
    }
    assert set(switches) == set(esx.networks.switches)
    assert set(switches["vSwitch0"]) == set(esx.networks.groups)


async def fence(esx: ESXHost, program: Path, action: str, name: str | None = None) -> Ended:
    """Run the fence agent; it reads its options from standard input."""
    user = esx.credentials
    options = {
        "ip": "127.0.0.1",
        "ipport": esx.port,
        "username": user.username,
        "password": user.password,
        "ssl_insecure": 1,
        "action": action,
        **({"plug": name} if name else {}),
    }
    text = "".join(f"{key}={value}\n" for key, value in options.items())
    return await ended([program], given=text, deadline=SECONDS)


async def test_fence_agent(esx: ESXHost, release: str) -> None:
    with needed_tools():
        agent = tools.find("fence_vmware_soap")
    await create(esx)
    machine = esx.machine("one")
    listed = await fence(esx, agent, "list")
    if newer("4.1", release):
        # It reads by a method of API 4.1, which the WSDL of a 4.0 has not got, and says so.
        assert listed.code == 1
        assert "Method not found: 'VimService.VimPort.RetrievePropertiesEx'" in listed.output
        return
    assert (listed.code, listed.output.strip()) == (0, f"one,{machine.config.uuid}")
    # Each run reads a WSDL for seconds; 2 is "off" of `status`.
    for action, name, code, power in (
        ("on", "one", 0, "poweredOn"),
        ("off", machine.config.uuid, 0, "poweredOff"),
        ("status", "one", 2, "poweredOff"),
    ):
        end = await fence(esx, agent, action, name)
        assert (end.code, machine.power) == (code, power), (action, end.output)


async def test_nbdkit_reads_a_disk_of_the_datastore(esx: ESXHost, tmp_path: Path) -> None:
    with needed_tools():
        nbdkit = tools.find("nbdkit")
        tools.find("nbdcopy")
    content = os.urandom(3 << 20)
    (esx.datastore_path() / "a disk").mkdir()
    (esx.datastore_path() / "a disk" / "d-flat.vmdk").write_bytes(content)
    password = tmp_path / "password"
    password.write_text(esx.credentials.password)
    url = f"https://127.0.0.1:{esx.port}/folder/a%20disk/d-flat.vmdk?dcPath=ha-datacenter&dsName=datastore1"
    copy = tmp_path / "copy"
    end = await ended(
        [
            *(nbdkit, "-r", "-U", "-", "curl", f"url={url}", f"user={esx.credentials.username}"),
            *(f"password=+{password}", "sslverify=false", "--run", f'nbdcopy "$uri" {copy}'),
        ],
        deadline=SECONDS,
    )
    assert end.code == 0, end.output
    assert copy.read_bytes() == content


async def test_zeep_with_the_served_wsdl(esx: ESXHost) -> None:
    told = await script(esx, soap_clients.installed() / "python", "zeep_client.py")
    machine = esx.machine("made by zeep")
    async with connected(esx) as client:
        about = client.about
    assert (told["full"], told["api"]) == (about.fullName, about.apiVersion)
    assert (told["fault"], told["user"]) == (["{urn:vim25}InvalidLoginFault"], "root")
    assert told["made"] == ["success", machine.moid]
    assert told["config"] == ["made by zeep", machine.config.hardware.memoryMB]
    assert (told["power"], machine.power) == (["poweredOff", "poweredOn"], "poweredOn")
    assert told["error"] == "InvalidPowerState"


async def test_suds_with_the_served_wsdl(esx: ESXHost) -> None:
    await create(esx)
    told = await script(esx, soap_clients.installed() / "python", "suds_client.py")
    async with connected(esx) as client:
        about = client.about
    assert (told["full"], told["api"]) == (about.fullName, about.apiVersion)
    assert "incorrect user name or password" in told["fault"]
    assert (told["user"], told["name"]) == ("root", "one")
    assert told["power"] == ["poweredOff", "poweredOn"]
    assert esx.machine("one").power == "poweredOn"


async def test_exporter_of_statistics(esx: ESXHost, release: str, tmp_path: Path) -> None:
    await create(esx)
    port = free_port()
    program = soap_clients.installed() / "vmware_exporter"
    env = {
        "VSPHERE_HOST": f"127.0.0.1:{esx.port}",
        "VSPHERE_USER": esx.credentials.username,
        "VSPHERE_PASSWORD": esx.credentials.password,
        "VSPHERE_IGNORE_SSL": "True",
    }
    log = tmp_path / "exporter.log"
    with running("vmware_exporter", [program, "-p", port], log, env=env) as process:
        async with asyncio.timeout(SECONDS):
            while b"Starting web server" not in log.read_bytes():
                await asyncio.sleep(0.1)
                assert process.popen.poll() is None, process.tail()
        url = f"http://127.0.0.1:{port}/metrics"
        text = await asyncio.to_thread(fetch, url)
        assert process.popen.poll() is None, process.tail()
    if newer("5.0", release):
        # It reads a property of API 5.0; a host that has it not says so, and the exporter lives on.
        assert "Invalid property: guest.toolsVersionStatus2" in log.read_text()
        return
    assert "Collection failed" not in text, log.read_text()[-2000:]
    values = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")
    )

    def value(name: str, label: str) -> float:
        [found] = [
            float(number)
            for key, number in values.items()
            if key.startswith(f"{name}{{") and label in key
        ]
        return found

    async with connected(esx) as client:
        row = await client.get(esx.host.ref, "name", "hardware", "summary.hardware")
    host = f'host_name="{row["name"]}"'
    assert value("vmware_host_num_cpu", host) == row["summary.hardware"].numCpuCores
    assert value("vmware_host_memory_max", host) == row["hardware"].memorySize / (1 << 20)
    assert value("vmware_vm_power_state", 'vm_name="one"') == 0.0
    assert value("vmware_vm_memory_max", 'vm_name="one"') == 64
    store = esx.datastores["datastore1"]
    assert value("vmware_datastore_capacity_size", 'ds_name="datastore1"') == store.capacity


def fetch(url: str) -> str:
    """Return a page, that of an error too."""
    try:
        answer = urllib.request.urlopen(url, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text: str = answer.read().decode()
        return text
