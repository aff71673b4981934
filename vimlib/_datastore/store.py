"""Files in a datastore: up, down, list, stat, delete, mkdir, move, copy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from vimlib import vim25
from vimlib._arguments import check_argument
from vimlib._datastore import completion
from vimlib._datastore.deadline import BodyProgress, Course, within
from vimlib._datastore.digest import Digest
from vimlib._datastore.download import Download, rejected
from vimlib._datastore.entry import FileEntry, no_such
from vimlib._datastore.location import DatastoreLocation, locate
from vimlib._datastore.path import DatastorePath
from vimlib._datastore.source import opened
from vimlib._datastore.ticket import Door, host_door
from vimlib._datastore.url import folder_target
from vimlib._repr import robust
from vimlib._tasks import SETTLE_SECONDS
from vimlib._transport.http import HTTPRequest
from vimlib._transport.pace import Deadline, Pace
from vimlib.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    TransferCorruptError,
    TransferRejectedError,
    UsageError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from vimlib._collector import Context
    from vimlib._datastore.source import Source
    from vimlib._inventory import Found
    from vimlib._progress import Progress
    from vimlib._session.session import Session
    from vimlib._tasks import TaskWaiter
    from vimlib._transport.base import Timeouts
    from vimlib._transport.http import Buffer, Header, HTTPReply
    from vimlib._transport.network import HTTPTransport

    # Within the class `list` is the verb.
    _Entries: TypeAlias = list[FileEntry]

__all__ = ["Datastore", "FileEntry"]

log = logging.getLogger("vimlib.datastore")

_DONE: Final = frozenset({200, 201, 204})
_LOOKING: Final = frozenset({"list", "stat"})
# Pause between two looks at a listing that lags behind.
_AGAIN: Final = 0.5


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
        tasks: TaskWaiter,
        datacenter: str | Found | vim25.Datacenter | None = None,
        settle: float = SETTLE_SECONDS,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.timeouts = timeouts or transport.timeouts
        """The deadlines and the minimum rate of its verbs."""
        self.root = DatastorePath(name)
        self._context = context
        self._session = session
        self._transport = transport
        self._tasks = tasks
        self._datacenter = datacenter
        self._settle = settle
        self._place: DatastoreLocation | None = None

    @property
    def name(self) -> str:
        """The datastore's name."""
        return self.root.datastore

    def path(self, path: str | DatastorePath) -> DatastorePath:
        """Return `path` as one of this datastore: `a/b`, `[name] a/b` or a `DatastorePath`."""
        check_argument("path", path, (str, DatastorePath), "a path in the datastore")
        if isinstance(path, str):
            path = DatastorePath.parse(path) if path.startswith("[") else self._relative(path)
        if path.datastore != self.name:
            raise UsageError(
                f"{path} is not in datastore {self.name!r}",
                hint="Use client.datastore() with the name that is in the path.",
            )
        return path

    def _relative(self, path: str) -> DatastorePath:
        return DatastorePath(self.name, path.removesuffix("/"))

    def _below(self, path: str | DatastorePath, what: str) -> DatastorePath:
        return _not_root(self.path(path), what)

    async def place(self) -> DatastoreLocation:
        """Return where it is in the inventory. Cancelling leaves nothing behind."""
        if self._place is None:
            self._place = await locate(self._context, self.name, self._datacenter)
        return self._place

    def is_at(self, place: DatastoreLocation) -> None:
        """Take its place as known, which saves the look-up."""
        self._place = place

    def _within(
        self, verb: str, path: DatastorePath, timeout: float | None
    ) -> AbstractAsyncContextManager[Course]:
        rule = "listing" if verb in _LOOKING else "files"
        return within(self._end(timeout, rule), verb, path, self._session.host)

    def _end(self, timeout: float | None, rule: str) -> Deadline:
        now = asyncio.get_running_loop().time()
        return Deadline.of(timeout, getattr(self.timeouts, rule), rule, now)

    # -- what is there -------------------------------------------------------------------------

    async def list(
        self,
        path: str | DatastorePath = "",
        pattern: str = "*",
        *,
        timeout: float | None = None,
    ) -> list[FileEntry]:
        """List a folder, sorted by name; `pattern` may hold `*` and `?`.

        `timeout` is in seconds, `Timeouts.listing` if None. Raises `NotFoundError` if there is no
        such folder, `DeadlineError` (outcome `not_sent`: nothing was changed). After that, or when
        cancelled, the host's search task is left to end by itself.
        """
        folder = self.path(path)
        async with self._within("list", folder, timeout) as course:
            return await self._list(folder, pattern, course)

    async def _list(self, folder: DatastorePath, pattern: str, course: Course) -> _Entries:
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
        course.looking(task)
        try:
            found: vim25.HostDatastoreBrowserSearchResults | None = await self._tasks.wait(
                task, method="SearchDatastore_Task"
            )
        except vim25.FileNotFound:
            raise no_such(folder) from None
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

    async def stat(self, path: str | DatastorePath, *, timeout: float | None = None) -> FileEntry:
        """Return size and kind of a file or folder. Raises `NotFoundError`; else as `list`."""
        file = self.path(path)
        async with self._within("stat", file, timeout) as course:
            entry = await self._find(file, course)
        if entry is None:
            raise no_such(file)
        return entry

    async def exists(self, path: str | DatastorePath, *, timeout: float | None = None) -> bool:
        """Tell whether there is such a file or folder. Raises and is cancelled as `list`."""
        file = self.path(path)
        async with self._within("stat", file, timeout) as course:
            return await self._find(file, course) is not None

    async def _find(self, path: DatastorePath, course: Course) -> FileEntry | None:
        if not path.path:
            return FileEntry(path, 0, None, is_dir=True)
        await self.place()  # a missing datastore is an error, a missing folder an answer
        # What is special in the pattern matches itself by `?`; equality decides below.
        pattern = "".join("?" if char in "*[]\\" else char for char in path.name)
        try:
            entries = await self._list(path.parent, pattern, course)
        except NotFoundError:
            return None
        for entry in entries:
            if entry.path == path:
                return entry
        # ESX hides a disk's extent behind its descriptor: ask for the file itself.
        return await self._head(path) if path.name.endswith(completion.DISK) else None

    async def _head(self, path: DatastorePath) -> FileEntry | None:
        """Ask a file that the host lists as a disk, or not at all, for its size."""
        request = HTTPRequest(
            method="HEAD", target=await self._target(path), headers=self._credentials
        )
        async with self._transport.http(request, timeouts=self.timeouts) as reply:
            if reply.status == 200:
                page = (reply.header("content-type") or "").startswith("text/html")
                if reply.length is None or page:
                    raise ProtocolError(
                        f"the host answered HEAD for {path} without a Content-Length or with a page",
                        hint="Check for a proxy or a login page between here and the host.",
                    )
                return FileEntry(path, reply.length, None)
            if reply.status == 404:
                return None
            raise rejected(str(path), "look at", reply.status, "")

    async def _target(self, path: DatastorePath) -> str:
        return folder_target(path, (await self.place()).datacenter_path)

    # -- what changes it -----------------------------------------------------------------------
    #
    # Each takes a `timeout` in seconds over all of it, `Timeouts.files` if None. When it passes,
    # `DeadlineError` says by its `outcome` whether the change had left (`unknown`) or not, and by
    # `task` what goes on on the host.

    async def mkdir(
        self,
        path: str | DatastorePath,
        *,
        parents: bool = False,
        exist_ok: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Make a folder. Raises `FileAlreadyExists` unless `exist_ok`, `FileNotFound` without its parent.

        Raises `DeadlineError` after `timeout` seconds (`Timeouts.files` if None): `outcome` is
        `unknown` if the host may have made it. Cancelling does not call it back.
        """
        folder = self.path(path)
        if not folder.path:
            return
        async with self._within("mkdir", folder, timeout) as course:
            manager, center = await self._manager()
            course.changing()
            try:
                await manager.MakeDirectory(
                    str(folder), datacenter=center, createParentDirectories=parents
                )
            except (vim25.FileAlreadyExists, OutcomeUnknownError):
                entry = await self._find(folder, course) if exist_ok else None
                if entry is None or not entry.is_dir:
                    raise

    async def delete(
        self,
        path: str | DatastorePath,
        *,
        missing_ok: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Delete a file, or a folder with all that is in it; by FileManager, as disks need it.

        With `missing_ok` a missing file is what is wanted, so an unanswered call of which the host
        shows nothing is sent again.

        Raises `NotFoundError` unless `missing_ok`, `UsageError` for the root, `OutcomeUnknownError`
        if the host did not answer and the file is still there, `DeadlineError` after `timeout`
        seconds (`Timeouts.files` if None): the host's task, `error.task`, may go on, so its
        `outcome` is `unknown`. Cancelling does not call it back.
        """
        file = self._below(path, "deleted")
        async with self._within("delete", file, timeout) as course:
            manager, center = await self._manager()

            async def is_gone() -> bool | None:
                return await self._find(file, course) is None or None

            try:
                await self._change(
                    course,
                    lambda: manager.DeleteDatastoreFile_Task(str(file), datacenter=center),
                    probe=is_gone,
                    method="DeleteDatastoreFile_Task",
                    idempotent=missing_ok,
                )
            except vim25.FileNotFound:
                if not missing_ok:
                    raise no_such(file) from None

    async def _change(
        self, course: Course, start: Callable[[], Awaitable[vim25.Task[Any]]], **how: Any
    ) -> None:
        """Run a task that changes files; `course` gets to know it. See `TaskWaiter.run`."""

        async def begin() -> vim25.Task[Any]:
            course.changing()
            course.task = await start()
            task: vim25.Task[Any] = course.task
            return task

        await self._tasks.run(begin, settle=self._settle, **how)

    async def move(
        self,
        path: str | DatastorePath,
        to: str | DatastorePath,
        *,
        overwrite: bool = False,
        size: int | None = None,
        timeout: float | None = None,
    ) -> None:
        """Rename or move a file. `to` may be in another datastore of the same datacenter.

        Raises `FileAlreadyExists`, `NotFoundError`, and `OutcomeUnknownError` if the host did not
        answer and does not show that it was done: the file that had the old name, by its size, has
        the new one, and none has the old. `size` (bytes) saves reading it first. Raises
        `DeadlineError` after `timeout` seconds (`Timeouts.files` if None): the host's task,
        `error.task`, may go on, so its `outcome` is `unknown`, and the file has one of the two
        names or, moved between datastores, both. Cancelling does not call it back.
        """
        source, target = self._below(path, "moved"), self._elsewhere(to)
        async with self._within("move", source, timeout) as course:
            manager, center = await self._manager()
            wanted = (size, False)
            if size is None:
                before = await self._find(source, course)
                if before is None:
                    raise no_such(source)
                wanted = (before.size, before.is_dir)

            async def is_moved() -> bool | None:
                if target.datastore != self.name or await self._find(source, course) is not None:
                    return None
                after = await self._find(target, course)
                return (after is not None and (after.size, after.is_dir) == wanted) or None

            try:
                await self._change(
                    course,
                    lambda: manager.MoveDatastoreFile_Task(
                        str(source),
                        destinationName=str(target),
                        sourceDatacenter=center,
                        destinationDatacenter=center,
                        force=overwrite,
                    ),
                    probe=is_moved,
                    method="MoveDatastoreFile_Task",
                )
            except vim25.FileNotFound:
                raise await self._absent(source, target, course) from None

    async def copy(
        self,
        path: str | DatastorePath,
        to: str | DatastorePath,
        *,
        overwrite: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Copy a file on the host. Raises `FileAlreadyExists`, `NotFoundError`, `OutcomeUnknownError`.

        Raises `DeadlineError` after `timeout` seconds (`Timeouts.files` if None): the host's task,
        `error.task`, may go on, so its `outcome` is `unknown`, and a part of the copy may be there.
        Cancelling does not call it back.
        """
        source, target = self._below(path, "copied"), self._elsewhere(to)
        async with self._within("copy", source, timeout) as course:
            manager, center = await self._manager()
            try:
                await self._change(
                    course,
                    lambda: manager.CopyDatastoreFile_Task(
                        str(source),
                        destinationName=str(target),
                        sourceDatacenter=center,
                        destinationDatacenter=center,
                        force=overwrite,
                    ),
                )
            except vim25.FileNotFound:
                raise await self._absent(source, target, course) from None

    def _elsewhere(self, to: str | DatastorePath) -> DatastorePath:
        if isinstance(to, str):
            to = DatastorePath.parse(to) if to.startswith("[") else self._relative(to)
        return _not_root(to, "the target of a move")

    async def _absent(
        self, source: DatastorePath, target: DatastorePath, course: Course
    ) -> NotFoundError:
        """Return which of the two the host did not find: the file, or the folder that it was to go to."""
        there = await self._find(source, course) is not None
        return no_such(target.parent if there else source)

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
        progress: Progress | None = None,
        overwrite: bool = False,
        fresh: bool = False,
        direct: bool = False,
        verify: Literal["size", "hash"] = "size",
        timeout: float | None = None,
    ) -> FileEntry:
        """Store a file and return how the host lists it then.

        The host must have answered 200 or 201, and then list the file with exactly `size` bytes.
        Nothing is resumed. A PUT that the host refuses because the session has ended is sent once
        more, from the first byte, unless the source is an iterable. One that is answered by 5xx
        counts as done if the host then lists the whole file, except with `overwrite`, where that
        may be the old one: the outcome is then unknown. A failed upload
        may leave a partial file, and one that fails to verify leaves the file as the host has it;
        use a name of your own, delete it on failure, `move` it on success.

        Args:
            path: The folder must exist.
            source: `bytes`, the name of a file, or an async iterable of chunks.
            size: Bytes, exactly; must be given for an iterable.
            progress: Called after each piece that has left, with its bytes (`vimlib.Progress`).
            overwrite: Replace a file that is there.
            fresh: The name is the caller's alone, so it is not looked up first; the rest of a
                refused attempt is replaced.
            direct: On a vCenter, send the bytes straight to an ESX host by a ticket for this one
                request (API 5.0 and newer), else through the server that is connected.
            verify: `"size"` takes the host's word for the bytes. `"hash"` reads the file back and
                compares its SHA-256 with that of the bytes which left: twice the traffic, and a
                bit that flipped in storage is found.
            timeout: Seconds for all of it; `Timeouts.transfer` if None. Within that, each look at
                the host's listing has `Timeouts.listing`, the answer to the body has
                `Timeouts.call`, and the body must keep to `Timeouts.rate`.

        Raises:
            TransferRejectedError: The host refused, before or during the body; `status` says how.
            TransferCorruptError: The host has another size, or other bytes, than were sent.
            SourceError: The source delivers less, more, or fails itself (`__cause__`).
            DeadlineError: It took too long: `rule` names the limit, `bytes` is how many had left;
                `outcome` is `not_sent` before the body and `unknown` from then on.
            TransportError: The connection failed.

        Cancelling aborts the connection: the host never sees the body whole. When cancelled later,
        the file is there and was not verified.
        """
        file = self._below(path, "stored")
        if verify not in {"size", "hash"}:
            raise UsageError(f"verify must be 'size' or 'hash', got {verify!r}")
        body, length = await opened(source, size)
        digest = Digest() if verify == "hash" else None
        end = self._end(timeout, "transfer")
        async with within(end, "upload", file, self._session.host) as course:
            if not (overwrite or fresh) and (await self._listed(file, end, course))[0] is not None:
                raise rejected(str(file), "store", 409, "the file already exists")
            send = partial(self._send, file, length, BodyProgress(course, progress), direct=direct)
            failure = None
            try:
                await send(body if digest is None else digest.passing(body))
            except TransferRejectedError as error:
                if error.status == 401 and not isinstance(source, AsyncIterable):
                    # The session ended, so nothing was stored. `_door` logs in again.
                    body, length = await opened(source, length)
                    digest = Digest() if verify == "hash" else None
                    await send(body if digest is None else digest.passing(body))
                elif error.status < 500 or overwrite or course.bytes != length:
                    raise
                else:
                    failure = error
            try:
                entry = await self._settled(file, length, end, course, failure)
                if digest is not None:
                    await self.compare(file, await digest.hexdigest(), direct=direct)
            except VimlibError as unread:
                if unread.outcome in ("not_sent", "refused"):
                    # A refused read refuses nothing that was done before it.
                    unread.outcome = "unknown"
                raise
        return entry

    async def _send(
        self,
        file: DatastorePath,
        length: int,
        on_sent: BodyProgress,
        body: AsyncIterable[Buffer],
        *,
        direct: bool,
    ) -> None:
        """PUT a body."""
        door = await self._door(file, "httpPut", direct=direct)
        on_sent.begin()
        request = HTTPRequest(
            method="PUT",
            target=door.target,
            headers={**door.headers, "Content-Type": "application/octet-stream"},
            body=body,
            length=length,
            on_sent=on_sent,
        )
        async with self._transport.http(
            request, address=door.address, trust=door.trust, timeouts=self.timeouts
        ) as reply:
            if reply.status not in _DONE:
                raise rejected(str(file), "store", reply.status, await reply.excerpt())

    async def confirm(
        self,
        path: str | DatastorePath,
        size: int,
        *,
        timeout: float | None = None,
    ) -> FileEntry:
        """Read back how the host lists a file that was stored under a new name.

        A listing that lags behind is read again for some seconds (`settle` of the datastore). A
        disk (`.vmdk`), which hosts list with another size or not at all, is asked itself by HEAD.

        Args:
            path: The file.
            size: Bytes, exactly.
            timeout: Seconds; `Timeouts.listing` if None.

        Raises:
            TransferCorruptError: The file has another size, or is not there.
            DeadlineError: The host's search did not end; `outcome` is `unknown`.

        Cancelling leaves the file as it is.
        """
        end = self._end(timeout, "listing")
        course = Course()
        course.changing()
        return await self._settled(self.path(path), size, end, course, None)

    async def _settled(
        self,
        file: DatastorePath,
        size: int,
        end: Deadline,
        course: Course,
        answer: TransferRejectedError | None,
    ) -> FileEntry:
        """Return the entry of a file that was stored whole, by the host's listing alone."""
        clock = asyncio.get_running_loop().time
        settled = clock() + self._settle
        while True:
            entry, _ = await self._listed(file, end, course, size)
            if (entry is not None and entry.size == size) or clock() >= settled:
                break
            await asyncio.sleep(min(_AGAIN, settled - clock()))
        return completion.stored(file, entry, size, answer)

    async def _listed(
        self, file: DatastorePath, end: Deadline, course: Course, size: int | None = None
    ) -> tuple[FileEntry | None, bool]:
        """Return what the host lists, and whether that is a disk of which HEAD returned the size.

        It is where a disk is listed with another size than `size`.
        """
        now = asyncio.get_running_loop().time()
        part = end.within(self.timeouts.listing, "listing", now)
        async with within(part, "stat", file, self._session.host, course=course):
            entry = await self._find(file, course)
            if entry is None or entry.is_dir or not file.name.endswith(completion.DISK):
                return entry, False
            itself = None if entry.size == size else await self._head(file)
            if itself is None or itself.size == entry.size:
                return entry, False
            return replace(entry, size=itself.size), True

    async def compare(
        self,
        path: str | DatastorePath,
        digest: str,
        algorithm: str = "sha256",
        *,
        progress: Progress | None = None,
        direct: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Read a stored file back whole and compare its hash with `digest`, in hexadecimal.

        What the host keeps in memory it may answer from there, so this proves what it has stored
        no better than the host itself reads it. `progress` is called
        with the bytes of each piece (`vimlib.Progress`).

        Raises `TransferCorruptError`, with both digests as facts, if they differ: the file is left
        as it is. Else as `download`, which has `timeout` too. Cancelling closes the connection.
        """
        file = self.path(path)
        found = Digest(algorithm)
        async with self.download(file, direct=direct, timeout=timeout) as body:
            async for chunk in body:
                await found.feed(chunk)
                if progress is not None:
                    progress(len(chunk))
        actual = await found.hexdigest()
        if actual != digest.lower():
            raise TransferCorruptError(
                f"the stored {file} differs from the bytes that were sent: "
                f"expected {algorithm} {digest[:16].lower()}..., got {actual[:16]}...",
                hint="Delete it, upload it again, and have the datastore checked.",
                path=str(file),
                expected=digest.lower(),
                actual=actual,
            )

    @asynccontextmanager
    async def download(
        self,
        path: str | DatastorePath,
        range: tuple[int, int | None] | None = None,  # noqa: A002 - the word that HTTP has for it
        *,
        direct: bool = False,
        growing: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Download]:
        """Read a file, or the bytes `start` to `stop` (exclusive; None: the end) of it.

        ``async with datastore.download("a.vmdk") as body: async for chunk in body: ...``

        The host's listing decides: what is sent must have the size that the host lists, and at the
        end of the iteration the host must still list the file with that size and time. Then only is
        it complete. A connection that breaks is taken up again where it broke. Leaving or
        cancelling closes the connection.

        Args:
            path: The file.
            range: Offsets in bytes.
            direct: As of `upload`.
            growing: Accept a file that others append to, as `vmware.log` of a running machine: the
                bytes that the host listed when the download began are read, no more.
            timeout: Seconds for all of it, including the caller's own work in the block;
                `Timeouts.transfer` if None. The host must keep to `Timeouts.rate` while it is
                awaited.

        Raises:
            NotFoundError: There is no such file.
            UsageError: It is a folder, or `range` is none.
            TransferRejectedError: The host refused; 416 if the file ends before `start`.
            TransferCorruptError: The host sends another size than it lists, or the file changed on
                the way.
            ProtocolError: The host sends no length.
            DeadlineError: It took too long: `rule` names the limit, `bytes` is how many had come.
            TransportError: The connection failed, and taking it up again did too.
        """
        file = self._below(path, "read")
        start, stop = range if range is not None else (0, None)
        if start < 0 or (stop is not None and stop <= start):
            raise UsageError(
                f"range must be (start, stop) with 0 <= start < stop, got ({start}, {stop})"
            )
        end = self._end(timeout, "transfer")
        listed, is_disk = await self._listed(file, end, Course())
        if listed is None:
            raise no_such(file)
        if listed.is_dir:
            raise UsageError(
                f"{file} is a folder",
                hint=f"List it: vimctl datastore ls '{file}'; then read files.",
            )

        async def confirm() -> None:
            after, _ = await self._listed(file, end, Course())
            completion.unchanged(str(file), listed, after, growing=growing)

        download = Download(
            str(file),
            partial(self._get, file, end, direct),
            start,
            stop,
            size=listed.size,
            confirm=confirm,
            host=self._session.host,
            pace=Pace.steady(self.timeouts, end),
            growing=growing,
            disk=is_disk,
        )
        try:
            await download.open()
            yield download
        finally:
            await download.aclose()

    @asynccontextmanager
    async def _get(
        self, file: DatastorePath, end: Deadline, direct: bool, first: int, stop: int | None
    ) -> AsyncIterator[HTTPReply]:
        """GET a file from an offset to another one (exclusive)."""
        async with within(end, "download", file, self._session.host):
            door = await self._door(file, "httpGet", direct=direct)
        headers: dict[str, Header] = {**door.headers}
        if first or stop is not None:
            headers["Range"] = f"bytes={first}-{'' if stop is None else stop - 1}"
        got = HTTPRequest(method="GET", target=door.target, headers=headers, end=end)
        async with self._transport.http(
            got, address=door.address, trust=door.trust, timeouts=self.timeouts
        ) as reply:
            if reply.status == 404:
                raise no_such(file)
            if reply.status not in {200, 206}:
                raise rejected(str(file), "send", reply.status, await reply.excerpt())
            yield reply

    async def _door(self, file: DatastorePath, method: str, *, direct: bool) -> Door:
        """Return where a request goes, and as whom."""
        place = await self.place()
        if direct:
            door = await host_door(self._context, self._transport, place, file, method)
            if door is not None:
                return door
            log.info(
                "%s: no direct connection to a host, transferring through %s",
                file,
                self._session.host,
            )
        return Door(
            self._transport.address,
            folder_target(file, place.datacenter_path),
            self._credentials,
            await self._transport.trusted(),
        )

    @property
    def _credentials(self) -> dict[str, Header]:
        # Looked up when a connection is free: by then the session may have been renewed.
        return {"Cookie": self._session.cookie_header}

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Hold one of the client's connections to the host for a transfer, waiting for it in turn.

        The next transfer of the block uses it. Raises `DeadlineError` if none becomes free for `Timeouts.files`. Cancelling
        leaves the queue.
        """
        return self._transport.slot()

    @robust
    def __repr__(self) -> str:
        return f"<Datastore {self.name} on {self._session.host}>"


def _not_root(path: DatastorePath, what: str) -> DatastorePath:
    if not path.path:
        raise UsageError(
            f"the root of a datastore cannot be {what}: {path}",
            hint="Name a file or folder in it.",
        )
    return path
