"""Managers of the host's configuration (`HostSystem.configManager`), read with their state in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib._collector import Hop, Traversal
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from vimlib._client import Client
    from vimlib._collector import Row

_HOST: Final = (
    (
        "Folder",
        "childEntity",
        ("Folder.childEntity", "Datacenter.hostFolder", "ComputeResource.host"),
    ),
    ("Datacenter", "hostFolder", ("Folder.childEntity",)),
)


async def read_manager(
    client: Client, kind: type[vim25.ManagedObject], name: str, *paths: str
) -> Row[Any]:
    """Return properties of a manager of the only host, in one call. Cancelling loses nothing.

    `name` is the manager's in `configManager`, as `serviceSystem`.

    Raises:
        NotFoundError: The host does not have it, or there is more than one host (a vCenter).
    """
    last = f"configManager.{name}"
    hops = [Hop(*hop) for hop in _HOST]
    hops += [Hop("ComputeResource", "host", (f"HostSystem.{last}",)), Hop("HostSystem", last)]
    source = Traversal(tuple(hops)).start(client.content.rootFolder)
    rows = (await client.gather({kind: paths}, source=source))[kind]
    if len(rows) != 1:
        raise NotFoundError(
            f"exactly one {kind.__name__} is required, {client.host} has {len(rows)}",
            kind=kind.__name__,
            hint="Connect to the ESX host itself, as a user who may read its configuration.",
        )
    return rows[0]
