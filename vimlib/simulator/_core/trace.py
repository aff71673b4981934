"""The trace: a line of JSON for each call that ended."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from vimlib.model._data import show

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO

    from vimlib.simulator._core.call import CallRecord
    from vimlib.simulator._core.registry import Registry


class Trace:
    """A file to which calls are appended, in the order of their ends; writing holds up no call."""

    def __init__(self, registry: Registry, path: Path) -> None:
        self._registry = registry
        self._path = path
        self._file: TextIO | None = None
        self._lines: list[str] = []
        self._flushing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the file, which only its owner may read. Raises `OSError`."""

        def start() -> TextIO:
            self._path.touch(mode=0o600)
            return self._path.open("a", encoding="utf-8")

        self._file = await self._registry.io(start)

    def add(self, record: CallRecord) -> None:
        """Add a call. Passwords are not in a record, and other secrets are masked."""
        line = {
            "method": record.method,
            "this": ":".join(record.this),
            "args": {
                name: show(value) for name, value in record.args.items() if value not in (None, [])
            },
            "session": record.session,
            "fault": record.fault,
            "seconds": round(self._registry.clock.monotonic() - record.time, 6),
        }
        self._lines.append(json.dumps(line) + "\n")
        if self._flushing is None or self._flushing.done():
            self._flushing = self._registry.spawn(self._flush(), "simulated host's trace")

    async def _flush(self) -> None:
        while self._lines and self._file is not None:
            lines, self._lines = self._lines, []
            await self._registry.io(_write, self._file, "".join(lines))

    async def close(self) -> None:
        """Write the rest, and close."""
        await self._flush()
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _write(file: TextIO, text: str) -> None:
    file.write(text)
    file.flush()
