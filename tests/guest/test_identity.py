"""Captured images: a configuration is bound to the machine that it was written on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from guest import vimguest
from guest.vimguest import Identity

from .tree import FULL, MAC0, MAC1, NOVA, Guest

STATE = "/var/lib/vimguest/state.json"
CLONE = "00:50:56:00:00:91"
FIRST_UUID = "564d1234-0000-0000-0000-000000000001"
OTHER_UUID = "564d9999-0000-0000-0000-000000000009"


def clone(guest: Guest, *macs: str, uuid: str | None = None) -> None:
    """Make the tree another machine's: its NICs, and its UUID."""
    shutil.rmtree(guest.root / "sys")
    for at, mac in enumerate(macs):
        guest.nic(f"eth{at}", mac)
    if uuid is not None:
        guest.put("sys/class/dmi/id/product_uuid", uuid + "\n")


@pytest.fixture(params=vimguest.BACKENDS)
def captured(tmp_path: Path, request: pytest.FixtureRequest) -> Guest:
    """An image, captured from a machine that was configured with this back end."""
    guest = Guest(tmp_path / "guest")
    guest.nic("eth0", MAC0)
    guest.nic("eth1", MAC1)
    guest.put("etc/hostname", "image\n")
    guest.put("etc/hosts", "127.0.0.1\tlocalhost\n")
    guest.put("etc/network/interfaces", "source interfaces.d/*\n")
    guest.original = guest.files()  # type: ignore[attr-defined]
    guest.says(FULL)
    assert guest.run("--backend", request.param).returncode == 0
    guest.says(FULL.replace("10.0.0.2/24", "10.0.0.9/24").replace("web-1", "web-2"))
    assert guest.run("--backend", request.param).returncode == 0
    assert guest.text("/etc/hostname") == "web-2\n"
    return guest


def without_state(guest: Guest) -> dict[str, tuple[int, bytes]]:
    return {name: file for name, file in guest.files().items() if name != STATE}


@pytest.mark.parametrize("text", [None, f"{CLONE};;;;;#"], ids=["no record", "nova's empty one"])
def test_a_clone_starts_as_the_image_was(captured: Guest, text: str | None) -> None:
    clone(captured, CLONE)
    captured.says(text)
    assert captured.run("--check").returncode == 1
    found = captured.report()
    assert (found["code"], found["status"]) == (0, "changed")
    assert any("another machine" in note for note in found["notes"])
    assert without_state(captured) == captured.original  # type: ignore[attr-defined]
    # From then on it is this machine's.
    assert captured.report()["status"] == "nothing"
    assert json.loads(captured.text(STATE))["identity"]["macs"] == [CLONE]


def test_a_clone_with_a_record_has_only_its_own(captured: Guest) -> None:
    clone(captured, CLONE)
    captured.says(NOVA.replace(MAC0, CLONE).replace("10.0.0.2", "10.0.0.7"))
    assert captured.report("--backend", "networkd")["code"] == 0
    owned = [name for name in captured.files() if vimguest.is_owned(name)]
    assert owned == [f"/etc/systemd/network/05-vimguest-{CLONE.replace(':', '')}.network"]
    assert captured.text("/etc/hostname") == "image\n"
    # Rolling back leads to the image, not to the other machine.
    assert captured.run("--rollback").returncode == 0
    assert without_state(captured) == captured.original  # type: ignore[attr-defined]


def test_clean_leaves_the_image_as_it_was(captured: Guest) -> None:
    assert captured.run("--clean", "--check").returncode == 1
    before = captured.files()
    dry = captured.report("--clean", "--dry-run")
    assert (dry["code"], captured.files()) == (0, before)
    found = captured.report("--clean")
    assert (found["code"], found["status"], found["commands"]) == (0, "cleaned", [])
    assert captured.files() == captured.original  # type: ignore[attr-defined]
    assert captured.report("--clean")["status"] == "nothing"
    assert captured.calls == captured.calls[:2]


def test_a_state_of_the_first_version_is_bound_to_its_nics(captured: Guest) -> None:
    state = json.loads(captured.text(STATE))
    for key in ("identity", "origin", "users", "backend"):
        del state[key]
    captured.put(STATE, json.dumps(state | {"version": 1}))
    clone(captured, CLONE)
    captured.says(None)
    assert captured.report()["status"] == "changed"
    assert not [name for name in captured.files() if vimguest.is_owned(name)]


IDENTITIES = [
    (Identity(None, (MAC0,)), Identity(None, (MAC0, MAC1)), False),
    (Identity(None, (MAC0,)), Identity(None, (MAC1,)), True),
    # NICs that are not there yet prove nothing.
    (Identity(None, (MAC0,)), Identity(None, ()), False),
    (Identity(FIRST_UUID, (MAC0,)), Identity(FIRST_UUID, (MAC0,)), False),
    (Identity(FIRST_UUID, (MAC0,)), Identity(OTHER_UUID, (MAC0,)), True),
    # Newer virtual hardware shows the same UUID with its first fields byte-swapped.
    (Identity(FIRST_UUID, ()), Identity("34124d56-0000-0000-0000-000000000001", ()), False),
    # All NICs replaced: the old record was for those.
    (Identity(FIRST_UUID, (MAC0,)), Identity(FIRST_UUID, (MAC1,)), True),
    (Identity(FIRST_UUID, (MAC0,)), Identity(None, (MAC0,)), False),
]


@pytest.mark.parametrize(("kept", "now", "other"), IDENTITIES)
def test_machines_are_told_apart(kept: Identity, now: Identity, other: bool) -> None:
    assert kept.is_other(now) is other
    assert now.is_other(kept) is other


def test_the_uuid_of_the_machine_is_kept(tmp_path: Path) -> None:
    guest = Guest(tmp_path / "guest")
    clone_of = FIRST_UUID.upper()
    guest.nic("eth0", MAC0)
    guest.put("sys/class/dmi/id/product_uuid", clone_of + "\n")
    guest.says(NOVA)
    guest.run("--backend", "networkd")
    assert json.loads(guest.text(STATE))["identity"] == {"uuid": FIRST_UUID, "macs": [MAC0]}
    clone(guest, MAC0, uuid=OTHER_UUID)
    guest.says(None)
    assert guest.report()["status"] == "changed"
