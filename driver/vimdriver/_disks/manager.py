"""Calls to the host's VirtualDiskManager, each a step or a read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._disks.record import hex_of
from vimlib import vim25
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from vimdriver._verbs import Host
    from vimlib._datastore import DatastorePath


def disk_manager(host: Host) -> vim25.VirtualDiskManager:
    """Return the host's. Raises `NotFoundError` for one without."""
    manager = host.client.content.virtualDiskManager
    if manager is None:
        raise NotFoundError("the host has no VirtualDiskManager", kind="VirtualDiskManager")
    return host.client.bind(manager)


async def datacenter_of(host: Host, path: DatastorePath) -> vim25.Datacenter:
    """Return the datacenter of a datastore, read once for each host. Raises `NotFoundError`."""
    return (await host.datastore(path.datastore).place()).datacenter


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
