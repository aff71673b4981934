"""One connection to the host: bytes, TLS and the response to the request in hand.

Received bytes are decrypted and parsed in `buffer_updated` and go straight into the receiver, so a
call wakes its task once. Anything but a complete, valid response closes the connection: bytes
left on it would be taken for the next response.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
from math import inf
from typing import TYPE_CHECKING, Final

from vimlib._secret import forget_locals
from vimlib._tls import BROKEN_HANDSHAKE
from vimlib._transport.http11 import Response
from vimlib._transport.tls_stream import TLSStream
from vimlib.errors import ConnectionLostError, DeadlineError, TLSError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from vimlib._tls import Trust
    from vimlib._transport.http11 import Receiver
    from vimlib._transport.pace import Pace

    T = TypeVar("T")

# A connection that was idle for longer is polled before use: the peer may have closed it.
_RESTED: Final = 0.5
# Bytes that one wake-up takes from the socket: four TLS records.
_ROOM: Final = 1 << 16
# Bytes of a body that are encrypted and handed to the socket at a time.
_SEND: Final = 1 << 18
_RESET: Final = b"\x01\0\0\0\0\0\0\0"  # struct linger: on, 0 s


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


class Connection(asyncio.BufferedProtocol):
    """A connection, with at most one request on it. Plain until `start_tls`."""

    def __init__(self, host: str, room: int = _ROOM) -> None:
        self.host = host
        """`host:port` of the peer, for errors."""
        self.certificate: bytes | None = None
        """DER of the server's certificate, once TLS is up."""
        self.idle_since = 0.0
        """By the loop's clock."""
        self.on_lost: Callable[[Connection], None] | None = None
        self._tls: TLSStream | None = None
        self._handshake: asyncio.Future[None] | None = None
        # For received bytes, and then, once TLS has taken those over, for the decrypted ones.
        self._room = memoryview(bytearray(room))
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        # Whether received bytes have ended, and whether an end is to be trusted: it is the peer's
        # own and, over TLS, announced by `close_notify`.
        self._ended = False
        self._clean = True
        # The exchange in hand.
        self._answer: asyncio.Future[None] | None = None
        self._response: Response | None = None
        # Resolved when the kernel has taken all that was written.
        self._taken: asyncio.Future[None] | None = None
        # Deadlines of the exchange, by the loop's clock, and the one timer that checks them.
        self._heard = 0.0
        self._read = self._until = inf
        self._seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- TLS -----------------------------------------------------------------------------------

    async def start_tls(self, trust: Trust, name: str, seconds: float) -> None:
        """Shake hands within `seconds` and check the certificate.

        Raises `TLSError` and its subclasses, `DeadlineError`. Cancelling leaves the connection
        unusable; close it.
        """
        self._tls = TLSStream(trust.context, name)
        self._clean = False
        done = self._handshake = self._loop.create_future()
        self._shake_hands(self._tls)
        try:
            await within(seconds, "handshake", self.host, done, sent=False)
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
            self.certificate = self._tls.certificate
            trust.check(self.certificate)
            return
        finally:
            self._handshake = None
        raise trust.error(failure)

    def _shake_hands(self, tls: TLSStream) -> None:
        done = self._handshake
        if done is None or done.done():
            return
        try:
            if tls.handshake():
                done.set_result(None)
        except ssl.SSLError as exc:
            done.set_exception(exc)
        self._flush(tls)

    def _flush(self, tls: TLSStream) -> None:
        """Send what TLS itself has to send: handshake, alerts, key updates."""
        if tls.outgoing.pending and self._transport is not None:
            self._transport.write(tls.outgoing.read())

    # -- what asyncio calls --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(0)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        return self._room

    def buffer_updated(self, count: int) -> None:
        """Take received bytes."""
        tls = self._tls
        if tls is None:
            self._received(bytes(self._room[:count]))
            return
        tls.incoming.write(self._room[:count])
        if self._handshake is not None:
            self._shake_hands(tls)
            if not self._handshake.done() or self._handshake.exception() is not None:
                return
        self._decrypt(tls)

    def eof_received(self) -> bool:
        """Take note of the end of the stream; keep the writing side open if a request is in hand."""
        self._ended = True
        self._input_ended(None)
        return self._answer is not None

    def resume_writing(self) -> None:
        """Wake a writer that waits for the kernel to take its bytes."""
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """End whatever waits."""
        if exc is not None and self._transport is not None:
            self._read_rest(self._transport)
        self._transport = None
        self._stop_timer()
        if self.on_lost is not None:
            self.on_lost(self)
        if self._handshake is not None and not self._handshake.done():
            self._handshake.set_exception(exc or ConnectionResetError("closed by the peer"))
        if self._taken is not None and not self._taken.done():
            self._taken.set_exception(self._lost(exc))
        self._input_ended(exc)

    def _read_rest(self, transport: asyncio.Transport) -> None:
        """Read the bytes that arrived before a write failed: they may hold the reason.

        asyncio stops reading when a write fails, but closes the socket only after this.
        """
        sock = socket.socket(fileno=transport.get_extra_info("socket").fileno())
        try:
            with contextlib.suppress(OSError):
                while self._awaited and (count := sock.recv_into(self._room)):
                    self.buffer_updated(count)
        finally:
            sock.detach()  # asyncio's to close

    # -- one exchange --------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether bytes can be written."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def usable(self) -> bool:
        """Whether a request may be written to it after it was idle."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if self._loop.time() - self.idle_since < _RESTED:
            return True
        # Readable while idle: the peer has closed it, or sends what nobody asked for.
        return not _readable(transport.get_extra_info("socket").fileno())

    @property
    def _awaited(self) -> bool:
        return self._answer is not None and not self._answer.done()

    def begin(self, method: str, request: bytes, receiver: Receiver) -> asyncio.Future[None]:
        """Write a request, or its head; return the future that its response resolves.

        Call `end` when the exchange is over. Raises `ConnectionLostError` (outcome `not_sent`);
        the future raises it too (`unknown`), `ProtocolError`, `DeadlineError`, and exceptions of the
        receiver.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            self.abort()
            raise self._lost(None, sent=False)
        self._answer = answer = self._loop.create_future()
        self._response = Response(method, self.host, receiver)
        self._heard = self._loop.time()
        try:
            self._write(request)
        except BaseException:
            self.end()
            raise
        finally:
            del request  # it holds the cookie
        return answer

    def end(self) -> None:
        """Forget the exchange in hand."""
        answer, self._answer, self._response = self._answer, None, None
        if answer is not None and answer.done() and not answer.cancelled():
            answer.exception()  # marked as seen: its owner has another reason to leave

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
        """Write `request`, await its response; return whether the connection may be used again.

        `read` is the silence that is allowed, `until` the end of the whole call by the loop's
        clock, which had `seconds` at its start. Raises `ConnectionLostError`, `DeadlineError`,
        `ProtocolError`, and exceptions of the receiver. Cancelling closes the connection.
        """
        answer = self.begin(method, request, receiver)
        del request
        self._read, self._seconds, self._until = read, seconds, until
        response = self._response
        try:
            self._watch()
            await answer
        except BaseException:
            self.abort()
            raise
        finally:
            self._answer = self._response = None
        transport = self._transport
        if response is None or response.head is None or not response.head.persistent:
            return False
        if transport is None or self._ended:
            return False
        # A response that came before its request was taken: the rest would precede the next one.
        return transport.get_write_buffer_size() == 0

    def expect(self, seconds: float) -> None:
        """Allow so much silence from now on; `inf` for any."""
        self._heard, self._read = self._loop.time(), seconds
        self._watch()

    async def send(self, data: bytes | bytearray | memoryview, pace: Pace) -> None:
        """Write a piece of a request body; return when the kernel has taken it.

        Raises `ConnectionLostError`, `DeadlineError` for a limit of `pace`. Cancelling leaves part
        of the piece unsent; abort the connection.
        """
        view = memoryview(data)
        for at in range(0, len(view), _SEND):
            transport = self._transport
            if transport is None or transport.is_closing():
                raise self._lost(None)
            piece = view[at : at + _SEND]
            self._write(piece)
            await self._drain(transport, len(piece), pace)
        if self._response is not None:
            self._response.interim = 0

    async def _drain(self, transport: asyncio.Transport, size: int, pace: Pace) -> None:
        """Wait until the kernel has taken a written piece of that size, TLS framing apart."""
        left, began = transport.get_write_buffer_size(), self._loop.time()
        breach = pace.add(0 if left else size, 0.0, began)
        while left and breach is None:
            self._taken = self._loop.create_future()
            try:
                async with asyncio.timeout(pace.left(began)):
                    await self._taken
            except TimeoutError:
                pass  # whether a limit is exceeded is decided by the bytes that were taken
            finally:
                self._taken = None
            rest, now = transport.get_write_buffer_size(), self._loop.time()
            moved = min(left - rest, size) if rest else size
            breach = pace.add(moved, now - began, now)
            left, size, began = rest, size - moved, now
        if breach is not None:
            raise breach.error("upload", self.host)

    def _write(self, data: bytes | memoryview) -> None:
        """Hand all of `data` to asyncio, which passes it to the kernel."""
        assert self._transport is not None
        if self._tls is None:
            self._transport.write(data)
            return
        try:
            sealed = self._tls.seal(data)
        except ssl.SSLError as exc:
            failure = self._lost(exc, sent=False)
        else:
            self._transport.write(sealed)
            return
        finally:
            del data
        raise failure

    def pause(self) -> None:
        """Leave further bytes with the kernel, and so with the peer."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Undo `pause`."""
        if self._transport is not None:
            self._transport.resume_reading()

    # -- received bytes ------------------------------------------------------------------------

    def _decrypt(self, tls: TLSStream) -> None:
        """Decrypt and pass on the received bytes."""
        failure: Exception | None = None
        try:
            while self._transport is not None:
                data = tls.open(self._room)
                if not data:
                    break
                self._received(data)
                if not tls.more:
                    break
        except ssl.SSLError as exc:
            failure = exc
        transport = self._transport
        if transport is None:
            return
        if tls.outgoing.pending:
            transport.write(tls.outgoing.read())
        if failure is not None:
            self._fail(self._lost(failure))
        elif tls.ended and not self._ended:
            self._ended = self._clean = True
            self._input_ended(None)
            if self._answer is None:
                transport.close()

    def _received(self, data: bytes) -> None:
        response, answer = self._response, self._answer
        if response is None or answer is None or answer.done():
            self.abort()  # not asked for: nothing that follows could be trusted
            return
        self._heard = self._loop.time()
        try:
            complete = response.feed(data)
        except Exception as exc:  # noqa: BLE001 - the receiver's own too, raised to the waiting task
            forget_locals(exc)
            self._fail(exc)
        else:
            if complete:
                if response.surplus:
                    self.abort()
                answer.set_result(None)
        finally:
            del data  # a head may set the cookie, and tracebacks keep frames

    def _input_ended(self, exc: Exception | None) -> None:
        """No more bytes come: end the exchange that is in hand."""
        response, answer = self._response, self._answer
        if response is None or answer is None or answer.done():
            return
        try:
            complete = exc is None and self._clean and response.eof()
        except Exception as failure:  # noqa: BLE001 - the receiver's own, raised to the waiting task
            self._fail(failure)
            return
        if not complete:
            self._fail(self._lost(exc))
            return
        self.abort()
        answer.set_result(None)

    # -- how it ends ---------------------------------------------------------------------------

    def _fail(self, exc: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc)
        self.abort()

    def _lost(self, exc: Exception | None, *, sent: bool = True) -> ConnectionLostError:
        """Return the error for a connection that ended before its response was complete."""
        why = getattr(exc, "strerror", None) or (type(exc).__name__ if exc else "")
        begun = self._response is not None and self._response.begun
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

    def abort(self, *, reset: bool = False) -> None:
        """Close at once; with `reset`, reset it (TCP RST): the peer knows that its data is incomplete."""
        transport, self._transport = self._transport, None
        if transport is not None:
            self._clean = False  # the end that follows is ours, not the peer's
            if reset:
                sock = transport.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()
        self._stop_timer()

    def close(self) -> None:
        """Close after written bytes are sent, over TLS with a `close_notify`."""
        transport, self._transport = self._transport, None
        if transport is not None:
            if self._tls is not None:
                transport.write(self._tls.goodbye())
            transport.close()
        self._stop_timer()

    # -- deadlines -----------------------------------------------------------------------------

    def _watch(self) -> None:
        """Make sure that the timer goes off no later than the next deadline.

        One that goes off earlier, for an exchange that is over, is set again: so an exchange
        starts no timer as long as there is one.
        """
        due = min(self._until, self._heard + self._read)
        timer = self._timer
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timer = self._loop.call_at(due, self._check_deadlines) if due < inf else None

    def _check_deadlines(self) -> None:
        self._timer = None
        if not self._awaited:
            return
        now = self._loop.time()
        if now >= self._until:
            self._fail(late(self._seconds, "call", self.host, sent=True))
        elif now >= self._heard + self._read:
            self._fail(late(self._read, "read", self.host, sent=True))
        else:
            self._watch()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _readable(descriptor: int) -> bool:
    """Return whether a read would not block now."""
    if not hasattr(select, "poll"):
        # Windows, where `select` takes any number of a socket; elsewhere it stops at 1023.
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))
