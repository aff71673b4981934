"""Connections for calls and long polls: kept, used again, closed when they rest too long.

How many there are, those of transfers included, is the matter of `budget`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from vimlib._transport.budget import ConnectionBudget
from vimlib.errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib._transport.budget import Kind
    from vimlib._transport.connection import Connection

# hostd closes idle connections after about 30 s; ours go first, so that no call meets one that is
# just being closed and has to be reported as "outcome unknown".
IDLE: Final = 12.0


class Pool:
    """Hands out connections: the one used last if any is idle, else a new one, within a budget."""

    def __init__(self, opener: Callable[[], Any], limit: int) -> None:
        self.budget = ConnectionBudget(limit)
        self._opener = opener
        self._idle: list[Connection] = []
        self._busy: dict[Connection, Kind] = {}
        self._opening = 0
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Connections that are open or being opened."""
        return len(self._idle) + len(self._busy) + self._opening

    def ready(self, *, poll: bool = False) -> Connection | None:
        """Take an idle connection, if there is one and the budget has room for it."""
        kind: Kind = "poll" if poll else "call"
        if not self._idle or self._closed or not self.budget.take(kind):
            return None
        connection = self._take_idle(kind)
        if connection is None:
            self.budget.release(kind)
        return connection

    def _take_idle(self, kind: Kind) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                self._busy[connection] = kind
                return connection
            connection.abort()
        return None

    async def acquire(self, *, poll: bool = False) -> Connection:
        """Take a connection, opening one or waiting for one. Cancelling loses none."""
        kind: Kind = "poll" if poll else "call"
        await self.budget.acquire(kind)
        connection = self._take_idle(kind)
        if connection is not None:
            return connection
        self._opening += 1
        try:
            self.make_room()
            connection = await self._open(kind)
        except BaseException:
            self.budget.release(kind)
            raise
        finally:
            self._opening -= 1
        return connection

    def make_room(self) -> None:
        """Close idle connections that the budget has given to others: the oldest first."""
        while self._idle and self.budget.total + len(self._idle) > self.budget.limit:
            self._idle.pop(0).abort()

    async def _open(self, kind: Kind) -> Connection:
        connection: Connection = await self._opener()
        if self._closed:
            connection.abort()
            raise ClosedError("the transport is closed")
        connection.on_lost = self._lost
        self._busy[connection] = kind
        return connection

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """Give a connection back."""
        kind = self._busy.pop(connection)
        if reusable and not self._closed:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
            if self._reaper is None:
                self._reaper = asyncio.get_running_loop().call_later(IDLE, self._reap)
        else:
            connection.abort()
        self.budget.release(kind)

    def _lost(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def _reap(self) -> None:
        """Close connections that have been idle for long."""
        self._reaper = None
        loop = asyncio.get_running_loop()
        old = [
            connection for connection in self._idle if loop.time() - connection.idle_since >= IDLE
        ]
        for connection in old:
            self._idle.remove(connection)
            connection.close()
        if self._idle:
            self._reaper = loop.call_at(self._idle[0].idle_since + IDLE, self._reap)

    def close(self) -> None:
        """Close all; exchanges that are under way end with `ConnectionLostError`."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        # A `close_notify` needs the loop to run on, and the caller may end it now.
        for connection in self._idle:
            connection.abort()
        for connection in list(self._busy):
            connection.abort()
        self._idle.clear()
        self.budget.close()
