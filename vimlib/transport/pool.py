"""Connections for calls: kept, handed out, watched.

A `Channel` is one connection with at most one request on it. Bytes of the reply are parsed where
they arrive, in `data_received`, and go straight into the receiver, so that a call costs one wake-up
of its task. Anything but a whole, sound reply closes the connection: what is left on it would be
taken for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from vimlib.errors import ClosedError, ConnectionLostError, DeadlineError, TLSError
from vimlib.tls import BROKEN_HANDSHAKE
from vimlib.transport.http11 import LONGEST_HEAD, Body, length_of, parse_head, wrong
from vimlib.transport.wire import connect_socket, late

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib.tls import Trust
    from vimlib.transport.address import Address
    from vimlib.transport.base import Timeouts
    from vimlib.transport.http11 import Head
    from vimlib.transport.proxy import Proxy

__all__ = ["Channel", "Pool", "Receiver", "open_channel"]

# hostd closes idle connections after about 30 s; ours go first, so that no call meets one that is
# just being closed and has to be reported as "outcome unknown".
IDLE: Final = 12.0
# A connection that rested for longer is looked at before it is used: has the peer closed it?
_RESTED: Final = 0.5


class Receiver(Protocol):
    """Takes a reply as it comes. What it raises ends the exchange and the connection."""

    def head(self, head: Head) -> None:
        """Take the head of the final reply."""
        ...

    def data(self, data: bytes) -> None:
        """Take a piece of the body."""
        ...

    def end(self) -> None:
        """Take note of the end of a whole body."""
        ...


class Channel(asyncio.Protocol):
    """One connection, and the request that is on it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.rested = 0.0
        """When it became idle, by the loop's clock."""
        self.on_lost: Callable[[Channel], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[None] | None = None
        self._receiver: Receiver | None = None
        self._method = ""
        self._buffer = b""
        self._head: Head | None = None
        self._body: Body | None = None
        self._heard = 0.0

    # -- what asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way out."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse, and pass on."""
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked: nothing that follows could be trusted
            return
        self._heard = self._loop.time()
        try:
            self._take(data)
        except Exception as exc:  # noqa: BLE001 - the receiver's own, handed to who waits for it
            self._fail(exc)

    def eof_received(self) -> bool:
        """Close our side too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        if self.on_lost is not None:
            self.on_lost(self)
        if self._answer is None or self._answer.done():
            return
        try:
            if exc is None and self._body is not None and self._body.end():
                self._finish(reusable=False)
                return
        except Exception as failure:  # noqa: BLE001 - as above
            self._fail(failure)
            return
        why = getattr(exc, "strerror", None) or (type(exc).__name__ if exc else "")
        begun = self._head is not None or self._buffer
        said = (
            "before its reply was whole" if begun else f"without a reply{f': {why}' if why else ''}"
        )
        self._fail(
            ConnectionLostError(
                f"{self.host} closed the connection {said}", host=self.host, outcome="unknown"
            )
        )

    # -- one exchange --------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether a request may be written to it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if self._loop.time() - self.rested < _RESTED:
            return True
        # Readable while idle means that the peer has closed it, or says what nobody asked for.
        sock = transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN | select.POLLHUP)
        return not poll.poll(0)

    async def exchange(
        self,
        method: str,
        request: bytes,
        receiver: Receiver,
        *,
        read: float,
        seconds: float,
        until: float,
    ) -> bool:
        """Write `request`, await its whole reply; return whether the connection may be used again.

        `read` is the silence that is allowed, `until` the end of the whole call by the loop's
        clock, which had `seconds` at its start. Raises `ConnectionLostError`, `DeadlineError`, `ProtocolError`, and what the
        receiver raises. Cancelling closes the connection.
        """
        transport = self._transport
        assert transport is not None, "the channel is closed"
        loop = self._loop
        self._answer = answer = loop.create_future()
        self._receiver, self._method = receiver, method
        self._head = self._body = None
        self._buffer = b""
        self._heard = loop.time()
        transport.write(request)
        del request  # it has the cookie
        watch = _Watch(self, answer, read, seconds, until)
        try:
            await answer
        except BaseException:
            self.abort()
            raise
        finally:
            watch.cancel()
            self._answer = self._receiver = None
        head: Head | None = self._head
        return head is not None and head.persistent and self._transport is not None

    def _take(self, data: bytes) -> None:
        body = self._body
        while body is None:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > LONGEST_HEAD or not b"HTTP/".startswith(self._buffer[:5]):
                    raise wrong(self.host, "it does not begin as an HTTP reply", self._buffer)
                return
            head = parse_head(self._buffer[:end], self.host)
            data, self._buffer = self._buffer[end + 4 :], b""
            if head.status == 101:
                raise wrong(self.host, "it switches protocols, unasked")
            if head.status < 200:
                if not data:
                    return
                continue
            self._head = head
            assert self._receiver is not None
            length = length_of(head, self._method, self.host)
            self._receiver.head(head)
            body = self._body = Body(length, self.host, self._receiver.data)
        rest = body.feed(data) if data and not body.done else data
        if body.done:
            self._finish(reusable=not rest)

    def _finish(self, *, reusable: bool) -> None:
        assert self._receiver is not None
        self._receiver.end()
        if not reusable:
            self.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _fail(self, exc: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc)
        self.abort()

    def late(self, phase: str, seconds: float) -> None:
        """End the exchange with `DeadlineError`."""
        self._fail(late(seconds, phase, self.host, sent=True))

    @property
    def heard(self) -> float:
        """When the last byte came, or the request left."""
        return self._heard

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def close(self) -> None:
        """Close with a good-bye."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def certificate(self) -> bytes | None:
        """Return the peer's certificate (DER)."""
        assert self._transport is not None
        tls = self._transport.get_extra_info("ssl_object")
        found: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None
        return found


class _Watch:
    """One timer for both deadlines of an exchange."""

    __slots__ = ("_answer", "_channel", "_handle", "_read", "_seconds", "_until")

    def __init__(
        self,
        channel: Channel,
        answer: asyncio.Future[None],
        read: float,
        seconds: float,
        until: float,
    ) -> None:
        self._channel, self._answer = channel, answer
        self._read, self._seconds, self._until = read, seconds, until
        self._handle = answer.get_loop().call_at(min(until, channel.heard + read), self._look)

    def _look(self) -> None:
        loop = self._answer.get_loop()
        now = loop.time()
        if now >= self._until:
            self._channel.late("call", self._seconds)
            return
        quiet_until = self._channel.heard + self._read
        if now >= quiet_until:
            self._channel.late("read", self._read)
            return
        self._handle = loop.call_at(min(self._until, quiet_until), self._look)

    def cancel(self) -> None:
        self._handle.cancel()


async def open_channel(
    address: Address, trust: Trust | None, timeouts: Timeouts, proxy: Proxy | None
) -> Channel:
    """Connect, shake hands and check the certificate, each within its deadline.

    Raises `ConnectError`, `TLSError` and their kin, `DeadlineError`; nothing was sent then.
    Cancelling closes the socket.
    """
    loop = asyncio.get_running_loop()
    sock = await connect_socket(address, timeouts, proxy)
    channel = Channel(address.netloc)
    failure: TLSError | DeadlineError
    arguments: dict[str, Any] = {}
    if trust is not None:
        arguments = {
            "ssl": trust.context,
            "server_hostname": address.host,
            "ssl_handshake_timeout": timeouts.handshake,
        }
    try:
        # From here on the socket is the loop's, which closes it when this fails or is cancelled.
        # To close it as well would close whatever has its number by then.
        await loop.create_connection(lambda: channel, sock=sock, **arguments)
    except ssl.SSLError as exc:
        assert trust is not None
        failure = trust.error(exc)
    except OSError as exc:
        if isinstance(exc, ConnectionAbortedError) and exc.errno is None:
            # asyncio's word for a handshake that took too long.
            failure = late(timeouts.handshake, "handshake", address.netloc, sent=False)
        else:
            failure = TLSError(
                f"{address.netloc}: the connection broke in the TLS handshake: "
                f"{exc.strerror or type(exc).__name__}",
                hint=BROKEN_HANDSHAKE,
                host=address.netloc,
                retryable=True,
            )
    else:
        if trust is not None:
            try:
                trust.check(channel.certificate())
            except BaseException:
                channel.abort()
                raise
        return channel
    raise failure


class Pool:
    """Hands out channels: the one used last if any is idle, a new one up to `limit`, else in turn."""

    def __init__(self, opener: Callable[[], Any], limit: int) -> None:
        self._opener = opener
        self._limit = limit
        self._idle: list[Channel] = []
        self._busy: set[Channel] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[Channel | None]] = deque()
        self._reaper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Channels that are open or being opened."""
        return len(self._idle) + len(self._busy) + self._opening

    def ready(self) -> Channel | None:
        """Take an idle channel, if there is one and nobody is before us."""
        while self._idle and not self._waiting:
            channel = self._idle.pop()
            if channel.usable:
                self._busy.add(channel)
                return channel
            channel.abort()
        return None

    async def acquire(self) -> Channel:
        """Take a channel, opening one or waiting for one. Cancelling loses none."""
        while True:
            channel = self.ready()
            if channel is not None:
                return channel
            if self._closed:
                raise ClosedError("the transport is closed")
            if self.connections < self._limit:
                return await self._open()
            turn: asyncio.Future[Channel | None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                handed = await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._pass_on(turn.result())
                raise
            finally:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
            if handed is not None and handed.usable:
                return handed
            if handed is not None:
                self._busy.discard(handed)
                handed.abort()

    async def _open(self) -> Channel:
        self._opening += 1
        try:
            channel: Channel = await self._opener()
        except BaseException:
            self._opening -= 1
            self._pass_on(None)
            raise
        self._opening -= 1
        channel.on_lost = self._lost
        self._busy.add(channel)
        return channel

    def release(self, channel: Channel, *, reusable: bool) -> None:
        """Give a channel back."""
        if not reusable or self._closed:
            self._busy.discard(channel)
            channel.abort()
            self._pass_on(None)
            return
        channel.rested = asyncio.get_running_loop().time()
        self._pass_on(channel)

    def _pass_on(self, channel: Channel | None) -> None:
        """Hand a channel, or the right to open one, to who waits longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(channel)
                return
        if channel is not None:
            self._busy.discard(channel)
            self._idle.append(channel)
            if self._reaper is None:
                self._reaper = asyncio.get_running_loop().call_later(IDLE, self._reap)

    def _lost(self, channel: Channel) -> None:
        if channel in self._idle:
            self._idle.remove(channel)

    def _reap(self) -> None:
        """Close what has been idle for long."""
        self._reaper = None
        loop = asyncio.get_running_loop()
        old = [channel for channel in self._idle if loop.time() - channel.rested >= IDLE]
        for channel in old:
            self._idle.remove(channel)
            channel.close()
        if self._idle:
            self._reaper = loop.call_at(self._idle[0].rested + IDLE, self._reap)

    def close(self) -> None:
        """Close all; exchanges that are under way end with `ConnectionLostError`."""
        self._closed = True
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        # A good-bye over TLS waits for the peer's, and whoever leaves us may end the loop before.
        for channel in self._idle:
            channel.abort()
        for channel in list(self._busy):
            channel.abort()
        self._idle.clear()
        while self._waiting:
            self._pass_on(None)
