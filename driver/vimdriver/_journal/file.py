"""A journal in a file: open entries survive the process, and a crash of its computer.

Each entry is a line that is on the disk (`fsync`) before its step begins. Writing blocks for as long
as the disk takes, so it happens in a thread of asyncio's default executor (`asyncio.to_thread`), one
write at a time. The file is locked (`flock`) as long as the journal is open: only the lock
distinguishes entries of an ended process from those of a running one, so one file is for one process.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from vimdriver._journal.entries import NotAJournalError, begin_line, done_line, render, replay
from vimdriver._journal.memory import Ledger
from vimdriver.errors import (
    JournalError,
    JournalFormatError,
    JournalLockedError,
    PlatformUnsupportedError,
)
from vimlib._repr import robust
from vimlib._shield import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vimdriver._journal.entries import Entry

T = TypeVar("T")

log = logging.getLogger("vimdriver.journal")

# Thousands of spawns fit in; a longer file is rewritten with the open entries alone. It is rewritten
# only when it is four times as long as those, so that rewriting costs little per entry.
_COMPACT_AT: Final = 64 << 10
_COMPACT_TIMES: Final = 4
# Far more than a journal can reach; the path must be a disk image's.
_LARGEST: Final = 64 << 20
# Another process may replace it between our open and our lock.
_TRIES: Final = 100


class _File:
    """The file, open and locked. Every method blocks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._fd = -1

    def open(self) -> list[Entry]:
        """Open, lock and read it, created if missing; return its open entries."""
        if find_spec("fcntl") is None:
            raise PlatformUnsupportedError(
                feature="a journal in a file", needs="fcntl", hint="Use MemoryJournal, or none."
            )
        # Rewriting replaces the file itself, not a link to it, which would leave the old file there.
        self.path = Path(os.path.realpath(self.path))
        for _ in range(_TRIES):
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise JournalError(path=str(self.path), reason="not a regular file")
                _lock(fd)
                # Locked, but another file may have this name by now.
                if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                    self._fd, fd = fd, -1
                    return self._read()
            except FileNotFoundError:
                continue
            except BlockingIOError:
                raise JournalLockedError(path=str(self.path)) from None
            finally:
                if fd >= 0:
                    os.close(fd)
        raise JournalError(path=str(self.path), reason="the file is being replaced repeatedly")

    def _read(self) -> list[Entry]:
        size = os.fstat(self._fd).st_size
        if size > _LARGEST:
            raise JournalError(
                path=str(self.path),
                reason=f"a journal must have at most {_LARGEST} bytes, got {size}",
            )
        data = b""
        while chunk := os.pread(self._fd, 1 << 20, len(data)):
            data += chunk
        try:
            found = replay(data)
        except NotAJournalError:
            raise JournalFormatError(path=str(self.path)) from None
        if found.damaged:
            copy = self.path.with_name(self.path.name + ".damaged")
            _write_new(copy, data)
            log.warning(
                "lines %s of the journal %s are damaged; saved a copy as %s. The objects that they recorded may"
                " remain on a host: a sweep finds them by their marks, once they are old enough",
                found.damaged, self.path, copy,
            )  # fmt: skip
        entries = list(found.entries.values())
        self.size = len(data)
        if data != render(entries):
            self.rewrite(entries)
        return entries

    def append(self, line: bytes) -> None:
        """Append a line that is on the disk when this returns; if that fails, truncate it again."""
        found = os.fstat(self._fd)
        if not os.path.samestat(found, os.stat(self.path)):
            # Nobody would read this file again.
            raise OSError(errno.ESTALE, "the file was replaced by another one")
        if found.st_size != self.size:
            # A torn line, which could not be truncated, would garble this one.
            os.ftruncate(self._fd, self.size)
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(self._fd, view) :]
            os.fsync(self._fd)
        except OSError:
            with suppress(OSError):  # the next append tries again
                os.ftruncate(self._fd, self.size)
            raise
        self.size += len(line)

    def rewrite(self, entries: Sequence[Entry]) -> None:
        """Replace the file atomically by one with exactly these entries open."""
        data = render(entries)
        beside = self.path.with_name(self.path.name + ".new")
        fd = _write_new(beside, data, keep=True)
        try:
            # Locked before it has the name, so that no other process can lock it first.
            _lock(fd)
            os.replace(beside, self.path)
        except BaseException:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self.size = fd, len(data)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Close and unlock it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _lock(fd: int) -> None:
    """Lock a file for this process; raises `BlockingIOError` where another has it."""
    import fcntl  # not on Windows

    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_new(path: Path, data: bytes, *, keep: bool = False) -> int:
    """Write a file of this name, on the disk when this returns; return it open if `keep`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(path, flags, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        raise
    if not keep:
        os.close(fd)
    return fd


class FileJournal:
    """A `Journal` in a file, which is created if missing; for one process and one event loop.

    The first call opens it; `aclose` or leaving the block closes it. Opening raises
    `PlatformUnsupportedError` where files cannot be locked (Windows).

    ::

        async with FileJournal("/var/lib/esx/journal") as journal:
            async with ESXDriver(client, images, config, journal=journal) as driver:
                await driver.sweep()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: _File | None = None
        self._ledger = Ledger()
        self._turn = asyncio.Lock()

    @property
    def running(self) -> Sequence[Entry]:
        """See `Journal.running`."""
        return self._ledger.running

    async def begin(self, entry: Entry) -> None:
        """See `Journal.begin`."""
        await finish(self._begin(entry), what="writing the journal")

    async def done(self, token: str) -> None:
        """See `Journal.done`."""
        await finish(self._done(token), what="writing the journal")

    def abandon(self, token: str) -> None:
        """See `Journal.abandon`. Nothing is written: the next process that opens the file finds it open."""
        self._ledger.abandon(token)

    async def abandoned(self) -> Sequence[Entry]:
        """See `Journal.abandoned`. Cancelling loses nothing."""
        await finish(self._look(), what="reading the journal")
        return self._ledger.abandoned

    async def aclose(self) -> None:
        """Close and unlock the file. Cancelling waits for it."""
        await finish(self._close(), what="closing the journal")

    async def _look(self) -> None:
        async with self._turn:
            await self._opened()

    async def _begin(self, entry: Entry) -> None:
        async with self._turn:
            file = await self._opened()
            before = self._ledger.get(entry.token)
            was_running = self._ledger.is_running(entry.token)
            # Before it is written, so that a sweep in this process does not take it for abandoned.
            self._ledger.begin(entry)
            try:
                await self._do(file.append, begin_line(entry))
            except JournalError:
                self._ledger.restore(entry.token, before, running=was_running)
                raise

    async def _done(self, token: str) -> None:
        async with self._turn:
            file = await self._opened()
            if self._ledger.get(token) is None:
                return
            await self._do(file.append, done_line(token))
            self._ledger.done(token)
            if file.size > _COMPACT_AT:
                entries = self._ledger.open
                if file.size > _COMPACT_TIMES * len(render(entries)):
                    try:
                        await self._do(file.rewrite, entries)
                    except JournalError as error:
                        # It keeps growing until a later attempt succeeds; its entries are right.
                        log.warning("cannot compact the journal: %s", error)

    async def _close(self) -> None:
        async with self._turn:
            file, self._file, self._ledger = self._file, None, Ledger()
            if file is not None:
                await asyncio.to_thread(file.close)

    async def _opened(self) -> _File:
        if self._file is None:
            file = _File(self.path)
            try:
                self._ledger = Ledger(await self._do(file.open))
            except BaseException:
                file.close()
                raise
            self._file = file
        return self._file

    async def _do(self, work: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in a thread, and translate its errors."""
        try:
            return await asyncio.to_thread(work, *args)
        except OSError as error:
            raise JournalError(path=str(self.path), reason=error.strerror or str(error)) from error

    async def __aenter__(self) -> Self:
        await finish(self._look(), what="opening the journal")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @robust
    def __repr__(self) -> str:
        state = "closed" if self._file is None else f"with {len(self._ledger.open)} open"
        return f"<FileJournal {str(self.path)!r} {state}>"
