"""The PropertyCollector: reads of properties, and filters that report what changed."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.clock import wait_for
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, not_found, with_message
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._properties.filters import Filter, PropertyReader
from vimlib.simulator._properties.traversal import select

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.session import Session

_BATCH = 200
"""Objects that are read before others get a turn."""


class Collector(SimObject):
    """A collector of a session, or the well-known one."""

    kind = "PropertyCollector"


class PropertyCollector(Collector):
    """A collector of one session: its default one, or one that it created."""

    def __init__(self, registry: Registry, moid: str, session: Session | None) -> None:
        super().__init__(registry, moid)
        self.session = session
        self.filters: list[Filter] = []
        self.version = 0
        self.last: Any = None
        """The update set that made the current version, until its receipt is known."""
        self.signal = asyncio.Event()
        """Set when a filter may have something to say."""
        self.waiter: asyncio.Future[None] | None = None
        """Set while a wait hangs; its result ends the wait, its exception fails it."""
        self.tokens: dict[str, tuple[list[tuple[SimObject, PropertyReader]], int]] = {}
        """Token to the rest of a read and the number of objects in its pages."""

    @prop("filter", cached=False)
    def _filters(self) -> list[Any]:
        return [each.ref for each in self.filters]

    def remove(self) -> None:
        """Remove the collector with its filters; a pending wait fails."""
        for each in tuple(self.filters):
            each.remove()
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(not_found(self.ref))
        super().remove()

    def interrupt(self, fault: Exception) -> None:
        """Fail the pending wait, if there is one."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(fault)

    def updates(self, version: str, limit: int | None) -> Any:
        """Return the update set since `version`, None if nothing changed.

        Raises `InvalidCollectorVersion`.
        """
        if not version:
            self.last = None
            for each in self.filters:
                each.restart()
        elif self.last is not None and version == str(self.version - 1):
            return self.last  # the reply was lost: repeat it
        elif version != str(self.version):
            raise with_message(
                vim25.InvalidCollectorVersion(), "Invalid property collector version."
            )
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
            truncated=truncated if self.registry.version >= (4, 1) else None,
        )
        return self.last

    def _interrupted(self, waiter: asyncio.Future[None]) -> None:
        self.signal.set()
        if not waiter.cancelled():
            waiter.exception()  # retrieved here, raised in `wait`

    async def wait(self, version: str, seconds: float | None, limit: int | None) -> Any:
        """Return the next update set, None when `seconds` have passed. Cancelling it loses nothing."""
        self.interrupt(with_message(vim25.RequestCanceled()))
        waiter = self.waiter = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(self._interrupted)
        clock = self.registry.clock
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
                await self._next_report(waiter)
        finally:
            if self.waiter is waiter:
                self.waiter = None
            waiter.cancel()

    async def _next_report(self, waiter: asyncio.Future[None]) -> None:
        """Wait until the host reports changes again, or the wait is ended. Cancelling it is harmless."""
        clock, interval = self.registry.clock, self.registry.update_interval
        if interval <= 0 or waiter.done():
            return
        sleeper = asyncio.ensure_future(clock.sleep(interval - clock.monotonic() % interval))
        try:
            await asyncio.wait({sleeper, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()


def default_collector(call: Call, target: SimObject) -> PropertyCollector:
    """Return the collector that a call refers to: the well-known one stands for the session's own."""
    if not isinstance(target, DefaultCollector):
        assert isinstance(target, PropertyCollector)
        if target.session is not None and target.session is not call.session:
            raise not_found(target.ref)
        return target
    if call.session is None:
        raise with_message(vim25.NotAuthenticated(object=target.ref, privilegeId="System.View"))
    found = target.own.get(call.session)
    if found is None or not found.alive:
        found = PropertyCollector(
            target.registry, f"{target.moid}-{call.session.key}", call.session
        )
        found.waiter = None
        call.session.owned.append(found)
        target.own[call.session] = found
    return found


class DefaultCollector(Collector):
    """The well-known collector, which stands for one of each session."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, "ha-property-collector")
        self.own: dict[Session, PropertyCollector] = {}

    def forget_session(self, session: Session) -> None:
        """Drop the collector of an ended session."""
        self.own.pop(session, None)


async def _retrieve(
    collector: SimObject, call: Call, limit: int | None
) -> tuple[list[Any], str | None]:
    """Read the objects that a call's `specSet` selects, at most `limit`; return them and a token."""
    chosen: list[tuple[SimObject, PropertyReader]] = []
    contents = []
    for spec in call.args["specSet"]:
        reader = PropertyReader(spec, call.session)
        selection = select(call.registry, spec, call.session)
        for ref in selection.missing:
            contents.append(
                vim25.ObjectContent(obj=ref, missingSet=reader.all_missing(not_found(ref)))
            )
        chosen.extend((obj, reader) for obj in selection.members if reader.wants(obj))
    return await _page(collector, call, contents, chosen, limit)


async def _page(
    collector: SimObject,
    call: Call,
    contents: list[Any],
    chosen: list[tuple[SimObject, PropertyReader]],
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


def _limit(value: int | None, registry: Registry) -> int | None:
    if value is not None and value <= 0:
        raise invalid_argument("maxObjects")
    if registry.max_objects is not None:
        return min(value or registry.max_objects, registry.max_objects)
    return value


@handles(Collector, "RetrieveProperties")
async def retrieve_properties(collector: SimObject, call: Call) -> list[Any]:
    """Read everything in one answer."""
    contents, _ = await _retrieve(collector, call, None)
    return contents


@handles(Collector, "RetrievePropertiesEx")
async def retrieve_properties_ex(collector: SimObject, call: Call) -> Any:
    """Read a page; None where nothing was selected, as hosts answer."""
    options = call.get("options")
    limit = _limit(options.maxObjects if options else None, call.registry)
    contents, token = await _retrieve(collector, call, limit)
    return vim25.RetrieveResult(token=token, objects=contents) if contents else None


def _take_token(
    collector: SimObject, call: Call
) -> tuple[list[tuple[SimObject, PropertyReader]], int]:
    found = default_collector(call, collector).tokens.pop(call.args["token"], None)
    if found is None:
        raise invalid_argument("token")
    return found


@handles(Collector, "ContinueRetrievePropertiesEx")
async def continue_retrieve(collector: SimObject, call: Call) -> Any:
    """Read the next page; a token is good once, in its session and collector."""
    rest, limit = _take_token(collector, call)
    contents, token = await _page(collector, call, [], rest, limit)
    return vim25.RetrieveResult(token=token, objects=contents)


@handles(Collector, "CancelRetrievePropertiesEx")
def cancel_retrieve(collector: SimObject, call: Call) -> None:
    """Discard the rest of a read."""
    _take_token(collector, call)


@handles(Collector, "CreateFilter")
def create_filter(target: SimObject, call: Call) -> Any:
    """Make a filter, which reports with the next wait."""
    collector = default_collector(call, target)
    return Filter(
        call.registry,
        collector.session,
        call.args["spec"],
        partial=bool(call.args["partialUpdates"]),
        siblings=collector.filters,
        signal=collector.signal,
    ).ref


@handles(Filter, "DestroyPropertyFilter")
def destroy_filter(each: Filter, call: Call) -> None:
    """Drop a filter."""
    each.remove()


@handles(Collector, "CreatePropertyCollector")
def create_collector(target: SimObject, call: Call) -> Any:
    """Make a collector of the session's own."""
    assert call.session is not None
    made = PropertyCollector(
        call.registry, f"session[{call.session.key}]{call.registry.new_uuid()}", call.session
    )
    call.session.owned.append(made)
    return made.ref


@handles(PropertyCollector, "DestroyPropertyCollector")
def destroy_collector(collector: PropertyCollector, call: Call) -> None:
    """Drop a collector with its filters and its wait."""
    if call.session is not None and collector in call.session.owned:
        call.session.owned.remove(collector)
    collector.remove()


@handles(Collector, "CheckForUpdates")
def check_for_updates(target: SimObject, call: Call) -> Any:
    """Return the changes, without waiting."""
    return default_collector(call, target).updates(call.get("version") or "", None)


@handles(Collector, "WaitForUpdates")
async def wait_for_updates(target: SimObject, call: Call) -> Any:
    """Wait for a change, without a limit."""
    return await default_collector(call, target).wait(call.get("version") or "", None, None)


@handles(Collector, "WaitForUpdatesEx")
async def wait_for_updates_ex(target: SimObject, call: Call) -> Any:
    """Wait for a change, up to the given time."""
    options = call.get("options")
    seconds = options.maxWaitSeconds if options else None
    limit = options.maxObjectUpdates if options else None
    if seconds is not None and seconds < 0:
        raise invalid_argument("maxWaitSeconds")
    if limit is not None and limit <= 0:
        raise invalid_argument("maxObjectUpdates")
    return await default_collector(call, target).wait(call.get("version") or "", seconds, limit)


@handles(Collector, "CancelWaitForUpdates")
def cancel_wait(target: SimObject, call: Call) -> None:
    """Fail the pending wait with RequestCanceled."""
    default_collector(call, target).interrupt(with_message(vim25.RequestCanceled()))
