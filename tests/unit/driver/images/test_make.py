from __future__ import annotations

import pytest

from tests.unit.driver.images.corpus import built
from tests.unit.driver.images.formats.reading import read_disk
from vimdriver._images.formats import PREFIX, open_image
from vimdriver._images.make import GRAIN, Kind, Pattern, make

KINDS: list[Kind] = ["raw", "monolithicSparse", "streamOptimized"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capacity", [512, GRAIN, GRAIN + 512, 33 << 20])
@pytest.mark.parametrize("hole_every", [0, 1, 3])
def test_generated_images_keep_the_strict_rules(kind: Kind, capacity: int, hole_every: int) -> None:
    pattern = Pattern(5, capacity, hole_every=hole_every)
    image = built(kind, pattern)
    assert open_image(image[:PREFIX], size=len(image)).kind == kind
    assert read_disk(image, strict=True) == built("raw", pattern)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_determines_the_bytes(kind: Kind) -> None:
    assert built(kind, Pattern(1, GRAIN)) == built(kind, Pattern(1, GRAIN))
    assert built(kind, Pattern(1, GRAIN)) != built(kind, Pattern(2, GRAIN))


def test_all_grains_differ() -> None:
    grains = list(make("raw", Pattern(1, 64 * GRAIN, hole_every=0)))
    assert len(set(grains)) == 64


@pytest.mark.parametrize("capacity", [0, -512, 513])
def test_invalid_capacities_are_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="multiple of 512"):
        Pattern(1, capacity)
