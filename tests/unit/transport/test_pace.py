"""The limits of a transfer, without a clock: silence, rate over a window, the end of all."""

from __future__ import annotations

import math

import pytest

from vimlib._transport.base import Timeouts
from vimlib._transport.pace import NEVER, Deadline, Pace
from vimlib.errors import UsageError


def paced(end: Deadline = NEVER) -> Pace:
    return Pace(90, "read", rate=1000, window=60, end=end)


def test_one_byte_a_second_is_too_slow_after_one_window() -> None:
    pace = paced()
    for second in range(1, 60):
        assert pace.add(1, 1, second) is None
    breach = pace.add(1, 1, 60)
    assert breach is not None
    assert (breach.rule, breach.seconds, breach.bytes) == ("rate", 60, 60)
    error = breach.error("download", "esx:443")
    assert (error.phase, error.rule, error.seconds, error.bytes) == ("download", "rate", 60, 60)
    assert "lower Timeouts.rate" in str(error)


def test_a_slow_start_and_a_pause_are_no_breach() -> None:
    pace = paced()
    assert pace.add(0, 59, 59) is None
    assert pace.add(60_000, 1, 60) is None  # the window's average counts
    assert pace.add(70_000, 0, 60) is None
    assert pace.add(0, 59.5, 119.5) is None
    assert pace.add(1, 0.5, 120) is None


def test_a_burst_helps_for_one_window() -> None:
    pace = paced()
    assert pace.add(10**9, 1, 1) is None
    assert pace.add(1, 59, 60) is None
    breach = pace.add(1, 60, 120)
    assert breach is not None
    assert breach.rule == "rate"


def test_silence_is_limited_and_ended_by_a_byte() -> None:
    pace = Pace(30, "write", rate=0.01, window=1000)
    assert pace.add(0, 29, 29) is None
    assert pace.left(29) == 1
    assert pace.add(1, 0.5, 29.5) is None
    assert pace.left(29.5) == 30
    breach = pace.add(0, 30, 59.5)
    assert breach is not None
    assert (breach.rule, breach.seconds) == ("write", 30)


def test_the_time_of_a_slow_consumer_counts_for_the_end_alone() -> None:
    pace = paced(Deadline(1000, 1000, "transfer"))
    assert pace.add(1, 0, 900) is None
    assert pace.left(900) == 60
    assert pace.left(990) == 10
    breach = pace.add(1, 0, 1000)
    assert breach is not None
    assert (breach.rule, breach.bytes) == ("transfer", 2)


def test_what_is_left_never_lies_in_the_past() -> None:
    pace = paced(Deadline(5, 5, "timeout"))
    assert pace.left(50) == 0
    # A timer that goes off a rounding error too early must not lead to another one of no length.
    assert pace.add(0, 5 - 1e-9, 5 - 1e-9) is not None


def test_the_end_of_a_part_is_the_earlier_one() -> None:
    whole = Deadline(100, 100, "timeout")
    assert whole.within(30, "call", 10) == Deadline(40, 30, "call")
    assert whole.within(95, "call", 10) is whole
    assert NEVER.within(30, "call", 10).until == 40


def test_the_argument_goes_before_the_default() -> None:
    assert Deadline.of(None, 60, "transfer", 1) == (61, 60, "transfer")
    assert Deadline.of(5, 60, "transfer", 1) == (6, 5, "timeout")
    assert Deadline.of(math.inf, 60, "transfer", 1).until == math.inf
    for bad in (0, -1, math.nan):
        with pytest.raises(UsageError, match="timeout must be above 0"):
            Deadline.of(bad, 60, "transfer", 1)
    for field in ("transfer", "rate", "window"):
        with pytest.raises(UsageError, match=field):
            Timeouts(**{field: 0})
