"""Images in local files, read in a thread so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from vimdriver._images.ovf_set import OVFSet, is_descriptor
from vimdriver._images.source import CHUNK, ImageInfo
from vimdriver._images.worker import Worker
from vimdriver.errors import ImageNotFoundError, SourceReadError
from vimlib._repr import robust
from vimlib._shield import finish

if TYPE_CHECKING:
    from concurrent.futures import Executor


_HOLE: Final = bytes(CHUNK)
_MISSING: Final = "Check the path. An image in Glance requires --glance URL or OS_CLOUD."


class LocalBody:
    """An open file, read once and sequentially, one chunk ahead. Its holes are not read."""

    def __init__(self, info: ImageInfo, file: BinaryIO, worker: Worker[bytes]) -> None:
        self.info = info
        self._descriptor = file.fileno()
        self._worker = worker
        self._at = 0
        self._data = 0
        """The offset before which there is no data from `_at` on."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """See `ImageBody`. Reads one byte more than reported, to detect a file that grew."""
        worker = self._worker
        worker.start(self._read)
        while True:
            try:
                chunk = await worker.result()
            except OSError as error:
                raise SourceReadError(image=self.info.id, reason=error.strerror or "") from error
            if not chunk:
                return
            worker.start(self._read)
            yield chunk

    def _read(self) -> bytes:
        """Return the next chunk; b"" at the end. Blocking."""
        if self._data <= self._at:
            self._data = _next_data(self._descriptor, self._at)
        hole = self._data - self._at >= CHUNK
        # To read a hole would fill the system's page cache with zeros.
        chunk = _HOLE if hole else os.pread(self._descriptor, CHUNK, self._at)
        self._at += len(chunk)
        return chunk


def _next_data(descriptor: int, at: int) -> int:
    """Return the offset of the first data of a file from `at` on; its size if a hole is its end."""
    if not hasattr(os, "SEEK_DATA"):
        return at
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        # ENXIO: no data follows. Any other: the file system does not know.
        return os.fstat(descriptor).st_size if error.errno == errno.ENXIO else at


class LocalParts:
    """An open file, read from any offset. See `ImageParts`."""

    def __init__(self, info: ImageInfo, file: BinaryIO, worker: Worker[bytes]) -> None:
        self.info = info
        self._file = file
        self._worker = worker
        self._known = _stamp(file)

    async def read(self, start: int, stop: int) -> AsyncGenerator[bytes]:
        """See `ImageParts.read`."""
        while start < stop:
            self._worker.start(os.pread, self._file.fileno(), min(CHUNK, stop - start), start)
            try:
                chunk = await self._worker.result()
            except OSError as error:
                raise SourceReadError(image=self.info.id, reason=error.strerror or "") from error
            if not chunk or _stamp(self._file) != self._known:
                raise SourceReadError(image=self.info.id, reason="it changed while it was read")
            start += len(chunk)
            yield chunk


def _stamp(file: BinaryIO) -> tuple[int, int]:
    """Return what changes when somebody writes to a file. It takes no disk, so it needs no thread."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


class LocalImage:
    """One regular file.

    Args:
        path: The path of the file.
        executor: Executor of the reads; None means the loop's default executor.
    """

    def __init__(self, path: Path | str, *, executor: Executor | None = None) -> None:
        self.path = Path(path)
        self._executor = executor

    @robust
    def __repr__(self) -> str:
        return f"LocalImage({str(self.path)!r})"

    async def info(self) -> ImageInfo:
        """See `ImageSource.info`."""
        async with self.open() as body:
            return body.info

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LocalBody]:
        """See `ImageSource.open`."""
        async with self._opened() as (info, file), Worker[bytes](self._executor) as worker:
            yield LocalBody(info, file, worker)

    @asynccontextmanager
    async def parts(self) -> AsyncIterator[LocalParts]:
        """See `RangedSource.parts`. A file that is written to during the read is refused."""
        async with self._opened() as (info, file), Worker[bytes](self._executor) as worker:
            yield LocalParts(info, file, worker)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[ImageInfo, BinaryIO]]:
        # The thread itself pushes the file onto the stack, so that it is closed even if we are
        # cancelled after the open and before its result arrives.
        with ExitStack() as stack:
            loop = asyncio.get_running_loop()
            opening = loop.run_in_executor(self._executor, _open, self.path, stack)
            file = await finish(opening, what=f"opening {str(self.path)!r}")
            size = os.fstat(file.fileno()).st_size
            yield ImageInfo(id=self.path.name, name=self.path.name, size=size), file


class LocalImages:
    """The store of local files."""

    def __init__(self, *, executor: Executor | None = None) -> None:
        self._executor = executor

    def image(self, ref: str) -> LocalImage | OVFSet:
        """Return the source at the path `ref`; that of an OVF descriptor has the files next to it too."""
        path = Path(ref)
        if is_descriptor(path.name):
            return OVFSet(
                path.name, lambda name: LocalImage(path.parent / name, executor=self._executor)
            )
        return LocalImage(ref, executor=self._executor)


def _open(path: Path, stack: ExitStack) -> BinaryIO:
    try:
        # Non-blocking: opening a FIFO would wait for a writer, in a thread that cannot be
        # cancelled.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ImageNotFoundError(image=str(path), hint=_MISSING) from None
    except OSError as error:
        raise SourceReadError(image=str(path), reason=error.strerror or "") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceReadError(image=str(path), reason="not a regular file")
    return stack.enter_context(os.fdopen(descriptor, "rb", buffering=0))
