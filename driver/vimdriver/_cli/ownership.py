"""Ownership options: the owner mark of created objects, and the journal."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vimdriver._config import DriverConfig
    from vimdriver._journal import Journal


@Parameter(name="*", group="Ownership")
@dataclass(frozen=True, kw_only=True)
class Ownership:
    """The owner mark of created objects, and the journal that records operations."""

    owner: str | None = None
    """Owner mark of all created objects; `vimctl sweep` changes only objects with its own mark. The default is made once for each user and computer, and kept in `~/.local/state/vimlib/owner`. [VIMLIB_OWNER]"""

    journal: Path | None = None
    """Journal file that records operations before they start, so that `vimctl sweep` need not wait for their age. One process at a time can use it. [VIMLIB_JOURNAL]"""

    def config(self) -> DriverConfig:
        """Return the driver's settings; an empty variable counts as unset. Raises `UsageError`."""
        from vimdriver._config import DriverConfig

        owner, journal = self.owner, self.journal
        if owner is None:
            owner = os.environ.get("VIMLIB_OWNER") or None
        if journal is None and os.environ.get("VIMLIB_JOURNAL"):
            journal = Path(os.environ["VIMLIB_JOURNAL"])
        if journal is not None and not journal.parent.is_dir():
            raise UsageError(
                f"--journal must be in a folder that exists, got {printable(str(journal))!r}",
                hint="Create the folder first; the file is created if missing.",
            )
        return DriverConfig(owner=owner, journal=journal)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Journal]:
        """Open the journal, for commands without a driver. Raises `JournalError`."""
        from vimdriver._journal import FileJournal, MemoryJournal

        path = self.config().journal
        if path is None:
            yield MemoryJournal()
            return
        async with FileJournal(path) as journal:
            yield journal


OWNERSHIP = Ownership()
"""The default of a command's parameter."""
