"""Decide what is to be done about what a sweep comes upon. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vimdriver._steps.clock import read_stamp

if TYPE_CHECKING:
    from collections.abc import Container
    from datetime import datetime

    from vimdriver._journal import Spawning
    from vimdriver._sweep.report import Action
    from vimlib import vim25
    from vimlib._datastore import DatastorePath

__all__ = ["Found", "Verdict", "of_age", "of_machine"]


class Verdict(NamedTuple):
    """What is to be done, and why."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A machine with the owner's mark, as just read."""

    vm: vim25.VirtualMachine
    name: str
    uuid: str
    token: str
    """Its `SPAWN_KEY`."""
    making: str | None
    """Its `MAKING_KEY`; None for a whole machine."""
    power_state: str
    disks: int
    folder: DatastorePath | None


def of_age(began: datetime | None, now: datetime, older_than: float) -> Verdict:
    """Decide by age alone: what is young may be somebody's work at this moment."""
    if began is None:
        return Verdict("left", "age unknown")
    age = (now - began).total_seconds()
    if age < older_than:
        return Verdict("left", f"only {max(age, 0):.0f} s old: another process may be creating it")
    return Verdict("removed", f"never finished, {age:.0f} s old")


def of_machine(
    found: Found,
    entry: Spawning | None,
    running: Container[str],
    *,
    now: datetime,
    older_than: float,
) -> Verdict:
    """Decide about a machine. `entry` is what an ended process's journal says of it, if it does."""
    if found.token in running:
        return Verdict("left", "in use by this process")
    if found.making is None:
        if entry is not None and entry.power_on and found.power_state == "poweredOff":
            return Verdict("finished", "complete but not powered on")
        return Verdict("kept", "complete")
    if found.power_state != "poweredOff":
        return Verdict("left", f"never finished but {found.power_state}, not by this driver")
    if found.disks:
        return Verdict("left", "never finished but has a disk, not from this driver")
    if entry is not None:
        return Verdict("removed", "never finished, and its process has ended")
    return of_age(read_stamp(found.making), now, older_than)
