"""Make a port group for a VLAN, together with others who need it, and remove it with the last of them.

Processes on several computers may need the same missing port group at the same time, and some may
fail. Only the host is common to them, so each writes a note (`vimdriver._networks.notes`) and:

- a process that needs the port group writes `making`, then waits while anybody is `leaving`, then makes it;
- one that fails turns the note into `leaving`, then removes the port group unless another note is
  `making` or `kept`;
- one that succeeds turns the note into `kept`, once the machine is whole and so uses the port group.

Both write before they read, so of one that comes and one that goes at least one sees the other.
One that goes and sees another leaves `left`: the port group is ours, and the last one removes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from vimdriver._journal import AddingPortGroup
from vimdriver._networks import notes
from vimdriver._networks.notes import Note
from vimdriver._networks.port_groups import (
    HIGHEST_VLAN,
    Network,
    PortGroup,
    check_port_group,
    check_vlan,
    find_port_group,
    gather_network,
    read_network,
    remove_unused,
    switch_on,
)
from vimdriver._verbs import Host, Plan, Run, Step, Within, verb
from vimdriver.errors import NetworkNotFoundError
from vimlib import vim25

if TYPE_CHECKING:
    from collections.abc import Collection

    from vimlib._datastore import DatastorePath


async def leave(
    host: Host,
    note: Note,
    name: str,
    vlan: int,
    *,
    ours: bool,
    stale: Collection[DatastorePath] = (),
) -> str:
    """Remove a note, and the port group if that was its last user. Return why it stays; "" if it is gone.

    Cancelling lets the call that is under way end; the note then shows that somebody is leaving.

    Args:
        host: The host.
        note: Of this owner; nobody works on it but the caller.
        name: Of the port group.
        vlan: A port group with another VLAN id is somebody else's.
        ours: This owner made it. If not so, another note of this owner must show it.
        stale: Notes that were kept before the port group was made, which say nothing of it.
    """
    note = await notes.turn(host, note, "leaving")
    others = [other for other in await notes.notes_of(host, name) if other.path != note.path]
    kept = any(other.state == "kept" and other.path not in stale for other in others)
    if kept or any(other.state == "making" for other in others):
        if kept:
            await host.delete(note.file)
        else:
            await notes.turn(host, note, "left")
        return "in use by others"
    group = find_port_group((await gather_network(host)).info, name)
    # One that is not there now is not ours when it is there later.
    if group is not None:
        if group.vlan != vlan or not (ours or others):
            await host.delete(note.file)
            return "made by another owner"
        if not await remove_unused(host, name):
            await notes.turn(host, note, "kept")
            return "in use"
    for other in await notes.notes_of(host, name):
        if other.state == "left":
            await host.delete(other.file)
    await host.delete(note.file)
    return ""


async def _leavers_gone(
    host: Host, note: Note, name: str, stores: notes.Stores | None
) -> frozenset[DatastorePath]:
    """Wait while others are leaving; return the notes that are kept. Cancelling loses nothing.

    A rollback takes at most `DriverConfig.cleanup_seconds`: one that is leaving after that was killed.
    """

    async def probe() -> frozenset[DatastorePath] | None:
        found = await notes.notes_of(host, name, stores)
        if any(other.state == "leaving" for other in found if other.path != note.path):
            return None
        return frozenset(other.path for other in found if other.state == "kept")

    found = await host.client.tasks.settled(
        probe,
        method="RemovePortGroup",
        timeout=host.config.task_seconds,
        settle=host.config.cleanup_seconds,
    )
    return frozenset() if found is None else found


def _add_step(system: vim25.HostNetworkSystem, wanted: PortGroup) -> Step[bool]:
    """Return the step that adds a port group; its result is whether it did, and not somebody else."""

    async def add(run: Run) -> bool:
        teaming = vim25.HostNicTeamingPolicy(notifySwitches=True)
        policy = vim25.HostNetworkPolicy(nicTeaming=teaming)
        await system.AddPortGroup(
            vim25.HostPortGroupSpec(
                name=wanted.name, vlanId=wanted.vlan, vswitchName=wanted.vswitch, policy=policy
            )
        )
        return True

    def not_by_us(run: Run, fault: vim25.MethodFault) -> bool:
        if isinstance(fault, vim25.AlreadyExists):
            return False  # somebody was quicker; it is read and checked below
        raise fault

    async def is_ours(run: Run) -> bool | None:
        found = find_port_group(await read_network(run.host.client, system), wanted.name)
        # Another one than was asked for: somebody was quicker, and the lost answer was AlreadyExists.
        return None if found is None else found == wanted

    async def only_learn(run: Run, ours: bool) -> None:
        """The note's undo decides, once it is known here who made the port group."""

    name, vlan, vswitch = wanted.name, wanted.vlan, wanted.vswitch
    return Step(
        title=f"add port group {name!r} for VLAN {vlan} to {vswitch} (AddPortGroup)",
        call=add,
        probe=is_ours,
        undo=only_learn,
        refused=not_by_us,
        method="AddPortGroup",
    )


def port_group_steps(
    host: Host, network: Network, name: str, vlan: int, *, interface: str, spawn: str = ""
) -> tuple[Step[Any], ...]:
    """Return the steps that make a port group; () if it is there, and nobody of this owner makes it.

    The last one keeps it, and belongs behind all that could undo these; the one before it has the
    `PortGroup` as its result. `spawn` is the token of the spawn that it is made for.

    Raises:
        PhysicalNICNotFoundError: The NIC does not exist, or no virtual switch uses it.
        PortGroupMismatchError: It exists, on another switch or with another VLAN id.
        NotFoundError: No datastore can hold the note.
    """
    vswitch = switch_on(network.info, interface)
    there = find_port_group(network.info, name)
    if there is not None:
        check_port_group(there, vswitch=vswitch, vlan=vlan)
        if not notes.is_busy(host, name, network.busy):
            return ()
    wanted = PortGroup(name=name, vlan=vlan, vswitch=vswitch)
    system = network.system
    stores = network.stores
    note = notes.new_note(stores.writable if stores else (), host.owner, name, spawn=spawn)
    entry = AddingPortGroup(
        host=host.client.host, owner=host.owner, name=name, note=str(note.path), spawn=spawn
    )

    async def undo(run: Run, _: object) -> None:
        there = await notes.find(run.host, note.path, name)
        if there is None:
            return
        made = run.get(added) or False
        stale = run[alone] if made else ()
        await leave(run.host, there, name, vlan, ours=made, stale=stale)

    async def claim(run: Run) -> bool:
        if run[added]:
            return True
        # Of the same owner, and its note was written before it: else it is somebody else's.
        ours = len(await notes.notes_of(run.host, name, stores)) > 1
        if not ours:
            await run.host.delete(note.file)
        return ours

    async def check(run: Run) -> PortGroup:
        now = Network(system, await read_network(run.host.client, system))
        found = find_port_group(now.info, name)
        if found is None:
            raise NetworkNotFoundError(name=name, known=now.names())
        check_port_group(found, vswitch=vswitch, vlan=vlan)
        return found

    async def keep(run: Run) -> None:
        if run[claimed]:
            await notes.turn(run.host, run[noted], "kept")

    folder = Step[None](
        title=f"make folder {note.path.parent}", call=lambda run: notes.make_folder(run.host, note)
    )
    noted = Step[Note](
        title=f"note in {note.file} that this driver uses port group {name!r}",
        makes=f"port group {name} and its note {note.path}",
        call=lambda run: notes.write(run.host, note, name, vlan),
        undo=undo,
        entry=lambda run: entry,
    )
    alone = Step[frozenset["DatastorePath"]](
        title="wait until nobody else is removing it",
        call=lambda run: _leavers_gone(run.host, note, name, stores),
    )
    added = _add_step(system, wanted)
    claimed = Step[bool](title="forget the note if somebody else made it", call=claim)
    checked = Step[PortGroup](title=f"read port group {name!r} back", call=check)
    kept = Step[None](title=f"keep port group {name!r}: rename the note", call=keep)
    return (folder, noted, alone, added, claimed, checked, kept)


@verb
async def ensure_vlan(
    host: Host,
    name: str,
    vlan: Annotated[int, Within(0, HIGHEST_VLAN)],
    *,
    interface: str = "vmnic0",
) -> Plan[PortGroup]:
    """Return the port group for a VLAN, made on the switch of `interface` if it is missing.

    Cancelling removes it again, unless another call has made it or uses it by then.

    Args:
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
        made: PortGroup | None = run[steps[-2]] if steps else find_port_group(network.info, name)
        assert made is not None, "without steps it was there"
        return made

    return Plan(f"ensure VLAN {vlan} on {name!r}", steps, result)
