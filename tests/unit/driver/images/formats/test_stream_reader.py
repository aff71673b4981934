"""streamOptimized VMDKs as all their writers make them (see also the corpus)."""

from __future__ import annotations

import tracemalloc
import zlib
from itertools import chain
from typing import Any

import pytest

from tests.unit.driver.images.foreign import SECTOR, disk, marker, stream
from tests.unit.driver.images.formats.reading import read_disk, read_extents
from tests.unit.driver.images.formats.test_sparse_reader import shuffled, swapped
from vimdriver._images.formats import (
    PREFIX,
    DeflatedGrain,
    StreamOptimizedWriter,
    open_image,
    stream_reader,
)
from vimdriver.errors import ImageOrderError, ImageUnacceptableError

DISK = disk(3 << 20)


@pytest.mark.parametrize("grain", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize("size", [512, 4096, 4096 * 512 + 512, 3 << 20])
@pytest.mark.parametrize("ranges", [False, True])
def test_the_disk_is_read(grain: int, front: bool, size: int, ranges: bool) -> None:
    data = disk(size, grain=grain * 512)
    assert read_disk(stream(data, grain=grain, front=front), ranges=ranges) == data


WRITERS: dict[str, dict[str, Any]] = {
    "VMware": {},
    "VMware, older": {"version": 1},
    "with progress": {"progress": True},
    "zeroed grains": {"zeroed": True},
    "VMDK-stream converter": {"tables_last": True, "version": 1},
    "qemu before 2.5.1": {"front": True, "version": 1},
    "qemu, padded": {"front": True, "end": bytes(60 << 10)},
    "open-vmdk": {"front": True, "end": marker(0, 0)},
    "without the padding of the last grain": {"front": True, "padded": False},
    "a short last grain": {"short": True},
    "stored, not deflated": {"level": 0},
    "neighbours exchanged": {"shuffle": swapped, "tables_last": True},
    "any order": {"shuffle": shuffled, "tables_last": True},
    "bytes behind each grain": {"deflate": lambda grain: zlib.compress(grain, 1) + b"\0\0"},
}


@pytest.mark.parametrize("options", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("step", [511, 70_000])
def test_variations_of_writers_do_not_change_the_disk(
    options: dict[str, Any], ranges: bool, step: int
) -> None:
    data = DISK[: (2 << 20) + 512]
    assert read_disk(stream(data, **options), ranges=ranges, step=step) == data


def test_grains_far_from_their_place_need_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_reader, "WINDOW", 1 << 18)
    image = stream(DISK, shuffle=lambda grains: grains[::-1], tables_last=True)
    with pytest.raises(ImageOrderError, match=r"stream\.grain"):
        read_disk(image)
    assert read_disk(image, ranges=True) == DISK


def test_a_grain_that_the_tables_do_not_list_is_found_at_the_end() -> None:
    # A reader that follows the tables sees another disk.
    image = bytearray(stream(b"x" * (1 << 20), front=True))
    table = 22 * SECTOR
    image[table : table + 4] = bytes(4)
    with pytest.raises(ImageOrderError, match=r"stream\.table"):
        read_disk(bytes(image))
    assert read_disk(bytes(image), ranges=True) == bytes(65536) + b"x" * ((1 << 20) - 65536)


def test_a_file_with_tables_in_front_that_was_cut_between_grains_is_refused() -> None:
    grain = zlib.compress(b"x" * 65536)
    image = stream(b"x" * (1 << 20), front=True)
    cut = image[: -SECTOR * -(-(len(grain) + 12) // SECTOR)]
    with pytest.raises(ImageUnacceptableError, match=r"tables\.entry"):
        read_disk(cut)
    reader = open_image(cut, size=None).reader()
    with pytest.raises(ImageOrderError, match=r"stream\.table"):
        read_extents(reader, cut)


@pytest.mark.parametrize("front", [False, True])
def test_deflated_grains_pass_behind_a_header_of_ours(front: bool) -> None:
    for grain in (16, 128):
        image = stream(DISK, front=front, grain=grain, version=1)
        source = open_image(image[:PREFIX], size=len(image))
        assert source.capacity is not None
        assert source.grain_bytes is not None
        reader = source.grain_reader()
        writer = StreamOptimizedWriter(source.capacity, grain_bytes=source.grain_bytes)
        written = [writer.start()]
        grains: list[DeflatedGrain] = []
        for at in range(0, len(image), 70_000):
            grains += reader.feed(image[at : at + 70_000])
        grains += reader.finish()
        for item in grains:
            written += map(bytes, writer.write_compressed(item.offset // SECTOR, item.data))
        result = b"".join([*written, *map(bytes, writer.finish())])
        assert open_image(result[:PREFIX], size=len(result)).importable
        assert read_disk(result, strict=True) == DISK


def test_deflated_grains_are_checked_unless_that_is_declined() -> None:
    image = bytearray(stream(DISK))
    image[128 * SECTOR + 100] ^= 1
    source = open_image(bytes(image[:PREFIX]), size=len(image))
    reader = source.grain_reader(verify=False)
    assert list(chain(reader.feed(image), reader.finish()))
    reader = source.grain_reader()
    with pytest.raises(ImageUnacceptableError, match=r"stream\.inflate"):
        list(chain(reader.feed(image), reader.finish()))


@pytest.mark.parametrize("front", [False, True])
def test_memory_is_bounded(front: bool) -> None:
    data = b"\1" * (64 << 20)
    image = stream(data, front=front, level=1)
    reader = open_image(image[:PREFIX], size=len(image)).reader()
    tracemalloc.start()
    try:
        for at in range(0, len(image), 512):
            assert all(extent.data for extent in reader.feed(image[at : at + 512]))
        assert all(extent.data for extent in reader.finish())
        assert tracemalloc.get_traced_memory()[1] < stream_reader.WINDOW + (4 << 20)
    finally:
        tracemalloc.stop()


def test_the_size_may_be_unknown() -> None:
    for image in (stream(DISK), stream(DISK, front=True)):
        opened = open_image(image[:PREFIX], size=None)
        assert sum(len(extent.data) for extent in read_extents(opened.reader(), image)) > 0
        with pytest.raises(ImageUnacceptableError, match=r"size\.unknown"):
            opened.reader(ranges=True)


def test_a_file_that_ends_inside_its_directory_is_refused_in_both_orders() -> None:
    image = stream(disk(1 << 20), front=True)[: 21 * 512 + 8]
    for ranges in (False, True):
        with pytest.raises(ImageUnacceptableError, match=r"stream\.end"):
            read_disk(image, ranges=ranges)
