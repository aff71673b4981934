"""Images in Glance, through its v2 API.

Observed at Glance 25 to 33: the file of a queued image is answered with 204 and no body; only the
start of a request needs a valid token; `checksum` is md5; `locations` may point anywhere and are
never followed.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec
from yarl import URL

from vimdriver._images import body as bodies
from vimdriver._images.http import HttpClient
from vimdriver._images.source import ImageInfo
from vimdriver._images.tokens import Tokens, asks
from vimdriver.errors import (
    ImageAmbiguousError,
    ImageNotFoundError,
    ImageNotReadyError,
    SourceProtocolError,
    SourceRefusedError,
)
from vimlib._repr import robust
from vimlib._secret import Secret, forgetful, forgetting
from vimlib._shield import finish
from vimlib.errors import UsageError, VimlibError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from vimdriver._images.body import Ask, HttpBody, HttpParts
    from vimdriver._images.tokens import TokenSource

log = logging.getLogger("vimdriver.images")

T = TypeVar("T")


class _Service(Protocol):
    async def find(self, ref: str) -> ImageInfo: ...

    async def enter_file(self, info: ImageInfo, stack: AsyncExitStack) -> HttpBody: ...


_PAGE: Final = 50
_PATCH: Final = "application/openstack-images-v2.1-json-patch"
"""Glance's form of JSON Patch, in which `add` also replaces."""
_FORMATS: Final = {"disk_format": "vmdk", "container_format": "bare"}
_COMING: Final = frozenset({"queued", "saving", "uploading", "importing"})
"""Statuses after which an image becomes active by itself, or by its upload."""
_MOST: Final = 1000
"""Images of one name that are counted; more than one is an error anyway."""
_NOT_PROPERTIES: Final = frozenset(
    {
        # Attributes of every v2 image; every other text attribute is a property.
        *("id", "name", "status", "size", "disk_format", "container_format", "checksum"),
        *("os_hash_algo", "os_hash_value", "virtual_size", "visibility", "owner", "tags"),
        *("created_at", "updated_at", "min_ram", "min_disk", "protected", "os_hidden", "file"),
        *("self", "schema", "locations", "direct_url", "stores"),
    }
)


class _Record(msgspec.Struct):
    """The attributes of an image that we read; unknown fields are allowed, they are properties."""

    id: str
    status: str
    name: str | None = None
    size: int | None = None
    disk_format: str | None = None
    container_format: str | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    virtual_size: int | None = None
    min_disk: int | None = None
    min_ram: int | None = None


class _Page(msgspec.Struct):
    images: list[_Record]
    next: str | None = None
    """Where the next page is; None on the last one."""


class Glance:
    """The store of one Glance service.

    Args:
        client: The connection pool of its requests; the caller closes it.
        url: The endpoint, with or without `/v2`.
        token: A token, a function that returns tokens, or None for a Glance without auth. It is
            sent to the origin of `url` only.
        service: A function that returns tokens of a service user, which are sent along
            (`X-Service-Token`): with them Glance accepts a `token` that has expired by then, as
            keystonemiddleware documents for long operations.

    Raises:
        UsageError: `url` is not an http(s) URL.
    """

    def __init__(
        self,
        client: HttpClient,
        url: str,
        *,
        token: str | TokenSource | None = None,
        service: TokenSource | None = None,
    ) -> None:
        self._client = client
        self._base = _base(url)
        self._tokens = Tokens(token, service)
        del token

    @robust
    def __repr__(self) -> str:
        return f"Glance({str(self._base)!r})"

    @property
    def stall_timeout(self) -> float:
        """Seconds without a byte from Glance after which a request fails."""
        return self._client.stall_timeout

    def image(self, ref: str) -> GlanceImage:
        """Return the source of the image with the id `ref`, or that name if `ref` is not a UUID."""
        return GlanceImage(self, ref)

    def url(self, *parts: str) -> URL:
        """Return a URL below `/v2/images`, with each part quoted."""
        return self._base.joinpath("images", *parts)

    @forgetful
    async def find(self, ref: str) -> ImageInfo:
        """Look an image up by its id or its unique name. Cancelling leaves nothing behind.

        Raises:
            ImageNotFoundError: No image matches, or our project may not see it.
            ImageAmbiguousError: Several images have that name.
            ImageNotReadyError: The image is not active.
            ImageSourceError: Glance failed.
        """
        if (found := _uuid(ref)) is None:
            return await self._show(await self._find_name(ref), ref)
        try:
            return await self._show(found, ref)
        except ImageNotFoundError:
            # A name may look like an id.
            if not (ids := await self._named(ref)):
                raise
            return await self._show(_only(ids, ref), ref)

    async def _show(self, found: str, ref: str) -> ImageInfo:
        url = self.url(found)
        raw = await self._tokens.authorized(
            lambda headers: self._client.document(url, image=ref, headers=headers), ref
        )
        fields = decode(raw, dict[str, Any], ref)
        return _info(fields, ref)

    async def _find_name(self, name: str) -> str:
        # Lists leave out hidden images, unless they are asked for.
        for more in ({}, {"os_hidden": "true"}):
            if ids := await self._named(name, **more):
                return _require_uuid(_only(ids, name), name)
        raise ImageNotFoundError(image=name)

    async def _named(self, name: str, **more: str) -> list[str]:
        """Return the ids of all images of a name, at most `_MOST`."""
        # Glance reads a leading `in:` as the start of a list of names; quoted, it is a list of one.
        quoted = 'in:"{}"'.format(name.replace('"', '\\"')) if name.startswith("in:") else name
        ids: list[str] = []
        query = {"name": quoted, "limit": str(_PAGE), **more}
        while True:
            url = self.url().with_query(query)
            raw = await self._tokens.authorized(partial(self._listed, url, name), name)
            page = decode(raw, _Page, name)
            ids += [record.id for record in page.images if record.name == name]
            if page.next is None or not page.images or len(ids) >= _MOST:
                return ids
            query["marker"] = page.images[-1].id

    async def _listed(self, url: URL, name: str, headers: dict[str, Secret]) -> bytes:
        return await self._client.document(url, image=name, headers=headers)

    @asynccontextmanager
    async def new_image(
        self, name: str, *, properties: Mapping[str, str], visibility: str = "private"
    ) -> AsyncIterator[str]:
        """Make an image of disk format vmdk without bytes, and yield its id.

        It stays if the block succeeds; any exception or cancellation deletes it, shielded.

        Raises:
            ImageSourceError: Glance failed or refused.
        """
        document = {**properties, **_FORMATS, "name": name, "visibility": visibility}
        made = await finish(self._create(document, name), what="making an image", undo=self._delete)
        async with self._held(made):
            yield made

    @asynccontextmanager
    async def queued_image(
        self, image: str, *, properties: Mapping[str, str]
    ) -> AsyncIterator[None]:
        """Make a queued image one of disk format vmdk with further properties, for the block to fill.

        It stays if the block succeeds; any exception or cancellation deletes it, shielded. One that
        already has bytes is refused, and stays as it is.

        Raises:
            ImageNotFoundError: There is no such image, or our project may not see it.
            ImageSourceError: Glance failed or refused.
        """
        await self._describe(image, {**properties, **_FORMATS})
        async with self._held(image):
            yield

    @asynccontextmanager
    async def _held(self, image: str) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            await finish(self._delete(image), what=f"deleting image {image}")
            raise

    async def _describe(self, image: str, fields: Mapping[str, str]) -> None:
        """Set attributes. Glance allows another disk format for an image without bytes only."""
        changes = [
            # RFC 6901, 3: how a name is written in a path.
            {
                "op": "add",
                "path": "/" + key.replace("~", "~0").replace("/", "~1"),
                "value": value,
            }
            for key, value in fields.items()
        ]
        data = msgspec.json.encode(changes)

        async def ask(headers: dict[str, Secret]) -> bytes:
            return await self._client.send(
                "PATCH",
                self.url(image),
                image=image,
                headers={**headers, "Content-Type": _PATCH},
                body=data,
            )

        await self._tokens.authorized(ask, image)

    async def _create(self, document: Mapping[str, str], name: str) -> str:
        data = msgspec.json.encode(document)

        async def ask(headers: dict[str, Secret]) -> bytes:
            return await self._client.send(
                "POST",
                self.url(),
                image=name,
                headers={**headers, "Content-Type": "application/json"},
                body=data,
            )

        record = decode(await self._tokens.authorized(ask, name), _Record, name)
        return _require_uuid(record.id, name)

    async def _delete(self, image: str) -> None:
        """Delete an image. A DELETE that fails is sent again: it is idempotent.

        Glance answers 500 or 409 as long as it has not noticed that the upload has been broken off.
        """

        async def ask(headers: dict[str, Secret]) -> bytes:
            return await self._client.send("DELETE", self.url(image), image=image, headers=headers)

        for pause in (*bodies.PAUSES, None):
            try:
                await self._tokens.authorized(ask, image)
            except ImageNotFoundError:
                return
            except VimlibError as error:
                status = error.status if isinstance(error, SourceRefusedError) else None
                passes = error.retryable or status == 409 or (status is not None and status >= 500)
                if pause is None or not passes:
                    log.warning("cannot delete the image %s: %s", image, error)
                    return
            else:
                return
            await asyncio.sleep(pause)

    @forgetful
    async def fill(self, image: str, body: AsyncIterable[bytes]) -> None:
        """Upload the bytes of an image that `new_image` or `queued_image` holds, chunked.

        Cancelling closes the connection, after which Glance has none of them. Raises `ImageSourceError`.
        """
        headers = await self._tokens.headers()
        await self._client.send(
            "PUT",
            self.url(image, "file"),
            image=image,
            headers={**headers, "Content-Type": "application/octet-stream"},
            body=body,
        )

    @forgetful
    async def enter_file(self, info: ImageInfo, stack: AsyncExitStack) -> HttpBody:
        """Open the bytes of an image that `find` returned; `stack` closes them.

        Raises:
            ImageNotReadyError: Glance has no bytes for it: 204.
            ImageSourceError: Glance failed, or the response head does not match `info`.
        """
        body = self._client.body(info, self._asks(info), stack)
        if await body.open() == 204:
            raise ImageNotReadyError(image=info.id, status="queued")
        return body

    def parts(self, info: ImageInfo) -> HttpParts:
        """Return the parts of an image that `find` returned: Glance sends no ETag, and changes no image."""
        return self._client.parts(info, self._asks(info), fixed=True)

    def _asks(self, info: ImageInfo) -> Ask:
        return asks(self._client, self._tokens, self.url(info.id, "file"), info.id)


class ServiceImage:
    """One image of a service. Its attributes are read once and cached."""

    def __init__(self, service: _Service, ref: str) -> None:
        self._service = service
        self._ref = ref
        self._info: ImageInfo | None = None

    @robust
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._ref!r})"

    async def info(self) -> ImageInfo:
        """See `ImageSource.info`, and the service's `find`."""
        if self._info is None:
            self._info = await self._service.find(self._ref)
        return self._info

    @asynccontextmanager
    async def open(self) -> AsyncIterator[HttpBody]:
        """See `ImageSource.open`."""
        info = await self.info()
        with forgetting():
            async with AsyncExitStack() as stack:
                yield await self._service.enter_file(info, stack)


class GlanceImage(ServiceImage):
    """One image in Glance."""

    def __init__(self, glance: Glance, ref: str) -> None:
        super().__init__(glance, ref)
        self._glance = glance

    @asynccontextmanager
    async def parts(self) -> AsyncIterator[HttpParts]:
        """See `RangedSource.parts`. Some of Glance's stores send no parts."""
        info = await self.info()
        with forgetting():
            yield self._glance.parts(info)


def service_url(text: str) -> URL:
    """Return the URL of an image service, without a slash at its end. Raises `UsageError`."""
    try:
        url = URL(text)
    except ValueError:
        raise UsageError("the Glance URL is malformed") from None
    if url.scheme not in ("http", "https") or not url.host or url.user is not None:
        raise UsageError(
            "the Glance URL must begin with http:// or https:// and name a host",
            hint="Give the token with OS_CLOUD or OS_TOKEN, not in the URL.",
        )
    return url.with_path(url.path.rstrip("/"))


def _base(text: str) -> URL:
    url = service_url(text)
    return url if url.path.endswith("/v2") else url.with_path(f"{url.path.rstrip('/')}/v2")


def _only(ids: list[str], name: str) -> str:
    if len(ids) > 1:
        raise ImageAmbiguousError(image=name, ids=ids)
    return ids[0]


def _uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _require_uuid(text: str, ref: str) -> str:
    found = _uuid(text)
    if found is None:
        # The name becomes a file name on the datastore.
        raise SourceProtocolError(detail="the id of the image is not a UUID", image=ref)
    return found


def decode(raw: bytes, kind: type[T], ref: str) -> T:
    """Read a JSON document of the service. Raises `SourceProtocolError` if it has another form."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceProtocolError(detail=f"unexpected JSON: {error}", image=ref) from None


def _info(fields: Mapping[str, Any], ref: str) -> ImageInfo:
    """Validate the attributes that Glance reports for one image."""
    try:
        record = msgspec.convert(fields, _Record)
    except msgspec.ValidationError as error:
        raise SourceProtocolError(detail=f"the JSON is not an image: {error}", image=ref) from None
    found = _require_uuid(record.id, ref)
    if record.status != "active":
        unready = ImageNotReadyError(image=ref, status=record.status)
        unready.retryable = record.status in _COMING
        raise unready
    if record.size is None or record.size < 0:
        raise SourceProtocolError(detail="the active image has no size", image=ref)
    algo, value = record.os_hash_algo, record.os_hash_value
    if not (algo and value):
        algo, value = ("md5", record.checksum) if record.checksum else (None, None)
    return ImageInfo(
        id=found,
        in_glance=True,
        name=record.name or found,
        size=record.size,
        disk_format=record.disk_format,
        container_format=record.container_format,
        hash_algo=algo.lower() if algo else None,
        hash_value=value.lower() if value else None,
        virtual_size=record.virtual_size,
        min_disk=max(record.min_disk or 0, 0),
        min_ram=max(record.min_ram or 0, 0),
        properties=MappingProxyType(
            {
                key: value
                for key, value in fields.items()
                if key not in _NOT_PROPERTIES and isinstance(value, str)
            }
        ),
    )
