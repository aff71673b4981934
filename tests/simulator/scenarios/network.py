"""Port groups and virtual switches."""

from __future__ import annotations

from typing import Any

from tests.simulator.stage import Stage, adapter, added, outcome, scenario
from tests.simulator.values import Obj, new


def group(name: str, vlan: int = 5, switch: str = "vSwitch0") -> Obj:
    # Something in the policy: suds leaves an element without content out.
    policy = new("HostNetworkPolicy", nicTeaming=new("HostNicTeamingPolicy", notifySwitches=True))
    return new("HostPortGroupSpec", name=name, vlanId=vlan, vswitchName=switch, policy=policy)


def add(stage: Stage, spec: Obj) -> None:
    stage.call("AddPortGroup", stage.network, portgrp=spec)


def group_added(stage: Stage) -> str:
    add(stage, group(name := f"group {stage.name()}"))
    return name


def switch_added(stage: Stage, **args: Any) -> str:
    stage.call("AddVirtualSwitch", stage.network, vswitchName=(name := f"v{stage.name()}"), **args)
    return name


def groups(stage: Stage) -> dict[str, int]:
    """Return the VLANs of the host's port groups."""
    info = stage.get(stage.network, "networkInfo")
    return {item.spec.name: item.spec.vlanId for item in info.portgroup}


@scenario()
def adds_a_port_group(stage: Stage) -> Any:
    name = group_added(stage)
    return [groups(stage)[name]]


@scenario()
def adds_a_port_group_twice(stage: Stage) -> Any:
    return outcome(add, stage, group(group_added(stage)))


@scenario()
def adds_a_port_group_of_vlan_5000(stage: Stage) -> Any:
    return outcome(add, stage, group(stage.name(), 5000))


@scenario()
def adds_a_port_group_to_an_unknown_switch(stage: Stage) -> Any:
    return outcome(add, stage, group(stage.name(), switch="vSwitch9"))


@scenario()
def changes_a_port_group(stage: Stage) -> Any:
    args = {"pgName": (name := group_added(stage)), "portgrp": group(name, 6)}
    return outcome(stage.call, "UpdatePortGroup", stage.network, **args)


@scenario()
def removes_a_port_group(stage: Stage) -> Any:
    stage.call("RemovePortGroup", stage.network, pgName=(name := group_added(stage)))
    return name in groups(stage)


@scenario()
def removes_an_unknown_port_group(stage: Stage) -> Any:
    return outcome(stage.call, "RemovePortGroup", stage.network, pgName="nobody")


@scenario()
def removes_a_port_group_in_use(stage: Stage) -> Any:
    name = group_added(stage)
    stage.done("PowerOnVM_Task", stage.create(deviceChange=added(adapter(name))))
    return outcome(stage.call, "RemovePortGroup", stage.network, pgName=name)


@scenario()
def sees_a_port_group_in_the_inventory(stage: Stage) -> Any:
    name = group_added(stage)
    return name in [stage.get(network, "name") for network in stage.all("Network")]


@scenario()
def sees_a_port_group_in_the_hosts_configuration(stage: Stage) -> Any:
    name = group_added(stage)
    found = stage.get(stage.host, "config.network.portgroup")
    return name in [item.spec.name for item in found]


@scenario()
def sees_a_port_group_among_the_hosts_networks(stage: Stage) -> Any:
    name = group_added(stage)
    return name in stage.client.get_many(stage.get(stage.host, "network"), "name")


@scenario()
def adds_a_switch(stage: Stage) -> Any:
    name = switch_added(stage, spec=new("HostVirtualSwitchSpec", numPorts=64))
    info = stage.get(stage.network, "networkInfo")
    return [item.spec.numPorts for item in info.vswitch if item.name == name]


@scenario()
def adds_a_switch_twice(stage: Stage) -> Any:
    return outcome(stage.call, "AddVirtualSwitch", stage.network, vswitchName="vSwitch0")


@scenario()
def changes_a_switch(stage: Stage) -> Any:
    spec = new("HostVirtualSwitchSpec", numPorts=128)
    args = {"vswitchName": switch_added(stage), "spec": spec}
    return outcome(stage.call, "UpdateVirtualSwitch", stage.network, **args)


@scenario()
def removes_a_switch(stage: Stage) -> Any:
    name = switch_added(stage)
    return outcome(stage.call, "RemoveVirtualSwitch", stage.network, vswitchName=name)


@scenario()
def removes_an_unknown_switch(stage: Stage) -> Any:
    return outcome(stage.call, "RemoveVirtualSwitch", stage.network, vswitchName="nobody")


@scenario()
def adds_an_adapter_of_the_kernel(stage: Stage) -> Any:
    nic = new("HostVirtualNicSpec", ip=new("HostIpConfig", dhcp=True))
    args = {"portgroup": group_added(stage), "nic": nic}
    return outcome(stage.call, "AddVirtualNic", stage.network, **args)


@scenario()
def changes_the_network_as_a_whole(stage: Stage) -> Any:
    change = new("HostPortGroupConfig", changeOperation="add", spec=group(name := stage.name()))
    config = new("HostNetworkConfig", portgroup=[change])
    stage.call("UpdateNetworkConfig", stage.network, config=config, changeMode="modify")
    return name in groups(stage)
