"""The owner of an installation: made once, shared by all of a user's processes, never everybody's."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.driver.hosted import OWNER, Hosted, spec
from vimdriver import _owner
from vimdriver._cli.ownership import Ownership
from vimdriver._config import DriverConfig
from vimdriver._instances.machine import OWNER_KEY
from vimdriver._owner import installation_owner
from vimdriver.errors import ForeignInstanceError, OwnerError
from vimlib._session.state import state_folder
from vimlib.errors import UsageError


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "vimlib" / "owner"


def test_two_installations_have_different_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for name in ("one", "two"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / name))
        found.add(DriverConfig().mark())
    assert len(found) == 2
    assert "vimlib" not in found


def test_the_owner_is_kept_for_its_user_alone(state: Path) -> None:
    owner = DriverConfig().mark()
    assert state.read_text() == f"{owner}\n"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.parent.stat().st_mode) == 0o700
    assert [path.name for path in state.parent.iterdir()] == ["owner"]


def test_the_command_and_the_library_have_the_same_owner(state: Path) -> None:
    assert Ownership().config().mark() == DriverConfig().mark()
    assert Ownership(owner="mine").config().mark() == "mine"
    assert state.read_text() == f"{DriverConfig().mark()}\n"


def test_processes_that_start_at_once_agree(state: Path) -> None:
    # Past the cache each call is a process of its own.
    make = _owner._kept.__wrapped__
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(make, [state] * 32))
    assert found == {state.read_text().strip()}
    assert [path.name for path in state.parent.iterdir()] == ["owner"]


def test_a_file_that_is_there_is_used_and_not_changed(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_text("the team's\n")
    assert installation_owner() == "the team's"
    assert state.read_text() == "the team's\n"


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"x" * 300, b"\x00"])
def test_a_file_without_an_owner_is_an_error(content: bytes, state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_bytes(content)
    with pytest.raises(OwnerError, match="must be one line") as caught:
        installation_owner()
    assert caught.value.path == str(state)
    assert state.read_bytes() == content


def test_a_pipe_is_not_waited_for(state: Path) -> None:
    state.parent.mkdir(parents=True)
    os.mkfifo(state)
    with pytest.raises(OwnerError):
        installation_owner()


def test_without_a_writable_home_an_owner_must_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    config = DriverConfig()  # reads need no owner
    with pytest.raises(OwnerError, match="Not a directory") as caught:
        config.mark()
    assert "DriverConfig(owner=...)" in str(caught.value)
    assert caught.value.outcome == "not_sent"
    assert DriverConfig(owner="mine").mark() == "mine"


def test_without_a_home_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert state_folder() is None
    with pytest.raises(OwnerError, match="no home directory"):
        DriverConfig().mark()


@pytest.mark.parametrize("owner", ["", "a\nb", "x" * 256])
def test_an_invalid_owner_is_refused(owner: str) -> None:
    with pytest.raises(UsageError):
        DriverConfig(owner=owner)


async def test_reading_a_host_needs_no_owner(
    host: Hosted, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    async with host.driver(config=DriverConfig()) as driver:
        assert await driver.list_instances() == []
        with pytest.raises(OwnerError):
            await driver.spawn(spec(image))
    assert not host.esx.calls("CreateVM_Task")


async def test_a_machine_carries_the_owner_of_its_installation(host: Hosted, image: Path) -> None:
    async with host.driver(config=DriverConfig()) as driver:
        made = await driver.spawn(spec(image))
        marks = {o.key: o.value for o in host.esx.machine("web").config.extraConfig}
        assert marks[OWNER_KEY] == installation_owner()
        assert await driver.destroy(made.uuid)


async def test_the_default_of_earlier_versions_is_an_owner_that_can_be_given(
    host: Hosted, image: Path
) -> None:
    former = DriverConfig(owner="vimlib")
    async with host.driver(config=former) as driver:
        made = await driver.spawn(spec(image))
    async with host.driver() as driver:
        with pytest.raises(ForeignInstanceError, match="--owner vimlib"):
            await driver.destroy(made.uuid)
    async with host.driver(config=former) as driver:
        assert await driver.destroy(made.uuid)
    assert OWNER != "vimlib"
