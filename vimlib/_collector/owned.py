"""Temporary objects on the server: made and given back even when the caller is cancelled.

A request that has left cannot be called back. So a creating call runs to its end whatever
happens to its caller; if the caller is gone by then, the created object is destroyed. Destroying
runs to its end as well, and its own failure is logged, never raised over the first error.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vimlib import vim25
from vimlib._shield import finish
from vimlib._transport.budget import urgent
from vimlib.errors import VimlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

log = logging.getLogger("vimlib.collector")

# A host that does not answer must not hold its client's exit for ever; what stays on the server
# then ends with the session.
RELEASE_SECONDS: Final = 15.0


class GoneError(Exception):
    """The collector, a filter or its version no longer exists: rebuild all of it. Internal.

    `fault` is the reason: a fault, or the lost reply of a call that created some of it.
    """

    def __init__(self, fault: VimlibError) -> None:
        super().__init__(fault)
        self.fault = fault


async def release(
    what: str, work: Coroutine[Any, Any, object], *, seconds: float = RELEASE_SECONDS
) -> None:
    """Give back something on the server, shielded and bounded. Failing is logged, never raised.

    Cancelling is put off until the work has ended or `seconds` have passed.
    """

    async def bounded() -> None:
        try:
            with urgent():
                async with asyncio.timeout(seconds):
                    await work
        except vim25.ManagedObjectNotFound:
            log.debug("%s no longer exists", what)
        except (VimlibError, TimeoutError) as error:
            log.warning("cannot release %s, which remains until the session ends: %r", what, error)

    await finish(bounded(), what=f"release of {what}")


async def acquire(
    what: str,
    make: Coroutine[Any, Any, T],
    undo: Callable[[T], Coroutine[Any, Any, object]],
    *,
    seconds: float = RELEASE_SECONDS,
) -> T:
    """Create something on the server and return it.

    Cancelling waits for the creating call to end, destroys the created object by `undo`, and then is
    raised: nothing stays behind, unless one of both takes longer than `seconds`.
    """
    return await finish(
        make,
        what=f"creation of {what}",
        grace=seconds,
        undo=lambda made: release(what, undo(made), seconds=seconds),
    )
