"""Another root disk for a machine: for a while (rescue), or for good (rebuild)."""

from __future__ import annotations

from msgspec.structs import replace as replaced

from vimdriver._instances import devices as builders
from vimdriver._instances.change import (
    OFF,
    MachineState,
    devices_changed,
    gather,
    reconfigure,
    require,
)
from vimdriver._instances.device_list import capacity_kb, file_of, free_slot
from vimdriver._instances.disks import (
    check_no_snapshots,
    descriptor_path,
    disk_of,
    explain_file,
    stands_elsewhere,
)
from vimdriver._instances.machine import reads
from vimdriver._instances.pending import (
    NOTHING_PENDING,
    pending_of,
    require_nothing_pending,
    require_pending,
)
from vimdriver._instances.root_disk import check_not_shared, new_root, root_of, shows
from vimdriver._instances.types import Instance
from vimdriver._verbs import Host, Plan, Run, verb
from vimlib import vim25


@verb
async def rescue(host: Host, ref: str, disk: str, *, foreign: bool = False) -> Plan[Instance]:
    """Let a machine that is off boot from a copy of another disk, with its own root disk attached too.

    The copy (`CopyVirtualDisk_Task`) takes the place of the root disk, which moves to the next free
    position. The machine stays off: power it on, mend it, power it off, then `unrescue`. Cancelling
    lets the task that is under way end, then undoes all. After a kill, `ESXDriver.sweep` does it.

    Args:
        ref: uuid, name or moref's value.
        disk: Datastore path of the rescue disk, as `image push` publishes it. It is not changed.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine or the rescue disk does not exist, or the machine has no disk.
        UsageError: The path does not name a disk.
        PendingChangeError: It is in rescue already, or has a resize to confirm or revert.
        DiskSnapshotError: A snapshot holds the root disk.
        NoSlotError: The root disk can be moved nowhere.
        NoSpaceError: The datastore is full; all was undone.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        ConcurrentAccess: Another process changes the machine at the same time; nothing was changed.
        InstanceStateError: The machine is not off.
        VimlibError: A step failed; all was undone, or a note names the objects that are left.
    """
    source = descriptor_path("disk", disk)
    machine = await gather(host, ref, OFF, foreign=foreign)
    require_nothing_pending(machine)
    root = root_of(machine)
    check_no_snapshots(machine, root)
    slot = free_slot(machine.devices, None, api_version=host.client.api_version, machine=ref)
    new = await new_root(host, machine, "rescue", source)
    done = replaced(new.pending, phase="done")
    aside = builders.revised(root, controllerKey=slot.controller, unitNumber=slot.unit)

    def back(run: Run, now: MachineState) -> vim25.VirtualMachineConfigSpec | None:
        if pending_of(now) != done:
            return None
        return _ending(now, str(new.file), file_of(root), files=False)

    swap = reconfigure(
        machine,
        "put the copy in the place of the root disk, which stays attached",
        lambda run: devices_changed(
            *slot.add,
            builders.remove(root),
            builders.add(new.device(0)),
            builders.add(builders.revised(aside, key=-102)),
            extraConfig=[done.option()],
        ),
        shows(done),
        still=lambda now: check_no_snapshots(now, root),
        undo=back,
        makes=f"rescue of {ref}",
    )
    return Plan(
        f"rescue {ref}",
        (*new.steps, swap),
        reads(machine.vm),
        explain=explain_file(machine.vmx.datastore, capacity_kb(root) * 1024, source),
    )


def _ending(
    now: MachineState, rescue_disk: str, root_disk: str, *, files: bool
) -> vim25.VirtualMachineConfigSpec:
    """Return the change that removes a rescue disk and puts the root disk in its place again."""
    copy, root = disk_of(now, rescue_disk), disk_of(now, root_disk)
    placed = builders.revised(
        root, key=-102, controllerKey=copy.controllerKey, unitNumber=copy.unitNumber
    )
    return devices_changed(
        builders.remove(copy, files=files),
        builders.remove(root),
        builders.add(placed),
        extraConfig=[NOTHING_PENDING],
    )


@verb
async def unrescue(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """End the rescue of a machine that is off: its root disk returns, the rescue disk is deleted.

    Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist, or no longer has one of the two disks.
        PendingChangeError: It is not in rescue.
        DiskSnapshotError: A snapshot holds the disks.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        ConcurrentAccess: Another process changes the machine at the same time; nothing was changed.
        InstanceStateError: The machine is not off.
    """
    machine = await gather(host, ref, foreign=foreign)
    pending = require_pending(machine, "rescue", "done")
    require(machine, OFF)
    check_no_snapshots(machine, disk_of(machine, pending.disk))
    change = _ending(machine, pending.disk, pending.former, files=True)
    step = reconfigure(
        machine,
        "put the root disk in its place again, and delete the rescue disk",
        lambda run: change,
        shows(None),
        exclusive=True,
    )
    return Plan(f"end the rescue of {ref}", (step,), reads(machine.vm))


@verb
async def rebuild(host: Host, ref: str, disk: str, *, foreign: bool = False) -> Plan[Instance]:
    """Replace the root disk of a machine that is off by a copy of another disk. Its contents are lost.

    The copy (`CopyVirtualDisk_Task`) is extended to the size of the root disk, which is then deleted,
    unless it is an image of the host, in another folder, or linked to one: then it stays. Name, uuid, NICs, other disks and settings stay, and the machine stays off. Cancelling before the
    disks are swapped undoes all. After a kill, `ESXDriver.sweep` does it.

    Args:
        ref: uuid, name or moref's value.
        disk: Datastore path of the new contents, as `image push` publishes it. It is not changed.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine or the disk does not exist, or the machine has no disk.
        UsageError: The path does not name a disk.
        PendingChangeError: It is in rescue, or has a resize to confirm or revert.
        DiskSharedError: Another machine uses the root disk.
        DiskSnapshotError: A snapshot holds the root disk.
        NoSpaceError: The datastore is full; all was undone.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        ConcurrentAccess: Another process changes the machine at the same time; nothing was changed.
        InstanceStateError: The machine is not off.
        VimlibError: A step failed; all was undone, or a note names the objects that are left.
    """
    source = descriptor_path("disk", disk)
    machine = await gather(host, ref, OFF, foreign=foreign)
    require_nothing_pending(machine)
    root = root_of(machine)
    check_no_snapshots(machine, root)
    await check_not_shared(host, machine, root)
    size, stays = capacity_kb(root), stands_elsewhere(machine, root)
    new = await new_root(host, machine, "rebuild", source, capacity_kb=size, larger_is_fine=True)
    swap = reconfigure(
        machine,
        "put the copy in the place of the root disk" + ("" if stays else ", and delete that"),
        lambda run: devices_changed(
            builders.remove(root, files=not stays),
            builders.add(new.device(size)),
            extraConfig=[NOTHING_PENDING],
        ),
        # The mark may be gone for another reason.
        lambda run, now: any(file_of(one) == str(new.file) for one in now.devices),
        still=lambda now: check_no_snapshots(now, root),
    )
    return Plan(
        f"rebuild {ref}",
        (*new.steps, swap),
        reads(machine.vm),
        explain=explain_file(machine.vmx.datastore, size * 1024, source),
    )
