"""A simulated host in a separate thread, since `main` needs the main thread and its event loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.vimctl import Done
from tests.unit.driver.hosted import Beside, own
from vimdriver._cli import main
from vimdriver._images.embedded import EmbeddedGlance, demo_images
from vimdriver._owner import installation_owner
from vimlib.simulator import ESXHost


class Vimctl:
    """Calls `main` like a shell."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *tokens: str | Path, code: int = 0) -> Done:
        found = main([str(token) for token in tokens])
        out, err = self._capsys.readouterr()
        assert found == code, err
        return Done(found, out, err)

    def json(self, *tokens: str | Path, code: int = 0) -> Any:
        return self(*tokens, "--json", code=code).document


@pytest.fixture
def vimctl(capsys: pytest.CaptureFixture[str]) -> Vimctl:
    return Vimctl(capsys)


@pytest.fixture
def esx(
    beside: Beside, vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[ESXHost]:
    """A host with two machines of ours; the environment has its address and login."""
    folder = tmp_path / "datastore1"
    folder.mkdir()

    async def start() -> ESXHost:
        return await ESXHost(datastores={"datastore1": folder}, vms=2).__aenter__()

    host: ESXHost = beside.run(start())
    owner = installation_owner()
    beside.call(lambda: own(host, owner))
    for name, value in {
        "URL": host.url,
        "USERNAME": host.credentials.username,
        "PASSWORD": host.credentials.password,
        "PIN": host.thumbprint,
    }.items():
        monkeypatch.setenv(f"VIMLIB_{name}", value)
    yield host
    beside.run(host.aclose())


@pytest.fixture
def glance(beside: Beside) -> Iterator[EmbeddedGlance]:
    async def start() -> EmbeddedGlance:
        return await EmbeddedGlance(demo_images(1)).__aenter__()

    service: EmbeddedGlance = beside.run(start())
    yield service
    beside.run(service.__aexit__())
