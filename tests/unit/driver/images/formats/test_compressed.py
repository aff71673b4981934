"""Compressed images, decompressed in the stream (see also tests/integration/test_disk_formats.py)."""

from __future__ import annotations

import gzip
import lzma
import random
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest

from tests.unit.driver.images.foreign import disk, qcow2, sparse, stream
from tests.unit.driver.images.formats.reading import read_disk
from tests.unit.driver.images.qcow2_corpus import zstd
from vimdriver._images.formats import PREFIX, compressed, open_image, prefix_bytes
from vimdriver.errors import ImageUnacceptableError

DISK = disk((256 << 10) + 512)
PACKERS: list[Callable[[bytes], bytes]] = [
    partial(gzip.compress, compresslevel=1),
    partial(lzma.compress, preset=0),
    zstd,
]


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("build", [bytes, sparse, stream, qcow2])
@pytest.mark.parametrize("step", [777, 1 << 20])
def test_the_disk_is_read(
    pack: Callable[[bytes], bytes], build: Callable[[bytes], bytes], step: int
) -> None:
    data = build(DISK)
    assert read_disk(pack(data), step=step) == DISK
    assert read_disk(pack(data[:5000]) + pack(data[5000:]), step=step) == DISK
    assert read_disk(pack(data) + bytes(600), step=step) == DISK


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("cut", [1, 40, 5000])
def test_a_file_that_was_cut_is_refused(pack: Callable[[bytes], bytes], cut: int) -> None:
    with pytest.raises(ImageUnacceptableError, match=r"compressed\.damaged"):
        read_disk(pack(DISK)[:-cut])


@pytest.mark.parametrize("pack", PACKERS)
def test_little_input_takes_little_memory(pack: Callable[[bytes], bytes]) -> None:
    data = pack(b"\1" * (16 << 20))
    reader = open_image(data, size=len(data)).reader()
    tracemalloc.start()
    try:
        assert sum(len(extent.data) for extent in reader.feed(data)) > 12 << 20
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


def test_the_ratio_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "FREE", 1 << 20)
    monkeypatch.setattr(compressed, "RATIO", 100)
    with pytest.raises(ImageUnacceptableError, match=r"compressed\.ratio.*gzip -dc"):
        read_disk(gzip.compress(bytes(2 << 20)))


def test_glance_declares_the_format_inside() -> None:
    data = gzip.compress(sparse(DISK))
    image = open_image(data, size=len(data), claimed="vmdk", container="compressed")
    assert (image.kind, image.size, image.capacity) == ("monolithicSparse", len(data), len(DISK))
    with pytest.raises(ImageUnacceptableError, match=r"format\.claim"):
        open_image(data, size=len(data), claimed="raw", container="compressed")
    with pytest.raises(ImageUnacceptableError, match="--container-format compressed"):
        open_image(data, size=len(data), claimed="vmdk", container="bare")


@pytest.mark.parametrize("name", ["disk.vmdk.gz", "disk.vmdk", "disk"])
def test_the_name_may_have_the_suffix(name: str) -> None:
    data = gzip.compress(sparse(DISK))
    assert open_image(data, size=len(data), name=name).kind == "monolithicSparse"


@pytest.mark.parametrize("pack", PACKERS)
def test_the_beginning_suffices_however_little_it_compresses(
    pack: Callable[[bytes], bytes],
) -> None:
    noise = random.Random(1).randbytes(5 << 18)
    data = pack(qcow2(noise, bits=16))
    assert prefix_bytes(data[:70]) == PREFIX
    assert open_image(data[:PREFIX], size=len(data)).kind == "qcow2"
    assert read_disk(data) == noise


def test_compressed_files_are_read_only_in_their_order() -> None:
    data = gzip.compress(sparse(DISK))
    with pytest.raises(ImageUnacceptableError, match=r"compressed\.order"):
        open_image(data, size=len(data)).reader(ranges=True)
