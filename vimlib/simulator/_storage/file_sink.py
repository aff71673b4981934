"""Files that are written as they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from vimlib.simulator._storage.datastore import usage

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._storage.datastore import Datastore

_BATCH = 1 << 20
"""Bytes that are gathered before a thread writes them: a hop costs more than a copy of a packet."""


class FileSink:
    """A file of a datastore that is written from its start, after truncation.

    Received bytes stay if the writer gives up: a host does not remove a partial file.
    """

    def __init__(self, registry: Registry, store: Datastore, path: str) -> None:
        self.registry = registry
        self.store = store
        self.path = path
        self.size = 0
        """Bytes that were taken."""
        self._file: BinaryIO | None = None
        self._given_up = False
        self._waiting: list[bytes] = []
        self._waits = 0

    async def open(self) -> None:
        """Create or truncate the file. Raises `OSError`."""
        place = self.store.local(self.path)

        def start() -> None:
            file = self._file = place.open("wb", buffering=0)
            if self._given_up:  # the caller has gone
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
        """Write the buffered bytes."""
        if self._waiting and self._file is not None:
            waiting, self._waiting, self._waits = self._waiting, [], 0
            await self.registry.io(_write_all, self._file, waiting)

    async def close(self) -> None:
        """Write the buffered bytes and close; the datastore reports its new free space."""
        self._given_up = True
        try:
            await self.flush()
        finally:
            file, self._file = self._file, None
            if file is not None:
                file.close()
            # The extent of a thin disk takes less space than its size.
            taken = await self.registry.io(usage, self.store.local(self.path))
            self.store.grow(taken - self.size)
            self.store.changed("summary", "info")


def _write_all(file: BinaryIO, chunks: list[bytes]) -> None:
    data = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
    while data:
        written = file.write(data)
        data = data[written:]
