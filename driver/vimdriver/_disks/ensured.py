"""A disk that is there, once `ensure_disk` or `ensure_file` has made sure of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vimdriver._disks.transfer import Way
    from vimlib._datastore import DatastorePath


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsuredDisk:
    """A disk on a datastore, and the image that it was made from."""

    path: DatastorePath
    capacity: int | None = None
    """Bytes; None where it was there, and has no record."""
    bytes: int = 0
    """Of the image."""
    hash: str | None = None
    """Of the image's bytes, lower-case hex."""
    hash_algo: str | None = None
    verified: bool = False
    """The source has a hash, and the bytes matched it."""
    stored_hash: str | None = None
    """Of the disk's bytes as read back from the host; None unless that was asked for."""
    stored_hash_algo: str | None = None
    already_there: bool = False
    manifest: bool | None = None
    """Whether an OVA has a manifest, with which its files agree; None for other images, and where the
    disk was there."""
    way: Way | None = None
    """How it came there; None where it was there."""
