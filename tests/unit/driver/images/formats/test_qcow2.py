"""qcow2 images, in the order of the file and by Range (see also tests/integration/test_disk_formats.py)."""

from __future__ import annotations

import struct

import pytest

from tests.unit.driver.images.corpus import Case, Good
from tests.unit.driver.images.foreign import disk, qcow2, raw_deflate
from tests.unit.driver.images.formats.reading import read_disk, read_extents
from tests.unit.driver.images.qcow2_corpus import CASES, GOOD
from vimdriver._images.formats import open_image
from vimdriver._images.formats import qcow2 as module
from vimdriver._images.formats import zstd as zstd_module
from vimdriver.errors import ImageOrderError, ImageUnacceptableError
from vimlib.errors import MissingExtraError

DISK = disk((3 << 20) + 512, grain=4096)


@pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name)
@pytest.mark.parametrize("step", [4095, 1 << 20])
def test_the_disk_is_read_by_range(good: Good, step: int) -> None:
    assert read_disk(good.build(), ranges=True, step=step) == good.disk


PLAIN = qcow2(DISK)


@pytest.mark.parametrize("bad", CASES, ids=lambda case: case.name)
def test_each_rule_refuses_its_images_by_range(bad: Case) -> None:
    data = bad.build()
    if bad.converted == "qcow2.order":
        read_disk(data, ranges=True)
        return
    with pytest.raises(ImageUnacceptableError) as caught:
        read_disk(data, ranges=True)
    assert caught.value.rule == bad.converted
    assert caught.value.hint


def test_clusters_far_from_their_place_need_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 1 << 18)
    image = qcow2(b"x" * (4 << 20), shuffle=lambda found: found[::-1])
    with pytest.raises(ImageOrderError, match=r"qcow2\.order.*qemu-img convert -f qcow2 -O qcow2"):
        read_disk(image)
    assert read_disk(image, ranges=True) == b"x" * (4 << 20)


def test_a_qcow2_does_not_reach_a_host_unchanged() -> None:
    with pytest.raises(ImageUnacceptableError, match="qemu-img convert -f qcow2 -O vmdk"):
        open_image(PLAIN, size=len(PLAIN)).reader(strict=True)


@pytest.mark.parametrize("claimed", ["raw", "vmdk", "iso"])
def test_a_claim_may_only_agree(claimed: str) -> None:
    with pytest.raises(ImageUnacceptableError, match=r"format\.claim.*--disk-format qcow2"):
        open_image(PLAIN, size=len(PLAIN), claimed=claimed)


def test_zstandard_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zstd_module, "_zstd", None)
    image = qcow2(DISK, compress=raw_deflate, compression=1, incompatible=8)
    with pytest.raises(MissingExtraError, match="pip install"):
        open_image(image, size=len(image)).reader()


@pytest.mark.parametrize("ranges", [False, True])
def test_the_tables_of_a_large_disk_may_be_in_any_order(ranges: bool) -> None:
    # Clusters of 512 bytes, so that a table lists 64: 8,192 tables, the last one of the disk first.
    size, count = 512, 8192
    first = size + 8 * count
    tables = range(first + (count - 1) * size, first - size, -size)
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 9, count * 64 * size, 0, count, size, 0, 0, 0, 0
    )
    image = bytearray(header.ljust(size, b"\0") + struct.pack(f">{count}Q", *tables))
    image += bytes(count * size)
    # The last cluster of the disk, behind all tables.
    image[first + 63 * 8 : first + size] = struct.pack(">Q", len(image))
    image += b"\7" * size
    reader = open_image(bytes(image[: 1 << 20]), size=len(image)).reader(ranges=ranges)
    (extent,) = read_extents(reader, bytes(image))
    assert (extent.end, bytes(extent.data)) == (count * 64 * size, b"\7" * size)
