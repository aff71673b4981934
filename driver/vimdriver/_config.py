"""What one may set about the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vimdriver._guestinfo import Form
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEFAULT_OWNER", "DriverConfig"]

DEFAULT_OWNER: Final = "vimlib"
_LONGEST_OWNER: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverConfig:
    """Settings of an `ESXDriver`, each with a default that works.

    Raises:
        UsageError: `owner` cannot be a mark, or `concurrency` is below 1.
    """

    owner: str = DEFAULT_OWNER
    """Mark on all that the driver makes. Two drivers on one host want different ones: a sweep
    touches only what carries its own."""
    journal: Path | None = None
    """File in which what is begun is written down first; see `vimdriver._journal`. One for each process.
    None keeps no file: then a sweep after a crash goes by the host's marks and an age limit alone."""
    guest_form: Form = "nova"
    """How addresses are written for the guest; see `vimdriver._guestinfo`."""
    concurrency: int = 4
    """Images that a push moves at the same time, where it is not told otherwise."""
    task_seconds: float = 600.0
    """How long one task of the host may take. Creating a large thick disk takes minutes."""
    cleanup_seconds: float = 120.0
    """How long undoing a failed spawn may take before it is given up and said so."""
    settle_seconds: float = 5.0
    """How long an unanswered call is looked for on the host before it counts as never done."""

    def __post_init__(self) -> None:
        if not self.owner or len(self.owner) > _LONGEST_OWNER or not self.owner.isprintable():
            raise UsageError(
                f"owner must be 1 to {_LONGEST_OWNER} printable characters, got {self.owner[:80]!r}",
                field="owner",
            )
        if self.concurrency < 1:
            raise UsageError(
                f"concurrency must be at least 1, got {self.concurrency}", field="concurrency"
            )
