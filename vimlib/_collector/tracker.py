"""Properties of any number of objects that come and go, followed over one long poll.

Who wants to follow an object gives an event, which is set whenever something was told of it.
Objects whose properties are the same share a lane: one filter over one ListView. What comes in
the same moment is let in by one call, together with letting out what has left before. After a
lost session all is built anew, and what is still followed is read once.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from vimlib import vim25
from vimlib._collector.collect import get
from vimlib._collector.feed import feeding
from vimlib._collector.owned import GoneError
from vimlib._collector.pace import Pace
from vimlib._collector.roster import open_roster
from vimlib._collector.row import fault_of
from vimlib._collector.sources import property_spec
from vimlib._collector.watch import poll
from vimlib._session.shield import finish
from vimlib.errors import ClosedError, VimlibError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vimlib._collector.context import Context
    from vimlib._collector.feed import Feed
    from vimlib._collector.roster import Roster
    from vimlib.model import MethodFault

__all__ = ["Lane", "Tracked", "Tracker"]

Key = tuple[str, str]

# Objects an update set.
BATCH: Final = 1000
# What the host has not told of this long after it was let in is read by itself: not all hosts
# tell again of an object that they have told of before, or notice while a poll is under way.
UNSEEN_AFTER: Final = 2.0
# With many objects followed, changes gather this long before the next poll: a poll for each
# change would be a call for each.
CROWD: Final = 50
GATHER: Final = 0.05
# Who left longest ago is forgotten first, and read `UNSEEN_AFTER` it comes back.
REMEMBER: Final = 10_000


class Lane(Struct, frozen=True):
    """Objects of one type of which the same properties are followed."""

    kind: str
    paths: tuple[str, ...]


class Tracked:
    """One object that is followed, and what the host has told of it."""

    __slots__ = ("events", "failure", "gone", "lane", "missing", "obj", "props", "seen")

    def __init__(self, obj: vim25.ManagedObject, lane: Lane) -> None:
        self.obj = obj
        self.lane = lane
        self.props: dict[str, Any] = {}
        """Path to value; a path that is not set on the object is not in it."""
        self.missing: dict[str, MethodFault] = {}
        """Paths that cannot be read, each with the host's reason."""
        self.seen = False
        """Whether the host has told of it."""
        self.gone = False
        """Whether the host no longer knows it. Then nothing more will be told."""
        self.failure: Exception | None = None
        """Why nothing more will be told, if it is not that the object is gone."""
        self.events: list[asyncio.Event] = []

    def wake(self) -> None:
        """Set the events of all who follow it."""
        for event in self.events:
            event.set()

    def take(self, update: vim25.ObjectUpdate) -> None:
        """Take what the host told."""
        self.seen = True
        if update.kind == vim25.ObjectUpdateKind.enter:
            self.props, self.missing = {}, {}
        for change in update.changeSet:
            self.missing.pop(change.name, None)
            if change.val is None:
                self.props.pop(change.name, None)
            else:
                self.props[change.name] = change.val
        for item in update.missingSet:
            self.props.pop(item.path, None)
            self.missing[item.path] = fault_of(item.fault)
        self.wake()


class _Line:
    """What the tracker knows of a lane: who is followed, who comes, who leaves."""

    def __init__(self) -> None:
        self.tracked: dict[Key, Tracked] = {}
        self.coming: dict[Key, Tracked] = {}
        self.leaving: dict[Key, vim25.ManagedObject] = {}
        # Let out of a roster that still stands: the host may think that it has told of them.
        self.past: dict[Key, None] = {}
        self.roster: Roster | None = None

    def start_over(self) -> None:
        self.roster = None
        self.past.clear()
        self.leaving.clear()
        self.coming = dict(self.tracked)
        for tracked in self.tracked.values():
            tracked.seen = False


class Tracker:
    """Follows objects of one host. Has one task of its own, from the first `tracking` to `aclose`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lines: dict[Lane, _Line] = {}
        self._unseen: deque[tuple[float, Tracked]] = deque()
        self._kick = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return sum(len(line.tracked) for line in self._lines.values())

    @contextmanager
    def tracking(
        self, obj: vim25.ManagedObject, lane: Lane, event: asyncio.Event
    ) -> Iterator[Tracked]:
        """Follow `obj`: `event` is set whenever something was told of it, or it cannot be followed.

        Raises:
            ClosedError: The tracker is closed.
        """
        if self._closed:
            raise ClosedError(
                "the client is closed", hint="Wait for tasks before leaving the client's block."
            )
        line = self._lines.setdefault(lane, _Line())
        tracked = line.tracked.get(obj.moref)
        if tracked is None or tracked.gone or tracked.failure is not None:
            tracked = Tracked(self._context.bind(obj), lane)
            line.tracked[obj.moref] = line.coming[obj.moref] = tracked
            self._kick.set()
            if self._runner is None:
                self._runner = asyncio.create_task(self._run(), name="vimlib tracker")
        elif tracked.seen:
            event.set()
        tracked.events.append(event)
        try:
            yield tracked
        finally:
            tracked.events.remove(event)
            if not tracked.events and line.tracked.get(obj.moref) is tracked:
                del line.tracked[obj.moref]
                if line.coming.pop(obj.moref, None) is None:
                    line.leaving[obj.moref] = tracked.obj

    async def aclose(self) -> None:
        """Give back what is on the host; who follows something gets `ClosedError` as its failure.

        Safe to call twice. Cancelling is put off until all is released.
        """
        self._closed = True
        self._fail(ClosedError("the client was closed during this wait"))
        runner = self._runner
        if runner is not None:
            runner.cancel()
            await finish(_settled([runner]), what="the end of a tracker")

    def _fail(self, error: Exception) -> None:
        for line in self._lines.values():
            for tracked in line.tracked.values():
                # A copy to copy from: a traceback belongs to one who raises it.
                tracked.failure = copy.copy(error)
                tracked.failure.__cause__ = error
                tracked.wake()
            line.tracked.clear()
            line.coming.clear()

    # -- the one poll ----------------------------------------------------------------------------

    async def _run(self) -> None:
        pace = Pace(self._context.patience, self._context.max_wait)
        clock = asyncio.get_running_loop().time
        try:
            while True:
                began = clock()
                try:
                    await self._follow(pace)
                except GoneError as error:
                    delay = pace.gone(error.fault, began, clock())
                except VimlibError as error:
                    delay = pace.failed(error, began, clock())
                await asyncio.sleep(delay)
        except Exception as error:  # noqa: BLE001 - who waits must hear of it, whatever it is
            self._fail(error)
        finally:
            self._runner = None

    async def _follow(self, pace: Pace) -> None:
        """Let in and out, poll and tell, until what is on the host is gone."""
        self._unseen.clear()
        for line in self._lines.values():
            line.start_over()
        async with AsyncExitStack() as stack:
            feed = await stack.enter_async_context(feeding(self._context))
            kicked = asyncio.ensure_future(self._kick.wait())
            polling: asyncio.Future[vim25.UpdateSet | None] | None = None
            pending: list[asyncio.Future[Any]]
            try:
                while True:
                    if kicked.done():
                        await asyncio.sleep(
                            0
                        )  # what comes in the same moment comes by the same call
                        self._kick.clear()
                        kicked = asyncio.ensure_future(self._kick.wait())
                    await self._change(stack, feed)
                    if polling is None and len(self):
                        polling = asyncio.ensure_future(poll(self._context, feed, pace, BATCH))
                    pending = [kicked] if polling is None else [kicked, polling]
                    await asyncio.wait(
                        pending, timeout=self._until_due(), return_when=asyncio.FIRST_COMPLETED
                    )
                    if polling is not None and polling.done():
                        update, polling = polling.result(), None
                        if update is not None:
                            await self._take(update)
                            pace.progressed()
                            if update.truncated:
                                continue  # the host is not done telling
                            await asyncio.sleep(GATHER if len(self) > CROWD else 0)
                    await self._read(self._due())
            finally:
                pending = [kicked] if polling is None else [kicked, polling]
                await _settled(pending, cancel=True)

    async def _change(self, stack: AsyncExitStack, feed: Feed) -> None:
        """Let in what came and, with it, let out what left."""
        for lane, line in list(self._lines.items()):
            if not line.coming:
                continue
            if line.roster is None:
                specs = [property_spec(lane.kind, lane.paths)]
                line.roster = await stack.enter_async_context(
                    open_roster(self._context, feed, specs)
                )
            coming, line.coming = line.coming, {}
            leaving, line.leaving = line.leaving, {}
            # Who came back before it was let out is in the roster still: nothing will be told.
            back = {key: coming[key] for key in coming if leaving.pop(key, None) is not None}
            known = [item for key, item in coming.items() if key in line.past]
            news = [item.obj for key, item in coming.items() if key not in back]
            for obj in await line.roster.change(news, list(leaving.values())):
                self._lose(line, obj.moref)
            line.past.update(dict.fromkeys(leaving))
            while len(line.past) > REMEMBER:
                del line.past[next(iter(line.past))]
            # A host that is told of thousands takes its time to tell of them.
            due = asyncio.get_running_loop().time() + UNSEEN_AFTER + len(coming) / 1000
            self._unseen.extend((due, item) for item in coming.values())
            await self._read([*back.values(), *known])

    async def _take(self, update: vim25.UpdateSet) -> None:
        doubtful = []
        for part in update.filterSet:
            line = self._line_of(part.filter)
            if line is None:
                continue
            for item in part.objectSet:
                tracked = line.tracked.get(item.obj.moref)
                if tracked is None:
                    continue
                if item.kind == vim25.ObjectUpdateKind.leave:
                    # Gone, or let out and in again since the host worked this out.
                    doubtful.append(tracked)
                else:
                    tracked.take(item)
            for missing in part.missingSet:
                if line.roster is not None and line.roster.stands_on(missing.obj):
                    raise GoneError(fault_of(missing.fault))
                self._lose(line, missing.obj.moref)
        await asyncio.sleep(0)  # who waited for this is on its way before anything else is sent
        await self._read([item for item in doubtful if item.events])

    def _line_of(self, item: vim25.PropertyFilter) -> _Line | None:
        for line in self._lines.values():
            if line.roster is not None and line.roster.owns(item):
                return line
        return None

    def _lose(self, line: _Line, key: Key) -> None:
        tracked = line.tracked.get(key)
        if tracked is not None:
            tracked.gone = True
            tracked.wake()

    def _until_due(self) -> float | None:
        if not self._unseen:
            return None
        return max(0.0, self._unseen[0][0] - asyncio.get_running_loop().time())

    def _due(self) -> list[Tracked]:
        now = asyncio.get_running_loop().time()
        due = []
        while self._unseen and self._unseen[0][0] <= now:
            due.append(self._unseen.popleft()[1])
        return [item for item in due if item.events and not (item.seen or item.gone)]

    async def _read(self, items: Iterable[Tracked]) -> None:
        """Read objects by themselves: those that the host does not tell of."""
        by_lane: dict[Lane, list[Tracked]] = {}
        for item in items:
            by_lane.setdefault(item.lane, []).append(item)
        for lane, group in by_lane.items():
            rows = await get(self._context, [item.obj for item in group], *lane.paths)
            for item, row in zip(group, rows, strict=True):
                if all(
                    isinstance(row.missing.get(path), vim25.ManagedObjectNotFound)
                    for path in lane.paths
                ):
                    self._lose(self._lines[lane], item.obj.moref)
                    continue
                item.seen = True
                item.props = {path: value for path, value in row.props.items() if value is not None}
                item.missing = row.missing
                item.wake()


async def _settled(futures: list[asyncio.Future[Any]], *, cancel: bool = False) -> None:
    """Wait until all have ended, whatever they end in."""
    for future in futures:
        if cancel:
            future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)
