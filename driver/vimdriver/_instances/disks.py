"""Disks of a machine that exists: attach a new or an existing one, detach, grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from vimdriver._instances import devices as builders
from vimdriver._instances.change import (
    OFF,
    ON,
    MachineState,
    added,
    devices_changed,
    gather,
    look,
    reconfigure,
    require,
    require_whole,
)
from vimdriver._instances.device_list import (
    DeviceInfo,
    Slot,
    capacity_kb,
    choose,
    describe,
    file_of,
    free_slot,
    on_ide,
)
from vimdriver._instances.disk_spec import (
    GIB_KB,
    LARGEST_GB,
    Adapter,
    DiskMode,
    DiskType,
    check_choice,
    check_size,
)
from vimdriver._instances.machine import device_files, is_elsewhere, used_files
from vimdriver._verbs import Host, Plan, Run, Step, Within, returns, verb
from vimdriver._verbs.host import free_space
from vimdriver.errors import DiskSharedError, DiskSnapshotError, NoSpaceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimlib.errors import VimlibError


@verb
async def attach_disk(
    host: Host,
    ref: str,
    *,
    size_gb: Annotated[int | None, Within(1, LARGEST_GB)] = None,
    path: str | None = None,
    adapter: Adapter | None = None,
    mode: DiskMode = "persistent",
    disk_type: DiskType = "thick",
    foreign: bool = False,
) -> Plan[DeviceInfo]:
    """Add a disk to a machine (`ReconfigVM_Task`), running or not, and return the disk.

    With `size_gb` the disk is new, in the machine's folder; with `path` it exists already. Cancelling
    waits for the task, then removes the disk, and deletes it if it was new.

    Args:
        ref: uuid, name or moref's value.
        size_gb: Size of a new disk in GiB.
        path: Datastore path of an existing disk's descriptor, as `[datastore1] data/a.vmdk`.
        adapter: lsiLogic, lsiLogicsas, busLogic, paraVirtual, ide, sata or nvme; a controller is added
            where none of that type has room. The default is the first SCSI controller with room.
        mode: persistent, independent_persistent or independent_nonpersistent.
        disk_type: Of a new disk: thin, thick or eagerZeroedThick.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine or the existing disk does not exist.
        UsageError: An argument is not valid, or neither or both of `size_gb` and `path` are given.
        DiskSharedError: A machine has the existing disk already.
        NoSlotError: The machine has no free position for it.
        NoSpaceError: The datastore is full.
        VersionError: The host is too old for the adapter.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        HostStateError: A spawn is making the machine, or has left it half-made.
        InstanceStateError: The machine is suspended; or it runs, and the disk is for an IDE controller.
    """
    if (size_gb is None) == (path is None):
        raise UsageError(
            "exactly one of size_gb and path is required",
            field="size_gb",
            hint="Give the size of a new disk, or the path of an existing one.",
        )
    check_size("size_gb", size_gb)
    check_choice("mode", mode, DiskMode)
    check_choice("disk_type", disk_type, DiskType)
    existing = None if path is None else descriptor_path("path", path)
    machine = await gather(host, ref, ON, OFF, foreign=foreign)
    # With a disk of somebody's it would never be removed.
    require_whole(machine)
    slot = free_slot(machine.devices, adapter, api_version=host.client.api_version, machine=ref)
    if adapter == "ide":
        require(machine, OFF)
    if existing is not None:
        await _check_unused(host, ref, str(existing))
    store = f"[{machine.vmx.datastore}]"
    disk = builders.disk(
        store if existing is None else str(existing),
        controller=slot.controller,
        unit=slot.unit,
        capacity_kb=(size_gb or 0) * GIB_KB,
        mode=mode,
        disk_type=disk_type,
    )
    what = f"a new disk of {size_gb} GiB" if existing is None else f"disk {existing}"
    step = _attach_step(machine, slot, disk, existing, what)

    async def result(run: Run) -> DeviceInfo:
        now = await look(run.host.client, machine.vm, ref)
        device = _attached(machine, now, existing)
        if device is None:
            raise NotFoundError(f"the new disk of {ref} is gone", kind="VirtualDisk", name=what)
        return describe(device, now.devices)

    needed = 0 if size_gb is None or disk_type == "thin" else size_gb * GIB_KB * 1024
    return Plan(
        f"attach a disk to {ref}",
        (step,),
        result,
        explain=explain_file((existing or machine.vmx).datastore, needed, existing),
    )


def _attached(
    before: MachineState, now: MachineState, existing: DatastorePath | None
) -> vim25.VirtualDisk | None:
    """Return the disk that was added."""
    for device in added(before, now):
        if isinstance(device, vim25.VirtualDisk) and (
            existing is None or file_of(device) == str(existing)
        ):
            return device
    return None


def _attach_step(
    machine: MachineState,
    slot: Slot,
    disk: vim25.VirtualDisk,
    existing: DatastorePath | None,
    what: str,
) -> Step[Any]:
    change = builders.add(disk, new_file=existing is None)

    def back(run: Run, now: MachineState) -> vim25.VirtualMachineConfigSpec | None:
        device = _attached(machine, now, existing)
        if device is None:
            return None
        # The controller stays if another disk was put onto it by then.
        return devices_changed(
            builders.remove(device, files=existing is None),
            *(builders.remove(one) for one in _new_controllers(machine, now, device)),
        )

    return reconfigure(
        machine,
        f"add {what}" + (", and a controller for it" if slot.add else ""),
        lambda run: devices_changed(*slot.add, change),
        lambda run, now: _attached(machine, now, existing) is not None,
        undo=back,
        makes=what,
    )


def descriptor_path(field: str, path: str) -> DatastorePath:
    """Return the path of a disk's descriptor. Raises `UsageError` for any other."""
    found = DatastorePath.parse(path)
    if found.suffix != ".vmdk":
        raise UsageError(
            f"{field} must name a disk's descriptor (.vmdk), got {path!r}", field=field
        )
    return found


async def _check_unused(host: Host, ref: str, path: str) -> None:
    """Refuse a disk that a machine has: two that write to one disk destroy its contents."""
    used = await used_files(host.client)
    if path in used:
        raise DiskSharedError(name=ref, path=path, user=used[path])


def _new_controllers(
    before: MachineState, now: MachineState, disk: vim25.VirtualDevice
) -> list[vim25.VirtualDevice]:
    """Return the controller that was added for a disk and has no other one."""
    return [
        device
        for device in added(before, now)
        if isinstance(device, vim25.VirtualController)
        and device.key == disk.controllerKey
        and not any(one.controllerKey == device.key and one.key != disk.key for one in now.devices)
    ]


def explain_file(
    datastore: str, needed: int = 0, file: DatastorePath | None = None
) -> Callable[[Host, VimlibError], Awaitable[VimlibError]]:
    """Return the function that names the file or the space behind the fault of a step."""

    async def explain(host: Host, error: VimlibError) -> VimlibError:
        if isinstance(error, vim25.NoDiskSpace):
            free = await free_space(host.client, datastore)
            return NoSpaceError(datastore=datastore, needed=needed, free=free)
        missing = isinstance(error, vim25.FileNotFound | vim25.InvalidDatastore)
        if file is not None and missing:
            return NotFoundError(f"file not found: {file}", kind="file", name=str(file))
        return error

    return explain


@verb
async def detach_disk(
    host: Host, ref: str, disk: str, *, delete: bool = False, foreign: bool = False
) -> Plan[None]:
    """Remove a disk from a machine (`ReconfigVM_Task`), running or not. Its files stay, or are deleted.

    Cancelling waits for the task; a disk whose files stay is then attached again.

    Args:
        ref: uuid, name or moref's value.
        disk: The disk's datastore path, label or key.
        delete: Delete its files too.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist, or has no such disk.
        DiskSharedError: Another machine uses a disk that is to be deleted.
        DiskSnapshotError: A snapshot holds the disk that is to be deleted.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: The machine is suspended; or it runs, and the disk is on an IDE controller.
    """
    machine = await gather(host, ref, ON, OFF, foreign=foreign)
    device = disk_of(machine, disk)
    if on_ide(device, machine.devices):
        require(machine, OFF)
    if delete:
        check_no_snapshots(machine, device)
        used = await used_files(host.client, but=machine.vm)
        for path in device_files([device]):
            if path in used:
                raise DiskSharedError(name=ref, path=path, user=used[path])

    def is_there(now: MachineState) -> bool:
        return any(file_of(one) == file_of(device) for one in now.devices)

    def back(run: Run, now: MachineState) -> vim25.VirtualMachineConfigSpec | None:
        return None if is_there(now) else devices_changed(builders.add(device))

    step = reconfigure(
        machine,
        f"remove disk {file_of(device)}" + (" with its files" if delete else ""),
        lambda run: devices_changed(builders.remove(device, files=delete)),
        lambda run, now: not is_there(now),
        undo=None if delete else back,
    )
    return Plan(f"detach a disk from {ref}", (step,), returns(None))


def disk_of(machine: MachineState, which: str) -> vim25.VirtualDisk:
    """Return the disk that `which` names. Raises `NotFoundError`."""
    return choose(machine.devices, vim25.VirtualDisk, which, noun="disk", machine=machine.ref)


def check_no_snapshots(machine: MachineState, disk: vim25.VirtualDevice) -> None:
    """Raise `DiskSnapshotError` if the machine has snapshots, which hold its disks."""
    if machine.has_snapshots:
        raise DiskSnapshotError(name=machine.ref, path=file_of(disk))


def stands_elsewhere(machine: MachineState, disk: vim25.VirtualDevice) -> bool:
    """Return whether a disk, or one that it grew from, is in no folder of its machine.

    Such a disk is an image of the host, or linked to one: it stays when its machine gets another one.
    """
    return any(is_elsewhere(path, machine.vmx.parent) for path in device_files([disk]))


@verb
async def grow_disk(
    host: Host,
    ref: str,
    disk: str,
    size_gb: Annotated[int, Within(1, LARGEST_GB)],
    *,
    foreign: bool = False,
) -> Plan[DeviceInfo]:
    """Extend a disk of a machine (`ReconfigVM_Task`), running or not. A disk of that size stays as it is.

    The guest's partitions and file systems stay as they are. It cannot be undone: cancelling waits
    for the task.

    Args:
        ref: uuid, name or moref's value.
        disk: The disk's datastore path, label or key.
        size_gb: The new size in GiB.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist, or has no such disk.
        UsageError: The size is below the present one.
        DiskSnapshotError: A snapshot holds the disk.
        NoSpaceError: The datastore is full.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: The machine is suspended; or it runs, and the disk is on an IDE controller.
    """
    check_size("size_gb", size_gb)
    machine = await gather(host, ref, ON, OFF, foreign=foreign)
    device = disk_of(machine, disk)
    wanted, present = size_gb * GIB_KB, capacity_kb(device)
    check_growth(size_gb, present)
    if on_ide(device, machine.devices):
        require(machine, OFF)
    check_no_snapshots(machine, device)
    change = builders.revised(device, capacityInKB=wanted, capacityInBytes=None)

    def is_grown(now: MachineState) -> bool:
        found = now.with_key(device.key)
        return found is not None and capacity_kb(found) >= wanted

    step = reconfigure(
        machine,
        f"extend disk {file_of(device)} to {size_gb} GiB",
        lambda run: devices_changed(builders.edit(change)),
        lambda run, now: is_grown(now),
    )

    async def result(run: Run) -> DeviceInfo:
        now = await look(run.host.client, machine.vm, ref)
        return describe(disk_of(now, str(device.key)), now.devices)

    return Plan(
        f"grow a disk of {ref}",
        (step,) if wanted > present else (),
        result,
        explain=explain_file(machine.vmx.datastore, (wanted - present) * 1024),
    )


def check_growth(size_gb: int, present_kb: int, field: str = "size_gb") -> None:
    """Raise `UsageError` if a disk would shrink, which no host can do."""
    if size_gb * GIB_KB < present_kb:
        least = -(-present_kb // GIB_KB)
        raise UsageError(
            f"{field} must be at least {least}, the disk's present size, got {size_gb}", field=field
        )
