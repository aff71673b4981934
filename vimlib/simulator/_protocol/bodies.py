"""Bodies of requests, from clients that may fall silent in the middle of one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web


class SilentClient(Exception):
    """A client has sent nothing for too long."""


async def pieces(request: web.BaseRequest, seconds: float) -> AsyncIterator[bytes]:
    """Yield a body as it arrives; raises `SilentClient` after `seconds` in which nothing came."""
    chunks = request.content.iter_any()
    while True:
        try:
            async with asyncio.timeout(seconds):
                data = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise SilentClient(f"nothing received for {seconds:g} s") from None
        yield data


async def whole(request: web.BaseRequest, seconds: float, largest: int) -> bytes | None:
    """Return a body that must be complete within `seconds`, None if it has more than `largest` bytes.

    Raises `SilentClient`.
    """
    if (request.content_length or 0) > largest:
        return None
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for data in request.content.iter_any():
                body += data
                if len(body) > largest:
                    return None
    except TimeoutError:
        raise SilentClient(f"the request is not complete after {seconds:g} s") from None
    return bytes(body)
