"""What is read of a source without a target: its first bytes, or its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.unit.driver.images.peers import small
from vimdriver._disks.peek import read_hash, read_prefix
from vimdriver._images import HttpClient, HttpImages, ImageInfo, LocalImages
from vimdriver._images.embedded import EmbeddedGlance
from vimdriver.errors import ImageNotFoundError

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "wanted"), [(0, 10), (9, 10), (10, 10), (3 * MIB, 10), (3 * MIB, 2 * MIB)]
)
async def test_it_returns_the_requested_bytes_or_the_whole_image(
    size: int, wanted: int, tmp_path: Path
) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "a"
    path.write_bytes(data[:size])
    source = LocalImages().image(str(path))
    assert await read_prefix(source, await source.info(), wanted) == data[:size][:wanted]


async def test_it_reads_the_beginning_of_a_url_and_its_hash() -> None:
    image = small(mib=4)
    async with EmbeddedGlance([image]) as embedded, HttpClient() as client:
        source = HttpImages(client).image(f"{embedded.url}/v2/images/{image.id}/file")
        info, data = await source.info(), b"".join(image.chunks())
        assert await read_prefix(source, info, 5) == data[:5]
        assert await read_hash(source, info, "sha256") == hashlib.sha256(data).hexdigest()


async def test_a_missing_image_raises_its_error() -> None:
    info = ImageInfo(id="i", name="i", size=5)
    with pytest.raises(ImageNotFoundError):
        await read_prefix(LocalImages().image("/nonexistent"), info, 5)
