"""Notes about the port groups that this driver made, one for each of their users.

A port group cannot carry an owner mark, so small files in a datastore do. A process that needs a
port group that is missing or being made writes a note of its own before the port group is made; `vimdriver._networks.making` has the rules by which the last one removes it. The name of the
file has the user's state, since a rename is atomic on a host. A file without its port group does no
harm.

====================== =============================================================================
`STEM.ID.making`       somebody who has not finished uses the port group
`STEM.ID`              kept: the port group is ours, and stays
`STEM.ID.leaving`      somebody whose work failed is about to remove it, unless others use it
`STEM.ID.left`         they left it to the others
====================== =============================================================================

`STEM` is a digest of owner and name, `ID` the token of the spawn or random.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, get_args

from vimdriver._journal.entries import new_token
from vimdriver._verbs.host import Moment
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, TransferRejectedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimdriver._verbs import Host
    from vimlib._client import Client

State: TypeAlias = Literal["making", "kept", "leaving", "left"]

UNFINISHED: Final[tuple[State, ...]] = ("making", "leaving")
"""The states of a note whose user works on the port group."""

_FOLDER: Final = "vimlib-networks"
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Note:
    """A note, as listed."""

    path: DatastorePath
    """`STEM.ID`, whatever its state."""
    state: State
    modified: datetime | None = None
    size: int | None = None

    @property
    def file(self) -> DatastorePath:
        """Where it is now."""
        if self.state == "kept":
            return self.path
        return self.path.with_name(f"{self.path.name}.{self.state}")

    @property
    def id(self) -> str:
        """Token of the spawn that wrote it, or random."""
        return self.path.name.partition(".")[2]


class NoteBody(NamedTuple):
    """The content of a note."""

    name: str
    vlan: int
    written: datetime | None
    """By the clock of the computer that wrote it; None in one of an earlier version."""


def _stem(owner: str, name: str) -> str:
    # The name may hold anything; its digest is a file name everywhere.
    return hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()[:32]


class Stores(NamedTuple):
    """Names of the accessible datastores, sorted, so that all processes agree on the first."""

    every: tuple[str, ...]
    writable: tuple[str, ...]
    """Without those that the host has mounted read-only, as one for CD images often is."""


async def datastores(client: Client) -> Stores:
    """Return the datastores that may hold notes. Cancelling loses nothing."""
    rows = await client.gather({vim25.Datastore: ("summary.name", "summary.accessible", "host")})
    found = sorted(
        (str(row.require("summary.name")), _is_read_only(row.props.get("host") or []))
        for row in rows[vim25.Datastore]
        if row.props.get("summary.accessible", True)
    )
    return Stores(
        tuple(name for name, _ in found), tuple(name for name, fixed in found if not fixed)
    )


def _is_read_only(mounts: list[vim25.DatastoreHostMount]) -> bool:
    modes = {mount.mountInfo.accessMode for mount in mounts}
    return modes == {vim25.HostMountMode.readOnly}


async def notes_of(host: Host, name: str = "", stores: Stores | None = None) -> list[Note]:
    """Return the owner's notes about a port group: on any datastore, since one may have come or gone.

    Without a name, all files of the folder that may be notes, of any owner. `stores` are the
    datastores where they are known already. Cancelling loses nothing.
    """
    found = []
    if stores is None:
        stores = await datastores(host.client)
    pattern = f"{_stem(host.owner, name)}.*" if name else "*"
    for store in stores.every:
        try:
            entries = await host.datastore(store).list(_FOLDER, pattern)
        except NotFoundError:
            continue
        for entry in entries:
            stem, _, rest = entry.name.partition(".")
            id_, _, state = rest.partition(".")
            given: State | None = next((s for s in get_args(State) if s == state), None)
            if not entry.is_dir and id_ and entry.size <= _LONGEST and (given or not state):
                path = entry.path.with_name(f"{stem}.{id_}")
                found.append(Note(path, given or "kept", entry.modified, entry.size))
    return found


async def busy_stems(host: Host, stores: Stores) -> frozenset[str]:
    """Return the stems of notes, of any owner, whose users have not finished. Cancelling loses nothing."""
    return frozenset(
        note.path.name.partition(".")[0]
        for note in await notes_of(host, stores=stores)
        if note.state in UNFINISHED
    )


def is_busy(host: Host, name: str, busy: frozenset[str]) -> bool:
    """Return whether somebody of this owner is making or leaving a port group."""
    return _stem(host.owner, name) in busy


def new_note(datastores: Sequence[str], owner: str, name: str, *, spawn: str = "") -> Note:
    """Return a note that is not there yet, on the first of the datastores.

    Raises:
        NotFoundError: The list is empty.
    """
    if not datastores:
        raise NotFoundError(
            "the host has no accessible datastore for the owner marks of port groups",
            kind="Datastore",
            hint="Mount a writable datastore.",
        )
    file = f"{_FOLDER}/{_stem(owner, name)}.{spawn or new_token()}"
    return Note(DatastorePath(datastores[0], file), "making")


async def make_folder(host: Host, note: Note) -> None:
    """Make the folder of a note, if it is missing. Cancelling leaves it."""
    await host.datastore(note.path.datastore).mkdir(note.path.parent, parents=True, exist_ok=True)


async def write(host: Host, note: Note, name: str, vlan: int) -> Note:
    """Write a note: this owner makes or uses a port group. Return it as it is listed then.

    Cancelling may leave the file: shield it.
    """
    data = f"{host.owner}\n{vlan}\n{name}\n{int(host.clock().timestamp())}\n".encode()
    found = await host.datastore(note.path.datastore).upload(note.file, data)
    return replace(note, modified=found.modified, size=found.size)


async def find(host: Host, path: DatastorePath, name: str) -> Note | None:
    """Return a note by its `STEM.ID`, in whatever state; None if it is gone. Cancelling loses nothing."""
    return next((note for note in await notes_of(host, name) if note.path == path), None)


async def turn(host: Host, note: Note, state: State) -> Note:
    """Change the state of a note, by a rename. Return it as it is then. Cancelling may be too late.

    Raises:
        NotFoundError: It is gone, or in another state.
    """
    if note.state == state:
        return note
    turned = replace(note, state=state)
    await host.datastore(note.path.datastore).move(note.file, turned.file, size=note.size)
    return turned


async def read(host: Host, note: Note) -> NoteBody | None:
    """Return the content of a note of the owner's; None if it is not one, or gone.

    A port group of another VLAN id is somebody else's, made under the name of one of ours that they
    removed. Cancelling loses nothing.
    """
    data, owner = b"", host.owner
    try:
        async with host.datastore(note.path.datastore).download(note.file) as body:
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
        len(lines) < 4
        or lines[0] != owner
        or not lines[1].isdecimal()
        or not note.path.name.startswith(f"{_stem(owner, lines[2])}.")
    ):
        return None
    written = int(lines[3]) if lines[3].isdecimal() and len(lines[3]) <= 10 else None
    at = None if written is None else datetime.fromtimestamp(written, UTC)
    return NoteBody(lines[2], int(lines[1]), at)


def began(note: Note, body: NoteBody) -> Moment:
    """Return when a note was written."""
    return Moment(note.modified, body.written)
