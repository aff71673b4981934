"""One call while it runs, and the log of calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.session import Session


@dataclass(slots=True)
class CallRecord:
    """An entry of `ESXHost.call_log`."""

    method: str
    """Wire name."""
    this: tuple[str, str]
    """`(type, value)` of the object that was called."""
    time: float
    """Seconds of the host's monotonic clock."""
    fault: str | None = None
    """Name of the fault that was answered; None if the call went well."""
    session: str | None = None
    """Key of the session; None if the call came without one."""
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Arguments by wire name, passwords left out."""


class CallLog(list[CallRecord]):
    """The latest calls, oldest first: a list that drops its oldest entry for each one past `limit`.

    A host may run for days, and an entry holds its call's arguments.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        """Most entries; may be set at any time, and holds from the next call on."""
        self.dropped = 0
        """Entries that are gone, so that `dropped + len(log)` counts all calls."""

    def append(self, record: CallRecord) -> None:
        """Add a call."""
        super().append(record)
        if len(self) > self.limit:
            past = len(self) - self.limit
            del self[:past]
            self.dropped += past


@dataclass
class Call:
    """The context of a call, which a handler gets along with the object."""

    registry: Registry
    method: str
    args: Mapping[str, Any]
    session: Session | None
    """The caller's session; None for the few calls that need none."""
    cookie: str | None = None
    """Value of the session cookie as it came, alive or not."""
    peer: str = "127.0.0.1"
    user_agent: str = ""
    set_cookie: str | None = None
    """The session cookie to be set with the answer; "" drops it."""

    @property
    def user(self) -> str:
        """Name of the calling user."""
        return self.session.user_name if self.session else ""

    def get(self, name: str) -> Any:
        """Return an argument, None if it was not given."""
        return self.args.get(name)
