"""One blocking job at a time in somebody else's executor, and never one left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["Worker"]

T = TypeVar("T")


class Worker(Generic[T]):
    """Hold it with `async with`: leaving waits for the job, since a thread cannot be cancelled.

    Args:
        executor: Where jobs run; None means the loop's own.
    """

    def __init__(self, executor: Executor | None) -> None:
        self._executor = executor
        self._job: asyncio.Future[T] | None = None

    def start(self, function: Callable[..., T], *args: object) -> None:
        """Begin a job; the one before must have been awaited with `result` or `idle`."""
        self._job = asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    async def result(self) -> T:
        """Wait for the job and return or raise what it did. Cancelling leaves it to `async with`."""
        assert self._job is not None
        value = await asyncio.shield(self._job)
        self._job = None
        return value

    async def idle(self) -> None:
        """Wait for the job, if there is one, and raise what it raised."""
        if self._job is not None:
            await self.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._job is None:
            return
        cancelled: asyncio.CancelledError | None = None
        while not self._job.done():
            try:
                await asyncio.wait([self._job])
            except asyncio.CancelledError as error:
                cancelled = error  # the job ends by itself; tell it then
        if not self._job.cancelled():
            self._job.exception()  # seen: whatever ended the block is told instead
        if cancelled is not None:
            raise cancelled
