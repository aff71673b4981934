"""HostStorageSystem: the volumes of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.objects import SimObject, prop
from vimlib.simulator._storage.datastore import Datastore

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call


class StorageSystem(SimObject):
    """Volumes."""

    kind = "HostStorageSystem"

    @prop("fileSystemVolumeInfo", cached=False)
    def _volumes(self) -> Any:
        return vim25.HostFileSystemVolumeInfo(
            volumeTypeList=["VMFS"],
            mountInfo=[store.mount() for store in self.registry.all(Datastore).values()],
        )


@handles(StorageSystem, "RefreshStorageSystem", "RescanVmfs", "RescanAllHba", "RescanHba")
def rescan(system: StorageSystem, call: Call) -> None:
    """Do nothing: nothing is stale."""
