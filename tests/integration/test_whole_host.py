"""The simulated host shows the elements that recorded hosts show.

Compared are the paths of all elements, without places in lists. Missing ones are listed with the reason;
95 % is the least.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.integration import recordings
from tests.unit.simulator.conftest import Caller, make  # noqa: F401 - a fixture
from vimlib import vim25
from vimlib.soap import encode_request

pytestmark = [pytest.mark.slow, pytest.mark.integration]

LEAST: Final = 0.95

# Of the recorded hosts, and not of the simulated one.
NO_NAS: Final = "the simulated host has no NAS datastore unless a client adds one"
ELSEWHERE: Final = {
    "config.fileSystemVolume.mountInfo.volume.remoteHost": NO_NAS,
    "config.fileSystemVolume.mountInfo.volume.remotePath": NO_NAS,
    "config.dateTimeInfo.ntpConfig.server": "a fresh host has no time server",
}


async def shown(call: Caller, kind: str, ref: Any) -> set[str]:
    """Return the paths of an object."""
    spec = vim25.PropertyFilterSpec(
        propSet=[vim25.PropertySpec(type=kind, all=True)], objectSet=[vim25.ObjectSpec(obj=ref)]
    )
    method = vim25.PropertyCollector.RetrieveProperties
    body = encode_request(method, call.content.propertyCollector, {"specSet": [spec]})
    return recordings.property_paths((await call.raw(body)).body, kind)


def check(recorded: set[str], ours: set[str]) -> None:
    missing = recorded - ours - set(ELSEWHERE)
    assert len(missing) <= (1 - LEAST) * len(recorded), sorted(missing)


@pytest.fixture
async def classic(make: Any) -> Any:  # noqa: F811 - the fixture
    """A simulated ESX 4.1 with a running machine."""
    call = await make(version="4.1", vms=1)
    await call.done(vim25.VirtualMachine.PowerOnVM_Task, call.esx.machine("vm-0").ref)
    return call


async def test_a_classic_host_shows_the_paths_of_a_recorded_one(classic: Caller) -> None:
    reply = (recordings.esx_4_1() / "RetrieveProperties.soap").read_bytes()
    recorded = recordings.property_paths(reply, "HostSystem")
    assert len(recorded) > 800
    ours = await shown(classic, "HostSystem", classic.esx.host.ref)
    check(recorded, ours)
    assert recorded - ours <= set(ELSEWHERE)


async def test_a_machine_of_a_classic_host_shows_the_paths_of_a_recorded_one(
    classic: Caller,
) -> None:
    folder = recordings.esx_4_1()
    reply = (folder / "RetrieveProperties-VM-16.soap").read_bytes()
    recorded = recordings.property_paths(reply, "VirtualMachine")
    assert len(recorded) > 290
    check(recorded, await shown(classic, "VirtualMachine", classic.esx.machine("vm-0").ref))


def recorded_6_5() -> Iterator[tuple[str, Any]]:
    """Yield path and value of what govmomi recorded of a host."""
    folder = recordings.esxi_6_5()

    def source(name: str) -> str:
        return (folder / f"{name}.go").read_text()

    known: dict[str, Any] = {}
    for name, file in (
        ("HostFirewallInfo", "host_firewall_system"),
        ("HostStorageDeviceInfo", "host_storage_device_info"),
        ("HostConfigInfo", "host_config_info"),
        ("HostHardwareInfo", "host_hardware_info"),
    ):
        known[name] = recordings.go_value(source(file), name, known)
    host = recordings.go_value(source("host_system"), "HostSystem", known)
    for name in ("Runtime", "Summary", "LicensableResource", "ConfigManager"):
        yield name[:1].lower() + name[1:], host[name]
    yield "config", known["HostConfigInfo"]
    yield "hardware", known["HostHardwareInfo"]


async def test_a_later_host_shows_the_paths_of_a_recorded_one(make: Any) -> None:  # noqa: F811
    recorded: set[str] = set()
    for path, value in recorded_6_5():
        recorded |= recordings.go_paths(value, path)
    assert len(recorded) > 600
    call = await make(version="6.7", vms=1)
    check(recorded, await shown(call, "HostSystem", call.esx.host.ref))
