"""What holds for all tests: hypothesis profiles, a clean environment, and the leak check."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.rig.leaks import leakcheck

if TYPE_CHECKING:
    from tests.unit.driver.hosted import Beside

# Deterministic where the result decides, wider where somebody looks for trouble.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "dev", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("wide", max_examples=5000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

_NUMBERS = itertools.count()
SHELL_PREFIXES = ("VIMLIB_", "GOVC_", "VMWARE_", "OS_")
# How the tests themselves are run, not what they connect to.
KEPT = {"VIMLIB_PEER_CACHE", "VIMLIB_VCSIM", "VIMLIB_SOAP_BACKEND"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the measured table of host calls into the documentation."""
    parser.addoption("--write-calls", action="store_true", help="write docs/driver/calls.md")


@pytest.fixture(autouse=True)
def _clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Take away variables that would point the code under test at somebody's real host.

    Each test has a state directory of its own, made when something is written there.
    """
    state = tmp_path_factory.getbasetemp() / "state" / str(next(_NUMBERS))
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    for name in list(os.environ):
        if name.startswith(SHELL_PREFIXES) and name not in KEPT:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def beside() -> Iterator[Beside]:
    """An event loop in a thread of its own, for hosts that are not to share the test's."""
    from tests.unit.driver.hosted import Beside

    loop = Beside()
    yield loop
    loop.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resume broken bodies of images without the pauses between attempts."""
    from vimdriver._images import body

    monkeypatch.setattr(body, "PAUSES", [0.0, 0.0, 0.0])


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    """Fail if the test leaves a socket, a pipe or a task behind."""
    async with leakcheck():
        yield
