"""The tables of a file show whether one pass over it reads its disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.unit.driver.images.corpus import RAW
from tests.unit.driver.images.foreign import disk, qcow2, raw_deflate, sparse, stream
from tests.unit.driver.images.formats.reading import is_surveyed, read_disk
from tests.unit.driver.images.formats.test_sparse_reader import shuffled, swapped
from vimdriver._images.formats import open_image, sparse_reader, stream_reader
from vimdriver._images.formats import qcow2 as qcow2_module
from vimdriver.errors import ImageOrderError, ImageUnacceptableError

DISK = disk(3 << 20)
BUILD: dict[str, Callable[..., bytes]] = {
    "sparse": sparse,
    "stream": partial(stream, tables_last=True),
    "stream, tables in front": partial(stream, front=True),
    "qcow2": qcow2,
    "qcow2, tables in front": partial(qcow2, tables_first=True),
    "qcow2, deflated": partial(qcow2, compress=raw_deflate),
}


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
@pytest.mark.parametrize("shuffle", [list, swapped, shuffled])
def test_one_pass_does_where_little_is_held_back(
    build: Callable[..., bytes], shuffle: Callable[[list[int]], list[int]]
) -> None:
    image = build(DISK, shuffle=shuffle)
    assert is_surveyed(image)
    assert read_disk(image) == DISK


@pytest.mark.parametrize("build", BUILD.values(), ids=BUILD)
def test_ranges_are_needed_where_too_much_would_be_held_back(
    build: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sparse_reader, stream_reader, qcow2_module):
        monkeypatch.setattr(module, "WINDOW", 4 << 10)
    image = build(DISK, shuffle=lambda found: found[::-1])
    assert not is_surveyed(image)
    with pytest.raises(ImageOrderError):
        read_disk(image)
    assert read_disk(image, ranges=True) == DISK


def test_tables_behind_their_grains_need_ranges() -> None:
    assert not is_surveyed(sparse(DISK, tables_last=True))


def test_damaged_tables_are_refused() -> None:
    image = sparse(DISK)
    damaged = image[: 27 * 512] + b"\xff" * 512 + image[28 * 512 :]
    with pytest.raises(ImageUnacceptableError, match=r"tables\.entry"):
        is_surveyed(damaged)


def test_a_raw_disk_has_no_tables() -> None:
    assert open_image(RAW, size=len(RAW)).survey() is None
