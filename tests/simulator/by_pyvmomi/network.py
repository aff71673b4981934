"""Port groups and virtual switches."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_pyvmomi.stage import Stage, adapter, outcome, scenario
from tests.simulator.vmomi import vim


def group(name: str, vlan: int = 5, switch: str = "vSwitch0") -> Any:
    return vim.host.PortGroup.Specification(
        name=name, vlanId=vlan, vswitchName=switch, policy=vim.host.NetworkPolicy()
    )


def added(stage: Stage) -> str:
    stage.network.AddPortGroup(group(name := f"group {stage.name()}"))
    return name


@scenario
def adds_a_port_group(stage: Stage) -> Any:
    name = added(stage)
    info = stage.network.networkInfo
    return [item.spec.vlanId for item in info.portgroup if item.spec.name == name]


@scenario
def adds_a_port_group_twice(stage: Stage) -> Any:
    return outcome(lambda: stage.network.AddPortGroup(group(added(stage))))


@scenario
def adds_a_port_group_of_vlan_5000(stage: Stage) -> Any:
    return outcome(lambda: stage.network.AddPortGroup(group(stage.name(), 5000)))


@scenario
def adds_a_port_group_to_no_switch(stage: Stage) -> Any:
    return outcome(lambda: stage.network.AddPortGroup(group(stage.name(), switch="vSwitch9")))


@scenario
def changes_a_port_group(stage: Stage) -> Any:
    name = added(stage)
    return outcome(lambda: stage.network.UpdatePortGroup(name, group(name, 6)))


@scenario
def removes_a_port_group(stage: Stage) -> Any:
    stage.network.RemovePortGroup(name := added(stage))
    info = stage.network.networkInfo
    return name in [item.spec.name for item in info.portgroup]


@scenario
def removes_a_port_group_that_is_none(stage: Stage) -> Any:
    return outcome(lambda: stage.network.RemovePortGroup("nobody"))


@scenario
def removes_a_port_group_in_use(stage: Stage) -> Any:
    name = added(stage)
    change = vim.vm.device.VirtualDeviceSpec(operation="add", device=adapter(name))
    vm = stage.create(deviceChange=[change])
    stage.done(vm.PowerOnVM_Task())
    return outcome(lambda: stage.network.RemovePortGroup(name))


@scenario
def sees_a_port_group_in_the_inventory(stage: Stage) -> Any:
    name = added(stage)
    return name in [network.name for network in stage.all(vim.Network)]


@scenario
def sees_a_port_group_in_the_hosts_configuration(stage: Stage) -> Any:
    name = added(stage)
    groups = stage.host.config.network.portgroup
    return name in [item.spec.name for item in groups]


@scenario
def sees_a_port_group_among_the_hosts_networks(stage: Stage) -> Any:
    name = added(stage)
    return name in [network.name for network in stage.host.network]


@scenario
def adds_a_switch(stage: Stage) -> Any:
    stage.network.AddVirtualSwitch(
        name := f"v{stage.name()}", spec=vim.host.VirtualSwitch.Specification(numPorts=64)
    )
    info = stage.network.networkInfo
    return [item.spec.numPorts for item in info.vswitch if item.name == name]


@scenario
def adds_a_switch_twice(stage: Stage) -> Any:
    return outcome(lambda: stage.network.AddVirtualSwitch("vSwitch0"))


@scenario
def changes_a_switch(stage: Stage) -> Any:
    stage.network.AddVirtualSwitch(name := f"v{stage.name()}")
    spec = vim.host.VirtualSwitch.Specification(numPorts=128)
    return outcome(lambda: stage.network.UpdateVirtualSwitch(name, spec))


@scenario
def removes_a_switch(stage: Stage) -> Any:
    stage.network.AddVirtualSwitch(name := f"v{stage.name()}")
    return outcome(lambda: stage.network.RemoveVirtualSwitch(name))


@scenario
def removes_a_switch_that_is_none(stage: Stage) -> Any:
    return outcome(lambda: stage.network.RemoveVirtualSwitch("nobody"))


@scenario
def adds_an_adapter_of_the_kernel(stage: Stage) -> Any:
    nic = vim.host.VirtualNic.Specification(ip=vim.host.IpConfig(dhcp=True))
    return outcome(lambda: stage.network.AddVirtualNic(added(stage), nic))


@scenario
def changes_the_network_as_a_whole(stage: Stage) -> Any:
    name = stage.name()
    change = vim.host.PortGroup.Config(changeOperation="add", spec=group(name))
    config = vim.host.NetworkConfig(portgroup=[change])
    stage.network.UpdateNetworkConfig(config, "modify")
    info = stage.network.networkInfo
    return name in [item.spec.name for item in info.portgroup]
