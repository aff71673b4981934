"""OVA files: each of the corpus by its rule, and the disk of the good ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.driver.images.corpus import RAW, STREAM
from tests.unit.driver.images.formats.reading import read_extents
from tests.unit.driver.images.packages import (
    CASES,
    GOOD,
    HARDWARE,
    Package,
    attached,
    disk_ref,
    file_ref,
    ova,
    ovf,
)
from vimdriver._images.archive import contents_of
from vimdriver._images.formats import PREFIX, FlatWriter, ImageFormat, open_image
from vimdriver._images.formats.survey import Contents
from vimdriver._images.local import LocalImages
from vimdriver._images.source import ImageInfo
from vimdriver.errors import ImageUnacceptableError


async def opened(path: Path, data: bytes) -> tuple[ImageFormat, Contents]:
    await asyncio.to_thread(path.write_bytes, data)
    source = LocalImages().image(str(path))
    image = open_image(data[:PREFIX], size=len(data), name="web.ova")
    return image, await contents_of(source, await source.info(), image, data[:PREFIX])


def read(image: ImageFormat, data: bytes, step: int = 50_000) -> bytes:
    reader = image.reader()
    extents = read_extents(reader, data, step=step)
    assert reader.capacity == image.capacity
    writer = FlatWriter(reader.capacity or 0)
    written = [bytes(piece) for extent in extents for piece in writer.write(extent)]
    return b"".join([*written, *map(bytes, writer.finish())])


async def disk_of(path: Path, data: bytes) -> bytes:
    image, contents = await opened(path, data)
    return read(image.with_disk(contents.disks[0].inside), data)


def test_the_corpus_is_large() -> None:
    assert len(CASES) > 60
    assert len(GOOD) > 25


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.name}"[:60])
async def test_each_rule_refuses_its_package(case: Package, tmp_path: Path) -> None:
    data = case.build()
    with pytest.raises(ImageUnacceptableError) as caught:
        await disk_of(tmp_path / "web.ova", data)
    assert caught.value.rule == case.rule


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name[:60])
async def test_good_packages_are_read(good: Package, tmp_path: Path) -> None:
    data = good.build()
    image, contents = await opened(tmp_path / "web.ova", data)
    assert read(image.with_disk(contents.disks[0].inside), data, step=7_777) == RAW


@pytest.mark.parametrize(
    ("algorithm", "order", "found"),
    [("sha256", "omd", True), ("sha512", "odm", True), ("sha1", "dmo", True), (None, "do", False)],
)
async def test_whether_there_is_a_manifest_is_known_in_the_end(
    algorithm: str | None, order: str, found: bool, tmp_path: Path
) -> None:
    data = ova(algorithm=algorithm, order=order)
    image, contents = await opened(tmp_path / "web.ova", data)
    disk = contents.disks[0].inside
    assert disk.check.manifest is None
    read(image.with_disk(disk), data)
    assert disk.check.manifest is found


async def test_the_machine_and_its_disks_are_described(tmp_path: Path) -> None:
    text = ovf(
        file_ref() + file_ref("b.img", "file2"),
        disk_ref("b", "file2") + disk_ref() + disk_ref("swap", None, 1 << 30),
        HARDWARE + attached("b", 1) + attached("swap", 2) + attached("vmdisk1", 0),
    )
    data = ova(text, more={"b.img": RAW[::-1]})
    image, contents = await opened(tmp_path / "web.ova", data)
    machine = contents.machine
    assert (machine.name, machine.cpus, machine.memory_mb) == ("web", 2, 1024)
    assert (machine.guest_id, machine.firmware, machine.version) == (
        "ubuntu64Guest",
        "efi",
        "vmx-13",
    )
    assert [(card.network, card.model) for card in machine.nics] == [("VM Network", "vmxnet3")]
    assert [(d.file, d.adapter, d.unit) for d in machine.disks] == [
        ("web-disk1.vmdk", "paraVirtual", 0), ("b.img", "paraVirtual", 1), (None, "paraVirtual", 2),
    ]  # fmt: skip
    assert [read(image.with_disk(disk.inside), data) for disk in contents.disks] == [RAW, RAW[::-1]]


async def test_the_grains_of_a_stream_are_read_as_they_are_stored(tmp_path: Path) -> None:
    data = ova()
    image, contents = await opened(tmp_path / "web.ova", data)
    reader = image.with_disk(contents.disks[0].inside).grain_reader()
    inside = open_image(STREAM[:PREFIX], size=len(STREAM)).grain_reader()
    grains = [*inside.feed(STREAM), *inside.finish()]
    assert [*reader.feed(data), *reader.finish()] == grains


async def test_a_glance_that_claims_another_disk_type_is_wrong(tmp_path: Path) -> None:
    data = ova()
    path = tmp_path / "web.ova"
    path.write_bytes(data)
    image = open_image(data[:PREFIX], size=len(data), claimed="vmdk", container="ova")
    info = ImageInfo(
        id="7", name="web", size=len(data), disk_format="vmdk", container_format="ova",
        properties={"vmware_disktype": "sparse"},
    )  # fmt: skip
    with pytest.raises(ImageUnacceptableError) as caught:
        await contents_of(LocalImages().image(str(path)), info, image, data[:PREFIX])
    assert (caught.value.rule, caught.value.image) == ("format.disk_type", "7")
