"""Objects that one update stream watches, coming and going: in a ListView, or by a filter for each."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol

from vimlib import vim25
from vimlib._collector.owned import GoneError, release
from vimlib._collector.sources import filter_spec, members_of
from vimlib._collector.views import open_list

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vimlib._collector.context import Context
    from vimlib._collector.update_stream import UpdateStream

# References in one ModifyListView: a request of about half a megabyte.
CHUNK: Final = 5000


class FilterSet(Protocol):
    """Members whose properties an update stream reports."""

    async def change(
        self, add: Sequence[vim25.ManagedObject], remove: Sequence[vim25.ManagedObject]
    ) -> list[vim25.ManagedObject]:
        """Let members in and out; return those that the host does not know.

        Raises:
            GoneError: What keeps the members on the host is no more.
        """
        ...

    def owns(self, item: vim25.PropertyFilter) -> bool:
        """Return whether a filter's updates are about these members."""
        ...

    def stands_on(self, obj: vim25.ManagedObject) -> bool:
        """Return whether `obj` is what keeps the members on the host."""
        ...


class ViewFilterSet:
    """Members of one ListView: any number come and go in one call."""

    def __init__(self, view: vim25.ListView, item: vim25.PropertyFilter) -> None:
        self._view = view
        self._filter = item.moref

    def owns(self, item: vim25.PropertyFilter) -> bool:
        """Return whether a filter's updates are about these members."""
        return item.moref == self._filter

    def stands_on(self, obj: vim25.ManagedObject) -> bool:
        """Return whether `obj` is the view."""
        return obj.moref == self._view.moref

    async def change(
        self, add: Sequence[vim25.ManagedObject], remove: Sequence[vim25.ManagedObject]
    ) -> list[vim25.ManagedObject]:
        """Let members in and out; see `FilterSet`."""
        unknown: list[vim25.ManagedObject] = []
        for at in range(0, max(len(add), len(remove)), CHUNK):
            unknown += await self._modify(list(add[at : at + CHUNK]), list(remove[at : at + CHUNK]))
        return unknown

    async def _modify(
        self, add: list[vim25.ManagedObject], remove: list[vim25.ManagedObject]
    ) -> list[vim25.ManagedObject]:
        unknown: list[vim25.ManagedObject] = []
        while add or remove:
            try:
                return unknown + await self._view.ModifyListView(add=add, remove=remove)
            except vim25.ManagedObjectNotFound as fault:
                # Most hosts list the unknown ones in the answer; some refuse at the first.
                lost: vim25.ManagedObject | None = fault.obj
                left = [obj for obj in add if lost is None or obj.moref != lost.moref]
                if lost is None or len(left) == len(add):
                    raise GoneError(fault) from fault
                unknown.append(lost)
                add = left
        return unknown


class PlainFilterSet:
    """A filter for each member, for hosts without views: two calls a member."""

    def __init__(
        self, context: Context, updates: UpdateStream, properties: list[vim25.PropertySpec]
    ) -> None:
        self._context = context
        self._updates = updates
        self._properties = properties
        self._filters: dict[tuple[str, str], vim25.PropertyFilter] = {}
        self._ours: set[tuple[str, str]] = set()

    def owns(self, item: vim25.PropertyFilter) -> bool:
        """Return whether a filter's updates are about these members."""
        return item.moref in self._ours

    def stands_on(self, obj: vim25.ManagedObject) -> bool:
        """Return False: it uses no view."""
        return False

    async def change(
        self, add: Sequence[vim25.ManagedObject], remove: Sequence[vim25.ManagedObject]
    ) -> list[vim25.ManagedObject]:
        """Let members in and out; see `FilterSet`."""
        unknown: list[vim25.ManagedObject] = []
        for obj in remove:
            item = self._filters.pop(obj.moref, None)
            if item is not None:
                self._ours.discard(item.moref)
                await self._updates.remove(item)
        for obj in add:
            spec = filter_spec(self._context, self._properties, [vim25.ObjectSpec(obj=obj)])
            try:
                item = self._filters[obj.moref] = await self._updates.add(spec)
                self._ours.add(item.moref)
            except vim25.ManagedObjectNotFound:
                unknown.append(obj)
        if add:
            # A poll that waits need not notice a filter that was not there when it began.
            await self._updates.wake()
        return unknown


@asynccontextmanager
async def open_filter_set(
    context: Context, updates: UpdateStream, properties: list[vim25.PropertySpec]
) -> AsyncIterator[FilterSet]:
    """Own a filter set without members, whose properties `updates` reports."""
    if context.content.viewManager is None:
        yield PlainFilterSet(context, updates, properties)
        return
    view = await open_list(context)
    try:
        try:
            item = await updates.add(filter_spec(context, properties, [members_of(view)]))
        except vim25.ManagedObjectNotFound as fault:  # the view, which has ended with its session
            raise GoneError(fault) from fault
        yield ViewFilterSet(view, item)
    finally:
        await release(repr(view), view.DestroyView())
