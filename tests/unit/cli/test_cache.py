from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.cli.conftest import Vimctl
from tests.unit.driver.hosted import Beside
from vimdriver._images.embedded import EmbeddedGlance, demo_images
from vimlib.simulator import ESXHost


@pytest.fixture
def glance(beside: Beside) -> Iterator[EmbeddedGlance]:
    async def start() -> EmbeddedGlance:
        return await EmbeddedGlance(demo_images(1)).__aenter__()

    service: EmbeddedGlance = beside.run(start())
    yield service
    beside.run(service.__aexit__())


def test_cached_images_are_listed_and_removed(
    esx: ESXHost, vimctl: Vimctl, glance: EmbeddedGlance
) -> None:
    given: list[Any] = ["--datastore", "datastore1", "--glance", glance.url, "--memory-mb", "64"]
    vimctl("instance", "spawn", "--name", "a", "--image", "demo-sparse", *given)
    vimctl("instance", "spawn", "--name", "b", "--image", "demo-raw-1", *given)
    at = ("--datastore", "datastore1")
    rows = vimctl("image", "cache", "ls", *at, "--json").document
    assert {row["hash"] for row in rows} == {
        glance.named("demo-sparse").sha512,
        glance.named("demo-raw-1").sha512,
    }
    assert vimctl("image", "cache", "prune", *at, "--json").document == []
    first, second = (row["datastore_path"] for row in rows)
    vimctl("image", "cache", "rm", first, *at)
    vimctl("image", "cache", "rm", first, *at, code=4)
    assert [row["datastore_path"] for row in vimctl("image", "cache", "ls", *at, "--json").document] == [second]  # fmt: skip
    done = vimctl("image", "cache", "prune", *at, "--days", "0")
    assert second in done.out
    assert vimctl("image", "cache", "ls", *at, "--json").document == []
