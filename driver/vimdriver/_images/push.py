"""Push images from a source into a datastore as disks, in parallel, never on local disk or whole in memory.

For each image: read its properties, check the free space for all, then make its disk (`ensure_disk`).
An ISO, and any image with `as_is`, is stored as it is: uploaded under a temporary name while length,
format and hash are checked, then renamed. A failed image leaves nothing; the others continue.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vimdriver._config import DriverConfig
from vimdriver._disks.ensure import DiskWish, ensure_disk, judge
from vimdriver._disks.files import ensure_file
from vimdriver._disks.peek import read_prefix
from vimdriver._images.archive import contents_of
from vimdriver._images.check import BodyCheck
from vimdriver._images.formats import PREFIX
from vimdriver._images.source import masked_reference, shown_reference
from vimdriver._images.uploader import Uploader
from vimdriver._journal import MemoryJournal
from vimdriver._verbs import Host
from vimdriver._verbs.host import free_space
from vimdriver._verbs.verb import licensed
from vimdriver.errors import FileConflictError, NoSpaceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._secret import forget_locals, forgetting
from vimlib.errors import NotFoundError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vimdriver._disks.transfer import Transfer
    from vimdriver._images.source import ImageInfo, ImageSource, ImageStore
    from vimdriver._journal import Journal
    from vimlib._client import Client

EventKind: TypeAlias = Literal["started", "progress", "done", "failed"]


@dataclass(frozen=True, slots=True)
class PushEvent:
    """An event of one image of a push."""

    kind: EventKind
    image: str
    bytes: int = 0
    """`started`: the image's size; `progress`: the bytes just sent; `done`: all bytes."""
    result: PushResult | None = None
    """`done` and `failed`: the result of the image."""
    host: str = ""
    """The host's name, if the push is to several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """The result of one image of a push."""

    image: str
    """The reference as it was passed."""
    host: str = ""
    """The host's name, if the push is to several."""
    datastore_path: str = ""
    bytes: int = 0
    hash: str | None = None
    hash_algo: str | None = None
    verified: bool = False
    """The source has a hash, and its bytes matched it."""
    stored_hash: str | None = None
    """Of the bytes on the datastore, as read back from there; None if they were not read back."""
    stored_hash_algo: str | None = None
    already_there: bool = False
    """The datastore had it, made from the same bytes; nothing was sent."""
    further: tuple[str, ...] = ()
    """Paths of the further disks of an OVA."""
    manifest: bool | None = None
    """Whether an OVA has a manifest, with which its files agree; None for other images, and where the
    disk was there."""
    seconds: float = 0.0
    error: VimlibError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the line that `vimctl image push --json` prints."""
        # Of a URL, neither password nor signature.
        where = {"image": masked_reference(self.image)}
        where |= {"host": masked_reference(self.host)} if self.host else {}
        if self.error is not None:
            return where | {"error": error_json(self.error)}
        return where | {
            "datastore_path": self.datastore_path,
            "bytes": self.bytes,
            "hash": self.hash,
            "hash_algo": self.hash_algo,
            "stored_hash": self.stored_hash,
            "stored_hash_algo": self.stored_hash_algo,
            "verified": self.verified,
            "already_there": self.already_there,
            "seconds": round(self.seconds, 3),
            **({"further": list(self.further)} if self.further else {}),
            **({} if self.manifest is None else {"manifest": self.manifest}),
        }


def error_json(error: VimlibError) -> dict[str, Any]:
    """Return an error in the JSON form of the command line."""
    return {
        "type": type(error).__name__,
        "message": str(error),
        "rule": getattr(error, "rule", "") or None,
        "retryable": error.retryable,
        "outcome": error.outcome,
    }


# Endings of image files, which do not belong to an image's name.
_ENDINGS = (".vmdk", ".img", ".raw", ".iso", ".bin", ".dd", ".qcow2", ".ova")


def base_name(info: ImageInfo, *, from_glance: bool, given: str | None = None) -> str:
    """Return the name of an image on a datastore: its id for Glance, else that of its file."""
    if given is not None or from_glance:
        return given or info.id
    ending = next((end for end in _ENDINGS if info.name.lower().endswith(end)), "")
    stem = info.name[: len(info.name) - len(ending)] or info.name
    return stem.removesuffix("-flat") or stem


def unchanged_name(info: ImageInfo, *, from_glance: bool, given: str | None = None) -> str:
    """Return the name of the file that has an image's bytes unchanged, `NAME.<vmdk|img|iso>`."""
    if not from_glance and given is None:
        return info.name
    kinds = {"vmdk": "vmdk", "iso": "iso"}
    ending = kinds.get(info.disk_format or "")
    if ending is None:
        ending = next((k for k in kinds if info.name.lower().endswith(f".{k}")), "img")
    return f"{base_name(info, from_glance=from_glance, given=given)}.{ending}"


async def push_images(
    client: Client,
    images: ImageStore,
    refs: Sequence[str],
    *,
    datastore: str,
    directory: str = "images",
    concurrency: int | None = None,
    overwrite: bool = False,
    read_back: bool = False,
    as_is: bool = False,
    name: str | None = None,
    transfer: Transfer | None = None,
    uploader: Uploader | None = None,
    events: Callable[[PushEvent], None] | None = None,
    config: DriverConfig | None = None,
    journal: Journal | None = None,
) -> list[PushResult]:
    """Push `refs` into `[datastore] directory`; return the results in the same order.

    Each image becomes a disk, `NAME.vmdk` with its extent, from which machines are spawned; an ISO is
    stored as `NAME.iso`. NAME is the id in Glance, the name of the file without its ending elsewhere.

    A failed image is a result with `error`; all of it is removed and the others continue.
    Cancelling stops all streams and removes their files; an image that is already verified
    and just being moved to its final name stays.

    Args:
        client: Logged in; stays the caller's.
        images: Finds the images.
        refs: As `images` takes them.
        datastore: Name of the datastore.
        directory: Folder there, made if missing.
        concurrency: Images that are transferred at a time; None means the value of `config`.
        overwrite: Replace a disk that was made from other bytes. The same bytes are already there.
        read_back: Read each disk from the host again before it gets its name, and compare hashes:
            it doubles the traffic and detects corruption in storage (`TransferCorruptError`).
        as_is: Store the bytes of each image unchanged, as a file.
        name: NAME for the one image.
        transfer: `nfc` imports the disk, without its holes; `put` uploads it whole, `sparse`
            uploads the file and has the host convert it (`CopyVirtualDisk_Task`). None chooses.
        uploader: Uploads bodies; None opens one.
        events: Called with the events of each image.
        config: Settings.
        journal: Where each step is written before it begins.

    Raises:
        UsageError: `refs` is empty or has duplicates, `concurrency` is below 1, `name` is given for
            several images, or `directory` is not a valid folder path.
        NotFoundError: The datastore does not exist.
        NoSpaceError: The datastore lacks free space for all images together; nothing was sent.
        HostReadOnlyError: The host's licence forbids writes; nothing was sent.
        FileConflictError: `directory` is an existing file; nothing was sent.
    """
    try:
        with forgetting():  # a URL may hold a password or a signature
            results = await _push_images(
                client,
                images,
                refs,
                DatastorePath(datastore, directory.removesuffix("/")),
                concurrency=concurrency,
                how=_How(overwrite, read_back, as_is, name, transfer),
                uploader=uploader,
                tell=events or (lambda event: None),
                settings=config or DriverConfig(),
                kept=journal or MemoryJournal(),
            )
    finally:
        del refs
    for result in results:
        if result.error is not None:
            forget_locals(result.error)
    return results


@dataclass(frozen=True, slots=True)
class _How:
    """How images are stored; see `push_images`."""

    overwrite: bool
    read_back: bool
    as_is: bool
    name: str | None
    transfer: Transfer | None


async def _push_images(
    client: Client,
    images: ImageStore,
    refs: Sequence[str],
    folder: DatastorePath,
    *,
    concurrency: int | None,
    how: _How,
    uploader: Uploader | None,
    tell: Callable[[PushEvent], None],
    settings: DriverConfig,
    kept: Journal,
) -> list[PushResult]:
    if not refs:
        raise UsageError(
            "at least one image is required", hint="Give an id, a name, a URL or a file."
        )
    if duplicates := sorted({shown_reference(ref) for ref in refs if list(refs).count(ref) > 1}):
        raise UsageError(
            f"each image must be given once, got {', '.join(duplicates)} several times"
        )
    datastore = folder.datastore
    streams = settings.concurrency if concurrency is None else concurrency
    if streams < 1:
        raise UsageError(f"concurrency must be at least 1, got {streams}", field="concurrency")
    if how.name is not None and len(refs) > 1:
        raise UsageError(
            f"a name must be given for one image, got {len(refs)}",
            field="name",
            hint="Push them one after the other.",
        )
    limit = asyncio.Semaphore(streams)
    jobs = [_Push(client, images.image(ref), ref, how, tell, settings, kept) for ref in refs]
    free, *_ = await _all(free_space(client, datastore), *(job.read_info(limit) for job in jobs))
    _refuse_duplicates(jobs)
    if _needed(jobs) > free and not how.overwrite:
        # Images that already exist are not sent, so they need no space.
        await _all(*(job.probe(folder, limit) for job in jobs))
    if _needed(jobs) > free:
        raise NoSpaceError(datastore=datastore, needed=_needed(jobs), free=free)
    if any(job.info is not None for job in jobs):
        await _make_directory(client, folder)
    async with nullcontext(uploader) if uploader else Uploader(streams=streams) as opened:
        await _all(*(job.run(folder, opened, limit) for job in jobs))
    return [job.result for job in jobs]


def _needed(jobs: Sequence[_Push]) -> int:
    """Return the total bytes of the images that have not failed and are not there."""
    return sum(job.info.size for job in jobs if job.info is not None and not job.present)


async def _all(*work: Any) -> list[Any]:
    """Await all; the first error cancels the rest and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(item) for item in work]
    except* VimlibError as group_error:
        first: BaseException = group_error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return [task.result() for task in tasks]


async def _make_directory(client: Client, path: DatastorePath) -> None:
    """Create the folder. As the first write it also shows whether the licence allows writes."""
    with licensed(client):
        datastore = client.datastore(path.datastore)
        if path.path:
            try:
                await datastore.mkdir(path, parents=True, exist_ok=True)
            except vim25.FileAlreadyExists:
                hint = "It is not a folder: choose another --to."
                raise FileConflictError(path=str(path), hint=hint) from None
            return
        # The root exists; the call is made only to get the fault of a read-only licence.
        center = (await datastore.place()).datacenter
        manager = client.content.fileManager
        if manager is None:
            raise NotFoundError(f"{client.host} has no file manager", kind="FileManager")
        try:
            await client.bind(manager).MakeDirectory(str(path), datacenter=center)
        except (vim25.FileFault, vim25.InvalidDatastorePath):
            return


def _refuse_duplicates(jobs: Sequence[_Push]) -> None:
    """Fail each image whose file name duplicates an earlier one's: one would replace the other."""
    taken: dict[str, str] = {}
    for job in jobs:
        if job.info is None:
            continue
        first = taken.setdefault(job.target, job.ref)
        if first != job.ref:
            job.fail(
                FileConflictError(path=job.target, other_image=shown_reference(first)),
                time.monotonic(),
            )


class _Push:
    """One image of a push."""

    def __init__(
        self,
        client: Client,
        source: ImageSource,
        ref: str,
        how: _How,
        tell: Callable[[PushEvent], None],
        config: DriverConfig,
        journal: Journal,
    ) -> None:
        self.client = client
        self.journal = journal
        self.source = source
        self.ref = ref
        self.how = how
        self.is_file = how.as_is
        """Whether its bytes are stored unchanged."""
        self.disks = 1
        """Disks of the image: an OVA may have several."""
        self.present = False
        """Whether something has its name on the datastore."""
        self.tell = tell
        self.config = config
        self.info: ImageInfo | None = None
        """None until the source reported it, and after a failure."""
        self.result = PushResult(image=ref)

    @property
    def target(self) -> str:
        """The file name; available once the source reported the image's properties."""
        assert self.info is not None, "read_info comes first"
        from_glance, name = self.info.in_glance, self.how.name
        if self.is_file and self.how.as_is:
            return unchanged_name(self.info, from_glance=from_glance, given=name)
        base = base_name(self.info, from_glance=from_glance, given=name)
        return f"{base}.iso" if self.is_file else f"{base}.vmdk"

    def fail(self, error: VimlibError, since: float) -> None:
        self.info = None
        seconds = time.monotonic() - since
        self.result = PushResult(image=self.ref, error=error, seconds=seconds)
        self.tell(PushEvent("failed", self.ref, result=self.result))

    async def read_info(self, limit: asyncio.Semaphore) -> None:
        """Read the image's properties from its source. An error becomes the result."""
        since = time.monotonic()
        try:
            async with limit:
                info = await self.source.info()
                # An image that cannot be pushed fails here, before it counts towards the space.
                if self.how.as_is:
                    BodyCheck(info)
                elif info.disk_format is None or info.container_format in ("ova", "compressed"):
                    head = await read_prefix(self.source, info, PREFIX)
                    image = judge(info, head)
                    self.is_file = image.kind == "iso"
                    if image.kind == "ova":
                        contents = await contents_of(self.source, info, image, head)
                        self.disks = len(contents.disks)
                else:
                    self.is_file = info.disk_format == "iso"
            self.info = info
        except VimlibError as error:
            self.fail(error, since)

    async def probe(self, folder: DatastorePath, limit: asyncio.Semaphore) -> None:
        """Read whether something has its name. An error becomes the result."""
        if self.info is None:
            return
        since = time.monotonic()
        try:
            async with limit:
                target = folder / self.target
                self.present = await self.client.datastore(target.datastore).exists(target)
        except VimlibError as error:
            self.fail(error, since)

    async def run(
        self, folder: DatastorePath, uploader: Uploader, limit: asyncio.Semaphore
    ) -> None:
        """Upload, verify, publish. An error becomes the result."""
        if self.info is None:
            return
        async with limit:
            since = time.monotonic()
            self.tell(PushEvent("started", self.ref, self.info.size * self.disks))
            try:
                await self._store(self.info, folder, uploader, since)
            except VimlibError as error:
                self.fail(error, since)

    def _done(self, result: PushResult) -> None:
        self.result = result
        self.tell(PushEvent("done", self.ref, result.bytes, result))

    async def _store(
        self, info: ImageInfo, folder: DatastorePath, uploader: Uploader, since: float
    ) -> None:
        host = Host(self.client, self.config, self.journal, uploader=uploader)
        how, target = self.how, folder / self.target

        def progress(count: int) -> None:
            self.tell(PushEvent("progress", self.ref, count))

        further: list[str] = []
        if self.is_file:
            disk = await ensure_file(
                host,
                self.source,
                info,
                target,
                overwrite=how.overwrite,
                read_back=how.read_back,
                on_progress=progress,
            )
        else:
            wish = DiskWish(
                target=target,
                transfer=how.transfer,
                overwrite=how.overwrite,
                read_back=how.read_back,
            )
            disk = await ensure_disk(host, self.source, wish, on_progress=progress)
            for number in range(1, self.disks):
                stem = target.name.removesuffix(".vmdk")
                more = replace(
                    wish, target=target.with_name(f"{stem}-{number + 1}.vmdk"), disk=number
                )
                found = await ensure_disk(host, self.source, more, on_progress=progress)
                further.append(str(found.path))
        self._done(
            PushResult(
                image=self.ref,
                datastore_path=str(disk.path),
                bytes=disk.bytes,
                hash=disk.hash,
                hash_algo=disk.hash_algo,
                verified=disk.verified,
                stored_hash=disk.stored_hash,
                stored_hash_algo=disk.stored_hash_algo,
                already_there=disk.already_there,
                further=tuple(further),
                manifest=disk.manifest,
                seconds=time.monotonic() - since,
            )
        )
