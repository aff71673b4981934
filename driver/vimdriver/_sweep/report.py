"""What a sweep did, or would do. Plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from vimlib.errors import VimlibError

__all__ = ["Action", "Kind", "SweepReport", "Swept"]

Kind: TypeAlias = Literal["machine", "folder", "file", "port group", "note"]
Action: TypeAlias = Literal["removed", "finished", "kept", "left", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One thing that a sweep came upon."""

    kind: Kind
    """`note`: the file that says whose a port group is."""
    name: str
    """A machine's or a port group's name, or a datastore path."""
    action: Action
    """`removed`; `finished`: it lacked only its power; `kept`: nothing was to be done, and the
    journal forgets it; `left`: not touched; `failed`: see `error`, the next sweep tries again."""
    reason: str
    error: VimlibError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row that `vimctl sweep --json` prints."""
        row = {"kind": self.kind, "name": self.name, "action": self.action, "reason": self.reason}
        if self.error is None:
            return row
        error = {
            "type": type(self.error).__name__,
            "message": str(self.error),
            "retryable": self.error.retryable,
            "outcome": self.error.outcome,
        }
        return row | {"error": error}


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """All that a sweep came upon, in the order in which it did."""

    items: tuple[Swept, ...] = ()
    dry_run: bool = False
    """Whether nothing was done: `action` is then what would be."""

    def having(self, action: Action) -> tuple[Swept, ...]:
        """Return the items with that action."""
        return tuple(item for item in self.items if item.action == action)

    @property
    def removed(self) -> tuple[Swept, ...]:
        """What is gone."""
        return self.having("removed")

    @property
    def finished(self) -> tuple[Swept, ...]:
        """What was made whole."""
        return self.having("finished")

    @property
    def left(self) -> tuple[Swept, ...]:
        """What was not touched, though it carries the mark."""
        return self.having("left")

    @property
    def failed(self) -> tuple[Swept, ...]:
        """What was tried in vain."""
        return self.having("failed")

    def __repr__(self) -> str:
        counts = (f"{len(self.having(a))} {a}" for a in ("removed", "finished", "left", "failed"))
        return f"<SweepReport{' (dry run)' if self.dry_run else ''}: {', '.join(counts)}>"
