"""Fixtures of the tests in which other people's clients meet the simulated host."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.conftest import needed_tools
from tests.integration.peers.libvirt import Virsh
from tests.rig.login import connected
from vimlib import Client
from vimlib.simulator import ESXHost

# The oldest host that people still ask for, and today's; `nox -s foreign_releases` has all.
RELEASES = os.environ.get("VIMLIB_FOREIGN_RELEASES", "4.1 8.0").split()


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each release in turn."""
    found: str = request.param
    return found


@pytest.fixture
async def esx(release: str) -> AsyncIterator[ESXHost]:
    """An empty host of each release."""
    async with ESXHost(release) as host:
        yield host


@pytest.fixture
async def client(esx: ESXHost) -> AsyncIterator[Client]:
    """Our own client, to prepare what another one works on."""
    async with connected(esx) as found:
        yield found


@pytest.fixture
def virsh(esx: ESXHost, tmp_path: Path) -> Virsh:
    """libvirt's command on the host."""
    with needed_tools():
        return Virsh(esx, tmp_path)
