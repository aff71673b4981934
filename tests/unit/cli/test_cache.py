from __future__ import annotations

from typing import Any

from tests.unit.cli.conftest import Vimctl
from vimdriver._images.embedded import EmbeddedGlance
from vimlib.simulator import ESXHost


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
