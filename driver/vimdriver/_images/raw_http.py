"""One HTTP/1.1 request as a value, and a strict parser of response heads. No I/O.

For uploaders that own their sockets (`vimdriver._images.threads`). It supports only their needs:
one request per connection, bodies by Content-Length alone (RFC 9112, 6.3), no trailers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vimlib._secret import Secret, masked, reveal, secrets_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

MAX_HEAD = 64 << 10
"""Maximum bytes of a response head. Servers send less than 4 KiB; nginx and aiohttp allow about 32."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110, 5.6.2
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")  # RFC 9110, 5.5
_TARGET = re.compile(r"/[\x21-\x7e]*\Z")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\Z")
_DIGITS = re.compile(r"[0-9]{1,19}\Z")


class RawHTTPError(ValueError):
    """A request or response head that HTTP/1.1 forbids or this module does not support."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """An HTTP request, its server's address and trust. `repr` omits headers: they may be secret."""

    method: str
    host: str
    port: int
    target: str | Secret
    """Origin form, percent-encoded: path and query. A `Secret` where the query may be a signature."""
    headers: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    """Without Host, Connection, Content-Length, Transfer-Encoding and Accept-Encoding."""
    tls: ssl.SSLContext | None = None
    """None: plain HTTP."""
    server_hostname: str | None = None
    """Name for SNI and the certificate; None: `host`."""
    check_peer: Callable[[bytes], None] | None = field(default=None, repr=False)
    """Called with the peer's certificate (DER) on every new connection before the first byte of
    the request; raises to refuse it."""

    stall: float | None = None
    """Seconds that the peer may be silent; None: the uploader's own limit."""

    def __post_init__(self) -> None:
        if not _TOKEN.match(self.method):
            raise RawHTTPError("the method must be a token")
        if not _TARGET.match(reveal(self.target)):
            raise RawHTTPError("the request target must be in origin form")
        if not re.match(r"[0-9A-Za-z.:_-]+\Z", self.host):
            raise RawHTTPError("invalid characters in the host")
        for name, value in self.headers.items():
            if not _TOKEN.match(name) or not _FIELD_VALUE.match(reveal(value)):
                # The value may be a token, so the message omits it.
                raise RawHTTPError(f"invalid characters in header {name[:40]!r}")

    @property
    def origin(self) -> str:
        """`https://host:port`, for errors."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def mask(self, text: str) -> str:
        """Return a text of the peer, which may repeat the request, without its secrets."""
        target = self.target if isinstance(self.target, Secret) else Secret("")
        query = target.reveal().partition("?")[2]
        return masked(text, secrets_of(self.headers, query))

    def head(self, *, content_length: int | None = None) -> bytes:
        """Return the request head; the connection is closed after the response."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default_port = 443 if self.tls else 80
        lines = [
            f"{self.method} {reveal(self.target)} HTTP/1.1",
            f"Host: {host}" if self.port == default_port else f"Host: {host}:{self.port}",
            "Connection: close",
            # A body that a proxy compresses has another length and another hash.
            "Accept-Encoding: identity",
        ]
        if content_length is not None:
            lines.append(f"Content-Length: {content_length}")
        lines += [f"{name}: {reveal(value)}" for name, value in self.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A final response head; interim 1xx heads are skipped."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; repeated fields joined with a comma."""

    @property
    def content_length(self) -> int | None:
        """Length of the body; None if the head has no Content-Length.

        Raises:
            RawHTTPError: It is not a number, or two values differ (RFC 9112, 6.3).
        """
        text = self.headers.get("content-length")
        if text is None:
            return None
        values = {part.strip() for part in text.split(",")}
        if len(values) != 1 or not _DIGITS.match(value := values.pop()):
            raise RawHTTPError("invalid Content-Length")
        return int(value)

    @property
    def chunked(self) -> bool:
        """Whether the head has a Transfer-Encoding, which is refused for every body."""
        return "transfer-encoding" in self.headers


class HeadReader:
    """Collects bytes until the final head is complete; `rest` has the bytes after it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.rest = b""
        """Body bytes that came with the head."""

    def feed(self, data: bytes | bytearray | memoryview) -> ResponseHead | None:
        """Add bytes; return the head once it is complete.

        Raises:
            RawHTTPError: The bytes are not an HTTP/1.1 response head, or exceed `MAX_HEAD`.
        """
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
            if end < 0:
                if len(self._buffer) >= MAX_HEAD:
                    raise RawHTTPError("head too long")
                if not b"HTTP/1."[: len(self._buffer)] == self._buffer[:7]:
                    raise RawHTTPError("not an HTTP/1.x response")
                return None
            head = _parse(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if head.status >= 200:
                self.rest = bytes(self._buffer)
                self._buffer.clear()
                return head
            if head.status == 101:
                raise RawHTTPError("unrequested switch of protocols")


def _parse(raw: bytes) -> ResponseHead:
    first, *lines = raw.split(b"\r\n")
    match = _STATUS_LINE.match(first)
    if match is None:
        raise RawHTTPError("malformed status line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        value = value.strip(" \t")
        # No folding and no space before the colon: both allow request smuggling (RFC 9112, 5).
        if not colon or not _TOKEN.match(name) or not _FIELD_VALUE.match(value):
            raise RawHTTPError("malformed header line")
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return ResponseHead(int(match[2]), headers)
