"""The protocol of journals, context managers for it, and a journal that ends with its process."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from vimdriver.errors import JournalError
from vimlib._repr import robust

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from vimdriver._journal.entries import Entry

log = logging.getLogger("vimdriver.journal")


class Journal(Protocol):
    """The work that was begun and has not come to a known end."""

    @property
    def running(self) -> Sequence[Entry]:
        """Entries that this process works on."""

    async def begin(self, entry: Entry) -> None:
        """Write an entry, or replace it by one with more facts. Only then begin the work.

        Cancelling waits until it is written. Raises `JournalError`; then it was not written.
        """

    async def done(self, token: str) -> None:
        """Close an entry: its object is whole, or gone. One that is not open is not an error.

        Cancelling waits until it is written. Raises `JournalError`; then it stays open.
        """

    def abandon(self, token: str) -> None:
        """Stop working on an entry whose end is not known: it is left to a sweep."""

    async def abandoned(self) -> Sequence[Entry]:
        """Return the open entries that nobody works on. Raises `JournalError`."""

    async def aclose(self) -> None:
        """Release the journal. Open entries stay written. Safe to call twice."""


async def close(journal: Journal, token: str) -> None:
    """Close an entry; if that cannot be written, a later sweep finds nothing to do and closes it.

    Cancelling waits until it is written.
    """
    try:
        await journal.done(token)
    except JournalError as error:
        journal.abandon(token)
        log.warning("cannot record the end of a finished operation: %s", error)


@asynccontextmanager
async def settled(journal: Journal, token: str) -> AsyncIterator[None]:
    """Close an entry when the block succeeds; else leave it to a sweep."""
    try:
        yield
    except BaseException:
        journal.abandon(token)
        raise
    await close(journal, token)


@asynccontextmanager
async def written(journal: Journal, entry: Entry) -> AsyncIterator[None]:
    """Hold an entry open while the block runs; see `settled`.

    Raises:
        JournalError: It could not be written; the block was not entered.
    """
    await journal.begin(entry)
    async with settled(journal, entry.token):
        yield


class Ledger:
    """The open entries, and whether somebody works on them. No I/O."""

    def __init__(self, abandoned: Iterable[Entry] = ()) -> None:
        self._abandoned = {entry.token: entry for entry in abandoned}
        self._running: dict[str, Entry] = {}

    @property
    def running(self) -> Sequence[Entry]:
        """Entries that this process works on."""
        return tuple(self._running.values())

    @property
    def abandoned(self) -> Sequence[Entry]:
        """Open entries that nobody works on."""
        return tuple(self._abandoned.values())

    @property
    def open(self) -> Sequence[Entry]:
        """All open entries."""
        return (*self._abandoned.values(), *self._running.values())

    def begin(self, entry: Entry) -> None:
        """Mark an entry as in progress, no longer as abandoned."""
        self._abandoned.pop(entry.token, None)
        self._running[entry.token] = entry

    def done(self, token: str) -> bool:
        """Close an entry; False if it was not open."""
        there = [part.pop(token, None) for part in (self._running, self._abandoned)]
        return any(there)

    def abandon(self, token: str) -> None:
        """Stop working on an entry."""
        entry = self._running.pop(token, None)
        if entry is not None:
            self._abandoned[token] = entry

    def restore(self, token: str, before: Entry | None, *, running: bool) -> None:
        """Restore an entry after a `begin` that could not be written."""
        self.done(token)
        if before is not None:
            (self._running if running else self._abandoned)[token] = before

    def is_running(self, token: str) -> bool:
        """Return whether somebody works on an entry."""
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

    @robust
    def __repr__(self) -> str:
        return f"<MemoryJournal with {len(self._ledger.open)} open>"
