"""A socket that a thread may wait on, with deadlines, and that another thread can call off.

The socket never blocks: all waiting is done in `poll`, beside a wake-up descriptor that `Stop` makes
readable. So no other thread has to touch a TLS connection in use, and nothing hangs.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from vimdriver._images.wire import Wire

__all__ = ["Address", "Channel", "Stalled", "Stop", "Stopped"]

Address: TypeAlias = tuple[int, int, int, str, Any]
"""One row of `getaddrinfo`: the name has been resolved before, since that cannot be called off."""

_AGAIN: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_SEND_PIECE: Final = 16 << 10
"""One TLS record: OpenSSL writes one at a time, and a view of more costs the same."""


class Stopped(Exception):
    """The transfer was called off by another thread."""


class Stalled(Exception):
    """Nothing moved for the time allowed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Stop:
    """A flag that wakes whoever polls. `close` it when all threads are done."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self.is_set = False

    def set(self) -> None:
        """Call the transfer off. Any thread may, any number of times."""
        if not self.is_set:
            self.is_set = True
            self._write.send(b"!")  # never read, so that it wakes everybody

    def fileno(self) -> int:
        """Return what `poll` watches."""
        return self._read.fileno()

    def close(self) -> None:
        """Release the descriptors."""
        self._read.close()
        self._write.close()


class Channel:
    """One connection. Used by one thread at a time.

    Args:
        wire: Whom to dial and how to trust them.
        stop: Calls it off.
        stall_timeout: Seconds that the peer may keep us waiting in one go.
    """

    def __init__(self, wire: Wire, stop: Stop, *, stall_timeout: float) -> None:
        self._wire = wire
        self._stop = stop
        self._stall = stall_timeout
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._poll.register(stop.fileno(), select.POLLIN)

    def connect(self, addresses: Sequence[Address], timeout: float) -> None:
        """Dial the addresses in turn, shake hands, check the peer. No byte of a request is sent.

        Raises:
            OSError: None of them answers, or TLS failed (`ssl.SSLError`).
            Stalled: `timeout` passed.
            Stopped: Called off.
        """
        deadline = time.monotonic() + timeout
        failure: OSError | Stalled = ConnectionRefusedError("no address")
        for position, (family, kind, protocol, _name, address) in enumerate(addresses):
            now = time.monotonic()
            # A network that swallows one address must leave the others their share of the time.
            until = now + (deadline - now) / (len(addresses) - position)
            try:
                self._dial(family, kind, protocol, address, until, timeout)
                break
            except (OSError, Stalled) as error:
                failure = error
                self.close()
        else:
            raise failure
        if self._wire.tls is not None:
            self._shake_hands(self._wire.tls, deadline, timeout)

    def _dial(
        self, family: int, kind: int, protocol: int, address: Any, deadline: float, timeout: float
    ) -> None:
        self._adopt(socket.socket(family, kind, protocol))
        sock = self._socket
        assert sock is not None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(address)
        except BlockingIOError:
            self._wait(select.POLLOUT, deadline, timeout)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code)) from None

    def _shake_hands(self, tls: ssl.SSLContext, deadline: float, timeout: float) -> None:
        plain = self._socket
        assert plain is not None
        self._poll.unregister(plain.fileno())
        secure = tls.wrap_socket(
            plain,
            server_hostname=self._wire.server_hostname or self._wire.host,
            do_handshake_on_connect=False,
            # A connection cut without TLS's own goodbye is an error, not an end.
            suppress_ragged_eofs=False,
        )
        self._adopt(secure)
        while True:
            try:
                secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, deadline, timeout)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, deadline, timeout)
        if self._wire.check_peer is not None:
            self._wire.check_peer(secure.getpeercert(binary_form=True) or b"")

    def _adopt(self, sock: socket.socket) -> None:
        self._socket = sock
        self._poll.register(sock.fileno(), 0)

    def _wait(self, events: int, deadline: float, timeout: float) -> int:
        """Wait for the socket; return what happened to it."""
        assert self._socket is not None
        number = self._socket.fileno()
        self._poll.modify(number, events)
        while True:
            left = deadline - time.monotonic()
            ready = dict(self._poll.poll(max(0.0, left) * 1000))
            if self._stop.is_set:
                raise Stopped
            if number in ready:
                return ready[number]
            if left <= 0:
                raise Stalled(timeout)

    def read_into(self, view: memoryview, *, timeout: float | None = None) -> int:
        """Read at least one byte into `view`; 0 means that the peer has closed properly.

        Raises:
            OSError: The connection broke.
            Stalled: Silence for `timeout` seconds, or the stall timeout.
            Stopped: Called off.
        """
        allowed = self._stall if timeout is None else timeout
        deadline = 0.0
        while True:
            count = self.read_now(view)
            if count is not None:
                return count
            deadline = deadline or time.monotonic() + allowed
            self._wait(select.POLLIN, deadline, allowed)

    def read_now(self, view: memoryview) -> int | None:
        """Read what is there; None if there is nothing yet, 0 if the peer has closed properly."""
        assert self._socket is not None
        try:
            return self._socket.recv_into(view)
        except _AGAIN:
            return None
        except ssl.SSLZeroReturnError:
            return 0

    def write(self, view: memoryview) -> int:
        """Send all of `view`; return less than its length when the peer has said something first.

        Raises:
            OSError: The connection broke.
            Stalled: The peer took nothing for the stall timeout.
            Stopped: Called off.
        """
        assert self._socket is not None
        send = self._socket.send
        sent, total = 0, len(view)
        deadline = 0.0
        while sent < total:
            try:
                sent += send(view[sent : sent + _SEND_PIECE])
            except _AGAIN:
                deadline = deadline or time.monotonic() + self._stall
                if self._wait(select.POLLIN | select.POLLOUT, deadline, self._stall) & (
                    select.POLLIN | select.POLLHUP
                ):
                    return sent
            else:
                deadline = 0.0
        return sent

    def close(self) -> None:
        """Close the connection, at once and without goodbye. Safe to call twice."""
        self._release()

    def abort(self) -> None:
        """Close it, telling the peer that what it has is not whole (TCP reset).

        What is still on this side is thrown away; closed, it would be delivered, and a peer that
        was slow would take the request for a good one after we gave it up.
        """
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
        self._release()

    def _release(self) -> None:
        if self._socket is not None:
            self._poll.unregister(self._socket.fileno())
            self._socket.close()
            self._socket = None
