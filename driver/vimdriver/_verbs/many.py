"""One verb for many objects, some at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from vimlib._shield import stopped
from vimlib.errors import UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

R = TypeVar("R")


async def completed(
    act: Callable[[str], Awaitable[R]], names: Iterable[str], *, parallel: int = 1
) -> AsyncGenerator[tuple[str, R | VimlibError], None]:
    """Call `act` for each name, `parallel` at the same time, and yield results in the order of the names.

    An error of one name is its result and does not stop the others. Closing it and cancelling
    cancel those that are at work, wait for them, and begin no other.

    Raises:
        UsageError: `parallel` is below 1.
    """
    if parallel < 1:
        raise UsageError(f"parallel must be at least 1, got {parallel}", field="parallel")
    room = asyncio.Semaphore(parallel)

    async def one(name: str) -> R | VimlibError:
        async with room:
            try:
                return await act(name)
            except VimlibError as error:
                return error

    work = [(name, asyncio.ensure_future(one(name))) for name in names]
    try:
        for name, task in work:
            # A cancellation of this wait reaches all at once, below: none takes the place of another.
            await asyncio.wait([task])
            yield name, task.result()
    finally:
        await stopped(*(task for _, task in work))


async def for_each(
    act: Callable[[str], Awaitable[R]], names: Iterable[str], *, parallel: int = 4
) -> dict[str, R | VimlibError]:
    """Call a verb for each of many machines, and return the result or error of each.

    ``await for_each(driver.power_on, ["web-1", "web-2"], parallel=8)``. Cancelling cancels the verbs
    that are at work, waits until they have undone their steps, and begins no other.

    Raises:
        UsageError: `parallel` is below 1.
    """
    return {name: found async for name, found in completed(act, names, parallel=parallel)}
