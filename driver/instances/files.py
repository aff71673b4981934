"""Delete files and folders of datastores, to a known outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from driver.instances.outcome import run_task
from vimlib import vim25
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from driver.config import DriverConfig
    from vimlib.client import Client
    from vimlib.datastore import DatastorePath

__all__ = ["delete"]


async def delete(client: Client, path: DatastorePath, config: DriverConfig) -> None:
    """Delete a file, or a folder with all in it (`DeleteDatastoreFile_Task`). A missing one is no error.

    Cancelling leaves the task running: shield it.

    Raises:
        MethodFault: The host refused.
        OutcomeUnknownError: The host did not answer, and it is still there.
    """
    datastore = client.datastore(path.datastore)
    center = (await datastore.place()).datacenter
    manager = client.content.fileManager
    if manager is None:
        raise NotFoundError(f"{client.host} has no file manager", kind="FileManager")
    bound = client.bind(manager)

    async def is_gone() -> bool | None:
        return not await datastore.exists(path) or None

    try:
        await run_task(
            client,
            lambda: bound.DeleteDatastoreFile_Task(str(path), datacenter=center),
            config,
            look=is_gone,
            method="DeleteDatastoreFile_Task",
        )
    except vim25.FileNotFound:
        return
