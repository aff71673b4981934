"""Waiting for tasks: any number at once, over one collector and one long poll a client.

A task that is waited for is let into a ListView that one filter follows. Waits that begin
together are let in by one call, and what has ended is let out by the next one; the host tells of
all of them over one connection. See `vimlib._collector.tracker`.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from vimlib import vim25
from vimlib._collector.row import fault_of
from vimlib._collector.tracker import Lane, Tracker
from vimlib._session.shield import finish
from vimlib.errors import (
    TaskError,
    TaskQuestionError,
    TaskTimeoutError,
    TaskVanishedError,
    UsageError,
    VimlibError,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from vimlib._collector.context import Context
    from vimlib._collector.tracker import Tracked
    from vimlib._progress import TaskProgress

__all__ = ["TaskWaiter"]

T = TypeVar("T")

log = logging.getLogger("vimlib.tasks")

STATE: Final = "info.state"
RESULT: Final = "info.result"
ERROR: Final = "info.error"
ENTITY: Final = "info.entity"
PROGRESS: Final = "info.progress"
QUESTION: Final = "runtime.question"

# Progress is asked for only where somebody listens: else each percent of each task is an update.
QUIET: Final = Lane("Task", (STATE, RESULT, ERROR, ENTITY))
CHATTY: Final = Lane("Task", (STATE, RESULT, ERROR, ENTITY, PROGRESS))
ASKING: Final = Lane("VirtualMachine", (QUESTION,))

# A machine's question is looked for only if its task is not done by then; most never are asked.
QUESTION_AFTER: Final = 2.0
CANCEL_SECONDS: Final = 15.0


class TaskWaiter:
    """Waits for the tasks of one host. A client has one, and closes it when it is left itself."""

    def __init__(self, context: Context) -> None:
        self._tracker = Tracker(context)
        self._context = context

    async def wait(
        self,
        task: vim25.Task[T],
        timeout: float | None = None,
        on_progress: TaskProgress | None = None,
        *,
        cancel: bool = False,
    ) -> T:
        """Wait until `task` has ended and return its result.

        The task goes on when the wait is cancelled or times out, unless `cancel` asks for the
        host to be told to cancel it; whether it then stops is the task's own affair.

        Args:
            task: As a method returned it whose name ends in `_Task`. Many may wait for the same.
            timeout: Seconds; None waits for ever.
            on_progress: Called with the percentage (None where the host gives none) at first and
                when it has changed. Runs in this coroutine; what it raises ends the wait.
            cancel: Cancel the task on the host when the wait is cancelled or times out.

        Raises:
            MethodFault: The task failed: a copy of the fault that it ended in, with `.task`. Also
                when the host does not let its state be read: then the host's reason.
            TaskTimeoutError: It did not end in time.
            TaskVanishedError: The host forgot it before its end was seen.
            TaskQuestionError: Its machine waits for an answer.
            TransportError: The host was away for longer than `Context.patience`.
            ClosedError: The client was closed.
        """
        if not isinstance(task, vim25.Task):
            raise UsageError(
                f"not a task: {task!r}",
                hint="Methods that return a task have names that end in _Task.",
            )
        event = asyncio.Event()
        lane = QUIET if on_progress is None else CHATTY
        limit = asyncio.timeout(timeout)
        with self._tracker.tracking(task, lane, event) as tracked:
            try:
                async with limit:
                    await self._follow(tracked, event, on_progress)
            except TimeoutError:
                if not limit.expired():
                    raise
                if not _ended(tracked):
                    raise await self._timed_out(tracked, timeout, cancel) from None
            except asyncio.CancelledError:
                if cancel and not _ended(tracked):
                    await finish(self._cancel(tracked), what=f"cancelling {task!r}")
                raise
        result: T = _result(tracked)
        return result

    async def run(
        self,
        start: Callable[[], Awaitable[vim25.Task[T]]],
        timeout: float | None = None,
        on_progress: TaskProgress | None = None,
        *,
        cancel: bool = False,
        attempts: int = 5,
    ) -> T:
        """Call `start` and wait for the task that it returns, again while the object is taken.

        While somebody else holds the object (TaskInProgress, ConcurrentAccess, ResourceInUse:
        the host refused and did nothing) it is tried `attempts` times in all, with pauses that
        grow and jitter; then the last of these faults is raised. `timeout` is for each task.
        Cancelling and the other errors are as in `wait`.
        """
        if attempts < 1:
            raise UsageError(f"attempts must be at least 1, got {attempts}")
        for attempt in range(1, attempts):
            try:
                return await self.wait(await start(), timeout, on_progress, cancel=cancel)
            except (
                vim25.TaskInProgress,
                vim25.ConcurrentAccess,
                vim25.ResourceInUse,
            ) as fault:
                log.info("attempt %d of %d was refused: %s", attempt, attempts, fault)
            jitter = 0.5 + random.random() / 2  # noqa: S311 - no secret hangs on it
            await asyncio.sleep(min(10.0, 0.25 * 2**attempt) * jitter)
        return await self.wait(await start(), timeout, on_progress, cancel=cancel)

    async def aclose(self) -> None:
        """Give back what is on the host; waits that are under way raise `ClosedError`.

        Safe to call twice. Cancelling is put off until all is released.
        """
        await self._tracker.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<TaskWaiter of {self._context.invoker.host}: {len(self._tracker)} followed>"

    async def _follow(
        self,
        tracked: Tracked,
        event: asyncio.Event,
        on_progress: TaskProgress | None,
    ) -> None:
        """Return when the task has ended. Cancelling loses nothing."""
        loop = asyncio.get_running_loop()
        ask_at = loop.time() + QUESTION_AFTER
        timer = loop.call_at(ask_at, event.set)
        machine: Tracked | None = None
        told: list[Any] = []
        try:
            with ExitStack() as stack:
                while True:
                    await event.wait()
                    event.clear()
                    if (
                        on_progress is not None
                        and tracked.seen
                        and told != [tracked.props.get(PROGRESS)]
                    ):
                        told = [tracked.props.get(PROGRESS)]
                        on_progress(told[0])
                    if _ended(tracked):
                        return
                    entity = tracked.props.get(ENTITY)
                    if (
                        machine is None
                        and loop.time() >= ask_at
                        and isinstance(entity, vim25.VirtualMachine)
                    ):
                        machine = stack.enter_context(self._tracker.tracking(entity, ASKING, event))
                    if machine is not None and machine.props.get(QUESTION) is not None:
                        raise _question(tracked, machine)
        finally:
            timer.cancel()

    async def _timed_out(
        self, tracked: Tracked, seconds: float | None, cancel: bool
    ) -> TaskTimeoutError:
        state = printable(str(tracked.props.get(STATE, "not reported yet")), 40)
        progress = tracked.props.get(PROGRESS)
        at = "" if progress is None else f" at {progress} %"
        error = TaskTimeoutError(
            f"{tracked.obj!r} did not finish within {seconds} s: {state}{at}",
            hint="It is still running: wait for it again, or cancel it with CancelTask.",
            task=tracked.obj,
        )
        if cancel:
            refused = await finish(self._cancel(tracked), what=f"cancelling {tracked.obj!r}")
            error.hint = "Its cancellation was requested."
            if refused is not None:
                error.hint = f"It is still running: cancelling it failed with {refused!r}."
        return error

    async def _cancel(self, tracked: Tracked) -> Exception | None:
        """Tell the host to cancel; return why it did not take that."""
        task: vim25.Task[Any] = self._context.bind(vim25.Task(tracked.obj.moref[1]))
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await task.CancelTask()
        except (VimlibError, TimeoutError) as error:
            log.warning("cannot cancel %r: %r", task, error)
            return error
        return None


def _ended(tracked: Tracked) -> bool:
    """Return whether nothing more is to be waited for. A state that is not known goes on."""
    return (
        tracked.props.get(STATE) in (vim25.TaskInfoState.success, vim25.TaskInfoState.error)
        or tracked.gone
        or tracked.failure is not None
        or STATE in tracked.missing
    )


def _result(tracked: Tracked) -> Any:
    """Return what the task brought, or raise what it ended in."""
    state, task = tracked.props.get(STATE), tracked.obj
    if state == vim25.TaskInfoState.success:
        if RESULT in tracked.missing:
            raise _of_task(tracked.missing[RESULT].copy(), task)
        return tracked.props.get(RESULT)
    if state == vim25.TaskInfoState.error:
        found = tracked.props.get(ERROR)
        if found is not None:
            raise _of_task(fault_of(found), task)
        if ERROR in tracked.missing:
            raise _of_task(tracked.missing[ERROR].copy(), task)
        raise TaskError(
            f"{task!r} failed without a fault",
            hint="Check the host's events of that time.",
            task=task,
        )
    if tracked.gone:
        raise TaskVanishedError(
            f"the host no longer has {task!r}, and its result was not read",
            hint="Read the state of the object that it changed.",
            task=task,
        )
    if tracked.failure is not None:
        raise copy.copy(tracked.failure) from tracked.failure.__cause__
    raise _of_task(tracked.missing[STATE].copy(), task)


def _of_task(fault: Any, task: vim25.ManagedObject) -> Any:
    fault.task = task
    return fault


def _question(tracked: Tracked, machine: Tracked) -> TaskQuestionError:
    question: vim25.VirtualMachineQuestionInfo = machine.props[QUESTION]
    text = printable(question.text or "", 300)
    return TaskQuestionError(
        f"{machine.obj!r} has a pending question that blocks {tracked.obj!r}: {text}",
        hint="Answer the question with AnswerVM, then wait for the task again.",
        task=tracked.obj,
        question=question,
    )
