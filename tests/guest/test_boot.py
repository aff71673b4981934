"""The shipped units under a real systemd: a machine boots, and the kernel is read afterwards.

Each case has a configuration of the image's own that competes with the helper's. Either the
helper's wins, or the run ends with 5 and the host is sent the name of the file that won.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vimdriver._guestinfo import NIC, GuestConfig, Route, extra_config, record_digest

from .ifcfg_rh import become_red_hat
from .machine import MAC0, MAC1, SUITE, Machine, eventually, make_chroot, missing
from .test_apply import DHCPD

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs_chroot,
    pytest.mark.boot,
    # The first test makes the chroot.
    pytest.mark.timeout(900),
]

# The session of the second release sets it.
RELEASE = os.environ.get("VIMGUEST_SUITE", SUITE)

NOVA = (
    f"{MAC0};10.0.0.2;255.255.255.0;10.0.0.1;10.0.0.255;10.0.0.53#"
    f"{MAC1};10.0.1.2;255.255.255.0;10.0.1.1;10.0.1.255;#"
)
NO_DNS = NOVA.replace(";10.0.0.53#", ";#")
DEFAULT = ("default", "10.0.0.1", "eth0")
BOTH = {DEFAULT, ("default", "10.0.1.1", "eth1")}
INTERFACES = "auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n"
NETPLAN_GLOB = (
    "network:\n  version: 2\n  ethernets:\n    all-en:\n      match: {name: 'en*'}\n"
    "      dhcp4: true\n    all-eth:\n      match: {name: 'eth*'}\n      dhcp4: true\n"
)
NETPLAN_STATIC = (
    "network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: [192.168.7.7/24]\n"
    "      routes: [{to: default, via: 192.168.7.1}]\n"
)
KEYFILE = (
    "[connection]\nid=theirs\nuuid=11111111-2222-3333-4444-555555555555\ntype=ethernet\n"
    "interface-name=eth0\nautoconnect-priority={}\n[ipv4]\nmethod=manual\n"
    "address1=192.168.7.7/24\ngateway=192.168.7.1\n"
)
RESOLVED = "systemd-resolved"


@pytest.fixture(scope="module")
def release() -> Path:
    """The Debian release under test; missing tools skip, but fail in CI."""
    why = missing()
    if why is not None:
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return make_chroot(RELEASE)


@pytest.fixture
def machine(release: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine that has not booted yet."""
    with Machine(release, tmp_path, boots=True) as made:
        yield made


# Files of the image, services that start at boot, the back end that the helper must find.
WINS: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "netplan": (
        {"/etc/netplan/00-base.yaml": "network: {version: 2}\n"},
        ("systemd-networkd",),
        "netplan",
    ),
    "netplan with a glob": (
        {"/etc/netplan/90-default.yaml": NETPLAN_GLOB},
        ("systemd-networkd",),
        "netplan",
    ),
    "netplan with a static address": (
        {"/etc/netplan/00-installer.yaml": NETPLAN_STATIC},
        ("systemd-networkd",),
        "netplan",
    ),
    "netplan for NetworkManager": (
        {
            "/etc/netplan/00-base.yaml": "network:\n  version: 2\n  renderer: NetworkManager\n",
            "/etc/netplan/01-installer.yaml": NETPLAN_STATIC,
        },
        ("NetworkManager",),
        "netplan",
    ),
    "networkd": ({}, ("systemd-networkd",), "networkd"),
    "networkd with an earlier file": (
        {"/etc/systemd/network/01-all.network": "[Match]\nName=eth*\n[Network]\nDHCP=yes\n"},
        ("systemd-networkd",),
        "networkd",
    ),
    "NetworkManager with a connection of the image": (
        {"/etc/NetworkManager/system-connections/theirs.nmconnection": KEYFILE.format(0)},
        ("NetworkManager",),
        "networkmanager",
    ),
    "ifupdown": ({"/etc/network/interfaces": INTERFACES}, ("networking",), "ifupdown"),
}


@pytest.mark.parametrize(("files", "services", "backend"), WINS.values(), ids=WINS.keys())
def test_the_record_wins(
    machine: Machine, files: dict[str, str], services: tuple[str, ...], backend: str
) -> None:
    for name, text in files.items():
        machine.put(name, text, 0o600)
    text = NO_DNS if backend == "ifupdown" else NOVA
    machine.says(text)
    machine.boot(*services, RESOLVED)
    found = machine.verified()
    assert found["problems"] == [], (found, machine.journal("vimguest"))
    assert (found["verified"], found["code"], found["backend"]) == (True, 0, backend)
    assert machine.addresses("eth0") == ["10.0.0.2/24"]
    assert machine.addresses("eth1") == ["10.0.1.2/24"]
    assert machine.routes() == BOTH
    best = machine.run("ip", "route", "get", "203.0.113.1").stdout
    assert "dev eth0" in best
    assert machine.text("/usr/local/bin/vmtoolsd.guestinfo.local-ipv4") == "10.0.0.2"
    # A change on the running machine is verified by the run that applies it.
    machine.says(text.replace(";10.0.0.2;", ";10.0.0.9;"))
    report = machine.helper()
    assert (report["status"], report["verified"]) == ("changed", True), report
    assert machine.addresses("eth0") == ["10.0.0.9/24"]


@pytest.mark.parametrize("case", ["netplan", "networkd", "ifupdown"])
def test_a_restarted_unit_applies_a_changed_record(machine: Machine, case: str) -> None:
    """The commands of the network service work in the unit's sandbox."""
    files, services, _ = WINS[case]
    for name, text in files.items():
        machine.put(name, text, 0o600)
    machine.says(NO_DNS)
    machine.boot(*services)
    assert machine.verified()["verified"]
    machine.says(NO_DNS.replace(";10.0.0.2;", ";10.0.0.9;"))
    machine.run("systemctl", "restart", "vimguest")
    found = json.loads(machine.text("/usr/local/bin/vmtoolsd.guestinfo.vimguest.status"))
    assert (found["status"], found["verified"]) == ("changed", True), found
    assert machine.addresses("eth0") == ["10.0.0.9/24"]


def test_a_comparison_that_another_run_overtakes_reports_the_newer_record(machine: Machine) -> None:
    machine.says(NO_DNS)
    machine.boot("systemd-networkd")
    assert machine.verified()["verified"]
    # It waits for an address that is gone.
    machine.run("ip", "addr", "flush", "dev", "eth0", "scope", "global")
    machine.daemon("vimguest", "--verify")
    newer = NO_DNS.replace(";10.0.0.2;", ";10.0.0.9;")
    machine.says(newer)
    assert machine.helper()["verified"]
    assert machine.daemons[-1].wait(timeout=60) == 0, machine.logs
    found = json.loads(machine.text("/usr/local/bin/vmtoolsd.guestinfo.vimguest.status"))
    assert (found["verified"], found["record"]) == (True, record_digest(newer))


# The file that wins against the helper's, and must be named.
OVERRULED: dict[str, tuple[dict[str, str], tuple[str, ...], str, str]] = {
    "networkd with a file that sorts before any of ours": (
        {
            "/etc/systemd/network/00-!.network": "[Match]\nName=eth0\n[Network]\nAddress=192.168.7.7/24\n"
        },
        ("systemd-networkd", RESOLVED),
        NO_DNS,
        "/etc/systemd/network/00-!.network",
    ),
    "networkd without a resolver": (
        {"/etc/systemd/system/systemd-resolved.service": ""},
        ("systemd-networkd",),
        NOVA,
        "/etc/resolv.conf",
    ),
    "NetworkManager kept off the NICs by a file of the image": (
        {
            "/etc/NetworkManager/conf.d/theirs.conf": "[keyfile]\nunmanaged-devices=interface-name:peer*;interface-name:eth*\n"
        },
        ("NetworkManager", RESOLVED),
        NO_DNS,
        "/etc/NetworkManager/conf.d/theirs.conf",
    ),
    "ifupdown without resolvconf": (
        {"/etc/network/interfaces": INTERFACES},
        ("networking",),
        NOVA,
        "/etc/resolv.conf",
    ),
}


@pytest.mark.parametrize(
    ("files", "services", "text", "winner"), OVERRULED.values(), ids=OVERRULED.keys()
)
def test_what_won_instead_is_named(
    machine: Machine, files: dict[str, str], services: tuple[str, ...], text: str, winner: str
) -> None:
    machine.run("rm", "-f", "/etc/resolv.conf", "/usr/sbin/resolvconf", "/sbin/resolvconf")
    machine.put("/etc/resolv.conf", "nameserver 9.9.9.9\n")
    for name, content in files.items():
        machine.put(name, content)
    machine.says(text)
    machine.boot(*services)
    found = machine.verified()
    assert (found["verified"], found["code"], found["status"]) == (False, 5, "overruled")
    assert {problem["file"] for problem in found["problems"]} == {winner}, found
    report = machine.helper(code=5)
    assert {problem["file"] for problem in report["problems"]} == {winner}


def test_a_masked_networkmanager_is_not_chosen(machine: Machine) -> None:
    machine.says(NOVA)
    machine.run("systemctl", "enable", "NetworkManager")
    machine.run("ln", "-sf", "/dev/null", "/etc/systemd/system/NetworkManager.service")
    machine.boot("systemd-networkd", RESOLVED)
    assert machine.verified()["backend"] == "networkd"
    assert machine.routes() == BOTH


READ_ONLY: dict[str, tuple[dict[str, str], str]] = {
    "netplan": ({"/etc/netplan/00-base.yaml": "network: {version: 2}\n"}, "systemd-networkd"),
    "networkd": ({}, "systemd-networkd"),
    "networkmanager": ({}, "NetworkManager"),
}


@pytest.mark.parametrize("backend", READ_ONLY)
def test_a_read_only_root_is_configured_below_run(machine: Machine, backend: str) -> None:
    files, service = READ_ONLY[backend]
    for name, text in files.items():
        machine.put(name, text, 0o600)
    machine.says(NO_DNS)
    machine.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    machine.run("systemctl", "enable", service)
    machine.run("sh", "-c", "mount --bind /etc /etc && mount -o remount,bind,ro /etc")
    machine.boot()
    found = machine.verified()
    assert (found["verified"], found["backend"]) == (True, backend), found
    assert machine.routes() == BOTH
    assert not machine.exists("/var/lib/vimguest/state.json")
    machine.says(NO_DNS.replace(";10.0.0.2;", ";10.0.0.9;"))
    assert machine.helper("--backend", backend)["verified"]
    assert machine.addresses("eth0") == ["10.0.0.9/24"]
    machine.helper("--clean")
    assert not machine.exists("/run/vimguest/state.json")


def test_a_captured_image_has_nothing_of_its_machine(release: Path, tmp_path: Path) -> None:
    """ifupdown names NICs: without the identity, a clone comes up with the old address."""
    kept = ["/etc/network/interfaces.d/vimguest", "/var/lib/vimguest/state.json", "/etc/hostname"]
    (tmp_path / "first").mkdir()
    with Machine(release, tmp_path / "first", boots=True) as first:
        first.put("/etc/network/interfaces", INTERFACES)
        first.put("/etc/hostname", "image\n")
        first.says(
            "v1:"
            + json.dumps(
                {"hostname": "web-1", "nics": [{"mac": MAC0, "addresses": ["10.0.0.2/24"]}]}
            )
        )
        first.boot("networking")
        assert first.verified()["verified"]
        files = {name: first.text(name) for name in kept}
    (tmp_path / "clone").mkdir()
    macs = ("00:50:56:00:00:91", "00:50:56:00:00:92")
    with Machine(release, tmp_path / "clone", macs, boots=True) as clone:
        clone.put("/etc/network/interfaces", INTERFACES)
        for name, text in files.items():
            clone.put(name, text)
        clone.says(f"{macs[0]};;;;;#")
        clone.boot("networking")
        assert clone.addresses("eth0") == []
        assert not clone.exists(kept[0])
        assert clone.text("/etc/hostname") == "image\n"


@pytest.mark.parametrize(
    ("backend", "service"),
    [("networkd", "systemd-networkd"), ("networkmanager", "NetworkManager")],
)
def test_the_default_route_leaves_by_the_first_nic_of_the_record(
    machine: Machine, backend: str, service: str
) -> None:
    """DHCP on the first NIC, a static gateway on the second: every back end agrees."""
    machine.far_end("eth0", "10.5.0.1/24")
    machine.put("/usr/local/sbin/dhcpd", DHCPD.read_text())
    machine.daemon("ip", "netns", "exec", "far", "python3", "/usr/local/sbin/dhcpd", "peer0")
    nics: list[dict[str, Any]] = [
        {"mac": MAC0, "dhcp4": True},
        {"mac": MAC1, "addresses": ["10.0.1.2/24"], "gateway4": "10.0.1.1"},
    ]
    machine.says("v1:" + json.dumps({"nics": nics}))
    machine.boot(service)
    found = machine.verified()
    assert (found["verified"], found["backend"]) == (True, backend), found
    assert machine.routes() == {("default", "10.5.0.1", "eth0"), ("default", "10.0.1.1", "eth1")}
    assert "dev eth0" in machine.run("ip", "route", "get", "203.0.113.1").stdout


def test_ifupdown2_takes_up_the_record_and_its_changes(machine: Machine) -> None:
    """It keeps no state file of ifupdown's, and a running NIC is changed by `ifup`."""
    machine.run("sh", "-c", "dpkg --remove --force-all ifupdown")
    machine.run("sh", "-c", "dpkg --install --force-all /var/archives/ifupdown2_*.deb", ok=False)
    machine.put("/etc/network/interfaces", INTERFACES)
    machine.says(NO_DNS)
    machine.boot("networking")
    found = machine.verified()
    assert (found["verified"], found["backend"]) == (True, "ifupdown"), found
    assert machine.routes() == BOTH
    machine.says(NO_DNS.replace(";10.0.0.2;", ";10.0.0.9;"))
    report = machine.helper()
    assert (report["status"], report["verified"]) == ("changed", True), report
    assert machine.addresses("eth0") == ["10.0.0.9/24"]


# --- cloud-init ---------------------------------------------------------------


# Services that start at boot, files of the image, and what to ask for the name servers.
CLOUD: dict[str, tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]] = {
    "eni": (("networking",), {"/etc/network/interfaces": INTERFACES}, ("cat", "/etc/resolv.conf")),
    "netplan": (("systemd-networkd", RESOLVED), {}, ("resolvectl", "dns")),
    "networkd": (("systemd-networkd", RESOLVED), {}, ("resolvectl", "dns")),
    "network-manager": (("NetworkManager", RESOLVED), {}, ("resolvectl", "dns")),
}
if RELEASE == SUITE:
    # cloud-init 22.4 writes these files for the network service of RHEL 7 alone.
    CLOUD["sysconfig"] = (("NetworkManager",), {}, ("cat", "/etc/resolv.conf"))

# The command `route` knows no gateway off the link.
NOT_BY_ROUTE = ("10.8.0.0/16", "10.9.7.1", "eth1")
NETWORKS: dict[str, tuple[list[NIC], set[tuple[str, str, str]]]] = {
    # The NIC without a record comes first: nobody may rename it.
    "a NIC of two": (
        [
            NIC(MAC1),
            NIC(
                MAC0, ["10.0.0.2/24", "2001:db8::2/64"], "10.0.0.1", "2001:db8::1",
                dns=["10.0.0.53", "2001:db8::53"],
            ),
        ],
        {DEFAULT, ("default", "2001:db8::1", "eth0")},
    ),
    "gateways off the link": (
        [
            NIC(MAC0, ["10.0.0.2/32", "2001:db8::2/128"], "10.9.9.1", "2001:db8:f::1"),
            NIC(MAC1, ["10.0.1.2/32"], routes=[Route("10.8.0.0/16", "10.9.7.1")]),
        ],
        {
            ("default", "10.9.9.1", "eth0"),
            ("default", "2001:db8:f::1", "eth0"),
            NOT_BY_ROUTE,
        },
    ),
    "IPv6 routes, and a name server of the other version": (
        [
            NIC(
                MAC0, ["10.0.0.2/24", "2001:db8::2/64"], gateway6="2001:db8::1",
                routes=[Route("2001:db8:9::/48", "2001:db8::9", 50)],
            ),
            NIC(MAC1, ["10.0.1.2/24"], "10.0.1.1", dns=["2001:db8::53", "10.0.1.53"]),
        ],
        {
            ("default", "2001:db8::1", "eth0"),
            ("2001:db8:9::/48", "2001:db8::9", "eth0"),
            ("default", "10.0.1.1", "eth1"),
        },
    ),
}  # fmt: skip
if RELEASE == SUITE:
    # cloud-init 22.4 has no metrics.
    NETWORKS["two NICs with all values"] = (
        [
            NIC(
                MAC0, ["10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64"], "10.0.0.1", "2001:db8::1",
                dns=["10.0.0.53", "2001:db8::53"], search=["example.org"], mtu=1400,
                routes=[Route("10.9.0.0/16", "10.0.0.254", 50)],
            ),
            NIC(MAC1, ["10.0.1.2/24", "2001:db8:1::2/64"], "10.0.1.1", "2001:db8:1::1", mtu=1300),
        ],
        BOTH | {("default", "2001:db8::1", "eth0"), ("10.9.0.0/16", "10.0.0.254", "eth0")},
    )  # fmt: skip


def dress(machine: Machine, renderer: str) -> str:
    """Make the image one for that renderer; its distribution, as cloud-init has it."""
    for name, text in CLOUD[renderer][1].items():
        machine.put(name, text)
    if renderer == "eni":
        machine.unpack("busybox-static", "openresolv")
        # As net-tools has it: cloud-init's routes are commands.
        machine.run("ln", "-s", "/usr/bin/busybox", "/usr/sbin/route")
        # systemd-resolved, which is installed here, makes a link where there is none.
        machine.run("rm", "-f", "/etc/resolv.conf")
        machine.put("/etc/resolv.conf", "")
    if renderer == "sysconfig":
        become_red_hat(machine, RELEASE)
        return "rhel"
    return "debian"


def assert_network(
    machine: Machine, renderer: str, nics: list[NIC], routes: set[tuple[str, str, str]]
) -> None:
    """Wait until the kernel and the resolver have the network of those NICs."""
    rows = {"eth0": MAC0, "eth1": MAC1}
    by_mac = {nic.mac: nic for nic in nics}
    expected = {
        name: (sorted(by_mac[mac].addresses), by_mac[mac].mtu or 1500)
        for name, mac in rows.items()
        if mac in by_mac
    }
    servers = {server for nic in nics for server in nic.dns}

    def state() -> tuple[dict[str, tuple[list[str], int]], set[tuple[str, str, str]], set[str]]:
        found = {name: (machine.addresses(name), machine.mtu(name)) for name in expected}
        resolver = machine.run(*CLOUD[renderer][2], ok=False).stdout.split()
        return found, machine.routes(), servers & set(resolver)

    eventually(
        lambda: state() == (expected, routes, servers),
        lambda: (
            state(),
            (expected, routes, servers),
            machine.run("sh", "-c", "tail -n 40 /var/log/cloud-init.log", ok=False).stdout,
        ),
        90,
    )
    for name, mac in rows.items():
        assert machine.text(f"/sys/class/net/{name}/address") == mac + "\n"
    best = [
        machine.run("ip", "route", "get", one).stdout
        for one, default in (("203.0.113.1", "."), ("2001:db8:ffff::1", ":"))
        if any(route[0] == "default" and default in route[1] for route in routes)
    ]
    first = {dev for at in (4, 6) for dev in first_default(nics, at)}
    assert {one.partition(" dev ")[2].split()[0] for one in best} == first


def first_default(nics: list[NIC], version: int) -> list[str]:
    """The NIC that the record gives the default route of that IP version, if any."""
    names = {MAC0: "eth0", MAC1: "eth1"}
    found = [
        names[nic.mac]
        for nic in nics
        if (nic.gateway4 or nic.dhcp4 if version == 4 else nic.gateway6 or nic.dhcp6)
    ]
    return found[:1]


@pytest.mark.parametrize(("nics", "routes"), NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.parametrize("renderer", CLOUD)
def test_cloud_init_makes_a_working_network_of_the_metadata(
    machine: Machine, renderer: str, nics: list[NIC], routes: set[tuple[str, str, str]]
) -> None:
    distro = dress(machine, renderer)
    settings = extra_config(GuestConfig("web-1", nics), "cloud-init", instance_id="i-1")
    machine.cloud_init_boots(settings, renderer, distro)
    machine.says(NOVA)
    machine.boot(*CLOUD[renderer][0])
    assert "stood-aside" in machine.journal("vimguest")
    assert_network(
        machine, renderer, nics, routes - {NOT_BY_ROUTE} if renderer == "eni" else routes
    )
    if distro == "debian":
        # For RHEL cloud-init asks systemd-hostnamed, before which Debian's units start it.
        assert machine.run("hostname").stdout == "web-1\n"
    # The next boot of the same instance applies a changed network. cloud-init 22.4 reads nothing
    # when it updates the settings that it has (DataSourceVMware._get_data): a new instance does.
    later = GuestConfig("web-1", [NIC(MAC0, ["10.0.0.77/24"])])
    instance = "i-1" if RELEASE == SUITE else "i-2"
    machine.guestinfo(extra_config(later, "cloud-init", instance_id=instance))
    machine.run("rm", "-rf", "/run/cloud-init")
    machine.run("cloud-init", "init", "--local")
    found = machine.run(
        "grep", "-rl", "10.0.0.77", "/etc/netplan", "/etc/network", "/etc/systemd/network",
        "/etc/NetworkManager/system-connections", "/etc/sysconfig", ok=False,
    ).stdout  # fmt: skip
    assert found, machine.run("sh", "-c", "tail -n 60 /var/log/cloud-init.log").stdout


# ifupdown has no DHCP client of its own.
@pytest.mark.parametrize("renderer", sorted(CLOUD.keys() - {"eni"}))
def test_cloud_init_gives_the_default_route_to_the_first_nic_by_dhcp(
    machine: Machine, renderer: str
) -> None:
    machine.far_end("eth0", "10.5.0.1/24")
    machine.put("/usr/local/sbin/dhcpd", DHCPD.read_text())
    machine.daemon("ip", "netns", "exec", "far", "python3", "/usr/local/sbin/dhcpd", "peer0")
    distro = dress(machine, renderer)
    nics = [
        NIC(MAC0, ["2001:db8::2/64"], dhcp4=True, mtu=1400),
        # cloud-init 22.4 has no metrics, and only one of two default routes.
        NIC(MAC1, ["10.0.1.2/24"], "10.0.1.1" if RELEASE == SUITE else None),
    ]
    settings = extra_config(GuestConfig("web-1", nics), "cloud-init", instance_id="i-1")
    machine.cloud_init_boots(settings, renderer, distro)
    machine.boot(*CLOUD[renderer][0])
    leased = NIC(MAC0, ["2001:db8::2/64", "10.5.0.77/24"], "10.5.0.1", mtu=1400)
    second = {("default", nics[1].gateway4, "eth1")} if nics[1].gateway4 else set()
    routes = {("default", "10.5.0.1", "eth0"), *second}
    assert_network(machine, renderer, [leased, nics[1]], routes)
