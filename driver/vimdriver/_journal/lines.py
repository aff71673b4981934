"""Entries as lines of JSON, and what lines say is open. No I/O.

::

    {"vimlib_journal": 1}
    {"crc":"9b2f11c0","begin":{"what":"upload","token":"..","path":"[ds] images/a.part", ...}}
    {"crc":"0c44d3e9","done":".."}

A line counts only if its check sum fits: a path with one bit changed is another file's. The last
line may be torn, which is what a crash amid writing leaves; its step was not begun.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from vimdriver._journal.entries import Entry

__all__ = ["HEADER", "NotAJournalError", "Replay", "begin_line", "done_line", "render", "replay"]

HEADER: Final = b'{"vimlib_journal": 1}\n'
_ENCODER: Final = msgspec.json.Encoder()


class NotAJournalError(ValueError):
    """These bytes are something else, or of a version that is not known here."""


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
    """Return the line that says that `entry` is open, now in this form."""
    return _line(b"begin", _ENCODER.encode(entry))


def done_line(token: str) -> bytes:
    """Return the line that closes an entry."""
    return _line(b"done", _ENCODER.encode(token))


def render(entries: Iterable[Entry]) -> bytes:
    """Return a journal in which just these are open."""
    return b"".join((HEADER, *map(begin_line, entries)))


@dataclass
class Replay:
    """What a journal's bytes say."""

    entries: dict[str, Entry] = field(default_factory=dict)
    """What is open, by token, in the order in which it was begun."""
    damaged: list[int] = field(default_factory=list)
    """Numbers, from 1, of lines that say nothing that can be relied on."""
    torn: bool = False
    """Whether the last line broke off."""


def replay(data: bytes) -> Replay:
    """Return what is open after these bytes. Nothing at all is an empty journal.

    Raises:
        NotAJournalError: They do not begin as a journal does.
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
        # Whole but for its end of line: then it may as well count.
        _apply(last, found.entries)
    return found


def _apply(line: bytes, entries: dict[str, Entry]) -> bool:
    """Do what a line says; False if nothing can be made of it."""
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
