"""VLAN networks: a port group for each VLAN, made where it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from driver.errors import ForeignPortGroupError, NetworkNotFoundError, PortGroupInUseError
from driver.networks import ownership
from driver.networks.facts import (
    PortGroup,
    check_port_group,
    find_port_group,
    network_system,
    read_network,
    switch_on,
)
from vimlib import vim25
from vimlib.session.shield import finish
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from driver.config import DriverConfig
    from vimlib.client import Client

__all__ = ["ensure_vlan", "remove_vlan"]

_HIGHEST_VLAN = 4094  # IEEE 802.1Q; 4095 would trunk every VLAN into the machine


async def ensure_vlan(
    client: Client, name: str, vlan: int, config: DriverConfig, *, interface: str = "vmnic0"
) -> PortGroup:
    """Return the port group `name` for `vlan` on the switch of `interface`, made if it was missing.

    Cancelling while it is being made lets that call end; the port group then stays and is ours.

    Raises:
        UsageError: No VLAN id is like that.
        PhysicalNICNotFoundError: There is no such NIC, or no virtual switch on it.
        PortGroupMismatchError: It exists, on another switch or with another VLAN id.
    """
    if not 0 <= vlan <= _HIGHEST_VLAN:
        raise UsageError(f"{vlan} is no VLAN id", hint=f"Give 0 (untagged) to {_HIGHEST_VLAN}.")
    if not name or len(name) > 80 or not name.isprintable():
        raise UsageError("a port group needs a printable name of at most 80 characters")
    system = await network_system(client)
    info = await read_network(client, system)
    vswitch = switch_on(info, interface)
    group = find_port_group(info, name)
    if group is None:
        await finish(_add(client, system, name, vlan, vswitch, config))
        group = find_port_group(await read_network(client, system), name)
        if group is None:
            raise NetworkNotFoundError(name, [g.spec.name for g in info.portgroup])
    check_port_group(group, vswitch=vswitch, vlan=vlan)
    return group


async def _add(
    client: Client,
    system: vim25.HostNetworkSystem,
    name: str,
    vlan: int,
    vswitch: str,
    config: DriverConfig,
) -> None:
    await ownership.remember(client, config.owner, name, vlan)
    spec = vim25.HostPortGroupSpec(
        name=name,
        vlanId=vlan,
        vswitchName=vswitch,
        policy=vim25.HostNetworkPolicy(
            nicTeaming=vim25.HostNicTeamingPolicy(notifySwitches=True)
        ),
    )
    try:
        await system.AddPortGroup(spec)
    except vim25.AlreadyExists:
        # Somebody was quicker. The caller reads it back and checks it; it is theirs.
        await ownership.forget(client, config.owner, name)


async def _users(client: Client, name: str, info: vim25.HostNetworkInfo) -> list[str]:
    """Return names of machines and host adapters on a port group."""
    networks = {
        row.obj async for row in client.collect(vim25.Network, "name") if row.props.get("name") == name
    }
    users = [nic.device for nic in (*info.vnic, *info.consoleVnic) if nic.portgroup == name]
    async for row in client.collect(vim25.VirtualMachine, "name", "network"):
        if networks.intersection(row.props.get("network") or ()):
            users.append(str(row.props.get("name")))
    return users


async def remove_vlan(client: Client, name: str, config: DriverConfig) -> None:
    """Remove a port group that we made and nothing uses (`HostNetworkSystem.RemovePortGroup`).

    Cancelling lets the call that is under way end.

    Raises:
        NetworkNotFoundError: There is none of that name.
        ForeignPortGroupError: We did not make it.
        PortGroupInUseError: Machines or adapters of the host use it.
    """
    system = await network_system(client)
    info = await read_network(client, system)
    if find_port_group(info, name) is None:
        raise NetworkNotFoundError(name, sorted(g.spec.name for g in info.portgroup))
    if not await ownership.is_ours(client, config.owner, name):
        raise ForeignPortGroupError(name)
    users = await _users(client, name, info)
    if users:
        raise PortGroupInUseError(name, sorted(users))

    async def remove() -> None:
        try:
            await system.RemovePortGroup(name)
        except vim25.ResourceInUse:
            raise PortGroupInUseError(name, ["somebody, since a moment ago"]) from None
        except vim25.NotFound:
            pass  # gone meanwhile, which is what was asked for
        await ownership.forget(client, config.owner, name)

    await finish(remove())
