"""One at a time within a process: a caller that wants a disk that is being made waits for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from vimdriver._verbs.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Turns belong to one event loop. The server is not asked: several clients of it share them.
_TURNS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Turns[tuple[str, str]]]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def turn(host: str, path: str) -> AsyncIterator[None]:
    """Hold the turn for a path of a host. Cancelling leaves the queue."""
    turns = _TURNS.setdefault(asyncio.get_running_loop(), Turns())
    await turns.take((host, path))
    try:
        yield
    finally:
        turns.give((host, path))
