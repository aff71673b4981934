"""Sockets with deadlines and cancellation, for threads."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from vimdriver._images.channel import Address, Channel, Stalled, Stop
from vimdriver._images.raw_http import RawRequest

WIRE = RawRequest(method="GET", host="127.0.0.1", port=1, target="/")


def listening(stack: ExitStack, backlog: int = 5) -> Address:
    server = stack.enter_context(socket.socket())
    server.bind(("127.0.0.1", 0))
    server.listen(backlog)
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", server.getsockname())


@pytest.fixture
def swallowing() -> Iterator[Address]:
    """An address that never completes a connection: its backlog is full."""
    with ExitStack() as stack:
        address = listening(stack, 0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address[4])
        yield address


@pytest.fixture
def stop() -> Iterator[Stop]:
    made = Stop()
    yield made
    made.close()


def test_an_unresponsive_address_leaves_time_for_the_next(swallowing: Address, stop: Stop) -> None:
    with ExitStack() as stack:
        channel = Channel(WIRE, stop)
        stack.callback(channel.close)
        channel.connect([swallowing, listening(stack)], 0.2)


def test_all_addresses_share_one_timeout(swallowing: Address, stop: Stop) -> None:
    channel = Channel(WIRE, stop)
    with pytest.raises(Stalled) as caught:
        channel.connect([swallowing, swallowing], 0.2)
    assert caught.value.seconds == 0.2


def received(how: str, stop: Stop) -> int | None:
    """Return how much of 256 KiB, accepted by the kernel, a slow peer receives; None for a
    reset."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        # A small window: most of the bytes wait on the sender's side.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 10)
        server.bind(("127.0.0.1", 0))
        server.listen()
        channel = Channel(WIRE, stop)
        channel.connect([(socket.AF_INET, socket.SOCK_STREAM, 0, "", server.getsockname())], 5)
        peer = stack.enter_context(server.accept()[0])
        assert channel.write(memoryview(bytes(256 << 10))) == 256 << 10
        getattr(channel, how)()
        total = 0
        try:
            while data := peer.recv(64 << 10):
                total += len(data)
        except ConnectionResetError:
            return None
        return total


def test_aborted_data_is_not_delivered_later(stop: Stop) -> None:
    assert received("close", stop) == 256 << 10
    assert received("abort", stop) is None
