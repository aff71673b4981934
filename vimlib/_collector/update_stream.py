"""A stream of update sets: filters in, changes out, by version.

`OwnUpdateStream` has a collector of its own (API 4.1 and newer), so that one consumer never takes what
another waits for. Hosts before that have one collector a session: see `shared`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from vimlib import vim25
from vimlib._collector.owned import GoneError, acquire, release
from vimlib._collector.shared import SharedCollector
from vimlib.errors import OutcomeUnknownError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimlib._collector.context import Context


class UpdateStream(Protocol):
    """Where update sets come from."""

    woken: bool
    """Whether the last poll ended because `wake` was called, and not for lack of changes."""
    repeated: bool
    """Whether the last poll brought the same as the one before."""

    async def add(self, spec: vim25.PropertyFilterSpec) -> vim25.PropertyFilter:
        """Create a filter. Raises `GoneError` if the collector is no more."""
        ...

    async def remove(self, item: vim25.PropertyFilter) -> None:
        """Destroy a filter, if it still exists."""
        ...

    async def poll(self, most: int, seconds: int) -> vim25.UpdateSet | None:
        """Wait for changes, of `most` objects at once; None if there were none for `seconds`.

        Cancelling loses nothing: the next poll returns the same updates.
        Raises `GoneError` if the collector or the version is no more, and `ProtocolError` for a part
        of an update set that repeats the part before it.
        """
        ...

    async def wake(self) -> None:
        """Make a poll that waits return now."""
        ...

    async def close(self) -> None:
        """Destroy the objects on the server, shielded."""
        ...


class OwnUpdateStream:
    """Update sets of a collector made for one consumer."""

    def __init__(self, context: Context, collector: vim25.PropertyCollector) -> None:
        self._context = context
        self._collector = collector
        self._version: str | None = None
        self._last: vim25.UpdateSet | None = None
        self.woken = self.repeated = False

    async def add(self, spec: vim25.PropertyFilterSpec) -> vim25.PropertyFilter:
        """Create a filter. Raises `GoneError` if the collector is no more, or no more to be used."""
        make = self._collector.CreateFilter(spec, partialUpdates=False)
        try:
            # Filters go with their collector, so a cancelled creation needs no undoing.
            return self._context.bind(await make)
        except vim25.ManagedObjectNotFound as fault:
            raise self._gone(fault) from fault
        except OutcomeUnknownError as lost:
            # There may be an orphaned filter, which would report everything twice. It
            # goes with the collector.
            raise GoneError(lost) from lost

    async def remove(self, item: vim25.PropertyFilter) -> None:
        """Destroy a filter, if it still exists."""
        await release(repr(item), item.DestroyPropertyFilter())

    async def poll(self, most: int, seconds: int) -> vim25.UpdateSet | None:
        """Wait for changes, of `most` objects at once; see `UpdateStream`."""
        self.woken = False
        options = vim25.WaitOptions(maxWaitSeconds=seconds, maxObjectUpdates=most)
        try:
            update = await self._collector.WaitForUpdatesEx(version=self._version, options=options)
        except vim25.RequestCanceled:
            self.woken = True
            return None
        except (vim25.ManagedObjectNotFound, vim25.InvalidCollectorVersion) as fault:
            raise GoneError(fault) from fault
        # Some hosts send an empty element instead of leaving it out.
        if update is None or not update.version:
            return None
        self._version = update.version
        last, self._last = self._last, update
        self.repeated = last is not None and last.filterSet == update.filterSet
        if self.repeated and last is not None and last.truncated and update.truncated:
            raise ProtocolError(
                f"{self._context.invoker.host} repeats a part of an update set without end",
                hint="Check for a proxy between here and the host.",
            )
        return update

    async def wake(self) -> None:
        """Make a poll that waits return now."""
        await self._collector.CancelWaitForUpdates()

    async def close(self) -> None:
        """Destroy the collector and with it its filters, shielded."""
        await release(repr(self._collector), self._collector.DestroyPropertyCollector())

    def _gone(self, fault: vim25.ManagedObjectNotFound) -> Exception:
        # If it is an object that the filter names, that is the caller's to know.
        lost: vim25.ManagedObject | None = fault.obj
        mine = lost is None or lost.moref == self._collector.moref
        return GoneError(fault) if mine else fault


async def new_update_stream(context: Context) -> UpdateStream:
    """Return an update stream that the caller closes. Cancelling leaves nothing behind."""
    if not context.speaks("4.1"):
        return context.once(SharedCollector).updates()

    async def undo(made: vim25.PropertyCollector) -> None:
        await context.bind(made).DestroyPropertyCollector()

    make = context.collector.CreatePropertyCollector()
    return OwnUpdateStream(context, context.bind(await acquire("a PropertyCollector", make, undo)))


@asynccontextmanager
async def open_updates(context: Context) -> AsyncIterator[UpdateStream]:
    """Own an update stream: closed, shielded, on every way out."""
    updates = await new_update_stream(context)
    try:
        yield updates
    finally:
        await updates.close()
