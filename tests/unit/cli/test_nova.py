"""`vimctl nova install-shim`: the file that nova's own `nova-compute` loads the driver by."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "nova" / "virt").mkdir(parents=True)
    # It is found, and not imported.
    (tmp_path / "nova" / "__init__.py").write_text("raise AssertionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "nova" / "virt" / "esx.py"


def test_the_file_is_written_once_and_removed(shim: Path, vimctl: Vimctl) -> None:
    for _ in range(2):
        assert vimctl.json("nova", "install-shim") == {"path": str(shim), "installed": True}
    assert "from vimdriver.nova import ESXNovaDriver" in shim.read_text()
    for _ in range(2):
        assert vimctl.json("nova", "install-shim", "--remove")["installed"] is False
    assert not shim.exists()


def test_a_file_of_somebody_else_stays(shim: Path, vimctl: Vimctl) -> None:
    shim.write_text("theirs\n")
    for words in ((), ("--remove",)):
        assert (
            "was not written by this command" in vimctl("nova", "install-shim", *words, code=1).err
        )
    assert shim.read_text() == "theirs\n"


def test_without_nova(vimctl: Vimctl) -> None:
    found = vimctl("nova", "install-shim", code=1).err
    assert "nova is not installed for" in found
    assert "vimlib-esx[nova]" in found
