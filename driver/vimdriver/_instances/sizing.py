"""Size of a machine: CPUs and memory at once, or a resize that is confirmed or reverted later."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from msgspec.structs import replace as replaced

from vimdriver._disks.manager import disk_manager
from vimdriver._instances import devices as builders
from vimdriver._instances.change import (
    OFF,
    ON,
    MachineState,
    devices_changed,
    gather,
    reconfigure,
    require,
)
from vimdriver._instances.device_list import capacity_kb, file_of
from vimdriver._instances.disk_spec import GIB_KB, check_size
from vimdriver._instances.disks import (
    check_growth,
    check_no_snapshots,
    disk_of,
    explain_file,
    stands_elsewhere,
)
from vimdriver._instances.machine import is_elsewhere, reads, used_files
from vimdriver._instances.pending import (
    NOTHING_PENDING,
    Pending,
    pending_of,
    require_nothing_pending,
    require_pending,
)
from vimdriver._instances.root_disk import new_root, root_of, shows
from vimdriver._instances.types import Instance, check_cpus, check_memory
from vimdriver._journal import Changing
from vimdriver._journal.entries import new_token
from vimdriver._verbs import Host, Plan, Run, Step, Within, already, verb
from vimdriver._verbs.host import stamp
from vimdriver.errors import DiskSharedError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimlib.errors import VimlibError

CPUs = Annotated[int | None, Within(1)]


@verb
async def change_hardware(
    host: Host,
    ref: str,
    *,
    cpus: CPUs = None,
    memory_mb: int | None = None,
    foreign: bool = False,
) -> Plan[Instance]:
    """Give a machine another number of CPUs or another size of memory (`ReconfigVM_Task`).

    A running machine is only given more, and only if it has hot-add. Cancelling waits for the task,
    then changes it back.

    Args:
        ref: uuid, name or moref's value.
        cpus: Number of virtual CPUs.
        memory_mb: Memory in MiB, a multiple of 4.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        UsageError: A value is not valid, or neither is given, or the host does not support it.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: The machine is suspended, or runs without hot-add.
    """
    machine = await _gather(host, ref, cpus, memory_mb, None, ON, OFF, foreign=foreign)
    more_cpus = cpus is not None and cpus != machine.cpus
    more_memory = memory_mb is not None and memory_mb != machine.memory_mb
    hot = (not more_cpus or (machine.cpu_hot_add and (cpus or 0) > machine.cpus)) and (
        not more_memory or (machine.memory_hot_add and (memory_mb or 0) > machine.memory_mb)
    )
    if not hot:
        require(machine, OFF)

    def back(run: Run, now: MachineState) -> vim25.VirtualMachineConfigSpec | None:
        if not _has(now, cpus, memory_mb):
            return None
        return vim25.VirtualMachineConfigSpec(
            numCPUs=machine.cpus if more_cpus else None,
            memoryMB=machine.memory_mb if more_memory else None,
        )

    step = reconfigure(
        machine,
        f"change it to {_words(cpus, memory_mb)}",
        lambda run: vim25.VirtualMachineConfigSpec(numCPUs=cpus, memoryMB=memory_mb),
        lambda run, now: _has(now, cpus, memory_mb),
        # Additions to a running machine stay: nothing is removed from one.
        undo=back if machine.power_state == OFF else None,
    )
    return Plan(
        f"change the hardware of {ref}",
        (step,) if more_cpus or more_memory else (),
        reads(machine.vm),
        explain=_explain(cpus, memory_mb),
    )


async def _gather(
    host: Host,
    ref: str,
    cpus: int | None,
    memory_mb: int | None,
    disk_gb: int | None,
    *allowed: str,
    foreign: bool,
) -> MachineState:
    if cpus is None and memory_mb is None and disk_gb is None:
        raise UsageError(
            "at least one size is required", hint="Give cpus (--cpus) or memory_mb (--memory-mb)."
        )
    if cpus is not None:
        check_cpus(cpus)
    if memory_mb is not None:
        check_memory(memory_mb)
    check_size("disk_gb", disk_gb)
    machine = await gather(host, ref, *allowed, foreign=foreign)
    require_nothing_pending(machine)
    if cpus is not None and cpus % machine.cores_per_socket:
        raise UsageError(
            f"cpus must be a multiple of {machine.cores_per_socket}, the machine's cores per socket, "
            f"got {cpus}",
            field="cpus",
        )
    return machine


def _has(now: MachineState, cpus: int | None, memory_mb: int | None) -> bool:
    return cpus in (None, now.cpus) and memory_mb in (None, now.memory_mb)


def _words(cpus: int | None, memory_mb: int | None) -> str:
    words = [] if cpus is None else [f"{cpus} CPUs"]
    return " and ".join(words + ([] if memory_mb is None else [f"{memory_mb} MiB"]))


def _explain(
    cpus: int | None,
    memory_mb: int | None,
    then: Callable[[Host, VimlibError], Awaitable[VimlibError]] | None = None,
) -> Callable[[Host, VimlibError], Awaitable[VimlibError]]:
    """Return the function that names the size behind the fault of a step."""

    async def explain(host: Host, error: VimlibError) -> VimlibError:
        argument = str(getattr(error, "invalidProperty", None))
        for field, value, name in (
            ("numCPUs", cpus, "cpus"),
            ("memoryMB", memory_mb, "memory_mb"),
        ):
            if isinstance(error, vim25.InvalidArgument) and argument.endswith(field):
                return UsageError(
                    f"{name} must be a number that the host supports, got {value}",
                    field=name,
                    outcome="refused",
                )
        return error if then is None else await then(host, error)

    return explain


def _outgrown(machine: MachineState, disk_gb: int | None) -> vim25.VirtualDisk | None:
    """Return the root disk if it is smaller than asked for. Raises as `check_growth`."""
    if disk_gb is None:
        return None
    root = root_of(machine)
    check_growth(disk_gb, capacity_kb(root), "disk_gb")
    return None if disk_gb * GIB_KB == capacity_kb(root) else root


@verb
async def resize(
    host: Host,
    ref: str,
    *,
    cpus: CPUs = None,
    memory_mb: int | None = None,
    disk_gb: Annotated[int | None, Within(1)] = None,
    foreign: bool = False,
) -> Plan[Instance]:
    """Give a machine that is off another size, to be confirmed or reverted later.

    A larger root disk is a copy (`CopyVirtualDisk_Task`, `ExtendVirtualDisk_Task`); the former disk is
    kept until `confirm_resize`. The machine stays off. Cancelling lets the task that is under way end,
    then undoes all. After a kill, `ESXDriver.sweep` does it.

    Args:
        ref: uuid, name or moref's value.
        cpus: Number of virtual CPUs.
        memory_mb: Memory in MiB, a multiple of 4.
        disk_gb: Size of the root disk in GiB, at least the present one.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist, or has no disk.
        UsageError: A value is not valid, no size is given, or the disk would shrink.
        PendingChangeError: A resize or a rescue is not final yet.
        DiskSnapshotError: A snapshot holds the root disk.
        NoSpaceError: The datastore is full; all was undone.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        ConcurrentAccess: Another process changes the machine at the same time; nothing was changed.
        InstanceStateError: The machine is not off.
        VimlibError: A step failed; all was undone, or a note names the objects that are left.
    """
    machine = await _gather(host, ref, cpus, memory_mb, disk_gb, OFF, foreign=foreign)
    root = _outgrown(machine, disk_gb)
    still = None if root is None else partial(check_no_snapshots, disk=root)
    sizes: dict[str, Any] = {"numCPUs": cpus, "memoryMB": memory_mb}
    if root is None or disk_gb is None:
        done = Pending(
            what="resize", phase="done", token=new_token(), began=stamp(await host.about_now()),
            cpus=machine.cpus, memory_mb=machine.memory_mb,
        )  # fmt: skip
        steps: tuple[Step[Any], ...] = ()
        changes: tuple[vim25.VirtualDeviceConfigSpec, ...] = ()
    else:
        check_no_snapshots(machine, root)
        new = await new_root(
            host,
            machine,
            "resize",
            DatastorePath.parse(file_of(root)),
            capacity_kb=disk_gb * GIB_KB,
            cpus=machine.cpus,
            memory_mb=machine.memory_mb,
        )
        done = replaced(new.pending, phase="done", keeps_former=stands_elsewhere(machine, root))
        steps = new.steps
        changes = (builders.remove(root), builders.add(new.device(disk_gb * GIB_KB)))

    def back(run: Run, now: MachineState) -> vim25.VirtualMachineConfigSpec | None:
        return _reverting(now, done, root, files=False) if pending_of(now) == done else None

    swap = reconfigure(
        machine,
        "change its size" + (", with the new disk in place of the former" if changes else ""),
        lambda run: devices_changed(*changes, extraConfig=[done.option()], **sizes),
        shows(done),
        exclusive=not steps,
        still=still,
        undo=back,
        makes=f"the size of {ref}",
    )
    space = explain_file(machine.vmx.datastore, (disk_gb or 0) * GIB_KB * 1024)
    return Plan(
        f"resize {ref}",
        (*steps, swap),
        reads(machine.vm),
        explain=_explain(cpus, memory_mb, space),
    )


def _reverting(
    now: MachineState,
    pending: Pending,
    former: vim25.VirtualDisk | None,
    *,
    files: bool,
) -> vim25.VirtualMachineConfigSpec:
    """Return the change that gives a machine its former size and disk."""
    changes: list[vim25.VirtualDeviceConfigSpec] = []
    if pending.disk:
        new = disk_of(now, pending.disk)
        old = former or builders.revised(
            builders.disk(
                pending.former,
                controller=new.controllerKey or 0,
                unit=new.unitNumber or 0,
                capacity_kb=0,
                mode=str(getattr(new.backing, "diskMode", "") or "persistent"),
            ),
            shares=new.shares,
            storageIOAllocation=new.storageIOAllocation,
        )
        changes = [builders.remove(new, files=files), builders.add(old)]
    return devices_changed(
        *changes,
        numCPUs=pending.cpus,
        memoryMB=pending.memory_mb,
        extraConfig=[NOTHING_PENDING],
    )


@verb
async def revert_resize(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """Give a machine that is off its size from before `resize` again, and its former root disk.

    All that was written to the new root disk is lost. Cancelling waits for the task.

    Args:
        ref: uuid, name or moref's value.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine or one of the two disks does not exist.
        PendingChangeError: There is no resize to revert.
        DiskSnapshotError: A snapshot holds the new root disk.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        ConcurrentAccess: Another process changes the machine at the same time; nothing was changed.
        InstanceStateError: The machine is not off.
    """
    machine = await gather(host, ref, foreign=foreign)
    pending = require_pending(machine, "resize", "done")
    require(machine, OFF)
    if pending.disk:
        check_no_snapshots(machine, disk_of(machine, pending.disk))
        former = DatastorePath.parse(pending.former)
        if not await host.exists(former):
            raise NotFoundError(
                f"the former disk of {ref} is gone: {former}",
                kind="file",
                name=str(former),
                hint="Confirm the resize: vimctl instance confirm-resize.",
            )
    step = reconfigure(
        machine,
        "change it to its former size" + (" and disk" if pending.disk else ""),
        lambda run: _reverting(machine, pending, None, files=True),
        shows(None),
        exclusive=True,
    )
    return Plan(f"revert the resize of {ref}", (step,), reads(machine.vm))


@verb
async def confirm_resize(host: Host, ref: str, *, foreign: bool = False) -> Plan[Instance]:
    """Make a machine's resize final, running or not, and delete the former root disk.

    A former disk that is an image of the host, in another folder, or linked to one, stays. Cancelling lets the call that is under way end; another call then ends it, or a sweep.

    Args:
        ref: uuid, name or moref's value.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist.
        PendingChangeError: There is no resize to confirm.
        DiskSharedError: Another machine uses the former root disk; nothing was changed.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        ConcurrentAccess: Another process changes the machine at the same time; nothing was changed.
    """
    machine = await gather(host, ref, foreign=foreign)
    pending = require_pending(machine, "resize", "done", "confirming")
    steps: list[Step[Any]] = []
    if (
        pending.disk
        and not pending.keeps_former
        and not is_elsewhere(pending.former, machine.vmx.parent)
    ):
        used = await used_files(host.client)
        if pending.former in used:
            raise DiskSharedError(name=ref, path=pending.former, user=used[pending.former])
        confirming = replaced(pending, phase="confirming")
        entry = Changing(
            host=host.client.host,
            owner=host.owner,
            name=machine.name,
            machine=machine.vm.moref[1],
            token=pending.token,
        )
        if pending != confirming:
            # From here on it is not reverted: the former disk may be gone.
            steps.append(
                reconfigure(
                    machine,
                    "write that it is being confirmed",
                    lambda run: vim25.VirtualMachineConfigSpec(extraConfig=[confirming.option()]),
                    shows(confirming),
                    exclusive=True,
                    entry=lambda run: entry,
                )
            )
        steps.append(delete_disk_step(host, DatastorePath.parse(pending.former), entry))
    steps.append(
        reconfigure(
            machine,
            "forget its former size",
            lambda run: vim25.VirtualMachineConfigSpec(extraConfig=[NOTHING_PENDING]),
            shows(None),
            exclusive=not steps,
        )
    )
    return Plan(f"confirm the resize of {ref}", tuple(steps), reads(machine.vm))


def delete_disk_step(host: Host, disk: DatastorePath, entry: Changing | None = None) -> Step[Any]:
    """Return the step that deletes a disk with its extents. A missing one is not an error."""
    manager = disk_manager(host)

    async def is_gone(run: Run) -> bool | None:
        return not await run.host.exists(disk) or None

    return Step[Any](
        title=f"delete disk {disk} (DeleteVirtualDisk_Task)",
        call=lambda run: manager.DeleteVirtualDisk_Task(str(disk)),
        probe=is_gone,
        refused=already(vim25.FileNotFound),
        entry=None if entry is None else lambda run: entry,
        method="DeleteVirtualDisk_Task",
        idempotent=True,
    )
