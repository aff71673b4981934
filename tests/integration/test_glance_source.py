"""The Glance source against a real Glance, with and without a real Keystone."""

from __future__ import annotations

import asyncio
import hashlib
import urllib.error
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.peers.glance import Glance
from tests.integration.peers.glance import glance as run_glance
from tests.integration.peers.images import DiskImage
from vimdriver._images import BodyCheck, HttpClient
from vimdriver._images import Glance as GlanceStore
from vimdriver._images.openstack import open_cloud
from vimdriver.errors import (
    ImageAmbiguousError,
    ImageNotFoundError,
    ImageNotReadyError,
    SourceRefusedError,
    SourceUnreachableError,
)


async def digest(store: GlanceStore, ref: str) -> tuple[str, int]:
    """Read an image through the check; return the hash and the length of its bytes."""
    source = store.image(ref)
    check = BodyCheck(await source.info())
    seen = hashlib.sha512()
    async with source.open() as body:
        async for chunk in body:
            check.feed(chunk)
            seen.update(chunk)
    report = check.finish()
    assert report.verified
    assert report.hash_algo == "sha512"
    return seen.hexdigest(), report.bytes


@pytest.mark.parametrize("kind", ["raw", "monolithicSparse", "streamOptimized"])
async def test_images_arrive_complete_and_verified(
    glance: Glance, disk_image: Callable[..., DiskImage], kind: str
) -> None:
    made = disk_image(kind)
    record = glance.upload(made.path, made.disk_format, vmware_adaptertype="lsiLogic")
    try:
        async with HttpClient() as client:
            store = GlanceStore(client, glance.url)
            info = await store.image(record["id"]).info()
            assert info.properties["vmware_adaptertype"] == "lsiLogic"
            assert (info.hash_algo, info.hash_value) == ("sha512", made.sha512)
            for ref in (record["id"], made.path.name):
                assert await digest(store, ref) == (made.sha512, made.size)
    finally:
        glance.delete(record["id"])


async def test_unusable_references_are_refused(glance: Glance) -> None:
    first = glance.create(name="twin", disk_format="raw")
    second = glance.create(name="twin", disk_format="raw")
    try:
        async with HttpClient() as client:
            store = GlanceStore(client, glance.url)
            with pytest.raises(ImageNotReadyError):
                await store.image(first).info()
            with pytest.raises(ImageAmbiguousError):
                await store.image("twin").info()
            for ref in ("nobody", "00000000-0000-0000-0000-000000000000", "in:twin,nobody"):
                with pytest.raises(ImageNotFoundError):
                    await store.image(ref).info()
    finally:
        glance.delete(first)
        glance.delete(second)


async def test_tokens_are_renewed_and_refused(
    glance_with_keystone: Glance,
    disk_image: Callable[..., DiskImage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer, made = glance_with_keystone, disk_image("raw")
    assert peer.keystone is not None
    token = peer.keystone.token("demo")
    record = peer.upload(made.path, "raw", token=token)
    async with HttpClient() as client:
        assert await digest(GlanceStore(client, peer.url, token=token), record["id"])
        for wrong in ("nonsense", None):
            with pytest.raises(SourceRefusedError) as refused:
                await GlanceStore(client, peer.url, token=wrong).image(record["id"]).info()
            assert refused.value.status == 401
        stranger = GlanceStore(client, peer.url, token=peer.keystone.token("other"))
        with pytest.raises(ImageNotFoundError):
            await stranger.image(record["id"]).info()
        write_clouds(tmp_path, monkeypatch, peer.keystone.url, "demo")
        cloud = await open_cloud("home")
        first = await cloud.token(False)
        store = GlanceStore(client, cloud.glance_url, token=cloud.token)
        assert await digest(store, record["id"]) == (made.sha512, made.size)
        # A revoked token is renewed once, without an error.
        peer.keystone.revoke(first)
        assert await digest(store, record["id"]) == (made.sha512, made.size)
        assert await cloud.token(False) != first
        write_clouds(tmp_path, monkeypatch, peer.keystone.url, "wrong")
        with pytest.raises(SourceUnreachableError):
            await open_cloud("home")
    with pytest.raises(urllib.error.HTTPError):
        peer.keystone.token("demo", "wrong")


pytestmark = pytest.mark.filterwarnings("ignore:Support for InfluxDB")


@pytest.mark.slow
async def test_reads_go_on_with_an_expired_token_and_one_of_a_service_user(
    disk_image: Callable[..., DiskImage],
) -> None:
    made = disk_image("raw", mib=1)
    with run_glance(with_keystone=True, token_seconds=4) as peer:
        keystone = peer.keystone
        assert keystone is not None

        async def service(fresh: bool) -> str:
            return await asyncio.to_thread(keystone.token, "glance", project="service")

        token = keystone.token("demo")
        ref = peer.upload(made.path, "raw", token=token)["id"]
        async with HttpClient() as client:
            alone = GlanceStore(client, peer.url, token=token)
            both = GlanceStore(client, peer.url, token=token, service=service)
            source = both.image(ref)
            info = await source.info()
            async with source.parts() as parts:
                async with asyncio.timeout(60):
                    refused = await refusal(alone, ref)
                assert refused.status == 401
                # Each part is a request of its own, as the rest of a broken read is.
                read = b"".join([part async for part in parts.read(0, info.size)])
            assert hashlib.sha512(read).hexdigest() == made.sha512
            assert await digest(both, ref) == (made.sha512, made.size)


async def refusal(store: GlanceStore, ref: str) -> SourceRefusedError:
    """Ask until the image service refuses the token."""
    while True:
        try:
            await store.image(ref).info()
        except SourceRefusedError as error:
            return error
        await asyncio.sleep(0.2)


def write_clouds(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str, password: str) -> None:
    file = folder / "clouds.yaml"
    file.write_text(
        f"""\
clouds:
  home:
    auth:
      auth_url: {url}
      username: demo
      password: {password}
      project_name: demo
      user_domain_id: default
      project_domain_id: default
"""
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
