"""Hosts in a thread beside the test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted


@pytest.fixture
def host(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    with hosted(beside, tmp_path / "datastore1") as found:
        yield found


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A raw image of two chunks, and of no whole number of sectors."""
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom((1 << 20) + 300_001))
    return path
