"""Snapshots of machines: take, list, go back to, remove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimdriver._instances import lookup
from vimdriver._steps.outcome import run_task
from vimlib import vim25
from vimlib._session.shield import finish
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from vimdriver._config import DriverConfig
    from vimlib._client import Client

__all__ = ["Snapshot", "list_snapshots", "remove", "revert", "take"]


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


async def _read(client: Client, vm: vim25.VirtualMachine) -> list[Snapshot]:
    row = await client.get(vm, "snapshot")
    info: vim25.VirtualMachineSnapshotInfo | None = row.props.get("snapshot")
    if info is None:
        return []
    current = info.currentSnapshot.moref[1] if info.currentSnapshot is not None else None
    return list(flat(info.rootSnapshotList, current))


async def list_snapshots(client: Client, ref: str) -> list[Snapshot]:
    """Return a machine's snapshots, each before its children. Cancelling loses nothing."""
    return await _read(client, await lookup.find(client, ref))


async def take(
    client: Client,
    ref: str,
    name: str,
    config: DriverConfig,
    *,
    description: str = "",
    memory: bool = False,
    quiesce: bool = False,
) -> Snapshot:
    """Take a snapshot (`CreateSnapshot_Task`) and return it. Cancelling waits for the task.

    Args:
        client: The host.
        ref: uuid, name or moref's value.
        name: Its name.
        config: Deadlines.
        description: For people.
        memory: With what is in memory, where the machine runs.
        quiesce: Have the guest's tools bring its file systems to rest first.

    Raises:
        NotFoundError: There is no such machine.
        UsageError: A snapshot has no name.
        MethodFault: The host refused.
    """
    if not name or len(name) > 80:
        raise UsageError(
            f"the name of a snapshot must have 1 to 80 characters, got {len(name)}", field="name"
        )
    vm = await lookup.find(client, ref)
    before = {snapshot.moref for snapshot in await _read(client, vm)}

    async def look() -> str | None:
        # Ours alone has the name and was not there before, unless two do this at once.
        new = [s.moref for s in await _read(client, vm) if s.name == name and s.moref not in before]
        return new[0] if len(new) == 1 else None

    async def work() -> str:
        made = await run_task(
            client,
            lambda: vm.CreateSnapshot_Task(
                name, description=description, memory=memory, quiesce=quiesce
            ),
            config,
            look=look,
            of=vm,
        )
        return made if isinstance(made, str) else made.moref[1]

    moref = await finish(work(), what=f"snapshot of {ref}")
    return _chosen(await _read(client, vm), moref, ref)


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
        hint=f"It has: {known}.",
    )


async def revert(client: Client, ref: str, which: str, config: DriverConfig) -> Snapshot:
    """Go back to a snapshot (`RevertToSnapshot_Task`), named by its moref's value or its name.

    Cancelling waits for the task.

    Raises:
        NotFoundError: There is no such machine or snapshot, or several of the name.
        MethodFault: The host refused.
    """
    vm = await lookup.find(client, ref)
    chosen = _chosen(await _read(client, vm), which, ref)
    bound = client.bind(vim25.VirtualMachineSnapshot(chosen.moref))

    async def look() -> None:
        # The machine may have gone on from this very snapshot before, so nothing tells.
        return None

    async def work() -> None:
        await run_task(client, bound.RevertToSnapshot_Task, config, look=look, of=vm)

    await finish(work(), what=f"revert of {ref}")
    return _chosen(await _read(client, vm), chosen.moref, ref)


async def remove(
    client: Client, ref: str, which: str, config: DriverConfig, *, children: bool = False
) -> None:
    """Remove a snapshot (`RemoveSnapshot_Task`), with those after it where `children` says so.

    The machine keeps what it is now. Cancelling waits for the task.

    Raises:
        NotFoundError: There is no such machine or snapshot, or several of the name.
        MethodFault: The host refused.
    """
    vm = await lookup.find(client, ref)
    chosen = _chosen(await _read(client, vm), which, ref)
    bound = client.bind(vim25.VirtualMachineSnapshot(chosen.moref))

    async def look() -> bool | None:
        return chosen.moref not in {s.moref for s in await _read(client, vm)} or None

    async def work() -> None:
        try:
            await run_task(
                client, lambda: bound.RemoveSnapshot_Task(children), config,
                look=look, of=vm, harmless=True,
            )  # fmt: skip
        except vim25.ManagedObjectNotFound:
            return  # gone meanwhile, which is what was asked for

    await finish(work(), what=f"removal of a snapshot of {ref}")
