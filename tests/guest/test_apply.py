"""Real network services take up what the helper wrote, and the kernel has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .machine import MAC0, MAC1, Machine, eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs_chroot,
    pytest.mark.slow,
    # The first test makes the chroot.
    pytest.mark.timeout(900),
]

DHCPD = Path(__file__).with_name("dhcpd.py")
FIRST = {
    "mac": MAC0,
    "addresses": ["10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64"],
    "gateway4": "10.0.0.1",
    "gateway6": "2001:db8::1",
    "mtu": 9000,
    "dns": ["10.0.0.53"],
    "search": ["example.org"],
    "routes": [
        {"to": "10.9.0.0/16", "via": "10.0.0.254"},
        {"to": "2001:db8:9::/48", "via": "2001:db8::9", "metric": 50},
    ],
}
SECOND = {
    "mac": MAC1,
    "addresses": ["10.0.1.2/24", "2001:db8:1::2/64"],
    "gateway4": "10.0.1.1",
    "mtu": 1400,
}
BOTH = "v1:" + json.dumps({"hostname": "web-1", "nics": [FIRST, SECOND]})
# Without name servers: no resolver runs in these machines. test_boot has them.
NOVA = (
    f"{MAC0};10.0.0.2;255.255.255.0;10.0.0.1;10.0.0.255;#"
    f"{MAC1};10.0.1.2;255.255.255.0;10.0.1.1;10.0.1.255;#"
)
LATER = NOVA.replace(";10.0.0.2;", ";10.0.0.9;")

ROUTES4 = {("default", "10.0.0.1", "eth0"), ("default", "10.0.1.1", "eth1")}
ROUTES = ROUTES4 | {
    ("default", "2001:db8::1", "eth0"),
    ("10.9.0.0/16", "10.0.0.254", "eth0"),
    ("2001:db8:9::/48", "2001:db8::9", "eth0"),
}
# A gateway outside the network of the address, as some clouds have it.
OFF_LINK = "v1:" + json.dumps(
    {"nics": [{"mac": MAC0, "addresses": ["10.0.0.2/32"], "gateway4": "10.9.9.1"}]}
)


def state(machine: Machine) -> tuple[list[str], list[str], set[tuple[str, str, str]]]:
    return machine.addresses("eth0"), machine.addresses("eth1"), machine.routes()


def assert_both(machine: Machine) -> None:
    """Wait until the kernel has all that BOTH says."""
    expected = (
        ["10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64"],
        ["10.0.1.2/24", "2001:db8:1::2/64"],
        ROUTES,
    )
    eventually(lambda: state(machine) == expected, lambda: (state(machine), machine.logs))
    assert (machine.mtu("eth0"), machine.mtu("eth1")) == (9000, 1400)


def assert_nova(machine: Machine, address: str = "10.0.0.2/24") -> None:
    expected = ([address], ["10.0.1.2/24"], ROUTES4)
    eventually(lambda: state(machine) == expected, lambda: (state(machine), machine.logs))


def source_snippets(machine: Machine) -> None:
    machine.put(
        "/etc/network/interfaces",
        "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n",
    )


# --- ifupdown -----------------------------------------------------------------


def test_ifupdown_at_boot(machine: Machine) -> None:
    source_snippets(machine)
    machine.says(BOTH)
    found = machine.helper("--backend", "ifupdown")
    assert found["status"] == "changed"
    assert found["commands"] == []
    assert machine.addresses("eth0") == []
    assert machine.run("hostname").stdout == "web-1\n"
    machine.run("ifup", "-a")
    assert_both(machine)


def test_ifupdown_running(machine: Machine) -> None:
    source_snippets(machine)
    machine.run("ifup", "-a")
    machine.says(NOVA)
    found = machine.helper("--backend", "ifupdown")
    assert [row["argv"] for row in found["commands"]] == [["ifup", "eth0"], ["ifup", "eth1"]]
    assert_nova(machine)
    assert machine.helper("--backend", "ifupdown")["status"] == "unchanged"
    machine.says(LATER)
    machine.helper("--backend", "ifupdown")
    assert_nova(machine, "10.0.0.9/24")
    assert machine.helper("--rollback")["status"] == "rolled-back"
    assert_nova(machine)


def test_ifupdown_that_fails_is_rolled_back(machine: Machine) -> None:
    source_snippets(machine)
    machine.run("ifup", "-a")
    machine.says(NOVA)
    machine.helper("--backend", "ifupdown")
    before = machine.text("/etc/network/interfaces.d/vimguest")
    # Somebody's default route is in the way of eth1's.
    machine.run("ip", "addr", "add", "10.7.0.2/24", "dev", "peer1")
    machine.run(
        "ip", "route", "add", "default", "via", "10.7.0.1", "dev", "peer1", "metric", "1024"
    )
    machine.says(BOTH.replace("10.0.0.2/24", "10.0.0.8/24").replace("10.0.1.2/24", "10.7.0.2/24"))
    machine.run("ip", "route", "add", "10.9.0.0/16", "via", "10.7.0.9", "dev", "peer1")
    found = machine.helper("--backend", "ifupdown", code=4)
    assert found["status"] == "failed"
    assert "rolled back" in found["error"]["message"]
    assert machine.text("/etc/network/interfaces.d/vimguest") == before
    assert machine.run("hostname").stdout == "before\n"
    eventually(lambda: machine.addresses("eth0") == ["10.0.0.2/24"], lambda: state(machine))


def test_ifupdown_gateway_off_the_link(machine: Machine) -> None:
    source_snippets(machine)
    machine.says(OFF_LINK)
    machine.helper("--backend", "ifupdown")
    machine.run("ifup", "-a")
    assert machine.routes() == {("default", "10.9.9.1", "eth0")}


# --- systemd-networkd ---------------------------------------------------------


def test_networkd_at_boot(machine: Machine) -> None:
    machine.says(BOTH)
    found = machine.helper("--backend", "networkd")
    assert (found["status"], found["commands"]) == ("changed", [])
    machine.networkd()
    assert_both(machine)


def test_networkd_running(machine: Machine) -> None:
    # There is no systemd to ask here; this one word of it is played.
    machine.put(
        "/usr/local/bin/systemctl",
        '#!/bin/sh\n[ "$2" != systemd-networkd ] || echo active\n',
        0o755,
    )
    machine.bus()
    machine.networkd()
    eventually(
        lambda: machine.run("networkctl", "reload", ok=False).returncode == 0, lambda: machine.logs
    )
    machine.says(NOVA)
    found = machine.helper()
    assert found["backend"] == "networkd"
    assert [row["argv"][1:] for row in found["commands"]] == [
        ["reload"],
        ["reconfigure", "eth0"],
        ["reconfigure", "eth1"],
    ]
    assert_nova(machine)
    machine.says(LATER)
    found = machine.helper()
    assert [row["argv"][1:] for row in found["commands"]] == [["reload"], ["reconfigure", "eth0"]]
    assert_nova(machine, "10.0.0.9/24")
    machine.helper("--rollback")
    assert_nova(machine)


@pytest.mark.parametrize("backend", ["networkd", "networkmanager"])
def test_dhcp(machine: Machine, backend: str) -> None:
    machine.far_end("eth0", "10.5.0.1/24")
    machine.put("/usr/local/sbin/dhcpd", DHCPD.read_text())
    machine.daemon("ip", "netns", "exec", "far", "python3", "/usr/local/sbin/dhcpd", "peer0")
    nic = {"mac": MAC0, "dhcp4": True, "addresses": ["2001:db8::2/64"], "mtu": 1400}
    machine.says("v1:" + json.dumps({"nics": [nic]}))
    machine.helper("--backend", backend)
    getattr(machine, backend)()
    expected = ["10.5.0.77/24", "2001:db8::2/64"], {("default", "10.5.0.1", "eth0")}
    eventually(lambda: state(machine)[::2] == expected, lambda: (state(machine), machine.logs))
    assert machine.mtu("eth0") == 1400


def test_networkd_gateway_off_the_link(machine: Machine) -> None:
    machine.says(OFF_LINK)
    machine.helper("--backend", "networkd")
    machine.networkd()
    expected = {("default", "10.9.9.1", "eth0")}
    eventually(lambda: machine.routes() == expected, lambda: machine.logs)


# --- NetworkManager -----------------------------------------------------------


def test_networkmanager_at_boot(machine: Machine) -> None:
    machine.says(BOTH)
    found = machine.helper("--backend", "networkmanager")
    assert (found["status"], found["commands"]) == ("changed", [])
    machine.networkmanager()
    assert_both(machine)


def test_networkmanager_running(machine: Machine) -> None:
    machine.networkmanager()
    machine.says(NOVA)
    found = machine.helper("--backend", "networkmanager")
    assert [row["argv"][-3] for row in found["commands"]] == ["nmcli", "up", "up"]
    assert_nova(machine)
    machine.says(LATER)
    machine.helper("--backend", "networkmanager")
    assert_nova(machine, "10.0.0.9/24")
    machine.helper("--rollback")
    assert_nova(machine)


def test_networkmanager_that_fails_is_rolled_back(machine: Machine) -> None:
    # Somebody keeps it off the NIC that the second record is about too.
    machine.put(
        "/etc/NetworkManager/conf.d/theirs.conf",
        "[keyfile]\nunmanaged-devices=interface-name:peer*;interface-name:eth1\n",
    )
    machine.networkmanager()
    machine.says(NOVA.partition("#")[0] + "#")
    machine.helper("--backend", "networkmanager")
    expected = ["10.0.0.2/24"]
    eventually(lambda: machine.addresses("eth0") == expected, lambda: machine.logs)
    machine.says(LATER)
    found = machine.helper("--backend", "networkmanager", code=4)
    assert "connection up" in found["error"]["message"]
    assert found["error"]["message"].endswith("rolled back")
    names = machine.run("ls", "/etc/NetworkManager/system-connections").stdout.split()
    assert names == ["vimguest-005056aabb01.nmconnection"]
    eventually(lambda: machine.addresses("eth0") == expected, lambda: state(machine))
    assert machine.helper("--check", "--backend", "networkmanager", code=1)["status"]


def test_networkmanager_with_a_nic_without_carrier(machine: Machine) -> None:
    machine.networkmanager()
    machine.run("ip", "link", "set", "peer1", "down")
    carrier = "/sys/class/net/eth1/carrier"
    eventually(lambda: machine.run("cat", carrier, ok=False).stdout == "0\n", lambda: machine.logs)
    machine.says(NOVA)
    found = machine.helper("--backend", "networkmanager", code=5)
    problems = {(one["mac"], one["found"]) for one in found["problems"]}
    assert problems == {(MAC1, "without carrier")}
    assert machine.addresses("eth0") == ["10.0.0.2/24"]
    machine.run("ip", "link", "set", "peer1", "up")
    assert_nova(machine)


def test_networkmanager_after_a_run_that_was_killed(machine: Machine) -> None:
    machine.networkmanager()
    machine.says(NOVA)
    machine.helper("--backend", "networkmanager")
    assert_nova(machine)
    # As one leaves it that has written the first NIC's file, and no more.
    keyfile = "/etc/NetworkManager/system-connections/vimguest-005056aabb01.nmconnection"
    machine.run("sed", "-i", "s/10.0.0.2/10.0.0.9/", keyfile)
    machine.run("sed", "-i", 's/"pending": false/"pending": true/', "/var/lib/vimguest/state.json")
    machine.says(LATER.replace(";10.0.1.2;", ";10.0.1.9;"))
    machine.helper("--backend", "networkmanager")
    expected = (["10.0.0.9/24"], ["10.0.1.9/24"], ROUTES4)
    eventually(lambda: state(machine) == expected, lambda: (state(machine), machine.logs))
    assert machine.helper("--backend", "networkmanager")["status"] == "unchanged"


def test_networkmanager_gateway_off_the_link(machine: Machine) -> None:
    machine.says(OFF_LINK)
    machine.helper("--backend", "networkmanager")
    machine.networkmanager()
    expected = ("default", "10.9.9.1", "eth0")
    eventually(lambda: expected in machine.routes(), lambda: (state(machine), machine.logs))


# --- netplan ------------------------------------------------------------------


def test_netplan_at_boot(machine: Machine) -> None:
    # What an installer has left for the NIC is overruled.
    machine.put(
        "/etc/netplan/01-installer.yaml",
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n",
        0o600,
    )
    machine.says(BOTH)
    found = machine.helper()
    assert found["backend"] == "netplan"
    assert [row["argv"] for row in found["commands"]] == [["netplan", "generate"]]
    files = machine.run("sh", "-c", "cat /run/systemd/network/*.network").stdout
    assert files.count("PermanentMACAddress=") == 2
    # A veth has no permanent address; a real NIC has.
    machine.run("sh", "-c", "sed -i s/PermanentMACAddress=/MACAddress=/ /run/systemd/network/*")
    machine.networkd()
    assert_both(machine)


def test_netplan_that_refuses_is_rolled_back(machine: Machine) -> None:
    machine.put("/etc/netplan/01-broken.yaml", "network: {version: 2, ethernets: 1}\n", 0o600)
    machine.says(BOTH)
    found = machine.helper(code=4)
    assert "netplan generate failed" in found["error"]["message"]
    assert not machine.exists("/etc/netplan/90-vimguest.yaml")
    assert not machine.exists("/etc/hostname") or "web-1" not in machine.text("/etc/hostname")


def test_the_only_nic_takes_a_record_without_a_mac(machine: Machine) -> None:
    for name in ("eth1", "peer0"):
        # A pair goes as one.
        machine.run("ip", "link", "delete", name, ok=False)
    machine.run("ip", "link", "add", "ens3", "type", "veth", "peer", "name", "bad!")
    machine.says("ip=10.0.0.2&netmask=255.255.255.0&gateway=10.0.0.1&computerName=WEB")
    source_snippets(machine)
    machine.helper("--backend", "ifupdown")
    machine.run("ifup", "-a")
    assert machine.addresses("ens3") == ["10.0.0.2/24"]


# --- what a gateway may be, by every back end ---------------------------------

GATEWAYS = {
    "IPv6 off the link": [
        {"mac": MAC0, "addresses": ["2001:db8::2/128"], "gateway6": "2001:db8:ffff::1"}
    ],
    "one link-local gateway on two links": [
        {"mac": MAC0, "addresses": ["2001:db8::2/64"], "gateway6": "fe80::1"},
        {"mac": MAC1, "addresses": ["2001:db8:1::2/64"], "gateway6": "fe80::1"},
    ],
    "two hosts on a link, and IPv4 link-local off the link": [
        {"mac": MAC0, "addresses": ["10.0.0.2/31"], "gateway4": "10.0.0.3"},
        {"mac": MAC1, "addresses": ["10.0.1.2/32"], "gateway4": "169.254.0.1"},
    ],
}


@pytest.mark.parametrize("nics", GATEWAYS.values(), ids=GATEWAYS.keys())
@pytest.mark.parametrize("backend", ["ifupdown", "networkd", "networkmanager", "netplan"])
def test_gateways(machine: Machine, nics: list[dict[str, Any]], backend: str) -> None:
    machine.says("v1:" + json.dumps({"nics": nics}))
    source_snippets(machine)
    machine.helper("--backend", backend)
    if backend == "ifupdown":
        machine.run("ifup", "-a")
    elif backend == "netplan":
        # A veth has no permanent address; a real NIC has.
        machine.run("sh", "-c", "sed -i s/PermanentMACAddress=/MACAddress=/ /run/systemd/network/*")
        machine.networkd()
    else:
        getattr(machine, backend)()
    expected = {
        ("default", str(nic.get("gateway4") or nic["gateway6"]), f"eth{at}")
        for at, nic in enumerate(nics)
    }

    def defaults() -> set[tuple[str, str, str]]:
        return {route for route in machine.routes() if route[0] == "default"}

    eventually(lambda: defaults() == expected, lambda: (state(machine), machine.logs))


# --- ifupdown-ng and busybox, as on Alpine; ifupdown2 -------------------------


IFUPDOWN = ("--backend", "ifupdown")


def alpine(machine: Machine) -> None:
    """Have `ifup` and its kin be links to ifupdown-ng, as Alpine has them."""
    machine.unpack("ifupdown-ng")
    machine.run("mkdir", "-p", "/run/network")
    for name in ("ifup", "ifdown", "ifquery"):
        machine.run("ln", "-sf", "ifupdown-ng", f"/usr/sbin/{name}")


def test_ifupdown_ng_at_boot(machine: Machine) -> None:
    alpine(machine)
    source_snippets(machine)
    machine.says(BOTH.replace("10.0.0.53", "10.0.1.53"))
    machine.run("sh", "-c", "printf '#!/bin/sh\\ncat >&2\\n' > /usr/sbin/resolvconf")
    machine.run("chmod", "755", "/usr/sbin/resolvconf")
    machine.helper("--backend", "ifupdown-ng")
    machine.run("ifup", "-a")
    assert_both(machine)


def test_ifupdown_ng_running(machine: Machine) -> None:
    alpine(machine)
    source_snippets(machine)
    machine.run("ifup", "-a")
    machine.says(NOVA)
    assert machine.helper("--backend", "ifupdown-ng")["verified"]
    assert_nova(machine)
    machine.says(LATER)
    assert machine.helper("--backend", "ifupdown-ng")["verified"]
    assert_nova(machine, "10.0.0.9/24")
    machine.helper("--rollback")
    assert_nova(machine)


def test_ifupdown_of_busybox(machine: Machine) -> None:
    machine.unpack("busybox-static")
    for name in ("ifup", "ifdown"):
        machine.run("ln", "-sf", "/usr/bin/busybox", f"/usr/sbin/{name}")
    source_snippets(machine)
    machine.says(NOVA)
    # Its `source` takes no pattern.
    assert "source-directory" in machine.helper(*IFUPDOWN, code=3)["error"]["message"]
    machine.put(
        "/etc/network/interfaces",
        "auto lo\niface lo inet loopback\nsource-directory /etc/network/interfaces.d\n",
    )
    machine.helper(*IFUPDOWN)
    machine.run("mkdir", "-p", "/run/network")
    # lo is up: busybox would fail to give it its address again.
    machine.run("ifup", "eth0")
    machine.run("ifup", "eth1")
    assert_nova(machine)
