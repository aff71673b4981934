"""Views: lists of objects that the server keeps, owned by an async context manager."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vimlib import vim25
from vimlib._collector.owned import acquire, release
from vimlib._collector.paths import check_kind
from vimlib.errors import UsageError, VersionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vimlib._collector.context import Context


def view_manager(context: Context) -> vim25.ViewManager:
    """Return the host's view manager.

    Raises:
        VersionError: The host has none (before API 2.5).
    """
    manager = context.content.viewManager
    if manager is None:
        raise VersionError(
            f"{context.invoker.host} has no ViewManager",
            hint="Give a traversal as source: INVENTORY.start(client.content.rootFolder).",
            item="ViewManager",
            needs="2.5",
            speaks=context.api_version,
        )
    return context.bind(manager)


async def open_list(
    context: Context, objects: Sequence[vim25.ManagedObject] = ()
) -> vim25.ListView:
    """Create a ListView that nobody owns yet. Cancelling leaves none behind."""
    make = view_manager(context).CreateListView(obj=list(objects))
    return context.bind(
        await acquire("a ListView", make, lambda view: context.bind(view).DestroyView())
    )


@asynccontextmanager
async def container_view(
    context: Context,
    *kinds: type[vim25.ManagedObject],
    root: vim25.ManagedObject | None = None,
    recursive: bool = True,
) -> AsyncIterator[vim25.ContainerView]:
    """Own a view of all objects of the `kinds` below `root` (the root folder if None).

    A source for `collect` and `watch`; its members follow the inventory. Destroyed, shielded,
    on every way out; cancelling leaves nothing behind.

    Raises:
        UsageError: A kind is not part of the inventory.
    """
    for kind in kinds:
        check_kind(kind, context.api_version)
        if not issubclass(kind, vim25.ManagedEntity):
            raise UsageError(
                f"a container view cannot list {kind.__name__}, which is not part of the inventory tree",
                hint="Give the objects themselves as source, or a traversal to them.",
            )
    make = view_manager(context).CreateContainerView(
        context.content.rootFolder if root is None else root,  # type: ignore[arg-type]
        type=[kind.__name__ for kind in kinds],
        recursive=recursive,
    )
    made = await acquire("a ContainerView", make, lambda view: context.bind(view).DestroyView())
    view = context.bind(made)
    try:
        yield view
    finally:
        await release(repr(view), view.DestroyView())


@asynccontextmanager
async def list_view(
    context: Context, objects: Sequence[vim25.ManagedObject] = ()
) -> AsyncIterator[vim25.ListView]:
    """Own a view of the given objects; `await view.ModifyListView(add=[...])` changes its members.

    Destroyed, shielded, on every way out; cancelling leaves nothing behind.
    """
    view = await open_list(context, objects)
    try:
        yield view
    finally:
        await release(repr(view), view.DestroyView())
