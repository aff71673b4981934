"""Fixtures for the peers, and the treatment of tests whose peer's tool is not installed.

A missing tool skips its tests and is listed at the end with the command that installs it; if `CI`
is set, it fails them, so that no test is left out silently.

A test that takes `host` runs against both servers that simulate an ESX host: the simulator and
vcsim. Mark it `vcsim_only("why")` or `simulator_only("why")` if one of them cannot pass it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.guest.conftest import chroot as chroot
from tests.integration.peers import process, tools
from tests.integration.peers.glance import Glance
from tests.integration.peers.glance import glance as run_glance
from tests.integration.peers.images import DiskImage, Kind, make_image
from tests.integration.peers.tools import MissingToolError, Tool
from tests.integration.peers.vcsim import VCSim
from tests.integration.peers.vcsim import vcsim as run_vcsim

HERE = Path(__file__).parent
# A first run compiles vcsim and installs Glance and Keystone inside a fixture.
TIMEOUT_SECONDS = 1800

HOSTS: tuple[str, ...] = ("simulator", "vcsim")
ONLY: dict[str, tuple[str, ...]] = {"vcsim_only": ("vcsim",), "simulator_only": ("simulator",)}

_missing: dict[str, Tool] = {}


@contextmanager
def needed_tools() -> Iterator[None]:
    """Turn a missing tool into a skip, or into a failure if `CI` is set."""
    try:
        yield
    except MissingToolError as exc:
        _missing[exc.tool.name] = exc.tool
        if os.environ.get("CI"):
            pytest.fail(str(exc), pytrace=False)
        pytest.skip(str(exc))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests below this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.integration)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS, func_only=False))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `host` against each server that supports it."""
    if "host" not in metafunc.fixturenames:
        return
    names = HOSTS
    for mark, only in ONLY.items():
        for found in metafunc.definition.iter_markers(mark):
            if not found.args:
                raise pytest.UsageError(f"{metafunc.definition.nodeid}: {mark} wants its reason")
            names = only
    metafunc.parametrize("host", names, indirect=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the tail of the peers' logs to the report of a failed test."""
    report = yield
    if report.failed and item.path.is_relative_to(HERE):
        for peer in process.RUNNING:
            report.sections.append((f"log of {peer.name}", peer.tail()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the missing tools with the commands that install them."""
    if _missing:
        terminalreporter.section("tools that are not installed")
        for tool in _missing.values():
            terminalreporter.line(f"{tool.name} ({tool.purpose}): {tool.apt_line}")


@pytest.fixture(scope="session")
def need_tool() -> Callable[[str], Path]:
    """Return a function that returns a tool's path, or skips (in CI: fails) if it is missing."""

    def find(name: str) -> Path:
        with needed_tools():
            return tools.find(name)

    return find


@dataclass(frozen=True)
class Host:
    """A server that simulates an ESX host, with its address and login."""

    kind: str
    url: str
    username: str
    password: str = field(repr=False)
    # SHA-256 with colons.
    thumbprint: str
    # Its only datastore, and that datastore's folder on this machine.
    datastore: str
    folder: Path


@pytest.fixture
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    """An empty ESX host of each kind in turn, new for each test."""
    kind: str = request.param
    async with AsyncExitStack() as stack:
        if kind == "vcsim":
            with needed_tools():
                peer = stack.enter_context(run_vcsim("esx"))
            yield Host(
                kind=kind,
                url=peer.url,
                username=peer.username,
                password=peer.password,
                thumbprint=peer.thumbprint,
                datastore=peer.datastore,
                folder=peer.datastores[peer.datastore],
            )
        else:
            from vimlib.simulator import ESXHost

            folder = tmp_path / "datastore1"
            folder.mkdir()
            esx = await stack.enter_async_context(ESXHost(datastores={"datastore1": folder}))
            yield Host(
                kind=kind,
                url=esx.url,
                username=esx.credentials.username,
                password=esx.credentials.password,
                thumbprint=esx.thumbprint,
                datastore="datastore1",
                folder=folder,
            )


@pytest.fixture(scope="session")
def vcsim_esx() -> Iterator[VCSim]:
    """A vcsim with one ESX host and two machines; shared, so restore every change."""
    with needed_tools(), run_vcsim("esx", vms=2) as peer:
        yield peer


@pytest.fixture(scope="session")
def vcsim_vpx() -> Iterator[VCSim]:
    """A vcsim that is a vCenter; shared, so restore every change."""
    with needed_tools(), run_vcsim("vpx", vms=2) as peer:
        yield peer


@pytest.fixture(scope="session", params=["esx", "vpx"])
def vcsim(request: pytest.FixtureRequest) -> VCSim:
    """Both of them in turn."""
    peer: VCSim = request.getfixturevalue(f"vcsim_{request.param}")
    return peer


@pytest.fixture(scope="session")
def glance() -> Iterator[Glance]:
    """A Glance without authentication; shared, so delete your uploads."""
    with run_glance() as peer:
        yield peer


@pytest.fixture(scope="session")
def glance_with_keystone() -> Iterator[Glance]:
    """A Glance that requires tokens, with the Keystone that issues them."""
    with run_glance(with_keystone=True) as peer:
        yield peer


@pytest.fixture(scope="session")
def disk_image(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DiskImage]:
    """Return cached disk images, `disk_image(kind, mib=64, seed=1)`; do not change them."""
    made: dict[tuple[Kind, int, int], DiskImage] = {}
    folder = tmp_path_factory.mktemp("images")

    def get(kind: Kind, mib: int = 64, seed: int = 1) -> DiskImage:
        key = (kind, mib, seed)
        if key not in made:
            with needed_tools():
                made[key] = make_image(folder, kind, mib=mib, seed=seed)
        return made[key]

    return get
