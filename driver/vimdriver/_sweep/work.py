"""Carry out the decisions of a sweep, one after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from vimdriver._disks.manager import disk_uuid, extent_of
from vimdriver._disks.record import record_path
from vimdriver._images.sink import is_temporary
from vimdriver._instances.destroy import remove_half_made
from vimdriver._instances.folder import names_of, remove_files, remove_if_empty, settle_renamed
from vimdriver._instances.machine import find_by_uuid
from vimdriver._instances.power import power_step
from vimdriver._instances.snapshots import SHARING, check_unshared, drop_snapshot, find_snapshot
from vimdriver._journal import (
    AddingPortGroup,
    Capturing,
    Changing,
    Destroying,
    LoggedIn,
    Recording,
    Spawning,
    Uploading,
    written,
)
from vimdriver._journal.entries import new_token
from vimdriver._networks import notes
from vimdriver._sweep import scan
from vimdriver._sweep.changes import sweep_changes
from vimdriver._sweep.decide import (
    Kind,
    MarkedMachine,
    SweepReport,
    Swept,
    Verdict,
    of_age,
    of_machine,
    of_remains,
)
from vimdriver._sweep.networks import sweep_port_groups
from vimdriver._sweep.sessions import sweep_sessions
from vimdriver._sweep.sweeping import Sweeping
from vimdriver._verbs import Host, Plan, execute, returns
from vimdriver.errors import DiskSharedError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._text import printable
from vimlib.errors import UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from vimdriver._verbs.host import Moment

DAY: Final = 86400.0
# Tasks of an ended process may still run. Those on files do not appear among a machine's tasks.
_ON_FILES: Final = (
    "CreateVirtualDisk_Task",
    "ExtendVirtualDisk_Task",
    "DeleteDatastoreFile_Task",
    "MoveDatastoreFile_Task",
    "MoveVirtualDisk_Task",
)


async def sweep(
    host: Host,
    *,
    older_than: float = DAY,
    dry_run: bool = False,
    forget: Collection[str] = (),
) -> SweepReport:
    """Finish or remove leftovers of ended processes of this owner, and return a report.

    Cancelling waits for the object that is being removed; the rest is left to the next sweep.

    Args:
        host: The host; its owner's objects are touched, its journal has the entries of ended processes.
        older_than: Seconds that must have passed since something was begun (for files: since they
            last grew) before it is removed on its mark alone, by the host's clock and by this
            computer's. More than the longest spawn or upload of any other process with this owner;
            0 if no other runs.
        dry_run: Change nothing; the report has the actions of a real sweep.
        forget: Names of datastores that will never come back: the journal's entries for one are
            closed if the host does not have it. Those for other missing ones fail and stay open.

    Raises:
        UsageError: `older_than` is negative or not a number.
        JournalError: The journal cannot be read; nothing was done.
        VimlibError: The host cannot be read. An error with one object alone is in the report.
    """
    if not older_than >= 0 or math.isinf(older_than):
        raise UsageError(
            f"older_than must be a finite number of at least 0 seconds, got {older_than:g}",
            field="older_than",
        )
    known = [
        entry
        for entry in await host.journal.abandoned()
        if (entry.host, entry.owner) == (host.client.host, host.owner)
    ]
    work = _Sweep(
        host=host, now=await host.now(), older_than=older_than, dry_run=dry_run, forget=forget
    )
    await work.machines([entry for entry in known if isinstance(entry, Spawning)])
    await sweep_changes(work, [entry for entry in known if isinstance(entry, Changing)])
    await work.folders([entry for entry in known if isinstance(entry, Destroying)])
    await work.uploads([entry for entry in known if isinstance(entry, Uploading)])
    await work.records([entry for entry in known if isinstance(entry, Recording)])
    await work.snapshots([entry for entry in known if isinstance(entry, Capturing)])
    await sweep_sessions(work, [entry for entry in known if isinstance(entry, LoggedIn)])
    await sweep_port_groups(work, [e for e in known if isinstance(e, AddingPortGroup)])
    return SweepReport(items=tuple(work.items), dry_run=dry_run)


class _Sweep(Sweeping):
    """The machines, folders and files of a sweep."""

    # -- machines ------------------------------------------------------------------------------

    async def machines(self, entries: list[Spawning]) -> None:
        """Finish or remove machines, and remove the folders of those that are gone."""
        known = {entry.token: entry for entry in entries}
        marked = await self._marked(known)
        for vm, (token, half_made) in marked.items():
            if half_made or token in known:
                await self._machine(vm, known.get(token))
        there = {token for token, _ in marked.values()}
        for entry in entries:
            if entry.token not in there:
                await self._remains("machine" if not entry.folder else "folder", entry)

    async def _marked(self, known: dict[str, Spawning]) -> dict[vim25.VirtualMachine, Any]:
        found = await scan.marked_machines(self.host.client, self.host.owner)
        # The call may still be on its way to the host, or the host at it.
        awaited = {token for token, entry in known.items() if not entry.folder}
        if awaited.issubset(token for token, _ in found.values()):
            return found

        async def look() -> bool | None:
            nonlocal found
            found = await scan.marked_machines(self.host.client, self.host.owner)
            return awaited.issubset(token for token, _ in found.values()) or None

        await self.host.settled(look, method="CreateVM_Task")
        return found

    async def _machine(self, vm: vim25.VirtualMachine, entry: Spawning | None) -> None:
        found = await self._read(vm)
        if found is None:
            # It went since it was listed: the host ended what a process had asked for before it was killed.
            if entry is not None and entry.folder:
                await self._remains("folder", entry)
            elif entry is not None:
                await self.do("machine", entry.name, Verdict("kept", "already gone"), None, entry)
            return
        verdict = self._verdict(found, entry)

        async def work() -> Verdict | None:
            if self.dry_run:
                return None
            # A call that was sent before its process ended may change everything.
            await self._quiet(vm)
            again = await self._read(vm)
            if again is None:
                return Verdict("kept", "already gone")
            now = self._verdict(again, entry)
            if now.action == "finished":
                await execute(
                    self.host,
                    Plan(
                        "power on",
                        (power_step(lambda run: vm, vim25.VirtualMachinePowerState.poweredOn),),
                        returns(None),
                    ),
                )
            elif now.action == "removed" and not await self._remove(again):
                return Verdict("kept", "complete now")
            return now

        does = verdict.action in ("removed", "finished")
        await self.do("machine", found.name, verdict, work if does else None, entry)
        if self.items[-1].action == "removed":
            self.gone.add(found.token)

    async def _read(self, vm: vim25.VirtualMachine) -> MarkedMachine | None:
        return await scan.read_machine(self.host.client, vm, self.host.owner)

    def _verdict(self, found: MarkedMachine, entry: Spawning | None) -> Verdict:
        return of_machine(found, entry, self.running, now=self.now, older_than=self.older_than)

    async def _quiet(self, vm: vim25.VirtualMachine) -> None:
        await self.host.idle(of=vm)
        await self._quiet_files()

    async def _quiet_files(self, *more: str) -> None:
        for method in (*more, *_ON_FILES):
            await self.host.idle(method=method)

    async def _remove(self, found: MarkedMachine) -> bool:
        """Remove it; False if it is complete now, and stays."""
        vmx = found.vmx
        entry = Spawning(
            token=found.token or new_token(),
            host=self.host.client.host,
            owner=self.host.owner,
            uuid=found.uuid,
            name=found.name,
            folder=str(vmx.parent) if vmx is not None else "",
        )
        # A sweep can be killed as well.
        async with written(self.host.journal, entry):
            disk = vmx and vmx.with_name(f"{vmx.name.removesuffix('.vmx')}.vmdk")
            done = await remove_half_made(
                self.host, found.vm, vmx, disk, token=entry.token, whole=False
            )
        if done.left:
            reason = f"it contains {names_of(done.left)}"
            self.items.append(Swept(kind="folder", name=entry.folder, action="left", reason=reason))
        return done.removed

    # -- folders -------------------------------------------------------------------------------

    async def folders(self, entries: list[Destroying]) -> None:
        """Remove what is left of machines that were being destroyed."""
        for entry in entries:
            await self._remains("folder", entry)

    async def _remains(self, kind: Kind, entry: Spawning | Destroying) -> None:
        if not entry.folder:
            await self.do(
                kind, entry.name, Verdict("kept", "never created on the host"), None, entry
            )
            return

        async def work() -> Verdict | None:
            folder = DatastorePath.parse(entry.folder)
            await self._quiet_files("Destroy_Task")
            await self.reach(folder)
            if not self.dry_run:
                await settle_renamed(self.host, folder, entry.token)
            if not await self.exists(folder):
                return Verdict("kept", "already gone")
            seen = entry.files if isinstance(entry, Destroying) else ()
            return of_remains(
                await remove_files(
                    self.host,
                    folder,
                    seen,
                    token=entry.token,
                    emptied=False,
                    dry_run=self.dry_run,
                )
            )

        verdict = Verdict("removed", "files of a machine that is gone")
        await self.do(kind, entry.folder, verdict, work, entry)

    # -- files ---------------------------------------------------------------------------------

    async def uploads(self, entries: list[Uploading]) -> None:
        """Remove temporary files: those that the journal knows, then those of the name."""
        for entry in entries:
            verdict = Verdict("removed", "never finished, and its process has ended")
            await self.do("file", entry.path, verdict, self._of(entry.path), entry)
        done = {entry.path for entry in entries}
        for store in (await notes.datastores(self.host.client)).every:
            try:
                found = await scan.temporary_files(self.host.client, store, self.host.owner)
            except VimlibError as error:
                reason = f"cannot search it: {error}"
                self.failed("folder", str(DatastorePath(store)), reason, error)
                continue
            for path, began, is_dir in found:
                if str(path) in done:
                    continue
                await (self._renamed(path, began) if is_dir else self._upload(str(path), began))

    async def _renamed(self, path: DatastorePath, began: Moment) -> None:
        """Remove an empty folder that was renamed to be removed.

        One with files is left as it is: its name does not show who has put them there. Only the
        journal's entry about it shows that it was renamed (`settle_renamed`).
        """

        async def work() -> Verdict | None:
            left = await remove_if_empty(self.host, path, dry_run=self.dry_run)
            return Verdict("left", f"it contains {names_of(left)}") if left else None

        verdict = of_age(began, self.now, self.older_than)
        await self.do("folder", str(path), verdict, work if verdict.action == "removed" else None)

    async def _upload(self, path: str, began: Moment) -> None:
        if any(isinstance(e, Uploading) and e.path == path for e in self.host.journal.running):
            verdict = Verdict("left", "in use by this process")
        else:
            verdict = of_age(began, self.now, self.older_than)
        removes = verdict.action == "removed"
        await self.do("file", path, verdict, self._of(path) if removes else None)

    def _of(self, path: str) -> Callable[[], Coroutine[Any, Any, Verdict | None]]:
        async def work() -> Verdict | None:
            file = DatastorePath.parse(path)
            if not is_temporary(file.name, self.host.owner):
                return Verdict("left", "its name does not follow the pattern of this driver")
            for method in ("MoveDatastoreFile_Task", "MoveVirtualDisk_Task"):
                await self.host.idle(method=method)
            if file.name.endswith(".part.vmdk") and not self.dry_run:
                # Hosts hide an extent behind its descriptor, so it goes first, unseen.
                await self.reach(file)
                await self.host.delete(extent_of(file))
            return await self.remove_file(file, "already gone: moved into place or never created")

        return work

    async def records(self, entries: list[Recording]) -> None:
        """Remove records of disks that never got their name."""
        for entry in entries:
            verdict = Verdict("removed", "its disk was never finished, and its process has ended")
            await self.do("file", entry.path, verdict, self._of_record(entry), entry)

    async def snapshots(self, entries: list[Capturing]) -> None:
        """Remove the snapshots of captures and linked clones that never ended."""
        for entry in entries:
            verdict = Verdict("removed", "its verb never ended, and its process has ended")
            await self.do("snapshot", entry.snapshot, verdict, self._of_capture(entry), entry)

    def _of_capture(self, entry: Capturing) -> Callable[[], Coroutine[Any, Any, Verdict | None]]:
        async def work() -> Verdict | None:
            vm = await find_by_uuid(self.host.client, entry.uuid)
            if vm is None:
                return Verdict("kept", "its machine is gone")
            vm = self.host.client.bind(vm)
            await self.host.idle(of=vm)
            found = await find_snapshot(self.host, vm, entry.snapshot)
            if found is None:
                return Verdict("kept", "never created")
            try:
                row = await self.host.client.get(vm, *SHARING)
                await check_unshared(self.host.client, row, [found.moref[1]], entry.uuid)
            except DiskSharedError as error:
                return Verdict("kept", f"machine {printable(error.user, 80)!r} is linked to it")
            if not self.dry_run:
                await drop_snapshot(self.host, found)
            return None

        return work

    def _of_record(self, entry: Recording) -> Callable[[], Coroutine[Any, Any, Verdict | None]]:
        async def work() -> Verdict | None:
            path, disk = DatastorePath.parse(entry.path), DatastorePath.parse(entry.disk)
            await self.reach(path)
            if path == record_path(disk, await disk_uuid(self.host, disk)):
                return Verdict("kept", "its disk is complete")
            return await self.remove_file(path, "never created")

        return work
