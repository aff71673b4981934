"""The properties of a file, and of a request that would store one. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from vimlib._datastore.path import DatastorePath
    from vimlib._secret import Secret
    from vimlib._tls import Trust
    from vimlib._transport.address import Address


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PutTarget:
    """A PUT ready to be made by somebody else: where, as whom, and whom to trust. `repr` shows no secret."""

    address: Address
    """Whom to dial."""
    target: str
    """Path and query of the request."""
    headers: Mapping[str, str | Secret] = field(repr=False)
    """Send them as they are: the session's cookie or a ticket, good for this one request."""
    size: int
    """Content-Length."""
    trust: Trust | None
    """`trust.context` for the handshake with `address.host`, then `trust.check(certificate)` on
    every new connection before the first byte; None for plain http."""

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.address.origin + self.target


def no_such(path: DatastorePath) -> NotFoundError:
    """Return the error for a file or folder that is not there."""
    return NotFoundError(
        f"not found: {path}",
        hint=f"List the folder: vimctl datastore ls '{path.parent}'.",
        kind="file",
        name=str(path),
    )
