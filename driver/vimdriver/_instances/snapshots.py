"""Snapshots of machines: take, list, revert, remove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimdriver._instances.machine import claim, look
from vimdriver._verbs import Host, Plan, Run, Step, query, returns, verb
from vimlib import vim25
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from vimlib._client import Client
    from vimlib._collector import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot, as last read."""

    name: str
    moref: str
    """The reference's value; names may repeat."""
    created: datetime
    power_state: str
    """The API's word for what the machine was then; `poweredOn` where its memory is in it."""
    parent: str | None = None
    """`moref` of the snapshot before."""
    current: bool = False
    """Whether the machine goes on from it."""
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the row that `vimctl instance snapshots --json` prints."""
        return {
            "name": self.name,
            "moref": self.moref,
            "created": self.created.isoformat(),
            "power_state": self.power_state,
            "parent": self.parent,
            "current": self.current,
            "description": self.description,
        }


def flat(
    trees: Iterable[vim25.VirtualMachineSnapshotTree],
    current: str | None,
    parent: str | None = None,
) -> Iterator[Snapshot]:
    """Yield the snapshots of trees, each before its children."""
    for tree in trees:
        moref = tree.snapshot.moref[1]
        yield Snapshot(
            name=tree.name,
            moref=moref,
            created=tree.createTime,
            power_state=tree.state,
            parent=parent,
            current=moref == current,
            description=tree.description,
        )
        yield from flat(tree.childSnapshotList, current, moref)


async def snapshots_of(client: Client, vm: vim25.VirtualMachine) -> list[Snapshot]:
    """Return a machine's snapshots, parents before children. Cancelling loses nothing."""
    return _listed(await client.get(vm, "snapshot"))


def _listed(row: Row[vim25.VirtualMachine]) -> list[Snapshot]:
    info: vim25.VirtualMachineSnapshotInfo | None = row.props.get("snapshot")
    if info is None:
        return []
    current = info.currentSnapshot.moref[1] if info.currentSnapshot is not None else None
    return list(flat(info.rootSnapshotList, current))


async def _gather(
    host: Host, ref: str, *, foreign: bool
) -> tuple[vim25.VirtualMachine, list[Snapshot]]:
    row = await claim(host, ref, "snapshot", foreign=foreign)
    return row.obj, _listed(row)


@query
async def list_snapshots(host: Host, ref: str) -> list[Snapshot]:
    """List a machine's snapshots, parents before children.

    Cancelling loses nothing. Raises `NotFoundError`.
    """
    return _listed(await look(host.client, ref, "snapshot"))


@verb
async def snapshot(
    host: Host,
    ref: str,
    name: str,
    *,
    description: str = "",
    memory: bool = False,
    quiesce: bool = False,
    foreign: bool = False,
) -> Plan[Snapshot]:
    """Take a snapshot of a machine (`CreateSnapshot_Task`).

    Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        name: The snapshot's name, 1 to 80 characters.
        description: For people.
        memory: Include the memory of a running machine.
        quiesce: Have the guest's tools quiesce its file systems first.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        UsageError: The name is empty or too long.
        MethodFault: The host refused.
    """
    if not name or len(name) > 80:
        raise UsageError(
            f"the name of a snapshot must have 1 to 80 characters, got {len(name)}", field="name"
        )
    vm, there = await _gather(host, ref, foreign=foreign)
    before = {one.moref for one in there}

    async def probe(run: Run) -> vim25.VirtualMachineSnapshot | None:
        # Only ours has the name and was not there before, unless two are taken at once.
        new = [
            one
            for one in await snapshots_of(run.host.client, vm)
            if one.name == name and one.moref not in before
        ]
        return vim25.VirtualMachineSnapshot(new[0].moref) if len(new) == 1 else None

    step = Step[vim25.VirtualMachineSnapshot](
        title=f"take snapshot {name!r} (CreateSnapshot_Task)",
        call=lambda run: vm.CreateSnapshot_Task(
            name, description=description, memory=memory, quiesce=quiesce
        ),
        probe=probe,
        of=lambda run: vm,
    )

    async def result(run: Run) -> Snapshot:
        return _chosen(await snapshots_of(run.host.client, vm), run[step].moref[1], ref)

    return Plan(f"snapshot of {ref}", (step,), result)


def _chosen(snapshots: list[Snapshot], which: str, ref: str) -> Snapshot:
    """Return the snapshot of that reference, else the only one of that name."""
    found = [s for s in snapshots if s.moref == which] or [s for s in snapshots if s.name == which]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{s.name} ({s.moref})" for s in snapshots) or "none"
    raise NotFoundError(
        f"machine {ref} has {len(found) or 'no'} snapshots named {which!r}",
        kind="VirtualMachineSnapshot",
        name=which,
        hint=f"Give the reference of one: {known}." if found else f"It has: {known}.",
    )


@verb
async def revert_snapshot(
    host: Host, ref: str, snapshot: str, *, foreign: bool = False
) -> Plan[Snapshot]:
    """Revert a machine to a snapshot (`RevertToSnapshot_Task`). Its present state is lost.

    Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        snapshot: The snapshot's reference's value, or its name.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine or snapshot does not exist, or several have the name.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        MethodFault: The host refused.
    """
    vm, there = await _gather(host, ref, foreign=foreign)
    chosen = _chosen(there, snapshot, ref)
    bound = host.client.bind(vim25.VirtualMachineSnapshot(chosen.moref))

    async def probe(run: Run) -> None:
        # The machine may have been at this very snapshot before, so nothing shows.
        return None

    step = Step[None](
        title=f"revert to snapshot {chosen.name!r} (RevertToSnapshot_Task)",
        call=lambda run: bound.RevertToSnapshot_Task(),
        probe=probe,
        of=lambda run: vm,
    )

    async def result(run: Run) -> Snapshot:
        return _chosen(await snapshots_of(run.host.client, vm), chosen.moref, ref)

    return Plan(f"revert {ref}", (step,), result)


@verb
async def remove_snapshot(
    host: Host, ref: str, snapshot: str, *, children: bool = False, foreign: bool = False
) -> Plan[None]:
    """Remove a snapshot (`RemoveSnapshot_Task`), and with `children` those taken after it.

    The machine keeps its present state. Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        snapshot: The snapshot's reference's value, or its name.
        children: Remove those below it too.
        foreign: Act on a machine of another owner too.

    Raises:
        NotFoundError: The machine or snapshot does not exist, or several have the name.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        MethodFault: The host refused.
    """
    vm, there = await _gather(host, ref, foreign=foreign)
    chosen = _chosen(there, snapshot, ref)
    bound = host.client.bind(vim25.VirtualMachineSnapshot(chosen.moref))

    async def probe(run: Run) -> bool | None:
        return (
            chosen.moref not in {s.moref for s in await snapshots_of(run.host.client, vm)} or None
        )

    def refused(run: Run, fault: vim25.MethodFault) -> bool:
        if isinstance(fault, vim25.ManagedObjectNotFound):
            return True  # somebody else removed it
        raise fault

    step = Step[bool](
        title=f"remove snapshot {chosen.name!r} (RemoveSnapshot_Task)",
        call=lambda run: bound.RemoveSnapshot_Task(children),
        probe=probe,
        refused=refused,
        of=lambda run: vm,
        idempotent=True,
    )

    return Plan(f"remove a snapshot of {ref}", (step,), returns(None))
