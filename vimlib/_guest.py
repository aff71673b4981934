"""Programs and files inside a guest, by its VMware Tools (GuestOperationsManager, API 5.0).

Files travel over HTTP, by URLs that the host gives for one transfer each. Only the connected host is
trusted, by the trust of its connection: a URL's `*` stands for it, and one that names another host is
refused. No cookie is sent, since the URL's token authorizes the transfer.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
from contextlib import asynccontextmanager
from math import isinf
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib._arguments import check_argument
from vimlib._collector import get
from vimlib._collector.bounds import PageCheck
from vimlib._collector.owned import acquire, release
from vimlib._datastore.source import opened
from vimlib._repr import robust
from vimlib._secret import Secret, forgetful
from vimlib._text import printable
from vimlib._transport.address import parse_address
from vimlib._transport.http import HTTPRequest
from vimlib._transport.pace import Breach, Deadline
from vimlib.errors import (
    NotFoundError,
    ProtocolError,
    TransferCorruptError,
    TransferRejectedError,
    UsageError,
    VersionError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from vimlib._collector import Context
    from vimlib._datastore.source import Source
    from vimlib._progress import Progress
    from vimlib._transport.network import HTTPTransport

# Files in one ListFilesInGuest; the rest is requested with an index.
_LISTED: Final = 500


class GuestManagers:
    """The managers of guest operations of one host, looked up once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._found: tuple[vim25.GuestProcessManager, vim25.GuestFileManager] | None = None

    async def find(self) -> tuple[vim25.GuestProcessManager, vim25.GuestFileManager]:
        """Return them. Raises `VersionError` before API 5.0. Cancelling loses nothing."""
        if self._found is None:
            manager = self._context.content.guestOperationsManager
            if manager is None:
                raise VersionError(
                    f"{self._context.invoker.host} has no guest operations",
                    hint="They need API 5.0.",
                    item="GuestOperationsManager",
                    needs="5.0",
                    speaks=self._context.api_version,
                )
            row = await get(self._context, manager, "processManager", "fileManager")
            processes, files = row.props.get("processManager"), row.props.get("fileManager")
            if processes is None or files is None:
                raise NotFoundError(
                    "the host has no manager of guest processes or files",
                    kind="GuestOperationsManager",
                )
            self._found = self._context.bind(processes), self._context.bind(files)
        return self._found


class GuestSession:
    """The guest of one machine, as one of its users."""

    def __init__(
        self,
        context: Context,
        transport: HTTPTransport,
        vm: vim25.VirtualMachine,
        username: str,
        password: str | Secret,
    ) -> None:
        check_argument("vm", vm, vim25.VirtualMachine, "a virtual machine")
        self.vm = vm
        self.username = username
        self._password = Secret(password)
        self._context = context
        self._transport = transport

    def _auth(self) -> vim25.NamePasswordAuthentication:
        return vim25.NamePasswordAuthentication(
            interactiveSession=False, username=self.username, password=self._password.reveal()
        )

    async def _processes(self) -> vim25.GuestProcessManager:
        return (await self._context.once(GuestManagers).find())[0]

    async def _files(self) -> vim25.GuestFileManager:
        return (await self._context.once(GuestManagers).find())[1]

    # -- programs ------------------------------------------------------------------------------

    @forgetful
    async def start(
        self,
        program: str,
        arguments: str = "",
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Start a program and return its process id (`StartProgramInGuest`).

        On Linux the Tools pass program and arguments to `/bin/sh -c`, so redirections work; on Windows
        they are a command line. Its end is in `processes` for about five minutes. Cancelling
        leaves it unknown whether it was started.

        Raises:
            UsageError: A name in `env` is empty or has `=`.
            InvalidGuestLogin, GuestPermissionDenied, GuestOperationsUnavailable, FileNotFound: The
                guest's refusal.
            OutcomeUnknownError: The reply was lost; it may run.
        """
        for name in env or {}:
            if not name or "=" in name:
                raise UsageError(
                    f"names of variables must not contain '=', got {printable(name)!r}"
                )
        spec = vim25.GuestProgramSpec(
            programPath=program,
            arguments=arguments,
            workingDirectory=cwd,
            envVariables=[f"{name}={value}" for name, value in (env or {}).items()],
        )
        manager = await self._processes()
        return await manager.StartProgramInGuest(self.vm, self._auth(), spec)

    @forgetful
    async def processes(self, pids: Sequence[int] = ()) -> list[vim25.GuestProcessInfo]:
        """Return processes, all or those of `pids` that are known. Cancelling loses nothing."""
        manager = await self._processes()
        return await manager.ListProcessesInGuest(self.vm, self._auth(), pids=list(pids))

    @forgetful
    async def kill(self, pid: int) -> None:
        """Kill a process; one that has ended is not an error (`TerminateProcessInGuest`)."""
        manager = await self._processes()
        try:
            await manager.TerminateProcessInGuest(self.vm, self._auth(), pid=pid)
        except vim25.GuestProcessNotFound:
            return

    # -- files ---------------------------------------------------------------------------------

    @forgetful
    async def make_temporary_folder(self, prefix: str = "vimlib-") -> str:
        """Make a folder with a name of its own and return its path."""
        manager = await self._files()
        return await manager.CreateTemporaryDirectoryInGuest(
            self.vm, self._auth(), prefix=prefix, suffix=""
        )

    @forgetful
    async def remove_folder(self, path: str) -> None:
        """Remove a folder with its contents; a missing one is not an error."""
        manager = await self._files()
        try:
            await manager.DeleteDirectoryInGuest(
                self.vm, self._auth(), directoryPath=path, recursive=True
            )
        except vim25.FileNotFound:
            return

    @forgetful
    async def stat(self, path: str) -> list[vim25.GuestFileInfo]:
        """Return a file, or the entries of a folder. Cancelling loses nothing.

        Raises:
            FileNotFound, GuestPermissionDenied, ...: The guest's refusal.
            ProtocolError: A page of the listing has no file that earlier ones lack.
            LimitError: The listing has more than `Limits.objects` files.
        """
        manager = await self._files()
        found: list[vim25.GuestFileInfo] = []
        pages = PageCheck(self._context.invoker.host, self._context.most_objects)
        while True:
            part = await manager.ListFilesInGuest(
                self.vm, self._auth(), filePath=path, index=len(found), maxResults=_LISTED
            )
            found += part.files or []
            if not part.remaining or not part.files:
                return found
            pages.page((("file", one.path) for one in part.files), str(len(found)))

    @forgetful
    async def upload(
        self,
        path: str,
        source: Source,
        *,
        size: int | None = None,
        overwrite: bool = False,
        mode: int | None = None,
        timeout: float | None = None,
        on_progress: Progress | None = None,
    ) -> int:
        """Write a file and return its size, which is then read back.

        Args:
            path: Absolute path in the guest.
            source: Bytes, a path of this computer, or chunks with `size`.
            size: Bytes of `source`.
            overwrite: Replace an existing file.
            mode: Permissions on Linux, as `0o600`; None leaves the guest's default.
            timeout: Seconds for all of it; `Timeouts.transfer` if None.
            on_progress: Called with the bytes that have just left.

        Raises:
            FileAlreadyExists, GuestPermissionDenied, ...: The guest's refusal.
            TransferRejectedError: The host refused the transfer.
            TransferCorruptError: The guest's file has another size.
            DeadlineError, TransportError: The transfer failed; the file may be incomplete.

        Cancelling closes the connection; the file may be incomplete.
        """
        body, length = await opened(source, size)
        end = self._end(timeout)
        manager = await self._files()
        attributes: vim25.GuestFileAttributes = vim25.GuestFileAttributes()
        if mode is not None:
            attributes = vim25.GuestPosixFileAttributes(permissions=mode)
        if length == 0:
            # A host answers an empty body by HTTP 500 (vmware/govmomi#1618).
            await self._make_empty(manager, path, attributes, overwrite=overwrite)
            return 0
        url = await manager.InitiateFileTransferToGuest(
            self.vm,
            self._auth(),
            guestFilePath=path,
            fileAttributes=attributes,
            fileSize=length,
            overwrite=overwrite,
        )
        request = HTTPRequest(
            method="PUT",
            target=self._target(url),
            headers={"Content-Type": "application/octet-stream"},
            body=body,
            length=length,
            on_sent=on_progress,
            end=end,
        )
        async with self._within(end, "upload"), self._transport.http(request) as reply:
            if reply.status not in (200, 201):
                raise _rejected("take", path, reply.status, await reply.excerpt())
        actual = await self._size(path)
        if actual != length:
            raise TransferCorruptError(
                f"the guest accepted {printable(path)} but has {actual} of {length} bytes",
                hint="Start the transfer again.",
                path=path,
                expected=length,
                actual=actual,
                outcome="unknown",
            )
        return length

    async def _size(self, path: str) -> int | None:
        """Return the size of a file; None where the listing does not have it."""
        found = next(iter(await self.stat(path)), None)
        size: int | None = getattr(found, "size", None)
        return size

    async def _make_empty(
        self,
        manager: vim25.GuestFileManager,
        path: str,
        attributes: vim25.GuestFileAttributes,
        *,
        overwrite: bool,
    ) -> None:
        folder = (
            path.rpartition("\\")[0]
            if "\\" in path and "/" not in path
            else posixpath.dirname(path)
        )
        create = manager.CreateTemporaryFileInGuest(
            self.vm, self._auth(), prefix="vimlib-", suffix="", directoryPath=folder or "/"
        )
        made = await acquire("a temporary file", create, self._remove_file)
        try:
            await manager.MoveFileInGuest(
                self.vm, self._auth(), srcFilePath=made, dstFilePath=path, overwrite=overwrite
            )
        except BaseException:
            await release("a temporary file", self._remove_file(made))
            raise
        if isinstance(attributes, vim25.GuestPosixFileAttributes):
            await manager.ChangeFileAttributesInGuest(
                self.vm, self._auth(), guestFilePath=path, fileAttributes=attributes
            )

    @forgetful
    async def _remove_file(self, path: str) -> None:
        manager = await self._files()
        await manager.DeleteFileInGuest(self.vm, self._auth(), filePath=path)

    @asynccontextmanager
    async def download(
        self, path: str, *, timeout: float | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read a file: ``async with guest.download(path) as chunks``.

        The size that the Tools state for a transfer may be wrong, with as few bytes sent
        (vmware/open-vm-tools#558), so the guest's listings before and after it count. A file may grow
        between them. Cancelling closes the connection.

        Raises:
            FileNotFound, GuestPermissionDenied, ...: The guest's refusal.
            TransferRejectedError: The host refused the transfer.
            TransferCorruptError: Other than the listed number of bytes came; raised at their end.
            DeadlineError, TransportError: The transfer failed or ended early.
        """
        end = self._end(timeout)
        listed = await self._size(path)
        request = HTTPRequest(method="GET", target=self._target(await self._source(path)), end=end)
        async with self._within(end, "download"), self._transport.http(request) as reply:
            if reply.status != 200:
                raise _rejected("send", path, reply.status, await reply.excerpt())
            yield self._confirmed(reply.chunks(), path, listed)

    async def _confirmed(
        self, chunks: AsyncIterator[bytes], path: str, before: int | None
    ) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in chunks:
            received += len(chunk)
            yield chunk
        after = await self._size(path)
        least, most = before or 0, after or 0
        if not min(least, most) <= received <= most:
            raise TransferCorruptError(
                f"the guest has {printable(path)} with {most} bytes, {received} came",
                hint="Start the transfer again.",
                path=path,
                expected=most,
                actual=received,
                outcome="refused",
            )

    @forgetful
    async def _source(self, path: str) -> str:
        manager = await self._files()
        found = await manager.InitiateFileTransferFromGuest(
            self.vm, self._auth(), guestFilePath=path
        )
        return found.url

    def _target(self, url: str) -> str:
        """Return path and query of a transfer's URL. Raises `ProtocolError` for another host."""
        match = re.fullmatch(r"https?://([^/?#]+)(/guestFile\?[!-~]+)", url or "")
        if match is None:
            raise ProtocolError("the host gave an invalid URL for a file of the guest")
        where, target = match[1], match[2]
        if where.partition(":")[0] != "*":
            try:
                named = parse_address(f"https://{where}")
            except UsageError:
                named = None
            if named is None or named.netloc != self._transport.address.netloc:
                raise ProtocolError(
                    f"the host refers to {printable(where, 80)} for a file of the guest",
                    hint="Connect to the ESX host itself: no other host is trusted.",
                )
        return target

    def _end(self, timeout: float | None) -> Deadline:
        now = asyncio.get_running_loop().time()
        return Deadline.of(timeout, self._transport.timeouts.transfer, "transfer", now)

    @asynccontextmanager
    async def _within(self, end: Deadline, verb: Any) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout_at(None if isinf(end.until) else end.until):
                yield
        except TimeoutError as error:
            if isinstance(error, VimlibError):
                raise
            netloc = self._transport.address.netloc
            raise Breach(end.rule, end.seconds, 0).error(verb, netloc) from None

    @robust
    def __repr__(self) -> str:
        return f"<GuestSession of {self.vm.moref[1]} as {self.username}>"


def _rejected(verb: str, path: str, status: int, excerpt: str) -> TransferRejectedError:
    return TransferRejectedError(
        f"the host refused to {verb} {printable(path)} of the guest: HTTP {status}"
        + (f": {excerpt}" if excerpt else ""),
        path=path,
        status=status,
        excerpt=excerpt,
        outcome="unknown" if status >= 500 else "refused",
    )
