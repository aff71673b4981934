"""What the host's network is: read in one call, decided upon without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver.errors import NetworkNotFoundError, PhysicalNICNotFoundError, PortGroupMismatchError
from vimlib import vim25
from vimlib._inventory import unescape
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimlib._client import Client

__all__ = [
    "HIGHEST_VLAN",
    "PortGroup",
    "check_networks",
    "check_port_group",
    "check_vlan",
    "find_port_group",
    "list_port_groups",
    "network_system",
    "read_network",
    "switch_on",
]


HIGHEST_VLAN: Final = 4094
"""IEEE 802.1Q; 4095 would trunk every VLAN into the machine."""


def check_vlan(name: str, vlan: int) -> None:
    """Check name and VLAN id of a port group that shall be made.

    Raises:
        UsageError: Neither a host nor IEEE 802.1Q knows such a thing.
    """
    if not 0 <= vlan <= HIGHEST_VLAN:
        raise UsageError(f"vlan must be 0 (untagged) to {HIGHEST_VLAN}, got {vlan}", field="vlan")
    if not name or len(name) > 80 or not name.isprintable():
        raise UsageError(
            f"the name of a port group must be 1 to 80 printable characters, got {name[:100]!r}",
            field="name",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortGroup:
    """A standard port group."""

    name: str
    vlan: int
    """VLAN id; 0 untagged, 4095 all."""
    vswitch: str

    def to_json(self) -> dict[str, Any]:
        """Return the row that `vimctl network ls --json` prints."""
        return {"name": self.name, "vlan": self.vlan, "vswitch": self.vswitch}


async def check_networks(client: Client, names: Iterable[str]) -> None:
    """Check that each port group exists. Cancelling loses nothing.

    Raises:
        NetworkNotFoundError: One does not; names those that do.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return
    there = {
        # An entity's name has `/`, `\` and `%` escaped; those of port groups and of cards have not.
        unescape(row.props.get("name", ""))
        async for row in client.collect(vim25.Network, "name")
    }
    for name in wanted:
        if name not in there:
            raise NetworkNotFoundError(name=name, known=sorted(there))


async def network_system(client: Client) -> vim25.HostNetworkSystem:
    """Return the network system of the only host (`HostSystem.configManager.networkSystem`).

    Raises:
        NotFoundError: There is none, or more than one host (a vCenter: choose the host itself).
    """
    found = [
        row.props.get("configManager.networkSystem")
        async for row in client.collect(vim25.HostSystem, "configManager.networkSystem")
    ]
    if len(found) != 1 or found[0] is None:
        raise NotFoundError(
            f"port groups require exactly one host, {client.host} has {len(found)}",
            kind="HostNetworkSystem",
            hint="Connect to the ESX host itself.",
        )
    system: vim25.HostNetworkSystem = found[0]
    return system


async def read_network(client: Client, system: vim25.HostNetworkSystem) -> vim25.HostNetworkInfo:
    """Return `HostNetworkSystem.networkInfo` as it is now."""
    row = await client.get(system, "networkInfo")
    info: vim25.HostNetworkInfo = row["networkInfo"]
    return info


async def list_port_groups(client: Client) -> list[PortGroup]:
    """Return the host's standard port groups, by name. Cancelling loses nothing."""
    info = await read_network(client, await network_system(client))
    groups = [
        PortGroup(name=g.spec.name, vlan=g.spec.vlanId, vswitch=g.spec.vswitchName)
        for g in info.portgroup
    ]
    return sorted(groups, key=lambda g: g.name)


def switch_on(info: vim25.HostNetworkInfo, interface: str) -> str:
    """Return the name of the virtual switch on a physical NIC, found by the NIC's exact key.

    Raises:
        PhysicalNICNotFoundError: There is no such NIC, or no switch on it.
    """
    keys = {nic.device: nic.key for nic in info.pnic}
    if interface not in keys:
        raise PhysicalNICNotFoundError(name=interface, known=sorted(keys))
    for switch in info.vswitch:
        if keys[interface] in switch.pnic:
            return switch.name
    used = {key for switch in info.vswitch for key in switch.pnic}
    linked = sorted(device for device, key in keys.items() if key in used)
    raise PhysicalNICNotFoundError(name=interface, known=linked, linked=False)


def find_port_group(info: vim25.HostNetworkInfo, name: str) -> PortGroup | None:
    """Return the port group of that name, or None."""
    for group in info.portgroup:
        if group.spec.name == name:
            return PortGroup(name=name, vlan=group.spec.vlanId, vswitch=group.spec.vswitchName)
    return None


def check_port_group(group: PortGroup, *, vswitch: str, vlan: int) -> None:
    """Check switch, then VLAN id, in the original driver's order.

    Raises:
        PortGroupMismatchError: One differs.
    """
    if group.vswitch != vswitch:
        raise PortGroupMismatchError(
            name=group.name, fact="vswitch", expected=vswitch, actual=group.vswitch
        )
    if group.vlan != vlan:
        raise PortGroupMismatchError(name=group.name, fact="vlan", expected=vlan, actual=group.vlan)
