"""Reading several types at once: one retrieval for all that a decision needs."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from vimlib import vim25
from vimlib._collector.bounds import bounded
from vimlib._collector.collect import PAGE, build, pages
from vimlib._collector.sources import property_spec, retrieval_spec
from vimlib._collector.traversal import HOSTING
from vimlib._collector.typed import shape_of
from vimlib.errors import ProtocolError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vimlib._collector.context import Context
    from vimlib._collector.row import Row
    from vimlib._collector.traversal import Walk

M = TypeVar("M", bound=vim25.ManagedObject)
Kind = type[vim25.ManagedObject]


async def gather(
    context: Context,
    wanted: Mapping[type[M], Sequence[str]],
    *,
    source: Walk | None = None,
    timeout: float | None = None,
) -> dict[Kind, list[Row[Any]]]:
    """Read properties of objects of several types in one retrieval, without a view.

    Args:
        wanted: Managed types to their property paths; no type may be the base of another.
        source: Where to walk; None is `HOSTING` from the root folder: datacenters, compute resources,
            hosts, root resource pools, datastores and networks, and no machine.
        timeout: Seconds for all of it.

    Returns a list for each type, empty where there are none. Cancelling leaves nothing behind.

    Raises:
        UsageError: A path that a type does not have, or a type that is the base of another.
        VersionError: The host is older than a type or a path.
        DeadlineError: `timeout` has passed.
        ManagedObjectNotFound: The start of the walk is gone.
        ProtocolError: The host lists an object of another type.
    """
    for kind in wanted:
        derived = [other for other in wanted if other is not kind and issubclass(other, kind)]
        if derived:
            raise UsageError(
                f"types must not be derived from each other, got {kind.__name__} and {derived[0].__name__}"
            )
    walk = source or HOSTING.start(context.content.rootFolder)
    shapes = {
        kind: shape_of(kind, tuple(paths), context.api_version) for kind, paths in wanted.items()
    }
    properties = [property_spec(kind.__name__, shape.paths) for kind, shape in shapes.items()]
    select = walk.traversal.at(context.api_version).select()
    starts = [
        vim25.ObjectSpec(obj=start, skip=not walk.include, selectSet=select)
        for start in walk.starts
    ]
    found: dict[Kind, list[Row[Any]]] = {kind: [] for kind in wanted}
    spec = retrieval_spec(context, properties, starts)
    async with (
        bounded(context, "gather", timeout),
        aclosing(pages(context, spec, PAGE)) as contents,
    ):
        async for content in contents:
            for item in content:
                kinds = [kind for kind in wanted if isinstance(item.obj, kind)]
                if not kinds:
                    raise ProtocolError(
                        f"{context.invoker.host} lists {item.obj!r}, whose type was not asked for",
                        hint="Check for a proxy between here and the host.",
                    )
                found[kinds[0]].append(build(shapes[kinds[0]], item))
    return found
