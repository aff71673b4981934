"""Task history collectors: the tasks that a filter selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib.simulator.history import HistoryCollector, concerns, open_collector
from vimlib.simulator.objects import serves
from vimlib.simulator.tasks import Task, TaskManager

if TYPE_CHECKING:
    from vimlib.simulator.call import Call

__all__ = ["TaskCollector"]


class TaskCollector(HistoryCollector):
    """A collector of tasks; it shows each as it is now."""

    kind = "TaskHistoryCollector"

    def shown(self, item: Any) -> Any:
        """Return a task's info."""
        return item.info()

    def offer(self, task: Task) -> None:
        """Take a task if the filter wants it."""
        if task not in self.found and wanted(self.spec, task):
            self.take(task)


def wanted(spec: Any, task: Task) -> bool:
    """Whether a filter spec wants a task."""
    if spec.entity is not None and not concerns(spec.entity, task.entity):
        return False
    if spec.state and task.state not in spec.state:
        return False
    if spec.eventChainId and task.chain not in spec.eventChainId:
        return False
    if (
        spec.userName is not None
        and spec.userName.userList
        and task.user not in spec.userName.userList
    ):
        return False
    if spec.time is not None:
        times = {
            "queuedTime": task.queued,
            "startedTime": task.started,
            "completedTime": task.completed,
        }
        at = times.get(spec.time.timeType)
        begin, end = spec.time.beginTime, spec.time.endTime
        return at is not None and (begin is None or at >= begin) and (end is None or at <= end)
    return True


@serves(TaskManager, "CreateCollectorForTasks", "CreateCollectorWithInfoFilterForTasks")
def create_collector(manager: TaskManager, call: Call) -> Any:
    """Make a collector of the session over the tasks that are remembered."""
    session = open_collector(call, manager.collectors)
    spec = call.args["filter"]
    known = [*manager.finished, *(task for task in manager.recent if not task.done)]
    found = sorted((task for task in known if wanted(spec, task)), key=lambda task: task.chain)
    return TaskCollector(manager.world, session, spec, found, manager.collectors).ref
