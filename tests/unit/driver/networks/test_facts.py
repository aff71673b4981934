from __future__ import annotations

import pytest

from vimdriver._networks.port_groups import PortGroup, check_port_group, find_port_group, switch_on
from vimdriver.errors import PhysicalNICNotFoundError, PortGroupMismatchError
from vimlib import vim25


def network() -> vim25.HostNetworkInfo:
    def pnic(device: str) -> vim25.PhysicalNic:
        return vim25.PhysicalNic(device=device, key=f"key-vim.host.PhysicalNic-{device}")  # type: ignore[call-arg]

    def switch(name: str, *devices: str) -> vim25.HostVirtualSwitch:
        keys = [f"key-vim.host.PhysicalNic-{d}" for d in devices]
        return vim25.HostVirtualSwitch(name=name, pnic=keys)  # type: ignore[call-arg]

    def group(name: str, vlan: int, vswitch: str) -> vim25.HostPortGroup:
        spec = vim25.HostPortGroupSpec(name=name, vlanId=vlan, vswitchName=vswitch)  # type: ignore[call-arg]
        return vim25.HostPortGroup(spec=spec)  # type: ignore[call-arg]

    return vim25.HostNetworkInfo(
        pnic=[pnic("vmnic0"), pnic("vmnic1"), pnic("vmnic10")],
        vswitch=[switch("vSwitch0", "vmnic0"), switch("vSwitch1", "vmnic10")],
        portgroup=[group("VM Network", 0, "vSwitch0"), group("blue", 42, "vSwitch1")],
    )


def test_the_switch_is_found_by_the_exact_key() -> None:
    assert switch_on(network(), "vmnic0") == "vSwitch0"
    assert switch_on(network(), "vmnic10") == "vSwitch1"
    # vmnic1 is a prefix of vmnic10, whose switch it must not be taken for
    with pytest.raises(PhysicalNICNotFoundError) as caught:
        switch_on(network(), "vmnic1")
    assert caught.value.known == ("vmnic0", "vmnic10")


def test_a_missing_nic_names_those_that_are_there() -> None:
    with pytest.raises(PhysicalNICNotFoundError) as caught:
        switch_on(network(), "vmnic9")
    assert caught.value.known == ("vmnic0", "vmnic1", "vmnic10")
    assert "vmnic10" in str(caught.value)


def test_port_groups_are_found_by_name() -> None:
    assert find_port_group(network(), "blue") == PortGroup(name="blue", vlan=42, vswitch="vSwitch1")
    assert find_port_group(network(), "red") is None


@pytest.mark.parametrize(
    ("vswitch", "vlan", "fact"),
    [("vSwitch0", 42, "vswitch"), ("vSwitch1", 41, "vlan"), ("vSwitch0", 41, "vswitch")],
)
def test_switch_then_vlan_are_checked(vswitch: str, vlan: int, fact: str) -> None:
    group = PortGroup(name="blue", vlan=42, vswitch="vSwitch1")
    check_port_group(group, vswitch="vSwitch1", vlan=42)
    with pytest.raises(PortGroupMismatchError) as caught:
        check_port_group(group, vswitch=vswitch, vlan=vlan)
    assert caught.value.fact == fact
