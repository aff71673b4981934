"""Notes about the port groups that this driver made.

A port group cannot carry an owner mark, so a small file in a datastore does: written before the
port group is made, removed after the port group is. Each attempt writes a file of its own, so that
of two attempts at the same time the slower one removes only its own. A file without its port group
does no harm.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, TransferRejectedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from vimdriver._verbs import Host
    from vimlib._client import Client

_FOLDER: Final = "vimlib-networks"
_LONGEST: Final = 4096


def _stem(owner: str, name: str) -> str:
    # The name may hold anything; its digest is a file name everywhere.
    return hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()[:32]


async def datastores(client: Client, *, writable: bool = False) -> list[str]:
    """Return the names of accessible datastores, sorted, so that all processes agree on the first.

    `writable` leaves out those that the host has mounted read-only, as one for CD images often is.
    Cancelling loses nothing.
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


async def notes_of(host: Host, name: str) -> list[DatastorePath]:
    """Return the notes about a port group: on any datastore, since one may have come or gone.

    Cancelling loses nothing.
    """
    found = []
    for store in await datastores(host.client):
        try:
            entries = await host.datastore(store).list(_FOLDER, f"{_stem(host.owner, name)}.*")
        except NotFoundError:
            continue
        found += [entry.path for entry in entries]
    return found


def new_note(datastores: Sequence[str], owner: str, name: str) -> DatastorePath:
    """Return the path of a note that is not there yet, on the first of the datastores.

    Raises:
        NotFoundError: The list is empty.
    """
    if not datastores:
        raise NotFoundError(
            "the host has no accessible datastore for the owner marks of port groups",
            kind="Datastore",
            hint="Mount a writable datastore.",
        )
    return DatastorePath(datastores[0], f"{_FOLDER}/{_stem(owner, name)}.{secrets.token_hex(8)}")


async def make_folder(host: Host, note: DatastorePath) -> None:
    """Make the folder of a note, if it is missing. Cancelling leaves it."""
    await host.datastore(note.datastore).mkdir(note.parent, parents=True, exist_ok=True)


async def write(host: Host, path: DatastorePath, name: str, vlan: int) -> None:
    """Write at `path`, of `new_note`, that a port group is about to be made by this owner.

    Cancelling may leave the file: shield it.
    """
    data = f"{host.owner}\n{vlan}\n{name}\n".encode()
    await host.datastore(path.datastore).upload(path, data)


async def vlan_of(host: Host, note: DatastorePath) -> int | None:
    """Return the VLAN id in a note of the owner's; None if it is not one, or gone.

    A port group of another VLAN id is somebody else's, made under the name of one of ours that they
    removed. Cancelling loses nothing.
    """
    found = await _read(host, note)
    return None if found is None else found[1]


async def old_notes(
    host: Host, *, now: datetime, older_than: float
) -> list[tuple[DatastorePath, str]]:
    """Return the owner's notes that are at least `older_than` seconds old, with their port groups' names.

    `now` is the host's time, by which the ages of its files are measured. Other files are passed
    over. Cancelling loses nothing.
    """
    found = []
    for store in await datastores(host.client):
        try:
            entries = await host.datastore(store).list(_FOLDER)
        except NotFoundError:
            continue
        for entry in entries:
            if entry.is_dir or entry.size > _LONGEST:
                continue
            if entry.modified is None or (now - entry.modified).total_seconds() < older_than:
                continue
            read = await _read(host, entry.path)
            if read is not None:
                found.append((entry.path, read[0]))
    return found


async def _read(host: Host, note: DatastorePath) -> tuple[str, int] | None:
    """Return name and VLAN id of the port group that a note is about; None if it is not the owner's."""
    data, owner = b"", host.owner
    try:
        async with host.datastore(note.datastore).download(note) as body:
            async for chunk in body:
                data += chunk
                if len(data) > _LONGEST:
                    return None
    except TransferRejectedError as error:
        if error.status != 404:
            raise
        return None  # removed by now
    lines = data.decode(errors="replace").split("\n")
    # The name of the file is a digest of both: this driver did not write what does not match it.
    if (
        len(lines) < 3
        or lines[0] != owner
        or not lines[1].isdecimal()
        or not note.name.startswith(f"{_stem(owner, lines[2])}.")
    ):
        return None
    return lines[2], int(lines[1])
