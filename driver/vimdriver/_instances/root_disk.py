"""The steps that give a machine another root disk: mark, copy, extend; the swap is the verb's own.

The copy is made by the host (`CopyVirtualDisk_Task`) into the machine's folder, under a name with a
token that nobody else has. Until the swap, which is one `ReconfigVM_Task`, the machine is as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as replaced

from vimdriver._disks.lookup import stored_disk
from vimdriver._disks.manager import copy_disk, disk_manager, extent_of
from vimdriver._instances import devices as builders
from vimdriver._instances.change import MachineState, look, reconfigure
from vimdriver._instances.device_list import BUSES, file_of
from vimdriver._instances.folder import remove_files
from vimdriver._instances.machine import device_files, used_files
from vimdriver._instances.pending import (
    NOTHING_PENDING,
    PENDING_KEY,
    Pending,
    What,
    disk_for,
    pending_of,
)
from vimdriver._journal import Changing
from vimdriver._verbs import Host, Run, Step
from vimdriver._verbs.host import stamp
from vimdriver.errors import DiskSharedError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def first_disk(devices: Iterable[vim25.VirtualDevice], ref: str) -> vim25.VirtualDisk:
    """Return the disk that machine `ref` boots from: the first one, by key. Raises `NotFoundError`."""
    disks = [one for one in devices if isinstance(one, vim25.VirtualDisk)]
    if not disks:
        raise NotFoundError(
            f"machine {ref} has no disk", kind="VirtualDisk", name=ref, hint="Attach one first."
        )
    return min(disks, key=lambda disk: disk.key)


def root_of(machine: MachineState) -> vim25.VirtualDisk:
    """Return the disk that a machine boots from. Raises `NotFoundError`."""
    return first_disk(machine.devices, machine.ref)


def descriptor_adapter(machine: MachineState, disk: vim25.VirtualDevice) -> str:
    """Return a descriptor's name for the adapter of a disk."""
    controller = machine.with_key(disk.controllerKey or 0)
    word = next((w for w, bus in BUSES.items() if type(controller) is bus.controller), "lsiLogic")
    return word if word in ("ide", "busLogic") else "lsiLogic"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoot:
    """The disk that is to become a machine's root disk, and the steps that make it."""

    machine: MachineState
    root: vim25.VirtualDisk
    """The present one."""
    pending: Pending
    entry: Changing
    file: DatastorePath
    steps: tuple[Step[Any], ...]
    """All before the swap."""

    def device(self, capacity_kb: int) -> vim25.VirtualDisk:
        """Return the new disk in the position of the root disk."""
        return builders.revised(
            builders.disk(
                str(self.file),
                controller=self.root.controllerKey or 0,
                unit=self.root.unitNumber or 0,
                capacity_kb=capacity_kb,
            ),
            shares=self.root.shares,
            storageIOAllocation=self.root.storageIOAllocation,
        )


async def new_root(
    host: Host,
    machine: MachineState,
    what: What,
    source: DatastorePath,
    *,
    capacity_kb: int = 0,
    larger_is_fine: bool = False,
    **fields: Any,
) -> NewRoot:
    """Return the disk of a change and the steps that make it. One call; cancelling loses nothing.

    Args:
        host: The host.
        machine: Off, without snapshots and without a change that is not final.
        what: The change.
        source: The disk that is copied.
        capacity_kb: KiB to extend the copy to; 0 leaves it as it is.
        larger_is_fine: Whether the copy may be larger than that already.
        **fields: Further fields of `Pending`.
    """
    root = root_of(machine)
    entry = Changing(
        host=host.client.host,
        owner=host.owner,
        name=machine.name,
        machine=machine.vm.moref[1],
    )
    file = disk_for(machine.vmx, what, entry.token)
    entry = replaced(entry, disk=str(file))
    pending = Pending(
        what=what,
        phase="begun",
        token=entry.token,
        began=stamp(await host.about_now()),
        disk=str(file),
        former=file_of(root),
        **fields,
    )
    steps = [
        mark_step(machine, pending, entry),
        _copy_step(machine, root, source, file, entry.token),
    ]
    if capacity_kb:
        steps.append(_extend_step(host, file, capacity_kb, larger_is_fine=larger_is_fine))
    return NewRoot(
        machine=machine, root=root, pending=pending, entry=entry, file=file, steps=tuple(steps)
    )


def _copy_step(
    machine: MachineState,
    root: vim25.VirtualDisk,
    source: DatastorePath,
    file: DatastorePath,
    token: str,
) -> Step[Any]:
    thin = bool(getattr(root.backing, "thinProvisioned", False))
    spec = vim25.VirtualDiskSpec(
        adapterType=descriptor_adapter(machine, root), diskType="thin" if thin else "preallocated"
    )

    async def remove(run: Run, result: Any) -> None:
        try:
            now = await look(run.host.client, machine.vm, machine.ref)
        except vim25.ManagedObjectNotFound:
            # Somebody destroyed it meanwhile, and the copy may have made its folder again.
            await remove_disk(run.host, file)
            await remove_files(run.host, file.parent, (), token=token, emptied=True)
            return
        # If it is attached, the swap was done, and could not be, or is not to be, taken back.
        if str(file) not in set(device_files(now.devices)):
            await remove_disk(run.host, file)

    return Step[Any](
        title=f"copy {source} to {file.name} (CopyVirtualDisk_Task)",
        makes=str(file),
        call=lambda run: copy_disk(run.host, str(source), file, spec),
        undo=remove,
        method="CopyVirtualDisk_Task",
    )


def _extend_step(
    host: Host, file: DatastorePath, capacity_kb: int, *, larger_is_fine: bool
) -> Step[Any]:
    manager = disk_manager(host)

    async def is_extended(run: Run) -> bool | None:
        found = await stored_disk(run.host, file)
        return (found.capacity or 0) >= capacity_kb * 1024 or None

    def not_larger(run: Run, fault: vim25.MethodFault) -> None:
        if not larger_is_fine or not isinstance(fault, vim25.InvalidArgument):
            raise fault

    return Step[Any](
        title=f"extend it to {capacity_kb} KiB (ExtendVirtualDisk_Task)",
        call=lambda run: manager.ExtendVirtualDisk_Task(str(file), newCapacityKb=capacity_kb),
        probe=is_extended,
        refused=not_larger,
        method="ExtendVirtualDisk_Task",
    )


def mark_step(machine: MachineState, pending: Pending, entry: Changing) -> Step[Any]:
    """Return the step that writes into the machine that a change has begun."""

    def is_ours(now: MachineState) -> bool:
        there = pending_of(now)
        return there is not None and there.token == pending.token

    return reconfigure(
        machine,
        f"write the {pending.what} into {PENDING_KEY}",
        lambda run: vim25.VirtualMachineConfigSpec(extraConfig=[pending.option()]),
        lambda run, now: is_ours(now),
        # The mark keeps others away: of two processes that begin at once, one is refused.
        exclusive=True,
        undo=lambda run, now: (
            vim25.VirtualMachineConfigSpec(extraConfig=[NOTHING_PENDING]) if is_ours(now) else None
        ),
        entry=lambda run: entry,
        makes=f"mark {PENDING_KEY} of {machine.ref}",
    )


def shows(pending: Pending | None) -> Callable[[Run, MachineState], bool]:
    """Return whether a machine has just this change, or none."""
    return lambda run, now: pending_of(now) == pending


def disk_paths(file: DatastorePath) -> tuple[DatastorePath, ...]:
    """Return the files of a flat disk. Hosts hide an extent behind its descriptor, so it goes first."""
    return (extent_of(file), file)


async def remove_disk(host: Host, file: DatastorePath) -> None:
    """Delete the disk that was made for a change. A missing one is not an error.

    Cancelling leaves a task running: shield it.
    """
    for path in disk_paths(file):
        await host.delete(path)


async def check_not_shared(host: Host, machine: MachineState, disk: vim25.VirtualDevice) -> None:
    """Raise `DiskSharedError` if another machine uses a disk that is to be deleted."""
    used = await used_files(host.client, but=machine.vm)
    for path in device_files([disk]):
        if path in used:
            raise DiskSharedError(name=machine.ref, path=path, user=used[path])
