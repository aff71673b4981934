"""monolithicSparse VMDKs, with grains in any order (see also tests/integration/test_disk_formats.py)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.driver.images.foreign import descriptor, disk, sparse
from tests.unit.driver.images.formats.reading import read_disk
from vimdriver._images.formats import sparse_reader
from vimdriver.errors import ImageOrderError, ImageUnacceptableError

DISK = disk(3 << 20)


def swapped(grains: list[int]) -> Sequence[int]:
    """Return neighbours in each other's place."""
    return [grain for pair in zip(grains[1::2], grains[::2], strict=False) for grain in pair] + (
        grains[-1:] if len(grains) % 2 else []
    )


def shuffled(grains: list[int]) -> Sequence[int]:
    return random.Random(1).sample(grains, len(grains))


@pytest.mark.parametrize("grain", [8, 16, 64, 128, 2048])
@pytest.mark.parametrize("size", [512, 4096, 4096 * 512 + 512, 3 << 20, (1 << 20) - 1536])
@pytest.mark.parametrize("ranges", [False, True])
def test_the_disk_is_read(grain: int, size: int, ranges: bool) -> None:
    data = disk(size, grain=grain * 512)
    assert read_disk(sparse(data, grain=grain), ranges=ranges) == data


@pytest.mark.parametrize(
    "options",
    [
        {"version": 2},
        {"version": 3},
        {"zeroed": True},
        {"shuffle": swapped},
        {"shuffle": shuffled},
        {"text": descriptor("monolithicSparse", 6144, sectors_of=20, more="x" * 300)},
    ],
)
@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("step", [511, 70_000])
def test_variations_of_writers_do_not_change_the_disk(
    options: dict[str, Any], ranges: bool, step: int
) -> None:
    assert read_disk(sparse(DISK, **options), ranges=ranges, step=step) == DISK


def test_grains_far_from_their_place_need_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_reader, "WINDOW", 1 << 20)
    image = sparse(DISK, shuffle=lambda grains: grains[::-1])
    with pytest.raises(ImageOrderError, match=r"tables\.order"):
        read_disk(image)
    assert read_disk(image, ranges=True) == DISK


def test_tables_behind_the_grains_need_ranges() -> None:
    image = sparse(DISK, tables_last=True)
    with pytest.raises(ImageOrderError, match=r"tables\.order"):
        read_disk(image)
    assert read_disk(image, ranges=True) == DISK


@pytest.mark.parametrize("ranges", [False, True])
def test_a_file_without_a_table_that_the_directory_lists_is_truncated(ranges: bool) -> None:
    with pytest.raises(ImageUnacceptableError, match=r"tables\.e"):
        read_disk(sparse(DISK)[: 30 * 512], ranges=ranges)


def test_a_file_that_ends_in_a_grain_is_truncated() -> None:
    with pytest.raises(ImageUnacceptableError, match=r"tables\.end"):
        read_disk(sparse(b"x" * (1 << 20))[:-1])


def test_the_last_grain_may_end_with_the_disk() -> None:
    data = b"x" * ((1 << 20) + 512)
    image = sparse(data)[: -(127 * 512)]
    assert read_disk(image) == data
    assert read_disk(image, ranges=True) == data


def test_entries_behind_the_disk_are_ignored() -> None:
    image = bytearray(sparse(b"x" * (1 << 20)))
    image[27 * 512 + 16 * 4 : 27 * 512 + 17 * 4] = image[27 * 512 : 27 * 512 + 4]
    assert read_disk(bytes(image)) == b"x" * (1 << 20)


def test_contiguous_grains_are_passed_without_a_copy() -> None:
    from tests.unit.driver.images.formats.reading import read_extents
    from vimdriver._images.formats import PREFIX, open_image

    image = sparse(b"x" * (1 << 20))
    reader = open_image(image[:PREFIX], size=len(image)).reader()
    (extent,) = read_extents(reader, image, step=len(image))
    assert isinstance(extent.data, memoryview)
    assert extent.data.obj is image
