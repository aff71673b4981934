"""The root disk of a machine to come: where it comes from, and the steps that make and attach it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vimdriver._disks.cache import CacheEntry, cache_folder, remember, use
from vimdriver._disks.ensure import DiskWish, ensure_disk
from vimdriver._disks.files import ensure_file
from vimdriver._disks.flat import FlatDisk
from vimdriver._disks.hosted import HostedDisk
from vimdriver._disks.imported import ImportedDisk, move_step
from vimdriver._disks.load import Load
from vimdriver._disks.lookup import stored_disk
from vimdriver._disks.manager import copy_disk, datacenter_of, disk_manager
from vimdriver._instances.devices import cdrom, limited, linked_disk, new_disk, root_disk
from vimdriver._instances.image_properties import root_bytes
from vimdriver._instances.machine import MAKING_KEY, marks_of
from vimdriver._verbs import Step
from vimdriver.errors import FileConflictError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import datetime

    from vimdriver._disks.transfer import Way
    from vimdriver._images.source import ImageInfo, ImageSource
    from vimdriver._instances.hardware import Allocation
    from vimdriver._instances.placement import Placement
    from vimdriver._instances.plan import SpawnPlan
    from vimdriver._instances.types import InstanceSpec
    from vimdriver._journal import Spawning
    from vimdriver._verbs import Host, Run
    from vimdriver._verbs.host import Moment
    from vimlib._progress import Progress

GIB: Final = 1 << 30


@dataclass(slots=True, kw_only=True)
class RootDisk:
    """How a machine gets its root disk."""

    needed: int = 0
    """Bytes of free space that the datastore must have."""
    before: list[Step[Any]] = field(default_factory=list)
    """Steps before the machine is created."""
    devices: list[vim25.VirtualDeviceConfigSpec] = field(default_factory=list)
    """Added by the call that creates the machine."""
    after: Callable[[Place], list[Step[Any]]] = lambda place: []
    """The steps once the machine and its folder are there; the last one attaches the disk."""
    half_made: bool = False
    """Whether the machine is created without its disk."""
    theirs: set[Run] = field(default_factory=set)
    """Runs in which somebody else's file had the disk's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The machine that gets the disk."""

    created: Step[vim25.VirtualMachine]
    file: Callable[[Run], DatastorePath]
    """The disk's descriptor, in the machine's folder."""
    entry: Callable[[Run], Spawning]
    """The journal's entry, with the folder."""
    limits: Allocation | None = None
    """Of each disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A disk or ISO image on a datastore that a machine comes from."""

    path: DatastorePath
    capacity: int | None
    """Bytes; None for an ISO image, and where it is not known yet."""

    @property
    def is_iso(self) -> bool:
        """Whether it is an ISO image."""
        return self.path.suffix.lower() == ".iso"


def converted(
    host: Host, spec: InstanceSpec, machine: SpawnPlan, placement: Placement, load: Load, way: Way
) -> RootDisk:
    """Return the root that the host makes of the image's own file, in the machine's folder."""
    size = root_bytes(load.capacity, spec, load.info, load.info.id)
    beside = DatastorePath(spec.datastore, f"{machine.config.name}.vmdk")
    disk = HostedDisk.of(
        host, placement.datacenter, load, beside, adapter=machine.adapter, thin=True
    )
    known = disk.check()
    before = [disk.upload(way.why), disk.convert(), known, disk.discard()]
    root = RootDisk(needed=2 * load.info.size, before=before, half_made=True)

    def after(place: Place) -> list[Step[Any]]:
        steps: list[Step[Any]] = [
            move_step(
                placement.datacenter,
                disk.path,
                lambda run: run[known],
                place.file,
                entry=place.entry,
                undo=False,
                taken=root.theirs,
            )
        ]
        if size > load.capacity:
            flat = FlatDisk(host, placement.datacenter, place.file, machine.disk_adapter)
            steps.append(flat.grow(size))
        return [*steps, _attach_step(place, machine, size)]

    root.after = after
    return root


def blank(spec: InstanceSpec, machine: SpawnPlan) -> RootDisk:
    """Return the root of an empty machine: a blank disk of `disk_gb`, or none."""
    if spec.disk_gb is None:
        return RootDisk()
    return RootDisk(devices=new_disk(spec.disk_gb * GIB // 1024, machine.adapter))


def from_iso(spec: InstanceSpec, machine: SpawnPlan, path: DatastorePath) -> RootDisk:
    """Return the root of a machine that boots from an ISO image, with a blank disk of `disk_gb` or none."""
    root = blank(spec, machine)
    root.devices.append(cdrom(str(path)))
    return root


def uploaded(
    host: Host, spec: InstanceSpec, machine: SpawnPlan, placement: Placement, load: Load, way: Way
) -> RootDisk:
    """Return a root disk whose image is uploaded to the machine's folder, as a flat extent."""
    size = root_bytes(load.capacity, spec, load.info, load.info.id)
    root = RootDisk(needed=size, half_made=True)

    def after(place: Place) -> list[Step[Any]]:
        disk = FlatDisk(
            host, placement.datacenter, place.file, machine.disk_adapter, refused=root.theirs
        )
        steps: list[Step[Any]] = [
            disk.create(load.capacity, place.entry),
            disk.delete_extent(),
            disk.fill(load, way.why),
        ]
        if size > load.capacity:
            steps.append(disk.grow(size))
        return [*steps, _attach_step(place, machine, size)]

    root.after = after
    return root


def imported(
    host: Host,
    spec: InstanceSpec,
    machine: SpawnPlan,
    placement: Placement,
    load: Load,
    way: Way,
    now: Moment,
) -> RootDisk:
    """Return the root that an import brings, without its holes, and that is moved into the machine's folder."""
    size = root_bytes(load.capacity, spec, load.info, load.info.id)
    disk = ImportedDisk.of(host, placement, spec.datastore, load, machine.adapter, thin=True)
    brought = disk.bring(now, way.why)
    root = RootDisk(before=[brought, disk.detach(brought)], half_made=True)

    def after(place: Place) -> list[Step[Any]]:
        moved = move_step(
            placement.datacenter,
            lambda run: run[brought].disk,
            lambda run: run[brought].uuid,
            place.file,
            entry=place.entry,
            undo=False,
            taken=root.theirs,
        )
        steps = [moved, disk.dismiss(brought)]
        if size > load.capacity:
            flat = FlatDisk(host, placement.datacenter, place.file, machine.disk_adapter)
            steps.append(flat.grow(size))
        return [*steps, _attach_step(place, machine, size)]

    root.after = after
    return root


def fetched(
    host: Host,
    spec: InstanceSpec,
    source: ImageSource,
    info: ImageInfo,
    key: str,
    *,
    is_iso: bool,
    on_progress: Progress | None,
) -> tuple[Base, Step[Base]]:
    """Return the entry of the cache that an image gets, and the step that makes sure of it.

    The step refuses an image that is larger than the disk that is wanted: nothing else was made by then.
    """
    folder = cache_folder(spec.datastore)
    path = folder / f"{key}{'.iso' if is_iso else '.vmdk'}"

    async def fetch(run: Run) -> Base:
        if is_iso:
            await run.host.datastore(folder.datastore).mkdir(folder, exist_ok=True)
            await ensure_file(
                run.host, source, info, path, by_content=True, on_progress=on_progress
            )
            return Base(path=path, capacity=None)
        wish = DiskWish(target=path, transfer=spec.transfer, by_content=True)
        disk = await ensure_disk(run.host, source, wish, on_progress=on_progress)
        if not disk.already_there:
            used = (await run.host.about_now()).host
            remember(run.host, CacheEntry(path=path, capacity=disk.capacity, size=0, used=used))
        capacity = disk.capacity
        if capacity is None:
            capacity = (await stored_disk(run.host, path)).capacity
        if capacity is not None:
            root_bytes(capacity, spec, info, info.id)
        return Base(path=path, capacity=capacity)

    title = f"fetch the image into the cache, as {path}, unless it is there by then"
    step = Step[Base](title=title, call=fetch, interruptible=True)
    return Base(path=path, capacity=None), step


def used_step(entry: CacheEntry, now: datetime | None) -> Step[None]:
    """Return the step that writes down that an entry of the cache is used."""
    return Step(
        title="note in the cache that it is used, unless that was noted within the hour",
        call=lambda run: use(run.host, entry, now),
        interruptible=True,
    )


def copied(
    host: Host,
    spec: InstanceSpec,
    machine: SpawnPlan,
    placement: Placement,
    base: Base,
    image: ImageInfo | None,
    fetch: Step[Base] | None,
) -> RootDisk:
    """Return the root that the host copies from a disk of its own (`CopyVirtualDisk_Task`)."""
    known = None if base.capacity is None else root_bytes(base.capacity, spec, image, spec.shown)
    root = RootDisk(needed=0, half_made=True)

    def size(run: Run) -> int:
        found = run[fetch].capacity if fetch is not None else base.capacity
        return root_bytes(found or 0, spec, image, spec.shown)

    def after(place: Place) -> list[Step[Any]]:
        steps: list[Step[Any]] = [_copy_step(host, machine, placement, base, place, root.theirs)]
        grows = spec.disk_gb is not None or (image is not None and image.min_disk)
        if grows and (known is None or known != base.capacity):
            steps.append(
                _grow_step(
                    placement, place, size, lambda run: (run[fetch] if fetch else base).capacity
                )
            )
        return [*steps, _attach_step(place, machine, known if known is not None else size)]

    root.after = after
    return root


def linked(spec: InstanceSpec, machine: SpawnPlan, base: Base) -> RootDisk:
    """Return the root that holds the machine's writes, on top of a shared disk."""
    if spec.disk_gb is not None:
        raise UsageError(
            f"a linked disk has the size of its base, got disk_gb {spec.disk_gb}",
            field="disk_gb",
            hint="Use --clone copy, or omit --disk-gb.",
        )
    root = RootDisk(half_made=True)

    def after(place: Place) -> list[Step[Any]]:
        def devices(run: Run) -> list[vim25.VirtualDeviceConfigSpec]:
            return linked_disk(str(place.file(run)), str(base.path), machine.adapter)

        return [
            _attach(place, devices, f"attach a disk that is linked to {base.path}", place.entry)
        ]

    root.after = after
    return root


def existing(spec: InstanceSpec, machine: SpawnPlan, base: Base) -> RootDisk:
    """Return the root of a machine that gets a disk as it is, where it is."""
    if spec.disk_gb is not None:
        raise UsageError(
            f"a disk that exists keeps its size, got disk_gb {spec.disk_gb}",
            field="disk_gb",
            hint="Use --clone copy, or omit --disk-gb.",
        )
    size = (base.capacity or 0) // 1024
    return RootDisk(devices=root_disk(str(base.path), size, machine.adapter))


def attached_later(root: RootDisk) -> RootDisk:
    """Return a root whose devices are attached by a call of their own, as the last ones."""
    devices, root.devices, root.half_made = root.devices, [], True
    root.after = lambda place: [_attach(place, lambda run: devices, "attach the drives")]
    return root


def _copy_step(
    host: Host,
    machine: SpawnPlan,
    placement: Placement,
    base: Base,
    place: Place,
    theirs: set[Run],
) -> Step[Any]:
    center = placement.datacenter
    spec = vim25.VirtualDiskSpec(
        adapterType=machine.disk_adapter, diskType=vim25.VirtualDiskType.thin
    )
    # A vCenter takes none, and copies the disk as it is (govmomi, nova).
    given = None if host.client.about.apiType == "VirtualCenter" else spec

    async def call(run: Run) -> Any:
        centers = (await datacenter_of(run.host, base.path), center)
        await copy_disk(run.host, str(base.path), place.file(run), given, centers=centers)

    def taken(run: Run, fault: vim25.MethodFault) -> None:
        if isinstance(fault, vim25.FileAlreadyExists):
            theirs.add(run)
            raise FileConflictError(path=str(place.file(run))) from fault
        raise fault

    return Step[Any](
        title=f"copy {base.path} on the host (CopyVirtualDisk_Task)",
        call=call,
        refused=taken,
        entry=place.entry,
        method="CopyVirtualDisk_Task",
    )


def _grow_step(
    placement: Placement,
    place: Place,
    size: Callable[[Run], int],
    before: Callable[[Run], int | None],
) -> Step[Any]:
    async def call(run: Run) -> Any:
        if size(run) == before(run):
            return None
        return await disk_manager(run.host).ExtendVirtualDisk_Task(
            str(place.file(run)), datacenter=placement.datacenter, newCapacityKb=size(run) // 1024
        )

    async def probe(run: Run) -> bool | None:
        found = await stored_disk(run.host, place.file(run))
        return found.capacity == size(run) or None

    return Step[Any](
        title="extend it to the size that is wanted (ExtendVirtualDisk_Task)",
        call=call,
        probe=probe,
        method="ExtendVirtualDisk_Task",
    )


def _attach_step(place: Place, machine: SpawnPlan, size: int | Callable[[Run], int]) -> Step[Any]:
    """Return the step that adds controller and disk."""

    def devices(run: Run) -> list[vim25.VirtualDeviceConfigSpec]:
        found = size if isinstance(size, int) else size(run)
        return root_disk(str(place.file(run)), found // 1024, machine.adapter)

    return _attach(place, devices, "attach the disk")


def _attach(
    place: Place,
    devices: Callable[[Run], list[vim25.VirtualDeviceConfigSpec]],
    title: str,
    entry: Callable[[Run], Spawning] | None = None,
) -> Step[Any]:
    """Return the step that adds the disk and removes the mark of a half-made machine, in one call."""

    async def probe(run: Run) -> bool | None:
        row = await run.host.client.get(run[place.created], "config.extraConfig")
        return MAKING_KEY not in marks_of(row) or None

    def call(run: Run) -> Awaitable[Any]:
        unmark = vim25.OptionValue(key=MAKING_KEY, value="")
        return run[place.created].ReconfigVM_Task(
            vim25.VirtualMachineConfigSpec(
                deviceChange=limited(devices(run), place.limits), extraConfig=[unmark]
            )
        )

    return Step[Any](
        title=f"{title} (ReconfigVM_Task)",
        call=call,
        probe=probe,
        entry=entry,
        of=lambda run: run[place.created],
    )
