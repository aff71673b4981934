"""Connections for calls: kept, handed out in turn, closed when they rest too long.

A long poll keeps its connection until the host has an update, so it does not count towards the cap:
otherwise that many watches would block all other calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from vimlib.errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib._transport.connection import Connection

# hostd closes idle connections after about 30 s; ours go first, so that no call meets one that is
# just being closed and has to be reported as "outcome unknown".
IDLE: Final = 12.0


class Pool:
    """Hands out connections: the one used last if any is idle, a new one up to `limit`, else in turn.

    `poll` is for a long poll: not counted, and never made to wait.
    """

    def __init__(self, opener: Callable[[], Any], limit: int) -> None:
        self._opener = opener
        self._limit = limit
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._polls: set[Connection] = set()  # of the busy ones
        self._opening = self._opening_polls = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Connections that are open or being opened."""
        return len(self._idle) + len(self._busy) + self._opening

    @property
    def _room(self) -> bool:
        """Whether there may be one more connection for calls."""
        polls = len(self._polls) + self._opening_polls
        return len(self._busy) + self._opening - polls < self._limit

    def ready(self, *, poll: bool = False, first: bool = False) -> Connection | None:
        """Take an idle connection, if there is one and it is our turn: nobody waits, or `first`."""
        while self._idle and (first or not self._waiting) and (poll or self._room):
            connection = self._idle.pop()
            if connection.usable:
                self._busy.add(connection)
                if poll:
                    self._polls.add(connection)
                return connection
            connection.abort()
        return None

    async def acquire(self, *, poll: bool = False) -> Connection:
        """Take a connection, opening one or waiting for one. Cancelling loses none."""
        connection = self.ready(poll=poll)
        while connection is None:
            if self._closed:
                raise ClosedError("the transport is closed")
            if poll or self._room:
                return await self._open(poll)
            turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                handed = await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._pass_on(turn.result())
                raise
            finally:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
            if handed is not None and handed.usable:
                return handed
            if handed is not None:
                self._busy.discard(handed)
                handed.abort()
            connection = self.ready(poll=poll, first=True)
        return connection

    async def _open(self, poll: bool) -> Connection:
        self._opening += 1
        self._opening_polls += poll
        try:
            connection: Connection = await self._opener()
        except BaseException:
            self._opening -= 1
            self._opening_polls -= poll
            self._free()
            raise
        self._opening -= 1
        self._opening_polls -= poll
        if self._closed:
            connection.abort()
            raise ClosedError("the transport is closed")
        connection.on_lost = self._lost
        self._busy.add(connection)
        if poll:
            self._polls.add(connection)
        return connection

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """Give a connection back."""
        polled = connection in self._polls
        self._polls.discard(connection)
        self._busy.discard(connection)
        if not reusable or self._closed:
            connection.abort()
            self._free()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        if polled and not self._room:  # what waits is calls, and there are as many as may be
            self._rest(connection)
            return
        self._busy.add(connection)
        self._pass_on(connection)

    def _free(self) -> None:
        """Give the right to open one on, if there is one: the end of a poll makes none."""
        if self._room:
            self._pass_on(None)

    def _pass_on(self, connection: Connection | None) -> None:
        """Hand a connection, or the right to open one, to the longest waiting caller."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is not None:
            self._busy.discard(connection)
            self._rest(connection)

    def _rest(self, connection: Connection) -> None:
        self._idle.append(connection)
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(IDLE, self._reap)

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
        while self._waiting:
            self._pass_on(None)
