"""`vimctl datastore`: files of datastores.

A file is written `[datastore1] folder/file`, or without the brackets if `--datastore` is given.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.each import each
from vimdriver._cli.flags import DASH, Flag
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimdriver._cli.progress import meter
from vimdriver.errors import size_text
from vimlib._text import printable
from vimlib.errors import NotFoundError, SourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from vimlib._client import Client
    from vimlib._datastore import DatastorePath, FileEntry

_CLEANUP_SECONDS = 60.0
_CONFLICT = "Choose another name, or replace the file with --overwrite."
Store = Annotated[
    str | None,
    Parameter(name="--datastore", help="Datastore of paths without a [datastore] prefix."),
]


def read_path(text: str, datastore: str | None) -> DatastorePath:
    """Parse a path from the command line.

    Raises:
        UsageError: It names no datastore and none was given, or it is invalid.
    """
    from vimlib._datastore import DatastorePath

    if text.startswith("["):
        return DatastorePath.parse(text)
    if datastore is None:
        raise UsageError(
            f"the path must name a datastore, got {printable(text, 80)!r}",
            hint="Write '[datastore1] folder/file', or give --datastore.",
        )
    return DatastorePath(datastore, text.strip("/"))


def entry_document(entry: FileEntry) -> dict[str, Any]:
    """Return the JSON form of a file or folder."""
    return {
        "path": str(entry.path),
        "type": "folder" if entry.is_dir else "file",
        "size": entry.size,
        "modified": None if entry.modified is None else entry.modified.isoformat(),
    }


async def ls(
    path: str | None = None,
    /,
    *,
    datastore: Store = None,
    recursive: Annotated[Flag, Parameter(name=("--recursive", "-r"))] = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """List a folder, or without a path all datastores.

    Args:
        path: Folder as `[datastore1] folder`; its last part may be a pattern with `*` and `?`.
        recursive: List subfolders too.
    """
    if path is None and datastore is None:
        await _list_datastores(connection, output)
        return
    folder, pattern = read_path(path or "", datastore), "*"
    if any(char in folder.name for char in "*?"):
        folder, pattern = folder.parent, folder.name
        if recursive:
            raise UsageError("--recursive requires a folder, got a pattern")
    async with connection.client() as client:
        if recursive:
            found = [entry async for entry in walk(client, folder)]
        else:
            found = await client.datastore(folder.datastore).list(folder, pattern)
    rows = [entry_document(entry) for entry in found]
    if not output.json:
        for row, entry in zip(rows, found, strict=True):
            row["size"] = "folder" if entry.is_dir else size_text(entry.size)
    output.table(("size", "modified", "path"), rows)


async def walk(client: Client, folder: DatastorePath) -> AsyncIterator[FileEntry]:
    """Yield everything in a folder, at any depth, each folder before its contents."""
    for entry in await client.datastore(folder.datastore).list(folder):
        yield entry
        if entry.is_dir:
            async for inner in walk(client, entry.path):
                yield inner


async def _list_datastores(connection: ConnectionOptions, output: Output) -> None:
    from vimlib import vim25

    # The summary has the name that paths use; the entity's name has a `%` escaped.
    facts = ("name", "type", "capacity", "freeSpace", "accessible")
    paths = [f"summary.{fact}" for fact in facts]
    async with connection.client() as client:
        found = await client.collect(vim25.Datastore, *paths).all()
    columns = ("name", "type", "capacity", "free", "accessible")
    rows: list[dict[str, Any]] = [
        dict(zip(columns, map(row.get, paths), strict=True)) for row in found
    ]
    if not output.json:
        for row in rows:
            for column in ("capacity", "free"):
                row[column] = None if row[column] is None else size_text(row[column])
    output.table(columns, rows)


async def stat(
    path: str,
    /,
    *,
    datastore: Store = None,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Show the size and type of a file or folder.

    Args:
        path: File or folder as `[datastore1] folder/file`.
    """
    file = read_path(path, datastore)
    async with connection.client() as client:
        found = await client.datastore(file.datastore).stat(file)
    output.fields(entry_document(found))


async def _size_of(local: Path) -> int:
    """Return the size of a local file in bytes, which is sent to the host before the first byte."""
    try:
        status = await asyncio.to_thread(local.stat)
    except FileNotFoundError:
        raise NotFoundError(
            f"file not found: {printable(str(local))!r}",
            kind="file",
            name=str(local),
            outcome="not_sent",
            hint="Check the path.",
        ) from None
    except OSError as error:
        raise SourceError(
            f"cannot read {printable(str(local))!r}: {error.strerror}",
            outcome="not_sent",
            hint="Check the path and its permissions.",
        ) from None
    if not S_ISREG(status.st_mode):
        raise UsageError(
            f"not a regular file: {printable(str(local))!r}",
            hint="Give a file: its size is sent before the first byte.",
        )
    return status.st_size


async def put(
    local: Path,
    path: str,
    /,
    *,
    datastore: Store = None,
    overwrite: Flag = False,
    read_back: Annotated[Flag, Parameter(name=("--read-back", "--verify"))] = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Upload a local file. The file appears under its name only when it is complete.

    A missing folder is created, as by `image push`. If the process is killed, `vimctl sweep` removes the incomplete file.

    Args:
        local: Local file.
        path: Target as `[datastore1] folder/file`; a path that ends with `/`, or a datastore alone,
            keeps the file's name.
        overwrite: Replace an existing file.
        read_back: Read the file back from the host and compare hashes before it gets its name.
    """
    from vimdriver._images.sink import temporary_name
    from vimdriver._journal import Uploading
    from vimdriver._verbs import Rollback
    from vimdriver._verbs.session import session_recorded
    from vimdriver.errors import FileConflictError
    from vimlib import vim25
    from vimlib._shield import finish

    target = read_path(path, datastore)
    if not target.path or path.endswith("/"):
        target = target / local.name
    size = await _size_of(local)
    owner = ownership.config().mark()
    async with (
        connection.client() as client,
        ownership.opened() as journal,
        session_recorded(client, journal, owner),
    ):
        store = client.datastore(target.datastore)
        await store.place()
        if not overwrite and await store.exists(target):
            raise FileConflictError(path=str(target), hint=_CONFLICT)
        try:
            await store.mkdir(target.parent, parents=True, exist_ok=True)
        except vim25.FileAlreadyExists:
            hint = "It is not a folder: choose another one."
            raise FileConflictError(path=str(target.parent), hint=hint) from None
        part = target.with_name(temporary_name(target.name, owner))
        entry = Uploading(host=client.host, owner=owner, path=str(part))

        async def remove() -> None:
            await store.delete(part, missing_ok=True)

        with meter(output) as progress:
            progress.start(local.name, size)
            async with Rollback(seconds=_CLEANUP_SECONDS, journal=journal) as rollback:
                await rollback.begin(str(part), remove, entry)
                await store.upload(
                    part,
                    local,
                    size=size,
                    progress=lambda n: progress.advance(local.name, n),
                    verify="hash" if read_back else "size",
                )
                try:
                    await finish(store.move(part, target, overwrite=overwrite))
                except vim25.FileAlreadyExists:
                    raise FileConflictError(path=str(target), hint=_CONFLICT) from None
                rollback.keep()
            progress.end(local.name)
        found = await store.stat(target)
    output.document(entry_document(found), f"{found.path}: {size_text(found.size)}")


async def get(
    path: str,
    local: Annotated[Path | None, DASH] = None,
    /,
    *,
    datastore: Store = None,
    overwrite: Flag = False,
    growing: Flag = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Download a file. The file appears under its name only when it is complete.

    It is complete when it has as many bytes as the host lists, before and after. A lost connection
    is resumed at the last received byte.

    Args:
        path: File as `[datastore1] folder/file`.
        local: Local file or folder; the default is the current folder and the file's own name.
            `-` writes to stdout and excludes --json.
        overwrite: Replace an existing file.
        growing: Accept a file that others append to, as `vmware.log` of a running machine: the
            bytes are those that the host listed at the beginning.
    """
    file = read_path(path, datastore)
    if not file.path:
        raise UsageError(
            f"the path must name a file, got a datastore: {file}",
            hint=f"List its files: vimctl datastore ls '{file}'",
        )
    target: Path | None = None
    if str(local) == "-":
        if output.json:
            raise UsageError(
                "--json and the target - are mutually exclusive",
                hint="Omit --json, or give a file instead of -.",
            )
    else:
        target = _local_target(local, file.name, overwrite=overwrite)
    async with (
        connection.client() as client,
        client.datastore(file.datastore).download(file, growing=growing) as body,
    ):
        with meter(output) as progress:
            progress.start(file.name, body.size)
            with _sink(target) as sink:
                async for chunk in body:
                    # Writing may block, which must not stop the loop: it keeps the connection
                    # alive.
                    await asyncio.to_thread(sink.write, chunk)
                    progress.advance(file.name, len(chunk))
            progress.end(file.name)
        size = body.received
    if target is not None:
        output.document(
            {"path": str(file), "local": str(target), "size": size},
            f"{printable(str(target))}: {size_text(size)}",
        )


def _local_target(local: Path | None, name: str, *, overwrite: bool) -> Path:
    target = local or Path(name)
    if target.is_dir():
        target = target / name
    if not target.parent.is_dir():
        raise UsageError(
            f"local folder not found: {printable(str(target.parent))!r}", hint="Create it first."
        )
    if target.exists() and not overwrite:
        raise UsageError(
            f"local file already exists: {printable(str(target))!r}",
            hint="Replace it with --overwrite.",
        )
    return target


def _sink(target: Path | None) -> AbstractContextManager[BinaryIO]:
    return _stdout() if target is None else _arriving(target)


@contextmanager
def _stdout() -> Iterator[BinaryIO]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@contextmanager
def _arriving(target: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file in the folder of `target`: renamed to it on success, removed on
    failure.
    """
    # A unique name: `x.part` may be a user's file, or another download's of the same name.
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    with part.open("xb") as file:
        try:
            yield file
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    part.replace(target)


async def rm(
    *paths: str,
    datastore: Store = None,
    recursive: Annotated[Flag, Parameter(name=("--recursive", "-r"))] = False,
    missing_ok: Flag = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> int:
    """Delete files, and with `--recursive` folders and their contents.

    Args:
        paths: Files and folders as `[datastore1] folder/file`.
        recursive: Delete folders and their contents too.
        missing_ok: Ignore files that do not exist.
    """
    if not paths:
        raise UsageError("at least one path is required", hint="List paths: vimctl datastore ls")
    files = [read_path(path, datastore) for path in paths]

    by_name = {str(file): file for file in files}

    async def remove(client: Client, path: str) -> None:
        file = by_name[path]
        store = client.datastore(file.datastore)
        if not recursive and await store.exists(file) and (await store.stat(file)).is_dir:
            raise UsageError(f"not a file but a folder: {file}", hint="Delete it with --recursive.")
        await store.delete(file, missing_ok=missing_ok)

    async with connection.client() as client:
        return await each(
            [str(file) for file in files],
            partial(remove, client),
            noun="path",
            done="deleted",
            output=output,
        )


async def mv(
    path: str,
    to: str,
    /,
    *,
    datastore: Store = None,
    overwrite: Flag = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Rename or move a file on the host.

    Args:
        path: File as `[datastore1] folder/file`.
        to: New path; a path that ends with `/` keeps the file's name.
        overwrite: Replace an existing file.
    """
    from vimdriver.errors import FileConflictError
    from vimlib import vim25

    source, target = read_path(path, datastore), read_path(to, datastore)
    if not target.path or to.endswith("/"):
        target = target / source.name
    async with connection.client() as client:
        try:
            await client.datastore(source.datastore).move(source, target, overwrite=overwrite)
        except vim25.FileAlreadyExists:
            raise FileConflictError(path=str(target), hint=_CONFLICT) from None
        found = await client.datastore(target.datastore).stat(target)
    output.document(entry_document(found), str(found.path))
