"""Destroy a machine with its files. A machine that is gone already is not an error."""

from __future__ import annotations

import logging
from typing import Any, Final, NamedTuple

from vimdriver._instances.machine import (
    MAKING_KEY,
    OWNER_KEY,
    device_files,
    find,
    marks_of,
    used_files,
    who_uses,
)
from vimdriver._journal import Destroying, Entry
from vimdriver._verbs import Host, Plan, Run, Step, execute, returns, urgent_verb
from vimdriver.errors import DiskSharedError, ForeignInstanceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, VimlibError

log = logging.getLogger("vimdriver.instances")

_UNREACHABLE: Final = ("inaccessible", "orphaned", "invalid")
_OFF: Final = vim25.VirtualMachinePowerState.poweredOff


@urgent_verb
async def destroy(host: Host, ref: str, *, foreign: bool = False) -> Plan[bool]:
    """Power off and remove a machine with all its files; return False if it did not exist.

    Its folder goes with all in it, unless another machine is in it or uses a file there: then it
    stays with the files that the host does not remove, and a warning is logged.

    Cancelling waits until it is removed. Removing it twice at the same time is fine.

    Args:
        ref: uuid, name or moref's value.
        foreign: Also a machine that this driver did not make; then other files in its folder stay.

    Raises:
        ForeignInstanceError: Another made it, and `foreign` is false.
        DiskSharedError: One of its disks is another machine's too; nothing was done.
        MethodFault: The host refused.
        OutcomeUnknownError: The host did not answer, and it is still there.
    """
    client = host.client
    title = f"destroy {ref}"
    try:
        vm = await find(client, ref)
        row = await client.get(
            vm, "name", "config.extraConfig", "config.files.vmPathName", "config.hardware.device"
        )
    except (NotFoundError, vim25.ManagedObjectNotFound):
        return Plan(title, (), returns(False))
    owner = marks_of(row).get(OWNER_KEY)
    if owner != host.owner and not foreign:
        raise ForeignInstanceError(name=ref, owner=owner or "")
    devices: list[vim25.VirtualDevice] = row.props.get("config.hardware.device") or []
    disks = [device for device in devices if isinstance(device, vim25.VirtualDisk)]
    # `Destroy_Task` would delete a disk under another machine.
    used = await used_files(client, but=vm) if disks else {}
    for path in device_files(disks):
        if path in used:
            raise DiskSharedError(name=ref, path=path, user=used[path])
    vmx = row.props.get("config.files.vmPathName")
    if owner != host.owner or not vmx:
        return Plan(title, removal_steps(vm), returns(True))
    folder = DatastorePath.parse(vmx).parent
    entry = Destroying(
        host=client.host,
        owner=host.owner,
        name=str(row.props.get("name") or ref),
        folder=str(folder),
    )
    steps = (*removal_steps(vm, entry), _folder_step(folder))
    return Plan(title, steps, returns(True))


class _State(NamedTuple):
    """A machine right before it is removed."""

    reachable: bool
    off: bool


def removal_steps(vm: vim25.VirtualMachine, entry: Entry | None = None) -> tuple[Step[Any], ...]:
    """Return the steps that power a machine off and remove it with its files.

    It may be off, busy, or gone, or go at any time. One whose files the host cannot reach is taken
    out of the inventory.
    """

    async def read(run: Run) -> _State | None:
        client, again = run.host.client, True
        while again:
            row = await client.get(
                vm, "recentTask", "runtime.connectionState", "runtime.powerState"
            )
            # What runs already may be powering it on.
            again = await client.tasks.ended(
                row.props.get("recentTask") or [], timeout=run.host.config.task_seconds
            )
        return _State(
            row.props.get("runtime.connectionState") not in _UNREACHABLE,
            row.props.get("runtime.powerState") == _OFF,
        )

    def gone(run: Run, fault: vim25.MethodFault) -> None:
        if not isinstance(fault, vim25.ManagedObjectNotFound):
            raise fault

    def off_or_gone(run: Run, fault: vim25.MethodFault) -> None:
        # Somebody was quicker; any state but "off" stays an error.
        if not isinstance(fault, vim25.InvalidPowerState) or fault.existingState != _OFF:
            gone(run, fault)

    async def power_off(run: Run) -> vim25.Task[None] | None:
        found = run[state]
        return await vm.PowerOffVM_Task() if found and found.reachable and not found.off else None

    async def remove(run: Run) -> vim25.Task[None] | None:
        found = run[state]
        if found is None:
            return None
        if found.reachable:
            return await vm.Destroy_Task()
        await vm.UnregisterVM()
        return None

    async def is_off(run: Run) -> Any:
        row = await run.host.client.get(vm, "runtime.powerState")
        return row.props.get("runtime.powerState") == _OFF or None

    async def is_gone(run: Run) -> Any:
        try:
            await run.host.client.get(vm, "name")
        except vim25.ManagedObjectNotFound:
            return True
        return None

    state = Step[_State | None](
        title="wait until no task runs on it, and read its power state",
        call=read,
        refused=gone,
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
    removed = Step[None](
        title="remove it with its files (Destroy_Task; UnregisterVM if they cannot be reached)",
        call=remove,
        probe=is_gone,
        refused=gone,
        of=lambda run: vm,
        idempotent=True,
    )
    return (state, off, removed)


def _folder_step(folder: DatastorePath) -> Step[None]:
    async def remove(run: Run) -> None:
        try:
            await _remove_folder(run.host, folder)
        except VimlibError as error:
            error.add_note(f"The machine is removed. Left behind: {folder}")
            raise

    return Step(
        title=f"delete what is left of {folder} (DeleteDatastoreFile_Task)",
        call=remove,
        method="DeleteDatastoreFile_Task",
    )


async def _remove_folder(host: Host, folder: DatastorePath) -> None:
    """Remove a machine's folder, if the host has not. A folder that is gone is not an error.

    Only ever called with a folder that the host named for a machine of ours. It stays if it is the
    root of a datastore, or a machine uses anything in it.
    """
    # Hosts remove it with the machine where nothing else is in it.
    if not folder.path or not await host.exists(folder):
        return
    if reason := who_uses(folder, await used_files(host.client)):
        log.warning("not deleting %s: %s", folder, reason)
        return
    await host.delete(folder)


async def remove_half_made(
    host: Host, vm: vim25.VirtualMachine, folder: DatastorePath | None, *, whole: bool = True
) -> bool:
    """Remove a machine that was never finished, and its folder. One that is gone is not an error.

    Without `folder` only the host put files there, which it removes with the machine. With `whole`
    false, a machine that has become whole by now stays, and False is returned.

    The machine, which carries the mark, goes last: as long as `MAKING_KEY` is there, the disk is not attached, so
    it is deleted first. Whatever interrupts this, a sweep finds the rest by the mark. Cancelling
    waits for the step that is under way.
    """
    steps: list[Step[Any]] = []
    try:
        making = MAKING_KEY in marks_of(await host.client.get(vm, "config.extraConfig"))
    except vim25.ManagedObjectNotFound:
        pass
    else:
        if not making and not whole:
            return False
        if making and folder is not None and folder.path:
            # From here on nobody else can give it its disk.
            steps += [_delete_step(path) for path in await _own_disks(host, vm, folder)]
        steps += removal_steps(vm)
    if folder is not None:
        steps.append(_folder_step(folder))
    return await execute(host, Plan("remove a half-made machine", tuple(steps), returns(True)))


def _delete_step(path: DatastorePath) -> Step[None]:
    return Step(
        title=f"delete {path} (DeleteDatastoreFile_Task)",
        call=lambda run: run.host.delete(path),
        method="DeleteDatastoreFile_Task",
    )


async def _own_disks(
    host: Host, vm: vim25.VirtualMachine, folder: DatastorePath
) -> list[DatastorePath]:
    """Return the disks in a folder that no other machine uses, each extent before its descriptor."""
    used = await used_files(host.client, but=vm)
    try:
        found = [
            entry.path for entry in await host.datastore(folder.datastore).list(folder, "*.vmdk")
        ]
    except NotFoundError:
        return []
    paths = []
    for disk in found:
        if str(disk) not in used:
            # Hosts hide an extent behind its descriptor, so it goes first, unseen.
            paths += [disk.with_name(f"{disk.name.removesuffix('.vmdk')}-flat.vmdk"), disk]
    return paths


async def remove_remains(host: Host, folder: DatastorePath, *, dry_run: bool = False) -> str:
    """Remove the folder of a machine of ours that is gone; return the reason why it stays, or "".

    Unlike a machine, a folder carries no mark: somebody may use it by now. Cancelling leaves a
    task running: shield it.
    """
    if not folder.path:
        return "the root of a datastore"
    try:
        found = await host.datastore(folder.datastore).list(folder)
    except NotFoundError:
        return ""
    if any(entry.name.endswith((".vmx", ".vmtx")) for entry in found):
        return "it contains the configuration of a machine"
    if reason := who_uses(folder, await used_files(host.client)):
        return reason
    if not dry_run:
        await host.delete(folder)
    return ""
