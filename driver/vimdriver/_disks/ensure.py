"""`ensure_disk`: an image becomes a disk of a datastore, once, however many ask for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vimdriver._disks import record as records
from vimdriver._disks.ensured import EnsuredDisk
from vimdriver._disks.flat import FlatDisk
from vimdriver._disks.hosted import HostedDisk
from vimdriver._disks.imported import ImportedDisk, move_step
from vimdriver._disks.load import Load, Loaded
from vimdriver._disks.manager import datacenter_of, disk_uuid, extent_of
from vimdriver._disks.peek import peeked, read_hash
from vimdriver._disks.record import DiskRecord
from vimdriver._disks.transfer import Way, choose
from vimdriver._disks.turns import turn
from vimdriver._images.archive import contents_of
from vimdriver._images.formats import PREFIX, open_image
from vimdriver._images.hashing import algorithm_name
from vimdriver._images.ranges import needs_ranges
from vimdriver._images.sink import temporary_name
from vimdriver._images.source import shown_reference
from vimdriver._instances.devices import disk_type_adapter
from vimdriver._instances.placement import gather_placement
from vimdriver._journal import Recording, Uploading
from vimdriver._verbs import Plan, Run, Step, execute
from vimdriver._verbs.host import free_space
from vimdriver.errors import FileConflictError, ImageUnacceptableError, NoSpaceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import LeaseError, NotFoundError, UsageError, VersionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimdriver._disks.imported import Imported
    from vimdriver._disks.transfer import Transfer
    from vimdriver._images.formats import ImageFormat
    from vimdriver._images.source import ImageInfo, ImageSource
    from vimdriver._verbs import Host
    from vimlib._progress import Progress
    from vimlib.errors import VimlibError

log = logging.getLogger("vimdriver.disks")

_REFUSED: Final = (vim25.NotSupported, vim25.MethodNotFound, VersionError)
"""With these a host refuses imports as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskWish:
    """A disk that is wanted."""

    target: DatastorePath
    """Its descriptor, `NAME.vmdk`."""
    adapter: str = "lsiLogic"
    """One of `ADAPTERS`."""
    transfer: Transfer | None = None
    """The way onto the host; None chooses by rule."""
    thin: bool = True
    """Whether an imported disk only takes the space of its data."""
    overwrite: bool = False
    """Whether to replace a disk that was made from other bytes."""
    read_back: bool = False
    """Whether to read the disk from the host again, and compare hashes, before it gets its name."""
    disk: int = 0
    """The disk of an OVA, in the order of `Contents.disks`."""
    by_content: bool = False
    """Whether the name stands for the content, so that a disk of that name is the one; else its
    record shows its image."""


async def ensure_disk(
    host: Host, source: ImageSource, wish: DiskWish, *, on_progress: Progress | None = None
) -> EnsuredDisk:
    """Make sure that an image is there as a disk, and return it.

    In one process, those who want the same disk wait for the one that makes it, and where its name stands for
    its content they get it without a call. Two processes may
    both make it, under names of their own; one publishes its disk, the other finds that one.

    Cancelling undoes all: calls that have been sent run to their end first.

    Raises:
        ImageError: The image is refused, or its source failed; nothing is left behind.
        FileConflictError: There is a disk of that name, made from other bytes.
        NoSpaceError: The datastore has too little free space.
        JournalError: A step could not be written down, and was not begun.
        VimlibError: A step failed; all was undone, or a note names the objects that are left.
    """
    async with turn(host.client.host, str(wish.target)) as mine:
        if mine.disk is not None and wish.by_content:
            return replace(mine.disk, already_there=True, manifest=None, way=None)
        mine.disk = await _ensure(host, source, wish, on_progress)
        return mine.disk


async def _ensure(
    host: Host, source: ImageSource, wish: DiskWish, on_progress: Progress | None
) -> EnsuredDisk:
    info = await source.info()
    found = await _look(host, wish, source, info)
    if isinstance(found, EnsuredDisk):
        return found
    try:
        return await _make(host, source, info, wish, found, on_progress)
    except FileConflictError:
        # Another process was quicker.
        found = await _look(host, wish, source, info)
        if isinstance(found, EnsuredDisk):
            return found
        raise


class _Target(NamedTuple):
    """The folder of a disk that is not there, or is to be replaced."""

    folder: bool
    """Whether the folder exists."""
    stale: tuple[DatastorePath, ...] = ()
    """Records of the disk that is to be replaced."""


async def _look(
    host: Host, wish: DiskWish, source: ImageSource, info: ImageInfo
) -> EnsuredDisk | _Target:
    """Return the disk if it is there. Raises `FileConflictError` for another one, unless it is to be replaced."""
    target = wish.target
    try:
        found = await host.datastore(target.datastore).list(target.parent)
    except NotFoundError:
        await host.datastore(target.datastore).place()  # a missing datastore is an error
        return _Target(folder=not target.parent.path)
    names = {entry.name for entry in found}
    stale = tuple(e.path for e in found if records.is_record(e.name, target.name))
    if target.name not in names:
        return _Target(folder=True)
    if wish.by_content:
        return EnsuredDisk(path=target, already_there=True, bytes=info.size, hash=info.hash_value,
                    hash_algo=info.hash_algo, verified=info.hash_value is not None)  # fmt: skip
    path = records.record_path(target, await disk_uuid(host, target))
    record = await records.read_record(host, path) if path in stale else None
    if record is not None and await _is_of(record, source, info):
        return EnsuredDisk(
            path=target,
            capacity=record.capacity,
            bytes=record.bytes,
            hash=record.hash,
            hash_algo=record.algorithm,
            verified=info.hash_value is not None,
            already_there=True,
        )
    if not wish.overwrite:
        raise FileConflictError(path=str(target))
    return _Target(folder=True, stale=stale)


async def _is_of(record: DiskRecord, source: ImageSource, info: ImageInfo) -> bool:
    """Return whether a disk was made from an image, which is read where its source has no such hash."""
    same = record.is_of(info)
    if same is not None:
        return same
    return await read_hash(source, info, record.algorithm) == record.hash


async def _make(
    host: Host,
    source: ImageSource,
    info: ImageInfo,
    wish: DiskWish,
    place: _Target,
    on_progress: Progress | None,
) -> EnsuredDisk:
    async with peeked(source, info, PREFIX) as body:
        image = judge(info, body.head)
        if image.kind == "ova":
            contents = await contents_of(source, info, image, body.head)
            image = image.with_disk(contents.disks[wish.disk].inside)
        if image.kind == "iso":
            raise ImageUnacceptableError(
                rule="format.iso",
                detail="an ISO image is not a disk",
                image=info.id,
                hint="Spawn from it: it is put into the CD-ROM drive of the machine.",
            )
        load = Load(
            source=body,
            info=info,
            image=image,
            on_progress=on_progress,
            content_hash=wish.read_back,
        )
        if not await needs_ranges(source, image, body.head):
            return await _bring(host, load, wish, place)
    return await _bring(host, replace(load, source=source, by_range=True), wish, place)


async def _bring(host: Host, load: Load, wish: DiskWish, place: _Target) -> EnsuredDisk:
    way = choose(load.image, wish.transfer)
    try:
        return await execute(host, await _plan(host, load, wish, place, way))
    except (*_REFUSED, LeaseError) as fault:
        cause = fault.__cause__ if isinstance(fault, LeaseError) else fault
        if way.transfer != "nfc" or wish.transfer or not isinstance(cause, _REFUSED):
            raise
        log.info("%s: the host refuses an import (%s): uploading it", wish.target, cause)
    way = Way("put", "the host refuses an import")
    return await execute(host, await _plan(host, load, wish, place, way))


def judge(info: ImageInfo, head: bytes) -> ImageFormat:
    """Return the format of an image, by its first `PREFIX` bytes.

    Raises:
        ImageUnacceptableError: It cannot become a disk.
    """
    try:
        image = open_image(
            head,
            size=info.size,
            claimed=info.disk_format,
            disk_type=info.properties.get("vmware_disktype"),
            container=info.container_format,
            name=info.name,
        )
    except ImageUnacceptableError as error:
        error.image = error.image or shown_reference(info.id)
        raise
    return image


async def _plan(
    host: Host, load: Load, wish: DiskWish, place: _Target, way: Way
) -> Plan[EnsuredDisk]:
    """Read the rest that a plan needs, and return its steps."""
    target = wish.target
    datacenter = await datacenter_of(host, target)
    steps: list[Step[Any]] = [] if place.folder else [_folder_step(target.parent)]
    if way.transfer == "nfc":
        await _check_space(host, target, load.info.size if load.image.kind != "raw" else 0)
        brought, more = await _nfc_steps(host, load, wish, way, datacenter)

        def report(run: Run) -> Loaded:
            return run[brought].report
    elif way.transfer == "sparse":
        await _check_space(host, target, 2 * load.info.size)
        filled, more = _sparse_steps(host, load, wish, way, datacenter)

        def report(run: Run) -> Loaded:
            return run[filled]
    else:
        await _check_space(host, target, load.capacity)
        filled, more = _put_steps(host, load, wish, way, datacenter)

        def report(run: Run) -> Loaded:
            return run[filled]

    steps += more
    if place.stale:
        steps.append(_stale_step(place.stale))

    async def result(run: Run) -> EnsuredDisk:
        done = report(run)
        return EnsuredDisk(
            path=target,
            capacity=load.capacity,
            bytes=done.bytes,
            hash=done.hash,
            hash_algo=done.hash_algo,
            verified=done.verified,
            stored_hash=done.content_hash,
            stored_hash_algo=done.hash_algo if done.content_hash else None,
            manifest=done.manifest,
            way=way,
        )

    return Plan(f"make {target}", tuple(steps), result, explain=_explain(target, load))


async def _check_space(host: Host, target: DatastorePath, needed: int) -> None:
    free = await free_space(host.client, target.datastore)
    if free < needed:
        raise NoSpaceError(datastore=target.datastore, needed=needed, free=free)


def _explain(target: DatastorePath, load: Load) -> Any:
    async def explain(host: Host, error: VimlibError) -> VimlibError:
        if not isinstance(error, vim25.NoDiskSpace):
            return error
        free = await free_space(host.client, target.datastore)
        return NoSpaceError(datastore=target.datastore, needed=load.capacity, free=free)

    return explain


def _folder_step(folder: DatastorePath) -> Step[None]:
    async def make(run: Run) -> None:
        try:
            await run.host.datastore(folder.datastore).mkdir(folder, parents=True, exist_ok=True)
        except vim25.FileAlreadyExists:
            hint = "It is not a folder: choose another --to."
            raise FileConflictError(path=str(folder), hint=hint) from None

    return Step(title=f"make the folder {folder} (MakeDirectory)", call=make)


async def _nfc_steps(
    host: Host, load: Load, wish: DiskWish, way: Way, datacenter: vim25.Datacenter
) -> tuple[Step[Imported], list[Step[Any]]]:
    placement = await gather_placement(host)
    disk = ImportedDisk.of(
        host, placement, wish.target.datastore, load, wish.adapter, thin=wish.thin
    )
    brought = disk.bring(await host.about_now(), way.why)
    steps: list[Step[Any]] = [brought]
    if wish.read_back:
        steps.append(
            _compare_step(lambda run: extent_of(run[brought].disk), lambda run: run[brought].report)
        )

    def uuid(run: Run) -> str:
        return run[brought].uuid

    move = _move_step(wish, datacenter, lambda run: run[brought].disk, uuid)
    published = [disk.detach(brought), move, disk.dismiss(brought)]
    return brought, [
        *steps,
        *_recorded(wish, load, uuid, lambda run: run[brought].report, published),
    ]


def _put_steps(
    host: Host, load: Load, wish: DiskWish, way: Way, datacenter: vim25.Datacenter
) -> tuple[Step[Loaded], list[Step[Any]]]:
    part = wish.target.with_name(temporary_name(wish.target.name, host.owner) + ".vmdk")
    disk = FlatDisk(host, datacenter, lambda run: part, disk_type_adapter(wish.adapter))
    entry = Uploading(host=host.client.host, owner=host.owner, path=str(part))

    async def undo(run: Run, made: Any) -> None:
        await disk.remove(run)

    filled = disk.fill(load, way.why)
    steps: list[Step[Any]] = [
        disk.create(load.capacity, lambda run: entry, undo),
        disk.delete_extent(),
        filled,
    ]
    if wish.read_back:
        steps.append(_compare_step(lambda run: extent_of(part), lambda run: run[filled]))

    async def read_uuid(run: Run) -> str:
        return await disk_uuid(run.host, part)

    known = Step[str](title="read its UUID (QueryVirtualDiskUuid)", call=read_uuid, idempotent=True)
    steps.append(known)
    move = _move_step(wish, datacenter, lambda run: part, lambda run: run[known])
    return filled, [
        *steps,
        *_recorded(wish, load, lambda run: run[known], lambda run: run[filled], [move]),
    ]


def _sparse_steps(
    host: Host, load: Load, wish: DiskWish, way: Way, datacenter: vim25.Datacenter
) -> tuple[Step[Loaded], list[Step[Any]]]:
    if wish.read_back:
        raise UsageError(
            "read_back needs transfer nfc or put, got sparse: the bytes of the disk are not known here",
            field="transfer",
        )
    disk = HostedDisk.of(host, datacenter, load, wish.target, adapter=wish.adapter, thin=wish.thin)
    stored, known = disk.upload(way.why), disk.check()
    steps: list[Step[Any]] = [stored, disk.convert(), known, disk.discard()]
    move = _move_step(wish, datacenter, disk.path, lambda run: run[known])
    return stored, [
        *steps,
        *_recorded(wish, load, lambda run: run[known], lambda run: run[stored], [move]),
    ]


def _compare_step(
    extent: Callable[[Run], DatastorePath], report: Callable[[Run], Loaded]
) -> Step[None]:
    async def compare(run: Run) -> None:
        done, path = report(run), extent(run)
        assert done.content_hash is not None, "it was asked for"
        store = run.host.datastore(path.datastore)
        await store.compare(path, done.content_hash, algorithm_name(done.hash_algo))

    return Step(
        title="read the disk back and compare its hash (GET)", call=compare, interruptible=True
    )


def _move_step(
    wish: DiskWish,
    datacenter: vim25.Datacenter,
    path: Callable[[Run], DatastorePath],
    uuid: Callable[[Run], str],
) -> Step[Any]:
    """Return the step that gives a disk its name."""
    return move_step(datacenter, path, uuid, lambda run: wish.target, overwrite=wish.overwrite)


def _recorded(
    wish: DiskWish,
    load: Load,
    uuid: Callable[[Run], str],
    report: Callable[[Run], Loaded],
    publishing: list[Step[Any]],
) -> list[Step[Any]]:
    """Return the steps that give a disk its name, with its record around them, which an entry of the cache has not."""
    if wish.by_content:
        return publishing
    recorded = _record_step(wish.target, load, uuid, report)
    return [recorded, *publishing, _settle_record_step(wish.target, recorded)]


def _record_step(
    target: DatastorePath,
    load: Load,
    uuid: Callable[[Run], str],
    report: Callable[[Run], Loaded],
) -> Step[DatastorePath]:
    """Return the step that writes a disk's record: before it gets its name, so that none is without."""

    def path(run: Run) -> DatastorePath:
        return records.record_path(target, uuid(run))

    async def write(run: Run) -> DatastorePath:
        done = report(run)
        data = records.encode(
            DiskRecord(
                algorithm=done.hash_algo, hash=done.hash, bytes=done.bytes, capacity=load.capacity
            )
        )
        store = run.host.datastore(target.datastore)
        await store.upload(path(run), data, overwrite=True)
        return path(run)

    async def undo(run: Run, written: DatastorePath | None) -> None:
        await run.host.delete(path(run))

    token = Recording(host="", owner="", path="", disk="").token
    return Step(
        title="write its record (PUT)",
        makes="the disk's record",
        call=write,
        undo=undo,
        entry=lambda run: Recording(
            host=run.host.client.host,
            owner=run.host.owner,
            path=str(path(run)),
            disk=str(target),
            token=token,
        ),
    )


def _settle_record_step(target: DatastorePath, recorded: Step[DatastorePath]) -> Step[None]:
    """Return the step that reads a disk's UUID back: vcsim makes it of the path, so a move changes it."""

    async def settle(run: Run) -> None:
        path = records.record_path(target, await disk_uuid(run.host, target))
        if path != run[recorded]:
            await run.host.datastore(target.datastore).move(run[recorded], path, overwrite=True)

    return Step(title="read the disk's UUID back (QueryVirtualDiskUuid)", call=settle)


def _stale_step(paths: tuple[DatastorePath, ...]) -> Step[None]:
    async def remove(run: Run) -> None:
        for path in paths:
            await run.host.delete(path)

    return Step(
        title="delete the record of the disk that was there (DeleteDatastoreFile_Task)",
        call=remove,
        method="DeleteDatastoreFile_Task",
    )
