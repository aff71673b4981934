"""Whose things they are, and where what is begun is written down."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from driver.config import DriverConfig
    from driver.journal import Journal

__all__ = ["KEEPING", "Keeping"]


@Parameter(name="*", group="Ownership")
@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Whose things they are, and where what is begun is written down."""

    owner: Annotated[str, Parameter(env_var="VIMLIB_OWNER", show_env_var=False)] = "vimlib"
    """Mark on all that is made; `vimctl sweep` touches only what carries its own. [VIMLIB_OWNER]"""

    journal: Annotated[Path | None, Parameter(env_var="VIMLIB_JOURNAL", show_env_var=False)] = None
    """File in which what is begun is written first, so that `vimctl sweep` need not wait for its age. One process at a time can use it. [VIMLIB_JOURNAL]"""

    def config(self) -> DriverConfig:
        """Return the driver's settings."""
        from driver.config import DriverConfig

        return DriverConfig(owner=self.owner, journal=self.journal)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Journal]:
        """Give the journal, for what needs no whole driver. Raises `JournalError`."""
        from driver.journal import FileJournal, MemoryJournal

        if self.journal is None:
            yield MemoryJournal()
            return
        async with FileJournal(self.journal) as journal:
            yield journal


KEEPING = Keeping()
"""The default of a command's parameter."""
