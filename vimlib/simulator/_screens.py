"""Screens of machines, as pictures."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from aiohttp import web

from vimlib.simulator._folder import refuse

if TYPE_CHECKING:
    from vimlib.simulator._world import World

__all__ = ["picture", "serve_screen"]


def picture(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    """Return a PNG of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + bytes(colour) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


async def serve_screen(world: World, request: web.BaseRequest) -> web.StreamResponse:
    """Serve `/screen?id=MOID`: the picture of a running machine."""
    machine = world.machines.get(request.query.get("id", ""))
    if machine is None:
        return refuse(404, "No such machine")
    if machine.power != "poweredOn":
        return refuse(500, "The machine is not powered on")
    return web.Response(body=picture(320, 200, (0, 0, 0)), content_type="image/png")
