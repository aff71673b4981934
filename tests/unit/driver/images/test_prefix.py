from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.driver.images.peers import small
from vimdriver._images import HttpClient, HttpImages, LocalImages
from vimdriver._images.embedded import EmbeddedGlance
from vimdriver._images.prefix import read_prefix
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
    assert await read_prefix(LocalImages().image(str(path)), wanted) == data[:size][:wanted]


async def test_it_reads_the_beginning_of_a_url() -> None:
    image = small(mib=4)
    async with EmbeddedGlance([image]) as embedded, HttpClient() as client:
        source = HttpImages(client).image(f"{embedded.url}/v2/images/{image.id}/file")
        assert await read_prefix(source, 5) == b"".join(image.chunks())[:5]


async def test_a_missing_image_raises_its_error() -> None:
    with pytest.raises(ImageNotFoundError):
        await read_prefix(LocalImages().image("/nonexistent"), 5)
