"""The target of a body: one PUT to one path of a datastore."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from driver.images.wire import Wire
from vimlib.secret import reveal

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from vimlib.datastore import Datastore, DatastorePath

__all__ = ["DatastoreSink", "temporary_name"]


def temporary_name(name: str) -> str:
    """Return a name beside `name` that nobody else uses: 64 random bits."""
    return f"{name[:120]}.{os.urandom(8).hex()}.part"


async def _padded(body: AsyncIterable[bytes], size: int, total: int) -> AsyncIterator[bytes]:
    async for chunk in body:
        yield chunk
    if total > size:
        yield bytes(total - size)


class DatastoreSink:
    """Puts a body to `path`. With `pad`, zeros follow it up to a multiple of that many bytes."""

    def __init__(self, datastore: Datastore, path: DatastorePath, *, pad: int = 1) -> None:
        self.datastore = datastore
        self.path = path
        self._pad = pad
        self._total = 0

    @property
    def pad(self) -> int:
        """See `BodySink.pad`."""
        return self._pad

    async def put(self, body: AsyncIterable[bytes], size: int) -> None:
        """See `BodySink.put`. The size is read back from the datastore."""
        total = -(-size // self._pad) * self._pad
        await self.datastore.upload(self.path, _padded(body, size, total), size=total)

    async def wire(self, size: int) -> Wire:
        """See `BodySink.wire`. The cookie or ticket in it is good for this one request."""
        self._total = -(-size // self._pad) * self._pad
        target = await self.datastore.put_request(self.path, self._total)
        trust = target.trust
        return Wire(
            method="PUT",
            host=target.address.host,
            port=target.address.port,
            target=target.target,
            headers={name: reveal(value) for name, value in target.headers.items()},
            tls=None if trust is None else trust.context,
            check_peer=None if trust is None else trust.check,
        )

    async def confirm(self) -> None:
        """See `BodySink.confirm`: the size is read back from the datastore."""
        await self.datastore.confirm(self.path, self._total)
