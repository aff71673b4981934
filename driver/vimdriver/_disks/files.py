"""Store an image's bytes unchanged: an ISO image, or any with `as_is`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from vimdriver._disks.ensured import EnsuredDisk
from vimdriver._disks.peek import read_hash
from vimdriver._disks.turns import turn
from vimdriver._images.hashing import DEFAULT_ALGORITHM, algorithm_name
from vimdriver._images.sink import DatastoreSink, temporary_name
from vimdriver._images.uploader import Uploader
from vimdriver._journal import Uploading
from vimdriver._verbs import Rollback
from vimdriver.errors import FileConflictError
from vimlib import vim25
from vimlib._shield import finish
from vimlib.errors import NotFoundError, TransferCorruptError

if TYPE_CHECKING:
    from vimdriver._images.source import ImageInfo, ImageSource
    from vimdriver._verbs import Host
    from vimlib._datastore import DatastorePath
    from vimlib._progress import Progress


async def ensure_file(
    host: Host,
    source: ImageSource,
    info: ImageInfo,
    target: DatastorePath,
    *,
    overwrite: bool = False,
    read_back: bool = False,
    by_content: bool = False,
    on_progress: Progress | None = None,
) -> EnsuredDisk:
    """Make sure that an image is there as a file with its bytes unchanged, and return it.

    A file that is there already is read back and compared, unless its name stands for its content
    (`by_content`). The folder must exist. Cancelling undoes all; a file that is just being renamed to
    its name stays. Raises as `ensure_disk`.
    """
    async with turn(host.client.host, str(target)) as mine:
        found = mine.disk if by_content else None
        if found is None:
            found = await _look(host, source, info, target, overwrite, by_content)
        if found is None:
            try:
                found = await _upload(host, source, info, target, overwrite, read_back, on_progress)
            except FileConflictError:
                if by_content:  # another process was quicker
                    found = await _look(host, source, info, target, overwrite, by_content)
                if found is None:
                    raise
        mine.disk = found
        return found


async def _look(
    host: Host,
    source: ImageSource,
    info: ImageInfo,
    target: DatastorePath,
    overwrite: bool,
    by_content: bool,
) -> EnsuredDisk | None:
    """Return the file if it is there with the image's bytes. Raises `FileConflictError` for others."""
    store = host.datastore(target.datastore)
    try:
        found = await store.stat(target)
    except NotFoundError:
        return None
    digest = info.hash_value
    if by_content:
        same = True
    elif same := not found.is_dir and found.size == info.size:
        digest = digest or await read_hash(source, info, DEFAULT_ALGORITHM)
        try:
            await store.compare(target, digest, algorithm_name(info.hash_algo))
        except TransferCorruptError:
            same = False
    if same:
        return EnsuredDisk(
            path=target,
            bytes=info.size,
            hash=digest,
            hash_algo=info.hash_algo or DEFAULT_ALGORITHM,
            verified=info.hash_value is not None,
            already_there=True,
        )
    if overwrite:
        return None
    raise FileConflictError(path=str(target))


async def _upload(
    host: Host,
    source: ImageSource,
    info: ImageInfo,
    target: DatastorePath,
    overwrite: bool,
    read_back: bool,
    on_progress: Progress | None,
) -> EnsuredDisk:
    store = host.datastore(target.datastore)
    part = target.with_name(temporary_name(target.name, host.owner))

    async def is_there() -> bool:
        try:
            # A folder of that name is not ours, and hosts delete one with its contents.
            return not (await store.stat(part)).is_dir
        except NotFoundError:
            return False

    async def remove() -> None:
        # Again, since the host may create it after the connection broke, from bytes that it had
        # received.
        for _ in range(2):
            if await is_there():
                await host.delete(part)

    entry = Uploading(host=host.client.host, owner=host.owner, path=str(part))
    async with Rollback(seconds=host.config.cleanup_seconds, journal=host.journal) as rollback:
        await host.record_session()
        await rollback.begin(str(part), remove, entry)
        given = host.uploader
        async with nullcontext(given) if given else Uploader(streams=1) as uploader:
            done = await uploader.upload(
                source, DatastoreSink(store, part), info, on_progress=on_progress
            )
        report = done.source
        assert report.hash is not None, "every image is hashed"
        if read_back:
            await store.compare(part, report.hash, algorithm_name(report.hash_algo))
        await finish(
            _publish(host, part, target, report.bytes, overwrite), what=f"move to {target}"
        )
        rollback.keep()
    return EnsuredDisk(
        path=target,
        bytes=report.bytes,
        hash=report.hash,
        hash_algo=report.hash_algo,
        verified=report.verified,
        stored_hash=report.hash if read_back else None,
        stored_hash_algo=report.hash_algo if read_back else None,
    )


async def _publish(
    host: Host, part: DatastorePath, target: DatastorePath, size: int, overwrite: bool
) -> None:
    """Rename the complete file to its final name; no later step can fail."""
    try:
        await host.datastore(target.datastore).move(
            part, target, size=size, overwrite=overwrite, timeout=host.config.task_seconds
        )
    except vim25.FileAlreadyExists:
        raise FileConflictError(path=str(target)) from None
