"""`/guestFile`: files of guests over HTTP, by the URLs that GuestFileManager gives."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from vimlib.model import MethodFault
from vimlib.simulator._guest.scripted import guest_of
from vimlib.simulator._protocol.bodies import pieces
from vimlib.simulator._protocol.datastore_http import refuse
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._guest.scripted import GuestTransfer


async def serve_guest_file(registry: Registry, request: web.BaseRequest) -> web.StreamResponse:
    """Handle a request, which the token in its URL authorizes for one transfer.

    Cancelling it (the client went away) leaves the file as it was.
    """
    transfer = _transfer(registry, request.query.get("id", ""), request.query.get("token", ""))
    if transfer is None:
        return refuse(404, "No such transfer")
    for rule in registry.faults.matching(f"GUEST {request.method}"):
        if rule.what == "status":
            return refuse(rule.status, "on order", **rule.headers)
    allowed = "GET" if transfer.size is None else "PUT"
    if request.method != allowed:
        return refuse(405, f"Method {request.method} not allowed", Allow=allowed)
    try:
        if transfer.size is None:
            return _get(transfer)
        return await _put(registry, request, transfer, transfer.size)
    except MethodFault as fault:
        return refuse(500, fault.localized_message or fault.fault_name)


def _transfer(registry: Registry, number: str, token: str) -> GuestTransfer | None:
    for machine in registry.all(VirtualMachine).values():
        if machine.scripted is None:
            continue
        for transfer in guest_of(machine).transfers.values():
            right = secrets.compare_digest(transfer.token.encode(), token.encode())
            if right and str(transfer.id) == number:
                return transfer
    return None


def _get(transfer: GuestTransfer) -> web.StreamResponse:
    content = transfer.guest.files.read(transfer.path, transfer.account)
    transfer.guest.transfers.pop(transfer.id, None)
    return web.Response(body=content, content_type="application/octet-stream")


async def _put(
    registry: Registry, request: web.BaseRequest, transfer: GuestTransfer, size: int
) -> web.StreamResponse:
    if request.content_length is None:
        return refuse(411, "Content-Length is missing")
    # Clients of hosts saw 500 for an empty file: vmware/govmomi#1618.
    if request.content_length == 0 or request.content_length != size:
        return refuse(500, f"The file must have {size} bytes, got {request.content_length}")
    if "100-continue" in request.headers.get(hdrs.EXPECT, "").lower():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    body = bytearray()
    async for data in pieces(request, registry.request_seconds):
        body += data
    if len(body) != size:
        return refuse(400, "The body ended early")
    guest = transfer.guest
    if guest.transfers.pop(transfer.id, None) is None:
        return refuse(404, "No such transfer")
    node = guest.files.write(transfer.path, bytes(body), transfer.account)
    if transfer.mode is not None:
        node.mode = transfer.mode
    return web.Response(status=200, text="")
