"""DiagnosticManager: the host agent's log, which has a line for each call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument
from vimlib.simulator._core.objects import SimObject

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry

_MOST_LINES: Final = 1000
"""Lines that a host returns at once."""
_KEY: Final = "hostd"
_FILE: Final = "/var/log/hostd.log"


class DiagnosticManager(SimObject):
    """Logs."""

    kind = "DiagnosticManager"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, "ha-diagnosticmgr")

    def lines(self) -> list[str]:
        """Return the lines that are kept, oldest first."""
        return [
            f"{time:%Y-%m-%dT%H:%M:%S.}{time.microsecond // 1000:03d}Z info hostd[2098880] "
            f"[Originator@6876 sub=Vimsvc] Invoking [{method}] on [vim.{kind}:{moid}]"
            for time, method, (kind, moid) in self.registry.invoked
        ]


@handles(DiagnosticManager, "QueryDescriptions")
def query_descriptions(manager: DiagnosticManager, call: Call) -> list[Any]:
    """Return the logs that can be read: one."""
    if call.get("host") is not None:
        manager.registry.find(call.args["host"])
    return [
        vim25.DiagnosticManagerLogDescriptor(
            key=_KEY,
            fileName=_FILE,
            creator="hostd",
            format="plain",
            mimeType="text/plain",
            info=vim25.Description(label="Management Agent", summary="Log of the management agent"),
        )
    ]


@handles(DiagnosticManager, "BrowseDiagnosticLog")
def browse(manager: DiagnosticManager, call: Call) -> Any:
    """Return lines of a log from a number on, counted from 1; past the end none, with the last number.

    So clients find the end: by a start of 2**31 - 1 (govmomi, `object/diagnostic_log.go`).
    """
    if call.get("host") is not None:
        manager.registry.find(call.args["host"])
    if call.args["key"] != _KEY:
        raise invalid_argument("key", call.args["key"])
    dropped, lines = manager.registry.invoked_before, manager.lines()
    last = dropped + len(lines)
    start = max(call.get("start") or 1, dropped + 1)
    wanted = call.get("lines")
    most = _MOST_LINES if wanted is None else min(max(wanted, 0), _MOST_LINES)
    if start > last:
        return vim25.DiagnosticManagerLogHeader(lineStart=last, lineEnd=last, lineText=[])
    found = lines[start - dropped - 1 :][:most]
    return vim25.DiagnosticManagerLogHeader(
        lineStart=start, lineEnd=start + len(found) - 1, lineText=found
    )
