"""The configuration of a machine as a host shows it, with values that follow from others.

Its forms are those of the 4 machines of a recorded ESX 4.1 (`resources/esx-4.1.0-1` of fusioninventory-agent).

A machine keeps what its `.vmx` has. The URL of its datastore, the id of a disk's content and the limits of
memory that can be added to a running machine follow from other things and are added when it is read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from vimlib import vim25

_SHARES = {"low": 500, "normal": 1000, "high": 2000}
"""Shares of a disk by level (SharesInfo)."""

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimlib.simulator._storage.datastore import Datastore


def shown_config(config: Any, stores: Sequence[Datastore], *, running: bool) -> Any:
    """Return the configuration that clients read."""
    hardware = replace(
        config.hardware,
        device=[
            _disk(device) if isinstance(device, vim25.VirtualDisk) else device
            for device in config.hardware.device
        ],
    )
    return replace(
        config,
        hardware=hardware,
        npivWorldWideNameType="",
        npivTemporaryDisabled=True,
        hotPlugMemoryLimit=config.hardware.memoryMB if running else None,
        hotPlugMemoryIncrementSize=0 if running else None,
        cpuFeatureMask=config.cpuFeatureMask or [vim25.HostCpuIdInfo(level=0, vendor="amd")],
        datastoreUrl=[
            vim25.VirtualMachineConfigInfoDatastoreUrlPair(
                name=store.name, url=f"/vmfs/volumes/{store.uuid}"
            )
            for store in stores
        ],
        initialOverhead=vim25.VirtualMachineConfigInfoOverheadInfo(
            initialMemoryReservation=None, initialSwapReservation=None
        ),
        latencySensitivity=config.latencySensitivity or vim25.LatencySensitivity(level="normal"),
        messageBusTunnelEnabled=False,
        migrateEncryption=config.migrateEncryption or "opportunistic",
        ftEncryptionMode="ftEncryptionOpportunistic",
        sevEnabled=False,
        pmemFailoverEnabled=False,
        vmxStatsCollectionEnabled=True,
        vmOpNotificationToAppEnabled=False,
        fixedPassthruHotPlugEnabled=False,
        metroFtEnabled=False,
        rebootPowerOff=False,
    )


def _disk(disk: Any) -> Any:
    name = getattr(disk.backing, "fileName", None)
    if name and getattr(disk.backing, "contentId", "") is None:
        # A host reads the id from the descriptor and changes it with the content; this one stays.
        digest = hashlib.sha256(name.encode()).hexdigest()[:24] + "fffffffe"
        disk = replace(disk, backing=replace(disk.backing, contentId=digest))
    given = disk.storageIOAllocation or vim25.StorageIOAllocationInfo()
    # `shares` is the older place of the same value.
    shares = given.shares or disk.shares or vim25.SharesInfo(shares=1000, level="normal")
    if shares.level in _SHARES:
        shares = vim25.SharesInfo(level=shares.level, shares=_SHARES[shares.level])
    allocation = vim25.StorageIOAllocationInfo(
        limit=-1 if given.limit is None else given.limit,
        shares=shares,
        reservation=given.reservation or 0,
    )
    return replace(disk, shares=shares, storageIOAllocation=allocation)


def nic_runtime(nics: Sequence[Any]) -> list[Any]:
    """Return the state of a running machine's network adapters: none bypasses the VMkernel."""
    return [
        vim25.VirtualMachineDeviceRuntimeInfo(
            runtimeState=vim25.VirtualMachineDeviceRuntimeInfoVirtualEthernetCardRuntimeState(
                vmDirectPathGen2Active=False,
                vmDirectPathGen2InactiveReasonVm=["vmNptIncompatibleAdapterType"],
            ),
            key=nic.key,
        )
        for nic in nics
    ]


# The methods that a host lists as disabled (recorded of an ESX 4.1, an ESXi 6.5 and an ESXi 6.7): always,
# while a machine is off, while it is on, without its tools and without snapshots.
_NEVER = """setCustomValue AddTag RemoveTag RetrieveBackupAgent CustomizeVM_Task CheckCustomizationSpec
MigrateVM_Task RelocateVM_Task CloneVM_Task MarkAsTemplate MarkAsVirtualMachine PromoteDisks_Task
CreateSecondaryVM_Task TurnOffFaultToleranceForVM_Task MakePrimaryVM_Task TerminateFaultTolerantVM_Task
DisableSecondaryVM_Task EnableSecondaryVM_Task""".split()
_OFF = """PowerOffVM_Task SuspendVM_Task ResetVM_Task ShutdownGuest RebootGuest StandbyGuest AcquireMksTicket
AcquireTicket CreateScreenshot_Task MountToolsInstaller UnmountToolsInstaller UpgradeTools_Task
SetScreenResolution TerminateVM""".split()
_ON = "PowerOnVM_Task Destroy_Task UnregisterVM ExportVm UpgradeVM_Task".split()
_NO_TOOLS = ["ShutdownGuest", "RebootGuest", "StandbyGuest"]
_NO_SNAPSHOTS = ["RevertToCurrentSnapshot_Task", "RemoveAllSnapshots_Task"]


def disabled_methods(power: str, *, tools: bool, snapshots: bool) -> list[str]:
    """Return the methods that a machine does not take in its state."""
    found = dict.fromkeys(_NEVER)
    found |= dict.fromkeys(_ON if power == "poweredOn" else _OFF)
    if not tools:
        found |= dict.fromkeys(_NO_TOOLS)
    if not snapshots:
        found |= dict.fromkeys(_NO_SNAPSHOTS)
    return list(found)
