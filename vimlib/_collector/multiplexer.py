"""Properties of any number of objects that come and go, followed over one long poll.

A subscriber gives an event, which is set whenever an update for its object arrives.
Objects with the same properties share a topic: one filter over one ListView. Additions and removals
of the same moment are batched in one call. After a lost session everything is rebuilt, and objects
that still have subscribers are read once.

A host may report changes at intervals of its own only (250 ms), and many subscribed objects end
within milliseconds. So an object that is subscribed as `fresh` is first read directly a few times,
together with all that are due then; the filter and the poll are for those that last longer.
"""

from __future__ import annotations

import asyncio
import copy
import heapq
import logging
from collections import deque
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from vimlib import vim25
from vimlib._collector.collect import get
from vimlib._collector.filter_set import open_filter_set
from vimlib._collector.owned import GoneError
from vimlib._collector.poll_policy import PollPolicy
from vimlib._collector.row import fault_of
from vimlib._collector.sources import property_spec
from vimlib._collector.update_stream import open_updates
from vimlib._collector.watch import poll
from vimlib._shield import stopped
from vimlib._transport.budget import urgent
from vimlib.errors import ClosedError, VimlibError
from vimlib.soap._typed import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vimlib._collector.context import Context
    from vimlib._collector.filter_set import FilterSet
    from vimlib._collector.update_stream import UpdateStream
    from vimlib.model import MethodFault

Key = tuple[str, str]

log = logging.getLogger("vimlib.collector")

# Objects an update set.
BATCH: Final = 1000
# An object without an update this long after it was added is read directly: not all hosts report
# an object a second time, or notice an addition while a poll is in progress.
UNSEEN_AFTER: Final = 2.0
# With many objects followed, changes gather this long before the next poll: a poll for each
# change would be a call for each.
CROWD: Final = 50
GATHER: Final = 0.05
# The oldest removals are forgotten first; such an object is read `UNSEEN_AFTER` it returns.
REMEMBER: Final = 10_000


# Seconds from each direct read of a fresh object to the one before it, or to its subscription.
FRESH: Final = (0.003, 0.01, 0.02)
# With more of one topic, the poll brings them all sooner than reads of that size.
MOST_FRESH: Final = 250


class Topic(Struct, frozen=True):
    """Objects of one type of which the same properties are followed."""

    kind: str
    paths: tuple[str, ...]


class Watched:
    """A subscribed object and its last known state."""

    __slots__ = ("events", "failure", "gone", "missing", "obj", "props", "seen", "topic")

    def __init__(self, obj: vim25.ManagedObject, topic: Topic) -> None:
        self.obj = obj
        self.topic = topic
        self.props: dict[str, Any] = {}
        """Path to value; a path that is not set on the object is not in it."""
        self.missing: dict[str, MethodFault] = {}
        """Paths that cannot be read, each with the host's reason."""
        self.seen = False
        """Whether an update for it has arrived."""
        self.gone = False
        """Whether it no longer exists on the host. Then no more updates follow."""
        self.failure: Exception | None = None
        """The reason why no more updates follow, if the object still exists."""
        self.events: list[asyncio.Event] = []

    def wake(self) -> None:
        """Set the events of all who follow it."""
        for event in self.events:
            event.set()

    def take(self, update: vim25.ObjectUpdate) -> None:
        """Apply an update."""
        self.seen = True
        if update.kind == vim25.ObjectUpdateKind.enter:
            self.props, self.missing = {}, {}
        for change in update.changeSet:
            self.missing.pop(change.name, None)
            if change.val is None:
                self.props.pop(change.name, None)
            else:
                self.props[change.name] = plain(change.val)
        for item in update.missingSet:
            self.props.pop(item.path, None)
            self.missing[item.path] = fault_of(item.fault)
        self.wake()


class _TopicState:
    """The state of a topic: objects that are subscribed, to be added, to be removed."""

    def __init__(self) -> None:
        # Read directly; not yet followed by the filter.
        self.fresh: dict[Key, Watched] = {}
        self.watched: dict[Key, Watched] = {}
        self.coming: dict[Key, Watched] = {}
        self.leaving: dict[Key, vim25.ManagedObject] = {}
        # Removed from a filter set that still exists: the host may not report them again.
        self.past: dict[Key, None] = {}
        self.filter_set: FilterSet | None = None

    def start_over(self) -> None:
        self.filter_set = None
        self.past.clear()
        self.leaving.clear()
        self.coming = dict(self.watched)
        for watched in self.watched.values():
            watched.seen = False


class Multiplexer:
    """Follows objects of one host. Has one task of its own, from the first `subscribe` to `aclose`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._states: dict[Topic, _TopicState] = {}
        self._unseen: deque[tuple[float, Watched]] = deque()
        self._kick = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        # When to read which fresh object next, and how often it was read; ordered by time and number.
        self._due_fresh: list[tuple[float, int, int, Watched]] = []
        self._serial = 0
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return sum(len(line.watched) + len(line.fresh) for line in self._states.values())

    @contextmanager
    def subscribe(
        self,
        obj: vim25.ManagedObject,
        topic: Topic,
        event: asyncio.Event,
        *,
        fresh: bool = False,
    ) -> Iterator[Watched]:
        """Follow `obj`: `event` is set on every update, and when it cannot be followed.

        `fresh`: it may end within milliseconds, so it is read directly at first.

        Raises:
            ClosedError: The multiplexer is closed.
        """
        if self._closed:
            raise ClosedError(
                "the client is closed", hint="Wait for tasks before leaving the client's block."
            )
        line = self._states.setdefault(topic, _TopicState())
        watched = line.watched.get(obj.moref) or line.fresh.get(obj.moref)
        if watched is None or watched.gone or watched.failure is not None:
            watched = Watched(self._context.bind(obj), topic)
            if fresh and len(line.watched) + len(line.fresh) < MOST_FRESH:
                self._read_soon(line, watched)
            else:
                self._poll_for(line, [*line.fresh.values(), watched])
        elif watched.seen:
            event.set()
        watched.events.append(event)
        try:
            yield watched
        finally:
            watched.events.remove(event)
            if not watched.events and line.fresh.get(obj.moref) is watched:
                del line.fresh[obj.moref]
            elif not watched.events and line.watched.get(obj.moref) is watched:
                del line.watched[obj.moref]
                if line.coming.pop(obj.moref, None) is None:
                    line.leaving[obj.moref] = watched.obj

    async def aclose(self) -> None:
        """Release the objects on the host; subscribers get `ClosedError` as the failure.

        Safe to call twice. Cancelling is put off until all is released.
        """
        self._closed = True
        self._fail(ClosedError("the client was closed during this wait"))
        await stopped(*(work for work in (self._runner, self._reader) if work is not None))

    def _fail(self, error: Exception) -> None:
        self._due_fresh.clear()
        for line in self._states.values():
            for watched in (*line.watched.values(), *line.fresh.values()):
                # A copy to copy from: a traceback belongs to one who raises it.
                watched.failure = copy.copy(error)
                watched.failure.__cause__ = error
                watched.wake()
            line.fresh.clear()
            line.watched.clear()
            line.coming.clear()

    # -- direct reads of what may end soon -------------------------------------------------------

    def _read_soon(self, line: _TopicState, watched: Watched, times: int = 0) -> None:
        """Have a fresh object read directly after it was read so many times; then poll for it."""
        if times == len(FRESH):
            self._poll_for(line, [watched])
            return
        line.fresh[watched.obj.moref] = watched
        due = asyncio.get_running_loop().time() + FRESH[times]
        self._serial += 1
        heapq.heappush(self._due_fresh, (due, self._serial, times, watched))
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_fresh(), name="vimlib fresh reads")

    def _poll_for(self, line: _TopicState, items: Iterable[Watched]) -> None:
        """Have the filter follow objects, fresh ones or new ones."""
        for watched in items:
            key = watched.obj.moref
            line.fresh.pop(key, None)
            line.watched[key] = line.coming[key] = watched
        self._kick.set()
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="vimlib multiplexer")

    def _is_fresh(self, watched: Watched) -> bool:
        return self._states[watched.topic].fresh.get(watched.obj.moref) is watched

    async def _read_fresh(self) -> None:
        """Read fresh objects when they are due, all that are due together in one call a topic."""
        clock = asyncio.get_running_loop().time
        try:
            with urgent():
                while self._due_fresh:
                    await asyncio.sleep(max(0.0, self._due_fresh[0][0] - clock()))
                    await self._read_due(clock())
        except Exception as error:  # noqa: BLE001 - subscribers must see it, whatever it is
            self._fail(error)
        finally:
            self._reader = None

    async def _read_due(self, now: float) -> None:
        due = []
        while self._due_fresh and self._due_fresh[0][0] <= now:
            _, _, times, watched = heapq.heappop(self._due_fresh)
            if self._is_fresh(watched):
                due.append((times, watched))
        try:
            await self._read([watched for _, watched in due], only=self._is_fresh)
        except (VimlibError, GoneError) as error:
            log.debug("cannot read fresh objects, polling for them: %s", error)
            due = [(len(FRESH) - 1, watched) for _, watched in due]
        await asyncio.sleep(0)  # who waited for this leaves before anything else is sent
        for times, watched in due:
            if self._is_fresh(watched):
                self._read_soon(self._states[watched.topic], watched, times + 1)

    # -- the one poll ----------------------------------------------------------------------------

    async def _run(self) -> None:
        with urgent():  # all waits of the client share it
            await self._run_policy()

    async def _run_policy(self) -> None:
        policy = PollPolicy(self._context.patience, self._context.max_wait)
        clock = asyncio.get_running_loop().time
        try:
            while True:
                began = clock()
                try:
                    await self._follow(policy)
                except GoneError as error:
                    delay = policy.gone(error.fault, began, clock())
                except VimlibError as error:
                    delay = policy.failed(error, began, clock())
                await asyncio.sleep(delay)
        except Exception as error:  # noqa: BLE001 - subscribers must see it, whatever it is
            self._fail(error)
        finally:
            self._runner = None

    async def _follow(self, policy: PollPolicy) -> None:
        """Add, remove and poll until the objects on the host are gone."""
        self._unseen.clear()
        for line in self._states.values():
            line.start_over()
        async with AsyncExitStack() as stack:
            updates = await stack.enter_async_context(open_updates(self._context))
            kicked = asyncio.ensure_future(self._kick.wait())
            polling: asyncio.Future[vim25.UpdateSet | None] | None = None
            pending: list[asyncio.Future[Any]]
            try:
                while True:
                    if kicked.done():
                        await asyncio.sleep(0)  # batches the additions of one moment
                        self._kick.clear()
                        kicked = asyncio.ensure_future(self._kick.wait())
                    await self._change(stack, updates)
                    if polling is None and any(line.watched for line in self._states.values()):
                        polling = asyncio.ensure_future(poll(self._context, updates, policy, BATCH))
                    pending = [kicked] if polling is None else [kicked, polling]
                    await asyncio.wait(
                        pending, timeout=self._until_due(), return_when=asyncio.FIRST_COMPLETED
                    )
                    if polling is not None and polling.done():
                        update, polling = polling.result(), None
                        if update is not None:
                            await self._take(update)
                            policy.progressed()
                            if update.truncated:
                                continue  # the host is not done telling
                            await asyncio.sleep(GATHER if len(self) > CROWD else 0)
                    await self._read(self._due())
            finally:
                pending = [kicked] if polling is None else [kicked, polling]
                await stopped(*pending)

    async def _change(self, stack: AsyncExitStack, updates: UpdateStream) -> None:
        """Add and remove objects, in one call."""
        for topic, line in list(self._states.items()):
            if not line.coming:
                continue
            if line.filter_set is None:
                specs = [property_spec(topic.kind, topic.paths)]
                line.filter_set = await stack.enter_async_context(
                    open_filter_set(self._context, updates, specs)
                )
            coming, line.coming = line.coming, {}
            leaving, line.leaving = line.leaving, {}
            # An object subscribed again before its removal is still in the filter set: no update follows.
            back = {key: coming[key] for key in coming if leaving.pop(key, None) is not None}
            known = [item for key, item in coming.items() if key in line.past]
            news = [item.obj for key, item in coming.items() if key not in back]
            for obj in await line.filter_set.change(news, list(leaving.values())):
                _lose(line.watched.get(obj.moref))
            line.past.update(dict.fromkeys(leaving))
            while len(line.past) > REMEMBER:
                del line.past[next(iter(line.past))]
            # A host takes its time to report thousands of additions.
            due = asyncio.get_running_loop().time() + UNSEEN_AFTER + len(coming) / 1000
            self._unseen.extend((due, item) for item in coming.values())
            await self._read([*back.values(), *known])

    async def _take(self, update: vim25.UpdateSet) -> None:
        doubtful = []
        for part in update.filterSet:
            line = self._state_of(part.filter)
            if line is None:
                continue
            for item in part.objectSet:
                watched = line.watched.get(item.obj.moref)
                if watched is None:
                    continue
                if item.kind == vim25.ObjectUpdateKind.leave:
                    # Gone, or let out and in again since the host worked this out.
                    doubtful.append(watched)
                else:
                    watched.take(item)
            for missing in part.missingSet:
                if line.filter_set is not None and line.filter_set.stands_on(missing.obj):
                    raise GoneError(fault_of(missing.fault))
                _lose(line.watched.get(missing.obj.moref))
        await asyncio.sleep(0)  # who waited for this is on its way before anything else is sent
        await self._read([item for item in doubtful if item.events])

    def _state_of(self, item: vim25.PropertyFilter) -> _TopicState | None:
        for line in self._states.values():
            if line.filter_set is not None and line.filter_set.owns(item):
                return line
        return None

    def _until_due(self) -> float | None:
        if not self._unseen:
            return None
        return max(0.0, self._unseen[0][0] - asyncio.get_running_loop().time())

    def _due(self) -> list[Watched]:
        now = asyncio.get_running_loop().time()
        due = []
        while self._unseen and self._unseen[0][0] <= now:
            due.append(self._unseen.popleft()[1])
        return [item for item in due if item.events and not (item.seen or item.gone)]

    async def _read(
        self, items: Iterable[Watched], only: Callable[[Watched], bool] = lambda watched: True
    ) -> None:
        """Read objects directly: those that the host does not report; apply it to `only` some."""
        by_topic: dict[Topic, list[Watched]] = {}
        for item in items:
            by_topic.setdefault(item.topic, []).append(item)
        for topic, group in by_topic.items():
            rows = await get(self._context, [item.obj for item in group], *topic.paths)
            for item, row in zip(group, rows, strict=True):
                if not only(item):
                    continue
                if all(
                    isinstance(row.missing.get(path), vim25.ManagedObjectNotFound)
                    for path in topic.paths
                ):
                    _lose(item)
                    continue
                item.seen = True
                item.props = {path: value for path, value in row.props.items() if value is not None}
                item.missing = row.missing
                item.wake()


def _lose(watched: Watched | None) -> None:
    if watched is not None:
        watched.gone = True
        watched.wake()
