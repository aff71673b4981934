"""Events of a host as an asynchronous iterator without losses and duplicates.

An EventHistoryCollector is a cursor on the server that each read advances. If a reply is lost, its
events are lost too, so after any failure the iterator creates a new cursor that starts shortly
before the last yielded event, and skips yielded events by key and time.
"""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from vimlib import vim25
from vimlib._collector.bounds import bounded_items, check_timeout
from vimlib._collector.owned import GoneError, acquire, release
from vimlib._collector.poll_policy import PollPolicy
from vimlib._collector.sources import filter_spec, property_spec
from vimlib._collector.stream import Stream
from vimlib._collector.update_stream import open_updates
from vimlib._collector.watch import poll
from vimlib._repr import robust
from vimlib.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    UsageError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from vimlib._collector.context import Context

PAGE: Final = 1000  # the maximum per call on all hosts
# Hosts do not write events of the same moment in strict order, and clocks are adjusted. A new
# cursor starts this much before the last event; events that were already yielded are skipped.
SLACK: Final = timedelta(seconds=60)
# Events remembered at any age: more than a host has on its page of latest events.
REMEMBER: Final = 2000
# Replaces the time of an event without one.
_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


class Memory:
    """The events that were yielded already. No I/O."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[datetime, int], None] = OrderedDict()
        self._newest: datetime | None = None

    def fresh(self, found: Iterable[vim25.Event]) -> list[vim25.Event]:
        """Return and remember the events that were not yielded yet, oldest first."""
        news = []
        for event in sorted(found, key=_identity):
            identity = _identity(event)
            if identity in self._seen:
                continue
            self._seen[identity] = None
            moment = identity[0]
            if moment > _NO_TIME and (self._newest is None or moment > self._newest):
                self._newest = moment
            news.append(event)
        self._forget()
        return news

    def __len__(self) -> int:
        """Return how many events are remembered."""
        return len(self._seen)

    def resume_from(self) -> datetime | None:
        """Return the start time of a new cursor; None if nothing was yielded."""
        if self._newest is None:
            return None
        return self._newest - SLACK if self._newest - _NO_TIME > SLACK else _NO_TIME

    def _forget(self) -> None:
        begin = self.resume_from()
        while len(self._seen) > REMEMBER and begin is not None:
            oldest, _ = identity = next(iter(self._seen))
            if oldest >= begin:
                return
            del self._seen[identity]


def _identity(event: vim25.Event) -> tuple[datetime, int]:
    """Return an event's creation time and key in a form that always compares.

    A reply may lack either, and a host may omit the time zone if it means UTC.
    """
    moment: datetime | None = event.createdTime
    if moment is None:
        moment = _NO_TIME
    elif moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    key: int | None = event.key
    return moment, key or 0


class Events(Stream[vim25.Event]):
    """The iterator that `events` returns: ``async for event in events(...)``.

    Leaving the loop destroys the cursor on the host; see `Stream`.
    """

    def __init__(
        self,
        context: Context,
        spec: vim25.EventFilterSpec,
        since: datetime | None,
        follow: bool,
        timeout: float | None,
    ) -> None:
        super().__init__()
        self._timeout = timeout
        self._context = context
        self._spec = spec
        self._since = since
        self._follow = follow

    def _items(self) -> AsyncGenerator[vim25.Event, None]:
        return bounded_items(self._context, "events", self._timeout, self._told())

    async def _told(self) -> AsyncGenerator[vim25.Event, None]:
        memory, policy = Memory(), PollPolicy(self._context.patience, self._context.max_wait)
        clock = asyncio.get_running_loop().time
        built = False
        while True:
            began = clock()
            try:
                async with aclosing(self._read(memory, policy)) as found:
                    async for event in found:
                        built = True
                        yield event
                return
            except GoneError as error:
                delay = policy.gone(error.fault, began, clock())
            except vim25.ManagedObjectNotFound as error:
                delay = policy.gone(error, began, clock())
            except VimlibError as error:
                if not built:
                    raise
                delay = policy.failed(error, began, clock())
            await asyncio.sleep(delay)

    async def _read(self, memory: Memory, policy: PollPolicy) -> AsyncGenerator[vim25.Event, None]:
        """Yield events until the cursor is lost, or until the last one if `follow` is off."""
        begin = self._since
        resumed = memory.resume_from()
        if resumed is not None and (begin is None or resumed > begin):
            begin = resumed  # never before `since`, the start of the requested events
        async with (
            _history(self._context, _from(self._spec, begin)) as history,
            open_updates(self._context) as updates,
        ):
            if self._follow:
                properties = [property_spec("EventHistoryCollector", ("latestPage",))]
                await updates.add(
                    filter_spec(self._context, properties, [vim25.ObjectSpec(obj=history)])
                )
            latest: list[vim25.Event] = []
            while True:
                known = 0
                while page := await _next(history):
                    policy.fine()
                    policy.progressed()
                    fresh = memory.fresh(page)
                    known = 0 if fresh else known + len(page)
                    if known > len(memory):
                        # Each event that is known comes once: it is the overlap with an earlier cursor.
                        raise ProtocolError(
                            f"{self._context.invoker.host} repeats its events without end",
                            hint="Check for a proxy between here and the host.",
                        )
                    for event in fresh:
                        yield event
                # Cursors of some hosts stop at the end of the history that they started with; the
                # page that woke us has the events after it.
                for event in memory.fresh(latest):
                    yield event
                if not self._follow:
                    return
                update = None
                while update is None:
                    update = await poll(self._context, updates, policy, PAGE)
                policy.progressed()
                latest = [
                    event
                    for part in update.filterSet
                    for item in part.objectSet
                    for change in item.changeSet
                    if isinstance(change.val, list)
                    for event in change.val
                    if isinstance(event, vim25.Event)
                ]

    @robust
    def __repr__(self) -> str:
        return f"<Events of {self._context.invoker.host}>"


def events(
    context: Context,
    spec: vim25.EventFilterSpec | None = None,
    *,
    since: datetime | None = None,
    follow: bool = True,
    timeout: float | None = None,
) -> Events:
    """Iterate over events, oldest first, and then over new ones as they happen.

    No event is lost or repeated, even across lost connections and sessions. The host is asked for
    more only after all its events were consumed.

    Args:
        spec: Filter of the events; None selects all. Its `time.beginTime` is used if `since` is
            None.
        since: Start time, by the host's clock, with a time zone; None selects all that the host
            still has.
        follow: Whether to wait for new events; if not, the iterator ends with the last one.
        timeout: Seconds for each pass, checked while the host is awaited; None: no limit.

    Raises:
        UsageError: `since` has no time zone.
        DeadlineError: While iterating: `timeout` has passed.
        ProtocolError: While iterating: the host repeats its events without end.
        NotFoundError: While iterating: the host keeps no events.
        TransportError: While iterating: the host was away for longer than `Context.patience`.
    """
    spec = vim25.EventFilterSpec() if spec is None else spec
    if since is None and spec.time is not None:
        since = spec.time.beginTime
    check_since(since)
    check_timeout(timeout)
    return Events(context, spec, since, follow, timeout)


def check_since(since: object) -> None:
    """Refuse what is not a point in time. Raises `UsageError`."""
    if since is not None and (not isinstance(since, datetime) or since.utcoffset() is None):
        raise UsageError(
            f"since must be a datetime with a time zone, got {since!r}",
            hint="Write datetime.now(timezone.utc).",
            field="since",
        )


def _from(spec: vim25.EventFilterSpec, begin: datetime | None) -> vim25.EventFilterSpec:
    spec = copy.copy(spec)
    end = None if spec.time is None else spec.time.endTime
    spec.time = None
    if begin is not None or end is not None:
        spec.time = vim25.EventFilterSpecByTime(beginTime=begin, endTime=end)
    return spec


async def _next(history: vim25.EventHistoryCollector) -> list[vim25.Event]:
    try:
        return await history.ReadNextEvents(PAGE)
    except OutcomeUnknownError as lost:
        # The cursor's position is unknown now.
        raise GoneError(lost) from lost


@asynccontextmanager
async def _history(
    context: Context, spec: vim25.EventFilterSpec
) -> AsyncIterator[vim25.EventHistoryCollector]:
    """Own a cursor over the host's events, positioned at the oldest match."""
    manager = context.content.eventManager
    if manager is None:
        raise NotFoundError(
            f"{context.invoker.host} has no EventManager", kind="EventManager", name=""
        )
    make = context.bind(manager).CreateCollectorForEvents(spec)
    made = await acquire(
        "an EventHistoryCollector", make, lambda it: context.bind(it).DestroyCollector()
    )
    history = context.bind(made)
    try:
        # Documented as the initial position; set explicitly, since some hosts deviate.
        await history.RewindCollector()
        yield history
    finally:
        await release(repr(history), history.DestroyCollector())
