"""The connections to one host, shared by calls, transfers and long polls. Decides; opens nothing.

The longest wait is served first, whatever its kind, except that each kind leaves the others
a share: a transfer may last for hours and needs calls (a login, the heartbeat of an NFC
lease), so transfers and polls together never take the last connections, and neither takes all that
is left. Calls need no other connection to end, so they may take all that are free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from vimlib.errors import ClosedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind: TypeAlias = Literal["call", "transfer", "poll"]

KINDS: Final[tuple[Kind, ...]] = ("call", "transfer", "poll")
LEAST: Final = len(KINDS)

_urgent: ContextVar[bool] = ContextVar("vimlib urgent", default=False)


@contextmanager
def urgent() -> Iterator[None]:
    """Serve the calls of the block before all others that wait for a connection.

    For what gives something back (destroying, undoing, releasing) and for what all others wait for (a login).
    Tasks that are started in the block inherit it. Transfers and long polls wait in turn all the same.
    """
    token = _urgent.set(True)
    try:
        yield
    finally:
        _urgent.reset(token)


class ConnectionBudget:
    """Who may have a connection. Raises `UsageError` for a `limit` below 3."""

    def __init__(self, limit: int) -> None:
        if limit < LEAST:
            raise UsageError(
                f"connections must be at least {LEAST}, got {limit}",
                hint="A call, a transfer and a long poll each need one at the same time.",
                field="connections",
            )
        self.limit = limit
        self.used: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self.granted = 0
        """Counts the connections that were given to those who waited."""
        self._closed = False
        share = max(1, limit // 8)
        lasting = limit - max(1, limit // 4)
        # Most connections of transfers and polls together, and of each of them.
        self._lasting = lasting
        self._most: dict[Kind, int] = {
            "call": limit,
            "transfer": lasting - share,
            "poll": lasting - share,
        }
        self._tickets = count()
        # By urgency and kind; in each, tickets rise.
        self._queues: dict[tuple[bool, Kind], deque[tuple[int, asyncio.Future[None]]]] = {
            (late, kind): deque() for late in (False, True) for kind in KINDS
        }

    @property
    def total(self) -> int:
        """Connections that are taken."""
        return sum(self.used.values())

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(queue) for queue in self._queues.values())

    def _allows(self, kind: Kind) -> bool:
        used = self.used
        if used["call"] + used["transfer"] + used["poll"] >= self.limit:
            return False
        return used[kind] < self._most[kind] and (
            kind == "call" or used["transfer"] + used["poll"] < self._lasting
        )

    def take(self, kind: Kind) -> bool:
        """Take a connection if there is one; those that wait have had their turn by then."""
        if self._closed:
            raise ClosedError("the transport is closed")
        if not self._allows(kind):
            return False
        self.used[kind] += 1
        return True

    async def acquire(self, kind: Kind, patience: float | None = None) -> None:
        """Take a connection, waiting in turn. Cancelling gives it to the next one.

        Raises:
            ClosedError: The transport was closed.
            TimeoutError: None was given to anybody for `patience` seconds.
        """
        if self.take(kind):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (next(self._tickets), turn)
        queue = self._queues[not (kind == "call" and _urgent.get()), kind]
        queue.append(place)
        try:
            while not turn.done():
                granted = self.granted
                await asyncio.wait([turn], timeout=patience)
                if not turn.done() and granted == self.granted:
                    raise TimeoutError
        except BaseException:
            if turn.done():
                self.release(kind)
            else:
                queue.remove(place)
            raise
        if self._closed:
            self.release(kind)
            raise ClosedError("the transport is closed")

    def release(self, kind: Kind) -> None:
        """Give a connection back."""
        self.used[kind] -= 1
        while (queue := self._next()) is not None:
            _, turn = queue[1].popleft()
            self.used[queue[0]] += 1
            self.granted += 1
            turn.set_result(None)

    def _next(self) -> tuple[Kind, deque[tuple[int, asyncio.Future[None]]]] | None:
        """Return the queue whose first may go now: urgent ones before others, then the oldest."""
        ready = [
            ((late, queue[0][0]), kind, queue)
            for (late, kind), queue in self._queues.items()
            if queue and self._allows(kind)
        ]
        if not ready:
            return None
        _, kind, queue = min(ready, key=lambda each: each[0])
        return kind, queue

    def close(self) -> None:
        """Refuse those that wait and those that come later."""
        self._closed = True
        for (_, kind), queue in self._queues.items():
            while queue:
                _, turn = queue.popleft()
                self.used[kind] += 1
                turn.set_result(None)
