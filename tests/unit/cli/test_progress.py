"""The byte counts that each command with a progress display shows."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost

MIB = 1 << 20
SIZE = 5 * MIB // 2  # several pieces, the last one partial
ON = ("--datastore", "datastore1")


@pytest.fixture
def disk(tmp_path: Path, esx: ESXHost) -> Path:
    """A local raw image, and the same bytes on the host."""
    path = tmp_path / "disk.img"
    path.write_bytes(b"\x01" * SIZE)
    (esx.datastore_path() / "there.img").write_bytes(path.read_bytes())
    return path


Words = Callable[[Path], tuple[str | Path, ...]]
COMMANDS: dict[str, tuple[str, Words]] = {
    # command: the name of its progress, its arguments
    "datastore put": ("disk.img", lambda disk: (disk, "[datastore1] a.img")),
    "datastore put --read-back": ("disk.img", lambda disk: (disk, "[datastore1] a.img")),
    "datastore get": ("there.img", lambda disk: ("[datastore1] there.img", disk.parent / "b")),
    "image push": ("{disk}", lambda disk: (disk, *ON)),
    "image push --read-back": ("{disk}", lambda disk: (disk, *ON)),
    "image inspect": ("{disk}", lambda disk: (disk,)),
    "instance spawn": ("web", lambda disk: ("--name", "web", "--image", disk, *ON)),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_last_line_has_the_transferred_bytes(command: str, vimctl: Vimctl, disk: Path) -> None:
    name, words = COMMANDS[command]
    err = vimctl(*command.split(), *words(disk)).err
    name = name.format(disk=disk)
    assert f"{name}: 2.5 MiB\n" in err
    assert f"{name}: done, 2.5 MiB in " in err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("command", COMMANDS)
def test_the_final_bar_has_the_transferred_bytes(
    command: str, vimctl: Vimctl, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    _, words = COMMANDS[command]
    vimctl(*command.split(), *words(disk))
    moved = [
        (float(done), size)
        for done, size in re.findall(r"([\d.]+)/([\d.]+ \w+)", terminal.getvalue())
    ]
    assert {size for _, size in moved} == {"2.5 MiB"}
    assert max(done for done, _ in moved) == moved[-1][0] == 2.5


@pytest.mark.slow
def test_the_demo_reports_the_size_of_each_image(vimctl: Vimctl) -> None:
    err = vimctl("demo", "--image-mib", "2").err
    sizes = dict(re.findall(r"^(\S+): ([\d.]+ \w?i?B)$", err, re.MULTILINE))
    moved = dict(re.findall(r"^(\S+): done, ([\d.]+ \w?i?B) in ", err, re.MULTILINE))
    assert len(moved) == 4  # the machines' disks are copied on the host
    assert moved == sizes
