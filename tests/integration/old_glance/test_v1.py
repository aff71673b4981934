"""The v1 source against a real Glance 15 (nox session `glance_v1`)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from tests.integration.peers.glance_v1 import GlanceOfV1, glance_v1
from vimdriver import GlanceV1, HttpClient
from vimdriver._images.check import BodyCheck
from vimdriver._images.make import Pattern, make
from vimdriver.errors import ImageNotFoundError, ImageNotReadyError

HEADERS = {
    "x-image-meta-name": "fedora",
    "x-image-meta-is-public": "True",
    "x-image-meta-disk-format": "vmdk",
    "x-image-meta-container-format": "bare",
    "x-image-meta-property-vmware_adaptertype": "lsiLogic",
}


@pytest.fixture(scope="module")
def service() -> Iterator[GlanceOfV1]:
    with glance_v1(os.environ["VIMLIB_PYTHON36"]) as peer:
        yield peer


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_image_arrives_complete_and_verified(service: GlanceOfV1, chunked: bool) -> None:
    data = b"".join(make("streamOptimized", Pattern(7, 8 << 20)))
    name = f"fedora-{chunked}"
    found = service.upload(data, HEADERS | {"x-image-meta-name": name}, chunked=chunked)
    async with HttpClient() as client:
        store = GlanceV1(client, service.url)
        for ref in (found, name):
            source = store.image(ref)
            info = await source.info()
            assert (info.id, info.disk_format, info.size) == (found, "vmdk", len(data))
            assert info.properties["vmware_adaptertype"] == "lsiLogic"
            check = BodyCheck(info)
            seen = hashlib.sha256()
            async with source.open() as body:
                async for chunk in body:
                    check.feed(chunk)
                    seen.update(chunk)
            assert check.finish().verified
            assert seen.hexdigest() == hashlib.sha256(data).hexdigest()


async def test_names_are_found_on_any_page(service: GlanceOfV1) -> None:
    ids = [service.upload(b"x", HEADERS | {"x-image-meta-name": f"n{n}"}) for n in range(60)]
    async with HttpClient() as client:
        store = GlanceV1(client, service.url)
        assert (await store.find("n59")).id == ids[59]
        with pytest.raises(ImageNotFoundError):
            await store.find("nobody")


async def test_an_image_without_bytes_is_not_ready(service: GlanceOfV1) -> None:
    found = service.upload(b"", HEADERS | {"x-image-meta-name": "empty"})
    async with HttpClient() as client:
        with pytest.raises(ImageNotReadyError):
            await GlanceV1(client, service.url).find(found)
