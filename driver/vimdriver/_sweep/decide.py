"""The decisions of a sweep, and its report. Plain values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from vimdriver._verbs.host import read_stamp
from vimlib._repr import robust

if TYPE_CHECKING:
    from collections.abc import Container

    from vimdriver._instances.folder import Remains
    from vimdriver._journal import Spawning
    from vimdriver._verbs.host import Moment
    from vimlib import vim25
    from vimlib._datastore import DatastorePath
    from vimlib.errors import VimlibError

Kind: TypeAlias = Literal[
    "machine", "change", "folder", "file", "port group", "note", "session", "snapshot"
]
Action: TypeAlias = Literal["removed", "finished", "kept", "left", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One object that a sweep found."""

    kind: Kind
    """`change`: a resize, rescue or rebuild of a machine; `note`: the file with the owner of a port group."""
    name: str
    """A machine's or a port group's name, a datastore path, or a session's user and start."""
    action: Action
    """`removed`; `finished`: it was whole and has been powered on, or confirmed; `kept`: nothing to do, and its
    journal entry is closed; `left`: not touched; `failed`: see `error`, the next sweep tries again."""
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
    """All objects that a sweep found, in that order."""

    items: tuple[Swept, ...] = ()
    dry_run: bool = False
    """Whether nothing was changed: `action` is then the action of a real sweep."""

    def having(self, action: Action) -> tuple[Swept, ...]:
        """Return the items with that action."""
        return tuple(item for item in self.items if item.action == action)

    @property
    def removed(self) -> tuple[Swept, ...]:
        """Objects that are gone."""
        return self.having("removed")

    @property
    def finished(self) -> tuple[Swept, ...]:
        """Machines that were powered on."""
        return self.having("finished")

    @property
    def left(self) -> tuple[Swept, ...]:
        """Objects with the mark that were not touched."""
        return self.having("left")

    @property
    def failed(self) -> tuple[Swept, ...]:
        """Objects that could not be removed or finished."""
        return self.having("failed")

    @robust
    def __repr__(self) -> str:
        counts = (f"{len(self.having(a))} {a}" for a in ("removed", "finished", "left", "failed"))
        return f"<SweepReport{' (dry run)' if self.dry_run else ''}: {', '.join(counts)}>"


class Verdict(NamedTuple):
    """An action, and its reason."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedMachine:
    """A machine with the owner's mark, as last read."""

    vm: vim25.VirtualMachine
    name: str
    uuid: str
    token: str
    """Its `SPAWN_KEY`."""
    making: str | None
    """Its `MAKING_KEY`; None for a whole machine."""
    power_state: str
    disks: int
    """How many it has that its maker did not say it would add."""
    vmx: DatastorePath | None
    """Its configuration file."""
    imported: bool = False
    """Whether it is there for its disk alone, by `IMPORT_KEY`."""


def of_age(began: Moment, now: Moment, older_than: float) -> Verdict:
    """Decide by age alone: another process may be working on a young object."""
    age = now.seconds_since(began)
    if age is None:
        return Verdict("left", "age unknown")
    if age < older_than:
        return Verdict("left", f"only {age:.0f} s old: another process may be creating it")
    return Verdict("removed", f"never finished, {age:.0f} s old")


def of_machine(
    found: MarkedMachine,
    entry: Spawning | None,
    running: Container[str],
    *,
    now: Moment,
    older_than: float,
) -> Verdict:
    """Decide about a machine. `entry` is the one in an ended process's journal, if there is one."""
    if found.token in running:
        return Verdict("left", "in use by this process")
    if found.making is None:
        if entry is not None and entry.power_on and found.power_state == "poweredOff":
            return Verdict("finished", "complete but not powered on")
        return Verdict("kept", "complete")
    if found.power_state != "poweredOff":
        return Verdict("left", f"never finished but {found.power_state}, not by this driver")
    if found.disks and not found.imported:
        return Verdict("left", "never finished but has a disk, not from this driver")
    if entry is not None:
        return Verdict("removed", "never finished, and its process has ended")
    return of_age(read_stamp(found.making), now, older_than)


def of_remains(found: Remains) -> Verdict | None:
    """Decide about the folder of a machine that is gone; None if it was removed."""
    if found.left:
        removed = f"; removed {found.removed} files of the machine" if found.removed else ""
        return Verdict("left", found.reason + removed)
    return None if found.removed else Verdict("kept", "nothing of it is left")
