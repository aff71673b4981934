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
from typing import TYPE_CHECKING, Final

from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, TransferRejectedError, VimlibError, printable

if TYPE_CHECKING:
    from datetime import datetime

    from vimlib._client import Client

__all__ = ["forget", "is_ours", "new_note", "old_notes", "remember", "take_back", "vlan_of"]

_FOLDER: Final = "vimlib-networks"
_LONGEST: Final = 4096


def _stem(owner: str, name: str) -> str:
    # The name may hold anything; its digest is a file name everywhere.
    return hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()[:32]


async def _datastores(client: Client, *, writable: bool = False) -> list[str]:
    """Return the names of datastores that can be asked now, sorted, so that all agree on the first.

    `writable` leaves out those that the host has mounted read-only, as one for CD images often is.
    """
    return sorted(
        [
            str(row["summary.name"])
            async for row in client.collect(
                vim25.Datastore, "summary.name", "summary.accessible", "host"
            )
            if row.props.get("summary.accessible", True)
            and not (writable and _is_read_only(row.props.get("host") or []))
        ]
    )


def _is_read_only(mounts: list[vim25.DatastoreHostMount]) -> bool:
    modes = {mount.mountInfo.accessMode for mount in mounts}
    return modes == {vim25.HostMountMode.readOnly}


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


async def new_note(client: Client, owner: str, name: str) -> DatastorePath:
    """Return the path of a note that is not there yet. Cancelling loses nothing.

    Raises:
        NotFoundError: There is no datastore to write it to.
    """
    names = await _datastores(client, writable=True)
    if not names:
        raise NotFoundError(
            "the host has no accessible datastore for the owner marks of port groups",
            kind="Datastore",
            hint="Mount a writable datastore.",
        )
    return DatastorePath(names[0], f"{_FOLDER}/{_stem(owner, name)}.{secrets.token_hex(8)}")


async def remember(client: Client, owner: str, name: str, vlan: int, path: DatastorePath) -> None:
    """Note at `path`, of `new_note`, that a port group is about to be made by us.

    Cancelling may leave it there: shield it.
    """
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


async def is_ours(client: Client, owner: str, name: str, vlan: int) -> bool:
    """Return whether the port group of that name and VLAN id was made by us.

    One of another VLAN id is somebody else's, made under the name of one of ours that they removed.
    Cancelling loses nothing.
    """
    for note in await _notes(client, owner, name):
        if await vlan_of(client, note, owner) == vlan:
            return True
    return False


async def forget(client: Client, owner: str, name: str) -> None:
    """Remove all notes about a port group; that there are none is no error."""
    for note in await _notes(client, owner, name):
        await take_back(client, note)


async def take_back(client: Client, note: DatastorePath) -> None:
    """Remove one note; that it is gone is no error."""
    await client.datastore(note.datastore).delete(note, missing_ok=True)


async def vlan_of(client: Client, note: DatastorePath, owner: str) -> int | None:
    """Return the VLAN id that a note of the owner's names; None if it is none, or gone.

    Cancelling loses nothing.
    """
    found = await _read(client, note, owner)
    return None if found is None else found[1]


async def old_notes(
    client: Client, owner: str, *, now: datetime, older_than: float
) -> list[tuple[DatastorePath, str]]:
    """Return the owner's notes that are so many seconds old, each with its port group's name.

    `now` is the host's time, as the ages of its files are told by. What is no note of the owner's is passed over. Cancelling loses nothing.
    """
    found = []
    for store in await _datastores(client):
        try:
            entries = await client.datastore(store).list(_FOLDER)
        except NotFoundError:
            continue
        for entry in entries:
            if entry.is_dir or entry.size > _LONGEST:
                continue
            if entry.modified is None or (now - entry.modified).total_seconds() < older_than:
                continue
            said = await _read(client, entry.path, owner)
            if said is not None:
                found.append((entry.path, said[0]))
    return found


async def _read(client: Client, note: DatastorePath, owner: str) -> tuple[str, int] | None:
    """Return name and VLAN id of the port group that a note is about; None if it is not the owner's."""
    data = b""
    try:
        async with client.datastore(note.datastore).download(note) as body:
            async for chunk in body:
                data += chunk
                if len(data) > _LONGEST:
                    return None
    except TransferRejectedError as error:
        if error.status != 404:
            raise
        return None  # taken back meanwhile
    lines = data.decode(errors="replace").split("\n")
    # The name of the file is a digest of both: what does not fit it, we did not write.
    if (
        len(lines) < 3
        or lines[0] != owner
        or not lines[1].isdecimal()
        or not note.name.startswith(f"{_stem(owner, lines[2])}.")
    ):
        return None
    return lines[2], int(lines[1])
