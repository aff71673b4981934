"""Waiting for tasks: any number at once, over one collector and one long poll a client.

A task that is waited for is let into a ListView that one filter follows. Waits that begin
together are let in by one call, and what has ended is let out by the next one; the host tells of
all of them over one connection. See `vimlib._collector.multiplexer`.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from vimlib import vim25
from vimlib._collector.multiplexer import Multiplexer, Topic
from vimlib._collector.row import fault_of
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
    from vimlib._collector.multiplexer import Watched
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
QUIET: Final = Topic("Task", (STATE, RESULT, ERROR, ENTITY))
CHATTY: Final = Topic("Task", (STATE, RESULT, ERROR, ENTITY, PROGRESS))
ASKING: Final = Topic("VirtualMachine", (QUESTION,))

# A machine's question is looked for only if its task is not done by then; most never are asked.
QUESTION_AFTER: Final = 2.0
CANCEL_SECONDS: Final = 15.0


class TaskWaiter:
    """Waits for the tasks of one host. A client has one, and closes it when it is left itself."""

    def __init__(self, context: Context) -> None:
        self._multiplexer = Multiplexer(context)
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
        topic = QUIET if on_progress is None else CHATTY
        limit = asyncio.timeout(timeout)
        with self._multiplexer.subscribe(task, topic, event) as watched:
            try:
                async with limit:
                    await self._follow(watched, event, on_progress)
            except TimeoutError:
                if not limit.expired():
                    raise
                if not _ended(watched):
                    raise await self._timed_out(watched, timeout, cancel) from None
            except asyncio.CancelledError:
                if cancel and not _ended(watched):
                    await finish(self._cancel(watched), what=f"cancelling {task!r}")
                raise
        result: T = _result(watched)
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
        await self._multiplexer.aclose()

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
        return f"<TaskWaiter of {self._context.invoker.host}: {len(self._multiplexer)} followed>"

    async def _follow(
        self,
        watched: Watched,
        event: asyncio.Event,
        on_progress: TaskProgress | None,
    ) -> None:
        """Return when the task has ended. Cancelling loses nothing."""
        loop = asyncio.get_running_loop()
        ask_at = loop.time() + QUESTION_AFTER
        timer = loop.call_at(ask_at, event.set)
        machine: Watched | None = None
        told: list[Any] = []
        try:
            with ExitStack() as stack:
                while True:
                    await event.wait()
                    event.clear()
                    if (
                        on_progress is not None
                        and watched.seen
                        and told != [watched.props.get(PROGRESS)]
                    ):
                        told = [watched.props.get(PROGRESS)]
                        on_progress(told[0])
                    if _ended(watched):
                        return
                    entity = watched.props.get(ENTITY)
                    if (
                        machine is None
                        and loop.time() >= ask_at
                        and isinstance(entity, vim25.VirtualMachine)
                    ):
                        machine = stack.enter_context(
                            self._multiplexer.subscribe(entity, ASKING, event)
                        )
                    if machine is not None and machine.props.get(QUESTION) is not None:
                        raise _question(watched, machine)
        finally:
            timer.cancel()

    async def _timed_out(
        self, watched: Watched, seconds: float | None, cancel: bool
    ) -> TaskTimeoutError:
        state = printable(str(watched.props.get(STATE, "not reported yet")), 40)
        progress = watched.props.get(PROGRESS)
        at = "" if progress is None else f" at {progress} %"
        error = TaskTimeoutError(
            f"{watched.obj!r} did not finish within {seconds} s: {state}{at}",
            hint="It is still running: wait for it again, or cancel it with CancelTask.",
            task=watched.obj,
        )
        if cancel:
            refused = await finish(self._cancel(watched), what=f"cancelling {watched.obj!r}")
            error.hint = "Its cancellation was requested."
            if refused is not None:
                error.hint = f"It is still running: cancelling it failed with {refused!r}."
        return error

    async def _cancel(self, watched: Watched) -> Exception | None:
        """Tell the host to cancel; return why it did not take that."""
        task: vim25.Task[Any] = self._context.bind(vim25.Task(watched.obj.moref[1]))
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                await task.CancelTask()
        except (VimlibError, TimeoutError) as error:
            log.warning("cannot cancel %r: %r", task, error)
            return error
        return None


def _ended(watched: Watched) -> bool:
    """Return whether nothing more is to be waited for. A state that is not known goes on."""
    return (
        watched.props.get(STATE) in (vim25.TaskInfoState.success, vim25.TaskInfoState.error)
        or watched.gone
        or watched.failure is not None
        or STATE in watched.missing
    )


def _result(watched: Watched) -> Any:
    """Return what the task brought, or raise what it ended in."""
    state, task = watched.props.get(STATE), watched.obj
    if state == vim25.TaskInfoState.success:
        if RESULT in watched.missing:
            raise _of_task(watched.missing[RESULT].copy(), task)
        return watched.props.get(RESULT)
    if state == vim25.TaskInfoState.error:
        found = watched.props.get(ERROR)
        if found is not None:
            raise _of_task(fault_of(found), task)
        if ERROR in watched.missing:
            raise _of_task(watched.missing[ERROR].copy(), task)
        raise TaskError(
            f"{task!r} failed without a fault",
            hint="Check the host's events of that time.",
            task=task,
        )
    if watched.gone:
        raise TaskVanishedError(
            f"the host no longer has {task!r}, and its result was not read",
            hint="Read the state of the object that it changed.",
            task=task,
        )
    if watched.failure is not None:
        raise copy.copy(watched.failure) from watched.failure.__cause__
    raise _of_task(watched.missing[STATE].copy(), task)


def _of_task(fault: Any, task: vim25.ManagedObject) -> Any:
    fault.task = task
    return fault


def _question(watched: Watched, machine: Watched) -> TaskQuestionError:
    question: vim25.VirtualMachineQuestionInfo = machine.props[QUESTION]
    text = printable(question.text or "", 300)
    return TaskQuestionError(
        f"{machine.obj!r} has a pending question that blocks {watched.obj!r}: {text}",
        hint="Answer the question with AnswerVM, then wait for the task again.",
        task=watched.obj,
        question=question,
    )
