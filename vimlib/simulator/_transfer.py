"""`/nfc`: the disks of a lease over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from vimlib.simulator import _vmdk as vmdk
from vimlib.simulator._disk_manager import disk_paths
from vimlib.simulator._folder import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._nfc import Device, Lease
    from vimlib.simulator._world import World

__all__ = ["serve_transfer"]

_BATCH = 1 << 20


async def serve_transfer(world: World, request: web.BaseRequest, raw: str) -> web.StreamResponse:
    """Serve a request to a device's URL; the lease in it is the permission.

    Cancelling it (the client went away) leaves the disk as it was.
    """
    _, _, rest = raw.partition("/nfc/")
    number, _, name = rest.partition("/")
    lease: Lease | None = world.leases.get(number)
    if lease is None or lease.state != "ready":
        return refuse(404, "No such lease")
    device = next((each for each in lease.devices if each.name == name), None)
    if device is None:
        return refuse(404, "No such device")
    for rule in world.faults.matching(f"NFC {request.method}"):
        if rule.what == "status":
            return refuse(rule.status, "on order", **rule.headers)
    if request.method in ("PUT", "POST") and lease.mode == "import":
        with lease.uploading():
            return await _upload(world, request, lease, device)
    if request.method in ("GET", "HEAD") and lease.mode == "export":
        return await _download(world, request, lease, device)
    return refuse(
        405,
        f"Method {request.method} not allowed",
        Allow="GET, HEAD" if lease.mode == "export" else "PUT, POST",
    )


async def _upload(
    world: World, request: web.BaseRequest, lease: Lease, device: Device
) -> web.StreamResponse:
    """Take a disk as a file, sparse or flat, and write its content to the disk that waits for it."""
    if "100-continue" in request.headers.get(hdrs.EXPECT, "").lower():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    target = device.store.local(device.path)
    # Made and closed here: a wait for a thread that is cancelled would lose the handle.
    held: Any = _temporary()
    size = 0
    try:
        chunks: list[bytes] = []
        waits = 0
        async for data in request.content.iter_any():
            lease.touch()
            size += len(data)
            chunks.append(data)
            waits += len(data)
            if waits >= _BATCH:
                await world.io(held.writelines, chunks)
                chunks, waits = [], 0
        await world.io(held.writelines, chunks)
        if request.content_length is not None and size != request.content_length:
            return refuse(400, "The body ended early")
        await world.io(held.flush)
        try:
            await device.store.work(
                vmdk.pour, Path(held.name), target, touched=disk_paths(device.store, device.path)
            )
        except vmdk.DiskError as error:
            return refuse(400, f"Invalid disk: {error}")
    finally:
        held.close()
    device.size = size
    return web.Response(status=200, text="")


async def _download(
    world: World, request: web.BaseRequest, lease: Lease, device: Device
) -> web.StreamResponse:
    """Send a disk as a streamOptimized file, chunked: its size is known at its end."""
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: "application/x-vnd.vmware-streamVmdk"}
    )
    response.enable_chunked_encoding()
    await response.prepare(request)
    if request.method == "HEAD":
        await response.write_eof()
        return response
    pieces = vmdk.export(device.store.local(device.path))
    digest = hashlib.sha1()  # the sum that manifests have
    size = 0
    while True:
        data = await world.io(_gather, pieces)
        if not data:
            break
        lease.touch()
        digest.update(data)
        size += len(data)
        await response.write(data)
        await asyncio.sleep(0)
    await response.write_eof()
    device.size, device.sha1 = size, digest.hexdigest()
    return response


def _gather(pieces: Iterator[bytes]) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) >= _BATCH:
            break
    return bytes(found)


def _temporary() -> Any:
    return tempfile.NamedTemporaryFile(prefix="vimlib-nfc-", suffix=".vmdk")
