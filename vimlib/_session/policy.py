"""What to do about a failed call. Decides, does nothing: no I/O, no clock, no loop.

Rules, in this order:

1. A call that a NotAuthenticated fault (or HTTP 401) answered was not executed: whatever its
   method, it is sent again after the one shared login, as often as its session really ended, and
   once where the session turns out to live. (The session does not where the call goes on with a
   listing, whose token has ended too: `SessionExpiredError`, start again.)
2. NoPermission may be an expired session in disguise: if the session turns out to be dead, as 1.
3. What provably did not leave (`outcome == "not_sent"`) may be sent again, whatever its method.
4. A read-only method may be sent again after any failure that is `retryable`. So may one that
   leaves no more than an object of the session's own (`HARMLESS` in `readonly`); what destroys such
   an object is done when the host no longer knows it by then.
5. Everything else is raised: as `OutcomeUnknownError` if the server may have done it.

Repeats wait with jitter and draw on a budget that successes refill, so that a host in trouble is
not hammered by everybody at once. A repeat that would begin later than `Timeouts.call` after the
call did, as a Retry-After may demand, is not made: the error is raised at once.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from vimlib import vim25
from vimlib._session.readonly import ENDING, HARMLESS, READ_ONLY
from vimlib.errors import HTTPStatusError, TransportError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.errors import VimlibError


class Action(enum.Enum):
    """The next step of the session."""

    RESEND = "send it again after `delay` seconds"
    RELOGIN = "make sure of the session, then send it once more"
    DONE = "the error says that it had been done: return None"
    RAISE = "raise the error"
    RAISE_UNKNOWN = "raise OutcomeUnknownError from the error"
    RAISE_EXPIRED = "raise SessionExpiredError from the error"


@dataclass(frozen=True, slots=True)
class Decision:
    """An action, and how long to wait before it."""

    action: Action
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses between repeats, in seconds: exponential, with jitter, capped."""

    first: float = 0.1
    factor: float = 3.0
    longest: float = 10.0
    least: float = 0.1
    """The smallest share of a pause that jitter leaves."""

    def __post_init__(self) -> None:
        if not (self.first > 0 and self.factor >= 1 and self.longest >= self.first):
            raise UsageError("backoff must have first > 0, factor >= 1 and longest >= first")

    def delay(self, repeat: int, random: Callable[[], float]) -> float:
        """Return the pause before the repeat of that number (1 is the first).

        With jitter: callers who failed together do not come back together.
        """
        # A host may be away for so many repeats that their power is no float any more.
        ceiling = min(self.longest, self.first * self.factor ** min(repeat - 1, 64))
        return ceiling * (self.least + (1 - self.least) * random())


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often calls are repeated, as data."""

    attempts: int = 3
    """Sends of one call at most, the first included; 1 switches repeating off."""
    backoff: Backoff = Backoff()
    budget: int = 20
    """Repeats that a session may make before successes must refill it."""
    refill: float = 0.1
    """Tokens for a success: in the long run one repeat in ten calls."""
    read_only: frozenset[str] = READ_ONLY
    """Methods that may be sent again though they may have been executed: they change nothing."""
    harmless: frozenset[str] = HARMLESS
    """The same: they change only state of the session, and repeating them is harmless."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.budget < 0 or self.refill < 0:
            raise UsageError("retry policy must have attempts >= 1, budget >= 0 and refill >= 0")


class Budget:
    """Tokens that repeats take and successes give back."""

    __slots__ = ("_most", "_refill", "left")

    def __init__(self, policy: RetryPolicy) -> None:
        self._most = float(policy.budget)
        self._refill = policy.refill
        self.left = self._most

    def take(self) -> bool:
        """Take a token; False if none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def success(self) -> None:
        """Count a call that worked."""
        self.left = min(self._most, self.left + self._refill)


class Attempt(NamedTuple):
    """The attempts of one call so far."""

    method: str
    sends: int = 1
    """How often it was sent, repeats after a login not counted."""
    relogged: bool = False
    """Whether it was already sent again although the session was found alive."""
    logins: int = 0
    """How often it was sent again in a new session."""
    reads: bool = False
    """Whether it reads by its nature, as the GET of a document does, whatever `method` is."""

    def again(self) -> Attempt:
        """Return it with one more send."""
        return self._replace(sends=self.sends + 1)

    def after_login(self, *, renewed: bool) -> Attempt:
        """Return it as sent after making sure of the session, which is a new one if `renewed`."""
        return self._replace(logins=self.logins + 1) if renewed else self._replace(relogged=True)


_RAISE: Final = Decision(Action.RAISE)

MOST_LOGINS: Final = 5
"""Sessions whose end one call may meet. A host that ends more of them has another problem, and
each login more would burden it."""


def decide(
    error: VimlibError,
    attempt: Attempt,
    policy: RetryPolicy,
    budget: Budget,
    random: Callable[[], float],
    left: float = inf,
) -> Decision:
    """Decide about `error`, which ended an attempt. Takes from `budget` for RESEND.

    `left` is for how many seconds a repeat may be put off.
    """
    if _expired(error):
        if attempt.relogged:
            return _RAISE
        last = attempt.logins >= MOST_LOGINS
        return Decision(Action.RAISE_EXPIRED if last else Action.RELOGIN)
    if attempt.sends > 1 and attempt.method in ENDING and _gone(error):
        return Decision(Action.DONE)
    reading = attempt.reads or attempt.method in policy.read_only
    safe = error.outcome == "not_sent" or reading or attempt.method in policy.harmless
    if safe and _passing(error) and attempt.sends < policy.attempts:
        delay = policy.backoff.delay(attempt.sends, random)
        if isinstance(error, HTTPStatusError) and error.retry_after is not None:
            delay = max(delay, error.retry_after)
        if delay < left and budget.take():
            return Decision(Action.RESEND, delay)
    if error.outcome == "unknown" and not reading:
        return Decision(Action.RAISE_UNKNOWN)
    return _RAISE


def _expired(error: VimlibError) -> bool:
    if isinstance(error, HTTPStatusError):
        return error.status == 401
    # NotAuthenticated is a NoPermission; whether the session is dead or the user may not, the
    # session finds out by reading currentSession.
    return isinstance(error, vim25.NoPermission)


def _gone(error: VimlibError) -> bool:
    return isinstance(error, vim25.ManagedObjectNotFound)


def _passing(error: VimlibError) -> bool:
    """Tell whether the same call may well work in a moment. Faults are the caller's to judge."""
    return isinstance(error, TransportError) and error.retryable
