"""Whether a datastore can take what is to be put there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimdriver.errors import DatastoreUnusableError
from vimlib import vim25
from vimlib.errors import NotFoundError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from vimlib._client import Client

__all__ = ["free_space"]


async def free_space(client: Client, datastore: str) -> int:
    """Return the free bytes of a datastore that can take files now.

    Raises:
        NotFoundError: There is none of that name; names those that are.
        DatastoreUnusableError: It is not accessible or in maintenance.
    """
    names = []
    # The summary's name is the one in paths; the entity's has a `%` escaped.
    paths = ["summary.name", "summary.accessible", "summary.freeSpace"]
    if parse_version(client.api_version) >= (5,):
        paths.append("summary.maintenanceMode")  # datastores have no such mode before 5.0
    # All at once: a loop that is left early would end its retrieval some time later.
    for row in await client.collect(vim25.Datastore, *paths).all():
        names.append(str(row.props.get("summary.name")))
        if names[-1] != datastore:
            continue
        if not row.props.get("summary.accessible", True):
            raise DatastoreUnusableError(datastore=datastore, state="inaccessible")
        mode = row.props.get("summary.maintenanceMode") or "normal"
        if mode != "normal":
            raise DatastoreUnusableError(datastore=datastore, state=mode)
        return int(row["summary.freeSpace"])
    raise NotFoundError(
        f"datastore not found on {client.host}: {datastore!r}",
        kind="Datastore",
        name=datastore,
        hint=f"The host has: {', '.join(sorted(names)) or 'none'}.",
    )
