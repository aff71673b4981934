"""Changes of properties, as they happen: over WaitForUpdatesEx, across lost connections and sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from vimlib import vim25
from vimlib._arguments import check_argument
from vimlib._collector.collect import get
from vimlib._collector.declared import check_updates
from vimlib._collector.object_cache import Change, InconsistentError, ObjectCache
from vimlib._collector.owned import GoneError
from vimlib._collector.poll_policy import PollPolicy
from vimlib._collector.row import fault_of
from vimlib._collector.sources import filter_spec, objects_of, opened, property_spec
from vimlib._collector.stream import Stream
from vimlib._collector.traversal import Walk
from vimlib._collector.typed import shape_of
from vimlib._collector.update_stream import open_updates
from vimlib._repr import robust
from vimlib.errors import DeadlineError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from msgspec import Struct

    from vimlib._collector.context import Context
    from vimlib._collector.row import Row
    from vimlib._collector.sources import Source
    from vimlib._collector.typed import Shape
    from vimlib._collector.update_stream import UpdateStream

    S = TypeVar("S", bound=Struct)

M = TypeVar("M", bound=vim25.ManagedObject)
T = TypeVar("T")

# Objects an update set. The first one reports all objects: without a cap it has made clients of
# large inventories time out. One more round trip for a few hundred costs little.
BATCH: Final = 500


class Watch(Stream[Change[T]]):
    """What `watch` returns: ``async with watch(...) as changes: async for change in changes``.

    First comes an `enter` for each object there is (then `synced` is true), then what happens.
    The next poll starts when all changes have been consumed, so a slow consumer polls less often and
    sees the same state: two changes in between arrive as one. Leaving releases
    collector, filter and view; see `Stream`.
    """

    def __init__(
        self,
        context: Context,
        kind: type[vim25.ManagedObject],
        shape: Shape[T],
        source: Source,
        batch: int,
    ) -> None:
        super().__init__()
        self._context = context
        self._kind = kind
        self._shape = shape
        self._source: Source = source
        if source is not None and not isinstance(source, vim25.ManagedObject | Walk):
            self._source = objects_of(source)  # it is needed again after each loss of the session
        self._batch = batch
        self.synced = False
        """Whether all objects have been reported. False again while a lost session
        is made up for."""

    async def _items(self) -> AsyncGenerator[Change[T], None]:
        cache, policy = (
            ObjectCache(self._shape),
            PollPolicy(self._context.patience, self._context.max_wait),
        )
        clock = asyncio.get_running_loop().time
        built = False
        while True:
            began = clock()
            try:
                async with aclosing(self._told(cache, policy)) as changes:
                    async for change in changes:
                        built = True
                        yield change
            except GoneError as error:
                delay = policy.gone(error.fault, began, clock())
            except InconsistentError:
                delay = policy.gone(vim25.InvalidCollectorVersion(), began, clock())
            except VimlibError as error:
                # Nothing was there yet: the caller learns at once that it cannot be had.
                if not built:
                    raise
                delay = policy.failed(error, began, clock())
            self.synced = False
            cache.begin_resync()
            await asyncio.sleep(delay)

    async def _told(
        self, cache: ObjectCache[T], policy: PollPolicy
    ) -> AsyncGenerator[Change[T], None]:
        """Yield changes until the objects on the server are gone."""
        context = self._context
        properties = [property_spec(self._kind.__name__, self._shape.paths)]
        async with (
            opened(context, self._kind, self._source) as objects,
            open_updates(context) as updates,
        ):
            own = {spec.obj.moref for spec in objects if isinstance(spec.obj, vim25.View)}
            starts = {spec.obj.moref for spec in objects if spec.skip} - own
            theirs = isinstance(self._source, vim25.View)  # which is not ours to recreate
            try:
                await updates.add(filter_spec(context, properties, objects))
            except vim25.ManagedObjectNotFound as fault:
                lost: vim25.ManagedObject | None = fault.obj
                if theirs or lost is None or lost.moref not in own:
                    raise
                raise GoneError(fault) from fault
            cache.expect([spec.obj for spec in objects if not spec.skip and not spec.selectSet])
            while True:
                update = await poll(context, updates, policy, self._batch)
                if update is None:
                    continue
                news: list[Change[T]] = []
                problem: Exception | None = None
                try:
                    news.extend(_news(cache, update, own, starts))
                    if not update.truncated:
                        news.extend(cache.settle())
                # Changes before it are in the cache already, so they must be yielded.
                except (InconsistentError, vim25.ManagedObjectNotFound) as error:
                    problem = error
                except GoneError as error:
                    ended = theirs and isinstance(error.fault, vim25.ManagedObjectNotFound)
                    problem = error.fault if ended else error
                for left, change in zip(range(len(news) - 1, -1, -1), news, strict=True):
                    self.synced = self.synced or not (left or update.truncated or problem)
                    yield change
                if problem is not None:
                    raise problem
                policy.progressed()
                self.synced = self.synced or not update.truncated

    @robust
    def __repr__(self) -> str:
        return (
            f"<Watch of {self._kind.__name__} {', '.join(self._shape.paths)} synced={self.synced}>"
        )


def _news(
    cache: ObjectCache[T],
    update: vim25.UpdateSet,
    own: set[tuple[str, str]],
    starts: set[tuple[str, str]],
) -> Iterator[Change[T]]:
    """Yield the changes. Raises if a view or a start of the walk is gone."""
    for part in update.filterSet:
        for missing in part.missingSet:
            if missing.obj.moref in own:  # so objects missing from it have not left
                raise GoneError(fault_of(missing.fault))
        for item in part.objectSet:
            change = cache.apply(item)
            if change is not None:
                yield change
        for missing in part.missingSet:
            fault = fault_of(missing.fault)
            if missing.obj.moref in starts:  # never reported, so no change can report that it left
                raise vim25.ManagedObjectNotFound(obj=missing.obj)
            yield from cache.lost(missing.obj, fault)


async def poll(
    context: Context, updates: UpdateStream, policy: PollPolicy, batch: int
) -> vim25.UpdateSet | None:
    """Poll once, in step: resume by version after a lost connection, never in a busy loop.

    The caller decides whether an update is progress (`PollPolicy.progressed`).

    Raises:
        GoneError: The objects on the server must be rebuilt.
        VimlibError: The host was away for longer than patience lasts, or refuses.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        update = await updates.poll(batch, policy.longest)
        if update is None and not updates.woken and policy.doubtful(began, clock()):
            await _probe(context)
        if update is not None:
            check_updates(update)
    except VimlibError as error:
        await asyncio.sleep(policy.failed(error, began, clock()))
        return None
    policy.fine()
    if update is None:
        if not updates.woken:
            await asyncio.sleep(policy.idle(began, clock()))
        return None
    if updates.repeated:
        # Nothing new either: a host that repeats itself is not asked as fast as it answers.
        await asyncio.sleep(policy.idle(began, clock()))
    if policy.relogin(_logged_out(update)):
        raise GoneError(vim25.NotAuthenticated())
    return update


async def _probe(context: Context) -> None:
    """Read what only a live session may read, so that a dead one is detected and renewed."""
    manager = context.content.sessionManager
    if manager is not None:
        await get(context, context.bind(manager), "currentSession")


def _logged_out(update: vim25.UpdateSet) -> bool:
    # One of the faces of an expired session: properties missing for want of a login. Building
    # makes a call that fails with a fault, on which the session logs in.
    return any(
        isinstance(missing.fault.fault, vim25.NotAuthenticated)
        for part in update.filterSet
        for item in part.objectSet
        for missing in item.missingSet
    )


@overload
def watch(
    context: Context, kind: type[M], /, *paths: str, source: Source = None, batch: int = BATCH
) -> Watch[Row[M]]: ...
@overload
def watch(
    context: Context,
    kind: type[vim25.ManagedObject],
    shape: type[S],
    /,
    *,
    source: Source = None,
    batch: int = BATCH,
) -> Watch[S]: ...
def watch(
    context: Context,
    kind: type[vim25.ManagedObject],
    /,
    *what: Any,
    source: Source = None,
    batch: int = BATCH,
) -> Watch[Any]:
    """Watch properties of all objects of type `kind` that `source` leads to.

    Nothing is sent before the first change is asked for. A lost connection is resumed by
    version; where the session or the version is gone, everything is read again and differences are yielded.

    Args:
        kind: Managed type; subtypes are included.
        what: Property paths, or one Struct class whose fields name paths.
        source: See `Source`; None is the whole inventory, new objects included.
        batch: Objects in one update set (API 4.1 and newer).

    Raises:
        UsageError: A path that the type does not have.
        VersionError: The host is older than the type or a path.
        TransportError: While iterating: the host was away for longer than `Context.patience`.
        ManagedObjectNotFound: While iterating: the view or a start of the walk that `source` is, is
            gone. Views end with the session that made them.
    """
    check_argument("batch", batch, (int,), "int")
    if batch < 1:
        raise UsageError(f"batch must be at least 1, got {batch}")
    return Watch(context, kind, shape_of(kind, what, context.api_version), source, batch)


async def wait_for(
    context: Context,
    obj: vim25.ManagedObject,
    path: str,
    predicate: Callable[[Any], bool],
    timeout: float | None = None,
) -> Any:
    """Wait until `predicate` holds for the value of `path`, and return that value.

    Told by the host, not polled for. The value is None while the property is not set.
    Cancelling releases the objects on the host.

    Raises:
        DeadlineError: It did not hold for `timeout` seconds.
        ManagedObjectNotFound: The object is gone.
        MethodFault: The property cannot be read; the host's reason.
    """
    check_argument("obj", obj, vim25.ManagedObject, "a managed object")
    check_argument("predicate", predicate, Callable, "a function of the value")
    value: Any = None
    holds = False
    try:
        async with (
            asyncio.timeout(timeout),
            watch(context, type(obj), path, source=[obj]) as changes,
        ):
            async for change in changes:
                if change.kind == "leave" and not change.row.missing:
                    raise vim25.ManagedObjectNotFound(obj=obj)
                value = change.row[path]
                holds = predicate(value)
                if holds:
                    return value
    except TimeoutError as error:
        if holds:  # the deadline passed while objects on the host were released
            return value
        if isinstance(error, VimlibError):
            raise
        raise DeadlineError(
            f"{path} of {obj!r} is still {value!r} after {timeout} s",
            hint="Give a longer timeout, or check on the host why it does not change.",
            host=context.invoker.host,
            phase="wait",
            seconds=timeout,
            outcome="not_sent",
        ) from None
    raise AssertionError("a watch ended without a close")
