"""Changes of machines that ended half-way: the disk that was being made for one, and its mark."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from vimdriver._instances.folder import remove_files
from vimdriver._instances.machine import OWNER_KEY, every, is_elsewhere, marks_of, used_files
from vimdriver._instances.pending import NOTHING_PENDING, PENDING_KEY, Pending, parse_pending
from vimdriver._instances.root_disk import disk_paths, remove_disk
from vimdriver._instances.sizing import delete_disk_step
from vimdriver._sweep.decide import Verdict, of_age
from vimdriver._verbs import Plan, Step, execute, returns
from vimdriver._verbs.host import read_stamp
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._inventory import unescape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimdriver._journal import Changing
    from vimdriver._sweep.sweeping import Sweeping
    from vimlib._collector import Row

log = logging.getLogger("vimdriver.sweep")

_ON_DISKS = ("CopyVirtualDisk_Task", "ExtendVirtualDisk_Task", "DeleteVirtualDisk_Task")


async def sweep_changes(work: Sweeping, entries: Sequence[Changing]) -> None:
    """Undo changes that were being made, and finish those that were being confirmed.

    Cancelling waits for the machine that is being worked on.
    """
    known = {entry.token: entry for entry in entries}
    seen = set()
    if not work.dry_run:
        for machine in dict.fromkeys(entry.machine for entry in entries):
            # A call that was sent before its process ended may change the mark.
            await work.host.idle(of=vim25.VirtualMachine(machine))
    for row in await every(work.host.client, "name", "config.extraConfig"):
        pending = _pending(row)
        ours = marks_of(row).get(OWNER_KEY) == work.host.owner
        # A machine of another owner is changed with `foreign`: only the journal shows whose change it is.
        if pending is None or not (ours or pending.token in known):
            continue
        seen.add(pending.token)
        entry = known.get(pending.token)
        if pending.phase != "done":
            await _sweep(work, row, pending, entry)
        elif entry is not None:
            name = unescape(str(row.props.get("name") or ""))
            await work.do("change", name, Verdict("kept", "complete"), None, entry)
    for token, entry in known.items():
        if token not in seen:
            await _unseen(work, entry)


def _pending(row: Row[vim25.VirtualMachine]) -> Pending | None:
    return parse_pending(marks_of(row).get(PENDING_KEY))


async def _sweep(
    work: Sweeping,
    row: Row[vim25.VirtualMachine],
    pending: Pending,
    entry: Changing | None,
) -> None:
    host, vm = work.host, row.obj
    name = unescape(str(row.props.get("name") or vm.moref[1]))
    confirming = pending.phase == "confirming"
    if pending.token in work.running:
        verdict = Verdict("left", "in use by this process")
    elif entry is not None:
        verdict = Verdict("removed", f"{pending.what} never finished, and its process has ended")
    else:
        verdict = of_age(read_stamp(pending.began), work.now, work.older_than)
    if verdict.action == "removed" and confirming:
        verdict = Verdict("finished", f"{pending.what} was being confirmed")

    async def act() -> Verdict | None:
        if work.dry_run:
            return None
        # A call that was sent before its process ended may change everything.
        await host.idle(of=vm)
        for method in _ON_DISKS:
            await host.idle(method=method)
        now = await host.client.get(vm, "name", "config.extraConfig", "config.files.vmPathName")
        if _pending(now) != pending:
            return Verdict("kept", "already ended")
        steps: list[Step[Any]] = []
        if confirming:
            former = DatastorePath.parse(pending.former)
            vmx = DatastorePath.parse(now.require("config.files.vmPathName"))
            if is_elsewhere(pending.former, vmx.parent):
                return Verdict("left", f"{former} is in no folder of its machine")
            if pending.former in await used_files(host.client):
                return Verdict("left", f"a machine uses {former}")
            steps.append(delete_disk_step(host, former))
        elif pending.disk and (kept := await _remove_disk(work, pending.token, pending.disk)):
            return kept
        steps.append(_forget(vm, pending))
        await execute(host, Plan(f"sweep a {pending.what}", tuple(steps), returns(None)))
        return None

    acts = verdict.action in ("removed", "finished")
    await work.do("change", name, verdict, act if acts else None, entry)


def _forget(vm: vim25.VirtualMachine, pending: Pending) -> Step[Any]:
    spec = vim25.VirtualMachineConfigSpec(extraConfig=[NOTHING_PENDING])

    async def probe(run: Any) -> bool | None:
        found = await run.host.client.get(vm, "config.extraConfig")
        return _pending(found) != pending or None

    return Step[Any](
        title=f"remove {PENDING_KEY} (ReconfigVM_Task)",
        call=lambda run: vm.ReconfigVM_Task(spec),
        probe=probe,
        of=lambda run: vm,
    )


async def _remove_disk(work: Sweeping, token: str, disk: str) -> Verdict | None:
    """Remove a disk that was made in vain; return why it stays."""
    made = Pending(what="resize", phase="begun", token=token, began="", disk=disk)
    if not made.owns_its_disk:
        return Verdict("left", f"{disk} does not have a name of this driver")
    if disk in await used_files(work.host.client):
        return Verdict("left", f"a machine uses {disk}")
    await work.reach(made.path())
    await remove_disk(work.host, made.path())
    return None


async def _unseen(work: Sweeping, entry: Changing) -> None:
    """Act on an entry whose mark no machine had: it was never written, or is being written, or removed again."""
    host = work.host
    vm = host.client.bind(vim25.VirtualMachine(entry.machine))

    async def marked() -> Row[vim25.VirtualMachine] | None:
        row = await host.client.get(vm, "name", "config.extraConfig")
        found = _pending(row)
        return row if found is not None and found.token == entry.token else None

    row, gone = None, False
    try:
        # The call may still be on its way to the host, or the host at it.
        row = None if work.dry_run else await host.settled(marked, of=vm)
    except vim25.ManagedObjectNotFound:
        log.debug("machine %s of an entry is gone", entry.machine)
        gone = True
    pending = None if row is None else _pending(row)
    if row is not None and pending is not None:
        await _sweep(work, row, pending, entry)
    else:
        await _forgotten(work, entry, gone=gone)


async def _forgotten(work: Sweeping, entry: Changing, *, gone: bool) -> None:
    """Remove the disk of a change that no machine shows: the machine was removed (`gone`), or it has ended."""

    async def act() -> Verdict | None:
        if not entry.disk:
            return Verdict("kept", "complete")
        for method in _ON_DISKS:
            await work.host.idle(method=method)
        path = DatastorePath.parse(entry.disk)
        there = [one for one in disk_paths(path) if await work.exists(one)]
        if not there or entry.disk in await used_files(work.host.client):
            return Verdict("kept", "complete, or never begun")
        if work.dry_run:
            return None
        kept = await _remove_disk(work, entry.token, entry.disk)
        if gone and kept is None:
            # The copy may have made the folder again.
            await remove_files(work.host, path.parent, (), token=entry.token, emptied=True)
        return kept

    verdict = Verdict("removed", "disk of a machine that is gone")
    await work.do("change", entry.name, verdict, act, entry)
