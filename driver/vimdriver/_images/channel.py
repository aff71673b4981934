"""A socket with deadlines for use in a thread; another thread can cancel its waits.

The socket is non-blocking: all waiting happens in `poll`, together with a wake-up descriptor that
`Stop` makes readable. So no other thread touches a TLS connection in use, and no wait is endless.
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
    from vimdriver._images.raw_http import RawRequest

Address: TypeAlias = tuple[int, int, int, str, Any]
"""One row of `getaddrinfo`: the name has been resolved before, since that cannot be called off."""

_AGAIN: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_SEND_PIECE: Final = 16 << 10
"""One TLS record: OpenSSL writes one at a time, and a view of more costs the same."""


class Stopped(Exception):
    """Another thread cancelled the transfer."""


class Stalled(Exception):
    """The peer sent or accepted no byte within the time allowed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Stop:
    """A flag that wakes every thread waiting in `poll`. `close` it when all threads have ended."""

    def __init__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self.is_set = False

    def set(self) -> None:
        """Cancel the transfer. Thread-safe and idempotent."""
        if not self.is_set:
            self.is_set = True
            self._write.send(b"!")  # never read, so that every waiting thread wakes

    def fileno(self) -> int:
        """Return the descriptor to wait for in `poll`."""
        return self._read.fileno()

    def close(self) -> None:
        """Release the descriptors."""
        self._read.close()
        self._write.close()


class Channel:
    """One connection, used by one thread at a time.

    Args:
        wire: The server's address and how to verify it.
        stop: Cancels all waits of this connection.
        stall_timeout: Maximum seconds of one wait for the peer.
    """

    def __init__(self, wire: RawRequest, stop: Stop, *, stall_timeout: float) -> None:
        self._wire = wire
        self._stop = stop
        self._stall = stall_timeout
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._poll.register(stop.fileno(), select.POLLIN)

    def connect(self, addresses: Sequence[Address], timeout: float) -> None:
        """Try the addresses in turn, do the TLS handshake, check the peer. No byte of a request is
        sent.

        Raises:
            OSError: No address answers, or TLS failed (`ssl.SSLError`).
            Stalled: `timeout` passed.
            Stopped: The transfer was cancelled.
        """
        deadline = time.monotonic() + timeout
        failure: OSError | Stalled = ConnectionRefusedError("no address")
        for position, (family, kind, protocol, _name, address) in enumerate(addresses):
            now = time.monotonic()
            # An address that does not answer must leave time to try the others.
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
            # A connection that ends without TLS's close_notify is an error, not an end of file.
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
        """Wait for the socket and return the events that `poll` reports for it."""
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
        """Read at least one byte into `view`; 0 means that the peer closed the connection properly.

        Raises:
            OSError: The connection broke.
            Stalled: No byte arrived for `timeout` seconds, or for the stall timeout.
            Stopped: The transfer was cancelled.
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
        """Read available bytes; None if nothing has arrived, 0 if the peer closed properly."""
        assert self._socket is not None
        try:
            return self._socket.recv_into(view)
        except _AGAIN:
            return None
        except ssl.SSLZeroReturnError:
            return 0

    def write(self, view: memoryview) -> int:
        """Send all of `view`; return less than its length if the peer sends a response first.

        Raises:
            OSError: The connection broke.
            Stalled: The peer accepted no byte for the stall timeout.
            Stopped: The transfer was cancelled.
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
        """Close the connection at once, without close_notify. Idempotent."""
        self._release()

    def abort(self) -> None:
        """Reset the connection (TCP RST), so that the peer knows that its data is incomplete.

        Unsent bytes are discarded. A plain close would still deliver them, and a slow peer could
        then take an aborted request for a complete one.
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
