from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.simulator.conftest import Caller
from vimlib import vim25

NETWORK = vim25.HostNetworkSystem("networkSystem")


@pytest.mark.parametrize("given", ["vmnic1", "key-vim.host.PhysicalNic-vmnic1"])
async def test_a_switch_takes_an_adapter_by_its_name_and_by_its_key(
    make: Callable[..., Awaitable[Caller]], given: str
) -> None:
    call = await make(version="8.0")
    spec = vim25.HostVirtualSwitchSpec(
        numPorts=64, bridge=vim25.HostVirtualSwitchBondBridge(nicDevice=[given])
    )
    await call(vim25.HostNetworkSystem.AddVirtualSwitch, NETWORK, vswitchName="one", spec=spec)
    info = await call.read(NETWORK, "networkInfo")
    [made] = [switch for switch in info["networkInfo"].vswitch if switch.name == "one"]
    assert made.spec.bridge.nicDevice == ["vmnic1"]
    assert made.pnic == ["key-vim.host.PhysicalNic-vmnic1"]


async def test_adapters_have_heard_nothing_of_their_network(
    make: Callable[..., Awaitable[Caller]],
) -> None:
    call = await make(version="8.0")
    query = vim25.HostNetworkSystem.QueryNetworkHint
    assert [hint.device for hint in await call(query, NETWORK)][:2] == ["vmnic0", "vmnic1"]
    assert await call(query, NETWORK, device=["vmnic1"]) == [
        vim25.PhysicalNicHintInfo(device="vmnic1")
    ]
    with pytest.raises(vim25.NotFound):
        await call(query, NETWORK, device=["vmnic99"])


@pytest.mark.parametrize("ports", [-(1 << 31), 0, 4089, (1 << 31) - 1])
async def test_a_switch_has_so_many_ports_as_a_host_gives(
    make: Callable[..., Any], ports: int
) -> None:
    call = await make()
    system, spec = call.esx.networks.ref, vim25.HostVirtualSwitchSpec(numPorts=ports)
    for method, name in (
        (vim25.HostNetworkSystem.AddVirtualSwitch, "new"),
        (vim25.HostNetworkSystem.UpdateVirtualSwitch, "vSwitch0"),
    ):
        with pytest.raises(vim25.InvalidArgument) as caught:
            await call(method, system, vswitchName=name, spec=spec)
        assert caught.value.invalidProperty == "spec.numPorts"


async def test_load_balancing_is_one_of_those_that_the_host_shows(make: Callable[..., Any]) -> None:
    call = await make()
    system = call.esx.networks.ref
    known = call.esx.networks._capabilities().nicTeamingPolicy
    assert "loadbalance_ip" in known
    policy = vim25.HostNetworkPolicy(nicTeaming=vim25.HostNicTeamingPolicy(policy="round_robin"))
    switch = vim25.HostVirtualSwitchSpec(numPorts=64, policy=policy)
    group = vim25.HostPortGroupSpec(
        name="VM Network", vlanId=0, vswitchName="vSwitch0", policy=policy
    )
    for method, given in (
        (vim25.HostNetworkSystem.AddVirtualSwitch, {"vswitchName": "new", "spec": switch}),
        (vim25.HostNetworkSystem.UpdateVirtualSwitch, {"vswitchName": "vSwitch0", "spec": switch}),
        (vim25.HostNetworkSystem.AddPortGroup, {"portgrp": group}),
        (vim25.HostNetworkSystem.UpdatePortGroup, {"pgName": "VM Network", "portgrp": group}),
    ):
        with pytest.raises(vim25.InvalidArgument) as caught:
            await call(method, system, **given)
        assert caught.value.invalidProperty == "spec.policy.nicTeaming.policy"
