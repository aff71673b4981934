"""One connection of our own: socket, proxy, TLS, pin, each step with its deadline.

Transfers use it instead of a pooled HTTP client, because only who owns the socket can read an
answer that came before a write failed, knows whether a byte has left, and can give each piece of a
body a deadline. TLS runs over memory buffers (`ssl.MemoryBIO`), so that a failed write leaves the
reading side alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from typing import TYPE_CHECKING, Final, cast

from vimlib._tls import BROKEN_HANDSHAKE
from vimlib._transport.records import Records
from vimlib.errors import (
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    ProxyError,
    ResolveError,
    TLSError,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any, TypeVar

    from vimlib._tls import Trust
    from vimlib._transport.address import Address
    from vimlib._transport.base import Timeouts
    from vimlib._transport.proxy import Proxy

    T = TypeVar("T")

__all__ = ["Connection", "connect_socket", "late", "open_connection", "within"]

# One TLS record holds 16 KiB; sixteen at a time keep the number of wake-ups low and memory flat.
RECEIVE: Final = 1 << 18
_PROXY_HEAD: Final = 16 << 10
# How long an address has before the next one of the same name is tried beside it (RFC 8305, 8).
_STAGGER: Final = 0.25


async def within(seconds: float, phase: str, host: str, work: Awaitable[T], *, sent: bool) -> T:
    """Await `work` within a deadline of its own. Raises `DeadlineError` naming the phase."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as exc:
        if isinstance(exc, DeadlineError) or exc.errno is not None:
            raise
        raise late(seconds, phase, host, sent=sent) from None


def late(seconds: float, phase: str, host: str, *, sent: bool) -> DeadlineError:
    """Return the error for a phase that took too long."""
    return DeadlineError(
        f"{host}: {phase} did not finish within {seconds:g} s",
        hint=f"If the host is slow, raise Timeouts.{phase}.",
        host=host,
        phase=phase,
        seconds=seconds,
        outcome="unknown" if sent else "not_sent",
    )


class Connection:
    """A byte stream to a server whose certificate has been checked.

    Reading and writing may go on at once, from two tasks.
    """

    def __init__(self, sock: socket.socket, host: str, timeouts: Timeouts) -> None:
        self.host = host
        self.sent = 0
        """Bytes of requests that were handed to the kernel, TLS not counted."""
        self.certificate: bytes | None = None
        """DER of the server's certificate."""
        self.cut = False
        """Whether the stream ended without the end of TLS, as anybody on the way can make it."""
        self._sock = sock
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(RECEIVE)
        self._plain = memoryview(b"")
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._flushing = asyncio.Lock()

    @property
    def read_timeout(self) -> float:
        """Seconds of silence that are allowed where a reply is due."""
        return self._timeouts.read

    def late(self) -> DeadlineError:
        """Return the error for a reply that did not begin in time."""
        return late(self._timeouts.read, "read", self.host, sent=True)

    async def start_tls(self, trust: Trust, name: str) -> None:
        """Shake hands and check the certificate. Raises `TLSError` and its kin."""
        tls = trust.context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        try:
            await within(
                self._timeouts.handshake, "handshake", self.host, self._shake(tls), sent=False
            )
        except ssl.SSLError as exc:
            failure = exc
        except OSError as exc:
            if isinstance(exc, DeadlineError):
                raise
            raise TLSError(
                f"{self.host}: the connection was lost during the TLS handshake: {exc.strerror or exc}",
                hint=BROKEN_HANDSHAKE,
                host=self.host,
                retryable=True,
            ) from None
        else:
            self._tls = tls
            self._plain = memoryview(bytearray(RECEIVE))
            self.certificate = tls.getpeercert(binary_form=True)
            trust.check(self.certificate)
            return
        raise trust.error(failure)

    async def _shake(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._fill():
                    raise ConnectionResetError("closed by the peer") from None
            except ssl.SSLError:
                # The alert that tells the peer why.
                with contextlib.suppress(OSError):
                    await self._flush()
                raise
            else:
                await self._flush()
                return

    async def _flush(self) -> None:
        # Reader and writer may both have records to send; they must not interleave.
        async with self._flushing:
            while data := self._outgoing.read():
                await self._loop.sock_sendall(self._sock, data)

    async def _fill(self) -> bool:
        count = await self._loop.sock_recv_into(self._sock, self._buffer)
        if count == 0:
            self._incoming.write_eof()
            return False
        self._incoming.write(memoryview(self._buffer)[:count])
        return True

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`. Raises `ConnectionLostError`, `DeadlineError` (phase `write`)."""
        try:
            await within(self._timeouts.write, "write", self.host, self._send(data), sent=True)
        except DeadlineError:
            raise
        except (OSError, ssl.SSLError) as exc:
            raise self._lost(exc) from None
        finally:
            del data  # heads hold cookies, and tracebacks hold frames

    async def _send(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += len(data)
        if self._tls is None:
            await self._loop.sock_sendall(self._sock, data)
            return
        view = memoryview(data)
        while view:
            # TLS 1.2 renegotiation aside, writing into memory never waits.
            done = self._tls.write(view[:RECEIVE])
            view = view[done:]
            await self._flush()

    async def receive(self, seconds: float | None = None) -> bytes:
        """Read what has come, b"" at the end. Raises `ConnectionLostError`, `DeadlineError`."""
        limit = self._timeouts.read if seconds is None else seconds
        try:
            return await within(limit, "read", self.host, self._receive(), sent=self.sent > 0)
        except DeadlineError:
            raise
        except (OSError, ssl.SSLError) as exc:
            raise self._lost(exc) from None

    async def _receive(self) -> bytes:
        if self._tls is None:
            count = await self._loop.sock_recv_into(self._sock, self._buffer)
            return bytes(memoryview(self._buffer)[:count])
        # Into one buffer, all the records that are there: `read(RECEIVE)` would make a new object of
        # that size for each of 16 KiB, and what the allocator keeps between them grows without end.
        filled = 0
        while filled < RECEIVE:
            try:
                # With a buffer it returns how many bytes it put there, whatever typeshed says.
                count = cast("int", self._tls.read(RECEIVE - filled, self._plain[filled:]))
            except ssl.SSLWantReadError:
                if filled:
                    break
                if self._outgoing.pending:
                    await self._flush()
                await self._fill()
            except ssl.SSLError as exc:
                if filled:
                    break  # the next call meets the same end
                # Cut without the TLS good-bye. Old hosts do that too, so the HTTP layer decides
                # by Content-Length whether something is missing.
                self.cut = isinstance(exc, ssl.SSLEOFError)
                if self.cut or isinstance(exc, ssl.SSLZeroReturnError):
                    return b""
                raise
            else:
                if count == 0:
                    break
                filled += count
        return bytes(self._plain[:filled])

    def detach(self) -> tuple[socket.socket, Records | None]:
        """Hand over the socket and its TLS, to whom reads and writes in another way from here on."""
        if self._tls is None:
            return self._sock, None
        return self._sock, Records(self._tls, self._incoming, self._outgoing)

    def _lost(self, exc: OSError) -> ConnectionLostError:
        return ConnectionLostError(
            f"{self.host} closed the connection: {exc.strerror or type(exc).__name__}",
            host=self.host,
            outcome="unknown" if self.sent else "not_sent",
        )

    def abort(self) -> None:
        """Close at once, telling the peer that what it has is not whole (TCP reset)."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._sock.close()

    def close(self) -> None:
        """Close; what was sent is delivered."""
        if self._tls is not None:
            # A good-bye as far as it goes without waiting; the sockets do not block.
            farewell = Records(self._tls, self._incoming, self._outgoing).goodbye()
            with contextlib.suppress(OSError):
                self._sock.send(farewell)
        self._sock.close()


async def open_connection(
    address: Address, trust: Trust | None, timeouts: Timeouts, proxy: Proxy | None = None
) -> Connection:
    """Connect to `address`, through `proxy` if there is one, and check the certificate.

    Raises `ConnectError` and its kin, `TLSError` and its kin, `DeadlineError`; in each case nothing
    was sent. Cancelling closes the socket.
    """
    sock = await connect_socket(address, timeouts, proxy)
    connection = Connection(sock, address.netloc, timeouts)
    try:
        if trust is not None:
            await connection.start_tls(trust, address.host)
    except BaseException:
        connection.abort()
        raise
    return connection


async def connect_socket(
    address: Address, timeouts: Timeouts, proxy: Proxy | None = None
) -> socket.socket:
    """Return a socket that leads to `address`, through a tunnel of `proxy` if there is one.

    Raises `ConnectError` and its kin, `DeadlineError`. Cancelling closes the socket.
    """
    target = proxy.address if proxy is not None else address
    sock = await within(timeouts.connect, "connect", target.netloc, _connect(target), sent=False)
    if proxy is None:
        return sock
    try:
        tunnel = _tunnel(Connection(sock, target.netloc, timeouts), proxy, address)
        await within(timeouts.connect, "connect", target.netloc, tunnel, sent=False)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(target: Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise ResolveError(
            f"cannot resolve {target.host}: {getattr(exc, 'strerror', None) or exc}",
            hint="Check the host name and the name server.",
            host=target.netloc,
        ) from None
    try:
        return await _connect_first(loop, found)
    except OSError as exc:
        raise ConnectError(
            f"cannot connect to {target.netloc}: {exc.strerror or exc}",
            hint="Check the address, the port and the firewall.",
            host=target.netloc,
        ) from None


async def _connect_first(loop: asyncio.AbstractEventLoop, found: Any) -> socket.socket:
    """Connect to the first address that answers; each is tried a moment after the one before.

    One that swallows what is sent to it must not use up the deadline of all (RFC 8305, 5). Raises
    the `OSError` of the last that failed. Cancelling closes all sockets.
    """
    waiting = [(family, kind, proto, where) for family, kind, proto, _, where in found]
    assert waiting, "getaddrinfo gave no address and no error"
    if len(waiting) == 1:
        return await _connect_one(loop, *waiting[0])
    tasks: list[asyncio.Task[socket.socket]] = []
    best: socket.socket | None = None
    last = OSError("no address was tried")
    try:
        while best is None and (waiting or not all(task.done() for task in tasks)):
            if waiting:
                tasks.append(asyncio.create_task(_connect_one(loop, *waiting.pop(0))))
            done, _ = await asyncio.wait(
                [task for task in tasks if not task.done()],
                timeout=_STAGGER if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    best = best or task.result()
                elif isinstance(error, OSError):
                    last = error
                else:
                    raise error
        await _end(tasks, best)
    except BaseException:
        await _end(tasks, None)
        raise
    if best is None:
        raise last
    return best


async def _end(tasks: list[asyncio.Task[socket.socket]], best: socket.socket | None) -> None:
    """End all attempts and close all sockets but the best, also if this is cancelled."""

    def close(task: asyncio.Task[socket.socket]) -> None:
        if not task.cancelled() and task.exception() is None and task.result() is not best:
            task.result().close()

    for task in tasks:
        task.cancel()
        task.add_done_callback(close)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _connect_one(
    loop: asyncio.AbstractEventLoop, family: int, kind: int, proto: int, where: Any
) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _tunnel(connection: Connection, proxy: Proxy, address: Address) -> None:
    head = b""
    try:
        await connection.send(_connect_request(proxy, address))
        while b"\r\n\r\n" not in head:
            piece = await connection.receive()
            if not piece or len(head) > _PROXY_HEAD:
                raise _proxy_failed(proxy, "the proxy closed the connection", 0)
            head += piece
    except ConnectionLostError:
        raise _proxy_failed(proxy, "the proxy closed the connection", 0) from None
    first, _, rest = head.partition(b"\r\n")
    words = first.split(None, 2)
    status = int(words[1]) if len(words) > 1 and re.fullmatch(rb"[1-5][0-9]{2}", words[1]) else 0
    if not 200 <= status < 300:  # RFC 9110, 9.3.6: any 2xx opens the tunnel
        said = printable(b" ".join(words[1:]).decode("latin-1"), 80)
        raise _proxy_failed(proxy, f"the proxy answered {said!r}", status)
    if rest.partition(b"\r\n\r\n")[2]:
        raise _proxy_failed(proxy, "the proxy sent data into the tunnel", status)


def _connect_request(proxy: Proxy, address: Address) -> bytes:
    lines = [f"CONNECT {address.netloc} HTTP/1.1", f"Host: {address.netloc}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization.reveal()}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _proxy_failed(proxy: Proxy, why: str, status: int) -> ProxyError:
    hint = (
        "Give the proxy's user name and password in its URL."
        if status == 407
        else "Check the proxy."
    )
    return ProxyError(
        f"cannot open a tunnel through {proxy.address.netloc}: {why}",
        hint=hint,
        host=proxy.address.netloc,
        status=status,
    )
