"""A new file of this computer: written under a temporary name, and there only if all of it is."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from vimdriver._images.worker import Worker
from vimdriver.errors import LocalFileError
from vimlib._shield import finish

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from vimdriver._images.formats import Extent

T = TypeVar("T")

_PIECE: Final = 1 << 20


class NewFile:
    """A file to come. Use it with ``async with``: leaving removes whatever was not published.

    Blocking calls run in a thread, one at a time; cancelling waits for the one that runs. A killed process
    leaves the temporary file, `.NAME.TOKEN.part`.

    Args:
        path: Its path; the folder must exist.
        overwrite: Replace a file of that name.
        executor: Executor of the blocking calls; None means the loop's default.
    """

    def __init__(
        self, path: Path, *, overwrite: bool = False, executor: Executor | None = None
    ) -> None:
        self.path = path
        self.overwrite = overwrite
        self._part = path.with_name(f".{path.name[:200]}.{os.urandom(8).hex()}.part")
        self._descriptor = -1
        self._worker = Worker[Any](executor)

    async def __aenter__(self) -> Self:
        """Make the temporary file.

        Raises:
            LocalFileError: It cannot be made, or a file of that name is there.
        """
        try:
            await self.run(self._create)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._worker:
            pass  # a call that was cancelled has ended
        await finish(asyncio.to_thread(self._remove), what=f"removing {str(self._part)!r}")

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call a blocking function in a thread. Cancelling waits for it.

        Raises:
            LocalFileError: It raised `OSError`.
        """
        self.start(function, *args)
        result: T = await self.settle()
        return result

    def start(self, function: Callable[..., Any], *args: object) -> None:
        """Start a blocking call in the thread; `settle` waits for it."""
        self._worker.start(function, *args)

    async def settle(self) -> Any:
        """Return the result of the call that was started, None without one. Raises and waits as `run`."""
        if not self._worker.busy():
            return None
        try:
            return await self._worker.result()
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error

    def place(self, pieces: Iterable[Extent]) -> None:
        """Write pieces at their offsets. Blocking."""
        for piece in pieces:
            at, view = piece.offset, memoryview(piece.data)
            while len(view):
                count = os.pwrite(self._descriptor, view, at)
                at, view = at + count, view[count:]

    async def close(self, size: int) -> str:
        """Give the file its size, store it safely, and return its SHA-256. Cancelling waits."""
        return await self.run(self._close, size)

    async def publish(self) -> None:
        """Give the file its name.

        Raises:
            LocalFileError: A file of that name is there by now.
        """
        await self.run(self._publish)

    def withdraw(self) -> None:
        """Remove the file again that `publish` has made. Blocking."""
        self.path.unlink(missing_ok=True)

    def _error(self, reason: str) -> LocalFileError:
        return LocalFileError(path=str(self.path), reason=reason)

    def _create(self) -> None:
        if not self.overwrite and os.path.lexists(self.path):
            raise self._error("there is a file of that name")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._part, flags, 0o666)

    def _close(self, size: int) -> str:
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        hasher = hashlib.sha256()
        at = 0
        while data := os.pread(self._descriptor, _PIECE, at):
            hasher.update(data)
            at += len(data)
        if at != size:
            raise self._error(f"it must have {size} bytes, got {at}")
        return hasher.hexdigest()

    def _publish(self) -> None:
        if self.overwrite:
            self._part.replace(self.path)
            return
        try:
            os.link(self._part, self.path)  # unlike a rename, it never replaces a file
        except FileExistsError:
            raise self._error("there is a file of that name") from None
        except OSError:  # a file system without hard links
            if os.path.lexists(self.path):
                raise self._error("there is a file of that name") from None
            self._part.rename(self.path)

    def _remove(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._part.unlink(missing_ok=True)
