"""One long poll for all consumers of a host before API 4.1, where a session has one collector.

It has no task of its own. One of the waiting streams leads: it polls and delivers to each stream
the updates of its filters; when it has an update of its own or is cancelled, another takes over.
WaitForUpdates knows no longest wait, so the leader cancels it on the host after a while, and a dead peer is found out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib._collector.owned import GoneError, acquire, release
from vimlib._shield import stopped
from vimlib.errors import OutcomeUnknownError, SessionExpiredError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from vimlib._collector.context import Context
    from vimlib.errors import VimlibError

log = logging.getLogger("vimlib.collector")

# Object updates kept for a consumer that does not come for them. Beyond that they are dropped and
# the consumer reads everything again: the result is the same, and memory stays bounded.
BACKLOG: Final = 20_000


class SharedCollector:
    """The session's collector, its version, and the stream of each filter."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._version: str | None = None
        self._streams: dict[tuple[str, str], SharedUpdateStream] = {}
        # Filters being made: a poll may bring their first update before we know their names.
        self._making = 0
        self._early: dict[tuple[str, str], list[vim25.PropertyFilterUpdate]] = {}
        self._polling = False
        self._tick = asyncio.Event()

    def updates(self) -> SharedUpdateStream:
        """Return an update stream of its own filters."""
        return SharedUpdateStream(self)

    async def add(
        self, updates: SharedUpdateStream, spec: vim25.PropertyFilterSpec
    ) -> vim25.PropertyFilter:
        """Create a filter whose updates go to `updates`."""
        bind = self._context.bind

        async def undo(made: vim25.PropertyFilter) -> None:
            await bind(made).DestroyPropertyFilter()

        self._making += 1
        try:
            item = bind(await self._create(spec, undo))
            self._streams[item.moref] = updates
            early = self._early.pop(item.moref, None)
            if early:
                updates.deliver(early)
        finally:
            self._making -= 1
            if not self._making:
                self._early.clear()
        if self._polling:
            await self.wake()
        return item

    async def _create(
        self,
        spec: vim25.PropertyFilterSpec,
        undo: Callable[[vim25.PropertyFilter], Coroutine[Any, Any, None]],
    ) -> vim25.PropertyFilter:
        """Create a filter; when the reply is lost, another one, once.

        The first one may exist then. Its updates are ignored, and it ends with the session.
        """
        create = self._context.collector.CreateFilter
        try:
            return await acquire("a PropertyFilter", create(spec, partialUpdates=False), undo)
        except OutcomeUnknownError as lost:
            log.info("creating a filter again: %s", lost)
        return await acquire("a PropertyFilter", create(spec, partialUpdates=False), undo)

    def forget(self, item: vim25.PropertyFilter) -> None:
        """Stop handing out the updates of a filter."""
        self._streams.pop(item.moref, None)

    async def wake(self) -> None:
        """Make the poll return now."""
        await self._context.collector.CancelWaitForUpdates()

    async def serve(self, updates: SharedUpdateStream, seconds: int) -> None:
        """Return when `updates` may have something, or nothing has changed for `seconds`."""
        if self._polling:
            try:
                async with asyncio.timeout(seconds):
                    await self._tick.wait()
            except TimeoutError:
                return
        else:
            await self._lead(updates, seconds)

    async def _lead(self, updates: SharedUpdateStream, seconds: int) -> None:
        self._polling = True
        self._tick = asyncio.Event()
        try:
            update = await self._poll(seconds)
        except vim25.RequestCanceled:
            updates.woken = True
        except (
            vim25.ManagedObjectNotFound,
            vim25.InvalidCollectorVersion,
            SessionExpiredError,  # and the filters with it
        ) as fault:
            self._lose(fault)
        else:
            self._version = update.version or self._version
            self._hand_out(update.filterSet)
        finally:
            self._polling = False
            self._tick.set()

    async def _poll(self, seconds: int) -> vim25.UpdateSet:
        collector = self._context.collector
        poll = asyncio.ensure_future(collector.WaitForUpdates(version=self._version))
        try:
            done, _ = await asyncio.wait([poll], timeout=seconds)
            if not done:
                await self.wake()
            # The host answers a cancelled wait at once: with RequestCanceled, or with an update
            # that it was working out already.
            return await poll
        finally:
            if not poll.done():
                try:
                    await stopped(poll)
                finally:
                    await release("a wait for updates", self.wake())

    def _hand_out(self, sets: list[vim25.PropertyFilterUpdate]) -> None:
        for item in sets:
            updates = self._streams.get(item.filter.moref)
            if updates is not None:
                updates.deliver([item])
            elif self._making:
                self._early.setdefault(item.filter.moref, []).append(item)

    def _lose(self, fault: VimlibError) -> None:
        self._version = None
        self._early.clear()
        for updates in set(self._streams.values()):
            updates.lose(fault)


class SharedUpdateStream:
    """The part of the shared updates that belongs to one consumer."""

    def __init__(self, shared: SharedCollector) -> None:
        self._shared = shared
        self._filters: dict[tuple[str, str], vim25.PropertyFilter] = {}
        self._pending: list[vim25.PropertyFilterUpdate] = []
        self._backlog = 0
        self._lost: VimlibError | None = None
        self.woken = self.repeated = False

    def deliver(self, sets: list[vim25.PropertyFilterUpdate]) -> None:
        """Keep updates until the consumer polls."""
        self._pending.extend(sets)
        self._backlog += sum(len(item.objectSet) for item in sets)
        if self._backlog > BACKLOG:
            self.lose(vim25.InvalidCollectorVersion())

    def lose(self, fault: VimlibError) -> None:
        """Have the consumer read everything again."""
        self._lost = fault
        self._pending.clear()
        self._backlog = 0

    async def add(self, spec: vim25.PropertyFilterSpec) -> vim25.PropertyFilter:
        """Create a filter."""
        item = await self._shared.add(self, spec)
        self._filters[item.moref] = item
        return item

    async def remove(self, item: vim25.PropertyFilter) -> None:
        """Destroy a filter, if it still exists."""
        self._shared.forget(item)
        self._filters.pop(item.moref, None)
        await release(repr(item), item.DestroyPropertyFilter())

    async def poll(self, most: int, seconds: int) -> vim25.UpdateSet | None:
        """Wait for changes; `most` is beyond such a host. See `UpdateStream`."""
        self.woken = False
        if self._lost is None and not self._pending:
            await self._shared.serve(self, seconds)
        if self._lost is not None:
            raise GoneError(self._lost)
        if not self._pending:
            return None
        sets, self._pending, self._backlog = self._pending, [], 0
        return vim25.UpdateSet(version="shared", filterSet=sets)

    async def wake(self) -> None:
        """Make a poll that waits return now."""
        await self._shared.wake()

    async def close(self) -> None:
        """Destroy the filters, shielded."""
        for item in list(self._filters.values()):
            await self.remove(item)
