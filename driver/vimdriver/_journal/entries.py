"""Entries of a journal, one type for each kind of work, and their form as lines. No I/O, no secrets.

::

    {"vimlib_journal": 1}
    {"crc":"9b2f11c0","begin":{"what":"upload","token":"..","path":"[ds] images/a.part", ...}}
    {"crc":"0c44d3e9","done":".."}

A line counts only if its check sum fits: a path with one bit changed is another file's. The last
line may be torn by a crash during the write; its step was not begun.
"""

from __future__ import annotations

import dataclasses
import secrets
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field


def new_token() -> str:
    """Return a unique name: 64 random bits."""
    return secrets.token_hex(8)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class _Begun(Struct, frozen=True, kw_only=True, tag_field="what"):
    """The fields of every entry."""

    host: str
    """`host:port`, as its client was connected: another host's entries are not this one's."""
    owner: str
    """`DriverConfig.owner`."""
    token: str = field(default_factory=new_token)
    """Names the entry; one written later under the same token replaces it."""
    began: datetime = field(default_factory=_now)
    """By this computer's clock. For people: no decision depends on it."""


class Spawning(_Begun, frozen=True, kw_only=True, tag="spawn"):
    """A machine is being made; `token` is its `vimlib.spawn`."""

    uuid: str
    name: str
    folder: str = ""
    """Datastore path of its folder, once the host has named it."""
    power_on: bool = False
    """Whether it is powered on in the end."""


class SeenFile(Struct, frozen=True, kw_only=True):
    """A file as the host listed it: one with another size or time is another file."""

    name: str
    size: int
    modified: datetime | None = None


class Destroying(_Begun, frozen=True, kw_only=True, tag="destroy"):
    """A machine of ours is being removed, then what is left of its files."""

    name: str
    folder: str
    files: tuple[SeenFile, ...] = ()
    """The machine's own files, as they were right before it was removed; none until then, nor in
    an entry of an earlier version: then nothing shows what in the folder was the machine's."""


class Changing(_Begun, frozen=True, kw_only=True, tag="change"):
    """A disk of a machine is being replaced; `token` is that of its `vimlib.pending`."""

    name: str
    machine: str
    """Value of its reference."""
    disk: str = ""
    """Datastore path of the disk that is made for it."""


class Uploading(_Begun, frozen=True, kw_only=True, tag="upload"):
    """A file, or a disk with its extent, is uploaded to a temporary path, and then moved."""

    path: str


class Recording(_Begun, frozen=True, kw_only=True, tag="record"):
    """The record of a disk is written, before the disk gets its name; see `vimdriver._disks.record`."""

    path: str
    """Of the record."""
    disk: str
    """Path of the disk to come."""


class Capturing(_Begun, frozen=True, kw_only=True, tag="capture"):
    """A machine has a snapshot for as long as it is captured, or until the machine linked to it is made."""

    uuid: str
    """The machine's instanceUuid."""
    snapshot: str
    """Name of the snapshot."""


class AddingPortGroup(_Begun, frozen=True, kw_only=True, tag="port group"):
    """A port group is being made."""

    name: str
    note: str
    """Datastore path of the note that marks it as ours; see `vimdriver._networks.notes`."""
    spawn: str = ""
    """Token of the spawn that it is made for and removed with; "" if none."""


class LoggedIn(_Begun, frozen=True, kw_only=True, tag="session"):
    """The process has a session on the host."""

    session: str
    """`Client.session_digest`."""


Entry: TypeAlias = (
    Spawning
    | Destroying
    | Changing
    | Uploading
    | Recording
    | Capturing
    | AddingPortGroup
    | LoggedIn
)

HEADER: Final = b'{"vimlib_journal": 1}\n'
_ENCODER: Final = msgspec.json.Encoder()


class NotAJournalError(ValueError):
    """The bytes are not a journal, or of an unknown version."""


class _Line(msgspec.Struct):
    crc: str
    begin: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    done: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_LINE: Final = msgspec.json.Decoder(_Line)
_ENTRY: Final = msgspec.json.Decoder(Entry)
_TOKEN: Final = msgspec.json.Decoder(str)


def _line(word: bytes, payload: bytes) -> bytes:
    return b'{"crc":"%08x","%b":%b}\n' % (zlib.crc32(word + payload), word, payload)


def begin_line(entry: Entry) -> bytes:
    """Return the line that opens `entry`, or replaces it."""
    return _line(b"begin", _ENCODER.encode(entry))


def done_line(token: str) -> bytes:
    """Return the line that closes an entry."""
    return _line(b"done", _ENCODER.encode(token))


def render(entries: Iterable[Entry]) -> bytes:
    """Return a journal with exactly these entries open."""
    return b"".join((HEADER, *map(begin_line, entries)))


@dataclasses.dataclass
class Replay:
    """The result of reading a journal."""

    entries: dict[str, Entry] = dataclasses.field(default_factory=dict)
    """Open entries by token, in the order in which they were begun."""
    damaged: list[int] = dataclasses.field(default_factory=list)
    """Numbers, from 1, of lines that cannot be relied on."""
    torn: bool = False
    """Whether the last line broke off."""


def replay(data: bytes) -> Replay:
    """Return the entries that are open after these bytes. No bytes are an empty journal.

    Raises:
        NotAJournalError: They do not begin with the header of a journal.
    """
    if not data.startswith(HEADER):
        if HEADER.startswith(data):
            return Replay(torn=bool(data))
        raise NotAJournalError
    found = Replay()
    *whole, last = data.split(b"\n")
    for number, line in enumerate(whole[1:], 2):
        if not _apply(line, found.entries):
            found.damaged.append(number)
    if last:
        found.torn = True
        # It may be whole except for its end of line, and then it counts.
        _apply(last, found.entries)
    return found


def _apply(line: bytes, entries: dict[str, Entry]) -> bool:
    """Apply a line to the open entries; return False if it is damaged."""
    try:
        found = _LINE.decode(line)
        if isinstance(found.begin, msgspec.Raw):
            word, payload = b"begin", bytes(found.begin)
        elif isinstance(found.done, msgspec.Raw):
            word, payload = b"done", bytes(found.done)
        else:
            return False
        if found.crc != f"{zlib.crc32(word + payload):08x}":
            return False
        if word == b"begin":
            entry = _ENTRY.decode(payload)
            entries[entry.token] = entry
        else:
            entries.pop(_TOKEN.decode(payload), None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
