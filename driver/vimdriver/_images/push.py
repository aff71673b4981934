"""Push images from a source into a datastore, in parallel, never on local disk or whole in memory.

For each image: read its properties, check the free space for all, upload under a temporary name
while verifying length, format and hash, read the size back (optionally the whole file, for its
hash), rename to the final name. A failed image leaves no file; the others continue.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vimdriver._config import DriverConfig
from vimdriver._images.check import BodyCheck
from vimdriver._images.glance import GlanceImage
from vimdriver._images.hashing import algorithm_name
from vimdriver._images.sink import DatastoreSink, temporary_name
from vimdriver._images.source import shown_reference
from vimdriver._images.uploader import Uploader
from vimdriver._journal import MemoryJournal, Uploading
from vimdriver._verbs import Rollback
from vimdriver._verbs.host import free_space
from vimdriver._verbs.verb import licensed
from vimdriver.errors import FileConflictError, NoSpaceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._secret import forget_locals, forgetting
from vimlib._shield import finish
from vimlib.errors import NotFoundError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vimdriver._images.source import ImageInfo, ImageSource, ImageStore
    from vimdriver._journal import Journal
    from vimlib._client import Client
    from vimlib._datastore import Datastore

CLEANUP_SECONDS = 60.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """The result of one image of a push."""

    image: str
    """The reference as it was passed."""
    datastore_path: str = ""
    bytes: int = 0
    hash: str | None = None
    hash_algo: str | None = None
    verified: bool = False
    """The source has a hash, and the stored bytes matched it."""
    seconds: float = 0.0
    error: VimlibError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the line that `vimctl image push --json` prints."""
        if self.error is not None:
            return {"image": self.image, "error": error_json(self.error)}
        return {
            "image": self.image,
            "datastore_path": self.datastore_path,
            "bytes": self.bytes,
            "hash": self.hash,
            "hash_algo": self.hash_algo,
            "verified": self.verified,
            "seconds": round(self.seconds, 3),
        }


def error_json(error: VimlibError) -> dict[str, Any]:
    """Return an error in the JSON form of the command line."""
    return {
        "type": type(error).__name__,
        "message": str(error),
        "retryable": error.retryable,
        "outcome": error.outcome,
    }


def file_name(info: ImageInfo, *, from_glance: bool) -> str:
    """Return the datastore file name: `<image id>.<vmdk|img|iso>` for Glance, else the base name."""
    if not from_glance:
        return info.name
    return f"{info.id}.{ {'vmdk': 'vmdk', 'iso': 'iso'}.get(info.disk_format or '', 'img') }"


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
    uploader: Uploader | None = None,
    events: Callable[[PushEvent], None] | None = None,
    config: DriverConfig | None = None,
    journal: Journal | None = None,
) -> list[PushResult]:
    """Push `refs` into `[datastore] directory`; return the results in the same order.

    At most `concurrency` images are transferred at a time; None means the value of `config`.

    A failed image is a result with `error`; its partial file is removed and the others continue.
    Cancelling stops all streams and removes all partial files; an image that is already verified
    and just being renamed to its final name stays.

    `read_back` reads each file from the host again before the rename and compares its hash with
    that of the bytes sent: it doubles the traffic and detects corruption in storage
    (`TransferCorruptError`).

    Raises:
        UsageError: `refs` is empty or has duplicates, `concurrency` is below 1, or `directory` is
            not a valid folder path.
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
                overwrite=overwrite,
                read_back=read_back,
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


async def _push_images(
    client: Client,
    images: ImageStore,
    refs: Sequence[str],
    folder: DatastorePath,
    *,
    concurrency: int | None,
    overwrite: bool,
    read_back: bool,
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
    limit = asyncio.Semaphore(streams)
    jobs = [
        _Push(client, images.image(ref), ref, overwrite, read_back, tell, settings, kept)
        for ref in refs
    ]
    free, *_ = await _all(free_space(client, datastore), *(job.read_info(limit) for job in jobs))
    _refuse_duplicates(jobs)
    if _needed(jobs) > free and not overwrite:
        # Images that already exist are refused, not sent, so they need no space.
        await _all(*(job.probe(folder, limit) for job in jobs))
    if _needed(jobs) > free:
        raise NoSpaceError(datastore=datastore, needed=_needed(jobs), free=free)
    if any(job.info is not None for job in jobs):
        await _make_directory(client, folder)
    async with nullcontext(uploader) if uploader else Uploader(streams=streams) as opened:
        await _all(*(job.run(folder, opened, limit) for job in jobs))
    return [job.result for job in jobs]


def _needed(jobs: Sequence[_Push]) -> int:
    """Return the total bytes of the images that have not failed."""
    return sum(job.info.size for job in jobs if job.info is not None)


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
        overwrite: bool,
        read_back: bool,
        tell: Callable[[PushEvent], None],
        config: DriverConfig,
        journal: Journal,
    ) -> None:
        self.client = client
        self.journal = journal
        self.source = source
        self.ref = ref
        self.overwrite = overwrite
        self.read_back = read_back
        self.tell = tell
        self.config = config
        self.owner = config.mark()
        self.info: ImageInfo | None = None
        """None until the source reported it, and after a failure."""
        self.result = PushResult(image=ref)

    @property
    def target(self) -> str:
        """The file name; available once the source reported the image's properties."""
        assert self.info is not None, "read_info comes first"
        return file_name(self.info, from_glance=isinstance(self.source, GlanceImage))

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
            # An image that cannot be pushed fails here, before it counts towards the needed space.
            BodyCheck(info)
            self.info = info
        except VimlibError as error:
            self.fail(error, since)

    async def probe(self, folder: DatastorePath, limit: asyncio.Semaphore) -> None:
        """Fail if the file already exists. An error becomes the result."""
        if self.info is None:
            return
        since = time.monotonic()
        try:
            async with limit:
                await self._refuse_existing(folder / self.target)
        except VimlibError as error:
            self.fail(error, since)

    async def _refuse_existing(self, target: DatastorePath) -> None:
        if await self.client.datastore(target.datastore).exists(target):
            raise FileConflictError(path=str(target))

    async def run(
        self, folder: DatastorePath, uploader: Uploader, limit: asyncio.Semaphore
    ) -> None:
        """Upload, verify, publish. An error becomes the result."""
        if self.info is None:
            return
        async with limit:
            since = time.monotonic()
            self.tell(PushEvent("started", self.ref, self.info.size))
            try:
                await self._upload(self.info, folder, uploader, since)
            except VimlibError as error:
                self.fail(error, since)

    async def _upload(
        self, info: ImageInfo, folder: DatastorePath, uploader: Uploader, since: float
    ) -> None:
        datastore = self.client.datastore(
            folder.datastore,
            settle=self.config.settle_seconds,
            timeouts=self.config.timeouts(self.client.timeouts),
        )
        target = folder / self.target
        if not self.overwrite:
            await self._refuse_existing(target)
        part = target.with_name(temporary_name(target.name, self.owner))

        async def is_there() -> bool:
            try:
                # A folder of that name is not ours, and hosts delete one with its contents.
                return not (await datastore.stat(part)).is_dir
            except NotFoundError:
                return False

        async def remove() -> None:
            # Again, since the host may create it after the connection broke, from bytes that it had
            # received.
            for _ in range(2):
                if await is_there():
                    await datastore.delete(part, missing_ok=True, timeout=self.config.task_seconds)

        entry = Uploading(host=self.client.host, owner=self.owner, path=str(part))
        async with Rollback(seconds=CLEANUP_SECONDS, journal=self.journal) as rollback:
            await rollback.begin(str(part), remove, entry)
            done = await uploader.upload(
                self.source,
                DatastoreSink(datastore, part),
                info,
                on_progress=lambda count: self.tell(PushEvent("progress", self.ref, count)),
            )
            report = done.source
            if self.read_back:
                assert report.hash is not None, "every image of a push is hashed"
                await datastore.compare(part, report.hash, algorithm_name(report.hash_algo))
            await finish(
                self._publish(datastore, part, target, report.bytes), what=f"move to {target}"
            )
            rollback.keep()
        self.result = PushResult(
            image=self.ref,
            datastore_path=str(target),
            bytes=report.bytes,
            hash=report.hash,
            hash_algo=report.hash_algo,
            verified=report.verified,
            seconds=time.monotonic() - since,
        )
        self.tell(PushEvent("done", self.ref, report.bytes, self.result))

    async def _publish(
        self, datastore: Datastore, part: DatastorePath, target: DatastorePath, size: int
    ) -> None:
        """Rename the complete file to its final name; no later step can fail."""
        try:
            await datastore.move(
                part,
                target,
                size=size,
                overwrite=self.overwrite,
                timeout=self.config.task_seconds,
            )
        except vim25.FileAlreadyExists:
            raise FileConflictError(path=str(target)) from None
