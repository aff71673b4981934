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
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vimlib._transport.pace import Breach, Pace

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
    """The peer sent or accepted too few bytes within the time allowed."""

    def __init__(self, breach: Breach) -> None:
        super().__init__(breach)
        self.breach = breach
        self.seconds = breach.seconds


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
    """

    def __init__(self, wire: RawRequest, stop: Stop) -> None:
        self._wire = wire
        self._stop = stop
        self.pace = Pace(inf, "read")
        """The limits of what is read or written now."""
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
            self._connecting(select.POLLOUT, deadline, timeout)
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
                self._connecting(select.POLLIN, deadline, timeout)
            except ssl.SSLWantWriteError:
                self._connecting(select.POLLOUT, deadline, timeout)
        if self._wire.check_peer is not None:
            self._wire.check_peer(secure.getpeercert(binary_form=True) or b"")

    def _adopt(self, sock: socket.socket) -> None:
        self._socket = sock
        self._poll.register(sock.fileno(), 0)

    def _connecting(self, events: int, deadline: float, timeout: float) -> None:
        """Wait for a step of the connection, which is to be open at `deadline`."""
        while not self._wait(events, left := deadline - time.monotonic()):
            if left <= 0:
                raise Stalled(Breach("connect", timeout, 0))

    def _wait(self, events: int, seconds: float) -> int:
        """Wait for the socket and return the events that `poll` reports for it; 0 for none."""
        assert self._socket is not None
        number = self._socket.fileno()
        self._poll.modify(number, events)
        ready = dict(self._poll.poll(None if seconds == inf else max(0.0, seconds) * 1000))
        if self._stop.is_set:
            raise Stopped
        return ready.get(number, 0)

    def _moved(self, count: int, began: float | None = None) -> None:
        """Count bytes that the peer sent or accepted, after a wait since `began`."""
        now = time.monotonic()
        breach = self.pace.add(count, 0.0 if began is None else now - began, now)
        if breach is not None:
            raise Stalled(breach)

    def read_into(self, view: memoryview) -> int:
        """Read at least one byte into `view`; 0 means that the peer closed the connection properly.

        Raises:
            OSError: The connection broke.
            Stalled: The peer exceeded a limit of `pace`.
            Stopped: The transfer was cancelled.
        """
        while True:
            count = self.read_now(view)
            if count is not None:
                self._moved(count)
                return count
            began = time.monotonic()
            self._wait(select.POLLIN, self.pace.left(began))
            # Part of a TLS record is no byte of the body.
            self._moved(0, began)

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
            Stalled: The peer exceeded a limit of `pace`.
            Stopped: The transfer was cancelled.
        """
        assert self._socket is not None
        send = self._socket.send
        sent, total = 0, len(view)
        counted = 0
        while sent < total:
            try:
                sent += send(view[sent : sent + _SEND_PIECE])
            except _AGAIN:
                began = time.monotonic()
                events = self._wait(select.POLLIN | select.POLLOUT, self.pace.left(began))
                self._moved(sent - counted, began)
                counted = sent
                if events & (select.POLLIN | select.POLLHUP):
                    break
        self._moved(sent - counted)
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
