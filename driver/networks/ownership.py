"""Remember which port groups we made.

A port group carries no note of its own, so a small file in a datastore does: written before the
port group is made, removed after it is. Each making writes a file of its own, so that of two who
are at it at the same time the slower one takes back only its own. A file without its port group
does no harm.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from vimlib import vim25
from vimlib.datastore import DatastorePath
from vimlib.errors import NotFoundError, VimlibError, printable

if TYPE_CHECKING:
    from vimlib.client import Client

__all__ = ["forget", "is_ours", "remember", "take_back"]

_FOLDER = "vimlib-networks"


def _stem(owner: str, name: str) -> str:
    # The name may hold anything; its digest is a file name everywhere.
    return hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()[:32]


async def _datastores(client: Client) -> list[str]:
    """Return the names of datastores that can be asked now, sorted, so that all agree on the first."""
    return sorted(
        [
            str(row["name"])
            async for row in client.collect(vim25.Datastore, "name", "summary.accessible")
            if row.props.get("summary.accessible", True)
        ]
    )


async def _text(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _notes(client: Client, owner: str, name: str) -> list[DatastorePath]:
    """Return the notes about a port group: on any datastore, since one may have come or gone."""
    found = []
    for store in await _datastores(client):
        datastore = client.datastore(store)
        try:
            entries = await datastore.list(_FOLDER, f"{_stem(owner, name)}.*")
        except NotFoundError:
            continue
        found += [entry.path for entry in entries]
    return found


async def remember(client: Client, owner: str, name: str, vlan: int) -> DatastorePath:
    """Note that a port group is about to be made by us. Return the note.

    Cancelling may leave it there: shield it.

    Raises:
        NotFoundError: There is no datastore to write it to.
    """
    names = await _datastores(client)
    if not names:
        raise NotFoundError(
            "the host has no accessible datastore to remember port groups in", kind="Datastore"
        )
    path = DatastorePath(names[0], f"{_FOLDER}/{_stem(owner, name)}.{secrets.token_hex(8)}")
    datastore = client.datastore(path.datastore)
    await datastore.mkdir(path.parent, parents=True, exist_ok=True)
    data = f"{owner}\n{vlan}\n{name}\n".encode()
    try:
        await datastore.upload(path, _text(data), size=len(data))
    except VimlibError as error:
        try:
            await take_back(client, path)
        except VimlibError as failure:
            error.add_note(f"Left behind: {path} ({printable(str(failure))})")
        raise
    return path


async def is_ours(client: Client, owner: str, name: str) -> bool:
    """Return whether the port group of that name was made by us. Cancelling loses nothing."""
    return bool(await _notes(client, owner, name))


async def forget(client: Client, owner: str, name: str) -> None:
    """Remove all notes about a port group; that there are none is no error."""
    for note in await _notes(client, owner, name):
        await take_back(client, note)


async def take_back(client: Client, note: DatastorePath) -> None:
    """Remove one note; that it is gone is no error."""
    await client.datastore(note.datastore).delete(note, missing_ok=True)
