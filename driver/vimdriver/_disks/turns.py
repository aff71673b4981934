"""One at a time within a process: a caller that wants a disk that is being made waits for it, and gets it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from vimdriver._verbs.turns import Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimdriver._disks.ensured import EnsuredDisk


@dataclass(slots=True)
class DiskTurn:
    """A turn at a path."""

    disk: EnsuredDisk | None = None
    """The disk of whoever had the turn before, for a caller that waited; then what the next one gets."""


class _Paths:
    """The paths of all hosts that somebody works on."""

    def __init__(self) -> None:
        self.turns: Turns[tuple[str, str]] = Turns()
        self.made: dict[tuple[str, str], EnsuredDisk | None] = {}
        """What there is for those that wait now; who comes later looks for himself."""


# Turns belong to one event loop. The server is not asked: several clients of it share them.
_PATHS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Paths]] = WeakKeyDictionary()


@asynccontextmanager
async def turn(host: str, path: str) -> AsyncIterator[DiskTurn]:
    """Hold the turn for a path of a host. Cancelling leaves the queue."""
    paths, key = _PATHS.setdefault(asyncio.get_running_loop(), _Paths()), (host, path)
    waited = await paths.turns.take(key)
    mine = DiskTurn(paths.made.get(key) if waited else None)
    try:
        yield mine
    finally:
        paths.turns.give(key)
        if key in paths.turns:
            paths.made[key] = mine.disk
        else:
            paths.made.pop(key, None)
