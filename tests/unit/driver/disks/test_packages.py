"""OVA files and OVF sets become disks: from files, over HTTP and from Glance."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, glance, store
from tests.unit.driver.images.corpus import RAW, STREAM
from tests.unit.driver.images.packages import (
    FILES,
    HARDWARE,
    attached,
    disk_ref,
    file_ref,
    manifest,
    ova,
    ovf,
)
from vimdriver._images.embedded import EmbeddedImage
from vimdriver._images.http import HttpClient, HttpImages
from vimdriver._images.local import LocalImages
from vimdriver._images.push import PushResult, push_images
from vimdriver.errors import ImageHashError, ImageNotFoundError, ImageUnacceptableError

TWO = ovf(
    file_ref() + file_ref("web-disk2.img", "file2"),
    disk_ref() + disk_ref("b", "file2"),
    HARDWARE + attached() + attached("b", 1),
)


async def push(host: Hosted, images: Any, ref: str, **how: Any) -> PushResult:
    async with host.client() as client:
        (result,) = await push_images(
            client, images, [ref], datastore="datastore1", config=CONFIG, **how
        )
    return result


def stored(host: Hosted, name: str = "web") -> bytes:
    return (host.folder / f"images/{name}-flat.vmdk").read_bytes()


@pytest.mark.parametrize("transfer", ["nfc", "put"])
@pytest.mark.parametrize("order", ["omd", "dmo"])
async def test_an_ova_becomes_a_disk(
    order: str, transfer: str, host: Hosted, tmp_path: Path
) -> None:
    path = tmp_path / "web.ova"
    path.write_bytes(ova(order=order))
    result = await push(host, LocalImages(), str(path), transfer=transfer)
    assert result.error is None
    assert (result.datastore_path, result.bytes, result.manifest) == (
        "[datastore1] images/web.vmdk", path.stat().st_size, True,
    )  # fmt: skip
    assert stored(host) == RAW
    assert result.to_json()["manifest"] is True
    again = await push(host, LocalImages(), str(path))
    assert again.already_there


async def test_a_missing_manifest_is_reported(
    host: Hosted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "web.ova"
    path.write_bytes(ova(algorithm=None))
    with caplog.at_level(logging.WARNING):
        result = await push(host, LocalImages(), str(path))
    assert (result.error, result.manifest) == (None, False)
    assert "web.ova has no manifest" in caplog.text


@pytest.mark.parametrize("transfer", ["nfc", "put"])
async def test_a_wrong_manifest_leaves_nothing(transfer: str, host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "web.ova"
    data = bytearray(ova(order="odm", disk=RAW, descriptor=ovf()))
    data[data.index(RAW[:64]) + 5] ^= 1
    path.write_bytes(data)
    result = await push(host, LocalImages(), str(path), transfer=transfer)
    assert isinstance(result.error, ImageUnacceptableError)
    assert result.error.rule == "manifest.digest"
    assert (host.state().files, host.state().machines) == (frozenset(), frozenset())


async def test_each_disk_of_an_ova_gets_a_name(host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "web.ova"
    path.write_bytes(ova(TWO, more={"web-disk2.img": RAW[::-1]}))
    result = await push(host, LocalImages(), str(path))
    assert result.further == ("[datastore1] images/web-2.vmdk",)
    assert (stored(host), stored(host, "web-2")) == (RAW, RAW[::-1])


@pytest.mark.parametrize("container", ["ova", "compressed"])
async def test_an_ova_of_glance_is_verified_as_a_whole(
    container: str, beside: Beside, host: Hosted
) -> None:
    import gzip

    data = ova() if container == "ova" else gzip.compress(ova())
    image = EmbeddedImage(
        name="web", chunks=lambda: iter([data]), disk_format="vmdk", container_format=container
    )
    with glance(beside, image) as service:
        async with store(service) as images:
            result = await push(host, images, image.id)
            assert (result.error, result.verified, result.bytes) == (None, True, len(data))
            assert stored(host, image.id) == RAW
            image.sha512 = "0" * 128
            other = await push(host, images, image.id, name="other")
    assert isinstance(other.error, ImageHashError)
    assert not any("other" in file for file in host.state().files)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder / "web.ovf"


async def test_an_ovf_set_becomes_its_disks(host: Hosted, tmp_path: Path) -> None:
    files = {"web.ovf": TWO, "web-disk1.vmdk": STREAM, "web-disk2.img": RAW[::-1]}
    path = write(tmp_path, {**files, "web.mf": manifest(files)})
    result = await push(host, LocalImages(), str(path))
    assert (result.error, result.manifest) == (None, True)
    assert (stored(host), stored(host, "web-2")) == (RAW, RAW[::-1])


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"web.mf": manifest({**FILES, "web.ovf": b""})}, ImageUnacceptableError),
        ({"web.ovf": ovf(file_ref("gone.vmdk"))}, ImageNotFoundError),
        ({"web.ovf": b"<x/>"}, ImageUnacceptableError),
        ({"web.ovf": b" " * (5 << 20)}, ImageUnacceptableError),
    ],
)
async def test_an_ovf_set_that_is_wrong_leaves_nothing(
    change: dict[str, bytes], kind: type[Exception], host: Hosted, tmp_path: Path
) -> None:
    path = write(tmp_path, {**FILES, **change})
    result = await push(host, LocalImages(), str(path))
    assert isinstance(result.error, kind)
    assert host.state().files == frozenset()


async def test_an_ovf_set_over_http_has_its_user_for_each_file(
    beside: Beside, host: Hosted
) -> None:
    asked: list[tuple[str, str, str]] = []
    files = {**FILES, "web.mf": manifest(FILES)}

    async def serve(request: web.Request) -> web.Response:
        asked.append((request.method, request.path_qs, request.headers.get("Authorization", "")))
        data = files.get(request.path.rpartition("/")[2])
        return web.Response(status=404) if data is None else web.Response(body=data)

    async def start() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_get("/{path:.*}", serve)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    runner, port = await asyncio.to_thread(beside.run, start())
    try:
        async with HttpClient() as client:
            url = f"http://u:secret@127.0.0.1:{port}/a/web.ovf?version=1"
            result = await push(host, HttpImages(client), url)
            del files["web.mf"]
            other = await push(host, HttpImages(client), url, name="other")
    finally:
        await asyncio.to_thread(beside.run, runner.cleanup())
    assert (result.error, result.manifest, other.error, other.manifest) == (None, True, None, False)
    assert stored(host) == RAW
    assert {path for _, path, _ in asked} == {
        "/a/web.ovf?version=1", "/a/web.mf", "/a/web-disk1.vmdk",
    }  # fmt: skip
    assert len({user for _, _, user in asked}) == 1
    assert "secret" not in repr(HttpImages(client).image(url))
