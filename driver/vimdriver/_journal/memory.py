"""A journal that ends with its process: the host's own marks are all that then remains."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vimdriver._journal.entries import Entry

__all__ = ["Ledger", "MemoryJournal"]


class Ledger:
    """Which entries are open, and whether somebody is at them. No I/O."""

    def __init__(self, abandoned: Iterable[Entry] = ()) -> None:
        self._abandoned = {entry.token: entry for entry in abandoned}
        self._running: dict[str, Entry] = {}

    @property
    def running(self) -> Sequence[Entry]:
        """What this process is at."""
        return tuple(self._running.values())

    @property
    def abandoned(self) -> Sequence[Entry]:
        """What nobody is at."""
        return tuple(self._abandoned.values())

    @property
    def open(self) -> Sequence[Entry]:
        """All that is open."""
        return (*self._abandoned.values(), *self._running.values())

    def begin(self, entry: Entry) -> None:
        """Take an entry up; if nobody was at it, somebody is now."""
        self._abandoned.pop(entry.token, None)
        self._running[entry.token] = entry

    def done(self, token: str) -> bool:
        """Close an entry; False if it was not open."""
        there = [part.pop(token, None) for part in (self._running, self._abandoned)]
        return any(there)

    def abandon(self, token: str) -> None:
        """Let go of an entry."""
        entry = self._running.pop(token, None)
        if entry is not None:
            self._abandoned[token] = entry

    def restore(self, token: str, before: Entry | None, *, running: bool) -> None:
        """Make an entry what it was before a `begin` that could not be written."""
        self.done(token)
        if before is not None:
            (self._running if running else self._abandoned)[token] = before

    def is_running(self, token: str) -> bool:
        """Whether somebody is at an entry."""
        return token in self._running

    def get(self, token: str) -> Entry | None:
        """Return an open entry."""
        return self._running.get(token) or self._abandoned.get(token)


class MemoryJournal:
    """A `Journal` of this process alone."""

    def __init__(self) -> None:
        self._ledger = Ledger()

    @property
    def running(self) -> Sequence[Entry]:
        """See `Journal.running`."""
        return self._ledger.running

    async def begin(self, entry: Entry) -> None:
        """See `Journal.begin`; never fails."""
        self._ledger.begin(entry)

    async def done(self, token: str) -> None:
        """See `Journal.done`; never fails."""
        self._ledger.done(token)

    def abandon(self, token: str) -> None:
        """See `Journal.abandon`."""
        self._ledger.abandon(token)

    async def abandoned(self) -> Sequence[Entry]:
        """See `Journal.abandoned`."""
        return self._ledger.abandoned

    async def aclose(self) -> None:
        """Nothing is held."""

    def __repr__(self) -> str:
        return f"<MemoryJournal with {len(self._ledger.open)} open>"
