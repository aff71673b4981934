"""Where the objects to read or to watch come from, as the object set of a filter."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from vimlib import vim25
from vimlib._collector.traversal import Walk
from vimlib._collector.typed import EVERYTHING
from vimlib._collector.views import container_view
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vimlib._collector.context import Context

Source: TypeAlias = vim25.ManagedObject | Walk | Iterable[vim25.ManagedObject] | None
"""None: all of the host's inventory, through a ContainerView. A folder, datacenter or other
container: all below it. A View: its members. A `Walk`: where it leads. One object of the wanted
type, or an iterable of objects: these."""


def property_spec(kind: str, paths: Sequence[str]) -> vim25.PropertySpec:
    """Return what to read of objects of type `kind`."""
    if tuple(paths) == (EVERYTHING,):
        return vim25.PropertySpec(type=kind, all=True)
    return vim25.PropertySpec(type=kind, all=False, pathSet=list(paths))


def members_of(view: vim25.View) -> vim25.ObjectSpec:
    """Return the object set of all members of a view."""
    step = vim25.TraversalSpec(name="members", type=view.moref[0], path="view", skip=False)
    return vim25.ObjectSpec(obj=view, skip=True, selectSet=[step])


def filter_spec(
    context: Context, properties: list[vim25.PropertySpec], objects: list[vim25.ObjectSpec]
) -> vim25.PropertyFilterSpec:
    """Return a filter that tolerates deleted objects, where the host can do that.

    Its updates report them. A retrieval leaves them out: see `retrieval_spec`.
    """
    spec = vim25.PropertyFilterSpec(propSet=properties, objectSet=objects)
    if context.speaks("4.1"):
        spec.reportMissingObjectsInResults = True
    return spec


def retrieval_spec(
    context: Context, properties: list[vim25.PropertySpec], objects: list[vim25.ObjectSpec]
) -> vim25.PropertyFilterSpec:
    """Return what to read once: for a start that is gone, a view or where a walk begins, it is refused.

    Without it the host would silently leave out everything behind it.
    """
    if any(item.skip or item.selectSet for item in objects):
        return vim25.PropertyFilterSpec(propSet=properties, objectSet=objects)
    return filter_spec(context, properties, objects)


@asynccontextmanager
async def opened(
    context: Context, kind: type[vim25.ManagedObject], source: Source
) -> AsyncIterator[list[vim25.ObjectSpec]]:
    """Yield the object set of `source`, and release the temporary objects it needs on exit.

    Raises:
        UsageError: Invalid `source`.
    """
    if source is None:
        async with container_view(context, kind) as view:
            yield [members_of(view)]
    elif isinstance(source, Walk):
        select = source.traversal.at(context.api_version).select()
        yield [
            vim25.ObjectSpec(obj=start, skip=not source.include, selectSet=select)
            for start in source.starts
        ]
    elif isinstance(source, vim25.View):
        yield [members_of(source)]
    elif isinstance(source, vim25.ManagedObject):
        if isinstance(source, kind):
            yield [vim25.ObjectSpec(obj=source)]
        else:
            async with container_view(context, kind, root=source) as view:
                yield [members_of(view)]
    else:
        yield [vim25.ObjectSpec(obj=obj) for obj in objects_of(source)]


def objects_of(source: object) -> list[vim25.ManagedObject]:
    """Return the objects of an iterable. Raises `UsageError` for anything else."""
    objects: list[Any] = list(source) if isinstance(source, Iterable) else [source]
    if not all(isinstance(obj, vim25.ManagedObject) for obj in objects):
        raise UsageError(
            f"invalid source of objects: {type(source).__name__}",
            hint="Give None, an object, an iterable of objects, a view or a traversal.",
        )
    return objects
