"""Decides when a transfer is too slow: silence, a minimum rate, a deadline over all. No I/O, no clock.

Only the time in which the peer is awaited counts for silence and rate: a consumer or a source of
the caller's that pauses is not the peer's fault, and the deadline over all covers it.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from vimlib.errors import DeadlineError, UsageError

if TYPE_CHECKING:
    from vimlib._transport.base import Timeouts
    from vimlib.errors import Outcome

# Clocks are floats: a wait that was set to end at a limit may end this much before it.
_CLOSE: Final = 1e-6


class Breach(NamedTuple):
    """A limit that a transfer exceeded."""

    rule: str
    """The limit: a field of `Timeouts`, or `timeout` for the argument of a verb."""
    seconds: float
    """The limit's seconds; of `rate`, those over which it was measured."""
    bytes: int
    """Bytes of the body that were transferred by then."""

    def error(self, verb: str, host: str, *, outcome: Outcome = "unknown") -> DeadlineError:
        """Return the error for it; `verb` is `upload` or `download`."""
        if self.rule == "rate":
            said = f"was slower than Timeouts.rate over {self.seconds:g} s"
        elif self.rule in {"read", "write"}:
            said = f"stood still for {self.seconds:g} s"
        else:
            said = f"did not finish within {self.seconds:g} s"
        field = self.rule if self.rule == "timeout" else f"Timeouts.{self.rule}"
        change = "lower" if self.rule == "rate" else "raise"
        return DeadlineError(
            f"{host}: the {verb} {said}; {self.bytes} bytes were transferred",
            hint=f"If that speed is expected, {change} {field}.",
            host=host,
            phase=self.rule if self.rule in {"read", "write", "call"} else verb,
            seconds=self.seconds,
            rule=self.rule,
            bytes=self.bytes,
            outcome=outcome,
        )


class Deadline(NamedTuple):
    """The end of a whole verb."""

    until: float
    """By the clock of whoever measures."""
    seconds: float
    rule: str

    @classmethod
    def of(cls, timeout: float | None, default: float, rule: str, now: float) -> Deadline:
        """Return the end of a verb that begins now: `timeout` seconds, or its default by `rule`.

        Raises `UsageError` if `timeout` is not positive.
        """
        if timeout is None:
            return cls(now + default, default, rule)
        if not timeout > 0:
            raise UsageError(f"the timeout must be above 0, got {timeout!r}")
        return cls(now + timeout, timeout, "timeout")

    def within(self, seconds: float, rule: str, now: float) -> Deadline:
        """Return the end of a part of it, which has so many seconds at most."""
        return self if self.until <= now + seconds else Deadline(now + seconds, seconds, rule)


NEVER: Final = Deadline(inf, inf, "transfer")


class Pace:
    """The limits of one body in one direction.

    Args:
        silence: Seconds without a byte, and the rule that they come from.
        rate: Bytes a second at least, on average over each `window` seconds.
        end: When all must be over.
    """

    __slots__ = (
        "_count",
        "_end",
        "_rate",
        "_rule",
        "_silence",
        "_silent",
        "_waited",
        "_window",
        "bytes",
    )

    def __init__(
        self,
        silence: float,
        rule: str,
        *,
        rate: float = 0.0,
        window: float = inf,
        end: Deadline = NEVER,
    ) -> None:
        self._silence = silence
        self._rule = rule
        self._rate = rate
        self._window = window
        self._end = end
        self._silent = self._waited = 0.0
        self._count = 0
        self.bytes = 0
        """Bytes that were transferred so far."""

    @classmethod
    def reading(cls, timeouts: Timeouts, end: Deadline = NEVER) -> Pace:
        """Return the limits of a body that is received."""
        return cls(timeouts.read, "read", rate=timeouts.rate, window=timeouts.window, end=end)

    @classmethod
    def steady(cls, timeouts: Timeouts, end: Deadline = NEVER) -> Pace:
        """Return the limits of a body that may come over several connections."""
        return cls(inf, "read", rate=timeouts.rate, window=timeouts.window, end=end)

    @classmethod
    def writing(cls, timeouts: Timeouts, end: Deadline = NEVER) -> Pace:
        """Return the limits of a body that is sent."""
        return cls(timeouts.write, "write", rate=timeouts.rate, window=timeouts.window, end=end)

    def left(self, now: float) -> float:
        """Return for how many seconds the peer may be awaited before `add` must be called."""
        left = min(self._silence - self._silent, self._window - self._waited, self._end.until - now)
        return max(left, 0.0)

    def add(self, count: int, waited: float, now: float) -> Breach | None:
        """Count bytes for which the peer was awaited so long; return the limit that is exceeded."""
        self.bytes += count
        self._count += count
        self._waited += waited
        self._silent = 0.0 if count else self._silent + waited
        if now > self._end.until - _CLOSE:
            return Breach(self._end.rule, self._end.seconds, self.bytes)
        if self._silent > self._silence - _CLOSE:
            return Breach(self._rule, self._silence, self.bytes)
        if self._waited > self._window - _CLOSE:
            if self._count < self._rate * self._window:
                return Breach("rate", self._window, self.bytes)
            self._waited, self._count = 0.0, 0
        return None
