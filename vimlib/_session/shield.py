"""Work that must end whatever happens to its caller."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

log = logging.getLogger("vimlib.session")


async def finish(
    work: Coroutine[Any, Any, T], *, what: str = "work", grace: float | None = None
) -> T:
    """Await `work` to its end, however often the caller is cancelled.

    A cancellation is raised after the end; an error of the work is then logged. With
    `grace`, the work is cancelled itself when it has not ended that many seconds after the first
    cancellation; without, give it a deadline of its own.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name=f"vimlib {what}")
    cancelled: asyncio.CancelledError | None = None
    limit: asyncio.TimerHandle | None = None
    try:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as exc:
                cancelled = exc
                if grace is not None and limit is None:
                    limit = loop.call_later(grace, task.cancel)
        if cancelled is None:
            return task.result()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s failed after its caller was cancelled: %r", what, error)
        raise cancelled
    finally:
        cancelled = None  # the exception holds this frame
        if limit is not None:
            limit.cancel()
