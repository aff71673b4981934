"""`/folder`: the files of datastores over HTTP."""

from __future__ import annotations

import html
import os
import re
import stat as stat_module
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote

from aiohttp import hdrs, web

from vimlib.model import MethodFault
from vimlib.simulator._host.folders import Datacenter
from vimlib.simulator._protocol.bodies import pieces
from vimlib.simulator._storage.datastore import Datastore, by_name, parts
from vimlib.simulator._storage.file_sink import FileSink

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.simulator._core.injection import Rule
    from vimlib.simulator._core.registry import Registry

_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def page(title: str, body: str) -> str:
    """Return a page in the style of the host's web server."""
    return f"<html><head><title>{html.escape(title)}</title></head><body>{body}</body></html>\n"


def refuse(status: int, text: str, **headers: str) -> web.Response:
    """Return an error page."""
    return web.Response(
        status=status,
        text=page(text, f"<p>{html.escape(text)}</p>"),
        content_type="text/html",
        headers=headers,
    )


async def serve_folder(
    registry: Registry, request: web.BaseRequest, raw_path: str, rules: list[Rule]
) -> web.StreamResponse:
    """Handle an authorized request below `/folder`. `rules` apply in the middle of a body.

    Cancelling it (the client went away) leaves the received part of a file, as a host does.
    """
    query = parse_qs(request.rel_url.raw_query_string, keep_blank_values=True)
    center = query.get("dcPath", [""])[0]
    name = query.get("dsName", [""])[0]
    path = unquote(raw_path.removeprefix("/folder")).lstrip("/")
    if not _is_datacenter(registry, center):
        return refuse(404, f"Datacenter {center} not found")
    if not name:
        return _listing_of_datastores(registry, request, center)
    stores = by_name(registry)
    store = stores.get(name) or stores.get(unquote(name))
    if store is None:
        return refuse(404, f"Datastore {name} not found")
    try:
        place = store.root.joinpath(*parts(path))
    except MethodFault:
        return refuse(400, "Bad path")
    path = "/".join(parts(path))
    method = request.method
    if method in ("GET", "HEAD"):
        return await _get(registry, request, store, path, place)
    if not registry.licensed:
        return refuse(
            403, "Current license or ESXi version prohibits execution of the requested operation."
        )
    if method in ("PUT", "POST"):
        return await _put(registry, request, store, path, place, rules)
    if method == "DELETE":
        return await _delete(registry, store, path, place)
    return refuse(405, f"Method {method} not allowed", Allow="GET, HEAD, PUT, POST, DELETE")


def _is_datacenter(registry: Registry, center: str) -> bool:
    """Whether a `dcPath` names the datacenter, or nothing, which means it too.

    Accepted are the path that govmomi sends, `/ha-datacenter`, and the name encoded twice, as hosts
    write it in their listings and clients copy it (vmware/govmomi#2320).
    """
    return center.strip("/") == "" or registry.one(Datacenter).name in (
        center.strip("/"),
        unquote(center).strip("/"),
    )


def _twice(name: str) -> str:
    """Encode a name twice, as hosts do in the links of their listings: `ha%252ddatacenter`."""
    return quote("".join(c if c.isascii() and c.isalnum() else _percent(c) for c in name), safe="")


def _percent(char: str) -> str:
    """Percent-encode a character, whichever it is, with lower-case digits as hosts do."""
    return "".join(f"%{byte:02x}" for byte in char.encode())


def _listing_of_datastores(
    registry: Registry, request: web.BaseRequest, center: str
) -> web.Response:
    if request.method not in ("GET", "HEAD"):
        return refuse(400, "dsName is missing")
    if not center:
        name = registry.one(Datacenter).name
        link = f'<a href="/folder?dcPath={_twice(name)}">{html.escape(name)}</a>'
        return web.Response(text=page("Index of", link), content_type="text/html")
    links = "<br>".join(
        f'<a href="/folder?dcPath={_twice(registry.one(Datacenter).name)}&amp;dsName={_twice(name)}">{html.escape(name)}</a>'
        for name in by_name(registry)
    )
    return web.Response(text=page("Index of", links), content_type="text/html")


async def _get(
    registry: Registry, request: web.BaseRequest, store: Datastore, path: str, place: Path
) -> web.StreamResponse:
    try:
        stat = await registry.io(os.stat, place)
    except OSError:
        return refuse(404, f"File {path} not found")
    if stat_module.S_ISDIR(stat.st_mode):
        return await _listing(registry, store, path, place)
    size = store.sizes.get(path, stat.st_size)
    headers = {
        hdrs.CONTENT_TYPE: "application/octet-stream",
        hdrs.ACCEPT_RANGES: "bytes",
        hdrs.LAST_MODIFIED: formatdate(stat.st_mtime, usegmt=True),
    }
    start, end, status = 0, size, 200
    wanted = request.headers.get(hdrs.RANGE)
    if wanted is not None:
        match = _RANGE.fullmatch(wanted.strip())
        if match is not None and (match[1] or match[2]):
            if match[1]:
                start = int(match[1])
                end = min(int(match[2]) + 1, size) if match[2] else size
            else:
                start = max(size - int(match[2]), 0)
            if start >= end:
                return refuse(
                    416, "Range not satisfiable", **{hdrs.CONTENT_RANGE: f"bytes */{size}"}
                )
            status = 206
            headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{size}"
    headers[hdrs.CONTENT_LENGTH] = str(end - start)
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    if request.method == "HEAD":
        await response.write_eof()
        return response
    await _send(registry, request, response, place, start, end)
    return response


async def _send(
    registry: Registry,
    request: web.BaseRequest,
    response: web.StreamResponse,
    place: Path,
    start: int,
    end: int,
) -> None:
    # Not in a thread: cancelling the wait would lose the handle.
    file = place.open("rb")
    try:
        at = start
        while at < end:
            data = await registry.io(os.pread, file.fileno(), min(_CHUNK, end - at), at)
            if not data:  # the file was truncated, or its reported size is wrong
                if request.transport is not None:
                    request.transport.abort()
                return
            await response.write(data)
            at += len(data)
        await response.write_eof()
    finally:
        file.close()


async def _listing(registry: Registry, store: Datastore, path: str, place: Path) -> web.Response:
    entries = await registry.io(
        lambda: sorted((e.name, e.is_dir(), e.stat().st_size) for e in os.scandir(place))
    )
    query = f"dcPath={_twice(registry.one(Datacenter).name)}&amp;dsName={_twice(store.name)}"
    rows = "".join(
        f'<tr><td><a href="/folder/{quote(f"{path}/{name}".lstrip("/"))}{"/" if folder else ""}?{query}">'
        f"{html.escape(name)}{'/' if folder else ''}</a></td><td>{'-' if folder else size}</td></tr>"
        for name, folder, size in entries
    )
    return web.Response(
        text=page(f"Index of {path} on datastore {store.name}", f"<table>{rows}</table>"),
        content_type="text/html",
    )


async def _put(
    registry: Registry,
    request: web.BaseRequest,
    store: Datastore,
    path: str,
    place: Path,
    rules: list[Rule],
) -> web.StreamResponse:
    held = _held(store, path)
    if held is not None:
        return held
    if not path or await registry.io(place.is_dir):
        return _refuse_folder(path or store.name)
    if not await registry.io(place.parent.is_dir) and not registry.put_creates_folders:
        return refuse(404, f"Folder of {path} not found")
    exists = await registry.io(place.exists)
    if exists and request.method == "POST":
        return refuse(409, f"File {path} exists")
    length = request.content_length
    if length is not None:
        room = store.free + (await registry.io(lambda: place.stat().st_size) if exists else 0)
        if length > room:
            return refuse(507, f"Insufficient disk space on datastore {store.name}")
    if "100-continue" in request.headers.get(hdrs.EXPECT, "").lower():
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        # A host makes the folder (vmware/govmomi#1332; community.vmware's vsphere_file makes its
        # folders so and wants 201). Other reports have 404, hence the option.
        await store.work(lambda: place.parent.mkdir(parents=True, exist_ok=True))
    except (FileExistsError, NotADirectoryError):
        return refuse(404, f"Folder of {path} not found")
    sink = FileSink(registry, store, path)
    try:
        await sink.open()
        async for data in pieces(request, registry.request_seconds):
            await sink.write(data)
            for rule in rules:
                if sink.size >= rule.after:
                    await sink.flush()
                    return strike(request, rule)
    except MethodFault:  # the datastore is full
        return refuse(507, f"Insufficient disk space on datastore {store.name}", Connection="close")
    finally:
        await sink.close()
    if length is not None and sink.size != length:
        return refuse(400, "The body ended early")
    return web.Response(status=200 if exists else 201, text="")


def strike(request: web.BaseRequest, rule: Any) -> web.StreamResponse:
    """Apply a rule in the middle of a body."""
    if rule.what == "status":
        return refuse(rule.status, "on order", **rule.headers)
    close(request, reset=rule.what == "reset")
    return web.Response(status=500)


def close(request: web.BaseRequest, *, reset: bool = False) -> None:
    """Close the connection of a request without an answer, with a TCP reset if asked."""
    import socket
    import struct

    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if reset and sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _held(store: Datastore, path: str) -> web.Response | None:
    try:
        store.require_unlocked(path)
    except MethodFault:
        return refuse(403, f"File {path} is locked")
    return None


async def _delete(registry: Registry, store: Datastore, path: str, place: Path) -> web.Response:
    held = _held(store, path)
    if held is not None:
        return held
    # 204, and 405 for a folder: what community.vmware's vsphere_file takes from hosts.
    if not path or await registry.io(place.is_dir):
        return _refuse_folder(path or store.name)
    try:
        await store.work(place.unlink, touched=[path])
    except FileNotFoundError:
        return refuse(404, f"File {path} not found")
    return web.Response(status=204)


def _refuse_folder(name: str) -> web.Response:
    """Refuse to write or delete a folder (vmware/govmomi#1764, vmware/pyvmomi-community-samples#732)."""
    return refuse(405, f"{name} is a folder", Allow="GET, HEAD")
