"""HTTP/1.1 replies, strictly read. No I/O.

Only what servers send by right is understood; what two readers could understand in two ways
(RFC 9112, 6.3) is refused, since that is how one reply is smuggled into another.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from vimlib.errors import ProtocolError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["LONGEST_HEAD", "Body", "Head", "chunk_size", "length_of", "parse_head", "wrong"]

LONGEST_HEAD: Final = 64 << 10
"""Bytes of a head: ten times what vSphere's servers send."""
_LONGEST_LINE: Final = 8 << 10
_MOST_HEADERS: Final = 256
_SHORT_HEAD: Final = 512
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?\Z")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\x0a\x0d]*?)[ \t]*\Z")
_LENGTH: Final = re.compile(r"\d{1,18}\Z")
_CHUNK: Final = re.compile(rb"[0-9A-Fa-f]{1,15}\Z")
# No excerpt shows what is behind it.
_COOKIE: Final = re.compile(rb"cookie|vmware_soap_session", re.IGNORECASE)


class Head:
    """Status line and headers of a reply. Not to be changed: replies that are alike share one."""

    __slots__ = ("_values", "persistent", "reason", "status")

    def __init__(
        self, status: int, reason: str, headers: Iterable[tuple[str, str]], persistent: bool
    ) -> None:
        self.status = status
        self.reason = reason
        self.persistent = persistent
        """Whether the connection may be used again after the body."""
        self._values: dict[str, list[str]] = {}
        for name, value in headers:
            self._values.setdefault(name, []).append(value)

    def get(self, name: str) -> str | None:
        """Return the header of that lower-case name, joined by commas if there are several."""
        found = self._values.get(name)
        return ", ".join(found) if found else None

    def all(self, name: str) -> list[str]:
        """Return all headers of that lower-case name."""
        return self._values.get(name, [])

    def __repr__(self) -> str:
        return f"<Head {self.status}, {', '.join(self._values)}>"


def wrong(host: str, why: str, data: bytes = b"") -> ProtocolError:
    """Return the error for a reply that is not HTTP as it should be."""
    shown = data[:200]
    if cookie := _COOKIE.search(data):
        shown = data[: min(cookie.end(), 200)] + b"..."
    return ProtocolError(
        f"invalid HTTP response from {host}: {why}",
        excerpt=printable(shown.decode("latin-1")),
    )


def parse_head(raw: bytes, host: str) -> Head:
    """Read a head, given without the empty line behind it. Raises `ProtocolError`.

    A server's heads differ in lengths and seconds alone, so many come again; they are remembered
    if they are short and give no cookie.
    """
    if len(raw) > _SHORT_HEAD or b"cookie" in raw.lower():
        return _parse_head(raw, host)
    return _known_head(raw, host)


def _parse_head(raw: bytes, host: str) -> Head:
    lines = raw.split(b"\n")
    match = _STATUS.match(lines[0].removesuffix(b"\r"))
    if match is None:
        raise wrong(host, "malformed status line", lines[0])
    if len(lines) > _MOST_HEADERS or len(raw) > LONGEST_HEAD:
        raise wrong(host, "head too long")
    headers = []
    persistent = match[1] == b"1"
    for line in lines[1:]:
        found = _HEADER.match(line.removesuffix(b"\r"))
        if found is None or len(line) > _LONGEST_LINE:
            raise wrong(host, "malformed header line", line)
        name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1")
        if name == "connection":
            persistent = "close" not in value.lower() and (
                persistent or "keep-alive" in value.lower()
            )
        headers.append((name, value))
    return Head(
        int(match[2]),
        printable((match[3] or b"").decode("latin-1"), 80),
        headers,
        persistent,
    )


_known_head = lru_cache(maxsize=256)(_parse_head)


def length_of(head: Head, method: str, host: str) -> int | None:
    """Return how long the body is: a number, -1 if it comes in chunks, None if it ends with the connection.

    Raises `ProtocolError` for contradictions.
    """
    if method == "HEAD" or head.status in {204, 304} or head.status < 200:
        return 0
    lengths = head.all("content-length")
    codings = head.all("transfer-encoding")
    if codings:
        if [value.lower() for value in codings] != ["chunked"] or lengths:
            raise wrong(host, "contradictory or unknown framing of the body")
        return -1
    if not lengths:
        return None
    length = lengths[0]
    if _LENGTH.match(length) is None or any(other != length for other in lengths[1:]):
        raise wrong(host, "invalid or contradictory Content-Length")
    return int(length)


def chunk_size(line: bytes, host: str) -> int:
    """Read the line before a chunk. Raises `ProtocolError`."""
    bare = line.partition(b";")[0].strip()
    if _CHUNK.match(bare) is None:
        raise wrong(host, "invalid chunk size", line)
    return int(bare, 16)


class Body:
    """Takes the framing off a body that is pushed in pieces."""

    __slots__ = ("_at", "_buffer", "_host", "_left", "_sink", "_state", "done")

    def __init__(self, length: int | None, host: str, sink: Callable[[bytes], None]) -> None:
        self._host = host
        self._sink = sink
        self._buffer = b""
        # What has been read of it: bytes are cut off once a piece, not once a chunk.
        self._at = 0
        self._left = length if length is not None else -1
        self._state = "until the end" if length is None else "size" if length == -1 else "bytes"
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        """Pass on what is body; return what lies behind its end. Raises `ProtocolError`."""
        if self._state == "bytes":
            return self._bytes(data)
        if self._state == "until the end":
            self._sink(data)
            return b""
        self._buffer += data
        while not self.done and self._step():
            pass
        rest = self._buffer[self._at :]
        self._buffer, self._at = (b"", 0) if self.done else (rest, 0)
        return rest if self.done else b""

    def end(self) -> bool:
        """Say that the connection has ended; return whether the body was whole."""
        if self._state == "until the end":
            self.done = True
        return self.done

    def _bytes(self, data: bytes) -> bytes:
        left = self._left
        if len(data) > left:
            self._left, self.done = 0, True
            self._sink(data[:left])
            return data[left:]
        self._left = left - len(data)
        self.done = self._left == 0
        self._sink(data)
        return b""

    def _step(self) -> bool:
        """Take one element of chunked framing off the buffer; False if it is not there yet."""
        if self._state == "chunk":
            piece = self._buffer[self._at : self._at + self._left]
            if not piece:
                return False
            self._at += len(piece)
            self._left -= len(piece)
            if self._left == 0:
                self._state = "behind a chunk"
            self._sink(piece)
            return True
        end = self._buffer.find(b"\n", self._at)
        if end < 0:
            if len(self._buffer) - self._at > _LONGEST_LINE:
                raise wrong(self._host, "line between chunks too long")
            return False
        line = self._buffer[self._at : end].removesuffix(b"\r")
        self._at = end + 1
        if self._state == "behind a chunk":
            if line:
                raise wrong(self._host, "a chunk is longer than its size")
            self._state = "size"
        elif self._state == "size":
            self._left = chunk_size(line, self._host)
            self._state = "chunk" if self._left else "trailers"
        else:
            self.done = not line
        return True
