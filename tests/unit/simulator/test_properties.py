from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator._managers.esxcli_types import Unlisted
from vimlib.simulator._properties.paths import PathStep, parse_path


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("name", (PathStep("name", None),)),
        (
            "config.hardware.device[4000].backing",
            (
                PathStep("config", None),
                PathStep("hardware", None),
                PathStep("device", "4000"),
                PathStep("backing", None),
            ),
        ),
        (
            'config.extraConfig["machine.id"].value',
            (
                PathStep("config", None),
                PathStep("extraConfig", "machine.id"),
                PathStep("value", None),
            ),
        ),
    ],
)
def test_paths_are_parsed(path: str, steps: tuple[PathStep, ...]) -> None:
    assert parse_path(path) == steps


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a[", "a]", "a b", "1a", "a[1]b"])
def test_invalid_paths_are_refused(path: str) -> None:
    with pytest.raises(vim25.InvalidProperty):
        parse_path(path)


async def test_paths_read(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    [moid] = call.esx.machines
    vm = vim25.VirtualMachine(moid)
    found = await call.read(
        vm,
        "name",
        "config.hardware.device[2000].backing.fileName",
        "config.hardware.device[77].backing",
        "runtime.bootTime",
        "snapshot.currentSnapshot",
        "config.hardware.device[4000].deviceInfo.label",
    )
    assert found == {
        "name": "vm-0",
        "config.hardware.device[2000].backing.fileName": "[datastore1] vm-0/vm-0.vmdk",
        "config.hardware.device[4000].deviceInfo.label": "Network adapter 1",
    }


@pytest.mark.parametrize(
    "path",
    [
        "nonsense",
        "config.nonsense",
        "runtime.bootTime.nonsense",
        "name.more",
        "config.hardware.device.key",
    ],
)
async def test_unknown_paths_are_refused(make: Callable[..., Any], path: str) -> None:
    call = await make(vms=1)
    [moid] = call.esx.machines
    with pytest.raises(vim25.InvalidProperty):
        await call.read(vim25.VirtualMachine(moid), path)


async def test_an_old_host_has_no_newer_property(make: Callable[..., Any]) -> None:
    call = await make(version="4.0", vms=1)
    [moid] = call.esx.machines
    with pytest.raises(vim25.InvalidProperty):
        await call.read(vim25.VirtualMachine(moid), "rootSnapshot")


async def test_every_property_of_every_object_fits_the_wire(make: Callable[..., Any]) -> None:
    for version in ("4.0", "4.1", "6.7", "9.0"):
        call = await make(version=version, vms=1)
        for (kind, moid), obj in list(call.esx.registry.objects.items()):
            if isinstance(obj, Unlisted):  # it has no properties
                continue
            ref: Any = obj.ref
            spec = vim25.PropertyFilterSpec(
                propSet=[vim25.PropertySpec(type=kind, all=True)],
                objectSet=[vim25.ObjectSpec(obj=ref)],
            )
            [found] = await call(
                vim25.PropertyCollector.RetrieveProperties,
                call.content.propertyCollector,
                specSet=[spec],
            )
            assert found.obj.moref == (kind, moid)
            required = {
                name for name, field in obj.fields.items() if field.required and obj.knows(name)
            }
            assert required - {prop.name for prop in found.propSet} == set(), kind


VCENTER = "a vCenter sets it"
CONSOLE = "only a host with a service console has it"
# Optional properties without a value, by managed type, and the reason.
UNSET = {
    "ComputeResource.networkBootMode": VCENTER,
    "EventManager.latestEvent": "nothing has happened yet",
    "Folder.externallyManagedFolderInfo": VCENTER,
    "Folder.namespace": VCENTER,
    "Folder.parent": "the root folder has none",
    "HostMemorySystem.consoleReservationInfo": CONSOLE,
    "HostMemorySystem.virtualMachineReservationInfo": "releases before 4.0 reserve memory for machines",
    "HostNetworkSystem.consoleIpRouteConfig": CONSOLE,
    "HostSystem.answerFileValidationResult": VCENTER,
    "HostSystem.answerFileValidationState": VCENTER,
    "HostSystem.complianceCheckResult": VCENTER,
    "HostSystem.complianceCheckState": VCENTER,
    "HostSystem.precheckRemediationResult": VCENTER,
    "HostSystem.remediationResult": VCENTER,
    "HostSystem.remediationState": VCENTER,
    "HostVMotionSystem.ipConfig": "no adapter carries vMotion",
    "LicenseManager.diagnostics": "there is no licence server",
    "LicenseManager.licenseAssignmentManager": VCENTER,
    "ResourcePool.namespace": VCENTER,
    "SessionManager.currentSession": "it depends on who asks",
    "VirtualMachine.parentVApp": VCENTER,
    "VirtualMachine.snapshot": "the machine has none",
}


async def test_no_property_is_unset_without_a_reason(make: Callable[..., Any]) -> None:
    unset = set()
    for version in ("4.0", "4.1", "5.5", "6.7", "7.0", "8.0", "9.0"):
        call = await make(version=version, vms=1)
        for (kind, _), obj in list(call.esx.registry.objects.items()):
            unset |= {
                f"{kind}.{name}"
                for name, field in obj.fields.items()
                if obj.knows(name) and not field.array and obj.read(name) is None
            }
    # Recorded hosts show none: an ESX 4.1 and an ESXi 6.7.
    unset -= {name for name in unset if name.endswith(".alarmActionsEnabled")}
    assert unset == set(UNSET)
