from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vimdriver._journal import Spawning
from vimdriver._sweep.decide import MarkedMachine, of_age, of_machine
from vimdriver._verbs.host import Moment, read_stamp, stamp
from vimlib import vim25
from vimlib._datastore import DatastorePath

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def ago(seconds: float, own: float | None = None) -> Moment:
    """Return a moment so long ago, by the host's clock and by our own."""
    mine = seconds if own is None else own
    return Moment(NOW - timedelta(seconds=seconds), NOW - timedelta(seconds=mine))


DAY = 86400
OLD, YOUNG = stamp(ago(7200)), stamp(ago(10))
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
        vmx=DatastorePath("ds", "web/web.vmx"),
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
        (found(stamp(ago(-DAY, 0))), None, False, "left"),
        # One of the clocks was set forward meanwhile: the other one shows the true age.
        (found(stamp(ago(25 * 3600, 10))), None, False, "left"),
        (found(stamp(ago(10, 25 * 3600))), None, False, "left"),
        # One of them was set back.
        (found(stamp(ago(-25 * 3600, 10))), None, False, "left"),
        (found(stamp(ago(10, -25 * 3600))), None, False, "left"),
        # Made by an earlier version.
        (found("2026-11-24T10:00:00Z"), None, False, "removed"),
        (found("2026-11-24T11:59:50Z"), None, False, "left"),
    ],
)
def test_machines(
    machine: MarkedMachine, entry: Spawning | None, running: bool, action: str
) -> None:
    at_work = {"t"} if running else set()
    verdict = of_machine(machine, entry, at_work, now=ago(0), older_than=3600)
    assert (verdict.action, bool(verdict.reason)) == (action, True)


@pytest.mark.parametrize(
    ("age", "older_than", "action"),
    [
        (3600, 3600, "removed"),
        (3599, 3600, "left"),
        (0, 0, "removed"),
        # Nobody else is at work, whatever the clocks show.
        (-1, 0, "removed"),
        (-1, 1, "left"),
    ],
)
def test_ages(age: float, older_than: float, action: str) -> None:
    assert of_age(ago(age), ago(0), older_than).action == action
    assert of_age(Moment(None, NOW), ago(0), older_than).action == "left"


def test_stamps() -> None:
    here = NOW.astimezone().replace(microsecond=7)
    assert stamp(Moment(here, NOW)) == "2026-11-24T12:00:00Z 2026-11-24T12:00:00Z"
    assert read_stamp(stamp(Moment(here, NOW + timedelta(1)))) == (NOW, NOW + timedelta(1))
    assert read_stamp("2026-11-24T12:00:00Z") == (NOW, None)
    for text in ("", "2026-11-24", "2026-11-24T12:00:00Z x", "a b c"):
        assert read_stamp(text) == (None, None)
