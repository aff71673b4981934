"""Commands that show and change the devices of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from vimdriver._cli import main
from vimlib.simulator import ESXHost

MAC = "00:50:56:00:00:09"


def test_a_nic_is_added_changed_listed_and_removed(esx: ESXHost, vimctl: Vimctl) -> None:
    change = ("--foreign",)  # the host made it
    made = vimctl.json("instance", "attach-interface", "vm-0", "VM Network", "--mac", MAC, *change)
    assert (made["mac"], made["network"], made["kind"]) == (MAC, "VM Network", "nic")
    off = vimctl.json("instance", "change-interface", "vm-0", MAC, "--no-connected", *change)
    assert off["connected"] is False
    devices = vimctl.json("instance", "devices", "vm-0")
    assert off in devices
    assert {"controller", "nic", "disk"} <= {one["kind"] for one in devices}
    assert MAC in vimctl("instance", "devices", "vm-0").out
    done = vimctl.json("instance", "detach-interface", "vm-0", MAC, *change)
    assert done == {"instance": "vm-0", "nic": MAC, "removed": True}


CHANGES = [
    "attach-interface vm-0 VMs",
    "start vm-0",
    "snapshot vm-0 one",
    "keys vm-0 x",
    "question vm-0 --answer yes",
    "screenshot vm-0 screen.png",
    "autostart vm-0",
    "exec vm-0 /bin/true --guest-user root",
    "cp ./file vm-0:/tmp/file --guest-user root",
]


@pytest.mark.parametrize("line", CHANGES)
def test_a_machine_of_another_is_shown_and_not_changed(
    line: str,
    esx: ESXHost,
    vimctl: Vimctl,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"data")
    monkeypatch.setenv("VIMLIB_GUEST_PASSWORD", "secret")
    others = ("--owner", "another")
    assert vimctl.json("instance", "devices", "vm-0")
    done = vimctl("instance", *line.split(), *others, code=1)
    assert done.err.endswith("To operate on it anyway, give --foreign.\n")
    # With it, the command gets as far as the state of the machine lets it.
    found = vimctl_of(capsys, "instance", *line.split(), *others, "--foreign")
    assert "give --foreign" not in found


def vimctl_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main(list(words))
    return capsys.readouterr().err
