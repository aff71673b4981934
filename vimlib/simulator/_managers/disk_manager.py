"""VirtualDiskManager: virtual disks without a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._properties.internal_api import disk_infos
from vimlib.simulator._service.tasks import start_task
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.datastore import Datastore, already_exists, find_path
from vimlib.simulator._storage.disks import disk_fault, disk_paths, disk_uuid, load_disk
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._service.tasks import Task

# VirtualDiskType of new disks on VMFS, and whether it is thin.
_THIN = {
    "thin": True,
    "thick": False,
    "preallocated": False,
    "eagerZeroedThick": False,
    "flatMonolithic": False,
}
# VirtualDiskAdapterType to the word of the descriptor.
_ADAPTERS = {"lsiLogic": "lsilogic", "busLogic": "buslogic", "ide": "ide"}


class DiskManager(SimObject):
    """Makes, copies, moves, extends and deletes disks."""

    kind = "VirtualDiskManager"


def _kind(spec: Any, where: str) -> tuple[bool, str]:
    """Return thinness and adapter of a `VirtualDiskSpec`."""
    thin = _THIN.get(spec.diskType)
    adapter = _ADAPTERS.get(spec.adapterType)
    if thin is None:
        raise invalid_argument(f"{where}.diskType")
    if adapter is None:
        raise invalid_argument(f"{where}.adapterType")
    return thin, adapter


@handles(DiskManager, "CreateVirtualDisk_Task")
def create_disk(manager: DiskManager, call: Call) -> Any:
    """Make a disk of zeros: descriptor and extent."""
    manager.registry.require_licence()
    spec = call.args["spec"]
    store, path = find_path(manager.registry, call.args["name"])
    if not isinstance(spec, vim25.FileBackedVirtualDiskSpec):
        raise invalid_argument("spec")
    thin, adapter = _kind(spec, "spec")
    capacity = spec.capacityKb * 1024
    if not 0 < capacity <= 62 << 40:
        raise invalid_argument("spec.capacityKb")

    async def work(task: Task) -> str:
        if not thin:
            store.require(capacity)
        uuid = disk_uuid("6000C29" + manager.registry.new_uuid().replace("-", "")[7:])
        make = _creator(store.local(path), capacity, adapter, thin, uuid)
        try:
            await store.work(make, touched=disk_paths(store, path))
        except (OSError, vmdk.DiskError) as error:
            raise disk_fault(error, store.shown(path)) from None
        return store.shown(path)

    return start_task(call, None, work)


def _creator(place: Path, capacity: int, adapter: str, thin: bool, uuid: str) -> Any:
    def make() -> None:
        vmdk.create(place, capacity, adapter=adapter, thin=thin, uuid=uuid)

    return make


@handles(DiskManager, "DeleteVirtualDisk_Task")
def delete_disk(manager: DiskManager, call: Call) -> Any:
    """Delete a disk with its extent."""
    manager.registry.require_licence()
    store, path = find_path(manager.registry, call.args["name"])

    async def work(task: Task) -> None:
        for each in disk_paths(store, path):
            store.require_unlocked(each)
        try:
            await store.work(vmdk.delete, store.local(path), touched=disk_paths(store, path))
        except OSError as error:
            raise disk_fault(error, store.shown(path)) from None

    return start_task(call, None, work)


def _pair(call: Call) -> tuple[Datastore, str, Datastore, str]:
    source, source_path = find_path(call.registry, call.args["sourceName"])
    target, target_path = find_path(call.registry, call.args["destName"])
    return source, source_path, target, target_path


@handles(DiskManager, "MoveVirtualDisk_Task")
def move_disk(manager: DiskManager, call: Call) -> Any:
    """Move a disk; its extent takes the new name."""
    manager.registry.require_licence()
    source, source_path, target, target_path = _pair(call)

    async def work(task: Task) -> str:
        for each in disk_paths(source, source_path):
            source.require_unlocked(each)
        here, there = source.local(source_path), target.local(target_path)

        def move() -> None:
            if not here.exists():
                raise FileNotFoundError(here)
            if there.exists():
                if not call.get("force"):
                    raise FileExistsError(there)
                vmdk.delete(there)
            vmdk.rename(here, there)

        touched = disk_paths(source, source_path)
        if source is target:
            touched += disk_paths(target, target_path)
        try:
            await source.work(move, touched=touched)
        except FileExistsError:
            raise already_exists(target.shown(target_path)) from None
        except (OSError, vmdk.DiskError) as error:
            raise disk_fault(error, source.shown(source_path)) from None
        if source is not target:
            await target.recount()
        return target.shown(target_path)

    return start_task(call, None, work)


@handles(DiskManager, "CopyVirtualDisk_Task")
def copy_disk(manager: DiskManager, call: Call) -> Any:
    """Copy a disk; reads flat, thin, sparse and streamOptimized, writes the type of `destSpec`.

    Without `destSpec` a host's copy becomes preallocated and BusLogic, whatever the source was.
    """
    manager.registry.require_licence()
    source, source_path, target, target_path = _pair(call)
    spec = call.get("destSpec")
    thin, adapter = _kind(spec, "destSpec") if spec is not None else (False, "buslogic")

    async def work(task: Task) -> str:
        disk = await load_disk(source, source_path)
        if not thin:
            target.require(disk.capacity)
        here, there = source.local(source_path), target.local(target_path)
        uuid = disk_uuid("6000C29" + manager.registry.new_uuid().replace("-", "")[7:])
        loop = task.registry.loop

        def report(percent: int) -> None:
            loop.call_soon_threadsafe(task.report, percent)

        def copy() -> None:
            if not there.parent.is_dir():
                raise FileNotFoundError(there)
            if there.exists():
                if not call.get("force"):
                    raise FileExistsError(there)
                vmdk.delete(there)
            vmdk.clone(here, there, adapter=adapter, thin=thin, uuid=uuid, report=report)

        try:
            await target.work(copy, touched=disk_paths(target, target_path))
        except FileExistsError:
            raise already_exists(target.shown(target_path)) from None
        except (OSError, vmdk.DiskError) as error:
            where = (
                source.shown(source_path) if there.parent.is_dir() else target.shown(target_path)
            )
            raise disk_fault(error, where) from None
        return target.shown(target_path)

    return start_task(call, None, work)


@handles(DiskManager, "ExtendVirtualDisk_Task")
def extend_disk(manager: DiskManager, call: Call) -> Any:
    """Extend a disk; it cannot shrink."""
    manager.registry.require_licence()
    store, path = find_path(manager.registry, call.args["name"])
    capacity = call.args["newCapacityKb"] * 1024

    async def work(task: Task) -> None:
        for each in disk_paths(store, path):
            store.require_unlocked(each)
        disk = await load_disk(store, path)
        if disk.sparse:
            raise disk_fault(
                vmdk.DiskError(f"a disk of type {disk.create_type} cannot grow"), store.shown(path)
            )
        if not disk.capacity <= capacity <= 62 << 40:
            raise invalid_argument("newCapacityKb")
        if not disk.thin:
            store.require(capacity - disk.capacity)
        try:
            await store.work(
                vmdk.extend, store.local(path), capacity, touched=disk_paths(store, path)
            )
        except (OSError, vmdk.DiskError) as error:
            raise disk_fault(error, store.shown(path)) from None
        _resize_in_machines(store, path, capacity)

    return start_task(call, None, work)


def _resize_in_machines(store: Datastore, path: str, capacity: int) -> None:
    """Set the capacity of a disk in the configuration of the machines that have it."""
    shown = store.shown(path)
    for machine in store.registry.all(VirtualMachine).values():
        if (store, path) in machine.disk_files():
            hardware = machine.config.hardware
            devices = [
                replace(device, capacityInKB=capacity // 1024, capacityInBytes=capacity)
                if getattr(device.backing, "fileName", None) == shown
                else device
                for device in hardware.device
            ]
            machine.set_config(replace(machine.config, hardware=replace(hardware, device=devices)))


@handles(
    DiskManager, "InflateVirtualDisk_Task", "EagerZeroVirtualDisk_Task", "ZeroFillVirtualDisk_Task"
)
def inflate_disk(manager: DiskManager, call: Call) -> Any:
    """Make a thin disk thick, or fill a thick one; only the accounting changes, zeros are not written."""
    manager.registry.require_licence()
    store, path = find_path(manager.registry, call.args["name"])

    async def work(task: Task) -> None:
        disk = await load_disk(store, path)
        if disk.thin and not call.method.startswith("ZeroFill"):
            store.require(disk.capacity)
            disk.thin = False
        await store.work(vmdk.save, disk, touched=disk_paths(store, path))

    return start_task(call, None, work)


@handles(DiskManager, "QueryVirtualDiskInfo_Task")
def query_info(manager: DiskManager, call: Call) -> Any:
    """Return the type of a disk and, if asked for, of the disks that it is a delta of, nearest first."""
    store, path = find_path(manager.registry, call.args["name"])

    async def work(task: Task) -> Any:
        found: list[tuple[str, str, str | None]] = []
        at = path
        for _ in range(vmdk.DEEPEST):
            disk = await load_disk(store, at)
            above = f"{at.rpartition('/')[0]}/{disk.parent}".lstrip("/") if disk.parent else ""
            parent = store.shown(above) if above else None
            found.append((store.shown(at), _disk_type(disk), parent))
            if not above or not call.args["includeParents"]:
                break
            at = above
        return disk_infos(found)

    return start_task(call, None, work)


def _disk_type(disk: vmdk.Disk) -> str:
    """Return the `VirtualDiskType` of a disk."""
    if disk.parent:
        return "delta"
    if disk.sparse:
        return "sparseMonolithic" if disk.create_type == "monolithicSparse" else "sparse2Gb"
    return "thin" if disk.thin else "preallocated"


@handles(DiskManager, "QueryVirtualDiskUuid")
async def query_uuid(manager: DiskManager, call: Call) -> str:
    """Return a disk's UUID."""
    store, path = find_path(manager.registry, call.args["name"])
    return (await load_disk(store, path)).uuid


@handles(DiskManager, "SetVirtualDiskUuid")
async def set_uuid(manager: DiskManager, call: Call) -> None:
    """Set a disk's UUID."""
    manager.registry.require_licence()
    store, path = find_path(manager.registry, call.args["name"])
    disk = await load_disk(store, path)
    try:
        disk.uuid = disk_uuid(call.args["uuid"])
        int(disk.uuid.replace("-", "").replace(" ", ""), 16)
    except ValueError:
        raise invalid_argument("uuid") from None
    if disk.sparse:
        raise disk_fault(vmdk.DiskError(disk.create_type), store.shown(path))
    await store.work(vmdk.save, disk, touched=[path])


@handles(DiskManager, "QueryVirtualDiskGeometry")
async def query_geometry(manager: DiskManager, call: Call) -> Any:
    """Return a disk's geometry."""
    store, path = find_path(manager.registry, call.args["name"])
    disk = await load_disk(store, path)
    return vim25.HostDiskDimensionsChs(
        cylinder=disk.capacity // (255 * 63 * 512), head=255, sector=63
    )


@handles(DiskManager, "QueryVirtualDiskFragmentation")
async def query_fragmentation(manager: DiskManager, call: Call) -> int:
    """Return a disk's fragmentation in percent, always 0."""
    store, path = find_path(manager.registry, call.args["name"])
    await load_disk(store, path)
    return 0
