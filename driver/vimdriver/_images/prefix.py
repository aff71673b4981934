"""Read the first bytes of an image, to learn its format before anything is created for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vimdriver._images.source import ImageSource


async def read_prefix(source: ImageSource, size: int) -> bytes:
    """Return the first `size` bytes of an image, or all if it is shorter. Cancelling closes its
    body.

    Raises:
        ImageError: The source failed.
    """
    head = b""
    async with source.open() as body, AsyncExitStack() as stack:
        chunks = aiter(body)
        if isinstance(chunks, AsyncGenerator):
            await stack.enter_async_context(aclosing(chunks))
        async for chunk in chunks:
            head += chunk
            if len(head) >= size:
                break
    return head[:size]
