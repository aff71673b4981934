"""The properties of a file. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from datetime import datetime

    from vimlib._datastore.path import DatastorePath


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file or folder as the host lists it."""

    path: DatastorePath
    size: int
    """Bytes; 0 for a folder."""
    modified: datetime | None
    is_dir: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name


def no_such(path: DatastorePath) -> NotFoundError:
    """Return the error for a file or folder that is not there."""
    return NotFoundError(
        f"not found: {path}",
        hint=f"List the folder: vimctl datastore ls '{path.parent}'.",
        kind="file",
        name=str(path),
    )
