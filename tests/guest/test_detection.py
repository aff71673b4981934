"""Who configures the network of an image: the helper, cloud-init, and by which back end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guest import vimguest

from .tree import MAC0, MAC1, NOVA, NOVA2, Guest

STATE = "/var/lib/vimguest/state.json"

# --- cloud-init ---------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "usr/bin/cloud-init",
        "etc/cloud/cloud.cfg",
        "etc/netplan/50-cloud-init.yaml",
        "etc/network/interfaces.d/50-cloud-init",
        "etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection",
        "etc/systemd/network/10-cloud-init-eth0.network",
    ],
)
def test_stands_aside_where_cloud_init_owns_the_network(guest: Guest, name: str) -> None:
    guest.put(name, "network:\n  config: {}\n")
    before = guest.files()
    guest.says(NOVA)
    found = guest.report("--backend", "netplan")
    assert (found["status"], found["code"]) == ("stood-aside", 0)
    assert before == guest.files()
    assert guest.calls == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/cloud/cloud-init.disabled", ""),
        ("etc/cloud/cloud.cfg.d/99-net.cfg", "network: {config: disabled}\n"),
        ("etc/cloud/cloud.cfg.d/99-net.cfg", "# off\nnetwork:\n  config: disabled\n"),
        ("etc/cloud/cloud.cfg.d/99-net.cfg", 'network: {"config": "disabled"}\n'),
    ],
)
def test_works_where_cloud_init_is_told_to_leave_it(guest: Guest, name: str, text: str) -> None:
    guest.put("usr/bin/cloud-init")
    guest.put(name, text)
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["status"] == "changed"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("proc/cmdline", "quiet cloud-init=disabled\n"),
        ("proc/cmdline", "quiet network-config=disabled\n"),
        ("run/cloud-init/disabled", ""),
    ],
)
def test_cloud_init_that_is_off_for_this_boot(tmp_path: Path, name: str, text: str) -> None:
    guest = Guest(tmp_path / "guest")
    guest.put("usr/bin/cloud-init")
    root = vimguest.Root(str(guest.root))
    root.live = True
    guest.put("proc/cmdline", "quiet cloud-init=disabled-not network-config=disabled:1\n")
    assert vimguest.cloud_init_reason(root) is not None
    guest.put(name, text)
    assert vimguest.cloud_init_reason(root) is None
    # Below --root it is of the machine that builds the image, not of the image.
    root.live = False
    assert vimguest.cloud_init_reason(root) is not None


def test_what_cloud_init_left_behind_when_it_was_switched_off_is_no_reason(guest: Guest) -> None:
    guest.put("etc/netplan/50-cloud-init.yaml", "network: {version: 2}\n")
    guest.put("etc/cloud/cloud.cfg.d/99-net.cfg", "network:\n  # off\n  config: disabled\n")
    guest.says(NOVA)
    assert guest.report()["backend"] == "netplan"


def test_a_comment_does_not_switch_cloud_init_off(guest: Guest) -> None:
    guest.put(
        "etc/cloud/cloud.cfg", "# network: {config: disabled}\n#network:\n#  config: disabled\n"
    )
    guest.says(NOVA)
    assert guest.report("--backend", "netplan")["status"] == "stood-aside"


def test_metadata_that_nobody_here_reads_is_no_reason_to_stand_aside(guest: Guest) -> None:
    guest.says(NOVA)
    guest.says("bm90aGluZw==", "guestinfo.metadata")
    assert guest.report("--backend", "netplan")["status"] == "changed"


# --- detection ----------------------------------------------------------------

WANTS = "etc/systemd/system/multi-user.target.wants/"


@pytest.mark.parametrize(
    ("names", "backend"),
    [
        (["etc/netplan/01.yaml", WANTS + "NetworkManager.service"], "netplan"),
        ([WANTS + "NetworkManager.service", WANTS + "systemd-networkd.service"], "networkmanager"),
        ([WANTS + "systemd-networkd.service", "etc/network/interfaces"], "networkd"),
        (["usr/lib/systemd/system/multi-user.target.wants/systemd-networkd.service"], "networkd"),
        (
            [
                WANTS + "networking.service",
                "etc/network/interfaces",
                "etc/systemd/network/20-x.network",
            ],
            "ifupdown",
        ),
        (["etc/netplan/x"], "netplan"),
        (["etc/NetworkManager/system-connections/x"], "networkmanager"),
        (["etc/network/interfaces", "etc/systemd/network/x"], "ifupdown"),
        (["etc/systemd/network/x"], "networkd"),
    ],
)
def test_the_back_end_in_use_is_found(guest: Guest, names: list[str], backend: str) -> None:
    for name in names:
        guest.put(name, "source /etc/network/interfaces.d/*\n")
    guest.says(NOVA)
    assert guest.report()["backend"] == backend


@pytest.mark.parametrize(
    ("target", "backend"),
    [
        ("ifupdown", "ifupdown-ng"),
        ("/usr/sbin/ifupdown-ng", "ifupdown-ng"),
        ("/bin/busybox", "ifupdown"),
    ],
)
def test_ifupdown_ng_is_found_by_its_link(guest: Guest, target: str, backend: str) -> None:
    guest.put("etc/network/interfaces", "source /etc/network/interfaces.d/*\n")
    (guest.root / "sbin").mkdir()
    (guest.root / "sbin/ifup").symlink_to(target)
    guest.says(NOVA)
    assert guest.report()["backend"] == backend


def test_the_services_of_openrc_count(guest: Guest) -> None:
    guest.put("etc/network/interfaces", "source /etc/network/interfaces.d/*\n")
    (guest.root / "etc/NetworkManager/system-connections").mkdir(parents=True)
    guest.put("sbin/openrc-run")
    (guest.root / "etc/runlevels/boot").mkdir(parents=True)
    (guest.root / "etc/runlevels/boot/networking").symlink_to("/etc/init.d/networking")
    guest.says(NOVA)
    assert guest.report()["backend"] == "ifupdown"
    (guest.root / "etc/runlevels/default").mkdir()
    (guest.root / "etc/runlevels/default/networkmanager").symlink_to("/etc/init.d/networkmanager")
    assert guest.report()["backend"] == "networkmanager"


@pytest.mark.parametrize("mask", ["link", "empty file"])
def test_a_masked_service_is_not_chosen(guest: Guest, mask: str) -> None:
    for unit in ("NetworkManager", "systemd-networkd"):
        guest.put(f"{WANTS}{unit}.service")
    path = guest.put("etc/systemd/system/NetworkManager.service")
    if mask == "link":
        path.unlink()
        path.symlink_to("/dev/null")
    guest.says(NOVA)
    assert guest.report()["backend"] == "networkd"


def test_no_back_end(guest: Guest) -> None:
    guest.says(NOVA)
    found = guest.report()
    assert found["code"] == 3
    assert "--backend" in found["error"]["message"]


def test_ifcfg_is_not_there_yet(guest: Guest) -> None:
    guest.put("etc/sysconfig/network-scripts/ifcfg-eth0")
    guest.says(NOVA)
    found = guest.report()
    assert (found["code"], found["error"]["type"]) == (3, "NotSupportedError")


def test_ifupdown_refuses_a_nic_of_somebody_else(guest: Guest) -> None:
    guest.put("etc/network/interfaces", "source interfaces.d/*\niface eth1 inet manual\n")
    guest.put("etc/network/interfaces.d/old", "auto eth0\niface eth0 inet dhcp\n")
    guest.says(NOVA2)
    found = guest.report("--backend", "ifupdown")
    assert found["code"] == 3
    assert "/etc/network/interfaces.d/old" in found["error"]["message"]


def test_ifupdown_continues_lines(guest: Guest) -> None:
    guest.says(NOVA)
    source = "# a comment \\\nsource \\\n /etc/network/interfaces.d/*\n"
    guest.put("etc/network/interfaces", source)
    assert guest.report("--backend", "ifupdown")["notes"] == []
    guest.put("etc/network/interfaces", source + "iface \\\n  eth0 \\\n  inet dhcp\n")
    found = guest.report("--backend", "ifupdown")
    assert "already configures eth0" in found["error"]["message"]
    # It is no stanza in a comment.
    guest.put("etc/network/interfaces", source + "#iface \\\n  eth0 inet dhcp\n")
    assert guest.report("--backend", "ifupdown")["code"] == 0


def test_ifupdown_says_when_nobody_reads_its_snippet(guest: Guest) -> None:
    guest.put("etc/network/interfaces", "auto lo\niface lo inet loopback\n")
    guest.says(NOVA)
    assert any("does not source" in note for note in guest.report("--backend", "ifupdown")["notes"])


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        ("source /etc/network/interfaces.d/*", True),
        ("source interfaces.d/*", True),
        ("source-directory /etc/network/interfaces.d", True),
        ("source-directory interfaces.d/", True),
        ("source /etc/network/interfaces.d/vim*", True),
        # As the images of some years had it: no file without the suffix is read.
        ("source /etc/network/interfaces.d/*.cfg", False),
        ("source /etc/network/interfaces.d/eth0", False),
        ("source /etc/network/*", False),
        ("#source /etc/network/interfaces.d/*", False),
    ],
)
def test_ifupdown_reads_what_is_sourced(guest: Guest, line: str, reads: bool) -> None:
    guest.put("etc/network/interfaces", line + "\n")
    guest.says(NOVA)
    notes = guest.report("--backend", "ifupdown", "--dry-run")["notes"]
    assert [note for note in notes if "does not source" in note] == notes
    assert bool(notes) != reads


def test_ifupdown_does_not_mind_a_file_that_nobody_sources(guest: Guest) -> None:
    guest.put("etc/network/interfaces", "source interfaces.d/vimguest\n")
    guest.put("etc/network/interfaces.d/eth0.old", "iface eth0 inet dhcp\n")
    guest.says(NOVA)
    assert guest.report("--backend", "ifupdown")["status"] == "changed"


@pytest.mark.parametrize("backend", vimguest.BACKENDS)
def test_a_name_server_goes_to_a_nic_that_can_reach_it(guest: Guest, backend: str) -> None:
    # NetworkManager refuses an IPv4 server on a NIC without IPv4.
    guest.put("etc/network/interfaces", "source interfaces.d/*\n")
    six = {"mac": MAC0, "addresses": ["2001:db8::2/64"], "dns": ["10.0.0.53", "2001:db8::53"]}
    four = {"mac": MAC1, "addresses": ["10.0.0.2/24"]}
    guest.says("v1:" + json.dumps({"nics": [six, four]}))
    assert guest.report("--backend", backend)["code"] == 0
    state = json.loads(guest.text(STATE))
    assert [nic["dns"] for nic in state["nics"]] == [["2001:db8::53"], ["10.0.0.53"]]
    guest.says("v1:" + json.dumps({"nics": [six]}))
    found = guest.report("--backend", backend)
    assert found["code"] == 0
    assert found["notes"] == ["name server 10.0.0.53 ignored: no NIC has an IPv4 address"]
    written = [data for name, (_, data) in guest.files().items() if vimguest.is_owned(name)]
    assert not [data for data in written if b"10.0.0.53" in data]
