"""Port groups of a standard switch: list them, make one for a VLAN, remove it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from vimdriver._host.managers import read_manager
from vimdriver._networks import notes
from vimdriver._verbs import Host, Plan, Run, Step, after_change, execute, returns, verb
from vimdriver.errors import (
    ForeignPortGroupError,
    NetworkNotFoundError,
    PhysicalNICNotFoundError,
    PortGroupInUseError,
    PortGroupMismatchError,
)
from vimlib import vim25
from vimlib._collector import INVENTORY
from vimlib._inventory import unescape
from vimlib._text import is_line
from vimlib.errors import HostStateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
    if not name or len(name) > 80 or not is_line(name):
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


async def read_network(client: Client, system: vim25.HostNetworkSystem) -> vim25.HostNetworkInfo:
    """Return `HostNetworkSystem.networkInfo` as it is now."""
    row = await client.get(system, "networkInfo")
    info: vim25.HostNetworkInfo = row.require("networkInfo")
    return info


async def list_port_groups(client: Client) -> list[PortGroup]:
    """Return the host's standard port groups, by name, in one call. Cancelling loses nothing.

    Raises:
        NotFoundError: The host has no networks, or there is more than one host (a vCenter).
    """
    info = (await _read_system(client)).info
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
    stores: notes.Stores | None = None
    """Where notes about port groups are; read only where a port group is asked for."""
    busy: frozenset[str] = frozenset()
    """See `notes.busy_stems`; read only where a port group is asked for."""

    def names(self) -> list[str]:
        """Return the names of the port groups, sorted."""
        return sorted(group.spec.name for group in self.info.portgroup)


async def _read_system(client: Client) -> Network:
    row = await read_manager(client, vim25.HostNetworkSystem, "networkSystem", "networkInfo")
    return Network(row.obj, row.require("networkInfo"))


async def gather_network(host: Host, *wanted: str) -> Network:
    """Read the host's network, and for the port groups of `wanted` who makes them and where notes can go.

    Cancelling loses nothing. Raises `NotFoundError`: see `list_port_groups`.
    """
    found = await _read_system(host.client)
    if not wanted:
        return found
    stores = await notes.datastores(host.client)
    return replace(found, stores=stores, busy=await notes.busy_stems(host, stores))


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
    rows = await client.gather(
        {vim25.Network: ("name",), vim25.VirtualMachine: ("name", "network")},
        source=INVENTORY.start(client.content.rootFolder),
    )
    networks = {row.obj for row in rows[vim25.Network] if unescape(row.get("name", "")) == name}
    users = [nic.device for nic in (*info.vnic, *info.consoleVnic) if nic.portgroup == name]
    for row in rows[vim25.VirtualMachine]:
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

    Args:
        name: Name of the port group.

    Raises:
        NetworkNotFoundError: It does not exist.
        ForeignPortGroupError: This driver did not make it.
        HostStateError: A spawn or `ensure_vlan` of this owner is making or leaving it (state `busy`).
        PortGroupInUseError: Machines or adapters of the host use it.
    """
    network = await gather_network(host)
    group = find_port_group(network.info, name)
    if group is None:
        raise NetworkNotFoundError(name=name, known=network.names())
    found = await notes.notes_of(host, name)
    bodies = [await notes.read(host, note) for note in found]
    ours = [
        note
        for note, body in zip(found, bodies, strict=True)
        if body is not None and body.vlan == group.vlan
    ]
    if not ours:
        raise ForeignPortGroupError(name=name)
    # The process that wrote these notes reads them again, and nothing uses the port group yet.
    if any(note.state in notes.UNFINISHED for note in ours):
        raise HostStateError(
            f"a port group is removed only when nobody is making it, and {name!r} is being made",
            state="busy",
            hint="Wait for the spawn; if its process was killed, run vimctl sweep.",
        )
    users = await _users(host.client, name, network.info)
    if users:
        raise PortGroupInUseError(name=name, users=sorted(users))
    forget: list[Step[Any]] = [
        Step[None](title=f"remove the note {note.file}", call=_deletes(note.file)) for note in found
    ]
    steps = (_remove_step(network.system, name), *forget)
    return Plan(f"remove port group {name!r}", steps, returns(None))


def _deletes(path: DatastorePath) -> Callable[[Run], Awaitable[None]]:
    async def delete(run: Run) -> None:
        with after_change():  # the port group is gone
            await run.host.delete(path)

    return delete
