"""Reading properties once: of all objects of a type, of one, of many."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import aclosing, asynccontextmanager, nullcontext
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from vimlib import vim25
from vimlib._arguments import check_argument
from vimlib._collector.bounds import PageCheck, bounded, bounded_items, check_timeout
from vimlib._collector.declared import accepted, check
from vimlib._collector.owned import acquire, release
from vimlib._collector.row import fault_of
from vimlib._collector.sources import opened, property_spec, retrieval_spec
from vimlib._collector.stream import Stream
from vimlib._collector.typed import shape_of
from vimlib._repr import robust
from vimlib.errors import OutcomeUnknownError, SessionExpiredError, UsageError
from vimlib.soap._typed import plain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from msgspec import Struct

    from vimlib._collector.context import Context
    from vimlib._collector.row import Row
    from vimlib._collector.sources import Source
    from vimlib._collector.typed import Shape
    from vimlib.model import MethodFault

    S = TypeVar("S", bound=Struct)

M = TypeVar("M", bound=vim25.ManagedObject)
T = TypeVar("T")

# Objects a page. Large enough that the round trip does not count, small enough that a page of
# whole configurations stays in the tens of megabytes.
PAGE: Final = 1000
# Each costs the listing once more; replies that get lost so often do not get through at all.
RESTARTS: Final = 3

# A page that does not come holds up a caller that was cancelled, or whose timeout has passed. It leaves
# on the host the rest of one retrieval, until the session ends.
FORGET_SECONDS: Final = 2.0

log = logging.getLogger("vimlib.collector")


class Collection(Stream[T]):
    """What `collect` returns: ``async for row in collection``, or ``await collection.all()``.

    The host works while you iterate. Leaving the loop early, an error in it and cancelling
    cancel the rest of the retrieval on the host and destroy the view it came from; see
    `Stream` for when. Each pass is a new retrieval.
    """

    def __init__(
        self,
        context: Context,
        kind: type[vim25.ManagedObject],
        shape: Shape[T],
        source: Source,
        limit: int | None,
        page: int,
        timeout: float | None,
    ) -> None:
        super().__init__()
        self._context = context
        self._kind = kind
        self._shape = shape
        self._source = source
        self._limit = limit
        self._page = page
        self._timeout = timeout

    async def all(self) -> list[T]:
        """Return all results. Cancelling cancels the retrieval on the host."""
        async with aclosing(self._items()) as rows:
            return [row async for row in rows]

    async def first(self) -> T | None:
        """Return the first result, None if there are no results. Cancels the rest of the retrieval."""
        async with aclosing(self._items()) as rows:
            async for row in rows:
                return row
        return None

    def _items(self) -> AsyncGenerator[T, None]:
        return bounded_items(self._context, "collect", self._timeout, self._rows())

    async def _rows(self) -> AsyncGenerator[T, None]:
        shape, left = self._shape, self._limit
        if left == 0:
            return
        page = self._page if left is None else min(self._page, left)
        async with aclosing(listing(self._context, self._begun, page)) as contents:
            async for content in contents:
                for found in content:
                    yield build(shape, found)
                    if left is not None:
                        left -= 1
                        if left == 0:
                            return

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[vim25.PropertyFilterSpec | None]:
        """Own the source's objects on the host and yield the filter, None for an empty source."""
        properties = [property_spec(self._kind.__name__, self._shape.paths)]
        async with opened(self._context, self._kind, self._source) as objects:
            yield retrieval_spec(self._context, properties, objects) if objects else None

    @robust
    def __repr__(self) -> str:
        return f"<Collection of {self._kind.__name__} {', '.join(self._shape.paths)}>"


def build(shape: Shape[T], found: vim25.ObjectContent) -> T:
    """Make one result of the host's data about one object."""
    missing: dict[str, MethodFault] = {}
    if found.missingSet:
        missing = {item.path: fault_of(item.fault) for item in found.missingSet}
    passed = accepted(type(found.obj))
    props = {}
    for item in found.propSet:
        name, value = item.name, item.val
        if type(value) not in passed[name]:
            value = plain(value)
            check(found.obj, name, value)
        props[name] = value
    return shape.make(found.obj, props, missing)


def pages(
    context: Context, spec: vim25.PropertyFilterSpec, page: int, *, most: int | None = None
) -> AsyncGenerator[list[vim25.ObjectContent], None]:
    """Yield the selected objects, as `listing`."""
    return listing(context, lambda: nullcontext(spec), page, most=most)


async def listing(
    context: Context,
    begin: Callable[[], AbstractAsyncContextManager[vim25.PropertyFilterSpec | None]],
    page: int,
    *,
    most: int | None = None,
) -> AsyncGenerator[list[vim25.ObjectContent], None]:
    """Yield the objects that the filter from `begin` selects, `page` at a time.

    Raises `ProtocolError` for pages that get nowhere, and `LimitError` for more than `most` objects
    (`Context.most_objects` if None).

    Closing it early cancels the rest on the host. A page that got lost cannot be asked for again,
    and a view ends with its session, so the listing restarts, at most `RESTARTS` times, and objects
    that were yielded are skipped. A host before 4.1 cannot page: it sends everything at once, by
    RetrieveProperties.
    """
    told: set[tuple[str, str]] = set()
    before: frozenset[tuple[str, str]] = frozenset()
    for left in range(RESTARTS, -1, -1):
        async with begin() as spec:
            if spec is None:
                return
            views = {item.obj.moref for item in spec.objectSet if _lists(item)}
            try:
                async with aclosing(_pages(context, spec, page, most)) as contents:
                    async for content, more in contents:
                        _look_for_views(content, views)
                        if more:
                            told.update(item.obj.moref for item in content)
                        if before:
                            content = [item for item in content if item.obj.moref not in before]
                        yield content
                return
            except (OutcomeUnknownError, SessionExpiredError) as error:
                if not left:
                    raise
                log.info("a page was lost, restarting the listing: %s", error)
            except vim25.ManagedObjectNotFound as gone:
                known: vim25.ManagedObject | None = gone.obj
                if not left or known is None or known.moref not in views:
                    raise
                log.info("a view was lost, restarting the listing: %s", gone)
        before = frozenset(told)


def _lists(item: vim25.ObjectSpec) -> bool:
    """Tell whether an object of a filter is a view that is there for its members alone."""
    return bool(item.skip) and isinstance(item.obj, vim25.View)


def _look_for_views(content: list[vim25.ObjectContent], views: set[tuple[str, str]]) -> None:
    """Raise `ManagedObjectNotFound` if the host reports a view of the filter as gone."""
    for item in content:
        if item.obj.moref in views:
            raise vim25.ManagedObjectNotFound(obj=item.obj)


async def _pages(
    context: Context, spec: vim25.PropertyFilterSpec, page: int, most: int | None
) -> AsyncGenerator[tuple[list[vim25.ObjectContent], bool], None]:
    """Yield pages, each with whether more follow."""
    collector = context.collector
    if not context.speaks("4.1"):
        yield await collector.RetrieveProperties([spec]), False
        return

    async def forget(result: vim25.RetrieveResult | None) -> None:
        if result is not None and result.token:
            try:
                await collector.CancelRetrievePropertiesEx(result.token)
            except (vim25.InvalidArgument, vim25.InvalidProperty):
                log.debug("the retrieval has already ended")

    options = vim25.RetrieveOptions(maxObjects=page)
    start = collector.RetrievePropertiesEx([spec], options)
    result = await acquire("a retrieval", start, forget, seconds=FORGET_SECONDS)
    pending = result
    progress = PageCheck(context.invoker.host, context.most_objects if most is None else most)
    try:
        while result is not None:
            if result.token:
                progress.page((item.obj.moref for item in result.objects), result.token)
            yield result.objects, bool(result.token)
            if not result.token:
                pending = None
                return
            token = result.token
            more = collector.ContinueRetrievePropertiesEx(token)
            result = pending = await acquire("a retrieval", more, forget, seconds=FORGET_SECONDS)
    except asyncio.CancelledError:
        # Cancelled during a call: its token is used up, and `acquire` has seen to the next one.
        raise
    except BaseException:
        if pending is not None and pending.token:
            await release("a retrieval", forget(pending), seconds=FORGET_SECONDS)
        raise


@overload
def collect(
    context: Context,
    kind: type[M],
    /,
    *paths: str,
    source: Source = None,
    limit: int | None = None,
    page: int = PAGE,
    timeout: float | None = None,
) -> Collection[Row[M]]: ...
@overload
def collect(
    context: Context,
    kind: type[vim25.ManagedObject],
    shape: type[S],
    /,
    *,
    source: Source = None,
    limit: int | None = None,
    page: int = PAGE,
    timeout: float | None = None,
) -> Collection[S]: ...
def collect(
    context: Context,
    kind: type[vim25.ManagedObject],
    /,
    *what: Any,
    source: Source = None,
    limit: int | None = None,
    page: int = PAGE,
    timeout: float | None = None,
) -> Collection[Any]:
    """Read properties of all objects of type `kind` that `source` leads to.

    Nothing is sent before the first row is asked for.

    Args:
        kind: Managed type, as `vim25.VirtualMachine`; subtypes are included.
        what: Property paths, each row then a `Row`; or one Struct class whose fields name paths.
            No path at all gives rows with the object alone.
        source: See `Source`; None is the whole inventory.
        limit: At most so many rows. The host receives it: it sends at most one page more.
        page: Objects a reply (API 4.1 and newer).
        timeout: Seconds for each pass, checked while the host is awaited; None: no limit.

    Raises:
        UsageError: A path that the type does not have, a `limit` below 0, a `page` below 1, a
            `timeout` that is not positive.
        VersionError: The host is older than the type or a path.
        DeadlineError: While iterating: `timeout` has passed; the rest is cancelled on the host.
        ProtocolError: While iterating: the host's pages get nowhere.
        LimitError: While iterating: more than `Limits.objects` objects.
        ManagedObjectNotFound: While iterating: the view, the container or a start of the walk that
            `source` is, is gone. Of objects that are named one by one, one that is gone is left out
            (a host before 4.1 refuses them all).
    """
    check_argument("page", page, (int,), "int")
    check_argument("limit", limit, (int, NoneType), "int | None")
    if page < 1:
        raise UsageError(f"page must be at least 1, got {page}")
    if limit is not None and limit < 0:
        raise UsageError(f"limit must be at least 0, got {limit}")
    check_timeout(timeout)
    shape = shape_of(kind, what, context.api_version)
    return Collection(context, kind, shape, source, limit, page, timeout)


@overload
async def get(context: Context, obj: M, /, *paths: str, timeout: float | None = None) -> Row[M]: ...
@overload
async def get(
    context: Context, obj: vim25.ManagedObject, shape: type[S], /, *, timeout: float | None = None
) -> S: ...
@overload
async def get(
    context: Context, obj: Iterable[M], /, *paths: str, timeout: float | None = None
) -> list[Row[M]]: ...
@overload
async def get(
    context: Context,
    obj: Iterable[vim25.ManagedObject],
    shape: type[S],
    /,
    *,
    timeout: float | None = None,
) -> list[S]: ...
async def get(context: Context, obj: Any, /, *what: Any, timeout: float | None = None) -> Any:
    """Read properties of one object, or of many in one go.

    For one object gives one result, for an iterable a list in the same order. Objects may be of
    different types; a path must be known to each. Cancelling leaves nothing behind. `timeout`: seconds
    for all of it.

    Raises:
        DeadlineError: `timeout` has passed.
        ProtocolError: The host's pages get nowhere.
        LimitError: The host sends more objects than were requested, page by page.
        ManagedObjectNotFound: The one object is gone. Of many, one that is gone has this fault
            at every path of its `missing`.
        UsageError: A path that the type does not have.
        VersionError: The host is older than a path.
    """
    check_argument("obj", obj, (Iterable, vim25.ManagedObject), "a managed object or several")
    alone = isinstance(obj, vim25.ManagedObject)
    objects = [obj] if alone else list(obj)
    for item in objects:
        check_argument("obj", item, (vim25.ManagedObject,), "managed objects only")
    async with bounded(context, "get", timeout):
        rows = await _get_many(context, objects, what, alone=alone)
    return rows[0] if alone else rows


async def _get_many(
    context: Context, objects: list[vim25.ManagedObject], what: tuple[Any, ...], *, alone: bool
) -> list[Any]:
    if not objects:
        return []
    shapes = {
        kind: shape_of(kind, what, context.api_version) for kind in {type(obj) for obj in objects}
    }
    properties = {
        obj.moref[0]: property_spec(obj.moref[0], shapes[type(obj)].paths) for obj in objects
    }
    unique = {obj.moref: obj for obj in objects}
    found: dict[tuple[str, str], vim25.ObjectContent] = {}
    while unique:
        spec = vim25.PropertyFilterSpec(
            propSet=list(properties.values()),
            objectSet=[vim25.ObjectSpec(obj=item) for item in unique.values()],
        )
        if context.speaks("4.1") and not alone:
            spec.reportMissingObjectsInResults = True
        try:
            async with aclosing(pages(context, spec, PAGE, most=len(unique))) as contents:
                async for content in contents:
                    found.update((item.obj.moref, item) for item in content)
            break
        except vim25.ManagedObjectNotFound as gone:
            # A host before 4.1 refuses the lot for one that is gone, and names it.
            known: vim25.ManagedObject | None = gone.obj
            if alone or known is None or known.moref not in unique:
                raise
            del unique[known.moref]
    return [_result(obj, shapes[type(obj)], found.get(obj.moref), alone) for obj in objects]


def _result(
    obj: vim25.ManagedObject, shape: Shape[T], found: vim25.ObjectContent | None, alone: bool
) -> T:
    if found is not None:
        return build(shape, found)
    gone = vim25.ManagedObjectNotFound(obj=obj)
    if alone:
        raise gone
    return shape.make(obj, {}, {path: gone.copy() for path in shape.paths})
