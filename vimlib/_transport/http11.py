"""HTTP/1.1, the client's side: writes request heads and reads responses. No I/O.

Strict: only what servers may send is accepted. A message that two parsers could read in two ways
(RFC 9112, 2.2 and 6.3: bare line feeds, contradictory lengths) is refused, since such messages are
how one response is smuggled into another.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from vimlib._repr import robust
from vimlib._secret import Secret
from vimlib._text import printable
from vimlib.errors import ProtocolError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

LONGEST_HEAD: Final = 64 << 10
"""Bytes of a head: ten times what vSphere's servers send."""
_LONGEST_LINE: Final = 8 << 10
_MOST_HEADERS: Final = 256
# Interim responses (1xx) in a row: each is a sign of life, so no deadline ends an endless row.
_MOST_INTERIM: Final = 100
_SHORT_HEAD: Final = 512
_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?\Z")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\x0a\x0d]*?)[ \t]*\Z")
_LENGTH: Final = re.compile(r"[0-9]{1,18}\Z")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00\x0a\x0d]*)?\Z")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
# Excerpts in errors end where a cookie begins.
_COOKIE: Final = re.compile(rb"cookie|vmware_soap_session", re.IGNORECASE)
_METHOD: Final = re.compile(r"[A-Z]+\Z")
# Origin form, or the authority form of CONNECT (RFC 9112, 3.2).
_TARGET: Final = re.compile(r"(?:/[!-~]*|[!-.0-~]+:\d+)\Z")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_NOT_TEXT: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")

CHUNKED: Final = -1


def request_head(method: str, target: str, headers: Mapping[str, str | Secret]) -> bytes:
    """Return request line and headers, without the empty line that ends a head.

    Raises `UsageError` for characters that HTTP does not allow there.
    """
    if not _METHOD.match(method) or not _TARGET.match(target):
        raise UsageError(f"invalid request line: {method} {printable(target)!r}")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers.items():
        text = value.reveal() if isinstance(value, Secret) else value
        if not _TOKEN.match(name) or _NOT_TEXT.search(text):
            raise UsageError(f"invalid characters in header {printable(name, 40)!r}")
        lines.append(f"{name}: {text}")
    return "\r\n".join([*lines, ""]).encode("latin-1")


class Head:
    """Status line and headers of a response. Immutable: equal heads share one object."""

    __slots__ = ("_values", "announced", "chunked", "flaw", "persistent", "reason", "status")

    def __init__(
        self, status: int, reason: str, headers: Iterable[tuple[str, str]], persistent: bool
    ) -> None:
        self.status = status
        self.reason = reason
        self.persistent = persistent
        """Whether the server keeps the connection open after the body."""
        self._values: dict[str, list[str]] = {}
        for name, value in headers:
            self._values.setdefault(name, []).append(value)
        lengths = self.all("content-length")
        codings = self.all("transfer-encoding")
        self.chunked = bool(codings)
        self.announced: int | None = None
        """Content-Length, of a response to HEAD too; None if it is absent or not one number."""
        self.flaw = ""
        """The reason why the length of the body is uncertain; "" if it is not."""
        if lengths:
            if _LENGTH.match(lengths[0]) and all(other == lengths[0] for other in lengths):
                self.announced = int(lengths[0])
            else:
                self.flaw = "invalid or contradictory Content-Length"
        if codings and (lengths or [value.lower() for value in codings] != ["chunked"]):
            self.flaw = "contradictory or unknown framing of the body"

    def get(self, name: str) -> str | None:
        """Return the header of that lower-case name, joined by commas if there are several."""
        found = self._values.get(name)
        return ", ".join(found) if found else None

    def all(self, name: str) -> list[str]:
        """Return all headers of that lower-case name."""
        return self._values.get(name, [])

    @robust
    def __repr__(self) -> str:
        return f"<Head {self.status}, {', '.join(self._values)}>"


def _invalid(host: str, why: str, data: bytes = b"") -> ProtocolError:
    """Return the error for a response that is not valid HTTP."""
    shown = data[:200]
    if cookie := _COOKIE.search(data):
        shown = data[: min(cookie.end(), 200)] + b"..."
    return ProtocolError(
        f"invalid HTTP response from {host}: {why}",
        excerpt=printable(shown.decode("latin-1")),
    )


def parse_head(raw: bytes, host: str) -> Head:
    """Parse a head, given without the empty line that ends it. Raises `ProtocolError`.

    The heads of one server differ in length and date alone, so short ones are cached, except
    those that set a cookie.
    """
    if len(raw) > _SHORT_HEAD or b"cookie" in raw.lower():
        return _parse_head(raw, host)
    return _known_head(raw, host)


def _parse_head(raw: bytes, host: str) -> Head:
    lines = raw.split(b"\r\n")
    match = _STATUS.match(lines[0])
    if match is None:
        raise _invalid(host, "malformed status line", lines[0])
    if len(lines) > _MOST_HEADERS or len(raw) > LONGEST_HEAD:
        raise _invalid(host, "head too long")
    headers = []
    persistent = match[1] == b"1"
    for line in lines[1:]:
        found = _HEADER.match(line)
        if found is None or len(line) > _LONGEST_LINE:
            raise _invalid(host, "malformed header line", line)
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
    """Return the length of the body, `CHUNKED`, or None if it ends with the connection.

    RFC 9112, 6.3. Raises `ProtocolError` for contradictions.
    """
    status = head.status
    if method == "HEAD" or status in {204, 304} or status < 200:
        return 0
    if method == "CONNECT" and status < 300:
        return 0
    if head.flaw:
        raise _invalid(host, head.flaw)
    return CHUNKED if head.chunked else head.announced


class Receiver(Protocol):
    """Takes a response as it arrives. Its exceptions end the exchange and the connection."""

    def head(self, head: Head) -> None:
        """Take the head of the final response."""
        ...

    def data(self, data: bytes) -> None:
        """Take a piece of the body, without its framing."""
        ...

    def end(self) -> None:
        """Take note that the body is complete."""
        ...


class Response:
    """Parses the response to one request, fed in pieces of any size; interim ones are skipped."""

    __slots__ = ("_body", "_buffer", "_host", "_method", "_receiver", "head", "interim", "surplus")

    def __init__(self, method: str, host: str, receiver: Receiver) -> None:
        self.head: Head | None = None
        """The final head, once it is there."""
        self.interim = 0
        """Interim responses in a row; reset on progress of the request."""
        self.surplus = False
        """Whether bytes came behind the end of the response."""
        self._method = method
        self._host = host
        self._receiver = receiver
        self._buffer = b""
        self._body: Body | None = None

    @property
    def begun(self) -> bool:
        """Whether a byte of it has come."""
        return self.head is not None or bool(self._buffer)

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether the response is complete.

        Raises `ProtocolError`, and exceptions of the receiver.
        """
        body = self._body
        while body is None:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                self._check_partial_head()
                return False
            head = parse_head(self._buffer[:end], self._host)
            data, self._buffer = self._buffer[end + 4 :], b""
            if head.status < 200:
                self._pass_over(head)
                continue
            self.head = head
            length = length_of(head, self._method, self._host)
            self._receiver.head(head)
            if data and length == len(data):  # nearly always: no framing to take off
                self._receiver.data(data)
                self._receiver.end()
                return True
            body = self._body = Body(length, self._host, self._receiver.data)
        self.surplus = bool(body.feed(data) if data and not body.done else data)
        if body.done:
            self._receiver.end()
        return body.done

    def eof(self) -> bool:
        """Take note of the end of the stream; return whether the response is complete."""
        if self._body is None or not self._body.eof():
            return False
        self._receiver.end()
        return True

    def _check_partial_head(self) -> None:
        raw = self._buffer
        if len(raw) > LONGEST_HEAD or not b"HTTP/".startswith(raw[:5]):
            raise _invalid(self._host, "malformed status line", raw)
        if _BARE_LF.search(raw):
            raise _invalid(self._host, "header line without CR LF", raw)

    def _pass_over(self, head: Head) -> None:
        if head.status == 101:
            raise _invalid(self._host, "unrequested switch of protocols")
        self.interim += 1
        if self.interim > _MOST_INTERIM:
            raise _invalid(self._host, "too many interim responses")


class Body:
    """Takes the framing off a body that is fed in pieces."""

    __slots__ = ("_at", "_buffer", "_host", "_left", "_lines", "_sink", "_state", "done")

    def __init__(self, length: int | None, host: str, sink: Callable[[bytes], None]) -> None:
        self._host = host
        self._sink = sink
        self._buffer = b""
        # Bytes of the buffer that have been parsed: they are cut off once a piece, not once a chunk.
        self._at = 0
        self._left = length if length is not None else -1
        self._lines = 0
        self._state = "until the end" if length is None else "size" if length < 0 else "bytes"
        self.done = length == 0

    def feed(self, data: bytes) -> bytes:
        """Pass the body's bytes on; return those behind its end. Raises `ProtocolError`."""
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

    def eof(self) -> bool:
        """Take note of the end of the stream; return whether the body is complete."""
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
        """Take one element of the chunked framing off the buffer; False if it is not complete."""
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
        end = self._buffer.find(b"\n", self._at, self._at + _LONGEST_LINE)
        if end < 0:
            if len(self._buffer) - self._at >= _LONGEST_LINE:
                raise _invalid(self._host, "line between chunks too long")
            return False
        line = self._buffer[self._at : end]
        if not line.endswith(b"\r"):
            raise _invalid(self._host, "line between chunks without CR LF", line)
        self._at = end + 1
        self._line(line[:-1])
        return True

    def _line(self, line: bytes) -> None:
        """Take a line between chunks, or one of the trailer section (RFC 9112, 7.1)."""
        if self._state == "behind a chunk":
            if line:
                raise _invalid(self._host, "a chunk is longer than its size")
            self._state = "size"
        elif self._state == "size":
            match = _CHUNK.match(line)
            if match is None:
                raise _invalid(self._host, "invalid chunk size", line)
            self._left = int(match[1], 16)
            self._state = "chunk" if self._left else "trailers"
        elif not line:
            self.done = True
        else:
            self._lines += 1
            if self._lines > _MOST_HEADERS or _HEADER.match(line) is None:
                raise _invalid(self._host, "malformed trailer line", line)
