"""What the network services' own tools read in the helper's files, before anything is applied."""

from __future__ import annotations

import configparser
import json
from typing import Any

import pytest

from .machine import MAC0, MAC1, Machine
from .tree import HELPER

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs_chroot,
    pytest.mark.slow,
    # The first test makes the chroot.
    pytest.mark.timeout(900),
]

FIRST: dict[str, Any] = {
    "mac": MAC0,
    "addresses": ["10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64"],
    "gateway4": "10.0.0.1",
    "gateway6": "2001:db8::1",
    "mtu": 9000,
    "dns": ["10.0.0.53", "2001:db8::53"],
    "search": ["example.org", "b.example"],
    "routes": [
        {"to": "10.9.0.0/16", "via": "10.0.0.254", "metric": 50},
        {"to": "10.8.0.0/16", "via": "10.7.0.1"},
        {"to": "2001:db8:9::/48", "via": "fe80::9"},
    ],
}
SECOND: dict[str, Any] = {"mac": MAC1, "addresses": ["10.0.1.2/32"], "gateway4": "10.1.1.1"}
CASES: dict[str, list[dict[str, Any]]] = {
    "everything": [FIRST, SECOND],
    "nova": [{"mac": MAC0, "addresses": ["10.0.0.2/24"], "gateway4": "10.0.0.1"}],
    "two gateways": [
        {"mac": MAC0, "addresses": ["10.0.0.2/24"], "gateway4": "10.0.0.1"},
        {"mac": MAC1, "addresses": ["10.0.1.2/24"], "gateway4": "10.0.1.1"},
    ],
    "dhcp": [{"mac": MAC0, "dhcp4": True, "mtu": 1400}, {"mac": MAC1, "dhcp6": True}],
    "dhcp and more": [{**FIRST, "dhcp4": True, "dhcp6": True}],
    "IPv6 alone": [
        {"mac": MAC0, "addresses": ["2001:db8::2/64"], "gateway6": "fe80::1", "mtu": 1280}
    ],
    "link-local": [{"mac": MAC0, "addresses": ["fe80::2/64"]}],
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def said(machine: Machine, request: pytest.FixtureRequest) -> Machine:
    machine.says("v1:" + json.dumps({"nics": request.param}))
    return machine


def image(machine: Machine, backend: str) -> None:
    """Write for that back end into /image, as an image builder does."""
    machine.run("mkdir", "-p", "/image")
    machine.helper("--backend", backend, "--root", "/image")


def test_netplan_generates_from_it(said: Machine) -> None:
    image(said, "netplan")
    ran = said.run("netplan", "generate", "--root-dir", "/image")
    # It warns of a mode that is too wide, of a deprecated key, of two default routes alike.
    warnings = [line for line in ran.stderr.splitlines() if "/proc" not in line]
    assert not [line for line in warnings if "WARNING" in line or "Error" in line], ran
    made = said.run("sh", "-c", "cat /image/run/systemd/network/*.network").stdout
    assert made.count("[Match]") in (1, 2)


def test_netplan_says_what_networkd_is_told_directly(machine: Machine) -> None:
    machine.says("v1:" + json.dumps({"nics": [FIRST]}))
    image(machine, "netplan")
    machine.run("netplan", "generate", "--root-dir", "/image")
    generated = machine.run("sh", "-c", "cat /image/run/systemd/network/*.network").stdout
    image(machine, "networkd")
    written = machine.run("sh", "-c", "cat /image/etc/systemd/network/*.network").stdout
    theirs = set(generated.replace("=true", "=yes").splitlines())
    ours = set(written.splitlines())
    for key in ("Address=", "DNS=", "Destination=", "GatewayOnLink=", "MTUBytes=", "IPv6AcceptRA="):
        pick = [{line for line in side if line.startswith(key)} for side in (theirs, ours)]
        default = {"Destination=0.0.0.0/0", "Destination=::/0"}
        assert {line.lower() for line in pick[0] - default} == {line.lower() for line in pick[1]}


def test_networkmanager_reads_its_keyfiles(said: Machine) -> None:
    image(said, "networkmanager")
    names = said.run("ls", "/image/etc/NetworkManager/system-connections").stdout.split()
    assert names
    for name in names:
        ours = said.text(f"/image/etc/NetworkManager/system-connections/{name}")
        ran = said.run("nmcli", "--offline", "connection", "modify", text=ours)
        assert ran.stderr == ""
        theirs = keyfile(ran.stdout)
        for section, options in keyfile(ours).items():
            # Its own way of writing is ours: no key renamed, none dropped.
            assert {key: theirs[section].get(key) for key in options} == options


def test_networkmanager_would_write_the_same(machine: Machine) -> None:
    machine.says("v1:" + json.dumps({"nics": [FIRST]}))
    image(machine, "networkmanager")
    ours = keyfile(machine.run("sh", "-c", "cat /image/etc/NetworkManager/*/vimguest-*").stdout)
    words = ["type", "ethernet", "con-name", ours["connection"]["id"], "ifname", "*"]
    words += ["mac", MAC0, "mtu", "9000", "connection.autoconnect-priority", "999"]
    words += ["ipv4.method", "manual", "ipv4.addresses", "10.0.0.2/24,10.0.0.3/24"]
    words += ["ipv4.gateway", "10.0.0.1", "ipv4.dns", "10.0.0.53"]
    words += ["ipv4.dns-search", "example.org,b.example"]
    words += ["ipv4.routes", "10.9.0.0/16 10.0.0.254 50, 10.8.0.0/16 10.7.0.1 onlink=true"]
    words += ["ipv6.method", "manual", "ipv6.addresses", "2001:db8::2/64"]
    words += ["ipv6.gateway", "2001:db8::1", "ipv6.dns", "2001:db8::53"]
    words += ["ipv6.dns-search", "example.org,b.example"]
    words += ["ipv6.routes", "2001:db8:9::/48 fe80::9"]
    made = keyfile(machine.run("nmcli", "--offline", "connection", "add", *words).stdout)
    for section in ("ethernet", "ipv4", "ipv6"):
        made[section].pop("addr-gen-mode", None)
        assert ours[section] == made[section]


def keyfile(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_ifupdown_would_run_it(said: Machine) -> None:
    image(said, "ifupdown")
    path = "/image/etc/network/interfaces.d/vimguest"
    names = said.run("ifquery", "-i", path, "--list").stdout.split()
    assert names
    for name in names:
        ran = said.run("ifup", "--no-act", "--no-scripts", "-i", path, name, ok=False)
        # A missing address still ends with 0 in ifquery, so ifup is asked. DHCP clients are
        # looked for even so, and this guest has none.
        if "dhcp" not in said.text(path):
            assert ran.returncode == 0, ran
        assert "rror" not in ran.stderr, ran


def test_ifupdown_commands(machine: Machine) -> None:
    machine.says("v1:" + json.dumps({"nics": [FIRST]}))
    image(machine, "ifupdown")
    path = "/image/etc/network/interfaces.d/vimguest"
    ran = machine.run("ifup", "--no-act", "-i", path, "eth0")
    said = ran.stdout + ran.stderr
    for words in (
        "ip addr add 10.0.0.2/255.255.255.0",
        "ip addr add 10.0.0.3/255.255.255.0",
        "ip -4 route add default via 10.0.0.1",
        "ip -4 route add 10.9.0.0/16 via 10.0.0.254 dev eth0 metric 50",
        "ip -4 route add 10.8.0.0/16 via 10.7.0.1 dev eth0 onlink",
        "ip -6 route add 2001:db8:9::/48 via fe80::9 dev eth0",
        "mtu 9000",
    ):
        assert words in said.replace("ip route", "ip -4 route"), said


def test_systemd_accepts_the_unit(machine: Machine) -> None:
    unit = HELPER.with_name("vimguest.service").read_text()
    machine.put("/etc/systemd/system/vimguest.service", unit)
    ran = machine.run("systemd-analyze", "verify", "/etc/systemd/system/vimguest.service")
    assert "vimguest" not in ran.stderr, ran
    machine.run("systemctl", "enable", "vimguest.service")
    assert machine.exists("/etc/systemd/system/sysinit.target.wants/vimguest.service")
