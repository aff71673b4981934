"""Port groups of a standard switch: list them, make one for a VLAN, remove it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from vimdriver._journal import AddingPortGroup
from vimdriver._networks import notes
from vimdriver._verbs import Host, Plan, Run, Step, Within, execute, returns, verb
from vimdriver.errors import (
    ForeignPortGroupError,
    NetworkNotFoundError,
    PhysicalNICNotFoundError,
    PortGroupInUseError,
    PortGroupMismatchError,
)
from vimlib import vim25
from vimlib._inventory import unescape
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from vimlib._client import Client
    from vimlib._datastore import DatastorePath


HIGHEST_VLAN: Final = 4094
"""IEEE 802.1Q; 4095 would trunk every VLAN into the machine."""


def check_vlan(name: str, vlan: int) -> None:
    """Check name and VLAN id of a port group to make.

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


async def _network_system(
    client: Client, hosts: Iterable[vim25.HostSystem] | None = None
) -> vim25.HostNetworkSystem:
    """Return the network system of the only host (`HostSystem.configManager.networkSystem`).

    Raises:
        NotFoundError: The host has none, or there is more than one host (a vCenter: choose the host itself).
    """
    found = [
        row.props.get("configManager.networkSystem")
        async for row in client.collect(
            vim25.HostSystem, "configManager.networkSystem", source=hosts
        )
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
    info = await read_network(client, await _network_system(client))
    groups = [
        PortGroup(name=g.spec.name, vlan=g.spec.vlanId, vswitch=g.spec.vswitchName)
        for g in info.portgroup
    ]
    return sorted(groups, key=lambda g: g.name)


def switch_on(info: vim25.HostNetworkInfo, interface: str) -> str:
    """Return the name of the virtual switch on a physical NIC, found by the NIC's exact key.

    Raises:
        PhysicalNICNotFoundError: The NIC does not exist, or no virtual switch uses it.
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


@dataclass(frozen=True, slots=True)
class Network:
    """A host's network, as gathered for a plan."""

    system: vim25.HostNetworkSystem
    info: vim25.HostNetworkInfo
    datastores: tuple[str, ...] = ()
    """Where notes about port groups can be written; read only where one is to be made."""

    def names(self) -> list[str]:
        """Return the names of the port groups, sorted."""
        return sorted(group.spec.name for group in self.info.portgroup)


async def gather_network(
    host: Host, *wanted: str, hosts: Iterable[vim25.HostSystem] | None = None
) -> Network:
    """Read the host's network, and if a port group of `wanted` is missing, where a note can go.

    `hosts` are the inventory's hosts where they are known already. Cancelling loses nothing. Raises `NotFoundError`: see `list_port_groups`.
    """
    system = await _network_system(host.client, hosts)
    info = await read_network(host.client, system)
    missing = any(find_port_group(info, name) is None for name in wanted)
    stores = await notes.datastores(host.client, writable=True) if missing else ()
    return Network(system, info, tuple(stores))


def port_group_steps(
    host: Host, network: Network, name: str, vlan: int, *, interface: str, spawn: str = ""
) -> tuple[Step[Any], ...]:
    """Return the steps that make a port group; the last one's result is the `PortGroup`.

    None if it is there. `spawn` is the token of the spawn that it is made for.

    Raises:
        PhysicalNICNotFoundError: The NIC does not exist, or no virtual switch uses it.
        PortGroupMismatchError: It exists, on another switch or with another VLAN id.
        NotFoundError: No datastore can hold the note.
    """
    vswitch = switch_on(network.info, interface)
    there = find_port_group(network.info, name)
    if there is not None:
        check_port_group(there, vswitch=vswitch, vlan=vlan)
        return ()
    wanted = PortGroup(name=name, vlan=vlan, vswitch=vswitch)
    system = network.system
    note = notes.new_note(network.datastores, host.owner, name)
    entry = AddingPortGroup(
        host=host.client.host, owner=host.owner, name=name, note=str(note), spawn=spawn
    )

    async def add(run: Run) -> bool:
        teaming = vim25.HostNicTeamingPolicy(notifySwitches=True)
        policy = vim25.HostNetworkPolicy(nicTeaming=teaming)
        await system.AddPortGroup(
            vim25.HostPortGroupSpec(name=name, vlanId=vlan, vswitchName=vswitch, policy=policy)
        )
        return True

    def not_ours(run: Run, fault: vim25.MethodFault) -> bool:
        if isinstance(fault, vim25.AlreadyExists):
            return False  # somebody was quicker: it is theirs, and is read and checked below
        raise fault

    async def is_ours(run: Run) -> bool | None:
        found = find_port_group(await read_network(run.host.client, system), name)
        # Another one than was asked for: somebody was quicker, and the lost answer was AlreadyExists.
        return None if found is None else found == wanted

    async def remove_group(run: Run, ours: bool) -> None:
        if ours:
            await remove_unused(run.host, name)

    async def remove_note(run: Run, _: object) -> None:
        # Where others use our port group by now it stays, and so does the note.
        stays = run.get(added) and await is_ours(run)
        if not stays:
            await run.host.delete(note)

    async def check(run: Run) -> PortGroup:
        if not run[added]:
            await run.host.delete(note)
        now = Network(system, await read_network(run.host.client, system))
        found = find_port_group(now.info, name)
        if found is None:
            raise NetworkNotFoundError(name=name, known=now.names())
        check_port_group(found, vswitch=vswitch, vlan=vlan)
        return found

    folder = Step[None](
        title=f"make folder {note.parent}", call=lambda run: notes.make_folder(run.host, note)
    )
    noted = Step[Any](
        title=f"note in {note} that port group {name!r} is ours",
        makes=str(note),
        call=lambda run: notes.write(run.host, note, name, vlan),
        undo=remove_note,
        entry=lambda run: entry,
    )
    added = Step[bool](
        title=f"add port group {name!r} for VLAN {vlan} to {vswitch} (AddPortGroup)",
        makes=f"port group {name}",
        call=add,
        probe=is_ours,
        undo=remove_group,
        refused=not_ours,
        method="AddPortGroup",
    )
    checked = Step[PortGroup](title=f"read port group {name!r} back", call=check)
    return (folder, noted, added, checked)


@verb
async def ensure_vlan(
    host: Host,
    name: str,
    vlan: Annotated[int, Within(0, HIGHEST_VLAN)],
    *,
    interface: str = "vmnic0",
) -> Plan[PortGroup]:
    """Return the port group for a VLAN, made on the switch of `interface` if it is missing.

    Cancelling removes it again.

    Args:
        host: The host.
        name: Name of the port group.
        vlan: VLAN id, 0 (untagged) to 4094.
        interface: The physical NIC whose virtual switch the port group is on.

    Raises:
        JournalError: It could not be written down, so it was not made.
        UsageError: The VLAN id or the name is not valid.
        PhysicalNICNotFoundError: The NIC does not exist, or no virtual switch uses it.
        PortGroupMismatchError: It exists, on another switch or with another VLAN id.
        OutcomeUnknownError: The host did not answer, and it is not there.
    """
    check_vlan(name, vlan)
    network = await gather_network(host, name)
    steps = port_group_steps(host, network, name, vlan, interface=interface)

    async def result(run: Run) -> PortGroup:
        there = find_port_group(network.info, name)
        made: PortGroup = run[steps[-1]] if there is None else there
        return made

    return Plan(f"ensure VLAN {vlan} on {name!r}", steps, result)


def _remove_step(system: vim25.HostNetworkSystem, name: str) -> Step[bool]:
    """Return the step that removes a port group. One that is gone is not an error."""

    async def probe(run: Run) -> bool | None:
        return find_port_group(await read_network(run.host.client, system), name) is None or None

    def refused(run: Run, fault: vim25.MethodFault) -> bool:
        if isinstance(fault, vim25.ResourceInUse):
            raise PortGroupInUseError(name=name, users=["another user of the host"]) from None
        if isinstance(fault, vim25.NotFound):
            return True
        raise fault

    return Step(
        title=f"remove port group {name!r} (RemovePortGroup)",
        call=lambda run: system.RemovePortGroup(name),
        probe=probe,
        refused=refused,
        method="RemovePortGroup",
    )


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


async def remove_unused(host: Host, name: str) -> bool:
    """Remove a port group of ours unless somebody uses it; False then. One that is gone is fine.

    Cancelling lets the call that is under way end.
    """
    network = await gather_network(host)
    if find_port_group(network.info, name) is not None:
        if await _users(host.client, name, network.info):
            return False
        step = _remove_step(network.system, name)
        try:
            await execute(host, Plan(f"remove {name!r}", (step,), returns(None)))
        except PortGroupInUseError:
            return False
    return True


@verb
async def remove_vlan(host: Host, name: str) -> Plan[None]:
    """Remove a port group that this driver made and nothing uses (`RemovePortGroup`).

    Cancelling lets the call that is under way end.

    Raises:
        NetworkNotFoundError: It does not exist.
        ForeignPortGroupError: This driver did not make it.
        PortGroupInUseError: Machines or adapters of the host use it.
    """
    network = await gather_network(host)
    group = find_port_group(network.info, name)
    if group is None:
        raise NetworkNotFoundError(name=name, known=network.names())
    found = await notes.notes_of(host, name)
    if group.vlan not in [await notes.vlan_of(host, note) for note in found]:
        raise ForeignPortGroupError(name=name)
    users = await _users(host.client, name, network.info)
    if users:
        raise PortGroupInUseError(name=name, users=sorted(users))
    forget: list[Step[Any]] = [
        Step[None](title=f"remove the note {note}", call=_deletes(note)) for note in found
    ]
    steps = (_remove_step(network.system, name), *forget)
    return Plan(f"remove port group {name!r}", steps, returns(None))


def _deletes(path: DatastorePath) -> Callable[[Run], Awaitable[None]]:
    return lambda run: run.host.delete(path)
