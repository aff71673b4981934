from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Vimctl


@pytest.mark.slow
@pytest.mark.parametrize("version", ["8.0", "4.1"])
def test_the_demo_pushes_spawns_and_cleans_up(vimctl: Vimctl, version: str) -> None:
    done = vimctl("demo", "--image-mib", "2", "--api-version", version, "--json")
    found = done.document
    assert set(found) == {"images", "instances", "leftovers"}
    assert len(found["images"]) == 4
    assert len({line["hash"] for line in found["images"]}) == 4
    assert all(line["verified"] and line["bytes"] >= 2 << 20 for line in found["images"])
    assert [row["name"] for row in found["instances"]] == [f"demo-{n}" for n in (1, 2, 3, 4)]
    assert {row["power_state"] for row in found["instances"]} == {"poweredOn"}
    assert found["leftovers"] == []
    assert "VIMLIB_URL" in done.err


@pytest.mark.slow
def test_the_demo_prints_text_without_json(vimctl: Vimctl) -> None:
    done = vimctl("demo", "--image-mib", "1")
    assert "demo-stream" in done.out
    assert "demo-4" in done.out
    assert "the host is empty again" in done.err
