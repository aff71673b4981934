"""`/nfc`: the disks of a lease over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from vimlib.simulator._protocol.bodies import pieces
from vimlib.simulator._protocol.datastore_http import refuse
from vimlib.simulator._storage import vmdk
from vimlib.simulator._storage.disks import disk_paths
from vimlib.simulator._vm.nfc import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._vm.nfc import Device

_BATCH = 1 << 20


async def serve_transfer(
    registry: Registry, request: web.BaseRequest, raw: str
) -> web.StreamResponse:
    """Handle a request to a device's URL, which the lease in it authorizes.

    Cancelling it (the client went away) leaves the disk as it was.
    """
    rest = raw.partition("nfc/")[2]
    number, _, name = rest.partition("/")
    lease = next((each for each in registry.all(Lease).values() if each.id == number), None)
    if lease is None or lease.state != "ready":
        return refuse(404, "No such lease")
    device = next((each for each in lease.devices if each.name == name), None)
    if device is None:
        return refuse(404, "No such device")
    for rule in registry.faults.matching(f"NFC {request.method}"):
        if rule.what == "status":
            return refuse(rule.status, "on order", **rule.headers)
    moves = ("PUT", "POST") if lease.mode == "import" else ("GET", "HEAD")
    if request.method in moves:
        transfers = sum(each.transfers for each in registry.all(Lease).values())
        if transfers >= registry.release.nfc_connections:
            # The status that clients report (vmware/govmomi#1990); which limit it was, none of them says.
            return refuse(503, "Too many NFC connections")
        with lease.transferring():
            if lease.mode == "import":
                return await _upload(registry, request, lease, device)
            return await _download(registry, request, lease, device)
    return refuse(
        405,
        f"Method {request.method} not allowed",
        Allow="GET, HEAD" if lease.mode == "export" else "PUT, POST",
    )


async def _upload(
    registry: Registry, request: web.BaseRequest, lease: Lease, device: Device
) -> web.StreamResponse:
    """Receive a disk as a file, sparse or flat, and write its content to the disk of the lease."""
    if "100-continue" in request.headers.get(hdrs.EXPECT, "").lower():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    target = device.store.local(device.path)
    # Opened and closed here: cancelling a wait for a thread would lose the handle.
    held: Any = _temporary()
    digest, chosen = _checksums(device)
    size = 0
    try:
        chunks: list[bytes] = []
        waits = 0
        async for data in pieces(request, registry.request_seconds):
            lease.touch()
            digest.update(data)
            if chosen is not digest:
                chosen.update(data)
            size += len(data)
            chunks.append(data)
            waits += len(data)
            if size > _most(device):
                return refuse(500, "The stream exceeds the disk", Connection="close")
            if waits >= _BATCH:
                await registry.io(held.writelines, chunks)
                chunks, waits = [], 0
        await registry.io(held.writelines, chunks)
        if request.content_length is not None and size != request.content_length:
            return refuse(400, "The body ended early")
        await registry.io(held.flush)
        try:
            device.populated = await device.store.work(
                vmdk.pour, Path(held.name), target, touched=disk_paths(device.store, device.path)
            )
        except vmdk.DiskError as error:
            # So a host refuses a stream (vmware/pyvmomi-community-samples#398).
            return refuse(500, str(error))
    finally:
        held.close()
    device.size, device.sha1, device.checksum = size, digest.hexdigest(), chosen.hexdigest()
    return web.Response(status=200, text="")


async def _download(
    registry: Registry, request: web.BaseRequest, lease: Lease, device: Device
) -> web.StreamResponse:
    """Send a disk as a streamOptimized file, chunked: its size is known only at its end."""
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: "application/x-vnd.vmware-streamVmdk"}
    )
    response.enable_chunked_encoding()
    await response.prepare(request)
    if request.method == "HEAD":
        await response.write_eof()
        return response
    pieces = vmdk.export(device.store.local(device.path))
    digest, chosen = _checksums(device)
    size = 0
    while True:
        data = await registry.io(_gather, pieces)
        if not data:
            break
        lease.touch()
        digest.update(data)
        if chosen is not digest:
            chosen.update(data)
        size += len(data)
        await response.write(data)
        await asyncio.sleep(0)
    await response.write_eof()
    device.size, device.sha1, device.checksum = size, digest.hexdigest(), chosen.hexdigest()
    return response


def _most(device: Device) -> int:
    """Return the most bytes of a stream for a disk: its grains, if none of them shrinks, and their markers."""
    return device.capacity + device.capacity // 32 + (16 << 20)


def _checksums(device: Device) -> tuple[Any, Any]:
    """Return the SHA-1 that a manifest always has, and the checksum that the lease was asked for."""
    digest = hashlib.sha1()
    return digest, hashlib.sha256() if device.checksum_type == "sha256" else digest


def _gather(pieces: Iterator[bytes]) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) >= _BATCH:
            break
    return bytes(found)


def _temporary() -> Any:
    return tempfile.NamedTemporaryFile(prefix="vimlib-nfc-", suffix=".vmdk")
