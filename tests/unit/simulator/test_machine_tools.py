"""The tools' installer, typed keys, newer virtual hardware, NFS datastores and resource pools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vimlib import vim25

MACHINE = vim25.VirtualMachine
POOL = vim25.ResourcePool


async def test_the_installer_of_the_tools_is_mounted_while_a_machine_runs(
    make: Callable[..., Any],
) -> None:
    call = await make(vms=1)
    machine = call.esx.machine("vm-0").ref
    with pytest.raises(vim25.InvalidState):
        await call(MACHINE.MountToolsInstaller, machine)
    await call.done(MACHINE.PowerOnVM_Task, machine)
    with pytest.raises(vim25.GenericVmConfigFault):  # no drive
        await call(MACHINE.MountToolsInstaller, machine)
    await call.done(MACHINE.PowerOffVM_Task, machine)
    drive = vim25.VirtualCdrom(
        key=-1,
        controllerKey=200,
        unitNumber=0,
        backing=vim25.VirtualCdromRemotePassthroughBackingInfo(deviceName="", exclusive=False),
    )
    change = vim25.VirtualDeviceConfigSpec(operation="add", device=drive)
    spec = vim25.VirtualMachineConfigSpec(deviceChange=[change])
    await call.done(MACHINE.ReconfigVM_Task, machine, spec=spec)
    await call.done(MACHINE.PowerOnVM_Task, machine)
    await call(MACHINE.MountToolsInstaller, machine)
    shown = await call.read(machine, "runtime.toolsInstallerMounted")
    assert shown == {"runtime.toolsInstallerMounted": True}
    with pytest.raises(vim25.InvalidState):
        await call(MACHINE.MountToolsInstaller, machine)
    await call(MACHINE.UnmountToolsInstaller, machine)


async def test_keys_are_typed_on_a_running_machine(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    machine = call.esx.machine("vm-0")

    async def type_(*codes: int) -> int:
        events = [vim25.UsbScanCodeSpecKeyEvent(usbHidCode=code) for code in codes]
        spec = vim25.UsbScanCodeSpec(keyEvents=events)
        taken: int = await call(MACHINE.PutUsbScanCodes, machine.ref, spec=spec)
        return taken

    with pytest.raises(vim25.InvalidPowerState):
        await type_(0x40007)
    await call.done(MACHINE.PowerOnVM_Task, machine.ref)
    assert await type_(0x40007, 0x50007) == 2
    assert [event.usbHidCode >> 16 for event in machine.typed] == [4, 5]
    with pytest.raises(vim25.InvalidArgument):
        await type_(4)


async def test_the_virtual_hardware_is_upgraded(make: Callable[..., Any]) -> None:
    call = await make(version="8.0")
    spec = vim25.VirtualMachineConfigSpec(
        name="old",
        version="vmx-10",
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
    )
    center = (await call.read(vim25.Datacenter("ha-datacenter"), "vmFolder"))["vmFolder"]
    pool = vim25.ResourcePool("ha-root-pool")
    machine = await call.done(vim25.Folder.CreateVM_Task, center, config=spec, pool=pool)
    await call.done(MACHINE.UpgradeVM_Task, machine, version="vmx-13")
    assert await call.read(machine, "config.version") == {"config.version": "vmx-13"}
    await call.done(MACHINE.UpgradeVM_Task, machine)
    assert await call.read(machine, "config.version") == {"config.version": "vmx-21"}
    with pytest.raises(vim25.AlreadyUpgraded):
        await call.done(MACHINE.UpgradeVM_Task, machine)
    assert 'virtualHW.version = "21"' in (
        call.esx.datastore_path("datastore1").joinpath("old/old.vmx").read_text()
    )


async def test_an_nfs_volume_is_mounted(make: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    folder.joinpath("image.iso").write_bytes(b"iso")
    call = await make(exports={"nas.example:/images": folder})
    managers = (await call.read(call.esx.host.ref, "configManager"))["configManager"]
    create = vim25.HostDatastoreSystem.CreateNasDatastore

    async def mount(name: str, path: str) -> Any:
        spec = vim25.HostNasVolumeSpec(
            remoteHost="nas.example", remotePath=path, localPath=name, accessMode="readWrite"
        )
        return await call(create, managers.datastoreSystem, spec=spec)

    with pytest.raises(vim25.PlatformConfigFault):
        await mount("none", "/nonesuch")
    store = await mount("images", "/images")
    assert store.moref[1] == "nas.example:/images"
    found = await call.read(store, "summary.type", "info")
    assert found["summary.type"] == "NFS"
    assert (found["info"].nas.remoteHost, found["info"].nas.remotePath) == (
        "nas.example",
        "/images",
    )
    for fault, name, path in ((vim25.AlreadyExists, "again", "/images"),
                              (vim25.DuplicateName, "datastore1", "/other")):  # fmt: skip
        with pytest.raises(fault):
            await mount(name, path)
    mounts = (await call.read(call.esx.host.ref, "config.fileSystemVolume"))[
        "config.fileSystemVolume"
    ].mountInfo
    assert [mount.volume.type for mount in mounts] == ["VMFS", "NFS"]
    await call(vim25.HostDatastoreSystem.RemoveDatastore, managers.datastoreSystem, datastore=store)
    assert folder.joinpath("image.iso").exists()


def allocation(**given: Any) -> Any:
    return vim25.ResourceAllocationInfo(
        shares=vim25.SharesInfo(level="normal", shares=4000), expandableReservation=True, **given
    )


async def test_a_resource_pool_is_made_changed_filled_and_emptied(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    root = vim25.ResourcePool("ha-root-pool")
    spec = vim25.ResourceConfigSpec(
        cpuAllocation=allocation(reservation=0, limit=-1),
        memoryAllocation=allocation(reservation=0, limit=-1),
    )
    pool = await call(POOL.CreateResourcePool, root, name="blue", spec=spec)
    with pytest.raises(vim25.DuplicateName):
        await call(POOL.CreateResourcePool, root, name="blue", spec=spec)
    spec.cpuAllocation.limit = 500
    await call(POOL.UpdateConfig, pool, name="green", config=spec)
    found = await call.read(pool, "name", "config.cpuAllocation.limit")
    assert found == {"name": "green", "config.cpuAllocation.limit": 500}
    machine = call.esx.machine("vm-0").ref
    await call(POOL.MoveIntoResourcePool, pool, list=[machine])
    assert (await call.read(machine, "resourcePool"))["resourcePool"] == pool
    wrong = vim25.ResourceConfigSpec(
        cpuAllocation=allocation(reservation=10**9, limit=-1), memoryAllocation=allocation()
    )
    with pytest.raises(vim25.InsufficientCpuResourcesFault):
        await call(POOL.UpdateConfig, pool, name="red", config=wrong)
    assert await call.read(pool, "name") == {"name": "green"}
    await call(POOL.DestroyChildren, root)
    assert await call.read(root, "resourcePool", "vm") == {"resourcePool": [], "vm": [machine]}
