"""Runs one blocking job at a time in a given executor, and never abandons one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from vimlib._shield import settled
from vimlib.errors import ClosedError

if TYPE_CHECKING:
    from concurrent.futures import Executor

T = TypeVar("T")


class Worker(Generic[T]):
    """Use it with `async with`: leaving waits for the job, since a thread cannot be cancelled.

    Args:
        executor: Executor of the jobs; None means the loop's default.
    """

    def __init__(self, executor: Executor | None) -> None:
        self._executor = executor
        self._job: asyncio.Future[T] | None = None

    def busy(self) -> bool:
        """Return whether a job was started whose result nobody has taken."""
        return self._job is not None

    def start(self, function: Callable[..., T], *args: object) -> None:
        """Start a job; the previous one must have been awaited with `result`.

        Raises:
            ClosedError: The owner of the executor has closed it.
        """
        try:
            self._job = asyncio.get_running_loop().run_in_executor(self._executor, function, *args)
        except RuntimeError:
            raise ClosedError("the uploader is closed") from None

    async def result(self) -> T:
        """Wait for the job; return or raise its outcome. Cancelling is put off until it has ended."""
        assert self._job is not None
        job, self._job = self._job, None
        await settled(job)
        return job.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._job is not None:
            await settled(self._job)
