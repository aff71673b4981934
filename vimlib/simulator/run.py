"""A simulated host that runs until it is told to end, for a command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from vimlib.simulator.esx import ESXHost, describe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["serve"]


async def serve(ready: Callable[[dict[str, Any]], None], **options: Any) -> None:
    """Start an `ESXHost` with `options`, call `ready` with url, username, password and thumbprint, and stay.

    Ends when cancelled; the host is then stopped in good order.
    """
    async with ESXHost(**options) as esx:
        ready(describe(esx))
        await asyncio.get_running_loop().create_future()
