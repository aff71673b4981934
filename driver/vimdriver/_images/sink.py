"""The datastore as the target of a body: one PUT to one path."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vimdriver._images.raw_http import RawRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from vimlib._datastore import Datastore, DatastorePath
    from vimlib.errors import TransferRejectedError


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
    form = rf".*\.{owner_mark(owner)}-((?P<at>[0-9a-f]{{8}})-)?[0-9a-f]{{16}}\.part"
    return re.fullmatch(form, name, re.S)


async def _padded(body: AsyncIterable[bytes], size: int, total: int) -> AsyncIterator[bytes]:
    async for chunk in body:
        yield chunk
    if total > size:
        yield bytes(total - size)


class DatastoreSink:
    """Uploads a body to `path`, padded with zeros to a multiple of `pad` bytes."""

    def __init__(self, datastore: Datastore, path: DatastorePath, *, pad: int = 1) -> None:
        self.datastore = datastore
        self.path = path
        self._pad = pad
        self._total = 0
        self._begun = False

    @property
    def pad(self) -> int:
        """See `BodySink.pad`."""
        return self._pad

    def slot(self) -> AbstractAsyncContextManager[None]:
        """See `BodySink.slot`."""
        return self.datastore.slot()

    async def put(self, body: AsyncIterable[bytes], size: int) -> None:
        """See `BodySink.put`. The size is read back from the datastore."""
        self._total = -(-size // self._pad) * self._pad
        # What a refused attempt may have left is of our own.
        again, self._begun = self._begun, True
        await self.datastore.upload(
            self.path, _padded(body, size, self._total), size=self._total, overwrite=again
        )

    async def wire(self, size: int) -> RawRequest:
        """See `BodySink.wire`. Its cookie or ticket is valid for this one request."""
        self._total = -(-size // self._pad) * self._pad
        target = await self.datastore.put_request(self.path, self._total)
        trust = target.trust
        return RawRequest(
            method="PUT",
            host=target.address.host,
            port=target.address.port,
            target=target.target,
            headers=target.headers,
            tls=None if trust is None else trust.context,
            check_peer=None if trust is None else trust.check,
        )

    async def confirm(self, after: TransferRejectedError | None = None) -> None:
        """See `BodySink.confirm`: the size is read back from the datastore."""
        await self.datastore.confirm(self.path, self._total, after=after)
