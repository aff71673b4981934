"""An image that lies in a datastore, of the same host or another one, is a source like others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted, spec
from tests.unit.driver.images import foreign
from vimdriver._images.push import PushResult, push_images
from vimdriver._images.stored import DatastoreImages
from vimdriver.errors import (
    ImageNotFoundError,
    ImageUnacceptableError,
    SourceReadError,
    SourceStalledError,
)
from vimlib.errors import ClosedError, InvalidPathError

DISK = foreign.disk((1 << 20) + 1024)
REF = "[datastore1] iso/disk.img"


@pytest.fixture
def other(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    """The host that has the image."""
    with hosted(beside, tmp_path / "other") as found:
        (found.folder / "iso").mkdir()
        yield found


def put(host: Hosted, data: bytes, name: str = "disk.img") -> None:
    (host.folder / "iso" / name).write_bytes(data)


async def pushed(target: Hosted, source: Hosted, ref: str = REF, **how: object) -> PushResult:
    async with target.client() as client, DatastoreImages(source.client()) as images:
        (result,) = await push_images(
            client,
            images,
            [ref],
            datastore="datastore1",
            config=CONFIG,
            **how,  # type: ignore[arg-type]
        )
    return result


def stored(host: Hosted) -> bytes:
    return (host.folder / "images/disk-flat.vmdk").read_bytes()


@pytest.mark.parametrize("way", ["nfc", "put"])
async def test_a_file_of_another_host_becomes_a_disk(host: Hosted, other: Hosted, way: str) -> None:
    put(other, DISK)
    result = await pushed(host, other, transfer=way)
    assert result.error is None
    assert (result.bytes, result.verified) == (len(DISK), False)
    assert stored(host) == DISK
    assert (await pushed(host, other)).already_there


async def test_a_file_of_the_same_host_becomes_a_disk(other: Hosted) -> None:
    put(other, DISK)
    assert (await pushed(other, other)).error is None
    assert stored(other) == DISK


async def test_many_files_of_the_same_host_do_not_wait_for_each_other(other: Hosted) -> None:
    names = [f"d{number}.img" for number in range(6)]
    for name in names:
        put(other, DISK, name)
    refs = [f"[datastore1] iso/{name}" for name in names]
    async with other.client() as client, DatastoreImages(other.client()) as images:
        results = await asyncio.wait_for(
            push_images(client, images, refs, datastore="datastore1", concurrency=6, config=CONFIG),
            60,
        )
    assert [result.error for result in results] == [None] * 6


async def test_it_is_read_by_range_where_its_order_needs_that(host: Hosted, other: Hosted) -> None:
    put(other, foreign.sparse(DISK, tables_last=True))
    assert (await pushed(host, other)).error is None
    assert stored(host) == DISK


async def test_a_machine_boots_from_it(host: Hosted, other: Hosted) -> None:
    put(other, DISK)
    async with DatastoreImages(other.client()) as images, host.driver() as driver:
        await driver.spawn(spec(REF), source=images.image(REF))
    assert (host.folder / "web/web-flat.vmdk").read_bytes() == DISK


async def test_a_missing_file_and_a_folder_are_refused(host: Hosted, other: Hosted) -> None:
    missing = (await pushed(host, other, "[datastore1] iso/none.img")).error
    assert isinstance(missing, ImageNotFoundError)
    folder = (await pushed(host, other, "[datastore1] iso")).error
    assert isinstance(folder, SourceReadError)
    assert not host.state().machines


async def test_a_descriptor_alone_is_refused(host: Hosted, other: Hosted) -> None:
    put(other, b"# Disk DescriptorFile\nversion=1\n", "a.img")
    error = (await pushed(host, other, "[datastore1] iso/a.img")).error
    assert isinstance(error, ImageUnacceptableError)


async def test_a_file_that_changes_between_the_passes_is_refused(other: Hosted) -> None:
    put(other, DISK)
    async with DatastoreImages(other.client()) as images:
        opened = images.image(REF).parts()
        parts = await opened.__aenter__()
        assert b"".join([chunk async for chunk in parts.read(5, 1000)]) == DISK[5:1000]
        put(other, DISK + b"more")
        with pytest.raises(SourceReadError, match="changed"):
            await opened.__aexit__(None, None, None)


async def test_a_host_that_fails_is_the_sources_error(host: Hosted, other: Hosted) -> None:
    put(other, DISK)
    other.esx.faults.add("GET", "status", status=403)
    error = (await pushed(host, other)).error
    assert isinstance(error, SourceReadError)
    assert not isinstance(error, SourceStalledError)
    assert not host.state().machines


async def test_a_closed_store_and_a_path_without_a_datastore_are_refused(other: Hosted) -> None:
    images = DatastoreImages(other.client())
    with pytest.raises(ClosedError):
        await images.image(REF).info()
    with pytest.raises(InvalidPathError):
        images.image("disk.img")
