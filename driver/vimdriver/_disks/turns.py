"""One at a time within a process: a caller that wants a disk that is being made waits for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0


# A lock belongs to one event loop. The server is not asked: several clients of it share the turns.
_TURNS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _Turn]]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def turn(host: str, path: str) -> AsyncIterator[None]:
    """Hold the turn for a path of a host. Cancelling leaves the queue."""
    turns = _TURNS.setdefault(asyncio.get_running_loop(), {})
    mine = turns.setdefault((host, path), _Turn())
    mine.wanted += 1
    try:
        async with mine.lock:
            yield
    finally:
        mine.wanted -= 1
        if not mine.wanted:
            del turns[host, path]
