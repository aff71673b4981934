"""Bring a task of the host to a known end.

A call whose answer got lost is never sent again. The host is asked instead: what still runs of
that kind is waited for, then somebody looks whether it was done.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vimlib import vim25
from vimlib.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    TaskQuestionError,
    TaskTimeoutError,
    TaskVanishedError,
    TransportError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vimdriver._config import DriverConfig
    from vimlib._client import Client

__all__ = ["find_out", "run_task", "wait_idle"]

T = TypeVar("T")
L = TypeVar("L")

log = logging.getLogger("vimdriver.steps")

# What may leave open whether the host did it; `outcome` says whether it does.
_UNANSWERED: Final = (OutcomeUnknownError, TransportError, ProtocolError)


# `TaskInfo.descriptionId` ends with the API's own name of a method, which is not the wire's.
_OWN_NAMES: Final = {
    "CreateVM_Task": "createvm",
    "CreateVirtualDisk_Task": "createvirtualdisk",
    "ExtendVirtualDisk_Task": "extendvirtualdisk",
    "DeleteDatastoreFile_Task": "deletefile",
    "Destroy_Task": "destroy",
    "MoveDatastoreFile_Task": "movefile",
}
# Others may want the same machine; each of them ends.
_TURNS: Final = 10
_SENDS: Final = 3
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


async def run_task(
    client: Client,
    start: Callable[[], Awaitable[vim25.Task[T]]],
    config: DriverConfig,
    *,
    look: Callable[[], Awaitable[L | None]],
    method: str = "",
    of: vim25.ManagedEntity | None = None,
    harmless: bool = False,
) -> T | L:
    """Start a task and return its result; where that got lost, what `look` finds.

    While another task holds the machine (`TaskInProgress`: the host did nothing) its end is waited
    for. Cancelling leaves the task running: shield it.

    Args:
        client: The host.
        start: Makes the one call.
        config: Deadlines.
        look: Reads from the host what the task brings about; None while it is not there.
        method: The call's wire name, to find its task among all. Or:
        of: The machine whose tasks these are.
        harmless: Doing it twice is as doing it once (removing is): where the host shows nothing of
            it, it is sent again, three times in all.

    Raises:
        MethodFault: The host refused, or the task failed.
        OutcomeUnknownError: No answer came, and the host shows nothing of it.
        TaskError: The task did not end in time, or its machine asks a question.
    """
    turns = lost = 0
    while True:
        try:
            return await _followed(client, await start(), config)
        except vim25.TaskInProgress as fault:
            turns += 1
            if turns == _TURNS:
                raise
            await _end_of(client, vim25.Task(fault.task.moref[1]), config)
        except _UNANSWERED as error:
            if error.outcome != "unknown":
                raise
            log.info("probing the result of an unanswered call: %s", error)
            found = await find_out(client, config, look=look, method=method, of=of)
            if found is not None:
                return found
            lost += 1
            if not harmless or lost == _SENDS:
                raise


async def _followed(client: Client, task: vim25.Task[T], config: DriverConfig) -> T:
    """Wait for a task, and keep apart how it ended from how following it failed.

    Raises:
        MethodFault: The task failed.
        TaskError: It did not end in time, or its machine asks a question.
        OutcomeUnknownError: It could not be followed: it may have ended in anything.
    """
    try:
        return await client.wait(task, timeout=config.task_seconds)
    except (TaskTimeoutError, TaskQuestionError):
        raise
    except VimlibError as error:
        if isinstance(error, vim25.MethodFault) and getattr(error, "task", None) == task:
            raise
        raise OutcomeUnknownError(
            f"{task!r} was started, but its progress cannot be read: {error}",
            hint="Read the object's state before you act again.",
            this=task,
        ) from error


async def find_out(
    client: Client,
    config: DriverConfig,
    *,
    look: Callable[[], Awaitable[T | None]],
    method: str = "",
    of: vim25.ManagedEntity | None = None,
) -> T | None:
    """Return what `look` finds once the host is done with a call; None if it never did it.

    A request may reach the host after its sender has given up, so it is looked for during
    `config.settle_seconds`. Cancelling changes nothing on the host.
    """
    clock = asyncio.get_running_loop().time
    end, pause = clock() + config.settle_seconds, _FIRST_PAUSE
    while True:
        await wait_idle(client, config, method=method, of=of)
        found = await look()
        if found is not None or clock() >= end:
            return found
        await asyncio.sleep(min(pause, max(0.0, end - clock())))
        pause = min(pause * 2, _LONGEST_PAUSE)


async def wait_idle(
    client: Client,
    config: DriverConfig,
    *,
    method: str = "",
    of: vim25.ManagedEntity | None = None,
) -> None:
    """Wait until no task of `method` runs, or none `of` a machine. How they end is not told.

    A machine that is gone, or goes meanwhile, has none. Cancelling leaves them running.
    """
    holder: vim25.ManagedObject | None = of if of is not None else client.content.taskManager
    if holder is None:
        raise NotFoundError("the host has no TaskManager", kind="TaskManager")
    try:
        row = await client.get(holder, "recentTask")
    except vim25.ManagedObjectNotFound:
        if of is None:
            raise
        return
    tasks: list[vim25.Task[Any]] = row.props.get("recentTask") or []
    if not tasks:
        return
    for found in await client.get(tasks, "info.state", "info.name", "info.descriptionId"):
        state = found.props.get("info.state")
        if state in (vim25.TaskInfoState.queued, vim25.TaskInfoState.running) and _is_of(
            found.props, method
        ):
            await _end_of(client, found.obj, config)


def _is_of(info: dict[str, Any], method: str) -> bool:
    """Whether a task is one of `method`; one that does not say of what it is may be."""
    name = str(info.get("info.name") or "")
    own = str(info.get("info.descriptionId") or "").rpartition(".")[2].casefold()
    if not method or not (name or own):
        return True
    return name == method or own == _OWN_NAMES.get(method)


async def _end_of(client: Client, task: vim25.Task[Any], config: DriverConfig) -> None:
    """Wait for a task of somebody's. A question does not end it: whoever runs the machine may answer."""
    clock = asyncio.get_running_loop().time
    end = clock() + config.task_seconds
    while True:
        try:
            await _followed(client, task, config)
        except TaskQuestionError:
            if clock() >= end:
                raise
            await asyncio.sleep(_LONGEST_PAUSE)
            continue
        except vim25.MethodFault as fault:
            log.debug("%r failed: %s", task, fault)
        except OutcomeUnknownError as error:
            if not isinstance(error.__cause__, TaskVanishedError):
                raise
        return
