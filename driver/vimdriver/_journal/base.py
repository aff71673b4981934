"""The protocol of journals, and how work is wrapped by one."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from vimdriver.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from vimdriver._journal.entries import Entry

__all__ = ["Journal", "close", "settled", "written"]

log = logging.getLogger("vimdriver.journal")


class Journal(Protocol):
    """Knows what was begun and has not come to a known end."""

    @property
    def running(self) -> Sequence[Entry]:
        """What this process is at."""

    async def begin(self, entry: Entry) -> None:
        """Write an entry, or write it anew with what is known by now. Only then begin.

        Cancelling waits until it is written. Raises `JournalError`; then it does not stand there.
        """

    async def done(self, token: str) -> None:
        """Close an entry: what it tells of is whole, or gone. One that is not open is no error.

        Cancelling waits until it is written. Raises `JournalError`; then it stays open.
        """

    def abandon(self, token: str) -> None:
        """Say that nobody is at it any more, though its end is not known: it is for a sweep."""

    async def abandoned(self) -> Sequence[Entry]:
        """Return what was begun, is open, and nobody is at. Raises `JournalError`."""

    async def aclose(self) -> None:
        """Let go of what is held. What is open stays written. Safe to call twice."""


async def close(journal: Journal, token: str) -> None:
    """Close an entry; where that cannot be written, a sweep will find that all is well.

    Cancelling waits until it is written.
    """
    try:
        await journal.done(token)
    except JournalError as error:
        journal.abandon(token)
        log.warning("cannot record the end of a finished operation: %s", error)


@asynccontextmanager
async def settled(journal: Journal, token: str) -> AsyncIterator[None]:
    """Close an entry when the block ends well; else leave it to a sweep."""
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
        JournalError: It could not be written; the block was not begun.
    """
    await journal.begin(entry)
    async with settled(journal, entry.token):
        yield
