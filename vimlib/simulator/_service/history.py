"""History collectors: a window over the items that a filter selects, oldest to newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import invalid_argument, invalid_state
from vimlib.simulator._core.objects import SimObject, prop

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.objects import Entity
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._core.session import Session

LIMIT = 32
"""Collectors of a kind that a session may have."""
_MOST = 1000
"""Most items that one read gives (EventHistoryCollector.ReadNextEvents)."""


class HistoryCollector(SimObject):
    """A collector of one session."""

    kind = "HistoryCollector"

    def __init__(
        self, registry: Registry, session: Session, spec: Any, found: list[Any], all_: list[Any]
    ) -> None:
        self.session = session
        self.spec = spec
        self.page = 10
        """How many `latestPage` shows."""
        self.found = found
        self.at = len(found)
        """Where the next read begins: a new collector stands at the newest."""
        self.siblings = all_
        super().__init__(registry, f"session[{session.key}]{registry.new_uuid()}")
        all_.append(self)
        session.owned.append(self)

    def shown(self, item: Any) -> Any:
        """Return an item as data."""
        return item

    @prop("filter")
    def _filter(self) -> Any:
        return self.spec

    @prop("latestPage", cached=False)
    def _latest(self) -> list[Any]:
        return [self.shown(item) for item in self.found[-self.page :][::-1]]

    @prop("initialized")
    def _initialized(self) -> bool:
        return True

    def take(self, item: Any) -> None:
        """Take a new item."""
        self.found.append(item)
        self.changed("latestPage")

    def remove(self) -> None:
        """End the collector."""
        if self in self.siblings:
            self.siblings.remove(self)
        if self in self.session.owned:
            self.session.owned.remove(self)
        super().remove()


def open_collector(call: Call, collectors: list[Any]) -> Session:
    """Return the session for which a collector may be made. Raises `InvalidState` over the limit."""
    assert call.session is not None
    if sum(each.session is call.session for each in collectors) >= LIMIT:
        raise invalid_state()
    return call.session


def concerns(by: Any, entity: Entity | None) -> bool:
    """Whether a filter's `ByEntity` selects an item about `entity`."""
    line: list[Any] = []
    at = entity
    while at is not None:
        line.append((at.kind, at.moid))
        at = at.parent
    meant = {"self": line[:1], "children": line[1:2], "all": line}.get(by.recursion, line)
    return by.entity.moref in meant


def _count(call: Call) -> int:
    count = int(call.args["maxCount"])
    if not 0 < count <= _MOST:
        raise invalid_argument("maxCount")
    return count


@handles(HistoryCollector, "ReadNextEvents")
def read_next(collector: HistoryCollector, call: Call) -> list[Any]:
    """Return the next newer items."""
    start = collector.at
    collector.at = min(start + _count(call), len(collector.found))
    return [collector.shown(item) for item in collector.found[start : collector.at]]


@handles(HistoryCollector, "ReadPreviousEvents")
def read_previous(collector: HistoryCollector, call: Call) -> list[Any]:
    """Return the next older items, newest first."""
    end = collector.at
    collector.at = max(end - _count(call), 0)
    return [collector.shown(item) for item in collector.found[collector.at : end][::-1]]


@handles(HistoryCollector, "RewindCollector")
def rewind(collector: HistoryCollector, call: Call) -> None:
    """Move before the oldest item."""
    collector.at = 0


@handles(HistoryCollector, "ResetCollector")
def reset(collector: HistoryCollector, call: Call) -> None:
    """Move after the newest item."""
    collector.at = len(collector.found)


@handles(HistoryCollector, "SetCollectorPageSize")
def set_page_size(collector: HistoryCollector, call: Call) -> None:
    """Set the number of items in `latestPage`."""
    collector.page = _count(call)
    collector.changed("latestPage")


@handles(HistoryCollector, "DestroyCollector")
def destroy(collector: HistoryCollector, call: Call) -> None:
    """Drop the collector."""
    collector.remove()
