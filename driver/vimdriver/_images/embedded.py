"""An image source in this process: Glance's v2 paths on loopback, with generated images.

`vimctl demo` uploads from it; tests inject failures with `Fault`. It stores no image on disk and
holds only a few chunks of each in memory.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from vimdriver._images.make import Kind, Pattern, make
from vimlib._shield import finish

if TYPE_CHECKING:
    import ssl

_BATCH: Final = 512 << 10
"""Bytes gathered before a write: generators yield 64 KiB at a time."""
_RANGE: Final = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))")
_FORMATS: Final = ("disk_format", "container_format")
_NAMESPACE: Final = uuid.UUID("8d9d4a2e-6f0e-5f5c-9a43-6e1d0d5d7c11")


class Fault(enum.Enum):
    """An injected failure of one image."""

    SHORT = "the connection ends in mid-body, cleanly"
    KILLED = "the connection is reset in mid-body"
    STALLED = "half the body, then silence"
    SHORT_LENGTH = "a whole answer that is one byte short"
    LONG_LENGTH = "a whole answer that is one byte long"
    LONG_CHUNKED = "no Content-Length and one byte more"
    FLIPPED = "the last byte is another"
    GZIP = "Content-Encoding: gzip"
    DRIP = "the first 2000 bytes come one by one"
    NO_CONTENT = "204, as for a queued image"
    REDIRECT = "302 to somewhere else"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    GONE = "404"
    UNAVAILABLE = "503"


_STATUS: Final = {
    Fault.UNAUTHORIZED: 401,
    Fault.FORBIDDEN: 403,
    Fault.GONE: 404,
    Fault.UNAVAILABLE: 503,
}


@dataclass(slots=True, kw_only=True)
class EmbeddedImage:
    """One image to serve. Size and hashes are computed when the server starts."""

    name: str
    chunks: Callable[[], Iterator[bytes]] = field(repr=False)
    """Returns the same bytes on each call."""
    disk_format: str = "raw"
    container_format: str = "bare"
    properties: Mapping[str, str] = field(default_factory=dict)
    min_disk: int = 0
    min_ram: int = 0
    hidden: bool = False
    visibility: str = "public"
    id: str = ""
    """A UUID; derived from the name if empty."""
    status: str = "active"
    virtual_size: int | None = None
    hashed: bool = True
    """False: the image has neither sha512 nor md5, as one that was added to Glance by location."""
    fault: Fault | None = None
    size: int = 0
    sha512: str = ""
    md5: str = ""

    def __post_init__(self) -> None:
        self.id = self.id or str(uuid.uuid5(_NAMESPACE, self.name))

    def measure(self) -> None:
        """Generate all bytes once to compute size and hashes: 5 ms per MiB, so use a thread."""
        sha512 = hashlib.sha512()
        md5 = hashlib.md5(usedforsecurity=False)
        self.size = 0
        for chunk in self.chunks():
            sha512.update(chunk)
            md5.update(chunk)
            self.size += len(chunk)
        self.sha512, self.md5 = sha512.hexdigest(), md5.hexdigest()

    def document(self) -> dict[str, Any]:
        """Return the body of `GET /v2/images/{id}`."""
        known = self.hashed and self.status == "active"
        active = self.status == "active"
        return {
            **self.properties,
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "disk_format": self.disk_format,
            "container_format": self.container_format,
            "size": self.size if active else None,
            "virtual_size": self.virtual_size if active else None,
            "checksum": self.md5 if known else None,
            "os_hash_algo": "sha512" if known else None,
            "os_hash_value": self.sha512 if known else None,
            "visibility": self.visibility,
            "os_hidden": self.hidden,
            "min_disk": self.min_disk,
            "min_ram": self.min_ram,
            "protected": False,
            "tags": [],
            "file": f"/v2/images/{self.id}/file",
            "self": f"/v2/images/{self.id}",
            "schema": "/v2/schemas/image",
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that was answered. It records whether a token was sent, not the token."""

    method: str
    path: str
    with_token: bool


def made_image(
    name: str, kind: Kind, pattern: Pattern, *, properties: Mapping[str, str] | None = None
) -> EmbeddedImage:
    """Return a generated image of `kind` with `pattern` and the properties that Glance reports."""
    disk_type = {"raw": {}, "monolithicSparse": {"vmware_disktype": "sparse"}}.get(
        kind, {"vmware_disktype": "streamOptimized"}
    )
    return EmbeddedImage(
        name=name,
        chunks=partial(make, kind, pattern),
        disk_format="raw" if kind == "raw" else "vmdk",
        virtual_size=pattern.capacity,
        properties={"vmware_adaptertype": "lsiLogic", **disk_type, **(properties or {})},
    )


def demo_images(mib: int = 64) -> list[EmbeddedImage]:
    """Return four different images of at least `mib` MiB each: two raw, two VMDK."""
    size = mib << 20
    return [
        made_image("demo-raw-1", "raw", Pattern(1, size)),
        made_image("demo-raw-2", "raw", Pattern(2, size)),
        # One grain in sixteen is a hole; in a stream each of the others shrinks by a quarter too.
        made_image("demo-sparse", "monolithicSparse", Pattern(3, size * 9 // 8)),
        made_image("demo-stream", "streamOptimized", Pattern(4, size * 3 // 2)),
    ]


class EmbeddedGlance:
    """Serves images on 127.0.0.1 within `async with`; leaving the block closes all connections.

    Args:
        images: The images to serve; `add` adds more. Faults may be set at any time.
        token: The required `X-Auth-Token`; None for a Glance without auth. May be changed.
        port: The port to listen on; 0 selects a free one.
        tls: A server context, for https.
    """

    def __init__(
        self,
        images: Iterable[EmbeddedImage] = (),
        *,
        token: str | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._given = list(images)
        self._port = port
        self._tls = tls
        self._stack = AsyncExitStack()
        self._closing = asyncio.Event()
        self.token = token
        self.images: dict[str, EmbeddedImage] = {}
        """By id."""
        self.seen: list[Seen] = []
        """Every request, in order."""
        self.url = ""
        """The base URL, without `/v2`; known once entered."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            # Threads generate the bytes, so that the loop stays free for the clients.
            self._threads = stack.enter_context(ThreadPoolExecutor(2, "embedded-glance"))
            for image in self._given:
                await self.add(image)
            app = web.Application(client_max_size=1 << 30)
            app.router.add_get("/v2/images", self._list)
            app.router.add_post("/v2/images", self._create)
            app.router.add_put("/v2/images/{id}/file", self._take)
            app.router.add_patch("/v2/images/{id}", self._change)
            app.router.add_delete("/v2/images/{id}", self._remove)
            app.router.add_get("/v2/images/{id}", self._show)
            app.router.add_get("/v2/images/{id}/file", self._file, allow_head=False)
            runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.callback(self._closing.set)
            site = web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=self._tls)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"{'https' if self._tls else 'http'}://{host}:{port}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def add(self, image: EmbeddedImage) -> EmbeddedImage:
        """Serve one more image. If cancelled, the image is not added."""
        measuring = asyncio.get_running_loop().run_in_executor(self._threads, image.measure)
        await finish(measuring, what=f"reading {image.id}")
        self.images[image.id] = image
        return image

    def named(self, name: str) -> EmbeddedImage:
        """Return the first image with that name; KeyError if none has it."""
        for image in self.images.values():
            if image.name == name:
                return image
        raise KeyError(name)

    def _admit(self, request: web.Request) -> None:
        token = request.headers.get("X-Auth-Token")
        self.seen.append(Seen(request.method, request.path, token is not None))
        if self.token is not None and token != self.token:
            raise web.HTTPUnauthorized(text="This server could not verify that you are authorized")

    def _find(self, request: web.Request) -> EmbeddedImage:
        self._admit(request)
        image = self.images.get(request.match_info["id"])
        if image is None:
            raise web.HTTPNotFound(text="No image found")
        return image

    async def _create(self, request: web.Request) -> web.Response:
        self._admit(request)
        given = await request.json()
        image = EmbeddedImage(
            id=str(uuid.uuid4()),
            name=given.pop("name"),
            chunks=lambda: iter(()),
            disk_format=given.pop("disk_format"),
            container_format=given.pop("container_format"),
            visibility=given.pop("visibility", "shared"),
            properties=given,
            status="queued",
        )
        self.images[image.id] = image
        return web.json_response(image.document(), status=201)

    async def _take(self, request: web.Request) -> web.Response:
        image = self._find(request)
        if image.status != "queued":
            raise web.HTTPConflict(text="the image is not queued")
        data = await request.read()
        if image.fault in _STATUS:
            return web.Response(status=_STATUS[image.fault], text="refused")
        image.chunks = lambda: iter([data])
        image.measure()
        image.status = "active"
        return web.Response(status=204)

    async def _change(self, request: web.Request) -> web.Response:
        image = self._find(request)
        if request.content_type != "application/openstack-images-v2.1-json-patch":
            raise web.HTTPUnsupportedMediaType
        changes = {one["path"].removeprefix("/"): one["value"] for one in await request.json()}
        formats = {name: changes.pop(name) for name in _FORMATS if name in changes}
        if formats and image.status != "queued":
            raise web.HTTPForbidden(text="disk_format can be only replaced for a queued image")
        for name, value in formats.items():
            setattr(image, name, value)
        image.properties = {**image.properties, **changes}
        return web.json_response(image.document())

    async def _remove(self, request: web.Request) -> web.Response:
        image = self._find(request)
        del self.images[image.id]
        return web.Response(status=204)

    async def _list(self, request: web.Request) -> web.Response:
        self._admit(request)
        query = request.query
        name, hidden = query.get("name"), query.get("os_hidden") == "true"
        found = [i for i in self.images.values() if name in (None, i.name) and i.hidden is hidden]
        start = next((n for n, i in enumerate(found, 1) if i.id == query.get("marker")), 0)
        shown = found[start : start + int(query.get("limit", "25"))]
        document: dict[str, Any] = {
            "images": [image.document() for image in shown],
            "first": "/v2/images",
        }
        if shown and start + len(shown) < len(found):
            document["next"] = f"/v2/images?marker={shown[-1].id}"
        return web.json_response(document)

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._find(request).document())

    async def _file(self, request: web.Request) -> web.StreamResponse:
        image = self._find(request)
        fault = image.fault
        if fault in _STATUS:
            return web.Response(status=_STATUS[fault], text=fault.value)
        if fault is Fault.REDIRECT:
            return web.Response(status=302, headers={"Location": f"{self.url}/elsewhere"})
        if fault is Fault.NO_CONTENT or image.status != "active":
            return web.Response(status=204)
        first, end = self._range(request, image.size)
        answer = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        length = end - first
        if (first, end) != (0, image.size):
            answer.set_status(206)
            answer.headers["Content-Range"] = f"bytes {first}-{end - 1}/{image.size}"
        elif image.hashed:
            answer.headers["Content-MD5"] = image.md5
        if fault is Fault.GZIP:
            answer.headers["Content-Encoding"] = "gzip"
        length += {Fault.SHORT_LENGTH: -1, Fault.LONG_LENGTH: 1}.get(fault, 0) if fault else 0
        if fault is Fault.LONG_CHUNKED:
            answer.enable_chunked_encoding()
        else:
            answer.content_length = length
        await answer.prepare(request)
        # The client closed the connection during the body and knows why: nothing to report.
        with suppress(ConnectionResetError):
            await self._send(request, answer, image, first, end)
        return answer

    @staticmethod
    def _range(request: web.Request, size: int) -> tuple[int, int]:
        text = request.headers.get("Range")
        if text is None:
            return 0, size
        match = _RANGE.fullmatch(text)
        if match is None:
            raise web.HTTPBadRequest(text="one range, in bytes")
        if match[3] is not None:
            return max(0, size - int(match[3])), size
        first = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
        if first >= end:
            raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
        return first, end

    async def _send(
        self,
        request: web.Request,
        answer: web.StreamResponse,
        image: EmbeddedImage,
        first: int,
        end: int,
    ) -> None:
        fault, sent, left = image.fault, 0, end - first
        if fault is Fault.SHORT_LENGTH:
            left -= 1
        async for chunk in self._bytes(image, first):
            chunk = chunk[:left]
            left -= len(chunk)
            if fault is Fault.FLIPPED and not left:
                chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
            if fault is Fault.DRIP and not sent:
                for index in range(min(len(chunk), 2000)):
                    await answer.write(chunk[index : index + 1])
                chunk = chunk[2000:]
            await answer.write(chunk)
            sent += len(chunk)
            if sent >= image.size // 2 and await self._break_off(fault, request):
                return
            if not left:
                break
        if fault in (Fault.LONG_LENGTH, Fault.LONG_CHUNKED):
            await answer.write(b"!")
        await answer.write_eof()

    async def _break_off(self, fault: Fault | None, request: web.Request) -> bool:
        """Abort the response where the fault requires it; return whether it was aborted."""
        if fault is Fault.STALLED:
            await self._closing.wait()
        elif fault not in (Fault.SHORT, Fault.KILLED):
            return False
        if request.transport is not None:
            if fault is Fault.KILLED:
                request.transport.abort()
            else:
                request.transport.close()
        return True

    async def _bytes(self, image: EmbeddedImage, skip: int) -> AsyncIterator[bytes]:
        chunks = image.chunks()
        loop = asyncio.get_running_loop()
        while piece := await finish(loop.run_in_executor(self._threads, _gather, chunks)):
            if skip < len(piece):
                yield piece[skip:] if skip else piece
            skip = max(0, skip - len(piece))


def _gather(chunks: Iterator[bytes]) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size < _BATCH and (piece := next(chunks, None)) is not None:
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
