from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimlib._transport.http11 import Body, Head, length_of, parse_head
from vimlib.errors import ProtocolError

PAYLOAD = st.binary(max_size=400)
CUTS = st.lists(st.integers(0, 600), max_size=6)


def head(text: str) -> Head:
    return parse_head(text.replace("\n", "\r\n").encode("latin-1"), "h")


def test_a_head() -> None:
    found = head("HTTP/1.1 200 OK fine\nContent-Length: 5\nSet-Cookie: a=1\nset-cookie:b=2  \nX:")
    assert (found.status, found.reason, found.persistent) == (200, "OK fine", True)
    assert found.all("set-cookie") == ["a=1", "b=2"]
    assert found.get("set-cookie") == "a=1, b=2"
    assert found.get("x") == ""
    assert found.get("absent") is None


def test_heads_that_are_alike_are_read_once_and_those_with_a_cookie_are_not_kept() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5"
    assert parse_head(raw, "h") is parse_head(bytes(bytearray(raw)), "h")
    raw += b"\r\nset-Cookie: vmware_soap_session=secret"
    first, second = parse_head(raw, "h"), parse_head(raw, "h")
    assert first is not second
    assert first.all("set-cookie") == second.all("set-cookie") == ["vmware_soap_session=secret"]
    assert "secret" not in repr(first)


@pytest.mark.parametrize(
    ("text", "persistent"),
    [
        ("HTTP/1.1 200", True),
        ("HTTP/1.1 200 OK\nConnection: close", False),
        ("HTTP/1.1 200 OK\nConnection: Keep-Alive", True),
        ("HTTP/1.1 200 OK\nConnection: Upgrade, Close", False),
        ("HTTP/1.0 200 OK", False),
        ("HTTP/1.0 200 OK\nConnection: keep-alive", True),
    ],
)
def test_whether_the_connection_stays(text: str, persistent: bool) -> None:
    assert head(text).persistent is persistent


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1 2000 OK", "HTTP/2 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1  200 OK", "http/1.1 200 OK", "",
        "HTTP/1.1 200 O\0K", "HTTP/1.1 200 OK\nno colon", "HTTP/1.1 200 OK\nA B: c", "HTTP/1.1 200 OK\n: c",
        "HTTP/1.1 200 OK\nA : c", "HTTP/1.1 200 OK\nA: b\0c", "HTTP/1.1 200 OK\nA: b\n folded",
        "HTTP/1.1 200 OK\n" + "A: b\n" * 300 + "A: b", "HTTP/1.1 200 OK\nA: " + "b" * 9000,
    ],
)  # fmt: skip
def test_what_is_no_head(text: str) -> None:
    with pytest.raises(ProtocolError):
        head(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(raw: bytes) -> None:
    for data in (raw, b"HTTP/1.1 200 OK\r\n" + raw):
        try:
            length_of(parse_head(data, "h"), "GET", "h")
        except ProtocolError:
            continue


@pytest.mark.parametrize(
    ("method", "text", "length"),
    [
        ("GET", "HTTP/1.1 200 OK\nContent-Length: 5", 5),
        ("GET", "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5", 5),
        ("GET", "HTTP/1.1 200 OK", None),
        ("GET", "HTTP/1.1 200 OK\nTransfer-Encoding: Chunked", -1),
        ("HEAD", "HTTP/1.1 200 OK\nContent-Length: 5", 0),
        ("GET", "HTTP/1.1 204 No\nContent-Length: 5", 0),
        ("GET", "HTTP/1.1 304 No", 0),
    ],
)
def test_how_long_a_body_is(method: str, text: str, length: int | None) -> None:
    assert length_of(head(text), method, "h") == length


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\nContent-Length: 6",
        "Content-Length: 5\nTransfer-Encoding: chunked",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: 0x5",
        "Content-Length: \xb2",
        "Content-Length: " + "9" * 30,
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
        "Transfer-Encoding:",
    ],
)
def test_framing_that_can_be_read_in_two_ways(headers: str) -> None:
    with pytest.raises(ProtocolError):
        length_of(head(f"HTTP/1.1 200 OK\n{headers}"), "GET", "h")


def pushed(length: int | None, wire: bytes, cuts: list[int]) -> tuple[bytes, bytes, Body]:
    out: list[bytes] = []
    body = Body(length, "h", out.append)
    rest = b""
    last = 0
    for cut in [*sorted(min(cut, len(wire)) for cut in cuts), len(wire)]:
        piece = wire[last:cut]
        last = cut
        if body.done:
            rest += piece
        elif piece:
            rest += body.feed(piece)
    return b"".join(out), rest, body


@given(PAYLOAD, CUTS, PAYLOAD)
def test_a_body_of_known_length_however_it_is_cut(
    data: bytes, cuts: list[int], behind: bytes
) -> None:
    got, rest, body = pushed(len(data), data + behind, cuts)
    assert (got, rest, body.done) == (data, behind, True)


@given(
    st.lists(st.binary(min_size=1, max_size=60), max_size=6),
    CUTS,
    PAYLOAD,
    st.sampled_from(["", ";ext=1", " "]),
)
def test_chunks_however_they_are_cut(
    chunks: list[bytes], cuts: list[int], behind: bytes, extra: str
) -> None:
    wire = b"".join(f"{len(chunk):X}{extra}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)
    got, rest, body = pushed(-1, wire + b"0\r\nTrailer: x\r\n\r\n" + behind, cuts)
    assert (got, rest, body.done) == (b"".join(chunks), behind, True)


def test_many_small_chunks_in_one_piece_take_no_more_than_their_number() -> None:
    took = []
    for count in (20_000, 80_000):
        began = time.process_time()
        pushed(-1, b"1\r\nx\r\n" * count, [])
        took.append(time.process_time() - began)
    assert took[1] < 8 * took[0] + 0.1  # sixteen times, if each chunk costs a copy of the rest


@given(PAYLOAD, CUTS)
def test_a_body_until_the_end(data: bytes, cuts: list[int]) -> None:
    got, rest, body = pushed(None, data, cuts)
    assert (got, rest, body.done) == (data, b"", False)
    assert body.eof()


@given(st.binary(min_size=1, max_size=100), st.integers(1, 200))
def test_what_is_cut_is_not_whole(data: bytes, less: int) -> None:
    _, _, body = pushed(len(data), data[: max(0, len(data) - less)], [])
    assert not body.eof()
    wire = f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\n\r\n"
    _, _, body = pushed(-1, wire[: max(0, len(wire) - less)], [])
    assert not body.eof()


@given(st.binary(max_size=200), CUTS)
def test_any_bytes_are_chunks_or_refused(wire: bytes, cuts: list[int]) -> None:
    try:
        got, rest, _ = pushed(-1, wire, cuts)
    except ProtocolError:
        return
    assert len(got) + len(rest) <= len(wire)
