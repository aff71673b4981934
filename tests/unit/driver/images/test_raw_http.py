from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vimdriver._images.raw_http import MAX_HEAD, HeadReader, RawHTTPError, RawRequest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\nx-a:c\r\n\r\nhello"


def wire(**more: object) -> RawRequest:
    given = {"method": "GET", "host": "glance.example", "port": 9292, "target": "/v2/images/a?b=c"}
    return RawRequest(**{**given, **more})  # type: ignore[arg-type]


def test_a_request_has_the_expected_head() -> None:
    head = wire(headers={"X-Auth-Token": "secret"}).head(content_length=7)
    assert head == (
        b"GET /v2/images/a?b=c HTTP/1.1\r\nHost: glance.example:9292\r\nConnection: close\r\n"
        b"Accept-Encoding: identity\r\nContent-Length: 7\r\nX-Auth-Token: secret\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("more", "host", "origin"),
    [
        ({"port": 80}, b"Host: glance.example\r\n", "http://glance.example:80"),
        ({"host": "::1", "port": 80}, b"Host: [::1]\r\n", "http://[::1]:80"),
        (
            {"tls": ssl.create_default_context(), "port": 443},
            b"Host: glance.example\r\n",
            "https://glance.example:443",
        ),
    ],
)
def test_the_host_header_omits_a_default_port(
    more: dict[str, object], host: bytes, origin: str
) -> None:
    made = wire(**more)
    assert host in made.head()
    assert made.origin == origin


def test_secrets_stay_out_of_repr() -> None:
    assert "secret" not in repr(wire(headers={"X-Auth-Token": "secret"}))


@pytest.mark.parametrize(
    "more",
    [
        {"method": "GE T"},
        {"method": "GET\r\nX: y"},
        {"target": "http://other/"},
        {"target": "/a b"},
        {"target": "/a\r\nX: y"},
        {"target": "/ü"},
        {"host": "a/b"},
        {"host": "a\r\nb"},
        {"headers": {"X-Auth-Token": "secret\r\nX: y"}},
        {"headers": {"X-Auth-Token": "secret\n"}},
        {"headers": {"X Y": "z"}},
    ],
)
def test_request_smuggling_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(RawHTTPError) as caught:
        wire(**more)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 \r\nA: b\r\n\r\n"]
)
def test_a_response_head_is_parsed(step: int, before: bytes) -> None:
    reader = HeadReader()
    data = before + OK
    at = 0
    head = None
    while head is None:
        head = reader.feed(data[at : at + step])
        at += step
    assert head.status == 200
    assert head.headers == {"content-length": "5", "x-a": "b, c"}
    assert (head.content_length, head.chunked) == (5, False)
    assert reader.rest + data[at:] == b"hello"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 99 x\r\n\r\n",
        b"HTTP/1.1 2000 x\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * MAX_HEAD,
    ],
)
def test_an_invalid_head_is_refused(data: bytes) -> None:
    with pytest.raises(RawHTTPError):
        HeadReader().feed(data)


@pytest.mark.parametrize(
    "values", [["5", "6"], ["-5"], ["5x"], [""], ["0x5"], ["9" * 20], ["5, 6"]]
)
def test_invalid_lengths_are_refused(values: list[str]) -> None:
    lines = "".join(f"Content-Length: {value}\r\n" for value in values)
    head = HeadReader().feed(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode())
    assert head is not None
    with pytest.raises(RawHTTPError):
        _ = head.content_length


def test_two_equal_lengths_are_accepted() -> None:
    head = HeadReader().feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n")
    assert head is not None
    assert head.content_length == 5


def test_transfer_encoding_is_detected() -> None:
    head = HeadReader().feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")
    assert head is not None
    assert head.chunked
    assert head.content_length is None


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_a_head_or_a_wire_error(pieces: list[bytes]) -> None:
    reader = HeadReader()
    try:
        for piece in pieces:
            head = reader.feed(piece)
            if head is not None:
                assert 200 <= head.status <= 599
                return
    except RawHTTPError:
        return
