"""Read a whole image with the stages, as the tests of this folder do."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from vimdriver._images.formats import PREFIX, DiskReader, Extent, FlatWriter, open_image
from vimdriver.errors import ImageOrderError


def read_disk(
    data: bytes, *, ranges: bool = False, step: int = 1 << 20, strict: bool = False, **claims: Any
) -> bytes:
    """Return the disk that an image holds."""
    image = open_image(data[:PREFIX], size=len(data), **claims)
    reader = image.reader(ranges=ranges, strict=strict)
    extents = read_extents(reader, data, step=step)
    assert reader.capacity is not None
    writer = FlatWriter(reader.capacity)
    written = [bytes(piece) for extent in extents for piece in writer.write(extent)]
    return b"".join([*written, *map(bytes, writer.finish())])


def read_extents(reader: DiskReader, data: bytes, *, step: int = 1 << 20) -> list[Extent]:
    """Return the extents, which must ascend and must not be empty."""
    extents: list[Extent] = []
    if reader.wanted is None:
        for at in range(0, len(data), step):
            extents += reader.feed(data[at : at + step])
    while (wanted := reader.wanted) is not None:
        assert 0 <= wanted.start < wanted.stop <= len(data)
        extents += reader.feed(data[wanted.start : min(wanted.stop, wanted.start + step)])
    extents += reader.finish()
    assert all(extent.data for extent in extents)
    assert all(a.end <= b.offset for a, b in pairwise(extents))
    return extents


def is_surveyed(data: bytes) -> bool:
    """Return whether the tables of an image show that one pass over it reads its disk."""
    survey = open_image(data[:PREFIX], size=len(data)).survey()
    assert survey is not None
    try:
        assert not read_extents(survey, data)
    except ImageOrderError:
        return False
    return True
