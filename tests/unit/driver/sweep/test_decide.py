from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vimdriver._journal import Spawning
from vimdriver._sweep.decide import MarkedMachine, of_age, of_machine
from vimdriver._verbs.host import read_stamp, stamp
from vimlib import vim25
from vimlib._datastore import DatastorePath

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OLD, YOUNG = stamp(NOW - timedelta(hours=2)), stamp(NOW - timedelta(seconds=10))
ENTRY = Spawning(host="h", owner="o", token="t", uuid="u", name="web", power_on=True)


def found(making: str | None, power: str = "poweredOff", disks: int = 0) -> MarkedMachine:
    return MarkedMachine(
        vm=vim25.VirtualMachine("1"),
        name="web",
        uuid="u",
        token="t",
        making=making,
        power_state=power,
        disks=disks,
        folder=DatastorePath("ds", "web"),
    )


@pytest.mark.parametrize(
    ("machine", "entry", "running", "action"),
    [
        # Whole: never removed, whatever is said of it.
        (found(None), None, False, "kept"),
        (found(None), ENTRY, False, "finished"),
        (found(None, "poweredOn", 1), ENTRY, False, "kept"),
        (found(None, "suspended", 1), ENTRY, False, "kept"),
        (found(None), Spawning(host="h", owner="o", uuid="u", name="web"), False, "kept"),
        # Half-made.
        (found(OLD), None, False, "removed"),
        (found(YOUNG), None, False, "left"),
        (found(YOUNG), ENTRY, False, "removed"),
        (found(OLD), ENTRY, True, "left"),
        (found(OLD, "poweredOn"), None, False, "left"),
        (found(OLD, "poweredOn"), ENTRY, False, "left"),
        (found(OLD, disks=1), ENTRY, False, "left"),
        (found(OLD, disks=1), None, False, "left"),
        (found("long ago"), None, False, "left"),
        (found(""), None, False, "left"),
        (found("long ago"), ENTRY, False, "removed"),
        # The host's clock was set back meanwhile.
        (found(stamp(NOW + timedelta(days=1))), None, False, "left"),
    ],
)
def test_machines(
    machine: MarkedMachine, entry: Spawning | None, running: bool, action: str
) -> None:
    at_work = {"t"} if running else set()
    verdict = of_machine(machine, entry, at_work, now=NOW, older_than=3600)
    assert (verdict.action, bool(verdict.reason)) == (action, True)


@pytest.mark.parametrize(
    ("age", "older_than", "action"),
    [(3600, 3600, "removed"), (3599, 3600, "left"), (0, 0, "removed"), (-1, 0, "left")],
)
def test_ages(age: float, older_than: float, action: str) -> None:
    assert of_age(NOW - timedelta(seconds=age), NOW, older_than).action == action
    assert of_age(None, NOW, older_than).action == "left"


def test_stamps() -> None:
    here = NOW.astimezone().replace(microsecond=7)
    assert stamp(here) == "2026-11-24T12:00:00Z"
    assert read_stamp(stamp(here)) == NOW
    assert read_stamp("2026-11-24") is None
