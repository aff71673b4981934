"""Our HTTP/1.1 parser beside h11 and httptools: whatever it accepts, they read in the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib._transport.http11 import Head, Response
from vimlib.errors import ProtocolError


@dataclass
class Read:
    """What a parser made of a response."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False


class Ours(Read):
    """As a receiver of `Response`."""

    def head(self, head: Head) -> None:
        self.status = head.status
        self.headers = [(name, value) for name in head._values for value in head.all(name)]

    def data(self, data: bytes) -> None:
        self.body += data

    def end(self) -> None:
        self.complete = True


def by_ours(pieces: list[bytes]) -> Ours:
    """Raises `ProtocolError`."""
    read = Ours()
    response = Response("GET", "h", read)
    for piece in pieces:
        if read.complete:
            break
        response.feed(piece)
    if not read.complete:
        response.eof()
    return read


def by_h11(raw: bytes) -> Read:
    """Raises `h11.RemoteProtocolError`."""
    read = Read()
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(raw)
    connection.receive_data(b"")
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            read.status = event.status_code
            read.headers = [(n.decode(), v.decode("latin-1")) for n, v in event.headers]
        elif isinstance(event, h11.Data):
            read.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            read.complete = True
            return read
        elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
            return read


class _Callbacks(Read):
    parser: Any

    def on_message_begin(self) -> None:
        if self.status >= 200:  # the next response, which nobody asked for
            raise StopIteration

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.body:
            self.headers.append((name.decode().lower(), value.decode("latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        if self.status < 200:
            self.headers = []

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = self.status >= 200


def by_httptools(raw: bytes) -> Read:
    """Raises `httptools.HttpParserError`."""
    read = _Callbacks()
    read.parser = httptools.HttpResponseParser(read)
    try:
        read.parser.feed_data(raw)
    except httptools.HttpParserCallbackError:
        if not read.complete:
            raise
    return read


TOKEN = st.text("abcXYZ019-_.!", min_size=1, max_size=8)
VALUE = st.text("ab 01\t;=,\"'\xe9~", max_size=12).map(lambda text: text.strip(" \t"))
OTHER = st.tuples(TOKEN.map(lambda name: f"X-{name}"), VALUE)
BODY = st.binary(max_size=80)
SIZES = st.lists(st.integers(1, 9), max_size=6)


def chunked(body: bytes, sizes: list[int]) -> bytes:
    out, at = b"", 0
    for size in [*sizes, len(body)]:
        piece = body[at : at + size]
        at += size
        if piece:
            out += b"%x\r\n%b\r\n" % (len(piece), piece)
    return out + b"0\r\n\r\n"


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, Read]:
    """A valid response and what it holds."""
    status = draw(st.sampled_from([200, 201, 206, 400, 404, 500, 503]))
    headers = draw(st.lists(OTHER, max_size=4))
    body = draw(BODY)
    framing = draw(st.sampled_from(["length", "chunks", "end"]))
    wire = body
    if framing == "length":
        headers.append(("Content-Length", str(len(body))))
    elif framing == "chunks":
        headers.append(("Transfer-Encoding", "chunked"))
        wire = chunked(body, draw(SIZES))
    lines = [f"HTTP/1.1 {status} {draw(st.sampled_from(['OK', 'Not so', '']))}"]
    lines += [f"{name}: {value}" for name, value in headers]
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"]))
    raw = interim + "\r\n".join([*lines, "", ""]).encode("latin-1") + wire
    return raw, Read(status, [(n.lower(), v) for n, v in headers], body, framing != "end")


def grouped(headers: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found


def agree(one: Read, other: Read) -> None:
    assert (one.status, one.body) == (other.status, other.body)
    assert grouped(one.headers) == grouped(other.headers)


@given(responses(), st.lists(st.integers(0, 300), max_size=5))
def test_all_three_read_a_valid_response_alike(case: tuple[bytes, Read], cuts: list[int]) -> None:
    raw, wanted = case
    at = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    ours = by_ours([raw[start:end] for start, end in pairwise(at)])
    agree(ours, wanted)
    assert ours.complete
    agree(by_h11(raw), wanted)
    httptools_read = by_httptools(raw)
    agree(httptools_read, wanted)
    assert httptools_read.complete == wanted.complete  # it is not told of the end of the stream


DAMAGE = st.sampled_from(
    [b"", b"\n", b"\r", b"\r\n", b" ", b"\t", b"0", b"1", b"f", b":", b";", b",", b"\0", b"\x01",
     b"\x80", b"X: y\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n"]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A response in which a few bytes were replaced, put in or left out."""
    raw = draw(responses())[0]
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(DAMAGE) + raw[at + draw(st.integers(0, 2)) :]
    return raw


@given(damaged())
def test_what_we_accept_h11_reads_alike(raw: bytes) -> None:
    try:
        ours = by_ours([raw])
    except ProtocolError:
        return
    if not ours.complete:
        return
    theirs = by_h11(raw)
    assert (ours.status, ours.body) == (theirs.status, theirs.body)
    assert theirs.complete


@given(damaged())
def test_what_we_accept_httptools_reads_alike_or_refuses(raw: bytes) -> None:
    """It refuses more: equal lengths given twice, control characters, blanks behind a chunk's size."""
    try:
        ours = by_ours([raw])
        theirs = by_httptools(raw)
    except (ProtocolError, httptools.HttpParserError):
        return
    if ours.complete and theirs.complete:
        assert (ours.status, ours.body) == (theirs.status, theirs.body)


BARE = {
    "status line": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi",
    "header": b"HTTP/1.1 200 OK\r\nContent-Length: 2\nX: y\r\n\r\nhi",
    "end of the head": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nhi",
    "whole head": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n",
    "end of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\n0\r\n\r\n",
    "last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\n\r\n",
    "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n",
}


@pytest.mark.parametrize("where", BARE)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_bare_line_feed_is_refused(where: str, size: int) -> None:
    raw = BARE[where]
    with pytest.raises(ProtocolError):
        by_ours([raw[at : at + size] for at in range(0, len(raw), size)])
    with pytest.raises(httptools.HttpParserError):
        by_httptools(raw)


def test_trailers_are_headers_and_not_without_end() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert by_ours([head + b"X: y\r\n" * 200 + b"\r\n"]).complete
    for trailers in (b"no header\r\n\r\n", b"X: y\r\n" * 300 + b"\r\n"):
        with pytest.raises(ProtocolError):
            by_ours([head + trailers])
