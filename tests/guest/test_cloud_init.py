"""cloud-init itself reads what driver.guestinfo writes for it, and keeps the helper off."""

from __future__ import annotations

import json

import pytest

from driver import guestinfo
from driver.guestinfo import NIC, GuestConfig, Route

from .machine import Machine
from .test_apply import FIRST, NOVA, SECOND, assert_both

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs_chroot,
    pytest.mark.slow,
    # The first test makes the chroot.
    pytest.mark.timeout(900),
]

# The transport is its other one, environment variables: the one by VMware's tools wants the
# hardware to be VMware's. What is behind it is the same.
READ = """
import json
from cloudinit import helpers
from cloudinit.sources.DataSourceVMware import DataSourceVMware
source = DataSourceVMware({}, None, helpers.Paths({"run_dir": "/run/cloud"}))
assert source._get_data()
print(json.dumps([source.metadata, source.network_config]))
"""


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
    words = ["env", "VMX_GUESTINFO=1", f"VMX_GUESTINFO_METADATA={said['guestinfo.metadata']}"]
    words.append(f"VMX_GUESTINFO_METADATA_ENCODING={said['guestinfo.metadata.encoding']}")
    metadata, network = json.loads(machine.run(*words, "python3", "-c", READ).stdout)
    assert (metadata["instance-id"], metadata["local-hostname"]) == ("i-1", "web-1")
    machine.put("/run/network.json", json.dumps(network))
    machine.run(
        *["cloud-init", "devel", "net-convert", "--network-data", "/run/network.json"],
        *["--kind", "yaml", "--output-kind", "networkd", "--distro", "debian"],
        *["--directory", "/", "--mac", f"eth0,{FIRST['mac']}", "--mac", f"eth1,{SECOND['mac']}"],
    )
    machine.networkd()
    assert_both(machine)


def test_the_helper_stands_aside_for_the_package(machine: Machine) -> None:
    machine.says(NOVA)
    machine.run("rm", "/etc/cloud/cloud-init.disabled")
    found = machine.helper("--backend", "networkd")
    assert found["status"] == "stood-aside"
    machine.put("/etc/cloud/cloud.cfg.d/99-network.cfg", "network: {config: disabled}\n")
    assert machine.helper("--backend", "networkd")["status"] == "changed"
