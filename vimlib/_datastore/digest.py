"""Hashes of bodies as they pass. In a thread, a megabyte at a time: hashing must not hold up the loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Final

from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from vimlib._transport.http import Buffer

_BATCH: Final = 1 << 20


class Digest:
    """The hash of all bytes that were fed. Raises `UsageError` for an unknown algorithm."""

    def __init__(self, algorithm: str = "sha256") -> None:
        try:
            # It finds damage, whatever the name; a host in FIPS mode must not refuse md5 for it.
            self._hash = hashlib.new(algorithm, usedforsecurity=False)
        except ValueError:
            raise UsageError(
                f"unknown hash algorithm: {algorithm!r}", hint="Use sha256 or sha512."
            ) from None
        if not self._hash.digest_size:
            raise UsageError(f"hash algorithm without a fixed length: {algorithm!r}")
        self._waiting: list[bytes] = []
        self._size = 0

    async def feed(self, chunk: Buffer) -> None:
        """Take more bytes. Cancelling spoils the hash."""
        self._waiting.append(bytes(chunk))  # a copy of what its maker may fill again
        self._size += len(chunk)
        if self._size >= _BATCH:
            await self._work()

    async def hexdigest(self) -> str:
        """Return the hash of all bytes so far. Cancelling spoils it."""
        await self._work()
        return self._hash.hexdigest()

    async def passing(self, body: AsyncIterable[Buffer]) -> AsyncGenerator[Buffer, None]:
        """Yield `body` as it is, each chunk taken before it goes on. Closes it when closed."""
        async with AsyncExitStack() as stack:
            if isinstance(body, AsyncGenerator):
                await stack.enter_async_context(aclosing(body))
            async for chunk in body:
                await self.feed(chunk)
                yield chunk

    async def _work(self) -> None:
        chunks, self._waiting, self._size = self._waiting, [], 0
        if chunks:
            await asyncio.to_thread(self._update, chunks)

    def _update(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._hash.update(chunk)
