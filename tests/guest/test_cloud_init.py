"""cloud-init itself reads what vimdriver._guestinfo writes for it, and keeps the helper off."""

from __future__ import annotations

import re
from typing import Any

import pytest

from vimdriver import _guestinfo as guestinfo
from vimdriver._guestinfo import NIC, GuestConfig, Route

from .machine import Machine
from .test_apply import FIRST, NOVA, SECOND, assert_both

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs_chroot,
    pytest.mark.slow,
    # The first test makes the chroot.
    pytest.mark.timeout(900),
]


def nic(row: dict[str, object]) -> NIC:
    """A NIC of test_apply as the driver has it."""
    values = dict(row)
    routes = values.pop("routes", [])
    assert isinstance(routes, list)
    return NIC(**values, routes=[Route(**route) for route in routes])  # type: ignore[arg-type]


@pytest.mark.parametrize("padding", [0, 40])
def test_cloud_init_brings_up_what_the_driver_says(machine: Machine, padding: int) -> None:
    # Enough search domains make the text long, so that it is sent compressed.
    search = [f"{'x' * 60}{at}.example" for at in range(padding)]
    config = GuestConfig("web-1", (nic(FIRST), nic(SECOND)), search)
    said = guestinfo.metadata(config, "i-1")
    assert said["guestinfo.metadata.encoding"] == ("gzip+base64" if padding else "base64")
    metadata = machine.cloud_init(said)
    assert (metadata["instance-id"], metadata["local-hostname"]) == ("i-1", "web-1")
    machine.networkd()
    assert_both(machine)


def test_cloud_init_writes_ifcfg_files_of_the_metadata(machine: Machine) -> None:
    """For RHEL 8 and 9. Debian's NetworkManager cannot read them: they are read as shell does."""
    config = GuestConfig("web-1", (nic(FIRST), nic(SECOND)))
    # A link into /run, where no resolver runs.
    machine.run("rm", "-f", "/etc/resolv.conf")
    machine.cloud_init(guestinfo.metadata(config, "i-1"), "sysconfig", "rhel")
    script = "set -a; . /etc/sysconfig/network-scripts/ifcfg-$0; env"
    rows: dict[str, dict[str, Any]] = {"eth0": dict(FIRST), "eth1": dict(SECOND)}
    for name, row in rows.items():
        lines = machine.run("env", "-i", "sh", "-c", script, name).stdout.splitlines()
        found = dict(line.split("=", 1) for line in lines)
        four = [one for key, one in found.items() if re.fullmatch("IPADDR[0-9]*", key)]
        addresses = [one for one in row["addresses"] if ":" not in one]
        assert sorted(four) == [one.partition("/")[0] for one in addresses]
        assert {one for key, one in found.items() if key.startswith("NETMASK")} == {"255.255.255.0"}
        assert f"{found['IPV6ADDR']}" in row["addresses"]
        assert (found["HWADDR"], found["MTU"]) == (row["mac"], str(row["mtu"]))
        assert (found["GATEWAY"], found["ONBOOT"]) == (row["gateway4"], "yes")
        assert found.get("IPV6_DEFAULTGW") == row.get("gateway6")
        assert found.get("DNS1") == next(iter(row.get("dns", [])), None)
    routes = machine.run("cat", "/etc/sysconfig/network-scripts/route-eth0").stdout
    assert "GATEWAY0=10.0.0.254" in routes


def test_the_helper_stands_aside_for_the_package(machine: Machine) -> None:
    machine.says(NOVA)
    machine.run("rm", "/etc/cloud/cloud-init.disabled")
    found = machine.helper("--backend", "networkd")
    assert found["status"] == "stood-aside"
    machine.put("/etc/cloud/cloud.cfg.d/99-network.cfg", "network: {config: disabled}\n")
    assert machine.helper("--backend", "networkd")["status"] == "changed"
