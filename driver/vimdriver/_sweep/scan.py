"""Read the objects with the owner's mark from the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._images.sink import is_temporary, made_at, owner_mark
from vimdriver._instances.further import own_disks
from vimdriver._instances.machine import (
    IMPORT_KEY,
    MAKING_KEY,
    OWNER_KEY,
    SPAWN_KEY,
    every,
    marks_of,
)
from vimdriver._sweep.decide import MarkedMachine
from vimdriver._verbs.host import Moment
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import InvalidPathError

if TYPE_CHECKING:
    from vimlib._client import Client

# Of a file, and of a disk's descriptor and extent.
_ENDINGS = ("", ".vmdk", "-flat.vmdk")


async def marked_machines(
    client: Client, owner: str
) -> dict[vim25.VirtualMachine, tuple[str, bool]]:
    """Return the owner's machines, each with its token and whether it is half-made.

    One retrieval for all. Cancelling loses nothing.
    """
    found = {}
    for row in await every(client, "config.extraConfig"):
        marks = marks_of(row)
        if marks.get(OWNER_KEY) == owner:
            found[row.obj] = (marks.get(SPAWN_KEY, ""), MAKING_KEY in marks)
    return found


async def read_machine(
    client: Client, vm: vim25.VirtualMachine, owner: str
) -> MarkedMachine | None:
    """Return a machine as it is now; None if it is gone, or no longer carries the mark.

    Cancelling loses nothing.
    """
    try:
        row = await client.get(
            vm,
            "name",
            "config.instanceUuid",
            "config.extraConfig",
            "config.files.vmPathName",
            "config.hardware.device",
            "runtime.powerState",
        )
    except vim25.ManagedObjectNotFound:
        return None
    marks = marks_of(row)
    if marks.get(OWNER_KEY) != owner:
        return None
    vmx = row.props.get("config.files.vmPathName")
    devices = row.props.get("config.hardware.device") or []
    return MarkedMachine(
        vm=vm,
        name=str(row.props.get("name") or ""),
        uuid=str(row.props.get("config.instanceUuid") or ""),
        token=marks.get(SPAWN_KEY, ""),
        making=marks.get(MAKING_KEY),
        power_state=str(row.props.get("runtime.powerState") or "unknown"),
        imported=IMPORT_KEY in marks,
        disks=max(
            sum(isinstance(device, vim25.VirtualDisk) for device in devices) - own_disks(marks), 0
        ),
        vmx=DatastorePath.parse(vmx) if vmx else None,
    )


async def temporary_files(
    client: Client, store: str, owner: str
) -> list[tuple[DatastorePath, Moment, bool]]:
    """Return the owner's temporary files and folders anywhere in a datastore, with their ages.

    The last part is whether it is a folder.

    One task (`SearchDatastoreSubFolders_Task`), that reads every folder of it. Cancelling leaves
    the task to end by itself.
    """
    browser = (await client.datastore(store).place()).browser
    results = await client.tasks.wait(
        await browser.SearchDatastoreSubFolders_Task(
            str(DatastorePath(store)),
            searchSpec=vim25.HostDatastoreBrowserSearchSpec(
                matchPattern=[f"*.{owner_mark(owner)}-*.part{end}" for end in _ENDINGS],
                details=vim25.FileQueryFlags(
                    fileType=True, fileSize=True, modification=True, fileOwner=False
                ),
                searchCaseInsensitive=False,
                sortFoldersFirst=False,
            ),
        ),
        method="SearchDatastoreSubFolders_Task",
    )
    found = []
    for result in results or []:
        try:
            where = result.folderPath or str(DatastorePath(store))
            folder = DatastorePath.parse(where.rstrip("/"))
        except InvalidPathError:
            # Not one of our names, so none of our files is in there.
            continue
        for item in result.file or []:
            name = item.path.rpartition("/")[2]
            if is_temporary(name, owner):
                began = Moment(item.modification, made_at(name, owner))
                found.append((folder / name, began, isinstance(item, vim25.FolderFileInfo)))
    return found
