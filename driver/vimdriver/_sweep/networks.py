"""Sweep port groups of spawns that were never finished, and the notes of their users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._journal import AddingPortGroup
from vimdriver._networks import notes
from vimdriver._networks.making import leave
from vimdriver._networks.port_groups import find_port_group, gather_network
from vimdriver._sweep import scan
from vimdriver._sweep.decide import Verdict
from vimdriver._verbs.host import Moment
from vimlib._datastore import DatastorePath
from vimlib.errors import VimlibError

if TYPE_CHECKING:
    from vimdriver._networks.notes import Note, NoteBody
    from vimdriver._sweep.sweeping import Sweeping

_UNFINISHED = Verdict("removed", "made for a machine that was never finished")


async def sweep_port_groups(work: Sweeping, entries: list[AddingPortGroup]) -> None:
    """Remove port groups of machines that were never finished, and notes about none."""
    try:
        await _port_groups(work, entries)
    except VimlibError as error:
        # The report must still have the machines and files before this.
        reason = f"cannot read the port groups: {error}"
        work.failed("port group", work.host.client.host, reason, error)


async def _port_groups(work: Sweeping, entries: list[AddingPortGroup]) -> None:
    old = await _old_notes(work)
    if not entries and not old:
        return
    machines = await scan.marked_machines(work.host.client, work.host.owner)
    whole = {token: not half for token, half in machines.values() if token not in work.gone}
    for entry in entries:
        info = (await gather_network(work.host)).info
        there = find_port_group(info, entry.name) is not None
        await _of_entry(work, entry, there=there, whole=whole.get(entry.spawn))
    busy = {e.note for e in work.host.journal.running if isinstance(e, AddingPortGroup)}
    done = busy | {entry.note for entry in entries}
    info = (await gather_network(work.host)).info
    for note, body in old:
        if str(note.path) in done:
            continue
        if find_port_group(info, body.name) is None:
            await _note(work, note, f"port group {body.name!r} does not exist")
        elif note.state != "kept":
            await _of_note(work, note, body, whole=whole.get(note.id))


async def _old_notes(work: Sweeping) -> list[tuple[Note, NoteBody]]:
    """Return the owner's notes that no other process may be working with, by their age."""
    found = []
    for note in await notes.notes_of(work.host):
        # A cheap look first: each body is a request of its own.
        if work.is_old(Moment(note.modified, None)):
            body = await notes.read(work.host, note)
            if body is not None and work.is_old(notes.began(note, body)):
                found.append((note, body))
    return found


async def _of_entry(
    work: Sweeping, entry: AddingPortGroup, *, there: bool, whole: bool | None
) -> None:
    """Decide about a port group; `whole` is whether its machine is, None if it has none."""
    path = DatastorePath.parse(entry.note)

    async def found() -> Note | None:
        await work.reach(path)
        return await notes.find(work.host, path, entry.name)

    async def keep() -> Verdict | None:
        note = await found()
        if note is not None and not work.dry_run:
            await notes.turn(work.host, note, "kept")
        return None

    async def remove_note() -> Verdict | None:
        note = await found()
        if note is None:
            return Verdict("kept", "already gone")
        if not work.dry_run:
            await work.host.delete(note.file)
        return None

    async def remove() -> Verdict | None:
        note = await found()
        body = None if note is None else await notes.read(work.host, note)
        if note is None or body is None:
            return Verdict("kept", "made by another owner")
        return await _leave(work, note, body)

    if entry.spawn and entry.spawn in work.running:
        await work.do("port group", entry.name, Verdict("left", "in use by this process"))
    elif not there:
        verdict = Verdict("removed", f"port group {entry.name!r} was never created")
        await work.do("note", entry.note, verdict, remove_note, entry)
    elif whole or not entry.spawn:
        await work.do("port group", entry.name, Verdict("kept", "complete"), keep, entry)
    elif whole is not None:
        verdict = Verdict("left", "its machine exists and is not finished")
        await work.do("port group", entry.name, verdict)
    else:
        await work.do("port group", entry.name, _UNFINISHED, remove, entry)


async def _of_note(work: Sweeping, note: Note, body: NoteBody, *, whole: bool | None) -> None:
    """Decide about the port group of a note that nobody has kept; see `_of_entry`."""
    if whole is False:
        verdict = Verdict("left", "its machine exists and is not finished")
        await work.do("port group", body.name, verdict)
        return

    async def keep() -> Verdict | None:
        if not work.dry_run:
            await notes.turn(work.host, note, "kept")
        return None

    if whole:
        await work.do("port group", body.name, Verdict("kept", "complete"), keep)
    else:
        await work.do("port group", body.name, _UNFINISHED, lambda: _leave(work, note, body))


async def _leave(work: Sweeping, note: Note, body: NoteBody) -> Verdict | None:
    """Give up a note's use of its port group; return another verdict if the port group stays."""
    if work.dry_run:
        group = find_port_group((await gather_network(work.host)).info, body.name)
        theirs = group is not None and group.vlan != body.vlan
        return Verdict("kept", "made by another owner") if theirs else None
    reason = await leave(work.host, note, body.name, body.vlan, ours=True)
    return Verdict("kept", reason) if reason else None


async def _note(work: Sweeping, note: Note, reason: str) -> None:
    async def remove() -> Verdict | None:
        return await work.remove_file(note.file, "already gone")

    await work.do("note", str(note.file), Verdict("removed", reason), remove)
