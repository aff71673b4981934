"""Images in Glance, through its v1 API: that of 2011, whose metadata is in HTTP headers.

Three dialects, observed at 0.1.7 (Bexar) and 15.0.2 (Pike), and read in Cactus: Bexar serves ``/images``, numbers its
images, has no checksum, and sends bodies chunked without a Content-Length; Cactus has formats and md5; since
Diablo the path is ``/v1/images``, since 2012 ids are UUIDs. No version sends parts of an image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
from yarl import URL

from vimdriver._images.glance import ServiceImage, decode, service_url
from vimdriver._images.source import ImageInfo
from vimdriver._images.tokens import Tokens, asks
from vimdriver.errors import (
    ImageAmbiguousError,
    ImageNotFoundError,
    ImageNotReadyError,
    SourceProtocolError,
)
from vimlib._repr import robust
from vimlib._secret import forgetful

if TYPE_CHECKING:
    from vimdriver._images.body import HttpBody
    from vimdriver._images.http import HttpClient
    from vimdriver._images.tokens import TokenSource
    from vimlib._secret import Secret

GlanceAPI: TypeAlias = Literal["2", "1", "bexar"]
"""Versions of Glance's API; `bexar` is v1 before May 2011, without `/v1` in its paths."""

_META: Final = "x-image-meta-"
_PROPERTY: Final = "property_"
_ID: Final = re.compile(r"[0-9]{1,18}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PAGE: Final = 50
_MOST: Final = 1000
"""Images that are listed for a name at most."""
_COMING: Final = frozenset({"queued", "saving"})


class _V1Listed(msgspec.Struct):
    """An image of a list, as far as it is read."""

    id: str | int
    name: str | None = None


class _V1List(msgspec.Struct):
    images: list[_V1Listed]


class GlanceV1:
    """The store of one Glance service that speaks v1. It only reads.

    Args:
        client: The connection pool of its requests; the caller closes it.
        url: The endpoint, with or without `/v1`.
        token: As for `Glance`.
        api: `bexar` for paths without `/v1`.

    Raises:
        UsageError: `url` is not an http(s) URL.
    """

    def __init__(
        self,
        client: HttpClient,
        url: str,
        *,
        token: str | TokenSource | None = None,
        api: GlanceAPI = "1",
    ) -> None:
        self._client = client
        self._base = _base(url, api)
        self._tokens = Tokens(token)
        del token

    @robust
    def __repr__(self) -> str:
        return f"GlanceV1({str(self._base)!r})"

    def image(self, ref: str) -> ServiceImage:
        """Return the source of the image with the id `ref`, or of that name if `ref` is not an id."""
        return ServiceImage(self, ref)

    @forgetful
    async def find(self, ref: str) -> ImageInfo:
        """Look an image up by its id or its unique name. Cancelling leaves nothing behind.

        Raises:
            ImageNotFoundError: No image matches, or our project may not see it.
            ImageAmbiguousError: Several images have that name.
            ImageNotReadyError: The image is not active.
            ImageSourceError: Glance failed.
        """
        if _ID.fullmatch(ref):
            try:
                return await self._show(ref, ref)
            except ImageNotFoundError:
                pass  # a name may look like an id
        ids = await self._named(ref)
        if not ids:
            raise ImageNotFoundError(image=ref)
        if len(ids) > 1:
            raise ImageAmbiguousError(image=ref, ids=ids)
        return await self._show(ids[0], ref)

    async def _show(self, found: str, ref: str) -> ImageInfo:
        async def ask(headers: dict[str, Secret]) -> dict[str, str]:
            url = self._base / found
            async with self._client.request("HEAD", url, image=ref, headers=headers) as answer:
                return dict(answer.headers)

        return _info(metadata(await self._tokens.authorized(ask, ref)), ref)

    async def _named(self, name: str) -> list[str]:
        """Return the ids of all images of a name. Old versions ignore filter and page, and list all."""
        seen: dict[str, str | None] = {}
        query = {"name": name, "limit": str(_PAGE)}
        while True:
            url = self._base.with_query(query)

            async def ask(headers: dict[str, Secret], url: URL = url) -> bytes:
                return await self._client.document(url, image=name, headers=headers)

            page = decode(await self._tokens.authorized(ask, name), _V1List, name)
            new = {str(each.id): each.name for each in page.images if str(each.id) not in seen}
            seen |= new
            if not new or len(page.images) < _PAGE or len(seen) > _MOST:
                return [found for found, known in seen.items() if known == name]
            query["marker"] = str(page.images[-1].id)

    @forgetful
    async def enter_file(self, info: ImageInfo, stack: AsyncExitStack) -> HttpBody:
        """Open the bytes of an image that `find` returned; `stack` closes them.

        Raises:
            ImageSourceError: Glance failed, or the response head does not match `info`.
        """
        asked = asks(self._client, self._tokens, self._base / info.id, info.id)
        body = self._client.body(info, asked, stack)
        if await body.open() == 204:
            raise ImageNotReadyError(image=info.id, status="queued")
        return body


def metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of a response, by lower-case names with `_`; what has no value is left out.

    Bexar writes the word None for no value, later versions nothing.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower().replace("_", "-")
        if key.startswith(_META) and value not in ("", "None"):
            found[key.removeprefix(_META).replace("-", "_")] = value
    return found


def _base(text: str, api: GlanceAPI) -> URL:
    url = service_url(text)
    path = url.path.rstrip("/").removesuffix("/v1")
    return url.with_path(f"{path}/images" if api == "bexar" else f"{path}/v1/images")


def _number(fields: Mapping[str, str], name: str, ref: str) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise SourceProtocolError(
            detail=f"{_META}{name} must be a number, got {text!r:.40}", image=ref
        )
    return int(text)


def _info(fields: Mapping[str, str], ref: str) -> ImageInfo:
    """Validate the metadata of one image."""
    found = fields.get("id", "")
    if not _ID.fullmatch(found):
        # The id becomes a file name on the datastore.
        raise SourceProtocolError(detail="the id of the image is no UUID and no number", image=ref)
    status = fields.get("status", "")
    if status != "active":
        unready = ImageNotReadyError(image=ref, status=status)
        unready.retryable = status in _COMING
        raise unready
    size = _number(fields, "size", ref)
    if size is None:
        raise SourceProtocolError(detail="the active image has no size", image=ref)
    checksum = fields.get("checksum")
    return ImageInfo(
        id=found,
        in_glance=True,
        name=fields.get("name", found),
        size=size,
        disk_format=fields.get("disk_format"),
        container_format=fields.get("container_format"),
        hash_algo=None if checksum is None else "md5",
        hash_value=None if checksum is None else checksum.lower(),
        min_disk=_number(fields, "min_disk", ref) or 0,
        min_ram=_number(fields, "min_ram", ref) or 0,
        properties=MappingProxyType(
            {
                key.removeprefix(_PROPERTY): value
                for key, value in fields.items()
                if key.startswith(_PROPERTY)
            }
        ),
    )
