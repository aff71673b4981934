"""Files in a datastore: up, down, list, stat, delete, mkdir, move, copy."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vimlib import vim25
from vimlib.datastore.download import Download, rejected
from vimlib.datastore.path import DatastorePath
from vimlib.datastore.place import Place, find_place
from vimlib.datastore.source import opened
from vimlib.datastore.ticket import Door, host_door
from vimlib.datastore.url import folder_target
from vimlib.errors import (
    NotFoundError,
    OutcomeUnknownError,
    TransferCorruptError,
    UsageError,
)
from vimlib.secret import Secret
from vimlib.transport.base import COOKIE
from vimlib.transport.http import HTTPRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from datetime import datetime

    from vimlib.collector import Context
    from vimlib.datastore.source import Source
    from vimlib.session.session import Session
    from vimlib.tls import Trust
    from vimlib.transport.address import Address
    from vimlib.transport.http import HTTPReply
    from vimlib.transport.network import HTTPTransport

__all__ = ["Datastore", "FileEntry", "PutTarget"]

log = logging.getLogger("vimlib.datastore")

T = TypeVar("T")

_DONE: Final = frozenset({200, 201, 204})


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file or folder as the host lists it."""

    path: DatastorePath
    size: int
    """Bytes; 0 for a folder."""
    modified: datetime | None
    is_dir: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PutTarget:
    """A PUT ready to be made by somebody else: where, as whom, and whom to trust. `repr` shows no secret."""

    address: Address
    """Whom to dial."""
    target: str
    """Path and query of the request."""
    headers: Mapping[str, str | Secret] = field(repr=False)
    """Send them as they are: the session's cookie or a ticket, good for this one request."""
    size: int
    """Content-Length."""
    trust: Trust | None
    """`trust.context` for the handshake with `address.host`, then `trust.check(certificate)` on
    every new connection before the first byte; None for plain http."""

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.address.origin + self.target


class Datastore:
    """One datastore's files. `client.datastore(name)` makes it, without I/O.

    Its place in the inventory is looked up by the first call and remembered. Every method raises
    `NotFoundError` if there is no such datastore, and `InvalidPathError` for a path of another one.
    """

    def __init__(
        self,
        name: str,
        *,
        context: Context,
        session: Session,
        transport: HTTPTransport,
        wait: Callable[[Any], Awaitable[Any]],
        datacenter: str | None = None,
    ) -> None:
        self.root = DatastorePath(name)
        self._context = context
        self._session = session
        self._transport = transport
        self._wait = wait
        self._datacenter = datacenter
        self._place: Place | None = None

    @property
    def name(self) -> str:
        """The datastore's name."""
        return self.root.datastore

    def path(self, path: str | DatastorePath) -> DatastorePath:
        """Return `path` as one of this datastore: `a/b`, `[name] a/b` or a `DatastorePath`."""
        if isinstance(path, str):
            path = DatastorePath.parse(path) if path.startswith("[") else self._relative(path)
        if path.datastore != self.name:
            raise UsageError(
                f"{path} is not in the datastore {self.name!r}",
                hint="Use client.datastore() with the name that is in the path.",
            )
        return path

    def _relative(self, path: str) -> DatastorePath:
        return DatastorePath(self.name, path.removesuffix("/"))

    async def place(self) -> Place:
        """Return where it is in the inventory. Cancelling leaves nothing behind."""
        if self._place is None:
            self._place = await find_place(self._context, self.name, self._datacenter)
        return self._place

    # -- what is there -------------------------------------------------------------------------

    async def list(self, path: str | DatastorePath = "", pattern: str = "*") -> list[FileEntry]:
        """List a folder, sorted by name; `pattern` may hold `*` and `?`.

        Raises `NotFoundError` if there is no such folder. Cancelling leaves the host's search task
        to end by itself.
        """
        folder = self.path(path)
        browser = (await self.place()).browser
        task = await browser.SearchDatastore_Task(
            str(folder),
            # Always sent: without a spec some hosts fall over, and without a pattern some list nothing.
            searchSpec=vim25.HostDatastoreBrowserSearchSpec(
                matchPattern=[pattern],
                details=vim25.FileQueryFlags(
                    fileType=True, fileSize=True, modification=True, fileOwner=False
                ),
                searchCaseInsensitive=False,
                sortFoldersFirst=False,
            ),
        )
        try:
            found: vim25.HostDatastoreBrowserSearchResults | None = await self._wait(task)
        except vim25.FileNotFound:
            raise _no_such(folder) from None
        entries = [
            FileEntry(
                folder / item.path.rstrip("/").rpartition("/")[2],
                0 if isinstance(item, vim25.FolderFileInfo) else item.fileSize or 0,
                item.modification,
                isinstance(item, vim25.FolderFileInfo),
            )
            for item in (found.file if found is not None else ())
            if item.path.strip("/")
        ]
        return sorted(entries, key=lambda entry: entry.name)

    async def stat(self, path: str | DatastorePath) -> FileEntry:
        """Return size and kind of a file or folder. Raises `NotFoundError`."""
        entry = await self._find(self.path(path))
        if entry is None:
            raise _no_such(self.path(path))
        return entry

    async def exists(self, path: str | DatastorePath) -> bool:
        """Tell whether there is such a file or folder."""
        return await self._find(self.path(path)) is not None

    async def _find(self, path: DatastorePath) -> FileEntry | None:
        if not path.path:
            return FileEntry(path, 0, None, is_dir=True)
        # What is special in the pattern matches itself by `?`; equality decides below.
        pattern = "".join("?" if char in "*[]\\" else char for char in path.name)
        try:
            entries = await self.list(path.parent, pattern)
        except NotFoundError:
            return None
        for entry in entries:
            if entry.path == path:
                return entry
        # ESX hides a disk's extent behind its descriptor: ask for the file itself.
        return await self._head(path) if path.name.endswith(".vmdk") else None

    async def _head(self, path: DatastorePath) -> FileEntry | None:
        cookie = await self._session.ensure()
        request = HTTPRequest(
            method="HEAD", target=await self._target(path), headers=_credentials(cookie)
        )
        async with self._transport.http(request) as reply:
            if reply.status == 200:
                return FileEntry(path, reply.length or 0, None)
            if reply.status == 404:
                return None
            raise rejected(str(path), "look at", reply.status, "")

    async def _target(self, path: DatastorePath) -> str:
        return folder_target(path, (await self.place()).datacenter_path)

    # -- what changes it -----------------------------------------------------------------------

    async def mkdir(
        self, path: str | DatastorePath, *, parents: bool = False, exist_ok: bool = False
    ) -> None:
        """Make a folder. Raises `FileAlreadyExists` unless `exist_ok`, `FileNotFound` without its parent.

        Cancelling does not call it back.
        """
        folder = self.path(path)
        if not folder.path:
            return
        manager, center = await self._manager()
        try:
            await manager.MakeDirectory(
                str(folder), datacenter=center, createParentDirectories=parents
            )
        except vim25.FileAlreadyExists:
            if not exist_ok or not (await self.stat(folder)).is_dir:
                raise
        except OutcomeUnknownError:
            if not exist_ok or not await self.exists(folder):
                raise

    async def delete(self, path: str | DatastorePath, *, missing_ok: bool = False) -> None:
        """Delete a file, or a folder with all that is in it; by FileManager, as disks need it.

        Raises `NotFoundError` unless `missing_ok`, `UsageError` for the root. Cancelling does not
        call it back.
        """
        file = self.path(path)
        if not file.path:
            raise UsageError(f"{file} is the root of a datastore, which is not deleted")
        manager, center = await self._manager()
        try:
            await self._wait(await manager.DeleteDatastoreFile_Task(str(file), datacenter=center))
        except vim25.FileNotFound:
            if not missing_ok:
                raise _no_such(file) from None
        except OutcomeUnknownError:
            if await self.exists(file):
                raise

    async def move(
        self, path: str | DatastorePath, to: str | DatastorePath, *, overwrite: bool = False
    ) -> None:
        """Rename or move a file. `to` may be in another datastore of the same datacenter.

        Raises `FileAlreadyExists`, `NotFoundError`. If the host's answer is lost, both names are
        looked at before anything is said. Cancelling does not call it back.
        """
        source, target = self.path(path), self._elsewhere(to)
        manager, center = await self._manager()
        try:
            task = await manager.MoveDatastoreFile_Task(
                str(source),
                destinationName=str(target),
                sourceDatacenter=center,
                destinationDatacenter=center,
                force=overwrite,
            )
            await self._wait(task)
        except vim25.FileNotFound:
            raise _no_such(source) from None
        except OutcomeUnknownError:
            if (
                target.datastore != self.name
                or await self.exists(source)
                or not await self.exists(target)
            ):
                raise

    async def copy(
        self, path: str | DatastorePath, to: str | DatastorePath, *, overwrite: bool = False
    ) -> None:
        """Copy a file on the host. Raises `FileAlreadyExists`, `NotFoundError`, `OutcomeUnknownError`.

        Cancelling does not call it back.
        """
        source, target = self.path(path), self._elsewhere(to)
        manager, center = await self._manager()
        try:
            task = await manager.CopyDatastoreFile_Task(
                str(source),
                destinationName=str(target),
                sourceDatacenter=center,
                destinationDatacenter=center,
                force=overwrite,
            )
            await self._wait(task)
        except vim25.FileNotFound:
            raise _no_such(source) from None

    def _elsewhere(self, to: str | DatastorePath) -> DatastorePath:
        if isinstance(to, DatastorePath):
            return to
        return DatastorePath.parse(to) if to.startswith("[") else self._relative(to)

    async def _manager(self) -> tuple[vim25.FileManager, vim25.Datacenter]:
        manager = self._context.content.fileManager
        if manager is None:
            raise NotFoundError(f"{self._session.host} has no file manager", kind="FileManager")
        return self._context.bind(manager), (await self.place()).datacenter

    # -- bodies --------------------------------------------------------------------------------

    async def upload(
        self,
        path: str | DatastorePath,
        source: Source,
        *,
        size: int | None = None,
        progress: Callable[[int], None] | None = None,
        overwrite: bool = False,
        direct: bool = False,
    ) -> FileEntry:
        """Store a file and return what the host says of it then.

        The host must have answered 200 or 201, and then list the file with exactly `size` bytes.
        The body is sent once: nothing is resumed or sent again by itself. A failed upload may leave
        a partial file; use a name of your own, delete it on failure, `move` it on success.

        Args:
            path: The folder must exist.
            source: `bytes`, the name of a file, or an async iterable of chunks.
            size: Bytes, exactly; must be given for an iterable.
            progress: Told the bytes that have left, after each piece.
            overwrite: Replace a file that is there.
            direct: On a vCenter, send the bytes straight to an ESX host by a ticket for this one
                request (API 5.0 and newer), else through the server that is connected.

        Raises:
            TransferRejectedError: The host refused, before or amid the body; `status` says how.
            TransferCorruptError: The host has another size than was sent.
            SourceError: The source delivers less, more, or fails itself (`__cause__`).
            TransportError: The connection failed.

        Cancelling aborts the connection: the host never sees the body whole.
        """
        file = self.path(path)
        body, length = await opened(source, size)
        if not overwrite and await self.exists(file):
            raise rejected(str(file), "store", 409, "it exists already")
        door = await self._door(file, "httpPut", direct=direct)
        request = HTTPRequest(
            method="PUT",
            target=door.target,
            headers={**door.headers, "Content-Type": "application/octet-stream"},
            body=body,
            length=length,
            on_sent=progress,
        )
        async with self._transport.http(request, address=door.address, trust=door.trust) as reply:
            if reply.status not in _DONE:
                raise rejected(str(file), "store", reply.status, await reply.excerpt())
        return await self.confirm(file, length)

    async def confirm(self, path: str | DatastorePath, size: int) -> FileEntry:
        """Read back a stored file's size. Raises `TransferCorruptError` if it is not `size`."""
        file = self.path(path)
        entry = await self._find(file)
        if entry is None or entry.size != size:
            # The list of a folder may lag behind; the file itself does not.
            entry = await self._head(file)
        if entry is None or entry.size != size:
            actual = None if entry is None else entry.size
            raise TransferCorruptError(
                f"the host took {file} and has "
                + ("no such file" if actual is None else f"{actual} bytes of {size}"),
                hint="Delete it and upload it again.",
                path=str(file),
                expected=size,
                actual=actual,
            )
        return entry

    async def put_request(
        self, path: str | DatastorePath, size: int, *, direct: bool = False
    ) -> PutTarget:
        """Return the PUT that would store a file, for whoever moves the body; then `confirm` it.

        The session is made sure of first, so that its cookie is fresh.
        """
        door = await self._door(self.path(path), "httpPut", direct=direct)
        return PutTarget(
            address=door.address,
            target=door.target,
            headers={**door.headers, "Content-Type": "application/octet-stream"},
            size=size,
            trust=door.trust,
        )

    @asynccontextmanager
    async def download(
        self,
        path: str | DatastorePath,
        range: tuple[int, int | None] | None = None,  # noqa: A002 - the word that HTTP has for it
        *,
        direct: bool = False,
    ) -> AsyncIterator[Download]:
        """Read a file, or the bytes `start` to `stop` (exclusive; None: the end) of it.

        ``async with datastore.download("a.vmdk") as body: async for chunk in body: ...``

        When the connection breaks it is taken up again where it broke, as long as the host says
        that the file is the same. Leaving or cancelling closes the connection.

        Raises:
            NotFoundError: There is no such file.
            TransferRejectedError: The host refused; 416 if the file ends before `start`.
            TransferCorruptError: The file changed on the way.
            TransportError: The connection failed, and taking it up again did too.
        """
        file = self.path(path)
        start, stop = range if range is not None else (0, None)
        if start < 0 or (stop is not None and stop <= start):
            raise UsageError(f"{start} to {stop} is no range of bytes")

        @asynccontextmanager
        async def request(first: int, end: int | None) -> AsyncIterator[HTTPReply]:
            door = await self._door(file, "httpGet", direct=direct)
            headers: dict[str, str | Secret] = {**door.headers}
            if first or end is not None:
                headers["Range"] = f"bytes={first}-{'' if end is None else end - 1}"
            got = HTTPRequest(method="GET", target=door.target, headers=headers)
            async with self._transport.http(got, address=door.address, trust=door.trust) as reply:
                if reply.status == 404:
                    raise _no_such(file)
                if reply.status not in {200, 206}:
                    raise rejected(str(file), "send", reply.status, await reply.excerpt())
                yield reply

        download = Download(str(file), request, start, stop)
        try:
            await download.open()
            yield download
        finally:
            await download.aclose()

    async def _door(self, file: DatastorePath, method: str, *, direct: bool) -> Door:
        """Return where a request goes, with fresh credentials."""
        place = await self.place()
        if direct:
            door = await host_door(self._context, self._transport, place, file, method)
            if door is not None:
                return door
            log.info(
                "%s: no direct way to a host, the bytes go through %s", file, self._session.host
            )
        cookie = await self._session.ensure()
        return Door(
            self._transport.address,
            folder_target(file, place.datacenter_path),
            _credentials(cookie),
            self._transport.trust,
        )

    def __repr__(self) -> str:
        return f"<Datastore {self.name} on {self._session.host}>"


def _credentials(cookie: Secret | None) -> dict[str, str | Secret]:
    return {} if cookie is None else {"Cookie": Secret(f"{COOKIE}={cookie.reveal()}")}


def _no_such(path: DatastorePath) -> NotFoundError:
    return NotFoundError(
        f"there is no {path}",
        hint=f"List the folder: vimctl datastore ls '{path.parent}'.",
        kind="file",
        name=str(path),
    )
