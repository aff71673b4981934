"""VLAN networks: a port group for each VLAN, made where it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._journal import AddingPortGroup, MemoryJournal, settled
from vimdriver._journal.entries import new_token
from vimdriver._networks import ownership
from vimdriver._networks.facts import (
    PortGroup,
    check_port_group,
    check_vlan,
    find_port_group,
    network_system,
    read_network,
    switch_on,
)
from vimdriver._steps.outcome import find_out
from vimdriver.errors import ForeignPortGroupError, NetworkNotFoundError, PortGroupInUseError
from vimlib import vim25
from vimlib._inventory import unescape
from vimlib._session.shield import finish
from vimlib.errors import OutcomeUnknownError, VimlibError

if TYPE_CHECKING:
    from vimdriver._config import DriverConfig
    from vimdriver._journal import Journal
    from vimlib._client import Client
    from vimlib._datastore import DatastorePath

__all__ = ["EnsuredVlan", "ensure_vlan", "remove_unused", "remove_vlan"]


async def ensure_vlan(
    client: Client,
    name: str,
    vlan: int,
    config: DriverConfig,
    *,
    interface: str = "vmnic0",
    journal: Journal | None = None,
) -> PortGroup:
    """Return the port group `name` for `vlan` on the switch of `interface`, made if it was missing.

    Cancelling while it is being made lets that call end; the port group then stays and is ours.

    Raises:
        JournalError: It could not be written down, so it was not made.
        UsageError: No VLAN id is like that.
        PhysicalNICNotFoundError: There is no such NIC, or no virtual switch on it.
        PortGroupMismatchError: It exists, on another switch or with another VLAN id.
        OutcomeUnknownError: The host did not answer, and it is not there.
    """
    journal = journal or MemoryJournal()
    made = EnsuredVlan(client, name, vlan, config, interface=interface, journal=journal)
    async with settled(journal, made.token):
        return await made.ensure()


class EnsuredVlan:
    """A port group for a VLAN that is made sure of, and the way back.

    What it begins is written in `journal` under `token`; whoever knows the end closes that entry.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        vlan: int,
        config: DriverConfig,
        *,
        interface: str = "vmnic0",
        journal: Journal | None = None,
        spawn: str = "",
    ) -> None:
        check_vlan(name, vlan)
        self.token = new_token()
        self.journal = journal or MemoryJournal()
        self.spawn = spawn
        self.client = client
        self.name = name
        self.vlan = vlan
        self.config = config
        self.interface = interface
        self._note: DatastorePath | None = None
        """Note of the port group that this has made; None if it was there."""

    async def ensure(self) -> PortGroup:
        """See `ensure_vlan`."""
        system = await network_system(self.client)
        info = await read_network(self.client, system)
        vswitch = switch_on(info, self.interface)
        group = find_port_group(info, self.name)
        if group is None:
            await finish(self._add(system, vswitch), what=f"port group {self.name}")
            group = find_port_group(await read_network(self.client, system), self.name)
            if group is None:
                raise NetworkNotFoundError(
                    name=self.name, known=[g.spec.name for g in info.portgroup]
                )
        check_port_group(group, vswitch=vswitch, vlan=self.vlan)
        return group

    async def _add(self, system: vim25.HostNetworkSystem, vswitch: str) -> None:
        """`HostNetworkSystem.AddPortGroup`; what becomes of it, the note agrees with it."""
        spec = vim25.HostPortGroupSpec(
            name=self.name,
            vlanId=self.vlan,
            vswitchName=vswitch,
            policy=vim25.HostNetworkPolicy(
                nicTeaming=vim25.HostNicTeamingPolicy(notifySwitches=True)
            ),
        )
        owner = self.config.owner
        note = await ownership.new_note(self.client, owner, self.name)
        await self.journal.begin(
            AddingPortGroup(
                token=self.token,
                host=self.client.host,
                owner=owner,
                name=self.name,
                note=str(note),
                spawn=self.spawn,
            )
        )
        await ownership.remember(self.client, owner, self.name, self.vlan, note)
        try:
            await system.AddPortGroup(spec)
        except vim25.AlreadyExists:
            # Somebody was quicker: it is theirs, and the caller reads it back and checks it.
            await ownership.take_back(self.client, note)
            return
        except VimlibError as error:
            found = await self._look(system) if error.outcome == "unknown" else None
            if found is None:
                await ownership.take_back(self.client, note)
                raise
            if found != PortGroup(name=self.name, vlan=self.vlan, vswitch=vswitch):
                # Not what was asked for, so somebody was quicker: the answer was that.
                await ownership.take_back(self.client, note)
                return
        self._note = note

    async def _look(self, system: vim25.HostNetworkSystem) -> PortGroup | None:
        """What the host has after a call that it gave no answer to."""

        async def look() -> PortGroup | None:
            return find_port_group(await read_network(self.client, system), self.name)

        return await find_out(self.client, self.config, look=look, method="AddPortGroup")

    async def undo(self) -> None:
        """Remove the port group if this made it and nobody uses it by now."""
        if self._note is None:
            return
        if not await remove_unused(self.client, self.name, self.config):
            return  # theirs as well by now, and the note stays
        await ownership.take_back(self.client, self._note)


async def _remove(
    client: Client, system: vim25.HostNetworkSystem, name: str, config: DriverConfig
) -> None:
    """`HostNetworkSystem.RemovePortGroup`; that it is gone is what was asked for."""

    async def is_gone() -> bool | None:
        return find_port_group(await read_network(client, system), name) is None or None

    try:
        await system.RemovePortGroup(name)
    except vim25.ResourceInUse:
        raise PortGroupInUseError(name=name, users=["another user of the host"]) from None
    except vim25.NotFound:
        return
    except OutcomeUnknownError:
        if not await find_out(client, config, look=is_gone, method="RemovePortGroup"):
            raise


async def _users(client: Client, name: str, info: vim25.HostNetworkInfo) -> list[str]:
    """Return names of machines and host adapters on a port group."""
    networks = {
        row.obj
        async for row in client.collect(vim25.Network, "name")
        if unescape(row.props.get("name", "")) == name
    }
    users = [nic.device for nic in (*info.vnic, *info.consoleVnic) if nic.portgroup == name]
    async for row in client.collect(vim25.VirtualMachine, "name", "network"):
        if networks.intersection(row.props.get("network") or ()):
            users.append(str(row.props.get("name")))
    return users


async def remove_unused(client: Client, name: str, config: DriverConfig) -> bool:
    """Remove a port group of ours unless somebody uses it; False then. Bears that it is gone.

    Cancelling lets the call that is under way end.
    """
    system = await network_system(client)
    info = await read_network(client, system)
    if find_port_group(info, name) is not None:
        if await _users(client, name, info):
            return False
        try:
            await finish(_remove(client, system, name, config), what=f"removal of {name}")
        except PortGroupInUseError:
            return False
    return True


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
    group = find_port_group(info, name)
    if group is None:
        raise NetworkNotFoundError(name=name, known=sorted(g.spec.name for g in info.portgroup))
    if not await ownership.is_ours(client, config.owner, name, group.vlan):
        raise ForeignPortGroupError(name=name)
    users = await _users(client, name, info)
    if users:
        raise PortGroupInUseError(name=name, users=sorted(users))

    async def remove() -> None:
        await _remove(client, system, name, config)
        await ownership.forget(client, config.owner, name)

    await finish(remove(), what=f"removal of port group {name}")
