"""An image whose disk lies in another order than its file is read by Range, after a pass over the whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from aiohttp import web

from tests.unit.driver.hosted import Beside, glance, store
from tests.unit.driver.images import foreign
from vimdriver._disks.stage import DiskStage
from vimdriver._images import HttpClient, HttpImage, HttpImages, ImageSource, LocalImage, Uploader
from vimdriver._images.embedded import EmbeddedImage, Fault
from vimdriver._images.formats import (
    PREFIX,
    FlatWriter,
    ImageFormat,
    open_image,
    sparse_reader,
    stream_reader,
)
from vimdriver._images.formats import qcow2 as qcow2_module
from vimdriver._images.ranges import needs_ranges
from vimdriver.errors import (
    ImageHashError,
    ImageOrderError,
    SourceRangeError,
    SourceReadError,
    SourceRefusedError,
)
from vimlib._transport.http import Buffer

pytestmark = pytest.mark.usefixtures("hurried")

DISK = foreign.disk((3 << 20) + 512)
BUILD: dict[str, Callable[[bytes], bytes]] = {
    "sparse": partial(foreign.sparse, shuffle=lambda found: found[::-1]),
    "sparse, tables last": partial(foreign.sparse, tables_last=True),
    "stream": partial(foreign.stream, tables_last=True, shuffle=lambda found: found[::-1]),
    "qcow2": partial(foreign.qcow2, shuffle=lambda found: found[::-1]),
    "qcow2, deflated": partial(
        foreign.qcow2, compress=foreign.raw_deflate, shuffle=lambda found: found[::-1]
    ),
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold back little, so that small images need ranges."""
    for module in (sparse_reader, stream_reader, qcow2_module):
        monkeypatch.setattr(module, "WINDOW", 4 << 10)


class Memory:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.got = bytearray()

    def slot(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def put(self, body: AsyncIterable[Buffer], size: int | None) -> None:
        async for piece in body:
            self.got += piece


class Web:
    """A web server with one image."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.etag = '"v1"'
        self.ranges = True
        self.failures = 0
        """Requests of parts that are answered 503 first."""
        self.seen: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("Range"))
        headers = {"ETag": self.etag} if self.etag else {}
        part = request.http_range
        if not self.ranges or (part.start is None and part.stop is None):
            return web.Response(body=self.data, headers=headers)
        if self.failures:
            self.failures -= 1
            return web.Response(status=503)
        start, stop = part.start or 0, min(part.stop or len(self.data), len(self.data))
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(self.data)}"
        return web.Response(status=206, body=self.data[start:stop], headers=headers)


class Served:
    """The image of a `Web`, and its URL."""

    def __init__(self, beside: Beside, data: bytes) -> None:
        self.web = Web(data)
        self.url = ""
        self._beside = beside
        self._runner: web.AppRunner | None = None

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/disk.img", self.web.answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/disk.img"

    def __enter__(self) -> Self:
        self._beside.run(self._start())
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._runner is not None
        self._beside.run(self._runner.cleanup())


async def judged(source: ImageSource, data: bytes) -> tuple[ImageFormat, bool]:
    head = data[:PREFIX]
    image = open_image(head, size=len(data))
    return image, await needs_ranges(source, image, head)


async def read(source: ImageSource, image: ImageFormat) -> bytes:
    """Return the disk, read by Range."""
    assert image.capacity is not None
    sink, writer = Memory(), FlatWriter(image.capacity)
    info = replace(await source.info(), disk_format=None)
    async with Uploader(streams=1) as uploader:
        done = await uploader.upload(
            source, sink, info, by_range=lambda: DiskStage(image.reader(ranges=True), writer)
        )
    assert done.source.bytes == info.size
    return bytes(sink.got)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "disk"
    found.write_bytes(BUILD["sparse"](DISK))
    return found


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
async def test_a_file_is_read(build: Callable[[bytes], bytes], path: Path) -> None:
    data = build(DISK)
    path.write_bytes(data)
    source = LocalImage(path)
    image, needed = await judged(source, data)
    assert needed
    assert await read(source, image) == DISK


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
async def test_a_url_is_read(build: Callable[[bytes], bytes], beside: Beside) -> None:
    data = build(DISK)
    with Served(beside, data) as served:
        async with HttpClient() as client:
            digest = hashlib.sha256(data).hexdigest()
            source = HttpImages(client).image(f"{served.url}#sha256={digest}")
            image, needed = await judged(source, data)
            assert needed
            served.web.failures = 2
            assert await read(source, image) == DISK


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
async def test_an_image_in_glance_is_read(build: Callable[[bytes], bytes], beside: Beside) -> None:
    data = build(DISK)
    held = EmbeddedImage(name="odd", chunks=lambda: iter([data]), disk_format="qcow2")
    with glance(beside, held) as service:
        async with store(service) as images:
            source = images.image("odd")
            image, needed = await judged(source, data)
            assert needed
            assert await read(source, image) == DISK


async def test_an_image_in_the_order_of_its_file_is_not_read_by_range(tmp_path: Path) -> None:
    for build in (foreign.sparse, foreign.stream, foreign.qcow2):
        data = build(DISK)
        (tmp_path / "disk").write_bytes(data)
        assert (await judged(LocalImage(tmp_path / "disk"), data))[1] is False


async def test_tables_behind_the_beginning_are_read_by_range(beside: Beside) -> None:
    data = foreign.stream(foreign.disk(8 << 20) + os.urandom(1 << 20))
    with Served(beside, data) as served:
        async with HttpClient() as client:
            assert (await judged(HttpImages(client).image(served.url), data))[1] is False
            assert all(served.web.seen[1:])
            assert len(served.web.seen) <= 5


async def test_a_source_without_ranges_is_refused_for_its_order(beside: Beside) -> None:
    data = BUILD["sparse"](DISK)
    with Served(beside, data) as served:
        served.web.ranges = False
        async with HttpClient() as client:
            with pytest.raises(ImageOrderError, match="qemu-img convert"):
                await judged(HttpImages(client).image(served.url), data)


async def test_a_source_that_proves_not_what_its_parts_are_of_is_refused(beside: Beside) -> None:
    data = BUILD["sparse"](DISK)
    with Served(beside, data) as served:
        served.web.etag = ""
        async with HttpClient() as client:
            source = HttpImages(client).image(served.url)
            with pytest.raises(ImageOrderError):
                await judged(source, data)
            with pytest.raises(SourceRangeError, match="no ETag"):
                await read(source, open_image(data[:PREFIX], size=len(data)))


class Passing:
    """A source that is read in its own order only."""

    def __init__(self, source: ImageSource) -> None:
        self.info, self.open = source.info, source.open


async def test_a_source_of_a_caller_is_refused_for_its_order(path: Path) -> None:
    data = path.read_bytes()
    with pytest.raises(ImageOrderError):
        await judged(Passing(LocalImage(path)), data)


async def test_another_hash_is_found_before_a_byte_is_sent(beside: Beside) -> None:
    data = BUILD["sparse"](DISK)
    held = EmbeddedImage(
        name="bad", chunks=lambda: iter([data]), disk_format="vmdk", fault=Fault.FLIPPED
    )
    sink = Memory()
    image = open_image(data[:PREFIX], size=len(data))
    with glance(beside, held) as service:
        async with store(service) as images, Uploader(streams=1) as uploader:
            source = images.image("bad")
            with pytest.raises(ImageHashError):
                await uploader.upload(
                    source,
                    sink,
                    await source.info(),
                    by_range=lambda: DiskStage(image.reader(ranges=True), FlatWriter(4 << 20)),
                )
    assert not sink.got


async def test_a_file_that_changes_between_the_passes_is_refused(path: Path) -> None:
    async with LocalImage(path).parts() as parts:
        assert await whole(parts.read(0, 10)) == path.read_bytes()[:10]
        with path.open("r+b") as file:
            file.write(b"changed")
        os.utime(path, ns=(1, 1))  # a quick machine may write within one tick of the clock
        with pytest.raises(SourceReadError, match="changed"):
            await whole(parts.read(0, 10))


async def test_a_url_that_changes_between_the_passes_is_refused(beside: Beside) -> None:
    data = BUILD["sparse"](DISK)
    with Served(beside, data) as served:
        async with HttpClient() as client, HttpImage(client, served.url).parts() as parts:
            assert await whole(parts.read(5, 10)) == data[5:10]
            served.web.etag = '"v2"'
            with pytest.raises(Exception, match="another ETag"):
                await whole(parts.read(5, 10))


async def test_a_part_that_fails_for_good_raises_its_error(beside: Beside) -> None:
    with Served(beside, bytes(4096)) as served:
        async with HttpClient() as client, HttpImage(client, served.url).parts() as parts:
            await whole(parts.read(0, 1))
            served.web.failures = 99
            with pytest.raises(SourceRefusedError):
                await whole(parts.read(0, 1))


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])
