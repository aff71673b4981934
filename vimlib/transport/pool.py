"""Connections for calls: kept, handed out in turn, closed when they rest too long."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from vimlib.errors import ClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.transport.channel import Channel

__all__ = ["Pool"]

# hostd closes idle connections after about 30 s; ours go first, so that no call meets one that is
# just being closed and has to be reported as "outcome unknown".
IDLE: Final = 12.0


class Pool:
    """Hands out channels: the one used last if any is idle, a new one up to `limit`, else in turn."""

    def __init__(self, opener: Callable[[], Any], limit: int) -> None:
        self._opener = opener
        self._limit = limit
        self._idle: list[Channel] = []
        self._busy: set[Channel] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[Channel | None]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Channels that are open or being opened."""
        return len(self._idle) + len(self._busy) + self._opening

    def ready(self) -> Channel | None:
        """Take an idle channel, if there is one and nobody is before us."""
        while self._idle and not self._waiting:
            channel = self._idle.pop()
            if channel.usable:
                self._busy.add(channel)
                return channel
            channel.abort()
        return None

    async def acquire(self) -> Channel:
        """Take a channel, opening one or waiting for one. Cancelling loses none."""
        while True:
            channel = self.ready()
            if channel is not None:
                return channel
            if self._closed:
                raise ClosedError("the transport is closed")
            if self.connections < self._limit:
                return await self._open()
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

    async def _open(self) -> Channel:
        self._opening += 1
        try:
            channel: Channel = await self._opener()
        except BaseException:
            self._opening -= 1
            self._pass_on(None)
            raise
        self._opening -= 1
        if self._closed:
            channel.abort()
            raise ClosedError("the transport is closed")
        channel.on_lost = self._lost
        self._busy.add(channel)
        return channel

    def release(self, channel: Channel, *, reusable: bool) -> None:
        """Give a channel back."""
        if not reusable or self._closed:
            self._busy.discard(channel)
            channel.abort()
            self._pass_on(None)
            return
        channel.rested = asyncio.get_running_loop().time()
        self._pass_on(channel)

    def _pass_on(self, channel: Channel | None) -> None:
        """Hand a channel, or the right to open one, to who waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(channel)
                return
        if channel is not None:
            self._busy.discard(channel)
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
