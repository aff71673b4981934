"""The client's session in the journal, so that a sweep ends it where the process was killed.

A process that is killed cannot log out, and hosts allow few sessions and keep an idle one for half an
hour or more. The journal gets a digest of the session's key, by which a sweep finds the session in
`SessionManager.sessionList`: a digest gives no access to anything.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vimdriver._journal import FileJournal, LoggedIn, close
from vimlib._shield import finish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimdriver._journal import Journal
    from vimlib._client import Client


class SessionRecord:
    """The entry about one client's session. Only a journal in a file outlives the process."""

    def __init__(self, client: Client, journal: Journal, owner: str) -> None:
        self._client = client
        self._journal = journal
        self._owner = owner
        self._entry: LoggedIn | None = None
        self._turn = asyncio.Lock()

    async def write(self) -> None:
        """Write the session of now, unless it is written already; a new login is a new session.

        Cancelling waits until it is written. Raises `JournalError`.
        """
        await finish(self._write(), what="writing the session into the journal")

    async def _write(self) -> None:
        async with self._turn:
            digest, before = self._client.session_digest, self._entry
            if not digest or (before is not None and before.session == digest):
                return
            entry = LoggedIn(host=self._client.host, owner=self._owner, session=digest)
            await self._journal.begin(entry)
            self._entry = entry
            if before is not None:
                await close(self._journal, before.token)

    async def aclose(self) -> None:
        """Close the entry: from here on the client's owner logs out. Cancelling waits for it."""
        await finish(self._close(), what="closing the session's entry in the journal")

    async def _close(self) -> None:
        async with self._turn:
            entry, self._entry = self._entry, None
            if entry is not None:
                await close(self._journal, entry.token)


@asynccontextmanager
async def session_recorded(client: Client, journal: Journal, owner: str) -> AsyncIterator[None]:
    """Keep the client's session in a journal in a file while the block runs. Raises `JournalError`."""
    if not isinstance(journal, FileJournal):
        yield
        return
    record = SessionRecord(client, journal, owner)
    try:
        await record.write()
        yield
    finally:
        await record.aclose()
