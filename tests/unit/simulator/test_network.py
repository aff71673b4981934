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
