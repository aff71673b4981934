"""Files that are written as they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from vimlib.simulator._datastore import usage

if TYPE_CHECKING:
    from vimlib.simulator._datastore import Datastore
    from vimlib.simulator._world import World

__all__ = ["FileSink"]

_BATCH = 1 << 20
"""Bytes that are gathered before a thread writes them: a hop costs more than a copy of a packet."""


class FileSink:
    """A file of a datastore that is written from its start; what was there is cut away first.

    What has come stays if the writer gives up: a host removes no partial file.
    """

    def __init__(self, world: World, store: Datastore, path: str) -> None:
        self.world = world
        self.store = store
        self.path = path
        self.size = 0
        """Bytes that were taken."""
        self._file: BinaryIO | None = None
        self._given_up = False
        self._waiting: list[bytes] = []
        self._waits = 0

    async def open(self) -> None:
        """Create or cut the file. Raises `OSError`."""
        place = self.store.local(self.path)

        def start() -> None:
            file = self._file = place.open("wb", buffering=0)
            if self._given_up:  # nobody waited for it
                file.close()

        await self.store.work(start, touched=[self.path])

    async def write(self, data: bytes) -> None:
        """Take `data`. Raises `NoDiskSpace` when the datastore is full."""
        self.store.require(len(data))
        self.store.grow(len(data))
        self.size += len(data)
        self._waiting.append(data)
        self._waits += len(data)
        if self._waits >= _BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        if self._waiting and self._file is not None:
            waiting, self._waiting, self._waits = self._waiting, [], 0
            await self.world.io(_write_all, self._file, waiting)

    async def close(self) -> None:
        """Write what waits and close; the datastore tells its new free space."""
        self._given_up = True
        try:
            await self.flush()
        finally:
            file, self._file = self._file, None
            if file is not None:
                file.close()
            # The extent of a thin disk takes less than was sent.
            taken = await self.world.io(usage, self.store.local(self.path))
            self.store.grow(taken - self.size)
            self.store.changed("summary", "info")


def _write_all(file: BinaryIO, chunks: list[bytes]) -> None:
    data = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
    while data:
        written = file.write(data)
        data = data[written:]
