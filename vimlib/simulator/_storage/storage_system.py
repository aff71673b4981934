"""HostStorageSystem: the devices and volumes of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import no_such_item
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._data import storage
from vimlib.simulator._storage.datastore import Datastore

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry


class StorageSystem(SimObject):
    """Devices and volumes."""

    kind = "HostStorageSystem"

    def __init__(self, registry: Registry, moid: str) -> None:
        self.iscsi = False
        """Whether the software initiator is on."""
        super().__init__(registry, moid)

    def disks(self) -> dict[int, int]:
        """Return the bytes of each disk by number: one for each VMFS datastore."""
        return {
            store.disk: store.capacity
            for store in self.registry.all(Datastore).values()
            if store.disk is not None
        }

    @prop("fileSystemVolumeInfo", cached=False)
    def _volumes(self) -> Any:
        return vim25.HostFileSystemVolumeInfo(
            volumeTypeList=["VMFS", "NFS"],
            mountInfo=[store.mount() for store in self.registry.all(Datastore).values()],
        )

    @prop("storageDeviceInfo")
    def _devices(self) -> Any:
        return storage.storage_device(self.registry.release, self.disks(), iscsi=self.iscsi)

    @prop("multipathStateInfo")
    def _paths(self) -> Any:
        return storage.multipath_state(self.registry.release, self.disks())

    @prop("systemFile")
    def _system_files(self) -> list[str]:
        """Return the disk of a service console, on the first datastore."""
        stores = list(self.registry.all(Datastore).values())
        if not self.registry.release.classic or not stores:
            return []
        return [stores[0].shown(f"esxconsole-{stores[0].uuid}/esxconsole.vmdk")]


@handles(StorageSystem, "RefreshStorageSystem", "RescanVmfs", "RescanAllHba", "RescanVffs")
def rescan(system: StorageSystem, call: Call) -> None:
    """Do nothing: nothing is stale."""


@handles(StorageSystem, "RescanHba")
def rescan_adapter(system: StorageSystem, call: Call) -> None:
    """Do nothing for an adapter that exists."""
    wanted = call.args["hbaDevice"]
    adapters = system.read("storageDeviceInfo").hostBusAdapter
    if all(wanted not in (adapter.device, adapter.key) for adapter in adapters):
        raise no_such_item(wanted)


@handles(StorageSystem, "UpdateSoftwareInternetScsiEnabled")
def enable_iscsi(system: StorageSystem, call: Call) -> None:
    """Switch the software initiator of iSCSI on or off."""
    system.iscsi = call.args["enabled"]
    system.changed_in_host("storageDeviceInfo")


@handles(StorageSystem, "QueryPathSelectionPolicyOptions")
def path_policies(system: StorageSystem, call: Call) -> list[Any]:
    """Return the policies that choose a path."""
    names = {
        "VMW_PSP_MRU": "Most Recently Used (VMware)",
        "VMW_PSP_FIXED": "Fixed (VMware)",
        "VMW_PSP_RR": "Round Robin (VMware)",
    }
    return [
        vim25.HostPathSelectionPolicyOption(
            policy=vim25.ElementDescription(label=label, summary=label, key=key)
        )
        for key, label in names.items()
    ]


@handles(StorageSystem, "QueryUnresolvedVmfsVolume")
def unresolved_volumes(system: StorageSystem, call: Call) -> list[Any]:
    """Return an empty list: no volume is a copy of another."""
    return []
