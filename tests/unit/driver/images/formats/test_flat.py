"""Raw disks: zeros become holes, holes become zeros."""

from __future__ import annotations

import pytest

from vimdriver._images.formats import GRAIN, Extent, FlatReader, FlatWriter
from vimdriver.errors import ImageUnacceptableError

DISK = b"a" * 5 + bytes(3 * GRAIN - 5) + b"b" * GRAIN + bytes(GRAIN) + b"\0\1" + bytes(98)


@pytest.mark.parametrize("step", [1000, 4096, GRAIN - 1, GRAIN, 1 << 20])
def test_a_disk_is_the_same_after_reading_and_writing(step: int) -> None:
    reader, writer = FlatReader(len(DISK)), FlatWriter(len(DISK))
    written = [writer.start()]
    for at in range(0, len(DISK), step):
        for extent in reader.feed(DISK[at : at + step]):
            written += map(bytes, writer.write(extent))
    assert list(reader.finish()) == []
    assert b"".join([*written, *map(bytes, writer.finish())]) == DISK


def test_grains_of_zeros_are_holes_and_neighbours_are_one_extent() -> None:
    extents = FlatReader(None).feed(DISK)
    assert [(extent.offset, len(extent.data)) for extent in extents] == [
        (0, GRAIN),
        (3 * GRAIN, GRAIN),
        (5 * GRAIN, 100),
    ]


def test_extents_are_views_of_the_chunk() -> None:
    chunk = bytearray(b"x" * 10)
    (extent,) = FlatReader(10).feed(chunk)
    chunk[0:1] = b"y"
    assert bytes(extent.data[:2]) == b"yx"


def test_the_capacity_is_known_at_the_end_if_the_size_is_not_known() -> None:
    reader = FlatReader(None)
    known = [reader.capacity]
    assert list(reader.feed(bytes(700))) == []
    known.append(reader.capacity)
    reader.finish()
    assert [*known, reader.capacity] == [None, None, 700]
    assert FlatReader(700).capacity == 700


def test_a_long_hole_takes_no_memory() -> None:
    writer = FlatWriter(40 << 40)
    first = next(iter(writer.write(Extent((40 << 40) - 1, b"x"))))
    assert len(first) == 1 << 20


@pytest.mark.parametrize("extent", [Extent(0, b"xx"), Extent(3, b"xxxx")])
def test_extents_must_ascend_within_the_capacity(extent: Extent) -> None:
    writer = FlatWriter(6)
    writer.write(Extent(0, b"y"))
    with pytest.raises(ValueError, match="must"):
        writer.write(extent)


@pytest.mark.parametrize("capacity", [0, -1, 1 << 60])
def test_the_capacity_must_be_one_of_a_disk(capacity: int) -> None:
    with pytest.raises(ImageUnacceptableError, match=r"size\.capacity"):
        FlatWriter(capacity)
