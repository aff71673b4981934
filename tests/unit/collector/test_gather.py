"""Several types in one retrieval."""

from __future__ import annotations

import pytest

from tests.rig.login import connected
from vimlib import vim25
from vimlib._collector import via
from vimlib.errors import UsageError, VersionError
from vimlib.simulator import ESXHost

WANTED = {
    vim25.Datacenter: ("name", "vmFolder"),
    vim25.HostSystem: ("name", "runtime.inMaintenanceMode"),
    vim25.ResourcePool: ("name",),
    vim25.Datastore: ("summary.name",),
    vim25.Network: ("name",),
}


@pytest.mark.parametrize("version", ["4.0", "4.1", "8.0"])
async def test_one_call_reads_all_that_machines_are_put_on(version: str) -> None:
    async with ESXHost(version, vms=5) as esx, connected(esx) as client:
        before = len(esx.call_log)
        rows = await client.gather(WANTED)
        read = [record.method for record in list(esx.call_log)[before:]]
    assert read == ["RetrieveProperties" if version == "4.0" else "RetrievePropertiesEx"]
    assert {
        kind: [row.props[paths[0]] for row in rows[kind]] for kind, paths in WANTED.items()
    } == {
        vim25.Datacenter: ["ha-datacenter"],
        vim25.HostSystem: [rows[vim25.HostSystem][0]["name"]],
        vim25.ResourcePool: ["Resources"],
        vim25.Datastore: ["datastore1"],
        vim25.Network: ["VM Network"],
    }


async def test_a_walk_from_a_machine_reads_it_and_its_networks() -> None:
    async with ESXHost(vms=2) as esx, connected(esx) as client:
        vm = (await client.find("vm-0", vim25.VirtualMachine))[0].obj
        source = via(vim25.VirtualMachine, "network").start(vm, include=True)
        rows = await client.gather(
            {vim25.VirtualMachine: ["name"], vim25.Network: ["name"]}, source=source
        )
        assert [row["name"] for row in rows[vim25.VirtualMachine]] == ["vm-0"]
        assert [row["name"] for row in rows[vim25.Network]] == ["VM Network"]


async def test_arguments_that_cannot_be_read() -> None:
    async with ESXHost("4.1") as esx, connected(esx) as client:
        with pytest.raises(UsageError, match="derived from each other"):
            await client.gather({vim25.ManagedEntity: ["name"], vim25.Network: ["name"]})
        with pytest.raises(UsageError):
            await client.gather({vim25.Network: ["nonsense"]})
        with pytest.raises(VersionError):
            await client.gather({vim25.Datastore: ["summary.maintenanceMode"]})
