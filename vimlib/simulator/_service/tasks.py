"""Tasks: work that takes time, reports progress and ends in a result or a fault."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import MethodFault
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_state, localized, not_supported, with_message
from vimlib.simulator._core.objects import Entity, SimObject, prop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

log = logging.getLogger("vimlib.simulator")

# The method in `descriptionId`: the vmodl name, where it differs from the wire name.
_OWN_NAMES = {
    "CloneVM_Task": "clone",
    "ConsolidateVMDisks_Task": "consolidateDisks",
    "CreateVM_Task": "createVm",
    "PowerOffVM_Task": "powerOff",
    "PowerOnVM_Task": "powerOn",
    "RebootHost_Task": "reboot",
    "ReconfigVM_Task": "reconfigure",
    "RegisterVM_Task": "registerVm",
    "ResetVM_Task": "reset",
    "ShutdownHost_Task": "shutdown",
    "SuspendVM_Task": "suspend",
}
# The same with the owner, for objects that are not entities of the inventory.
_OWNED_NAMES = {
    "CopyDatastoreFile_Task": "FileManager.copyFile",
    "CopyVirtualDisk_Task": "VirtualDiskManager.copyVirtualDisk",
    "CreateVirtualDisk_Task": "VirtualDiskManager.createVirtualDisk",
    "DeleteDatastoreFile_Task": "FileManager.deleteFile",
    "DeleteVirtualDisk_Task": "VirtualDiskManager.deleteVirtualDisk",
    "EagerZeroVirtualDisk_Task": "VirtualDiskManager.eagerZeroVirtualDisk",
    "ExtendVirtualDisk_Task": "VirtualDiskManager.extendVirtualDisk",
    "InflateVirtualDisk_Task": "VirtualDiskManager.inflateVirtualDisk",
    "MoveDatastoreFile_Task": "FileManager.moveFile",
    "MoveVirtualDisk_Task": "VirtualDiskManager.moveVirtualDisk",
    "RemoveSnapshot_Task": "vm.Snapshot.remove",
    "RevertToSnapshot_Task": "vm.Snapshot.revert",
    "SearchDatastoreSubFolders_Task": "host.DatastoreBrowser.searchSubFolders",
    "SearchDatastore_Task": "host.DatastoreBrowser.search",
    "ZeroFillVirtualDisk_Task": "VirtualDiskManager.zeroFillVirtualDisk",
}

_RECENT = 10
"""Tasks that `recentTask` shows: a host keeps those that run and a few that ended."""


class Task(SimObject):
    """One task."""

    kind = "Task"

    def __init__(
        self,
        registry: Registry,
        moid: str,
        method: str,
        entity: SimObject | None,
        user: str,
        *,
        cancelable: bool,
    ) -> None:
        self.method = method
        self.entity = entity if isinstance(entity, Entity) else None
        self.user = user
        self.state = "queued"
        self.progress: int | None = None
        self.result: Any = None
        self.error: MethodFault | None = None
        self.cancelled = False
        self.cancelable = cancelable
        self.queued: datetime = registry.clock.now()
        self.started: datetime | None = None
        self.completed: datetime | None = None
        self.chain = registry.serial()
        self.work: asyncio.Task[Any] | None = None
        self.seconds: float | None = None
        """How long it takes, if not as long as the registry's tasks do."""
        self.held: asyncio.Event | None = None
        """While set and not released, the task stands still."""
        super().__init__(registry, moid)

    @prop("info")
    def info(self) -> Any:
        """Return the TaskInfo."""
        error = self.error
        return vim25.TaskInfo(
            key=self.moid,
            task=self.ref,
            name=self.method,
            descriptionId=_description(self.method, self.entity),
            entity=self.entity.ref if self.entity else None,
            entityName=self.entity.name if self.entity else None,
            state=self.state,
            cancelled=self.cancelled,
            cancelable=self.cancelable and self.state in ("queued", "running"),
            error=None if error is None else localized(error),
            result=self.result,
            progress=self.progress if self.state == "running" else None,
            reason=vim25.TaskReasonUser(userName=self.user),
            queueTime=self.queued,
            startTime=self.started,
            completeTime=self.completed,
            eventChainId=self.chain,
        )

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.state in ("success", "error")

    def report(self, percent: int) -> None:
        """Show progress."""
        if not self.done and percent != self.progress:
            self.progress = min(max(percent, 0), 100)
            self.changed("info")

    def run(self) -> None:
        """Go from queued to running."""
        if self.state == "queued":
            self.state = "running"
            self.started = self.registry.clock.now()
            self.progress = 0
            self.changed("info")

    def finish(self, result: Any = None, error: MethodFault | None = None) -> None:
        """End, with a result or a fault."""
        if self.done:
            return
        self.completed = self.registry.clock.now()
        self.started = self.started or self.completed
        self.result, self.error = result, error
        self.state = "success" if error is None else "error"
        self.registry.one(TaskManager).ended(self)
        self.changed("info")


class TaskManager(SimObject):
    """The tasks of the host."""

    kind = "TaskManager"

    def __init__(self, registry: Registry, keep: int = 1000) -> None:
        self.recent: deque[Task] = deque()
        self.finished: deque[Task] = deque()
        self.keep = keep
        """Ended tasks that stay readable; the oldest are forgotten, as a host does after minutes."""
        super().__init__(registry, "ha-taskmgr")

    @prop("recentTask")
    def _recent(self) -> list[Any]:
        return [task.ref for task in self.recent]

    @prop("maxCollector")
    def _max_collector(self) -> int:
        return 32

    @prop("description")
    def _description(self) -> Any:
        states = [
            vim25.ElementDescription(label=text, summary=text, key=key)
            for key, text in (
                ("queued", "Queued"),
                ("running", "Running"),
                ("success", "Completed"),
                ("error", "Error"),
            )
        ]
        return vim25.TaskDescription(methodInfo=[], state=states, reason=[])

    def add(self, task: Task) -> None:
        """Add a new task."""
        self.recent.append(task)
        self.changed("recentTask")
        entity = task.entity
        if entity is not None:
            entity.recent_tasks.append(task)
            if len(entity.recent_tasks) > _RECENT:
                entity.recent_tasks = [t for t in entity.recent_tasks if not t.done][
                    -_RECENT:
                ] or entity.recent_tasks[-1:]
            entity.changed("recentTask")

    def ended(self, task: Task) -> None:
        """Note the end of a task; forget the oldest."""
        self.finished.append(task)
        while len(self.recent) > _RECENT and self.recent[0].done:
            self.recent.popleft()
        while len(self.finished) > self.keep:
            old = self.finished.popleft()
            if old in self.recent:
                self.recent.remove(old)
            if old.entity is not None and old in old.entity.recent_tasks:
                old.entity.recent_tasks.remove(old)
            old.remove()
        self.changed("recentTask")

    def clear(self) -> None:
        """Forget all tasks, as a restart of the host's services does."""
        for task in tuple(self.registry.all(Task).values()):
            task.remove()
        self.recent.clear()
        self.finished.clear()

    def running_on(self, entity: SimObject) -> Task | None:
        """Return a task that has not ended and is for `entity`."""
        tasks = getattr(entity, "recent_tasks", ())
        return next((task for task in tasks if not task.done), None)


def start_task(
    call: Call,
    entity: SimObject | None,
    work: Callable[[Task], Awaitable[Any]],
    *,
    cancelable: bool = False,
    seconds: float | None = None,
) -> Any:
    """Start the task of a call and return its reference; `work` runs after the reply."""
    task = _make(call, entity, cancelable=cancelable)
    task.held = call.registry.faults.hold_for(call.method)
    task.work = call.registry.spawn(_run(task, work, seconds), f"simulated task {task.moid}")
    return task.ref


# Faults that a host finds before it makes a task, so that the call itself answers with them.
# RestrictedVersion: clients print it with the code of a SOAP fault, "ServerFaultCode: Current license
# or ESXi version prohibits ..." (govc, terraform-provider-esxi). The others: of session, object and
# request, in vmware/rbvmomi's recorded replies.
_OF_THE_CALL = (
    "InvalidRequest",
    "ManagedObjectNotFound",
    "NoPermission",
    "NotAuthenticated",
    "RestrictedVersion",
)


def refused(call: Call, obj: SimObject, fault: MethodFault) -> Any:
    """Return the reference of a task that has failed, for a call that a host refuses.

    A host makes a task for every call and then runs it, so the fault is in `info.error`, whatever it is:
    - PowerOffVM_Task: `haTask-68-vim.VirtualMachine.powerOff-..` failed (vmware/vic#6199, #1049, #2038);
    - PowerOnVM_Task: govmomi's `object/datacenter.go` waits for the task before it looks at the fault, for
      hosts only; also vmware/pyvmomi-community-samples#353;
    - SuspendVM_Task, ResetVM_Task: photon-controller's agent waits, then catches (`vim_client.py`);
    - Destroy_Task: vmware/vic#6146, on a standalone host;
    - ReconfigVM_Task, also TaskInProgress and ConcurrentAccess: vmware/vic#3022, #1867, #5647, #6642;
    - CreateVM_Task: vmware/vic#2244, #4666, #5804, vmware/pyvmomi-community-samples#303;
    - RegisterVM_Task: NotFound, AlreadyExists, josenk/terraform-provider-esxi#72, apache/vcl (`VIM_SSH.pm`);
    - CloneVM_Task, RelocateVM_Task, MigrateVM_Task: NotSupported, vmware/govmomi#1469, apcera/libretto#115;
    - tasks of files and disks: photon-controller's tests have the faults on the task's wait; vmware/vic#4666;
    - Rename_Task and the tasks of snapshots: no source; by the same rule.

    Raises the fault itself where hosts do, and with `refusals="call"`.
    """
    if call.registry.refusals == "call" or type(fault).__name__ in _OF_THE_CALL:
        raise fault
    entity = obj if isinstance(obj, Entity) else getattr(obj, "machine", None)
    task = _make(call, entity, cancelable=False)
    task.run()
    task.finish(error=fault)
    return task.ref


def _make(call: Call, entity: SimObject | None, *, cancelable: bool) -> Task:
    registry = call.registry
    number = registry.serial()
    owner = entity.moid if entity is not None else "ha-root"
    task = Task(
        registry,
        f"haTask-{owner}-vim.{_description(call.method, entity)}-{number}",
        call.method,
        entity,
        call.user,
        cancelable=cancelable,
    )
    registry.one(TaskManager).add(task)
    return task


def _description(method: str, entity: SimObject | None) -> str:
    """Return the `descriptionId` of a task, such as `VirtualMachine.powerOn`."""
    if method in _OWNED_NAMES:
        return _OWNED_NAMES[method]
    verb = method.removesuffix("_Task")
    own = _OWN_NAMES.get(method, f"{verb[:1].lower()}{verb[1:]}")
    return f"{entity.kind if entity is not None else 'Task'}.{own}"


async def _run(task: Task, work: Callable[[Task], Awaitable[Any]], seconds: float | None) -> None:
    registry = task.registry
    await asyncio.sleep(0)
    try:
        task.run()
        if task.held is not None:
            await task.held.wait()
        registry.faults.check_task(task.method)
        total = registry.task_seconds if seconds is None else seconds
        if total > 0:
            for part in range(1, 5):
                await registry.clock.sleep(total / 4)
                task.report(part * 20)
        result = await work(task)
        await registry.persist()
        task.finish(result)
    except MethodFault as fault:
        task.finish(error=fault)
    except OSError as error:
        log.debug("task %s", task.moid, exc_info=True)
        task.finish(
            error=with_message(vim25.FileFault(file=""), f"I/O error on the host: {error.strerror}")
        )
    except asyncio.CancelledError:
        if not task.cancelled:
            raise
        task.finish(error=with_message(vim25.RequestCanceled()))
    except Exception:
        # The simulator's own bug: the client must get an answer, and the log must have the traceback.
        log.exception("task %s", task.moid)
        task.finish(error=with_message(vim25.SystemError(reason="internal error of the simulator")))


@handles(Task, "CancelTask")
def cancel_task(task: Task, call: Call) -> None:
    """Cancel a task; refused if it cannot be cancelled or has ended."""
    if task.done:
        raise invalid_state()
    if not task.cancelable or task.work is None:
        raise not_supported()
    task.cancelled = True
    task.work.cancel()


@handles(TaskManager, "CreateCollectorForTasks", "CreateCollectorWithInfoFilterForTasks")
def create_collector(manager: TaskManager, call: Call) -> None:
    """Refuse, as the reference has it for hosts, and as an ESXi 4.1 did (argos83/pysphere#25)."""
    raise not_supported()


@handles(TaskManager, "CreateTask")
def create_task(manager: TaskManager, call: Call) -> Any:
    """Refuse: extensions make tasks on vCenter only."""
    raise not_supported()
