"""Recent tasks of the host, and its logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._verbs import Host, query
from vimlib import vim25
from vimlib._collector import via
from vimlib._text import printable
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

# Hosts answer at most so many lines a call (govmomi `object/diagnostic_log.go`).
_LINES: Final = 1000
# A start beyond the end: the answer states where the log ends.
_BEYOND: Final = (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTask:
    """A task of the host."""

    key: str
    method: str
    target: str
    """Name of the object that it is about; "" if it names none."""
    state: str
    """`queued`, `running`, `success` or `error`."""
    progress: int | None
    """Percent while it runs, where the host shows it."""
    user: str
    queued: datetime
    ended: datetime | None
    error: str

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl host tasks --json`."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        ended = None if self.ended is None else self.ended.isoformat()
        return plain | {"queued": self.queued.isoformat(), "ended": ended}


@query
async def tasks(host: Host) -> list[HostTask]:
    """List the recent tasks of the host, oldest first, in one call. Cancelling loses nothing."""
    client = host.client
    manager = client.content.taskManager
    if manager is None:
        raise NotFoundError("the host has no TaskManager", kind="TaskManager")
    source = via(vim25.TaskManager, "recentTask").start(manager)
    rows = (await client.gather({vim25.Task: ("info",)}, source=source))[vim25.Task]
    infos: list[vim25.TaskInfo] = [row.props["info"] for row in rows if "info" in row.props]
    return [
        HostTask(
            key=info.key,
            method=info.name or info.descriptionId,
            target=info.entityName or "",
            state=info.state,
            progress=info.progress,
            user=getattr(info.reason, "userName", "") or "",
            queued=info.queueTime,
            ended=info.completeTime,
            error=(info.error.localizedMessage or type(info.error.fault).__name__)
            if info.error
            else "",
        )
        for info in sorted(infos, key=lambda info: info.queueTime)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLog:
    """The end of one of the host's logs."""

    key: str
    first: int
    """Number of the first line."""
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `vimctl host logs --json` prints."""
        return {"key": self.key, "first": self.first, "lines": list(self.lines)}


@query
async def logs(host: Host, key: str = "hostd", *, lines: int = 100) -> HostLog:
    """Show the last lines of one of the host's logs (`BrowseDiagnosticLog`). Cancelling loses nothing.

    Args:
        host: The host.
        key: As hostd, vpxa or vmkernel; the error for an unknown one lists those of the host.
        lines: At most so many.

    Raises:
        UsageError: `lines` is below 1.
        NotFoundError: The host has no such log.
    """
    if lines < 1:
        raise UsageError(f"lines must be at least 1, got {lines}", field="lines")
    manager = host.client.content.diagnosticManager
    if manager is None:
        raise NotFoundError("the host has no DiagnosticManager", kind="DiagnosticManager")
    bound = host.client.bind(manager)
    try:
        end = await bound.BrowseDiagnosticLog(key=key, start=_BEYOND, lines=0)
    except (vim25.InvalidArgument, vim25.CannotAccessFile):
        known = [one.key for one in await bound.QueryDescriptions()]
        raise NotFoundError(
            f"log not found on {host.client.host}: {printable(key, 80)!r}",
            kind="DiagnosticManagerLogDescriptor",
            name=key,
            hint=f"The host has: {', '.join(known) or 'none'}.",
        ) from None
    first = max(1, end.lineEnd - lines + 1)
    found: list[str] = []
    while len(found) < lines:
        # Short answers are normal.
        part = await bound.BrowseDiagnosticLog(
            key=key, start=first + len(found), lines=min(_LINES, lines - len(found))
        )
        if not part.lineText:
            break
        found += part.lineText
    return HostLog(key=key, first=first, lines=tuple(found[:lines]))
