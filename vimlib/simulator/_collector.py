"""The PropertyCollector: reads of properties, and filters that report what changed."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._clock import wait_for
from vimlib.simulator._filters import Filter, Reader
from vimlib.simulator._objects import Served, prop, serves
from vimlib.simulator._traversal import select
from vimlib.simulator._world import missing, say

if TYPE_CHECKING:
    from vimlib.simulator._call import Call
    from vimlib.simulator._sessions import Session
    from vimlib.simulator._world import World

__all__ = ["PropertyCollector", "default_collector"]

_BATCH = 200
"""Objects that are read before others get a turn."""


class PropertyCollector(Served):
    """A collector of one session: the one that it has from the start, or one that it made."""

    kind = "PropertyCollector"

    def __init__(self, world: World, moid: str, session: Session | None) -> None:
        super().__init__(world, moid)
        self.session = session
        self.filters: list[Filter] = []
        self.version = 0
        self.last: Any = None
        """The update set that made the current version, until its receipt is known."""
        self.signal = asyncio.Event()
        """Set when a filter may have something to say."""
        self.waiter: asyncio.Future[None] | None = None
        """Set while a wait hangs; its result ends the wait, its exception fails it."""
        self.tokens: dict[str, tuple[list[tuple[Served, Reader]], int]] = {}
        """Token to what is left of a read and how many objects its pages have."""

    @prop("filter", cached=False)
    def _filters(self) -> list[Any]:
        return [each.ref for each in self.filters]

    def remove(self) -> None:
        """End the collector: its filters go, a wait that hangs fails."""
        for each in tuple(self.filters):
            each.remove()
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(missing(self.ref))
        super().remove()

    def interrupt(self, fault: Exception) -> None:
        """Fail the wait that hangs, if one does."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(fault)

    def updates(self, version: str, limit: int | None) -> Any:
        """Return the update set since `version`, None if there is nothing to say.

        Raises `InvalidCollectorVersion`.
        """
        if not version:
            self.last = None
            for each in self.filters:
                each.restart()
        elif self.last is not None and version == str(self.version - 1):
            return self.last  # the answer was lost on its way: say it again
        elif version != str(self.version):
            raise say(vim25.InvalidCollectorVersion(), "Invalid property collector version.")
        sets = []
        left = limit
        truncated = False
        for each in self.filters:
            update, more = each.update(left)
            truncated = truncated or more
            if update is not None:
                sets.append(update)
                if left is not None:
                    left -= len(update.objectSet)
        if not sets:
            return None
        self.version += 1
        self.last = vim25.UpdateSet(
            version=str(self.version),
            filterSet=sets,
            truncated=truncated if self.world.version >= (4, 1) else None,
        )
        return self.last

    def _interrupted(self, waiter: asyncio.Future[None]) -> None:
        self.signal.set()
        if not waiter.cancelled():
            waiter.exception()  # seen here, raised by whoever waits

    async def wait(self, version: str, seconds: float | None, limit: int | None) -> Any:
        """Return the next update set, None when `seconds` have passed. Cancelling it loses nothing."""
        self.interrupt(say(vim25.RequestCanceled(), "The task was canceled by a user."))
        waiter = self.waiter = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(self._interrupted)
        clock = self.world.clock
        end = None if seconds is None else clock.monotonic() + seconds
        try:
            while True:
                if waiter.done():
                    waiter.result()
                self.signal.clear()
                found = self.updates(version, limit)
                if found is not None:
                    return found
                version = version or str(self.version)
                left = None if end is None else end - clock.monotonic()
                if left is not None and left <= 0:
                    return None
                if not await wait_for(clock, self.signal, left) and not waiter.done():
                    return None
        finally:
            if self.waiter is waiter:
                self.waiter = None
            waiter.cancel()


def default_collector(call: Call, served: Served) -> PropertyCollector:
    """Return whom a call to `served` means: the well-known collector is one of each session."""
    if not isinstance(served, SharedCollector):
        assert isinstance(served, PropertyCollector)
        if served.session is not None and served.session is not call.session:
            raise missing(served.ref)
        return served
    if call.session is None:
        raise say(
            vim25.NotAuthenticated(object=served.ref, privilegeId="System.View"),
            "The session is not authenticated.",
        )
    found = served.own.get(call.session)
    if found is None or not found.alive:
        found = PropertyCollector(served.world, f"{served.moid}-{call.session.key}", call.session)
        found.waiter = None
        call.session.owned.append(found)
        served.own[call.session] = found
    return found


class SharedCollector(Served):
    """The well-known collector, which stands for one of each session."""

    kind = "PropertyCollector"

    def __init__(self, world: World) -> None:
        super().__init__(world, "ha-property-collector")
        self.own: dict[Session, PropertyCollector] = {}

    def forget_session(self, session: Session) -> None:
        """Drop the collector of an ended session."""
        self.own.pop(session, None)


async def _retrieve(
    collector: Served, call: Call, limit: int | None
) -> tuple[list[Any], str | None]:
    """Read what a call's `specSet` selects, at most `limit` objects; return them and a token."""
    chosen: list[tuple[Served, Reader]] = []
    contents = []
    for spec in call.args["specSet"]:
        reader = Reader(spec, call.session, call.world)
        selection = select(call.world, spec, call.session)
        for ref in selection.missing:
            contents.append(
                vim25.ObjectContent(obj=ref, missingSet=reader.all_missing(missing(ref)))
            )
        chosen.extend((obj, reader) for obj in selection.members if reader.wants(obj))
    return await _page(collector, call, contents, chosen, limit)


async def _page(
    collector: Served,
    call: Call,
    contents: list[Any],
    chosen: list[tuple[Served, Reader]],
    limit: int | None,
) -> tuple[list[Any], str | None]:
    count = len(chosen) if limit is None else max(limit - len(contents), 0)
    for number, (obj, reader) in enumerate(chosen[:count]):
        if number % _BATCH == _BATCH - 1:
            await asyncio.sleep(0)
        if obj.alive:
            contents.append(reader.content(obj))
    rest = chosen[count:]
    if not rest:
        return contents, None
    owner = default_collector(call, collector)
    token = secrets.token_hex(8)
    owner.tokens[token] = rest, limit or len(rest)
    return contents, token


def _limit(value: int | None, world: World) -> int | None:
    if value is not None and value <= 0:
        raise say(
            vim25.InvalidArgument(invalidProperty="maxObjects"),
            "A specified parameter was not correct: maxObjects",
        )
    if world.max_objects is not None:
        return min(value or world.max_objects, world.max_objects)
    return value


@serves(SharedCollector, "RetrieveProperties")
@serves(PropertyCollector, "RetrieveProperties")
async def retrieve_properties(collector: Served, call: Call) -> list[Any]:
    """Read everything in one answer."""
    contents, _ = await _retrieve(collector, call, None)
    return contents


@serves(SharedCollector, "RetrievePropertiesEx")
@serves(PropertyCollector, "RetrievePropertiesEx")
async def retrieve_properties_ex(collector: Served, call: Call) -> Any:
    """Read a page; None where nothing was selected, as hosts answer."""
    options = call.get("options")
    limit = _limit(options.maxObjects if options else None, call.world)
    contents, token = await _retrieve(collector, call, limit)
    return vim25.RetrieveResult(token=token, objects=contents) if contents else None


def _take_token(collector: Served, call: Call) -> tuple[list[tuple[Served, Reader]], int]:
    found = default_collector(call, collector).tokens.pop(call.args["token"], None)
    if found is None:
        raise say(
            vim25.InvalidArgument(invalidProperty="token"),
            "A specified parameter was not correct: token",
        )
    return found


@serves(SharedCollector, "ContinueRetrievePropertiesEx")
@serves(PropertyCollector, "ContinueRetrievePropertiesEx")
async def continue_retrieve(collector: Served, call: Call) -> Any:
    """Read the next page; a token is good once, in its session and collector."""
    rest, limit = _take_token(collector, call)
    contents, token = await _page(collector, call, [], rest, limit)
    return vim25.RetrieveResult(token=token, objects=contents)


@serves(SharedCollector, "CancelRetrievePropertiesEx")
@serves(PropertyCollector, "CancelRetrievePropertiesEx")
def cancel_retrieve(collector: Served, call: Call) -> None:
    """Forget the rest of a read."""
    _take_token(collector, call)


@serves(SharedCollector, "CreateFilter")
@serves(PropertyCollector, "CreateFilter")
def create_filter(served: Served, call: Call) -> Any:
    """Make a filter; it reports with the next wait."""
    collector = default_collector(call, served)
    made = Filter(collector, call.args["spec"], bool(call.args["partialUpdates"]))
    collector.filters.append(made)
    collector.signal.set()
    return made.ref


@serves(Filter, "DestroyPropertyFilter")
def destroy_filter(each: Filter, call: Call) -> None:
    """Drop a filter."""
    each.remove()


@serves(SharedCollector, "CreatePropertyCollector")
@serves(PropertyCollector, "CreatePropertyCollector")
def create_collector(served: Served, call: Call) -> Any:
    """Make a collector of the session's own."""
    assert call.session is not None
    made = PropertyCollector(
        call.world, f"session[{call.session.key}]{call.world.new_uuid()}", call.session
    )
    call.session.owned.append(made)
    return made.ref


@serves(PropertyCollector, "DestroyPropertyCollector")
def destroy_collector(collector: PropertyCollector, call: Call) -> None:
    """Drop a collector with its filters and its wait."""
    if call.session is not None and collector in call.session.owned:
        call.session.owned.remove(collector)
    collector.remove()


@serves(SharedCollector, "CheckForUpdates")
@serves(PropertyCollector, "CheckForUpdates")
def check_for_updates(served: Served, call: Call) -> Any:
    """Say what changed, without waiting."""
    return default_collector(call, served).updates(call.get("version") or "", None)


@serves(SharedCollector, "WaitForUpdates")
@serves(PropertyCollector, "WaitForUpdates")
async def wait_for_updates(served: Served, call: Call) -> Any:
    """Wait for a change, for ever if need be."""
    return await default_collector(call, served).wait(call.get("version") or "", None, None)


@serves(SharedCollector, "WaitForUpdatesEx")
@serves(PropertyCollector, "WaitForUpdatesEx")
async def wait_for_updates_ex(served: Served, call: Call) -> Any:
    """Wait for a change, as long as asked."""
    options = call.get("options")
    seconds = options.maxWaitSeconds if options else None
    limit = options.maxObjectUpdates if options else None
    if seconds is not None and seconds < 0:
        raise say(
            vim25.InvalidArgument(invalidProperty="maxWaitSeconds"),
            "A specified parameter was not correct: maxWaitSeconds",
        )
    if limit is not None and limit <= 0:
        raise say(
            vim25.InvalidArgument(invalidProperty="maxObjectUpdates"),
            "A specified parameter was not correct: maxObjectUpdates",
        )
    return await default_collector(call, served).wait(call.get("version") or "", seconds, limit)


@serves(SharedCollector, "CancelWaitForUpdates")
@serves(PropertyCollector, "CancelWaitForUpdates")
def cancel_wait(served: Served, call: Call) -> None:
    """Fail the wait that hangs with RequestCanceled."""
    default_collector(call, served).interrupt(
        say(vim25.RequestCanceled(), "The task was canceled by a user.")
    )
