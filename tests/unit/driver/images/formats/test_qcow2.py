"""qcow2 images, in the order of the file and by Range (see also tests/integration/test_disk_formats.py)."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from tests.unit.driver.images.foreign import disk, qcow2, raw_deflate
from tests.unit.driver.images.formats.reading import read_disk, read_extents
from vimdriver._images.formats import open_image
from vimdriver._images.formats import qcow2 as module
from vimdriver._images.formats import zstd as zstd_module
from vimdriver.errors import ImageOrderError, ImageUnacceptableError
from vimlib.errors import MissingExtraError

DISK = disk((3 << 20) + 512, grain=4096)


def zstd(data: bytes) -> bytes:
    assert zstd_module._zstd is not None
    return bytes(zstd_module._zstd.compress(data))


ZSTD: dict[str, Any] = {"compress": zstd, "compression": 1, "incompatible": 8}
GOOD: dict[str, dict[str, Any]] = {
    "version 2": {"version": 2},
    "version 3": {},
    "small clusters": {"bits": 9},
    "usual clusters": {"bits": 16},
    "large clusters": {"bits": 21},
    "deflated": {"compress": raw_deflate},
    "deflated, version 2": {"compress": raw_deflate, "version": 2},
    "deflated, small clusters": {"compress": raw_deflate, "bits": 9},
    "deflated, usual clusters": {"compress": raw_deflate, "bits": 16},
    "Zstandard": ZSTD,
    "clusters of zeros": {"zeroed": True},
    "tables in front": {"tables_first": True},
    "deflated, tables in front": {"tables_first": True, "compress": raw_deflate},
    "not closed cleanly": {"incompatible": 1},
    "any order": {"shuffle": lambda found: random.Random(1).sample(found, len(found))},
    "deflated, any order": {
        "shuffle": lambda found: random.Random(1).sample(found, len(found)),
        "compress": raw_deflate,
    },
    "unknown compatible features": {"compatible": 1 << 40, "autoclear": 1 << 40},
    "a larger first table": {"length": 104},
}


@pytest.mark.parametrize("options", GOOD.values(), ids=GOOD)
@pytest.mark.parametrize("ranges", [False, True])
@pytest.mark.parametrize("step", [4095, 1 << 20])
def test_the_disk_is_read(options: dict[str, Any], ranges: bool, step: int) -> None:
    data = DISK if options.get("bits", 12) > 9 else DISK[: 300 * 512]
    image = qcow2(data, **options)
    assert open_image(image[: 1 << 20], size=len(image), claimed="qcow2").kind == "qcow2"
    assert read_disk(image, ranges=ranges, step=step) == data


BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "version 1": ("version", {"version": 4}),
    "tiny clusters": ("cluster_size", {"bits_": 8}),
    "huge clusters": ("cluster_size", {"bits_": 22}),
    "backing file": ("backing", {"backing": 1024, "name": 9}),
    "AES": ("encryption", {"crypt": 1}),
    "LUKS": ("encryption", {"crypt": 2}),
    "data file": ("data_file", {"incompatible": 4}),
    "corrupt": ("corrupt", {"incompatible": 2}),
    "subclusters": ("features", {"incompatible": 16}),
    "unknown features": ("features", {"incompatible": 1 << 63}),
    "unknown compression": ("compression", {"incompatible": 8, "compression": 2}),
    "empty": ("capacity", {"size": 0}),
    "no whole sectors": ("capacity", {"size": 511}),
    "huge": ("capacity", {"size": 1 << 60}),
    "larger than its table": ("tables", {"size": 1 << 40}),
    "no table": ("tables", {"l1": 0}),
    "table between clusters": ("tables", {"l1": 4097}),
    "table behind the file": ("tables", {"l1": 1 << 40}),
}


@pytest.mark.parametrize(("rule", "fields"), BAD.values(), ids=BAD)
def test_each_rule_refuses_its_images(rule: str, fields: dict[str, Any]) -> None:
    fields = {key.removesuffix("_"): value for key, value in fields.items()}
    bits = fields.pop("bits", None)
    image = bytearray(qcow2(DISK, **fields))
    if bits:
        image[20:24] = bits.to_bytes(4, "big")
    with pytest.raises(ImageUnacceptableError) as caught:
        open_image(bytes(image), size=len(image))
    assert caught.value.rule == f"qcow2.{rule}"
    assert caught.value.hint


def word(image: bytes, at: int, value: int) -> bytes:
    return image[:at] + value.to_bytes(8, "big") + image[at + 8 :]


PACKED = qcow2(DISK, compress=raw_deflate)
PLAIN = qcow2(DISK)
L2 = 8192
FIRST = next(at for at in range(L2, L2 + 4096, 8) if any(PACKED[at : at + 8]))
FIRST_PLAIN = next(at for at in range(L2, L2 + 4096, 8) if any(PLAIN[at : at + 8]))


@pytest.mark.parametrize(
    ("rule", "image"),
    [
        ("tables", word(PLAIN, 4096, 1 << 50)),
        ("tables", word(PLAIN, 4096, 8192 + 512)),
        ("tables", word(PLAIN, FIRST_PLAIN, 1 << 50)),
        ("tables", word(PLAIN, FIRST_PLAIN, 512 * 31)),
        ("tables", word(PACKED, FIRST, 1 << 62 | 1 << 50)),
        ("tables", word(PACKED, FIRST, 1 << 62 | 5)),
        ("inflate", word(PACKED, FIRST, 1 << 62 | 8192)),
        ("end", PLAIN[:-512]),
        ("end", PLAIN[: 8192 + 100]),
    ],
)
@pytest.mark.parametrize("ranges", [False, True])
def test_damaged_tables_are_refused(rule: str, image: bytes, ranges: bool) -> None:
    with pytest.raises(ImageUnacceptableError, match=rf"qcow2\.({rule}|order|end|tables)"):
        read_disk(image, ranges=ranges)


def test_clusters_far_from_their_place_need_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 1 << 18)
    image = qcow2(b"x" * (4 << 20), shuffle=lambda found: found[::-1])
    with pytest.raises(ImageOrderError, match=r"qcow2\.order.*qemu-img convert -f qcow2 -O qcow2"):
        read_disk(image)
    assert read_disk(image, ranges=True) == b"x" * (4 << 20)


def test_a_cluster_in_front_of_its_table_needs_ranges() -> None:
    image = word(PLAIN, FIRST_PLAIN, 4096)
    with pytest.raises(ImageOrderError, match=r"qcow2\.order"):
        read_disk(image)
    assert len(read_disk(image, ranges=True)) == len(DISK)


def test_a_cluster_that_inflates_to_more_is_cut() -> None:
    # As by QEMU, which ends when the cluster is full.
    image = qcow2(b"x" * 4096, compress=lambda data: raw_deflate(data + b"y" * (1 << 20)))
    assert read_disk(image) == b"x" * 4096


def test_a_qcow2_does_not_reach_a_host_unchanged() -> None:
    with pytest.raises(ImageUnacceptableError, match="qemu-img convert -f qcow2 -O vmdk"):
        open_image(PLAIN, size=len(PLAIN)).reader(strict=True)


@pytest.mark.parametrize("claimed", ["raw", "vmdk", "iso"])
def test_a_claim_may_only_agree(claimed: str) -> None:
    with pytest.raises(ImageUnacceptableError, match=r"format\.claim.*--disk-format qcow2"):
        open_image(PLAIN, size=len(PLAIN), claimed=claimed)


def test_zstandard_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zstd_module, "_zstd", None)
    image = qcow2(DISK, **(ZSTD | {"compress": raw_deflate}))
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
