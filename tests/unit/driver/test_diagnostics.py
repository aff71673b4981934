"""How a machine is doing, on old hosts and new ones, running or not."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import MAC, Beside, Hosted, hosted, spec
from vimdriver._instances.diagnostics import _of
from vimdriver._instances.types import Instance, NICSpec
from vimlib import vim25
from vimlib.errors import NotFoundError
from vimlib.simulator._vm.power import ask


@pytest.mark.parametrize(("version", "legacy"), [("4.1", True), ("6.7", False), ("8.0", False)])
async def test_of_a_machine(
    version: str, legacy: bool, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=legacy) as host:
        async with host.driver() as driver:
            nics = (
                NICSpec(network="VM Network", mac=MAC, addresses=("10.0.0.2/24",)),
                NICSpec(network="vlan-9", vlan=9, model="vmxnet3"),
            )
            made = await driver.spawn(spec(image, cpus=2, nics=nics, power_on=False))
            off = await driver.diagnostics(made.uuid)
            assert (off.power_state, off.cpu.used_mhz, off.question) == ("poweredOff", 0, None)
            assert off.booted is None
            await driver.power_on("web")
            host.beside.call(
                lambda: host.esx.set_guest("web", tools=True, ip="10.0.0.2", host_name="web-guest")
            )
            found = await driver.diagnostics("web")
            assert (found.uuid, found.name, found.moref) == (made.uuid, "web", made.moref)
            assert (found.cpu.count, found.memory.size_mb) == (2, 64)
            assert found.cpu.used_mhz is not None
            assert found.cpu.limit_mhz is not None
            assert found.cpu.used_mhz <= found.cpu.limit_mhz
            assert (found.memory.active_mb, found.memory.host_mb) == (6, 16)
            assert (found.hostname, found.tools, found.heartbeat) == (
                "web-guest", "toolsOk", "green",
            )  # fmt: skip
            assert found.uptime is not None
            assert found.booted is not None
            (disk,) = found.disks
            assert (disk.path, disk.capacity) == ("[datastore1] web/web.vmdk", 1317 * 1024)
            first, second = found.nics
            assert (first.mac, first.network, first.model, first.connected) == (
                MAC, "VM Network", "VirtualE1000", True,
            )  # fmt: skip
            assert (second.network, second.model) == ("vlan-9", "VirtualVmxnet3")
            assert first.addresses == ("10.0.0.2",)
            plain = json.loads(json.dumps(found.to_json()))
            assert set(plain) == {f.name for f in fields(found)}
            assert plain["cpu"]["count"] == 2
            assert plain["nics"][0]["addresses"] == ["10.0.0.2"]
            assert plain["booted"].startswith("20")


async def test_a_question_stands_there(beside: Beside, tmp_path: Path, image: Path) -> None:
    with hosted(beside, tmp_path / "s") as host:
        async with host.driver() as driver:
            await driver.spawn(spec(image))
            host.beside.call(lambda: ask(host.esx.machine("web"), "moved or copied?", {"0": "a"}))
            assert (await driver.diagnostics("web")).question == "moved or copied?"
            with pytest.raises(NotFoundError):
                await driver.diagnostics("nosuch")


def test_what_a_host_does_not_tell_is_none() -> None:
    """A machine whose files are out of reach has a summary, and little in it."""
    summary = vim25.VirtualMachineSummary(
        runtime=vim25.VirtualMachineRuntimeInfo(
            connectionState="inaccessible",
            powerState="poweredOff",
            toolsInstallerMounted=False,
            numMksConnections=0,
        ),
        config=vim25.VirtualMachineConfigSummary(name="web", template=False, vmPathName=""),
        quickStats=vim25.VirtualMachineQuickStats(guestHeartbeatStatus="gray"),
        overallStatus="red",
    )
    instance = Instance(
        uuid="", name="web", power_state="poweredOff", cpus=0, memory_mb=0, moref="1"
    )
    props: dict[str, Any] = {"summary": summary}
    found = _of(instance, props, {})
    assert (found.uptime, found.committed, found.memory.host_mb) == (None, None, None)
    assert (found.disks, found.nics, found.file_systems) == ((), (), ())
    assert (found.health, found.hostname, found.guest_name, found.tools) == ("red", "", "", "")


async def test_a_summary_that_nobody_may_read(host: Hosted) -> None:
    folder = vim25.Folder("ha-folder-vm")
    host.esx.faults.deny(
        "VirtualMachine", "summary", vim25.NoPermission(object=folder, privilegeId="System.Read")
    )
    async with host.driver() as driver:
        await driver.client.wait(
            await driver.client.bind(folder).CreateVM_Task(
                vim25.VirtualMachineConfigSpec(
                    name="web",
                    memoryMB=64,
                    files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
                ),
                vim25.ResourcePool("ha-root-pool"),
            )
        )
        with pytest.raises(vim25.NoPermission):
            await driver.diagnostics("web")
