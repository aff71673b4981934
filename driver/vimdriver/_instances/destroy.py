"""Destroy a machine with its files. A machine that is gone already is not an error."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace as replaced

from vimdriver._instances.folder import Remains, own_files, remove_files
from vimdriver._instances.further import numbered_disks, own_disks
from vimdriver._instances.machine import (
    MAKING_KEY,
    OWNER_KEY,
    claim,
    device_files,
    is_elsewhere,
    is_gone,
    marks_of,
    used_files,
)
from vimdriver._journal import Destroying, SeenFile
from vimdriver._verbs import Host, Plan, Run, Step, after_change, execute, returns, urgent_verb
from vimdriver.errors import DiskSharedError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

log = logging.getLogger("vimdriver.instances")

_UNREACHABLE: Final = ("inaccessible", "orphaned", "invalid")
_OFF: Final = vim25.VirtualMachinePowerState.poweredOff


@urgent_verb
async def destroy(
    host: Host,
    ref: str,
    *,
    foreign: bool = False,
    keep_files: bool = False,
    on_left: Callable[[DatastorePath], None] | None = None,
) -> Plan[bool]:
    """Power off and remove a machine with its files; return whether this call removed it.

    False: it did not exist, or another call, of this process or another, removed it first. Only if
    the host's answer gets lost may two calls return True.

    An error after the host has removed it has the outcome `applied`: files may be left, and
    another call at that time returns False.

    Its files are those that the host lists for it (`layoutEx`) and those that hosts write under its
    name. Others in its folder stay, with the folder, and are logged as a warning. With another
    machine in the folder, all stay that the host does not remove itself.

    Cancelling waits until it is removed.

    Args:
        ref: uuid, name or moref's value.
        foreign: Also a machine that this driver did not make; then only the host removes files.
        keep_files: Only power it off and take it out of the inventory (`UnregisterVM`): its folder
            stays as it is.
        on_left: Called with each file or folder that stays in the machine's folder.

    Raises:
        ForeignInstanceError: Another made it, and `foreign` is false.
        InstanceAmbiguousError: Another machine has that name; nothing was done.
        DiskSharedError: One of its disks is another machine's too; nothing was done.
        MethodFault: The host refused.
        OutcomeUnknownError: The host did not answer, and it is still there.
    """
    client = host.client
    title = f"destroy {ref}"
    try:
        row = await claim(
            host, ref, "config.files.vmPathName", "config.hardware.device", foreign=foreign
        )
    except (NotFoundError, vim25.ManagedObjectNotFound):
        return Plan(title, (), returns(False))
    vm = row.obj
    devices: list[vim25.VirtualDevice] = row.props.get("config.hardware.device") or []
    disks = [one for one in devices if isinstance(one, vim25.VirtualDisk) and not keep_files]
    # `Destroy_Task` would delete a disk under another machine.
    used = await used_files(client, but=vm) if disks else {}
    vmx = row.props.get("config.files.vmPathName")
    place = (
        None
        if not vmx or keep_files
        else _Place(DatastorePath.parse(vmx), ours=marks_of(row).get(OWNER_KEY) == host.owner)
    )
    _check_not_shared(ref, disks, used, place)
    entry = None
    if place is not None and place.ours:
        entry = Destroying(
            host=client.host,
            owner=host.owner,
            name=str(row.props.get("name") or ref),
            folder=str(place.folder),
        )
    removal = _removal(vm, place, entry.token if entry else "", entry, keep=keep_files)

    async def result(run: Run) -> bool:
        remains = run[removal.cleared]
        if remains.left and place is not None:
            log.warning("%s stays: %s", place.folder, remains.reason)
        if on_left is not None:
            for path in remains.left:
                on_left(path)
        return run[removal.removed] is not False

    return Plan(title, removal.steps, result)


def _check_not_shared(
    ref: str, disks: Iterable[vim25.VirtualDisk], used: Mapping[str, str], place: _Place | None
) -> None:
    """Raise `DiskSharedError` for a disk that would be removed and that another machine uses."""
    for path in device_files(disks):
        # One elsewhere stays: see `_Place.shares`.
        stays = place is not None and place.ours and is_elsewhere(path, place.folder)
        if path in used and not stays:
            raise DiskSharedError(name=ref, path=path, user=used[path])


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a machine's own files are."""

    vmx: DatastorePath
    ours: bool = True
    """Whether files may be removed that the host does not remove with the machine."""
    disks: bool = True
    """False: it has none yet, and disks in its folder are somebody else's."""

    @property
    def folder(self) -> DatastorePath:
        return self.vmx.parent

    @property
    def base(self) -> str:
        return self.vmx.name.removesuffix(".vmx")

    def shares(self, devices: Iterable[vim25.VirtualDevice]) -> bool:
        """Return whether a disk of the machine, or one that it grew from, is elsewhere: it stays.

        Hosts have deleted the shared base with a linked disk, so such a machine is not destroyed by
        the host: it is taken out of the inventory, and its own files are removed by their names.
        """
        disks = [device for device in devices if isinstance(device, vim25.VirtualDisk)]
        return self.ours and any(is_elsewhere(path, self.folder) for path in device_files(disks))


class _State(NamedTuple):
    """A machine right before it is removed."""

    reachable: bool
    off: bool
    files: frozenset[str]
    """Paths of its files, by `layoutEx`."""
    shares: bool
    """See `_Place.shares`."""
    grown: tuple[vim25.VirtualDisk, ...] = ()
    """Its disks that stand on others, as with a snapshot: a machine may have been linked to them by now."""


@dataclass(frozen=True, slots=True)
class _Removal:
    """The steps that remove a machine."""

    steps: tuple[Step[Any], ...]
    removed: Step[bool | None]
    """False if it was gone; None or True if this removed it."""
    cleared: Step[Remains]


def _removal(
    vm: vim25.VirtualMachine,
    place: _Place | None,
    token: str,
    entry: Destroying | None = None,
    *,
    keep: bool = False,
) -> _Removal:
    """Return the steps that power a machine off, remove it, and remove what is left of its files.

    It may be off, busy, or gone, or go at any time. One whose files the host cannot reach is taken
    out of the inventory, and its files stay; so is any with `keep`.
    """
    state, off = _off_steps(vm, place, entry)
    listed = Step[tuple[SeenFile, ...]](
        title="list its own files in its folder",
        call=lambda run: _list(run, place, run[state]),
        idempotent=True,
    )
    removed = _remove_step(
        vm,
        state,
        place,
        None if entry is None else lambda run: replaced(entry, files=run[listed]),
        keep=keep,
    )

    async def clear(run: Run) -> Remains:
        found = run[state]
        if place is None or not place.folder.path or run[removed] is False:
            return Remains()
        if found is None or not found.reachable:
            return Remains(left=(place.folder,), reason="the host cannot reach it")
        files = run[listed]
        try:
            with after_change():
                return await remove_files(
                    run.host,
                    place.folder,
                    files,
                    token=token,
                    emptied=True,
                    dry_run=not place.ours,
                )
        except VimlibError as error:
            error.add_note(f"The machine is removed. Left behind: {place.folder}")
            raise

    cleared = Step[Remains](
        title=f"remove what is left of its own files in {place.folder if place else 'its folder'}",
        call=clear,
        method="DeleteDatastoreFile_Task",
    )
    return _Removal((state, off, listed, removed, cleared), removed, cleared)


async def _list(run: Run, place: _Place | None, found: _State | None) -> tuple[SeenFile, ...]:
    if place is None or not place.ours or not place.folder.path or not (found and found.reachable):
        return ()
    return await own_files(run.host, place.folder, place.base, found.files, disks=place.disks)


def _gone(run: Run, fault: vim25.MethodFault) -> None:
    if not isinstance(fault, vim25.ManagedObjectNotFound):
        raise fault


def _off_steps(
    vm: vim25.VirtualMachine, place: _Place | None, entry: Destroying | None
) -> tuple[Step[_State | None], Step[None]]:
    async def read(run: Run) -> _State | None:
        client, again = run.host.client, True
        while again:
            row = await client.get(
                vm,
                "recentTask",
                "runtime.connectionState",
                "runtime.powerState",
                "layoutEx.file",
                "config.hardware.device",
            )
            # What runs already may be powering it on.
            again = await client.tasks.ended(
                row.props.get("recentTask") or [], timeout=run.host.config.task_seconds
            )
        return _State(
            row.props.get("runtime.connectionState") not in _UNREACHABLE,
            row.props.get("runtime.powerState") == _OFF,
            frozenset(file.name for file in row.props.get("layoutEx.file") or []),
            place is not None and place.shares(row.props.get("config.hardware.device") or ()),
            tuple(
                one
                for one in row.props.get("config.hardware.device") or ()
                if isinstance(one, vim25.VirtualDisk) and getattr(one.backing, "parent", None)
            ),
        )

    def off_or_gone(run: Run, fault: vim25.MethodFault) -> None:
        # Somebody was quicker; any state but "off" stays an error.
        if not isinstance(fault, vim25.InvalidPowerState) or fault.existingState != _OFF:
            _gone(run, fault)

    async def power_off(run: Run) -> vim25.Task[None] | None:
        found = run[state]
        return await vm.PowerOffVM_Task() if found and found.reachable and not found.off else None

    async def is_off(run: Run) -> Any:
        row = await run.host.client.get(vm, "runtime.powerState")
        return row.props.get("runtime.powerState") == _OFF or None

    state = Step[_State | None](
        title="wait until no task runs on it, and read its power state",
        call=read,
        refused=_gone,
        entry=None if entry is None else lambda run: entry,
    )
    off = Step[None](
        title="cut its power, unless it is off (PowerOffVM_Task)",
        call=power_off,
        probe=is_off,
        refused=off_or_gone,
        of=lambda run: vm,
        idempotent=True,
    )
    return state, off


def _remove_step(
    vm: vim25.VirtualMachine,
    state: Step[_State | None],
    place: _Place | None,
    entry: Callable[[Run], Destroying] | None,
    *,
    keep: bool,
) -> Step[bool | None]:
    # Whether an earlier attempt may have removed it, though the host's answer got lost.
    doubts: set[Run] = set()

    async def remove(run: Run) -> vim25.Task[None] | bool:
        found = run[state]
        if found is None:
            return False
        if found.grown and not found.shares and not keep:
            # Another process may have linked a clone to its snapshot since the verb began.
            used = await used_files(run.host.client, but=vm)
            _check_not_shared(vm.moref[1], found.grown, used, place)
        try:
            if found.reachable and not keep and not found.shares:
                return await vm.Destroy_Task()
            await vm.UnregisterVM()
        except vim25.MethodFault:
            raise
        except VimlibError:
            doubts.add(run)
            raise
        return True

    def already_gone(run: Run, fault: vim25.MethodFault) -> bool:
        _gone(run, fault)
        return run in doubts

    return Step[bool | None](
        title="take it out of the inventory (UnregisterVM)"
        if keep
        else "remove it with its files (Destroy_Task; UnregisterVM if they cannot be reached or are shared)",
        call=remove,
        probe=is_gone(vm),
        refused=already_gone,
        entry=entry,
        of=lambda run: vm,
        idempotent=True,
    )


class HalfMade(NamedTuple):
    """The result of removing a machine that was never finished."""

    removed: bool
    """False: it has become whole by now, and stays."""
    left: tuple[DatastorePath, ...] = ()
    """Files of others in its folder, which stay with it."""


async def remove_half_made(
    host: Host,
    vm: vim25.VirtualMachine,
    vmx: DatastorePath | None,
    disk: DatastorePath | None,
    *,
    token: str,
    whole: bool = True,
) -> HalfMade:
    """Remove a machine that was never finished, and its files. One that is gone is not an error.

    Without `vmx` only the host put files there, which it removes with the machine. `disk` is what
    its maker put or was about to put there, `token` that of the journal's entry. With `whole` false, a machine that has become whole by
    now stays.

    The machine, which carries the mark, goes last: as long as `MAKING_KEY` is there, the disk is not attached, so
    it is deleted first. Whatever interrupts this, a sweep finds the rest by the mark. Cancelling
    waits for the step that is under way.
    """
    steps: list[Step[Any]] = []
    try:
        row = await host.client.get(vm, "config.extraConfig", "config.hardware.device")
    except vim25.ManagedObjectNotFound:
        return HalfMade(True, await _orphaned(host, vmx, token) if disk is not None else ())
    marks = marks_of(row)
    making = MAKING_KEY in marks
    if not making and not whole:
        return HalfMade(False)
    if making and vmx is not None and disk is not None:
        attached = set(device_files(row.props.get("config.hardware.device") or []))
        # From here on nobody else can give it its disks.
        for path in (disk, *numbered_disks(disk, own_disks(marks))):
            if str(path) not in attached:
                steps += [_delete_step(each) for each in await _unattached(host, vm, path)]
    place = None if vmx is None else _Place(vmx, disks=not making)
    removal = _removal(vm, place, token)

    async def result(run: Run) -> HalfMade:
        return HalfMade(True, run[removal.cleared].left)

    return await execute(host, Plan("remove a half-made machine", (*steps, *removal.steps), result))


async def _orphaned(host: Host, vmx: DatastorePath | None, token: str) -> tuple[DatastorePath, ...]:
    """Remove the disk that was put into the folder of a machine that somebody else then removed.

    Return what stays. A verb that makes another machine in that folder begins with its configuration, by
    which `remove_files` recognises that it is theirs.
    """
    if vmx is None:
        return ()
    seen = await own_files(host, vmx.parent, _Place(vmx).base, ())
    if not seen:
        return ()
    return (await remove_files(host, vmx.parent, seen, token=token, emptied=False)).left


async def _unattached(
    host: Host, vm: vim25.VirtualMachine, disk: DatastorePath
) -> list[DatastorePath]:
    """Return a disk's files that are there, its extent first, unless another machine uses the disk."""
    try:
        found = await host.datastore(disk.datastore).list(disk.parent, "*.vmdk")
    except NotFoundError:
        return []
    extent = disk.with_name(f"{disk.name.removesuffix('.vmdk')}-flat.vmdk")
    there = {entry.path for entry in found}
    if not there & {disk, extent} or str(disk) in await used_files(host.client, but=vm):
        return []
    # Hosts hide an extent behind its descriptor, so it goes first, unseen.
    return [extent, disk]


def _delete_step(path: DatastorePath) -> Step[None]:
    return Step(
        title=f"delete {path} (DeleteDatastoreFile_Task)",
        call=lambda run: run.host.delete(path),
        method="DeleteDatastoreFile_Task",
    )
