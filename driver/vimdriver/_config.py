"""Settings of the driver."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vimdriver._guestinfo import Form
from vimdriver._instances.extra_config import EXTRA_CONFIG
from vimdriver._owner import LONGEST_OWNER, installation_owner, is_owner
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib._transport.base import Timeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverConfig:
    """Settings of an `ESXDriver`, each with a default that works.

    Raises:
        UsageError: `owner` cannot be a mark, or `concurrency` is below 1.
    """

    owner: str | None = None
    """Mark on every object that the driver makes: a sweep touches only objects with its own. None
    is this installation's, see `mark`."""
    journal: Path | None = None
    """File to which each step is written before it begins; see `vimdriver._journal`. One for each
    process. None keeps no file: a sweep after a crash then uses the host's marks and an age limit."""
    guest_form: Form = "nova"
    """How addresses are written for the guest; see `vimdriver._guestinfo`."""
    concurrency: int = 4
    """Images that a push transfers at the same time by default."""
    task_seconds: float = 600.0
    """How long one task of the host may take. Creating a large thick disk takes minutes. It also caps
    the deadlines that an image transfer has apart from its total one: `Timeouts.call` for the
    host's answer, and `Timeouts.window`, over which the transfer must keep to `Timeouts.rate`."""
    cleanup_seconds: float = 120.0
    """How long a rollback may take; an object that is left then is named in a note of the error."""
    extra_config: tuple[str, ...] = EXTRA_CONFIG
    """Keys that `InstanceSpec.extra_config` may have, as patterns with `*`, without regard to case."""
    settle_seconds: float = 5.0
    """How long the host is probed after an unanswered call before it counts as never executed."""

    def __post_init__(self) -> None:
        if self.owner is not None and not is_owner(self.owner):
            raise UsageError(
                f"owner must be 1 to {LONGEST_OWNER} printable characters, got {self.owner[:80]!r}",
                field="owner",
            )
        if self.concurrency < 1:
            raise UsageError(
                f"concurrency must be at least 1, got {self.concurrency}", field="concurrency"
            )

    def mark(self) -> str:
        """Return `owner`, or else this installation's, which the first call of all makes.

        The file `$XDG_STATE_HOME/vimlib/owner` (`~/.local/state/vimlib/owner`) keeps it.

        Raises:
            OwnerError: That file cannot be made or read: name an owner.
        """
        return installation_owner() if self.owner is None else self.owner

    def timeouts(self, client: Timeouts) -> Timeouts:
        """Return the deadlines of image transfers over a client with these deadlines."""
        return replace(
            client,
            call=min(client.call, self.task_seconds),
            window=min(client.window, self.task_seconds),
        )
