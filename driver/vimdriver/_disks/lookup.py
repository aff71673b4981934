"""The disks and ISO images in a folder of a datastore, as the host describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vimlib import vim25
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from datetime import datetime

    from vimdriver._verbs import Host
    from vimlib._datastore import DatastorePath


class StoredDisk(NamedTuple):
    """A disk, an ISO image or another file."""

    path: DatastorePath
    capacity: int | None
    """Bytes of a disk; None for all else, and where the host does not report it."""
    size: int
    """Bytes that it takes on the datastore."""
    modified: datetime | None


async def stored_disks(host: Host, folder: DatastorePath, pattern: str = "*") -> list[StoredDisk]:
    """Return the disks and other files in a folder; [] if it is missing.

    One search; cancelling leaves it to end. Raises `NotFoundError` for a missing datastore.
    """
    browser = (await host.datastore(folder.datastore).place()).browser
    spec = vim25.HostDatastoreBrowserSearchSpec(
        query=[
            vim25.VmDiskFileQuery(
                details=vim25.VmDiskFileQueryFlags(
                    diskType=True, capacityKb=True, hardwareVersion=False
                )
            ),
            vim25.FileQuery(),
        ],
        matchPattern=[pattern],
        details=vim25.FileQueryFlags(
            fileType=True, fileSize=True, modification=True, fileOwner=False
        ),
        searchCaseInsensitive=False,
        sortFoldersFirst=False,
    )
    tasks = host.client.tasks
    try:
        found: vim25.HostDatastoreBrowserSearchResults | None = await tasks.wait(
            await browser.SearchDatastore_Task(str(folder), searchSpec=spec),
            host.config.task_seconds,
            method="SearchDatastore_Task",
        )
    except vim25.FileNotFound:
        return []
    disks = []
    for item in found.file if found is not None else ():
        if isinstance(item, vim25.FolderFileInfo):
            continue
        kib = getattr(item, "capacityKb", None)
        disks.append(
            StoredDisk(
                folder / item.path.rpartition("/")[2],
                None if kib is None else kib * 1024,
                item.fileSize or 0,
                item.modification,
            )
        )
    return disks


async def stored_disk(host: Host, path: DatastorePath) -> StoredDisk:
    """Return one disk or ISO image. Raises `NotFoundError`; cancelling leaves the search to end."""
    # `?` stands for each special character of a pattern; equality decides below.
    pattern = "".join("?" if char in "*[]\\" else char for char in path.name)
    for disk in await stored_disks(host, path.parent, pattern):
        if disk.path == path:
            return disk
    raise NotFoundError(
        f"not found: {path}",
        hint=f"List the folder: vimctl datastore ls '{path.parent}'.",
        kind="file",
        name=str(path),
    )
