"""A deadline over a whole verb, which knows how far the verb came when it passes."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from vimlib.errors import DeadlineError, UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimlib._datastore.path import DatastorePath
    from vimlib.errors import Outcome


class Course:
    """How far a verb came: told by the verb, read when its deadline passes."""

    __slots__ = ("outcome", "task")

    def __init__(self) -> None:
        self.outcome: Outcome = "not_sent"
        self.task: Any = None

    def looking(self, task: Any) -> None:
        """Note a task that changes nothing. One that does is not forgotten for it."""
        if self.outcome == "not_sent":
            self.task = task

    def changing(self) -> None:
        """Note that the call which changes something is about to leave."""
        self.outcome = "unknown"
        self.task = None


@asynccontextmanager
async def within(
    seconds: float, verb: str, path: DatastorePath, host: str
) -> AsyncIterator[Course]:
    """Bound the block by `seconds` (`math.inf`: not at all).

    Raises:
        UsageError: `seconds` is not positive.
        DeadlineError: They passed. `phase` is the verb, `task` the host's task where one was
            begun, `outcome` is `unknown` where something that changes files had left.
    """
    if not seconds > 0:
        raise UsageError(f"the timeout must be above 0, got {seconds!r}")
    course = Course()
    try:
        async with asyncio.timeout(None if math.isinf(seconds) else seconds):
            yield course
    except TimeoutError as error:
        if isinstance(error, VimlibError):
            raise
        raise _passed(course, seconds, verb, path, host) from None


def _passed(
    course: Course, seconds: float, verb: str, path: DatastorePath, host: str
) -> DeadlineError:
    reads = course.outcome == "not_sent"
    if reads:
        hint = "Nothing was changed. Try again, or give a longer timeout."
    elif course.task is None:
        hint = "The host may have executed it: check the file before you act again."
    else:
        hint = "The host's task is still running: wait for it with client.wait(error.task), or cancel it."
    error = DeadlineError(
        f"{verb} of {path} did not finish within {seconds:g} s",
        hint=hint,
        host=host,
        phase=verb,
        seconds=seconds,
        outcome=course.outcome,
        retryable=reads,
    )
    error.task = course.task
    return error
