"""One connection for calls, with at most one request on it.

Bytes of the reply are parsed where they arrive, in `buffer_updated`, and go straight into the
receiver, so that a call costs one wake-up of its task. TLS runs over memory buffers, as in `wire`,
whose handshake it takes over: asyncio's own layer costs a small call more than the encryption does.
One timer serves the deadlines of all exchanges of a connection, one after the other. Anything but a
whole, sound reply closes the connection: what is left on it would be taken for the next one.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import TYPE_CHECKING, Final, Protocol

from vimlib._secret import forget_locals
from vimlib._transport.http11 import LONGEST_HEAD, Body, length_of, parse_head, wrong
from vimlib._transport.wire import late, open_connection
from vimlib.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib._tls import Trust
    from vimlib._transport.address import Address
    from vimlib._transport.base import Timeouts
    from vimlib._transport.http11 import Head
    from vimlib._transport.proxy import Proxy
    from vimlib._transport.records import Records

__all__ = ["Channel", "Receiver", "open_channel"]

# A connection that rested for longer is looked at before it is used: has the peer closed it?
_RESTED: Final = 0.5
# Four TLS records: what one wake-up takes from the socket.
_ROOM: Final = 1 << 16


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


class Channel(asyncio.BufferedProtocol):
    """One connection, and the request that is on it; `records` is its TLS, None for plain HTTP."""

    def __init__(self, host: str, records: Records | None = None) -> None:
        self.host = host
        self.rested = 0.0
        """When it became idle, by the loop's clock."""
        self.on_lost: Callable[[Channel], None] | None = None
        self._records = records
        # For what comes in, and then, once TLS has taken that over, for what it makes of it.
        self._room = memoryview(bytearray(_ROOM))
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        # Whether an end of the stream is the peer's word, not somebody's who cut it off.
        self._ended = records is None
        # The exchange in hand.
        self._answer: asyncio.Future[None] | None = None
        self._receiver: Receiver | None = None
        self._method = ""
        self._buffer = b""
        self._head: Head | None = None
        self._body: Body | None = None
        # Its deadlines, by the loop's clock, and the timer that looks at them.
        self._heard = self._until = 0.0
        self._read = self._seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- what asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way out."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._records is not None:
            self._open_records(self._records)  # what came with the end of the handshake

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        return self._room

    def buffer_updated(self, count: int) -> None:
        """Take what has come, decrypted."""
        if self._records is None:
            self._received(bytes(self._room[:count]))
            return
        self._records.incoming.write(self._room[:count])
        self._open_records(self._records)

    def eof_received(self) -> bool:
        """Close our side too."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._transport = None
        self._rest()
        if self.on_lost is not None:
            self.on_lost(self)
        if self._answer is None or self._answer.done():
            return
        try:
            if exc is None and self._ended and self._body is not None and self._body.end():
                self._finish(reusable=False)
                return
        except Exception as failure:  # noqa: BLE001 - the receiver's own, handed to who waits for it
            self._fail(failure)
            return
        self._fail(self._lost(exc))

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
        return not _readable(transport.get_extra_info("socket").fileno())

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
        clock, which had `seconds` at its start. Raises `ConnectionLostError`, `DeadlineError`,
        `ProtocolError`, and what the receiver raises. Cancelling closes the connection.
        """
        if self._transport is None or self._transport.is_closing():
            self.abort()
            raise self._lost(None, sent=False)
        loop = self._loop
        self._answer = answer = loop.create_future()
        self._receiver, self._method = receiver, method
        self._head = self._body = None
        self._buffer = b""
        self._heard = loop.time()
        self._read, self._seconds, self._until = read, seconds, until
        try:
            self._write(request)
            del request  # it has the cookie
            self._watch()
            await answer
        except BaseException:
            self.abort()
            raise
        finally:
            self._answer = self._receiver = None
        head: Head | None = self._head
        transport = self._transport
        if head is None or not head.persistent or transport is None:
            return False
        # A reply that came before its request was taken: what is left would go before the next one.
        return transport.get_write_buffer_size() == 0

    def _write(self, request: bytes) -> None:
        """Hand a whole request to the kernel, or to asyncio what the kernel does not take yet."""
        transport, records = self._transport, self._records
        assert transport is not None
        if records is None:
            transport.write(request)
            return
        try:
            sealed = records.seal(request)
        except ssl.SSLError as exc:
            failure = self._lost(exc, sent=False)
        else:
            transport.write(sealed)
            return
        finally:
            del request
        raise failure

    # -- what comes in -------------------------------------------------------------------------

    def _open_records(self, records: Records) -> None:
        """Pass on what the records hold that have come, and send what TLS itself has to say."""
        failure: Exception | None = None
        try:
            while self._transport is not None:
                data = records.open(self._room)
                if not data:
                    break
                self._received(data)
                if not records.more:
                    break
        except ssl.SSLError as exc:
            failure = exc
        transport = self._transport
        if transport is None:
            return
        if records.outgoing.pending:
            transport.write(records.outgoing.read())
        if failure is not None:
            self._fail(self._lost(failure))
        elif records.ended:
            self._ended = True
            transport.close()

    def _received(self, data: bytes) -> None:
        """Parse, and pass on."""
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked: nothing that follows could be trusted
            return
        self._heard = self._loop.time()
        try:
            self._take(data)
        except Exception as exc:  # noqa: BLE001 - the receiver's own, handed to who waits for it
            forget_locals(exc)
            self._fail(exc)
        finally:
            del data  # a head may give the cookie, and tracebacks hold frames

    def _take(self, data: bytes) -> None:
        body = self._body
        while body is None:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > LONGEST_HEAD or not b"HTTP/".startswith(self._buffer[:5]):
                    raise wrong(self.host, "malformed status line", self._buffer)
                return
            head = parse_head(self._buffer[:end], self.host)
            data, self._buffer = self._buffer[end + 4 :], b""
            if head.status == 101:
                raise wrong(self.host, "unrequested switch of protocols")
            if head.status < 200:
                if not data:
                    return
                continue
            self._head = head
            assert self._receiver is not None
            length = length_of(head, self._method, self.host)
            self._receiver.head(head)
            if data and length == len(data):  # nearly always: no framing to take off
                self._receiver.data(data)
                self._finish(reusable=True)
                return
            body = self._body = Body(length, self.host, self._receiver.data)
        rest = body.feed(data) if data and not body.done else data
        if body.done:
            self._finish(reusable=not rest)

    # -- how it ends ---------------------------------------------------------------------------

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

    def _lost(self, exc: Exception | None, *, sent: bool = True) -> ConnectionLostError:
        """Return the error for a connection that ended before its reply was whole."""
        why = getattr(exc, "strerror", None) or (type(exc).__name__ if exc else "")
        begun = self._head is not None or self._buffer
        said = (
            "before the end of its reply"
            if begun
            else f"without a reply{f': {why}' if why else ''}"
        )
        return ConnectionLostError(
            f"{self.host} closed the connection {said}",
            host=self.host,
            outcome="unknown" if sent else "not_sent",
        )

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._ended = False  # what follows is our end of the stream, not the peer's
            self._transport.abort()
            self._transport = None
        self._rest()

    def close(self) -> None:
        """Close with a good-bye."""
        transport, self._transport = self._transport, None
        if transport is not None:
            if self._records is not None:
                transport.write(self._records.goodbye())
            transport.close()
        self._rest()

    # -- deadlines -----------------------------------------------------------------------------

    def _watch(self) -> None:
        """See to it that the timer goes off no later than the next deadline.

        One that goes off earlier, for an exchange that is long over, looks and is set anew: so an
        exchange sets none as long as there is one.
        """
        due = min(self._until, self._heard + self._read)
        timer = self._timer
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._answer is None or self._answer.done():
            return
        now = self._loop.time()
        if now >= self._until:
            self._fail(late(self._seconds, "call", self.host, sent=True))
        elif now >= self._heard + self._read:
            self._fail(late(self._read, "read", self.host, sent=True))
        else:
            self._watch()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def open_channel(
    address: Address, trust: Trust | None, timeouts: Timeouts, proxy: Proxy | None
) -> Channel:
    """Connect, shake hands and check the certificate, each within its deadline.

    Raises `ConnectError`, `TLSError` and their kin, `DeadlineError`; nothing was sent then.
    Cancelling closes the socket.
    """
    connection = await open_connection(address, trust, timeouts, proxy)
    sock, records = connection.detach()
    channel = Channel(address.netloc, records)
    # From here on the socket is the loop's, which closes it when this fails or is cancelled.
    # To close it as well would close whatever has its number by then.
    await asyncio.get_running_loop().create_connection(lambda: channel, sock=sock)
    return channel


def _readable(descriptor: int) -> bool:
    """Return whether a read would not block now."""
    if not hasattr(select, "poll"):
        # Windows, where `select` takes any number of a socket; elsewhere it stops at 1023.
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))
