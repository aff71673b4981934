"""Connections for calls: kept, handed out in turn, closed when they rest too long.

A long poll keeps its connection for as long as the host has nothing to say, so it takes none of the
capped number: else as many watches as that would hold up all other calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from vimlib.errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib._transport.channel import Channel

__all__ = ["Pool"]

# hostd closes idle connections after about 30 s; ours go first, so that no call meets one that is
# just being closed and has to be reported as "outcome unknown".
IDLE: Final = 12.0


class Pool:
    """Hands out channels: the one used last if any is idle, a new one up to `limit`, else in turn.

    `poll` says that it is for a long poll: not counted, and never made to wait.
    """

    def __init__(self, opener: Callable[[], Any], limit: int) -> None:
        self._opener = opener
        self._limit = limit
        self._idle: list[Channel] = []
        self._busy: set[Channel] = set()
        self._polls: set[Channel] = set()  # of the busy ones
        self._opening = self._opening_polls = 0
        self._waiting: deque[asyncio.Future[Channel | None]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Channels that are open or being opened."""
        return len(self._idle) + len(self._busy) + self._opening

    @property
    def _room(self) -> bool:
        """Whether there may be one more channel for calls."""
        polls = len(self._polls) + self._opening_polls
        return len(self._busy) + self._opening - polls < self._limit

    def ready(self, *, poll: bool = False) -> Channel | None:
        """Take an idle channel, if there is one and nobody is before us."""
        return None if self._waiting else self._take_idle(poll)

    def _take_idle(self, poll: bool) -> Channel | None:
        while self._idle and (poll or self._room):
            channel = self._idle.pop()
            if channel.usable:
                self._busy.add(channel)
                if poll:
                    self._polls.add(channel)
                return channel
            channel.abort()
        return None

    async def acquire(self, *, poll: bool = False) -> Channel:
        """Take a channel, opening one or waiting for one. Cancelling loses none."""
        channel = self.ready(poll=poll)
        while channel is None:
            if self._closed:
                raise ClosedError("the transport is closed")
            if poll or self._room:
                return await self._open(poll)
            turn: asyncio.Future[Channel | None] = asyncio.get_running_loop().create_future()
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
            channel = self._take_idle(poll)  # it is our turn, whoever else waits
        return channel

    async def _open(self, poll: bool) -> Channel:
        self._opening += 1
        self._opening_polls += poll
        try:
            channel: Channel = await self._opener()
        except BaseException:
            self._opening -= 1
            self._opening_polls -= poll
            self._free()
            raise
        self._opening -= 1
        self._opening_polls -= poll
        if self._closed:
            channel.abort()
            raise ClosedError("the transport is closed")
        channel.on_lost = self._lost
        self._busy.add(channel)
        if poll:
            self._polls.add(channel)
        return channel

    def release(self, channel: Channel, *, reusable: bool) -> None:
        """Give a channel back."""
        polled = channel in self._polls
        self._polls.discard(channel)
        self._busy.discard(channel)
        if not reusable or self._closed:
            channel.abort()
            self._free()
            return
        channel.rested = asyncio.get_running_loop().time()
        if polled and not self._room:  # what waits is calls, and there are as many as may be
            self._rest(channel)
            return
        self._busy.add(channel)
        self._pass_on(channel)

    def _free(self) -> None:
        """Give the right to open one on, if there is one: the end of a poll makes none."""
        if self._room:
            self._pass_on(None)

    def _pass_on(self, channel: Channel | None) -> None:
        """Hand a channel, or the right to open one, to who waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(channel)
                return
        if channel is not None:
            self._busy.discard(channel)
            self._rest(channel)

    def _rest(self, channel: Channel) -> None:
        self._idle.append(channel)
        if self._reaper is None:
            self._reaper = asyncio.get_running_loop().call_later(IDLE, self._reap)

    def _lost(self, channel: Channel) -> None:
        if channel in self._idle:
            self._idle.remove(channel)

    def _reap(self) -> None:
        """Close what has been idle for long."""
        self._reaper = None
        loop = asyncio.get_running_loop()
        old = [channel for channel in self._idle if loop.time() - channel.rested >= IDLE]
        for channel in old:
            self._idle.remove(channel)
            channel.close()
        if self._idle:
            self._reaper = loop.call_at(self._idle[0].rested + IDLE, self._reap)

    def close(self) -> None:
        """Close all; exchanges that are under way end with `ConnectionLostError`."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        # A good-bye over TLS waits for the peer's, and whoever leaves us may end the loop before.
        for channel in self._idle:
            channel.abort()
        for channel in list(self._busy):
            channel.abort()
        self._idle.clear()
        while self._waiting:
            self._pass_on(None)
