"""Turns: verbs that work on one object go one after another. No I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")


class Turns(Generic[K]):
    """A queue for each key; keys that nobody works on take no memory.

    First come, first served, except that a caller with `first` goes before all that wait.
    """

    def __init__(self) -> None:
        self._queues: dict[K, deque[asyncio.Future[None]]] = {}
        """Those that wait, for each key that somebody works on."""

    def __len__(self) -> int:
        return len(self._queues)

    def __contains__(self, key: object) -> bool:
        """Return whether somebody works on `key`."""
        return key in self._queues

    async def take(self, key: K, *, first: bool = False) -> bool:
        """Wait for the turn at `key`, which `give` ends; return whether somebody had it. Cancelling gives it up."""
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque()
            return False
        mine = asyncio.get_running_loop().create_future()
        if first:
            queue.appendleft(mine)
        else:
            queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # it was given in the same moment
                self.give(key)
            elif mine in queue:  # `give` may have passed it over already
                queue.remove(mine)
            raise
        return True

    def give(self, key: K) -> None:
        """Give the turn at `key` to the next that waits."""
        queue = self._queues[key]
        while queue:
            following = queue.popleft()
            if not following.done():
                following.set_result(None)
                return
        del self._queues[key]
