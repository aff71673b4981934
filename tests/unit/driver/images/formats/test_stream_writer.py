"""streamOptimized VMDKs that we write, read by programs that we did not write (see also
tests/integration/test_disk_formats.py)."""

from __future__ import annotations

import struct
import zlib

import pytest

from tests.unit.driver.images.foreign import disk
from tests.unit.driver.images.formats.reading import read_disk
from vimdriver._images.formats import (
    GRAIN,
    PREFIX,
    Extent,
    FlatReader,
    StreamOptimizedWriter,
    open_image,
)
from vimdriver._images.formats.deflate import deflate
from vimdriver.errors import ImageUnacceptableError


def convert(data: bytes, *, step: int = 1 << 20, level: int = 1) -> bytes:
    writer = StreamOptimizedWriter(len(data), level=level)
    reader = FlatReader(len(data))
    written = [writer.start()]
    for at in range(0, len(data), step):
        for extent in reader.feed(data[at : at + step]):
            written += map(bytes, writer.write(extent))
    written += map(bytes, writer.finish())
    image = b"".join(written)
    assert writer.written == len(image)
    return image


@pytest.mark.parametrize("capacity", [512, GRAIN, GRAIN + 512, 3 << 20])
@pytest.mark.parametrize("step", [777, 1 << 20])
def test_the_size_of_chunks_changes_nothing(capacity: int, step: int) -> None:
    data = disk(capacity)
    assert convert(data, step=step) == convert(data)


def test_the_file_keeps_the_strict_rules() -> None:
    data = disk(33 << 20)
    image = convert(data)
    assert open_image(image[:PREFIX], size=len(image)).importable
    assert read_disk(image, strict=True) == data


def test_zeros_are_not_written() -> None:
    writer = StreamOptimizedWriter(1 << 40, level=1)
    writer.start()
    assert writer.write(Extent(0, bytes(GRAIN))) == []
    assert writer.write(Extent(GRAIN + 5, bytes(100))) == []
    assert writer.write(Extent((1 << 40) - 1, b"x")) == []
    grain, *_ = map(bytes, writer.finish())
    lba, length = struct.unpack_from("<QI", grain)
    assert lba == ((1 << 40) - GRAIN) // 512
    assert zlib.decompress(grain[12 : 12 + length]) == bytes(GRAIN - 1) + b"x"
    assert writer.written < 1 << 20


def test_deflated_grains_pass_as_they_are() -> None:
    data = disk(3 << 20)
    writer = StreamOptimizedWriter(len(data), level=1)
    written = [writer.start()]
    for at in range(0, len(data), GRAIN):
        if any(grain := data[at : at + GRAIN]):
            written += map(bytes, writer.write_compressed(at // 512, deflate(grain, 1)))
    assert b"".join([*written, *map(bytes, writer.finish())]) == convert(data)


@pytest.mark.parametrize("lba", [0, 64, 1 << 20])
def test_deflated_grains_must_be_aligned_and_ascend(lba: int) -> None:
    writer = StreamOptimizedWriter(1 << 20, level=1)
    writer.start()
    writer.write_compressed(0, b"x")
    with pytest.raises(ValueError, match="must"):
        writer.write_compressed(lba, b"x")


def test_a_file_that_its_tables_cannot_address_is_refused() -> None:
    writer = StreamOptimizedWriter(4 << 40, level=0)
    writer.start()
    writer.written = (2 << 40) - GRAIN
    with pytest.raises(ImageUnacceptableError, match=r"stream\.sectors"):
        writer.write(Extent(0, b"x" * GRAIN))
