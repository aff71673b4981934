"""The calls of nova's driver of 2011 to a host, and the answers that it expected.

After the description of that driver (tag 2011.2): spawn, snapshot, reboot, suspend, resume, destroy,
and the checks of its VLAN manager.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.simulator.conftest import Host, disk
from tests.simulator.vmomi import vim

pytestmark = pytest.mark.slow
KB = 1024
CONTENT = b"\x5a" * (KB * KB)


class Nova:
    """The driver's steps; N is the instance's name."""

    def __init__(self, host: Host, pem: str) -> None:
        self.host = host
        self.pem = pem

    def http(self, method: str, path: str, **more: Any) -> requests.Response:
        url = f"https://127.0.0.1:{self.host.esx.port}/folder/{path}"
        headers = {
            "Cookie": self.host.si._stub.cookie.split(";")[0],
            "User-Agent": "OpenStack-ESX-Adapter",
        }
        with requests.Session() as session:
            session.trust_env = False
            query = {"dcPath": "ha-datacenter", "dsName": "datastore1"}
            return session.request(
                method, url, params=query, headers=headers, verify=self.pem, **more
            )

    def names(self) -> list[str]:
        return [vm.name for vm in self.host.datacenter.vmFolder.childEntity]

    def spawn(self, name: str) -> Any:
        host, center = self.host, self.host.datacenter
        nic = vim.vm.device.VirtualPCNet32(
            key=-47,
            backing=vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network"),
            connectable=vim.vm.device.VirtualDevice.ConnectInfo(
                startConnected=True, connected=True, allowGuestControl=True
            ),
            addressType="manual",
            macAddress="DE:AD:BE:EF:00:00",
            wakeOnLanEnabled=True,
        )
        tools = vim.vm.ToolsConfigInfo(
            afterPowerOn=True,
            afterResume=True,
            beforeGuestStandby=True,
            beforeGuestShutdown=True,
            beforeGuestReboot=True,
        )
        change = vim.vm.device.VirtualDeviceSpec(operation="add", device=nic)
        vm = host.create(
            name, numCPUs=2, memoryMB=512, guestId="otherGuest", tools=tools, deviceChange=[change]
        )
        option = vim.option.OptionValue(
            key="machine.id", value="DE:AD:BE:EF:00:00;10.0.0.2;255.255.255.0;10.0.0.1"
        )
        host.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[option])))
        path = f"[datastore1] {name}/{name}"
        spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
            diskType="thick", adapterType="lsiLogic", capacityKb=KB
        )
        host.done(
            host.content.virtualDiskManager.CreateVirtualDisk_Task(f"{path}.vmdk", center, spec)
        )
        host.done(host.content.fileManager.DeleteDatastoreFile_Task(f"{path}-flat.vmdk", center))
        assert self.http("PUT", f"{name}/{name}-flat.vmdk", data=CONTENT).status_code == 201
        attach = disk(KB, thin=False, file=f"{path}.vmdk", operation=None)
        host.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=attach)))
        host.done(vm.PowerOnVM_Task())
        return vm


@pytest.fixture
def nova(connect: Callable[..., Host], tmp_path: Any) -> Nova:
    host = connect()
    pem = tmp_path / "host.pem"
    pem.write_bytes(host.esx.certificate_pem)
    return Nova(host, str(pem))


def test_an_empty_host_lists_nothing(nova: Nova) -> None:
    assert nova.names() == []


def test_spawn_makes_one_running_machine(nova: Nova) -> None:
    vm = nova.spawn("instance-1")
    assert nova.names() == ["instance-1"]
    summary = vm.summary
    assert (summary.config.numCpu, summary.config.memorySizeMB) == (2, 512)
    assert summary.runtime.powerState == "poweredOn"
    nic = next(d for d in vm.config.hardware.device if d.key == 4000)
    assert isinstance(nic, vim.vm.device.VirtualPCNet32)
    assert (nic.macAddress, nic.addressType) == ("DE:AD:BE:EF:00:00", "manual")
    root = next(d for d in vm.config.hardware.device if d.key == 2000)
    assert (root.capacityInKB, root.unitNumber) == (KB, 0)


def test_snapshot_copies_the_disk_of_before_and_downloads_it(nova: Nova) -> None:
    host, center = nova.host, nova.host.datacenter
    vm = nova.spawn("instance-2")
    before = next(d for d in vm.config.hardware.device if d.key == 2000).backing.fileName
    host.done(vm.CreateSnapshot_Task("instance-2-snapshot", "", True, True))
    browser = vm.datastore[0].browser
    with pytest.raises(vim.fault.FileNotFound):
        host.done(browser.SearchDatastore_Task("[datastore1] vmware-tmp", None))
    host.content.fileManager.MakeDirectory("[datastore1] vmware-tmp", center, False)
    spec = vim.VirtualDiskManager.VirtualDiskSpec(diskType="thick", adapterType="lsiLogic")
    manager = host.content.virtualDiskManager
    target = "[datastore1] vmware-tmp/copy.vmdk"
    host.done(manager.CopyVirtualDisk_Task(before, center, target, center, spec, False))
    answer = nova.http("GET", "vmware-tmp/copy-flat.vmdk")
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.content == CONTENT
    host.done(manager.DeleteVirtualDisk_Task(target, center))
    assert vm.runtime.powerState == "poweredOn"


def test_reboot_resets_without_tools_and_asks_the_guest_with_them(nova: Nova) -> None:
    vm = nova.spawn("instance-3")
    assert vm.summary.guest.toolsStatus == "toolsNotInstalled"
    nova.host.done(vm.ResetVM_Task())
    nova.host.esx.threadsafe(nova.host.esx.set_guest, "instance-3")
    assert vm.summary.guest.toolsStatus == "toolsOk"
    assert vm.summary.guest.toolsRunningStatus == "guestToolsRunning"
    vm.RebootGuest()
    assert vm.runtime.powerState == "poweredOn"


def test_suspend_and_resume(nova: Nova) -> None:
    vm = nova.spawn("instance-4")
    nova.host.done(vm.SuspendVM_Task())
    assert vm.runtime.powerState == "suspended"
    nova.host.done(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "poweredOn"


def test_destroy_unregisters_and_deletes_the_folder(nova: Nova) -> None:
    host = nova.host
    vm = nova.spawn("instance-5")
    folder = vm.config.files.vmPathName.rpartition("/")[0]
    host.done(vm.PowerOffVM_Task())
    vm.UnregisterVM()
    host.done(host.content.fileManager.DeleteDatastoreFile_Task(folder, None))
    assert nova.names() == []
    assert host.files("[datastore1]") == {}


def test_a_vlan_is_ensured(nova: Nova) -> None:
    system = nova.host.system.configManager.networkSystem
    assert "vmnic0" in [nic.device for nic in system.networkInfo.pnic]
    [switch] = [
        s for s in nova.host.system.config.network.vswitch if any("vmnic0" in key for key in s.pnic)
    ]
    teaming = vim.host.NetworkPolicy.NicTeamingPolicy(notifySwitches=True)
    spec = vim.host.PortGroup.Specification(
        name="br100",
        vlanId=100,
        vswitchName=switch.name,
        policy=vim.host.NetworkPolicy(nicTeaming=teaming),
    )
    system.AddPortGroup(spec)
    with pytest.raises(vim.fault.AlreadyExists):
        system.AddPortGroup(spec)
    [group] = [g for g in nova.host.system.config.network.portgroup if g.spec.name == "br100"]
    assert (group.spec.vlanId, group.vswitch) == (100, switch.key)
    assert "br100" in [net.summary.name for net in nova.host.system.network]
