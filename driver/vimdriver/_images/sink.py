"""The datastore as the target of a body: one PUT to one path."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from vimlib._datastore import Datastore, DatastorePath
    from vimlib._transport.http import Buffer


def owner_mark(owner: str) -> str:
    """Return the mark of an owner in the names of temporary files: 32 bits of a digest."""
    return hashlib.sha256(f"vimlib upload\0{owner}".encode()).hexdigest()[:8]


def temporary_name(name: str, owner: str, *, at: datetime | None = None, token: str = "") -> str:
    """Return a unique temporary name for `name` that contains the owner's mark and the time.

    As `disk.vmdk.6f0c2a51-6a1c3f00-0123456789abcdef.part`: the owner, the seconds since 1970 by this
    computer's clock (`at`; None is now) and 64 random bits or `token`, within the 255 bytes that a
    name may have. A killed process cannot remove its file, so a sweep recognises it by its name alone.
    """
    short = name.encode(errors="replace")[:110].decode(errors="ignore")
    seconds = int((at or datetime.now(UTC)).timestamp())
    return f"{short}.{owner_mark(owner)}-{seconds:08x}-{token or os.urandom(8).hex()}.part"


def is_temporary(name: str, owner: str) -> bool:
    """Return whether `temporary_name` made this name for `owner`, here or in an earlier version."""
    return _parts(name, owner) is not None


def made_at(name: str, owner: str) -> datetime | None:
    """Return when `temporary_name` made a name of `owner`; None for one of an earlier version."""
    found = _parts(name, owner)
    if found is None or found["at"] is None:
        return None
    return datetime.fromtimestamp(int(found["at"], 16), UTC)


def _parts(name: str, owner: str) -> re.Match[str] | None:
    # A disk's descriptor must end with .vmdk, and hosts name its extent after it.
    form = (
        rf".*\.{owner_mark(owner)}-((?P<at>[0-9a-f]{{8}})-)?[0-9a-f]{{16}}"
        r"\.part(\.vmdk|-flat\.vmdk)?"
    )
    return re.fullmatch(form, name, re.S)


async def _padded(body: AsyncIterable[Buffer], size: int, total: int) -> AsyncIterator[Buffer]:
    async for chunk in body:
        yield chunk
    if total > size:
        yield bytes(total - size)


class DatastoreSink:
    """Uploads a body to `path`, where only we write, padded with zeros to a multiple of `pad` bytes."""

    def __init__(self, datastore: Datastore, path: DatastorePath, *, pad: int = 1) -> None:
        self.datastore = datastore
        self.path = path
        self._pad = pad

    def slot(self) -> AbstractAsyncContextManager[None]:
        """See `BodySink.slot`."""
        return self.datastore.slot()

    async def put(self, body: AsyncIterable[Buffer], size: int | None) -> None:
        """See `BodySink.put`. The size is read back from the datastore, so it must be known.

        Raises:
            UsageError: `size` is None.
        """
        if size is None:
            raise UsageError(f"the size of {self.path} must be known before it is stored")
        total = -(-size // self._pad) * self._pad
        await self.datastore.upload(self.path, _padded(body, size, total), size=total, fresh=True)
