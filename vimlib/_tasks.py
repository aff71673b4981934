"""Running tasks to a known end: any number at once, over one collector and one long poll a client.

Waits share one ListView and one filter; additions and removals are batched, and the host reports
all of them over one connection. A task is read directly at first, since many end within milliseconds.
See `vimlib._collector.multiplexer`.

A call whose answer got lost is not sent again: the host is read instead. Tasks of that kind that
still run are waited for, then a probe of the caller reads whether it was done.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

from vimlib import vim25
from vimlib._arguments import check_argument
from vimlib._collector.collect import get
from vimlib._collector.declared import check_task_result
from vimlib._collector.multiplexer import Multiplexer, Topic
from vimlib._collector.row import fault_of
from vimlib._repr import robust
from vimlib._session.policy import Backoff
from vimlib._shield import finish
from vimlib._text import printable
from vimlib.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    TaskError,
    TaskQuestionError,
    TaskTimeoutError,
    TaskVanishedError,
    TransportError,
    UsageError,
    VimlibError,
)

if TYPE_CHECKING:
    from vimlib._collector.context import Context
    from vimlib._collector.multiplexer import Watched
    from vimlib._progress import TaskProgress

T = TypeVar("T")
F = TypeVar("F")

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
# Errors after which the host may have done it; `outcome` says whether it may.
UNANSWERED: Final = (OutcomeUnknownError, TransportError, ProtocolError)
# A request may reach the host after its sender has given up.
SETTLE_SECONDS: Final = 5.0
# Between attempts that were refused, since somebody else holds the object.
HELD: Final = Backoff(first=0.5, factor=2.0, longest=10.0, least=0.5)
# Between probes, and while a machine's question is open.
PROBES: Final = Backoff(first=0.05, factor=2.0, longest=1.0, least=0.5)
# How often an idempotent call is sent whose answers get lost.
SENDS: Final = 3
# `TaskInfo.descriptionId` ends with the API's own name of a method, which is not the wire's.
OWN_NAMES: Final = {
    "CreateVM_Task": "createvm",
    "CreateVirtualDisk_Task": "createvirtualdisk",
    "ExtendVirtualDisk_Task": "extendvirtualdisk",
    "DeleteDatastoreFile_Task": "deletefile",
    "Destroy_Task": "destroy",
    "MoveDatastoreFile_Task": "movefile",
}


class RecentTask(NamedTuple):
    """A task that runs or ended some minutes ago."""

    ref: vim25.Task[Any]
    state: str
    result: Any


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
        method: str = "",
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
            method: Wire name of the method that started it, for the type of its result.

        Raises:
            InvalidFieldError: The result is not of the type that `method` has.
            MethodFault: The task failed: a copy of the fault that it ended in, with `.task`. Also
                when the host does not let its state be read: then the host's reason.
            TaskTimeoutError: It did not end in time.
            TaskVanishedError: The host forgot it before its end was seen.
            TaskQuestionError: Its machine waits for an answer.
            TransportError: The host was away for longer than `Context.patience`.
            ClosedError: The client was closed.
        """
        hint = "Methods that return a task have names that end in _Task."
        check_argument("task", task, vim25.Task, "a task", hint)
        event = asyncio.Event()
        topic = QUIET if on_progress is None else CHATTY
        limit = asyncio.timeout(timeout)
        with self._multiplexer.subscribe(task, topic, event, fresh=True) as watched:
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
        check_task_result(method, result, task)
        return result

    async def run(
        self,
        start: Callable[[], Awaitable[vim25.Task[T]]],
        timeout: float | None = None,
        on_progress: TaskProgress | None = None,
        *,
        cancel: bool = False,
        attempts: int = 10,
        probe: Callable[[], Awaitable[T | None]] | None = None,
        method: str = "",
        of: vim25.ManagedObject | None = None,
        idempotent: bool = False,
        settle: float = SETTLE_SECONDS,
        held: tuple[type[vim25.MethodFault], ...] | None = None,
    ) -> T:
        """Call `start`, wait for the task that it returns, and return the task's result.

        While somebody else holds the object (TaskInProgress, ConcurrentAccess, ResourceInUse: the
        host refused and did nothing) it is tried `attempts` times in all, after the other task's
        end or a pause that grows; then the last of these faults is raised. A task that could not
        be followed is followed once more. If the answer gets lost, or that fails too, `probe` gives
        the result. A call that returns no task is done when it returns.

        Args:
            start: Makes the one call.
            timeout: Seconds for each task.
            on_progress: As in `wait`.
            cancel: As in `wait`.
            attempts: At least 1.
            probe: Reads what the call brings about from the host; None while it is not there.
                Without a probe a lost answer is raised as it is.
            method: The call's wire name, to find its task among all of the host. Or:
            of: The object whose recent tasks these are.
            idempotent: Doing it twice is as doing it once: where the host shows nothing of it, it
                is sent again, three times in all.
            settle: Seconds for which the host is probed before an unanswered call counts as never
                done.
            held: The faults by which the host refuses because somebody else holds the object, if not
                those three.

        Raises:
            MethodFault: The host refused, or the task failed.
            OutcomeUnknownError: No usable answer came and `probe` found nothing, or the task could not
                be followed.
            TaskTimeoutError: It did not end in time.
            TaskQuestionError: Its machine waits for an answer.
            UsageError: `attempts` is below 1.

        Cancelling leaves the task running, unless `cancel` says otherwise.
        """
        check_argument("start", start, Callable, "a method, such as vm.PowerOnVM_Task")
        if attempts < 1:
            raise UsageError(f"attempts must be at least 1, got {attempts}")
        if held is None:
            held = (vim25.TaskInProgress, vim25.ConcurrentAccess, vim25.ResourceInUse)
        attempt = lost = 0
        while True:
            attempt += 1
            task: Any = None
            try:
                begun = start()
                check_argument("the result of start", begun, (Awaitable,), "awaitable")
                task = await begun
                if not isinstance(task, vim25.Task):
                    return task  # type: ignore[no-any-return]
                result: T = await self._followed(task, timeout, on_progress, cancel=cancel)
                check_task_result(method, result, task)
                return result
            except held as fault:
                if attempt >= attempts:
                    raise
                log.info("attempt %d of %d refused: %s", attempt, attempts, fault)
                holder = fault.task if isinstance(fault, vim25.TaskInProgress) else None
                if holder in (None, task) or not await self._end_of(holder, timeout):
                    await _pause(HELD, attempt)
            except UNANSWERED as error:
                if isinstance(task, vim25.Task):
                    # Its end shows who made the change; a probe may find the work of another call.
                    with suppress(OutcomeUnknownError, ProtocolError):
                        result = await self._followed(task, timeout, on_progress, cancel=cancel)
                        check_task_result(method, result, task)
                        return result
                if probe is None or error.outcome != "unknown":
                    raise
                log.info("probing the result of an unanswered call: %s", error)
                try:
                    known = await self.settled(
                        probe, method=method, of=of, timeout=timeout, settle=settle
                    )
                except VimlibError as unread:
                    # A refused read refuses nothing that was sent before it.
                    raise error from unread
                if known is not None:
                    return known
                lost += 1
                if not idempotent or lost == SENDS:
                    raise

    async def settled(
        self,
        probe: Callable[[], Awaitable[F | None]],
        *,
        method: str = "",
        of: vim25.ManagedObject | None = None,
        timeout: float | None = None,
        settle: float = SETTLE_SECONDS,
    ) -> F | None:
        """Return what `probe` finds once the host is done with a call; None if it never did it.

        A request may reach the host after its sender has given up, so the host is probed for
        `settle` seconds. The other arguments are those of `run`. Cancelling changes nothing.
        """
        clock = asyncio.get_running_loop().time
        end, tries = clock() + settle, 0
        while True:
            await self.idle(method=method, of=of, timeout=timeout)
            found = await probe()
            if found is not None or clock() >= end:
                return found
            tries += 1
            await _pause(PROBES, tries, most=max(0.0, end - clock()))

    async def idle(
        self,
        *,
        method: str = "",
        of: vim25.ManagedObject | None = None,
        timeout: float | None = None,
    ) -> None:
        """Wait until no recent task of the host is one of `method`, or none `of` an object runs.

        How they end is not reported. An object that is gone has none. `timeout` is for each task;
        see `run`. Cancelling leaves them running.
        """
        holder = of if of is not None else self._context.content.taskManager
        if holder is None:
            raise NotFoundError("the host has no TaskManager", kind="TaskManager")
        try:
            row = await get(self._context, self._context.bind(holder), "recentTask")
        except vim25.ManagedObjectNotFound:
            if of is None:
                raise
            return
        await self.ended(row.props.get("recentTask") or [], method=method, timeout=timeout)

    async def recent(
        self, method: str, *, of: vim25.ManagedObject | None = None
    ) -> list[RecentTask]:
        """Return the recent tasks of a method: the host's (`TaskManager.recentTask`), or an object's.

        Hosts keep tasks that have ended for some minutes. Cancelling loses nothing.
        """
        holder = of if of is not None else self._context.content.taskManager
        if holder is None:
            raise NotFoundError("the host has no TaskManager", kind="TaskManager")
        row = await get(self._context, self._context.bind(holder), "recentTask")
        tasks = row.props.get("recentTask") or []
        if not tasks:
            return []
        rows = await get(self._context, tasks, STATE, RESULT, "info.name", "info.descriptionId")
        return [
            RecentTask(row.obj, str(row.props.get(STATE)), row.props.get(RESULT))
            for row in rows
            if _is_of(row.props, method)
        ]

    async def ended(
        self, tasks: list[vim25.Task[Any]], *, method: str = "", timeout: float | None = None
    ) -> bool:
        """Wait for those of `tasks` that run, of `method` or of any; return whether one did."""
        if not tasks:
            return False
        waited = False
        for row in await get(self._context, tasks, "info.state", "info.name", "info.descriptionId"):
            state = row.props.get("info.state")
            if state in (vim25.TaskInfoState.queued, vim25.TaskInfoState.running) and _is_of(
                row.props, method
            ):
                waited = True
                await self._end_of(row.obj, timeout)
        return waited

    async def _followed(
        self,
        task: vim25.Task[T],
        timeout: float | None,
        on_progress: TaskProgress | None = None,
        *,
        cancel: bool = False,
    ) -> T:
        """Wait for a task, and distinguish its failure from a failure to follow it.

        Raises:
            MethodFault: The task failed.
            TaskTimeoutError: It did not end in time.
            TaskQuestionError: Its machine waits for an answer.
            OutcomeUnknownError: It could not be followed: it may have ended in anything.
        """
        try:
            return await self.wait(task, timeout, on_progress, cancel=cancel)
        except (TaskTimeoutError, TaskQuestionError):
            raise
        except VimlibError as error:
            ended = getattr(error, "task", None)
            if isinstance(error, vim25.MethodFault) and ended and ended.moref == task.moref:
                raise
            raise OutcomeUnknownError(
                f"{task!r} was started, but its progress cannot be read: {error}",
                hint="Read the object's state before you act again.",
                this=task,
            ) from error

    async def _end_of(self, task: Any, timeout: float | None) -> bool:
        """Wait for another's task; False if the host does not know it (any more).

        A question does not end the wait: its owner may answer it.
        """
        clock = asyncio.get_running_loop().time
        began, tries = clock(), 0
        while True:
            try:
                await self._followed(vim25.Task[Any](task.moref[1]), timeout)
            except TaskQuestionError:
                if timeout is not None and clock() >= began + timeout:
                    raise
                tries += 1
                await _pause(PROBES, tries)
                continue
            except vim25.MethodFault as fault:
                log.debug("%r failed: %s", task, fault)
            except OutcomeUnknownError as error:
                if not isinstance(error.__cause__, TaskVanishedError):
                    raise
                return False
            return True

    async def aclose(self) -> None:
        """Release the objects on the host; waits that are under way raise `ClosedError`.

        Safe to call twice. Cancelling is put off until all is released.
        """
        await self._multiplexer.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @robust
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


async def _pause(backoff: Backoff, number: int, *, most: float = math.inf) -> None:
    """Sleep before repeat `number`, and no longer than `most` seconds."""
    await asyncio.sleep(min(most, backoff.delay(number, random.random)))


def _is_of(info: dict[str, Any], method: str) -> bool:
    """Return whether a task is one of `method`; one without a name or description may be."""
    name = str(info.get("info.name") or "")
    own = str(info.get("info.descriptionId") or "").rpartition(".")[2].casefold()
    if not method or not (name or own):
        return True
    return name == method or own == OWN_NAMES.get(method)


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
        if isinstance(found, vim25.LocalizedMethodFault):
            raise _of_task(fault_of(found), task)
        if ERROR in watched.missing:
            raise _of_task(watched.missing[ERROR].copy(), task)
        raise TaskError(
            f"{task!r} failed without a readable fault",
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
