"""DiagnosticManager: the host's log of its tasks, read by lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._service.tasks import Task

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call

# Most lines of one answer of an ESX host (govmomi `object/diagnostic_log.go`).
_MOST: Final = 1000


class DiagnosticManager(SimObject):
    """The logs of the host; `hostd` has a line for the begin and the end of each task that is kept."""

    kind = "DiagnosticManager"

    def lines(self) -> list[str]:
        """Return the lines of `hostd`."""
        found = []
        for task in self.registry.all(Task).values():
            found.append((task.queued, f"info hostd[{task.chain}]: {task.method} queued"))
            if task.completed is not None:
                end = (task.completed, f"info hostd[{task.chain}]: {task.method} {task.state}")
                found.append(end)
        found.sort(key=lambda line: line[0])
        return [f"{when.isoformat()} {text}" for when, text in found]


@handles(DiagnosticManager, "QueryDescriptions")
def query_descriptions(manager: DiagnosticManager, call: Call) -> list[Any]:
    """Return the one log."""
    return [
        vim25.DiagnosticManagerLogDescriptor(
            key="hostd",
            fileName="/var/log/hostd.log",
            creator="hostd",
            format="plain",
            mimeType="text/plain",
            info=vim25.Description(label="Management agent", summary="Management agent"),
        )
    ]


@handles(DiagnosticManager, "BrowseDiagnosticLog")
def browse_log(manager: DiagnosticManager, call: Call) -> Any:
    """Return lines from `start` on; beyond the end none, with the number of the last line."""
    if call.args["key"] != "hostd":
        raise invalid_argument("key")
    lines = manager.lines()
    start, wanted = max(call.get("start") or 1, 1), call.get("lines")
    part = lines[start - 1 :][: _MOST if wanted is None else max(0, min(wanted, _MOST))]
    first = start if part else len(lines)
    return vim25.DiagnosticManagerLogHeader(
        lineStart=first, lineEnd=start + len(part) - 1 if part else len(lines), lineText=part
    )
