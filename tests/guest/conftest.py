"""Fixtures of the guest helper's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.machine import Machine, make_chroot, missing
from tests.guest.tree import MAC0, MAC1, OLDEST, Guest

PYTHONS = [
    pytest.param(None, id="this"),
    pytest.param(
        OLDEST,
        id="3.6",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(OLDEST is None, reason="no Python 3.6 on this machine"),
        ],
    ),
]


@pytest.fixture(params=PYTHONS)
def guest(tmp_path: Path, request: pytest.FixtureRequest) -> Guest:
    """A guest with two NICs and VMware's tools, on each Python."""
    made = Guest(tmp_path / "guest", python=request.param)
    made.nic("eth0", MAC0)
    made.nic("eth1", MAC1.upper())
    return made


@pytest.fixture(scope="session")
def chroot() -> Path:
    """A Debian to run guests on; missing tools skip, but fail in CI."""
    why = missing()
    if why is not None:
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return make_chroot()


@pytest.fixture
def machine(chroot: Path, tmp_path: Path) -> Iterator[Machine]:
    """A running guest with two NICs."""
    with Machine(chroot, tmp_path) as made:
        yield made
