"""`vimctl instance exec`, `ps`, `cp`, `keys` and `question`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from tests.unit.driver.hosted import Beside
from vimlib.simulator import ESXHost


@pytest.fixture
def guest(esx: ESXHost, vimctl: Vimctl, beside: Beside, monkeypatch: pytest.MonkeyPatch) -> ESXHost:
    beside.call(lambda: esx.set_guest("vm-0", tools=True, accounts={"root": "secret"}))
    vimctl("instance", "start", "vm-0")
    monkeypatch.setenv("VIMLIB_GUEST_USERNAME", "root")
    monkeypatch.setenv("VIMLIB_GUEST_PASSWORD", "secret")
    return esx


def test_a_program_runs_and_its_output_is_printed(guest: ESXHost, vimctl: Vimctl) -> None:
    done = vimctl("instance", "exec", "vm-0", "/bin/echo", "--", "-n", "hello")
    assert "hello" in done.out
    guest.guest("vm-0").script("/opt/job", exit_code=3, stdout="o", stderr="e")
    failed = vimctl("instance", "exec", "vm-0", "/opt/job", code=1)
    assert (failed.out, failed.err) == ("o", "e")
    found = vimctl.json("instance", "exec", "vm-0", "/opt/job", code=1)
    assert (found["exit_code"], found["stdout"], found["stderr"]) == (3, "o", "e")
    assert vimctl.json("instance", "ps", "vm-0")


def test_files_are_copied_in_and_out(guest: ESXHost, vimctl: Vimctl, tmp_path: Path) -> None:
    local, back = tmp_path / "motd", tmp_path / "back"
    local.write_bytes(b"hello\n")
    done = vimctl.json("instance", "cp", local, "vm-0:/tmp/motd")
    assert done["bytes"] == 6
    vimctl("instance", "cp", "vm-0:/tmp/motd", back)
    assert back.read_bytes() == b"hello\n"
    vimctl("instance", "cp", "vm-0:/tmp/motd", back, code=2)
    vimctl("instance", "cp", "vm-0:/tmp/motd", back, "--overwrite")
    vimctl("instance", "cp", local, back, code=2)
    vimctl("instance", "cp", "vm-0:/tmp/none", tmp_path / "x", code=4)


def test_the_guests_password_comes_from_a_file_and_is_required(
    guest: ESXHost, vimctl: Vimctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIMLIB_GUEST_PASSWORD")
    word = tmp_path / "word"
    word.write_text("secret\n")
    vimctl("instance", "ps", "vm-0", "--guest-password-file", word)
    assert "--guest-password-file" in vimctl("instance", "ps", "vm-0", code=2).err
    monkeypatch.delenv("VIMLIB_GUEST_USERNAME")
    assert "--guest-user" in vimctl("instance", "ps", "vm-0", code=2).err


def test_keys_are_typed_and_questions_answered(
    guest: ESXHost, vimctl: Vimctl, beside: Beside
) -> None:
    typed = vimctl.json("instance", "keys", "vm-0", "root", "--keys", "enter", "--keys", "f2")
    assert typed == {"keys": 6}
    assert "asks nothing" in vimctl("instance", "question", "vm-0").out
    beside.call(lambda: guest.ask("vm-0", "Moved?", {"0": "moved", "1": "copied"}))
    assert vimctl.json("instance", "question", "vm-0")["choices"] == {"0": "moved", "1": "copied"}
    vimctl("instance", "question", "vm-0", "--answer", "copied")
    assert guest.machine("vm-0").answers == ["1"]
    vimctl("instance", "question", "vm-0", "--answer", "copied", code=1)
