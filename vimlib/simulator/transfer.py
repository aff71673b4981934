"""`/nfc`: the disks of a lease over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib.simulator.folder import refuse

if TYPE_CHECKING:
    from aiohttp import web

    from vimlib.simulator.world import World

__all__ = ["serve_transfer"]


async def serve_transfer(world: World, request: web.BaseRequest, raw: str) -> web.StreamResponse:
    """Serve a request to a device's URL."""
    return refuse(404, "No such lease")
