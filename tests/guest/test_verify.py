"""The comparison of a machine with its record, and the report to the host."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from guest import vimguest
from guest.vimguest import Bound, Kernel, KernelAddress, KernelRoute

from .tree import MAC0, MAC1, NOVA2, Guest

ADDRESS = ipaddress.ip_interface
DEFAULT4, DEFAULT6 = ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")


@pytest.fixture
def tree(tmp_path: Path) -> Guest:
    guest = Guest(tmp_path / "guest")
    for at, mac in enumerate((MAC0, MAC1)):
        guest.nic(f"eth{at}", mac, ifindex=str(at + 2), mtu="1500")
    guest.put("etc/resolv.conf", "nameserver 10.0.0.53\nnameserver 10.0.1.53\nsearch a.example\n")
    return guest


def own(link: int, text: str, usable: bool = True) -> KernelAddress:
    return KernelAddress(link, ADDRESS(text), usable, True)


def via(link: int, gateway: str, metric: int = 0, to: Any = DEFAULT4) -> KernelRoute:
    return KernelRoute(to, ipaddress.ip_address(gateway), link, metric)


def bound() -> list[Bound]:
    nics, _ = vimguest.place_dns(vimguest.parse(NOVA2)[1].nics)
    return [Bound(f"eth{at}", nic) for at, nic in enumerate(nics)]


ADDRESSES = [own(2, "10.0.0.2/24"), own(3, "10.0.1.2/24")]
ROUTES = [via(2, "10.0.0.1"), via(3, "10.0.1.1", 1124)]
GOOD = Kernel(ADDRESSES, ROUTES)


def differences(tree: Guest, kernel: Kernel, nics: list[Bound] | None = None) -> list[str]:
    root = vimguest.Root(str(tree.root))
    return [str(one) for one in vimguest.compare(root, nics or bound(), kernel)]


def test_a_machine_as_its_record_has_it(tree: Guest) -> None:
    assert differences(tree, GOOD) == []


CASES: list[tuple[Kernel, list[str]]] = [
    (
        Kernel([own(2, "10.0.0.2/24"), own(3, "192.168.7.7/24")], ROUTES),
        [f"{MAC1}: address is 192.168.7.7/24, not 10.0.1.2/24"],
    ),
    # Duplicate address detection has not ended, or failed.
    (
        Kernel([own(2, "10.0.0.2/24", False), own(3, "10.0.1.2/24")], ROUTES),
        [f"{MAC0}: address is missing, not 10.0.0.2/24"],
    ),
    (
        Kernel([own(2, "10.0.0.2/16"), own(3, "10.0.1.2/24")], ROUTES),
        [f"{MAC0}: address is 10.0.0.2/16, not 10.0.0.2/24"],
    ),
    (
        Kernel(ADDRESSES, [via(3, "10.0.1.1", 1124)]),
        [f"{MAC0}: default route is missing, not through 10.0.0.1"],
    ),
    # Two static defaults side by side.
    (
        Kernel(ADDRESSES, [*ROUTES, via(2, "192.168.7.1")]),
        [f"{MAC0}: best default route is through 192.168.7.1, not through 10.0.0.1"],
    ),
    (
        Kernel(ADDRESSES, [via(2, "10.0.0.1", 100), via(3, "10.0.1.1", 50)]),
        [f"{MAC0}: best default route is through 10.0.1.1, not through 10.0.0.1"],
    ),
]


@pytest.mark.parametrize(("kernel", "expected"), CASES)
def test_differences_of_the_kernel(tree: Guest, kernel: Kernel, expected: list[str]) -> None:
    assert differences(tree, kernel) == expected


def test_differences_of_mtu_carrier_and_nics(tree: Guest) -> None:
    nics = [one._replace(nic=one.nic._replace(mtu=9000)) for one in bound()]
    assert differences(tree, GOOD, nics) == [
        f"{MAC0}: MTU is 1500, not 9000",
        f"{MAC1}: MTU is 1500, not 9000",
    ]
    tree.put("sys/class/net/eth0/carrier", "0\n")
    found = differences(tree, Kernel([own(3, "10.0.1.2/24")], ROUTES))
    assert found == [f"{MAC0}: address is without carrier, not 10.0.0.2/24"]
    (tree.root / "sys/class/net/eth1/ifindex").unlink()
    assert differences(tree, GOOD) == [f"{MAC1}: NIC is missing, not eth1"]


def test_name_servers_are_read_through_a_stub(tree: Guest) -> None:
    tree.put("etc/resolv.conf", "nameserver 127.0.0.53\nsearch .\n")
    missing = f"{MAC0}: name server is missing, not 10.0.0.53; /etc/resolv.conf won"
    assert differences(tree, GOOD)[0] == missing
    tree.put("run/systemd/resolve/resolv.conf", "nameserver 10.0.0.53\nnameserver 10.0.1.53\n")
    assert differences(tree, GOOD) == []
    tree.put("etc/resolv.conf", "nameserver 9.9.9.9\n")
    assert differences(tree, GOOD)[0] == missing.replace("missing", "9.9.9.9")


@pytest.mark.parametrize("line", ["nameserver", "search", "nameserver x", "nameserver %", "\0"])
def test_odd_lines_of_the_resolver_are_skipped(tree: Guest, line: str) -> None:
    text = tree.text("etc/resolv.conf")
    tree.put("etc/resolv.conf", f"{line}\n{text}")
    assert differences(tree, GOOD) == []


def test_three_name_servers_are_all_that_some_services_write(tree: Guest) -> None:
    nics = bound()
    many = tuple(ipaddress.ip_address(f"10.0.0.{at}") for at in range(53, 58))
    nics[0] = nics[0]._replace(nic=nics[0].nic._replace(dns=many))
    nics[1] = nics[1]._replace(nic=nics[1].nic._replace(dns=()))
    tree.put("etc/resolv.conf", "".join(f"nameserver {one}\n" for one in many[:3]))
    assert differences(tree, GOOD, nics) == []


def test_dhcp_and_search_domains(tree: Guest) -> None:
    nic = vimguest.Nic(MAC0, dhcp4=True, dhcp6=True, search=("A.example", "b.example"))
    nics = [Bound("eth0", nic)]
    leased = Kernel([own(2, "10.5.0.77/24"), own(2, "2001:db8::77/128")], [])
    assert differences(tree, leased, nics) == [
        f"{MAC0}: search domain is a.example, not b.example; /etc/resolv.conf won"
    ]
    assert f"{MAC0}: IPv4 address is missing, not from DHCP" in differences(
        tree, Kernel([], []), nics
    )


# --- the file that won --------------------------------------------------------


def test_the_file_that_networkd_applied_is_named(tree: Guest) -> None:
    root = vimguest.Root(str(tree.root))
    nic = bound()[0].nic
    tree.put("run/systemd/netif/links/2", "NETWORK_FILE=/etc/systemd/network/01-all.network\n")
    assert vimguest.winner(root, "networkd", "eth0", nic) == "/etc/systemd/network/01-all.network"
    ours = "/etc/systemd/network/05-vimguest-005056aabb01.network"
    tree.put("run/systemd/netif/links/2", f"NETWORK_FILE={ours}\n")
    assert vimguest.winner(root, "networkd", "eth0", nic) is None


def test_the_yaml_behind_a_file_of_netplan_is_named(tree: Guest) -> None:
    root = vimguest.Root(str(tree.root))
    nic = bound()[0].nic
    tree.put(
        "etc/netplan/90-default.yaml", "network:\n  ethernets:\n    all-eth:\n      match: {}\n"
    )
    applied = "/run/systemd/network/10-netplan-all-eth.network"
    tree.put("run/systemd/netif/links/2", f"NETWORK_FILE={applied}\n")
    expected = f"/etc/netplan/90-default.yaml ({applied})"
    assert vimguest.winner(root, "netplan", "eth0", nic) == expected
    ours = "/run/systemd/network/10-netplan-00-vimguest-005056aabb01.network"
    tree.put("run/systemd/netif/links/2", f"NETWORK_FILE={ours}\n")
    assert vimguest.winner(root, "netplan", "eth0", nic) is None


def test_the_connection_that_networkmanager_chose_is_named(tree: Guest) -> None:
    root = vimguest.Root(str(tree.root))
    nic = bound()[0].nic
    theirs = "etc/NetworkManager/system-connections/x.nmconnection"
    key = "11111111-2222-3333-4444-555555555555"
    tree.put(theirs, f"[connection]\nuuid={key}\n")
    tree.put("run/NetworkManager/devices/2", f"[device]\nconnection-uuid={key}\nmanaged=true\n")
    assert vimguest.winner(root, "networkmanager", "eth0", nic) == "/" + theirs
    mine = vimguest.connection_uuid(vimguest.connection_label(nic))
    tree.put("run/NetworkManager/devices/2", f"[device]\nconnection-uuid={mine}\n")
    assert vimguest.winner(root, "networkmanager", "eth0", nic) is None
    # Debian's NetworkManager keeps off the NICs of ifupdown.
    tree.put("run/NetworkManager/devices/2", "[device]\nmanaged=false\n")
    tree.put("etc/network/interfaces", "iface eth0 inet dhcp\n")
    assert vimguest.winner(root, "networkmanager", "eth0", nic) == "/etc/network/interfaces"


def test_the_file_that_keeps_networkmanager_off_is_named(tree: Guest) -> None:
    root = vimguest.Root(str(tree.root))
    nic = bound()[0].nic
    tree.put("run/NetworkManager/devices/2", "[device]\nmanaged=false\n")
    assert vimguest.winner(root, "networkmanager", "eth0", nic) is None
    tree.put("etc/NetworkManager/NetworkManager.conf", "[keyfile]\n unmanaged-devices=*\n")
    tree.put("usr/lib/NetworkManager/conf.d/1.conf", "[keyfile]\n# unmanaged-devices=*\n")
    found = vimguest.winner(root, "networkmanager", "eth0", nic)
    assert found == "/etc/NetworkManager/NetworkManager.conf"
    name = "/etc/NetworkManager/conf.d/2.conf"
    tree.put(name, "[keyfile]\nunmanaged-devices+=interface-name:eth0\n")
    assert vimguest.winner(root, "networkmanager", "eth0", nic) == name


# --- the report to the host ---------------------------------------------------


def test_the_status_fits_however_much_went_wrong(tree: Guest) -> None:
    run = vimguest.Run(vimguest.parse_args(["--root", str(tree.root)]))
    run.bound = bound() * 40
    run.report["notes"] = ["x\x1b\n" * 500] * 100
    run.report["problems"] = [
        dict(vimguest.Problem(MAC0, "address", "y" * 900, "\u00e4" * 900, None)._asdict())
    ] * 50
    run.report["error"] = {"type": "RefusedError", "message": "z" * 5000}
    text = vimguest.status_text(run.report, run, 3)
    assert len(text) <= vimguest.MAX_STATUS
    assert text.isascii()
    assert text.isprintable()
    document = json.loads(text)
    assert (document["version"], document["code"], document["cut"]) == (1, 3, True)


def test_verification_needs_a_running_machine(tree: Guest) -> None:
    assert tree.run("--verify").returncode == 2
    with pytest.raises(SystemExit):
        vimguest.parse_args(["--verify", "--check"])
    with pytest.raises(SystemExit):
        vimguest.parse_args(["--verify", "--rollback"])


@pytest.mark.parametrize("restarted", [True, False])
def test_a_service_that_was_restarted_is_awaited(
    monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    """`netplan apply` returns while the service is inactive; one that never ran is not awaited."""
    states = [False, False, True]
    monkeypatch.setattr(vimguest, "service_runs", lambda *_: states.pop(0))
    monkeypatch.setattr(vimguest, "VERIFY_PAUSE", 0)
    run = vimguest.Run(vimguest.parse_args([]))
    if restarted:
        run.report["commands"].append({"argv": ["netplan", "apply"], "code": 0})
    assert run.awaits_service("netplan") is restarted
    assert states == ([] if restarted else [False, True])


def test_an_image_is_not_reported_to_the_host(tree: Guest) -> None:
    tree.says(NOVA2)
    assert tree.run("--backend", "networkd").returncode == 0
    assert tree.calls == ["--cmd machine.id.get"]


def test_the_kernel_of_this_machine_is_read() -> None:
    found = vimguest.read_kernel()
    loopback = [one for one in found.addresses if one.interface.ip.is_loopback]
    assert ADDRESS("127.0.0.1/8") in [one.interface for one in loopback]
    assert all(one.link > 0 for one in found.routes)


@pytest.mark.parametrize("written", [True, False])
def test_a_comparison_reads_the_state_where_the_last_run_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """Its unit mounts /etc read-only for itself, whatever the machine does."""
    state = tmp_path / "state.json"
    if written:
        state.touch()
    monkeypatch.setattr(vimguest, "is_read_only", lambda _: True)
    monkeypatch.setattr(vimguest, "VOLATILE_STATE", str(state))
    assert vimguest.Run(vimguest.parse_args(["--verify"])).root.volatile is written
    assert vimguest.Run(vimguest.parse_args([])).root.volatile


def test_a_comparison_begins_again_where_another_run_has_applied_a_record(
    tree: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the host would get the result of the former record last."""
    tree.says(NOVA2)
    run = vimguest.Run(vimguest.parse_args(["--verify"]))
    run.root = vimguest.Root(str(tree.root))
    seen: list[int] = []

    def verify(state: vimguest.State) -> int:
        seen.append(len(state.nics))
        assert run.report["problems"] == []
        if len(seen) == 1:
            assert tree.run("--backend", "networkd").returncode == 0
            run.problem(vimguest.Problem(MAC0, "address", "a", "b", None))
            return 5
        return 0

    monkeypatch.setattr(run, "verify_state", verify)
    assert run.verify_last() == 0
    assert seen == [0, 2]


def test_a_status_of_many_notes_says_that_some_are_missing(tree: Guest) -> None:
    run = vimguest.Run(vimguest.parse_args(["--root", str(tree.root)]))
    run.report["notes"] = ["x"] * 2000
    document = json.loads(vimguest.status_text(run.report, run, 0))
    assert (len(document["notes"]), document["cut"]) == (vimguest.MAX_LIST, True)
