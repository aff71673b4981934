"""Calls to the host's VirtualDiskManager, each a step or a read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimdriver._disks.record import hex_of
from vimlib import vim25
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from vimdriver._verbs import Host
    from vimlib._datastore import DatastorePath

_COPY: Final = "CopyVirtualDisk_Task"


def disk_manager(host: Host) -> vim25.VirtualDiskManager:
    """Return the host's. Raises `NotFoundError` for one without."""
    manager = host.client.content.virtualDiskManager
    if manager is None:
        raise NotFoundError("the host has no VirtualDiskManager", kind="VirtualDiskManager")
    return host.client.bind(manager)


async def datacenter_of(host: Host, path: DatastorePath) -> vim25.Datacenter:
    """Return the datacenter of a datastore, read once for each host. Raises `NotFoundError`."""
    return (await host.datastore(path.datastore).place()).datacenter


async def copy_disk(
    host: Host,
    source: str,
    target: DatastorePath,
    spec: vim25.VirtualDiskSpec | None,
    *,
    centers: tuple[vim25.Datacenter, vim25.Datacenter] | None = None,
) -> None:
    """Copy a disk on the host (`CopyVirtualDisk_Task`), and return once the copy is whole.

    If the answer is lost, the host is read once no copy runs any more: the copy is whole if its file is
    there and all of the host's recent copies succeeded. A host that lost its tasks in a restart shows
    none, and a copy that failed may be this one, so the outcome is not known then.

    Args:
        host: The host.
        source: Datastore path of the disk.
        target: Of the copy; the name must be nobody else's.
        spec: None for a vCenter, which takes none.
        centers: Datacenters of source and target; a standalone host has one.

    Raises:
        MethodFault: The host refused, or the task failed.
        OutcomeUnknownError: The answer is lost, and the copy is not certain to be whole.

    Cancelling leaves the task running: shield it, and delete the target.
    """
    manager, tasks = disk_manager(host), host.client.tasks
    given, made = centers or (None, None)

    async def whole() -> Any:
        if not await host.exists(target):
            return None
        copies = await tasks.recent(_COPY)
        done = vim25.TaskInfoState.success
        return (bool(copies) and all(copy.state == done for copy in copies)) or None

    await tasks.run(
        lambda: manager.CopyVirtualDisk_Task(
            source,
            sourceDatacenter=given,
            destName=str(target),
            destDatacenter=made,
            destSpec=spec,
        ),
        host.config.task_seconds,
        probe=whole,
        method=_COPY,
        settle=host.config.settle_seconds,
        held=(vim25.TaskInProgress,),
    )


async def disk_uuid(host: Host, path: DatastorePath) -> str:
    """Return a disk's UUID as 32 hex digits, "" if there is no such disk (`QueryVirtualDiskUuid`)."""
    try:
        found = await disk_manager(host).QueryVirtualDiskUuid(
            str(path), datacenter=await datacenter_of(host, path)
        )
    except vim25.FileFault:
        return ""
    return hex_of(found)


def extent_of(disk: DatastorePath) -> DatastorePath:
    """Return the path of a flat disk's extent, which hosts hide behind its descriptor."""
    return disk.with_name(f"{disk.name.removesuffix('.vmdk')}-flat.vmdk")
