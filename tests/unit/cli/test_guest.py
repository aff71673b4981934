from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from vimdriver._cli import main

HELPER = Path(__file__).resolve().parents[3] / "guest" / "vimguest.py"

NIC = "network=n,mac=00:50:56:00:00:01,ip=10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.8+10.0.0.9"


def test_the_old_form_reports_unsupported_settings(vimctl: Vimctl) -> None:
    done = vimctl("guest", "render", "--nic", NIC, "--hostname", "web", "--json")
    assert done.document == {
        "machine.id": "00:50:56:00:00:01;10.0.0.2;255.255.255.0;10.0.0.1;10.0.0.255;10.0.0.8#"
    }
    assert "hostname web" in done.err
    assert "10.0.0.9" in done.err


def test_other_forms_are_rendered(vimctl: Vimctl) -> None:
    found = vimctl.json("guest", "render", "--nic", NIC, "--form", "versioned")
    assert found["machine.id"].startswith("v1:")
    words = ("guest", "render", "--nic", NIC, "--form", "cloud-init")
    assert set(vimctl.json(*words, "--instance-id", "i-1")) == {
        "guestinfo.metadata", "guestinfo.metadata.encoding",
    }  # fmt: skip
    assert "--instance-id" in vimctl(*words, code=2).err
    assert vimctl("guest", "render", "--nic", NIC).out.startswith('machine.id = "00:50')


def test_a_nic_without_a_mac_is_refused(vimctl: Vimctl) -> None:
    assert (
        "a NIC requires mac=ADDRESS" in vimctl("guest", "render", "--nic", "network=n", code=2).err
    )


def test_the_helper_is_printed_byte_for_byte(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["guest", "helper"]) == 0
    assert capfdbinary.readouterr().out == HELPER.read_bytes()


def test_the_helper_as_json_has_its_hash(vimctl: Vimctl) -> None:
    found = vimctl.json("guest", "helper")
    assert found["file"] == "vimguest.py"
    assert found["sha256"] == hashlib.sha256(found["text"].encode()).hexdigest()
    assert found["text"].encode() == HELPER.read_bytes()
