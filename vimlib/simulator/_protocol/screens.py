"""Screens of machines, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from vimlib.simulator._protocol.datastore_http import refuse
from vimlib.simulator._vm.consoles import picture
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry


async def serve_screen(registry: Registry, request: web.BaseRequest) -> web.StreamResponse:
    """Handle `/screen?id=MOID`: the picture of a running machine."""
    machine = registry.all(VirtualMachine).get(request.query.get("id", ""))
    if machine is None:
        return refuse(404, "No such machine")
    if machine.power != "poweredOn":
        return refuse(500, "The machine is not powered on")
    return web.Response(body=picture(320, 200, (0, 0, 0)), content_type="image/png")
