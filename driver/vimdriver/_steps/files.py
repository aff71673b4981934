"""Delete and move files of datastores, to a known outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver._steps.outcome import run_task
from vimlib import vim25
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from vimdriver._config import DriverConfig
    from vimlib._client import Client
    from vimlib._datastore import DatastorePath

__all__ = ["delete", "move"]


def _manager(client: Client) -> vim25.FileManager:
    manager = client.content.fileManager
    if manager is None:
        raise NotFoundError(f"{client.host} has no file manager", kind="FileManager")
    return client.bind(manager)


async def delete(client: Client, path: DatastorePath, config: DriverConfig) -> None:
    """Delete a file, or a folder with all in it (`DeleteDatastoreFile_Task`). A missing one is no error.

    Cancelling leaves the task running: shield it.

    Raises:
        MethodFault: The host refused.
        OutcomeUnknownError: The host did not answer, and it is still there.
    """
    manager, datastore = _manager(client), client.datastore(path.datastore)
    center = (await datastore.place()).datacenter

    async def is_gone() -> bool | None:
        return not await datastore.exists(path) or None

    try:
        await run_task(
            client,
            lambda: manager.DeleteDatastoreFile_Task(str(path), datacenter=center),
            config,
            look=is_gone,
            method="DeleteDatastoreFile_Task",
            harmless=True,
        )
    except vim25.FileNotFound:
        return


async def move(
    client: Client,
    path: DatastorePath,
    to: DatastorePath,
    config: DriverConfig,
    *,
    size: int,
    overwrite: bool = False,
) -> None:
    """Move a file of `size` bytes within its datastore (`MoveDatastoreFile_Task`).

    Where the host's answer got lost, it has moved if nothing has the old name, and what has the new
    one is of its size: with `overwrite` there may have been another. Cancelling leaves the task
    running: shield it.

    Raises:
        FileAlreadyExists: There is a file of that name, and `overwrite` is false.
        MethodFault: The host refused.
        OutcomeUnknownError: The host did not answer, and the file is not there.
    """
    manager, datastore = _manager(client), client.datastore(path.datastore)
    center = (await datastore.place()).datacenter

    async def is_moved() -> bool | None:
        try:
            found = await datastore.stat(to)
        except NotFoundError:
            return None
        return (found.size == size and not await datastore.exists(path)) or None

    await run_task(
        client,
        lambda: manager.MoveDatastoreFile_Task(
            str(path),
            destinationName=str(to),
            sourceDatacenter=center,
            destinationDatacenter=center,
            force=overwrite,
        ),
        config,
        look=is_moved,
        method="MoveDatastoreFile_Task",
    )
