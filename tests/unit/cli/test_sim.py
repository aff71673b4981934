from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.unit.cli.conftest import Vimctl
from vimdriver._cli.sim import Release
from vimlib.simulator._core.versions import RELEASES

PROGRAM = "import sys; from vimdriver._cli import main; sys.exit(main(sys.argv[1:]))"


def test_all_simulator_releases_are_offered() -> None:
    assert list(get_args(Release)) == list(RELEASES)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_simulator_prints_its_address_and_ends_cleanly(
    vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    words = (
        "sim",
        "--port",
        "0",
        "--datastore-dir",
        tmp_path / "ds",
        "--api-version",
        "4.1",
        "--vms",
        "3",
    )
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, words)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert set(said) == {"url", "username", "password", "thumbprint"}
        monkeypatch.setenv("VIMLIB_PASSWORD", said["password"])
        login = ("--url", said["url"], "--username", said["username"], "--pin", said["thumbprint"])
        assert vimctl.json("about", *login)["apiVersion"] == "4.1"
        names = [row["name"] for row in vimctl.json("instance", "list", *login)]
        assert names == ["vm-0", "vm-1", "vm-2"]
        assert (tmp_path / "ds/vm-0/vm-0.vmx").exists()
        process.send_signal(number)
        assert process.stdout.read() == ""
        assert process.wait(30) == 0


def test_invalid_options_are_refused(vimctl: Vimctl, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    vimctl("sim", "--datastore-dir", tmp_path / "file", code=2)
    vimctl("sim", "--api-version", "3.5", code=2)
    vimctl("sim", "--vms", "-1", code=2)
    vimctl("sim", "--port", "70000", code=2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = vimctl("sim", "--port", str(taken.getsockname()[1]), code=1)
    assert "another --port" in done.err


@pytest.mark.parametrize("command", ["sim", "demo"])
def test_a_missing_extra_is_named(
    vimctl: Vimctl, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    done = vimctl(command, "--json", code=2)
    assert done.document["error"]["type"] == "MissingExtraError"
    assert "vimlib-esx[simulator]" in done.err
