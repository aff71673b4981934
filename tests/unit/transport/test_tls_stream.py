"""TLS over memory, from both sides."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rig import certs
from vimlib._transport.tls_stream import TLSStream

SERVER = certs.make("good").server_context()
CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname = False
CLIENT.verify_mode = ssl.CERT_NONE


def pair() -> tuple[TLSStream, TLSStream]:
    """Return client and server of one connection, after their handshake."""
    client, server = TLSStream(CLIENT), TLSStream(SERVER, server_side=True)
    for _ in range(3):
        for side, other in ((client, server), (server, client)):
            side.handshake()
            other.incoming.write(side.outgoing.read())
    assert client.handshake()
    assert server.handshake()
    return client, server


def received(stream: TLSStream, room: int = 1 << 16) -> bytes:
    """Open until nothing is left."""
    parts = [stream.open(memoryview(bytearray(room)))]
    while parts[-1] and stream.more:
        parts.append(stream.open(memoryview(bytearray(room))))
    return b"".join(parts)


@given(st.lists(st.binary(min_size=1, max_size=40_000), max_size=4), st.integers(1, 70_000))
def test_what_is_sealed_is_opened_whatever_the_room(pieces: list[bytes], room: int) -> None:
    client, server = pair()
    room = max(room, 1 + sum(map(len, pieces)) // 500)
    for piece in pieces:
        server.incoming.write(client.seal(piece))
    assert received(server, room) == b"".join(pieces)


def test_a_record_that_is_not_whole_waits_for_its_rest() -> None:
    client, server = pair()
    sealed = client.seal(b"x" * 100)
    server.incoming.write(sealed[:50])
    assert server.open(memoryview(bytearray(1000))) == b""
    assert not server.more
    server.incoming.write(sealed[50:])
    assert received(server) == b"x" * 100
    assert not server.ended


def test_a_goodbye_ends_it_and_what_came_before_is_had() -> None:
    client, server = pair()
    for data in (client.seal(b"last"), client.goodbye()):
        server.incoming.write(data)
    assert received(server) == b"last"
    assert server.ended


def test_what_is_sound_before_a_broken_record_is_had_and_then_the_error() -> None:
    client, server = pair()
    sealed = client.seal(b"sound")
    broken = bytearray(client.seal(b"broken"))
    broken[-1] ^= 1
    server.incoming.write(sealed + broken)
    assert server.open(memoryview(bytearray(1000))) == b"sound"
    assert server.more
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            server.open(memoryview(bytearray(1000)))
