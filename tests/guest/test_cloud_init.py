"""cloud-init itself reads what vimdriver._guestinfo writes for it, and keeps the helper off."""

from __future__ import annotations

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


def test_the_helper_stands_aside_for_the_package(machine: Machine) -> None:
    machine.says(NOVA)
    machine.run("rm", "/etc/cloud/cloud-init.disabled")
    found = machine.helper("--backend", "networkd")
    assert found["status"] == "stood-aside"
    machine.put("/etc/cloud/cloud.cfg.d/99-network.cfg", "network: {config: disabled}\n")
    assert machine.helper("--backend", "networkd")["status"] == "changed"
