"""A deadline over a whole verb, which knows how far the verb came when it passes."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from vimlib.errors import DeadlineError, VimlibError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimlib._datastore.path import DatastorePath
    from vimlib._progress import Progress
    from vimlib._transport.pace import Deadline
    from vimlib.errors import Outcome


class Course:
    """How far a verb came: told by the verb, read when its deadline passes."""

    __slots__ = ("bytes", "outcome", "task")

    def __init__(self) -> None:
        self.outcome: Outcome = "not_sent"
        self.task: Any = None
        self.bytes: int | None = None
        """Of a transfer, the bytes that have left."""

    def looking(self, task: Any) -> None:
        """Note a task that changes nothing. One that does is not forgotten for it."""
        if self.outcome == "not_sent":
            self.task = task

    def changing(self) -> None:
        """Note that the call which changes something is about to leave."""
        self.outcome = "unknown"
        self.task = None


class BodyProgress:
    """Counts the body's bytes that have left, and reports those of them that are new.

    A body that is sent again begins at its first byte: `begin` for each.
    """

    def __init__(self, course: Course, progress: Progress | None) -> None:
        self._course = course
        self._progress = progress
        self._reported = 0

    def begin(self) -> None:
        """Note that the body is about to leave."""
        self._course.changing()
        self._course.bytes = 0

    def __call__(self, count: int) -> None:
        """Count bytes that have left."""
        self._course.bytes = sent = (self._course.bytes or 0) + count
        if self._progress is not None and sent > self._reported:
            self._progress(sent - self._reported)
        self._reported = max(self._reported, sent)


@asynccontextmanager
async def within(
    end: Deadline, verb: str, path: DatastorePath, host: str, *, course: Course | None = None
) -> AsyncIterator[Course]:
    """Bound the block by `end` (`math.inf` seconds: not at all).

    `course` is that of a verb of which this is a part.

    Raises:
        DeadlineError: It passed. `phase` is the verb, `task` the host's task where one was
            begun, `outcome` is `unknown` where something that changes files had left.
    """
    course = course or Course()
    try:
        async with asyncio.timeout_at(None if math.isinf(end.until) else end.until):
            yield course
    except TimeoutError as error:
        if isinstance(error, VimlibError):
            raise
        raise _passed(course, end, verb, path, host) from None


def _passed(
    course: Course, end: Deadline, verb: str, path: DatastorePath, host: str
) -> DeadlineError:
    reads = course.outcome == "not_sent"
    if reads:
        hint = "It changed nothing. Try again, or give a longer timeout."
    elif course.task is None:
        hint = "The host may have executed it: check the file before you act again."
    else:
        hint = "The host's task is still running: wait for it with client.wait(error.task), or cancel it."
    error = DeadlineError(
        f"{verb} of {path} did not finish within {end.seconds:g} s",
        hint=hint,
        host=host,
        phase=verb,
        seconds=end.seconds,
        rule=end.rule,
        bytes=course.bytes,
        outcome=course.outcome,
        retryable=reads,
    )
    error.task = course.task
    return error
