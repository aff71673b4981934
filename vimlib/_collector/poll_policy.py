"""How often to poll, and for how long to bear with a host that does not answer. Decides only."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from vimlib._session.policy import Backoff
from vimlib.errors import ConnectionLostError, OutcomeUnknownError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

# A poll that came back with nothing is not repeated sooner than this after it began: a host or a
# proxy that does not hold long polls would otherwise be asked as fast as the wire allows.
INTERVAL: Final = 1.0
BACKOFF: Final = Backoff(first=0.5, factor=2.0, longest=10.0, least=0.5)
# Rebuilding may fail for a moment while a host restarts its services. This many in a row without
# one sound update between them is a host that cannot be watched.
REBUILDS: Final = 6
# A filter set that lasted this long is rebuilt at once when it is gone. One that goes sooner is
# not, though it brought something: a host that drops views at once would be asked as fast as it answers.
STEADY: Final = 30.0


def transient(error: BaseException) -> bool:
    """Return whether a poll that failed so can be sent again: nothing is done twice by polling."""
    return isinstance(error, OutcomeUnknownError) or (
        isinstance(error, TransportError) and error.retryable
    )


class PollPolicy:
    """Seconds to wait between the polls of one consumer."""

    def __init__(
        self, patience: float, max_wait: int, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self._patience = patience
        self.longest = max_wait
        """Seconds that a poll may wait on the host. Shrinks where something on the way cuts
        connections that are silent for less."""
        self._jitter = jitter
        self._failing_since: float | None = None
        self._failures = 0
        self._rebuilds = 0
        self._short = 0
        self._answered = False
        self._relogins = 0
        self._early = 0

    def fine(self) -> None:
        """Note that the host answered."""
        self._failing_since = None
        self._failures = 0
        self._answered = True

    def progressed(self) -> None:
        """Note that a valid update came: the filter set works."""
        self._rebuilds = 0
        self._early = 0

    def doubtful(self, began: float, now: float) -> bool:
        """Return whether to look at the session after a poll that brought nothing.

        It is when the host did not wait as long as it was asked to: some answer so to who is no
        longer logged in. Then at first, and every thirtieth time.
        """
        if now - began >= self.longest / 2:
            self._early = 0
            return False
        self._early += 1
        return self._early % 30 == 1

    def relogin(self, missing: bool) -> bool:
        """Return whether to rebuild because properties are `missing` for lack of a login.

        Once; if the next one wants it as well, that is how it is for this user.
        """
        self._relogins = self._relogins + 1 if missing else 0
        return self._relogins == 1

    def idle(self, began: float, now: float) -> float:
        """Return how long to wait after a poll that began then and brought nothing."""
        return max(0.0, began + INTERVAL - now)

    def failed(self, error: BaseException, began: float, now: float) -> float:
        """Return how long to wait after a poll that began then and failed.

        Raises:
            BaseException: `error` itself, if it does not pass by waiting, or the host has been
                away for longer than patience lasts.
        """
        if self._failing_since is None:
            self._failing_since = now
        held = now - began
        if isinstance(error, ConnectionLostError) and INTERVAL < held <= self.longest:
            self.longest = max(1, int(held * 0.8))
        if not transient(error) or now - self._failing_since >= self._patience:
            raise error
        delay = max(self.idle(began, now), self._backoff(self._failures))
        self._failures += 1
        return delay

    def gone(self, error: BaseException, began: float, now: float) -> float:
        """Return the delay before rebuilding a filter set of age `began` to `now` that is gone.

        Raises:
            BaseException: `error` itself, if it was built several times in vain.
        """
        if self._answered and now - began >= STEADY:
            self._rebuilds = self._short = 0
        self._answered = False
        self._rebuilds += 1
        self._short += 1
        if self._rebuilds > REBUILDS:
            raise error
        return 0.0 if self._short == 1 else self._backoff(self._short - 2)

    def _backoff(self, step: int) -> float:
        return BACKOFF.delay(step + 1, self._jitter)
