"""Remember which port groups we made.

A port group carries no note of its own, so a small file in a datastore does: written before the
port group is made, removed after it is. A file without its port group does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from vimlib import vim25
from vimlib.datastore import DatastorePath
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from vimlib.client import Client

__all__ = ["forget", "is_ours", "remember"]

_FOLDER = "vimlib-networks"


async def _mark(client: Client, owner: str, name: str) -> DatastorePath:
    """Return the path of the mark: on the first accessible datastore by name, so that all agree."""
    names = sorted(
        [
            str(row["name"])
            async for row in client.collect(vim25.Datastore, "name", "summary.accessible")
            if row.props.get("summary.accessible", True)
        ]
    )
    if not names:
        raise NotFoundError(
            "the host has no accessible datastore to remember port groups in", kind="Datastore"
        )
    # The name may hold anything; its digest is a file name everywhere.
    digest = hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()[:32]
    return DatastorePath(names[0], f"{_FOLDER}/{digest}")


async def _text(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def remember(client: Client, owner: str, name: str, vlan: int) -> None:
    """Note that a port group is about to be made by us."""
    path = await _mark(client, owner, name)
    datastore = client.datastore(path.datastore)
    await datastore.mkdir(path.parent, parents=True, exist_ok=True)
    data = f"{owner}\n{vlan}\n{name}\n".encode()
    await datastore.upload(path, _text(data), size=len(data))


async def is_ours(client: Client, owner: str, name: str) -> bool:
    """Return whether the port group of that name was made by us."""
    path = await _mark(client, owner, name)
    return await client.datastore(path.datastore).exists(path)


async def forget(client: Client, owner: str, name: str) -> None:
    """Remove the note; that there is none is no error."""
    path = await _mark(client, owner, name)
    await client.datastore(path.datastore).delete(path, missing_ok=True)
