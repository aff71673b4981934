"""Images in a Glance that speaks v1, in the dialects of Bexar, Cactus and later."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, get_args

import aiohttp
import pytest
from aiohttp import web

from tests.unit.driver.hosted import CONFIG, Beside, Hosted
from tests.unit.driver.images.corpus import RAW, STREAM
from tests.unit.driver.images.v1_server import Dialect, V1Server
from vimdriver import push_images
from vimdriver._images.check import BodyCheck
from vimdriver._images.glance_v1 import GlanceV1, metadata
from vimdriver._images.http import HttpClient
from vimdriver.errors import (
    ImageAmbiguousError,
    ImageHashError,
    ImageNotFoundError,
    ImageNotReadyError,
    ImageSizeError,
    SourceProtocolError,
    SourceRefusedError,
)
from vimlib.errors import UsageError

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
VMDK = {
    "x-image-meta-name": "fedora",
    "x-image-meta-is_public": "True",
    "x-image-meta-disk_format": "vmdk",
    "x-image-meta-container_format": "bare",
    "x-image-meta-type": "vmdk",
    "x-image-meta-property-vmware_adaptertype": "lsiLogic",
    "x-image-meta-property-vmware_ostype": "otherGuest",
}
"""As nova's driver of 2011 wrote it."""


@contextmanager
def served(beside: Beside, server: V1Server) -> Iterator[str]:
    async def start() -> tuple[web.AppRunner, int]:
        runner = web.AppRunner(server.app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1]

    runner, port = beside.run(start())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        beside.run(runner.cleanup())


async def upload(url: str, server: V1Server, data: bytes = STREAM, **headers: str) -> str:
    """Upload as the original did: reserve, then PUT the bytes in chunks of 64 KiB."""

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 65536):
            yield data[at : at + 65536]

    given = VMDK | headers
    if server.dialect == "bexar":
        given = {k: v for k, v in given.items() if not k.endswith("_format")}
    auth = {} if server.token is None else {"X-Auth-Token": server.token}
    async with aiohttp.ClientSession(headers=auth) as session:
        async with session.post(url + server.prefix, headers=given) as answer:
            assert answer.status == (200 if server.dialect == "bexar" else 201)
            found = str((await answer.json(content_type=None))["image"]["id"])
        octets = given | {"Content-Type": "application/octet-stream"}
        async with session.put(
            f"{url}{server.prefix}/{found}", headers=octets, data=chunks()
        ) as answer:
            assert answer.status == 200
            assert (await answer.json())["image"]["status"] == "active"
    return found


@asynccontextmanager
async def opened(
    beside: Beside, server: V1Server, **how: Any
) -> AsyncIterator[tuple[str, GlanceV1]]:
    with served(beside, server) as url:
        async with HttpClient() as client:
            api: Any = "1" if server.dialect == "diablo" else "bexar"
            yield url, GlanceV1(client, url, api=api, **how)


async def read(store: GlanceV1, ref: str) -> tuple[bytes, bool]:
    source = store.image(ref)
    check = BodyCheck(await source.info())
    data = b""
    async with source.open() as body:
        async for chunk in body:
            await asyncio.to_thread(check.feed, chunk)
            data += chunk
    return data, check.finish().verified


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_image_is_read_as_the_original_wrote_it(dialect: Dialect, beside: Beside) -> None:
    server = V1Server(dialect)
    async with opened(beside, server) as (url, store):
        found = await upload(url, server)
        info = await store.find(found)
        bexar = dialect == "bexar"
        assert (info.id, info.name, info.size) == (found, "fedora", len(STREAM))
        assert (
            (info.disk_format, info.container_format) == (None, None) if bexar else ("vmdk", "bare")
        )
        assert info.properties == {"vmware_adaptertype": "lsiLogic", "vmware_ostype": "otherGuest"}
        md5 = hashlib.md5(STREAM, usedforsecurity=False).hexdigest()
        assert (info.hash_algo, info.hash_value) == ((None, None) if bexar else ("md5", md5))
        for ref in (found, "fedora"):
            assert await read(store, ref) == (STREAM, not bexar)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_image_becomes_a_disk(dialect: Dialect, beside: Beside, host: Hosted) -> None:
    server = V1Server(dialect)
    async with opened(beside, server) as (url, store), host.client() as client:
        found = await upload(url, server)
        (result,) = await push_images(
            client, store, ["fedora"], datastore="datastore1", config=CONFIG
        )
    assert (result.error, result.verified) == (None, dialect != "bexar")
    assert (host.folder / f"images/{found}-flat.vmdk").read_bytes() == RAW


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_unusable_references_are_refused(dialect: Dialect, beside: Beside) -> None:
    server = V1Server(dialect)
    async with opened(beside, server) as (url, store):
        first = await upload(url, server)
        await upload(url, server)
        with pytest.raises(ImageAmbiguousError):
            await store.find("fedora")
        for ref in ("nobody", "99", "00000000-0000-0000-0000-000000000000"):
            with pytest.raises(ImageNotFoundError):
                await store.find(ref)
        for status, again in (("queued", True), ("killed", False)):
            server.images[first].fields["status"] = status
            with pytest.raises(ImageNotReadyError) as caught:
                await store.find(first)
            assert caught.value.retryable is again


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_names_are_found_on_any_page(dialect: Dialect, beside: Beside) -> None:
    server = V1Server(dialect)
    async with opened(beside, server) as (url, store):
        ids = [await upload(url, server, b"x", **{"x-image-meta-name": f"n{n}"}) for n in range(60)]
        assert (await store.find("n59")).id == ids[59]
        for image in server.images.values():
            image.fields["name"] = "same"
        with pytest.raises(ImageAmbiguousError) as caught:
            await store.find("same")
        assert sorted(caught.value.ids) == sorted(ids)


async def test_a_token_is_renewed_once(beside: Beside) -> None:
    asked: list[bool] = []

    async def token(fresh: bool) -> str:
        asked.append(fresh)
        return "new" if fresh else "old"

    server = V1Server(token="new")
    async with opened(beside, server, token=token) as (url, store):
        found = await upload(url, server)
        assert (await store.find(found)).id == found
        assert asked == [False, True]
        assert "new" not in repr(store)
        server.token = "other"
        with pytest.raises(SourceRefusedError) as caught:
            await store.find(found)
        assert caught.value.status == 401


async def test_a_body_that_breaks_off_goes_on_where_a_hash_proves_it(beside: Beside) -> None:
    server = V1Server(broken=1)
    async with opened(beside, server) as (url, store):
        found = await upload(url, server)
        assert await read(store, found) == (STREAM, True)
    bexar = V1Server("bexar", broken=1)
    async with opened(beside, bexar) as (url, store):
        found = await upload(url, bexar)
        with pytest.raises(ImageSizeError):
            await read(store, found)


async def test_other_bytes_than_the_checksums_are_refused(beside: Beside) -> None:
    server = V1Server()
    async with opened(beside, server) as (url, store):
        found = await upload(url, server)
        server.images[found].fields["checksum"] = "0" * 32
        with pytest.raises(ImageHashError):
            await read(store, found)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", "many"),
        ("size", "-1"),
        ("size", None),
        ("id", "../etc"),
        ("id", ""),
        ("min_disk", "1.5"),
    ],
)
async def test_metadata_that_is_wrong_is_refused(
    field: str, value: str | None, beside: Beside
) -> None:
    server = V1Server()
    async with opened(beside, server) as (url, store):
        found = await upload(url, server)
        server.images[found].fields[field] = value
        with pytest.raises(SourceProtocolError):
            await store.find(found)


@pytest.mark.parametrize("url", ["ftp://a", "a", "http://u:p@a", "http://["])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        GlanceV1(HttpClient(), url)


def test_what_has_no_value_is_left_out() -> None:
    headers = {"X-Image-Meta-Property-Vmware_ostype": "x", "x-image-meta-disk-format": "raw",
               "x-image-meta-location": "None", "x-image-meta-owner": "", "ETag": "y"}  # fmt: skip
    assert metadata(headers) == {"property_vmware_ostype": "x", "disk_format": "raw"}
