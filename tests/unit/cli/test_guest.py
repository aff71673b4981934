from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from tests.unit.driver.hosted import Beside
from vimdriver._cli import main
from vimlib.simulator import ESXHost

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
        "guestinfo.vendordata", "guestinfo.vendordata.encoding",
    }  # fmt: skip
    assert "--instance-id" in vimctl(*words, code=2).err
    assert vimctl("guest", "render", "--nic", NIC).out.startswith('machine.id = "00:50')


@pytest.mark.parametrize("words", [("render",), ("set", "vm-1")])
def test_without_a_nic_nothing_is_set(esx: ESXHost, vimctl: Vimctl, words: tuple[str, ...]) -> None:
    refused = vimctl("guest", *words, "--hostname", "web", code=2)
    assert refused.err.startswith("vimctl: --nic is required. Give --nic mac=")
    assert refused.out == ""
    assert esx.call_log == []


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


def test_keys_time_servers_and_user_data(vimctl: Vimctl, tmp_path: Path) -> None:
    blob = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + bytes(36)).decode()
    (tmp_path / "keys").write_text(f"# mine\n\nssh-ed25519 {blob} me\n")
    (tmp_path / "user").write_text("#cloud-config\n{}\n")
    words = ("--ssh-key", f"debian={tmp_path / 'keys'}", "--ntp", "10.0.0.7")
    found = vimctl.json("guest", "render", *words, "--form", "versioned")["machine.id"]
    document = json.loads(found.removeprefix("v1:"))
    assert document["ssh_keys"] == {"debian": [f"ssh-ed25519 {blob} me"]}
    assert document["ntp"] == ["10.0.0.7"]
    assert "SSH keys of debian" in vimctl("guest", "render", "--nic", NIC, *words).err
    cloud = ("--form", "cloud-init", "--instance-id", "i", "--user-data", str(tmp_path / "user"))
    found = vimctl.json("guest", "render", *cloud)
    assert base64.b64decode(found["guestinfo.userdata"]) == b"#cloud-config\n{}\n"


def test_the_addresses_of_a_guest_are_shown(beside: Beside, esx: ESXHost, vimctl: Vimctl) -> None:
    vimctl("instance", "start", "vm-0")
    refused = vimctl("instance", "ip", "vm-0", code=4)
    assert "the guest of vm-0 reports no address" in refused.err
    beside.call(lambda: esx.set_guest("vm-0", tools=True, ip="10.9.9.9"))
    assert vimctl("instance", "ip", "vm-0").out == "10.9.9.9\n"
    assert vimctl.json("instance", "ip", "vm-0", "--wait", "60")["origin"] == "tools"


def test_a_spawned_machine_stays_where_its_guest_does_not_report(
    esx: ESXHost, vimctl: Vimctl, tmp_path: Path
) -> None:
    image = tmp_path / "a.img"
    image.write_bytes(bytes(1024))
    words = ("--name", "web", "--image", image, "--datastore", "datastore1")
    nic = "network=VM Network,mac=00:50:56:00:00:01,ip=10.0.0.2/24"
    done = vimctl("instance", "spawn", *words, "--nic", nic, "--wait-network", "0.01", code=6)
    assert "has not verified its network after 0.01 s" in done.err
    assert vimctl.json("instance", "show", "web")["power_state"] == "poweredOn"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--ssh-key", "debian"), "--ssh-key must be USER=FILE, got 'debian'"),
        (("--ssh-key", "debian=/nonexistent"), "cannot read /nonexistent: No such file"),
        (("--user-data", "/nonexistent"), "cannot read /nonexistent: No such file"),
        (("--ntp", "a b"), "ntp"),
    ],
)
def test_options_that_are_refused(vimctl: Vimctl, words: tuple[str, ...], reason: str) -> None:
    assert reason in vimctl("guest", "render", *words, code=2).err
