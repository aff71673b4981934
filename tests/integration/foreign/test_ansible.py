"""Ansible's community.vmware describes the simulated host as it is, and changes it once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.foreign.govc_page import newer
from tests.integration.peers import ansible
from tests.integration.peers.ansible import Task
from vimlib import Client, vim25
from vimlib.simulator import ESXHost

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

PLAYBOOK = Path(__file__).with_name("playbook.yml")
# What the first run changes; all else asks, or finds the host as it is wanted.
CHANGING = {
    *(
        "an option of the host",
        "ssh runs",
        "a rule set is on",
        "time servers are",
        "a user",
        "a role",
    ),
    *("machines start with the host", "a permission"),
    *("a switch", "a port group", "a resource pool", "a folder of files", "a machine"),
    *("an adapter", "a usb controller", "a serial port", "boot order", "video memory"),
    *("a snapshot", "another machine", "it runs"),
}


def checked(tasks: list[Task], at_least: int) -> dict[str, Any]:
    """Check that no task failed; return the result of each."""
    failed = [(task.name, task.result.get("msg")) for task in tasks if task.failed]
    assert not failed
    found = {task.name: task.result for task in tasks}
    assert len(found) == len(tasks) >= at_least
    assert not [name for name, result in found.items() if "exception" in result]
    return found


async def test_tasks_change_the_host_once_and_describe_it(
    esx: ESXHost, client: Client, release: str, tmp_path: Path
) -> None:
    old = newer("5.0", release)
    variables = {"guest_id": "debian5_64Guest", "usb": "usb2" if old else "usb3"}
    oldest = newer("4.1", release)
    tags = {"newer": old, "keys": newer("6.5", release), "uri": oldest}
    skip = ["missing", *(tag for tag, needed in tags.items() if needed)]
    tasks = await ansible.play(PLAYBOOK, esx, tmp_path, variables, skip=skip)
    least = 59 if oldest else 60
    found = checked(tasks, least)
    changing = CHANGING - ({"ssh runs", "a rule set is on"} if old else set())
    changing -= {"a serial port"} if oldest else set()
    assert {task.name for task in tasks if task.changed} == changing
    await check_settings(esx, client, old=old)
    usb = vim25.VirtualUSBController if old else vim25.VirtualUSBXHCIController
    check_host(esx, usb=usb, port=not oldest)
    await check_answers(found, esx, client)
    again = await ansible.play(PLAYBOOK, esx, tmp_path, variables, skip=skip)
    checked(again, least)
    # The module of users updates one that exists. `bootOrder` is of API 5.0, so 4.1 keeps none.
    always = {"a user", "boot order"} if old else {"a user"}
    assert {task.name for task in again if task.changed} == always


async def check_settings(esx: ESXHost, client: Client, *, old: bool) -> None:
    """Check the settings of the host itself."""
    paths = ("config.dateTimeInfo", "config.autoStart", "config.service", "config.firewall")
    row = await client.get(esx.host.ref, *paths, "config.option")
    assert row["config.dateTimeInfo"].ntpConfig.server == ["0.pool.ntp.org"]
    defaults = row["config.autoStart"].defaults
    assert (defaults.enabled, defaults.startDelay) == (True, 100)
    assert ("Disk.MaxLUN", 128) in {(each.key, each.value) for each in row["config.option"]}
    if not old:
        services = {each.key: each.policy for each in row["config.service"].service}
        assert services["TSM-SSH"] == "on"
        rules = {each.key: each.enabled for each in row["config.firewall"].ruleset}
        assert rules["ntpClient"] is True
    manager = client.content.authorizationManager
    assert manager is not None
    roles = (await client.get(manager, "roleList"))["roleList"]
    assert "System.View" in next(role.privilege for role in roles if role.name == "ops")
    row = await client.get(vim25.Datacenter("ha-datacenter"), "permission")
    assert [(each.principal, each.roleId) for each in row["permission"]] == [("ops", -2)]
    row = await client.get(vim25.ResourcePool("ha-root-pool"), "resourcePool")
    [pool] = row["resourcePool"]
    assert (await client.get(pool, "name"))["name"] == "p1"


def check_host(esx: ESXHost, *, usb: type[Any], port: bool) -> None:
    """Check that the host has the objects that the tasks make."""
    switch = esx.networks.switches["sw1"]
    assert (switch.pnics, switch.mtu, switch.ports) == (["vmnic1"], 9000, 64)
    group = esx.networks.groups["pg1"]
    assert (group.switch, group.vlan, group.policy.security.allowPromiscuous) == ("sw1", 20, True)
    assert (esx.datastore_path() / "isos/a.iso").read_bytes() == PLAYBOOK.read_bytes()
    machine = esx.machine("web")
    config = machine.config
    assert (config.hardware.memoryMB, config.hardware.numCPU) == (256, 2)
    assert (config.guestId, config.annotation) == ("debian5_64Guest", "made by ansible")
    assert config.cpuHotAddEnabled is True
    assert ("guestinfo.role", "web") in {(each.key, each.value) for each in config.extraConfig}
    assert [disk.capacityInKB for disk in machine.disks()] == [16 << 10]
    assert [(type(nic), machine.network_of(nic)) for nic in machine.nics()] == [
        (vim25.VirtualVmxnet3, "VM Network"),
    ]
    assert [drive.backing.fileName for drive in machine.devices(vim25.VirtualCdrom)] == [
        "[datastore1] isos/a.iso"
    ]
    assert len(machine.devices(vim25.ParaVirtualSCSIController)) == 1
    assert len(machine.devices(usb)) == 1
    found = machine.devices(vim25.VirtualSerialPort)
    shown = [(each.backing.serviceURI, each.yieldOnPoll) for each in found]
    assert shown == ([("telnet://:9001", True)] if port else [])
    assert config.bootOptions.bootDelay == 1000
    [video] = machine.devices(vim25.VirtualMachineVideoCard)
    assert video.videoRamSizeInKB == 8 << 10
    assert [(each.name, each.description) for each in machine.all_snapshots()] == [
        ("first", "before all")
    ]
    spare = esx.machine("spare")
    assert spare.power == "poweredOn"
    [nic] = spare.nics()
    assert (type(nic), spare.network_of(nic)) == (vim25.VirtualE1000, "pg1")
    assert nic.macAddress == "00:50:56:11:22:33"
    assert [disk.capacityInKB for disk in spare.disks()] == [4 << 10, 8 << 10]


async def check_answers(found: dict[str, Any], esx: ESXHost, client: Client) -> None:
    """Check that the modules that read return the state of the host."""
    about = found["about"]["about_info"]
    assert (about["product_full_name"], about["api_version"]) == (
        client.about.fullName,
        client.about.apiVersion,
    )
    [store] = found["datastores"]["datastores"]
    assert (store["name"], store["capacity"]) == (
        "datastore1",
        esx.datastores["datastore1"].capacity,
    )
    row = await client.get(esx.host.ref, "hardware")
    facts = found["facts of the host"]["ansible_facts"]
    assert facts["ansible_memtotal_mb"] == row["hardware"].memorySize >> 20
    assert facts["ansible_processor_vcpus"] == row["hardware"].cpuInfo.numCpuThreads
    assert facts["ansible_product_name"] == row["hardware"].systemInfo.model
    properties = found["facts of the host by properties"]["ansible_facts"]
    assert properties["hardware"]["memorySize"] == row["hardware"].memorySize
    [groups] = found["port groups"]["hosts_portgroup_info"].values()
    assert {group["portgroup"]: group["vlan_id"] for group in groups} == {
        name: group.vlan for name, group in esx.networks.groups.items()
    }
    [switches] = found["switches"]["hosts_vswitch_info"].values()
    assert {name: switch["mtu"] for name, switch in switches.items()} == {
        "vSwitch0": 1500,
        "sw1": 9000,
    }
    web, spare = esx.machine("web"), esx.machine("spare")
    told = found["the machine"]["instance"]
    assert (told["hw_product_uuid"], told["hw_memtotal_mb"]) == (web.config.uuid, 256)
    assert told["hw_interfaces"] == ["eth0"]
    assert told["hw_files"][0] == web.config.files.vmPathName
    assert told["current_snapshot"]["name"] == "first"
    chosen = found["the machine by properties"]["instance"]
    assert chosen["config"]["hardware"]["memoryMB"] == 256
    listed = {each["guest_name"]: each for each in found["machines"]["virtual_machines"]}
    assert {name: each["uuid"] for name, each in listed.items()} == {"web": web.config.uuid}
    [disk] = found["disks"]["guest_disk_info"].values()
    # Asked for before the snapshot, since which the machine writes to another file.
    assert (disk["backing_filename"], disk["capacity_in_kb"]) == (
        "[datastore1] web/web.vmdk",
        16 << 10,
    )
    assert found["where it is"]["folders"] == ["/ha-datacenter/vm"]
    assert found["boot options"]["vm_boot_info"]["current_boot_delay"] == 1000
    picture = found["its screen"]["screenshot_info"]["screenshot_file"]
    assert (esx.datastore_path() / picture.partition("] ")[2]).read_bytes()[:4] == b"\x89PNG"
    assert spare.moid in picture or "spare" in picture
