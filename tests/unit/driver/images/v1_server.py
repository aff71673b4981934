"""A Glance of 2011 in this process: the v1 API in its three dialects.

Written from captured traffic of Glance 0.1.7 and 15.0.2, and from the sources of 2011.2; it shares nothing with the client.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Dialect = Literal["bexar", "cactus", "diablo"]
FIELDS = (
    "id name size status is_public location disk_format container_format checksum owner protected "
    "min_ram min_disk type"
).split()


@dataclass
class V1Image:
    """One image: its metadata, properties and bytes."""

    fields: dict[str, Any]
    properties: dict[str, str] = field(default_factory=dict)
    data: bytes = b""


@dataclass
class V1Server:
    """The service; `app` serves it."""

    dialect: Dialect = "diablo"
    token: str | None = None
    images: dict[str, V1Image] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    broken: int = 0
    """How many bodies end in the middle."""

    @property
    def prefix(self) -> str:
        return "/v1/images" if self.dialect == "diablo" else "/images"

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post(self.prefix, self._reserve)
        app.router.add_get(self.prefix, self._index)
        app.router.add_put(self.prefix + "/{id}", self._update)
        app.router.add_route("HEAD", self.prefix + "/{id}", self._show)
        app.router.add_get(self.prefix + "/{id}", self._show, allow_head=False)
        return app

    def _admit(self, request: web.Request) -> None:
        self.requests.append((request.method, request.path_qs))
        if self.token is not None and request.headers.get("X-Auth-Token") != self.token:
            raise web.HTTPUnauthorized(text="Authentication required")

    def _find(self, request: web.Request) -> V1Image:
        self._admit(request)
        found = self.images.get(request.match_info["id"])
        if found is None:
            raise web.HTTPNotFound(text="Image not found")
        return found

    def _given(self, request: web.Request) -> tuple[dict[str, str], dict[str, str]]:
        fields, properties = {}, {}
        for name, value in request.headers.items():
            key = name.lower().replace("-", "_")
            if key.startswith("x_image_meta_property_"):
                properties[key.removeprefix("x_image_meta_property_")] = value
            elif key.startswith("x_image_meta_"):
                fields[key.removeprefix("x_image_meta_")] = value
        return fields, properties

    async def _store(self, image: V1Image, request: web.Request) -> None:
        if not request.can_read_body:
            return
        if request.content_type != "application/octet-stream":
            raise web.HTTPBadRequest(text="Content-Type must be application/octet-stream")
        image.data = await request.read()
        size = image.fields.get("size")
        if self.dialect == "diablo" and size is not None and int(size) != len(image.data):
            image.fields["status"] = "killed"
            raise web.HTTPBadRequest(text="the size does not match")
        image.fields |= {"size": len(image.data), "status": "active"}
        if self.dialect != "bexar":
            image.fields["checksum"] = hashlib.md5(image.data, usedforsecurity=False).hexdigest()

    async def _reserve(self, request: web.Request) -> web.Response:
        self._admit(request)
        fields, properties = self._given(request)
        found = str(uuid.uuid4()) if self.dialect == "diablo" else str(len(self.images) + 1)
        image = V1Image(
            {"status": "queued", "is_public": "False", **fields, "id": found}, properties
        )
        self.images[found] = image
        await self._store(image, request)
        status = 200 if self.dialect == "bexar" else 201
        kind = {"bexar": "text/html", "cactus": "text/plain"}.get(self.dialect, "application/json")
        return web.Response(
            status=status, text=json.dumps({"image": self._shown(image)}), content_type=kind
        )

    async def _update(self, request: web.Request) -> web.Response:
        image = self._find(request)
        if request.can_read_body and image.fields["status"] != "queued":
            raise web.HTTPConflict(text="Cannot upload to an unqueued image")
        fields, properties = self._given(request)
        image.fields |= fields
        image.properties = {**(image.properties if self.dialect == "bexar" else {}), **properties}
        await self._store(image, request)
        return web.json_response({"image": self._shown(image)})

    def _shown(self, image: V1Image) -> dict[str, Any]:
        names = [n for n in FIELDS if n in image.fields]
        return {name: image.fields[name] for name in names} | {"properties": image.properties}

    async def _index(self, request: web.Request) -> web.Response:
        self._admit(request)
        found = [i for i in self.images.values() if i.fields.get("is_public", "").lower() == "true"]
        if self.dialect == "diablo":
            name, marker = request.query.get("name"), request.query.get("marker")
            found = [i for i in found if name in (None, i.fields.get("name"))]
            ids = [i.fields["id"] for i in found]
            start = ids.index(marker) + 1 if marker in ids else 0
            found = found[start : start + int(request.query.get("limit", "25"))]
        names = ["id", "name", "size"]
        shown = [{name: self._number(i.fields.get(name)) for name in names} for i in found]
        return web.json_response({"images": shown})

    def _number(self, value: Any) -> Any:
        return int(value) if self.dialect != "diablo" and str(value).isdigit() else value

    async def _show(self, request: web.Request) -> web.StreamResponse:
        image = self._find(request)
        headers = {}
        for name in FIELDS:
            value = image.fields.get(name)
            if value is None and self.dialect == "bexar":
                headers[f"x-image-meta-{name}"] = "None"
            elif value is None and self.dialect == "cactus":
                headers[f"x-image-meta-{name}"] = ""
            elif value is not None:
                headers[f"X-Image-Meta-{name.title()}"] = str(value)
        for key, value in image.properties.items():
            headers[f"X-Image-Meta-Property-{key.title()}"] = value
        if self.dialect == "bexar":
            headers["x-image-meta-properties"] = repr(image.properties)  # a stray one
        elif "checksum" in image.fields:
            headers["ETag"] = image.fields["checksum"]
        if request.method == "HEAD":
            return web.Response(headers=headers)
        if image.fields["status"] != "active":
            raise web.HTTPNotFound(text="Image is not active")
        data, cut = image.data, self.broken > 0
        self.broken -= cut
        answer = web.StreamResponse(headers=headers | {"Content-Type": "application/octet-stream"})
        if self.dialect == "bexar":
            answer.content_type = "text/plain"
            answer.enable_chunked_encoding()
        else:
            answer.content_length = len(data)
        await answer.prepare(request)
        for at in range(0, len(data) // 2 if cut else len(data), 65536):
            await answer.write(data[at : at + 65536])
        if cut:
            assert request.transport is not None
            request.transport.abort()
        return answer
