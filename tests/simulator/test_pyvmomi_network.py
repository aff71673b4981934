from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import Host
from tests.simulator.vmomi import vim, vmodl

pytestmark = pytest.mark.slow


def group(name: str, vlan: int = 0, switch: str = "vSwitch0", **policy: Any) -> Any:
    return vim.host.PortGroup.Specification(
        name=name, vlanId=vlan, vswitchName=switch, policy=vim.host.NetworkPolicy(**policy)
    )


def system(host: Host) -> Any:
    return host.system.configManager.networkSystem


def test_a_port_group_is_seen_everywhere(shared: Host) -> None:
    system(shared).AddPortGroup(group("seen", 100))
    for info in (system(shared).networkInfo, shared.system.config.network):
        [found] = [each for each in info.portgroup if each.spec.name == "seen"]
        assert found.spec.vlanId == 100
        assert found.vswitch == "key-vim.host.VirtualSwitch-vSwitch0"
        assert found.computedPolicy.security.macChanges is True
        [switch] = [each for each in info.vswitch if each.name == "vSwitch0"]
        assert found.key in switch.portgroup
    for networks in (
        shared.system.network,
        shared.datacenter.network,
        shared.datacenter.networkFolder.childEntity,
    ):
        assert "seen" in [each.name for each in networks]
    [network] = [each for each in shared.system.network if each.name == "seen"]
    assert network._moId == "HaNetwork-seen"
    assert network.summary.accessible


@pytest.mark.parametrize("spec", [group("near", vlan=-1), group("")])
def test_an_invalid_port_group_is_refused(shared: Host, spec: Any) -> None:
    with pytest.raises(vmodl.fault.InvalidArgument):
        system(shared).AddPortGroup(spec)


def test_a_port_group_changes(shared: Host) -> None:
    system(shared).AddPortGroup(group("early", 1))
    system(shared).UpdatePortGroup("early", group("late", 2))
    found = {each.spec.name: each.spec.vlanId for each in system(shared).networkInfo.portgroup}
    assert found["late"] == 2
    assert "early" not in found
    with pytest.raises(vim.fault.AlreadyExists):
        system(shared).UpdatePortGroup("late", group("VM Network"))
    with pytest.raises(vim.fault.NotFound):
        system(shared).UpdatePortGroup("nobody", group("x"))
    system(shared).RemovePortGroup("late")
    with pytest.raises(vim.fault.NotFound):
        system(shared).RemovePortGroup("late")
    assert "late" not in [each.name for each in shared.datacenter.network]


def test_a_policy_of_its_own_overrides_the_switch(shared: Host) -> None:
    teaming = vim.host.NetworkPolicy.NicTeamingPolicy(notifySwitches=False)
    system(shared).AddPortGroup(group("own policy", nicTeaming=teaming))
    [found] = [
        each for each in system(shared).networkInfo.portgroup if each.spec.name == "own policy"
    ]
    assert found.computedPolicy.nicTeaming.notifySwitches is False
    assert found.computedPolicy.nicTeaming.policy == "loadbalance_srcid"


def test_the_management_network_is_in_use(shared: Host) -> None:
    with pytest.raises(vim.fault.ResourceInUse):
        system(shared).RemovePortGroup("Management Network")
    with pytest.raises(vim.fault.ResourceInUse):
        system(shared).RemoveVirtualSwitch("vSwitch0")


def test_a_switch_with_an_adapter(shared: Host) -> None:
    bridge = vim.host.VirtualSwitch.BondBridge(nicDevice=["vmnic1"])
    system(shared).AddVirtualSwitch(
        "vSwitch1", vim.host.VirtualSwitch.Specification(numPorts=64, bridge=bridge, mtu=9000)
    )
    [switch] = [each for each in system(shared).networkInfo.vswitch if each.name == "vSwitch1"]
    assert switch.pnic == ["key-vim.host.PhysicalNic-vmnic1"]
    assert (switch.mtu, switch.numPorts) == (9000, 64)
    with pytest.raises(vim.fault.AlreadyExists):
        system(shared).AddVirtualSwitch("vSwitch1", None)
    with pytest.raises(vim.fault.ResourceInUse):
        system(shared).AddVirtualSwitch(
            "vSwitch2", vim.host.VirtualSwitch.Specification(numPorts=8, bridge=bridge)
        )
    wrong = vim.host.VirtualSwitch.BondBridge(nicDevice=["vmnic7"])
    with pytest.raises(vim.fault.HostConfigFault):
        system(shared).AddVirtualSwitch(
            "vSwitch2", vim.host.VirtualSwitch.Specification(numPorts=8, bridge=wrong)
        )
    system(shared).AddPortGroup(group("on it", switch="vSwitch1"))
    system(shared).RemoveVirtualSwitch("vSwitch1")
    assert "on it" not in [each.name for each in shared.datacenter.network]


def test_physical_adapters(shared: Host) -> None:
    adapters = {each.device: each for each in system(shared).networkInfo.pnic}
    assert {"vmnic0", "vmnic1", "vmnic10"} == set(adapters)
    assert adapters["vmnic10"].linkSpeed is None
    assert shared.system.summary.hardware.numNics == 3


def test_a_running_machine_has_a_port(shared: Host) -> None:
    vm = shared.create("ported", nic=True)
    shared.done(vm.PowerOnVM_Task())
    [found] = [
        each for each in system(shared).networkInfo.portgroup if each.spec.name == "VM Network"
    ]
    nic = next(d for d in vm.config.hardware.device if d.key == 4000)
    assert nic.connectable.connected
    assert [nic.macAddress] in [port.mac for port in found.port]
    shared.done(vm.PowerOffVM_Task())
    [found] = [
        each for each in system(shared).networkInfo.portgroup if each.spec.name == "VM Network"
    ]
    assert list(found.port) == []


def test_the_host_describes_itself(shared: Host) -> None:
    summary = shared.system.summary
    assert summary.config.product.apiType == "HostAgent"
    assert summary.hardware.memorySize == 128 << 30
    assert shared.system.hardware.cpuInfo.numCpuCores == 16
    assert shared.system.runtime.connectionState == "connected"
    assert shared.system.config.fileSystemVolume.mountInfo[0].volume.name == "datastore1"
    store = shared.datacenter.datastore[0]
    assert store.summary.type == "VMFS"
    assert store.summary.url == f"ds:///vmfs/volumes/{store._moId}/"
    assert store.host[0].mountInfo.accessMode == "readWrite"
    assert store.info.vmfs.uuid == store._moId


def test_many_changes_in_one_call(shared: Host) -> None:
    network = vim.host.NetworkSystem
    switch = vim.host.VirtualSwitch.Config(
        changeOperation="add",
        name="vSwitch7",
        spec=vim.host.VirtualSwitch.Specification(numPorts=16),
    )
    groups = [
        vim.host.PortGroup.Config(changeOperation="add", spec=group(name, 7, "vSwitch7"))
        for name in ("seven a", "seven b")
    ]
    config = vim.host.NetworkConfig(vswitch=[switch], portgroup=groups)
    assert isinstance(system(shared), network)
    system(shared).UpdateNetworkConfig(config, "modify")
    assert {"seven a", "seven b"} <= {each.name for each in shared.datacenter.network}
    gone = vim.host.PortGroup.Config(changeOperation="remove", spec=group("seven a", 7, "vSwitch7"))
    system(shared).UpdateNetworkConfig(vim.host.NetworkConfig(portgroup=[gone]), "modify")
    assert "seven a" not in [each.name for each in shared.datacenter.network]
    with pytest.raises(vmodl.fault.NotSupported):
        system(shared).UpdateNetworkConfig(config, "replace")
