"""Port groups and virtual switches."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_vimlib.stage import Stage, adapter, outcome, scenario
from vimlib import vim25


def group(name: str, vlan: int = 5, switch: str = "vSwitch0") -> vim25.HostPortGroupSpec:
    return vim25.HostPortGroupSpec(
        name=name, vlanId=vlan, vswitchName=switch, policy=vim25.HostNetworkPolicy()
    )


async def added(stage: Stage) -> str:
    await stage.network.AddPortGroup(group(name := f"group {stage.name()}"))
    return name


@scenario
async def adds_a_port_group(stage: Stage) -> Any:
    name = await added(stage)
    info = await stage.read(stage.network, "networkInfo")
    return [item.spec.vlanId for item in info.portgroup if item.spec.name == name]


@scenario
async def adds_a_port_group_twice(stage: Stage) -> Any:
    return await outcome(stage.network.AddPortGroup(group(await added(stage))))


@scenario
async def adds_a_port_group_of_vlan_5000(stage: Stage) -> Any:
    return await outcome(stage.network.AddPortGroup(group(stage.name(), 5000)))


@scenario
async def adds_a_port_group_to_no_switch(stage: Stage) -> Any:
    return await outcome(stage.network.AddPortGroup(group(stage.name(), switch="vSwitch9")))


@scenario
async def changes_a_port_group(stage: Stage) -> Any:
    name = await added(stage)
    return await outcome(stage.network.UpdatePortGroup(name, group(name, 6)))


@scenario
async def removes_a_port_group(stage: Stage) -> Any:
    await stage.network.RemovePortGroup(name := await added(stage))
    info = await stage.read(stage.network, "networkInfo")
    return name in [item.spec.name for item in info.portgroup]


@scenario
async def removes_a_port_group_that_is_none(stage: Stage) -> Any:
    return await outcome(stage.network.RemovePortGroup("nobody"))


@scenario
async def removes_a_port_group_in_use(stage: Stage) -> Any:
    name = await added(stage)
    change = vim25.VirtualDeviceConfigSpec(operation="add", device=adapter(name))
    vm = await stage.create(deviceChange=[change])
    await stage.done(vm.PowerOnVM_Task())
    return await outcome(stage.network.RemovePortGroup(name))


@scenario
async def sees_a_port_group_in_the_inventory(stage: Stage) -> Any:
    name = await added(stage)
    return name in [row["name"] async for row in stage.client.collect(vim25.Network, "name")]


@scenario
async def sees_a_port_group_in_the_hosts_configuration(stage: Stage) -> Any:
    name = await added(stage)
    groups = await stage.read(stage.host, "config.network.portgroup")
    return name in [item.spec.name for item in groups]


@scenario
async def sees_a_port_group_among_the_hosts_networks(stage: Stage) -> Any:
    name = await added(stage)
    networks = await stage.read(stage.host, "network")
    return name in [row["name"] for row in await stage.client.get(networks, "name")]


@scenario
async def adds_a_switch(stage: Stage) -> Any:
    await stage.network.AddVirtualSwitch(
        name := f"v{stage.name()}", spec=vim25.HostVirtualSwitchSpec(numPorts=64)
    )
    info = await stage.read(stage.network, "networkInfo")
    return [item.spec.numPorts for item in info.vswitch if item.name == name]


@scenario
async def adds_a_switch_twice(stage: Stage) -> Any:
    return await outcome(stage.network.AddVirtualSwitch("vSwitch0"))


@scenario
async def changes_a_switch(stage: Stage) -> Any:
    await stage.network.AddVirtualSwitch(name := f"v{stage.name()}")
    spec = vim25.HostVirtualSwitchSpec(numPorts=128)
    return await outcome(stage.network.UpdateVirtualSwitch(name, spec))


@scenario
async def removes_a_switch(stage: Stage) -> Any:
    await stage.network.AddVirtualSwitch(name := f"v{stage.name()}")
    return await outcome(stage.network.RemoveVirtualSwitch(name))


@scenario
async def removes_a_switch_that_is_none(stage: Stage) -> Any:
    return await outcome(stage.network.RemoveVirtualSwitch("nobody"))


@scenario
async def adds_an_adapter_of_the_kernel(stage: Stage) -> Any:
    nic = vim25.HostVirtualNicSpec(ip=vim25.HostIpConfig(dhcp=True))
    return await outcome(stage.network.AddVirtualNic(await added(stage), nic))


@scenario
async def changes_the_network_as_a_whole(stage: Stage) -> Any:
    name = stage.name()
    change = vim25.HostPortGroupConfig(changeOperation="add", spec=group(name))
    config = vim25.HostNetworkConfig(portgroup=[change])
    await stage.network.UpdateNetworkConfig(config, "modify")
    info = await stage.read(stage.network, "networkInfo")
    return name in [item.spec.name for item in info.portgroup]
