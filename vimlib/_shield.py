"""Work that ends whatever happens to its caller."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

log = logging.getLogger("vimlib.shield")


async def settled(
    *futures: asyncio.Future[Any], on_cancel: Callable[[], object] | None = None
) -> None:
    """Wait until all futures are done, however often the caller is cancelled.

    A cancellation is raised after that; `on_cancel` is called at each one, to hasten the end. The
    outcomes of the futures are left to the caller, and none is reported as never retrieved.
    """
    cancelled: asyncio.CancelledError | None = None
    try:
        while waiting := [future for future in futures if not future.done()]:
            try:
                await asyncio.wait(waiting)
            except asyncio.CancelledError as exc:
                cancelled = exc
                if on_cancel is not None:
                    on_cancel()
        for future in futures:
            if not future.cancelled():
                future.exception()
        if cancelled is not None:
            raise cancelled
    finally:
        cancelled = None  # the exception holds this frame


async def stopped(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait for their end, as `settled` does."""
    for task in tasks:
        task.cancel()
    await settled(*tasks)


async def finish(
    work: Awaitable[T],
    *,
    what: str = "work",
    grace: float | None = None,
    undo: Callable[[T], Awaitable[object]] | None = None,
) -> T:
    """Await `work` to its end, however often the caller is cancelled.

    A cancellation is raised after the end. The caller then never sees the outcome: an error is
    logged, a result is given to `undo`, which is awaited to its end as well. With `grace`, the work is
    cancelled itself when it has not ended that many seconds after the first cancellation; without,
    give it a deadline of its own.
    """
    task = asyncio.ensure_future(work)
    limit: asyncio.TimerHandle | None = None

    def hurry() -> None:
        nonlocal limit
        if grace is not None and limit is None:
            limit = asyncio.get_running_loop().call_later(grace, task.cancel)

    try:
        await settled(task, on_cancel=hurry)
    except asyncio.CancelledError:
        if task.cancelled():
            log.debug("%s was cancelled", what)
        elif (error := task.exception()) is not None:
            log.warning("%s failed after its caller was cancelled: %r", what, error)
        elif undo is not None:
            await finish(undo(task.result()), what=f"undoing {what}")
        raise
    finally:
        if limit is not None:
            limit.cancel()
    return task.result()
