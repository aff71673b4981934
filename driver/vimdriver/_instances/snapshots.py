"""Snapshots of machines: take, list, revert, remove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._instances.device_list import file_of
from vimdriver._instances.machine import claim, look, used_files
from vimdriver._journal import Capturing
from vimdriver._verbs import Host, Plan, Run, Step, already, query, returns, verb
from vimdriver.errors import DiskSharedError
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
    return listed(await client.get(vm, "snapshot"))


def listed(row: Row[vim25.VirtualMachine]) -> list[Snapshot]:
    """Return the snapshots in a row with `snapshot`, parents before children. Pure."""
    info: vim25.VirtualMachineSnapshotInfo | None = row.known("snapshot")
    if info is None:
        return []
    current = info.currentSnapshot.moref[1] if info.currentSnapshot is not None else None
    return list(flat(info.rootSnapshotList, current))


async def _gather(
    host: Host, ref: str, *, foreign: bool
) -> tuple[vim25.VirtualMachine, list[Snapshot]]:
    row = await claim(host, ref, "snapshot", foreign=foreign)
    return row.obj, listed(row)


def temporary_snapshot(
    host: Host,
    vm: vim25.VirtualMachine,
    uuid: str,
    name: str,
    *,
    description: str = "",
    quiesce: bool = False,
) -> Step[vim25.VirtualMachineSnapshot]:
    """Return the step that takes a snapshot without memory for another verb, in whose undo it is removed.

    `uuid` is the machine's instanceUuid, by which a sweep finds it; the name must be nobody else's.
    """
    entry = Capturing(host=host.client.host, owner=host.owner, uuid=uuid, snapshot=name)

    async def probe(run: Run) -> vim25.VirtualMachineSnapshot | None:
        return await find_snapshot(run.host, vm, name)

    async def undo(run: Run, made: vim25.VirtualMachineSnapshot) -> None:
        await drop_snapshot(run.host, made)

    return Step(
        title=f"take snapshot {name} (CreateSnapshot_Task)",
        method="CreateSnapshot_Task",
        makes=f"snapshot {name}",
        call=lambda run: vm.CreateSnapshot_Task(
            name, description=description or None, memory=False, quiesce=quiesce
        ),
        probe=probe,
        undo=undo,
        entry=lambda run: entry,
        of=lambda run: vm,
    )


async def find_snapshot(
    host: Host, vm: vim25.VirtualMachine, name: str
) -> vim25.VirtualMachineSnapshot | None:
    """Return the snapshot of that name, None if there is none. Cancelling loses nothing."""
    for one in await snapshots_of(host.client, vm):
        if one.name == name:
            return host.client.bind(vim25.VirtualMachineSnapshot(one.moref))
    return None


async def drop_snapshot(host: Host, snapshot: vim25.VirtualMachineSnapshot) -> None:
    """Remove a snapshot; one that is gone is fine. Cancelling leaves the task running: shield it."""
    bound = host.client.bind(snapshot)

    async def is_gone() -> Any:
        try:
            await host.client.get(bound, "config.name")
        except vim25.ManagedObjectNotFound:
            return True
        return None

    try:
        await host.client.tasks.run(
            lambda: bound.RemoveSnapshot_Task(removeChildren=False),
            host.config.task_seconds,
            probe=is_gone,
            method="RemoveSnapshot_Task",
            idempotent=True,
            settle=host.config.settle_seconds,
        )
    except vim25.ManagedObjectNotFound:
        return


SHARING: Final = ("snapshot", "layoutEx.file")
"""The properties that `check_unshared` needs."""


async def check_unshared(
    client: Client, row: Row[vim25.VirtualMachine], which: Iterable[str], ref: str
) -> None:
    """Check that no other machine's disks stand on those of snapshots that are to be removed.

    Removing a snapshot merges the disk of the next one into its own, so both are changed or deleted. A
    standalone host does not know of the linked machines. One call, two where files are shared at all.
    Cancelling loses nothing.

    Args:
        client: The client.
        row: The machine, with `SHARING`.
        which: References of the snapshots.
        ref: The machine as the caller names it.

    Raises:
        DiskSharedError: Another machine uses such a disk.
    """
    used = await used_files(client, but=row.obj)
    if not any(file.name in used for file in row.props.get("layoutEx.file") or []):
        return
    doomed = set(which)
    touched = [
        client.bind(vim25.VirtualMachineSnapshot(one.moref))
        for one in listed(row)
        if one.moref in doomed or one.parent in doomed
    ]
    path = "config.hardware.device"
    for found in await client.collect(vim25.VirtualMachineSnapshot, path, source=touched).all():
        for disk in found.props.get(path) or []:
            if isinstance(disk, vim25.VirtualDisk) and file_of(disk) in used:
                raise DiskSharedError(name=ref, path=file_of(disk), user=used[file_of(disk)])


def chosen_snapshot(snapshots: list[Snapshot], which: str, ref: str) -> Snapshot:
    """Return the snapshot of that reference, else the only one of that name. Raises `NotFoundError`."""
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


@query
async def list_snapshots(host: Host, ref: str) -> list[Snapshot]:
    """List a machine's snapshots, parents before children.

    Cancelling loses nothing. Raises `NotFoundError`.
    """
    return listed(await look(host.client, ref, "snapshot"))


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
        method="CreateSnapshot_Task",
        of=lambda run: vm,
    )

    async def result(run: Run) -> Snapshot:
        return chosen_snapshot(await snapshots_of(run.host.client, vm), run[step].moref[1], ref)

    return Plan(f"snapshot of {ref}", (step,), result)


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
    chosen = chosen_snapshot(there, snapshot, ref)
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
        return chosen_snapshot(await snapshots_of(run.host.client, vm), chosen.moref, ref)

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
        DiskSharedError: A linked machine stands on a disk that would be merged or deleted.
        NotFoundError: The machine or snapshot does not exist, or several have the name.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        MethodFault: The host refused.
    """
    row = await claim(host, ref, *SHARING, foreign=foreign)
    vm, there = row.obj, listed(row)
    chosen = chosen_snapshot(there, snapshot, ref)
    doomed = [chosen.moref]
    for one in there if children else ():  # parents come before their children
        if one.parent in doomed:
            doomed.append(one.moref)
    await check_unshared(host.client, row, doomed, ref)
    bound = host.client.bind(vim25.VirtualMachineSnapshot(chosen.moref))

    async def probe(run: Run) -> bool | None:
        return (
            chosen.moref not in {s.moref for s in await snapshots_of(run.host.client, vm)} or None
        )

    step = Step[bool](
        title=f"remove snapshot {chosen.name!r} (RemoveSnapshot_Task)",
        call=lambda run: bound.RemoveSnapshot_Task(children),
        probe=probe,
        refused=already(vim25.ManagedObjectNotFound),
        of=lambda run: vm,
        idempotent=True,
    )

    return Plan(f"remove a snapshot of {ref}", (step,), returns(None))
