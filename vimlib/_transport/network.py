"""The transport over real sockets: a pool of connections for calls, one of its own for each transfer.

All connections to a host are within one budget; see `budget`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextvars import ContextVar
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Self

from vimlib._repr import robust
from vimlib._secret import Secret
from vimlib._tls import TLS, blind_trust
from vimlib._transport.address import Address, parse_address
from vimlib._transport.base import COOKIE, EncodedCall, Reply, Timeouts
from vimlib._transport.budget import ConnectionBudget
from vimlib._transport.connection import late
from vimlib._transport.dial import TRANSFER_ROOM, open_connection
from vimlib._transport.http import HTTPReply, HTTPRequest, exchange_http, renew
from vimlib._transport.http11 import request_head
from vimlib._transport.pace import Breach
from vimlib._transport.pool import Pool
from vimlib._transport.proxy import ENVIRONMENT, Proxy, find_proxy
from vimlib._transport.replies import CallReceiver, DocumentReceiver
from vimlib.errors import (
    CertificateError,
    ClosedError,
    DeadlineError,
    TLSError,
    UsageError,
    VimlibError,
)
from vimlib.soap import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from vimlib._tls import Trust
    from vimlib._transport.budget import Kind
    from vimlib._transport.connection import Connection
    from vimlib._transport.http11 import Receiver

log = logging.getLogger("vimlib.transport")


class _Slot:
    """A connection that is held for a transfer of the same context, which has not begun."""

    def __init__(self, budget: ConnectionBudget) -> None:
        self._budget = budget
        self._free = True

    def spend(self, budget: ConnectionBudget) -> bool:
        """Give it to a transfer; False if it is another host's, or was given away."""
        if self._budget is not budget or not self._free:
            return False
        self._free = False
        return True


_held: ContextVar[_Slot | None] = ContextVar("vimlib slot", default=None)


class HTTPTransport:
    """Calls and transfers to one server, over HTTP/1.1. Use it as a context manager.

    `connections` (at least 3) caps the sockets to the host, those of calls, transfers and long polls
    together. A call waits for a free one within its own deadline, a transfer for as long as others
    get theirs; see `vimlib._transport.budget`. `limits.leases` caps the NFC leases that are held.
    `proxy` is `http://[user:password@]host:port`, or `"environment"` to read HTTPS_PROXY and
    NO_PROXY, which nothing else does.
    """

    def __init__(
        self,
        address: Address | str,
        *,
        tls: TLS | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        proxy: str | Secret | None = None,
        connections: int = 32,
        user_agent: str = "vimlib",
    ) -> None:
        try:
            self.address = parse_address(address) if isinstance(address, str) else address
            self.proxy: Proxy | None = find_proxy(proxy, self.address)
            self._proxy_by_host = proxy in (ENVIRONMENT, Secret(ENVIRONMENT))
        finally:
            del address, proxy  # they may hold a password, and tracebacks keep frames
        self.host = self.address.netloc
        """`host:port` of the server."""
        self.tls = tls or TLS()
        self.timeouts = timeouts or Timeouts()
        self.limits = limits or Limits()
        if not self.address.tls and self.tls.verify:
            raise UsageError(
                f"the URL must use https, got http://{self.address.netloc}: http sends the password unencrypted",
                hint="Use https, or TLS(verify=False) to allow http.",
            )
        self.trust: Trust | None = None
        """Set by `__aenter__`, and by `trusted` when its files have changed; None for plain http."""
        self._stamp = ""
        self._reading = asyncio.Lock()
        self._connections = ConnectionBudget(connections).limit
        self._pool: Pool | None = None
        # Of other hosts, to which a vCenter sends us for a transfer.
        self._others: dict[str, ConnectionBudget] = {}
        if self.limits.leases < 1:
            raise UsageError(f"Limits.leases must be at least 1, got {self.limits.leases}")
        self.leases = asyncio.Semaphore(self.limits.leases)
        """Held for the time of an NFC lease; those who wait are served in turn."""
        common = {"Host": self.address.authority, "User-Agent": user_agent}
        self._common: Mapping[str, str | Secret] = common
        # The part of a call's head that is the same for all.
        self._head = request_head(
            "POST",
            self.address.path,
            {**common, "Accept-Encoding": "gzip", "Content-Type": "text/xml; charset=utf-8"},
        )

    @property
    def connections(self) -> int:
        """Sockets for calls and long polls that are open now."""
        return self._pool.connections if self._pool is not None else 0

    async def __aenter__(self) -> Self:
        await self.trusted()
        self._pool = Pool(self._connect, self._connections)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def trusted(self) -> Trust | None:
        """Return the trust in the server, read again if a file of pins or CAs has changed.

        Raises `UsageError` if it cannot be read: then nobody is trusted until it can.
        """
        if not self.address.tls:
            return None
        async with self._reading:
            stamp = self.tls.stamp()
            if self.trust is None or stamp != self._stamp:
                # In a thread, since a bundle of CAs takes 20 ms and more.
                self.trust = await asyncio.to_thread(
                    self.tls.prepare, self.address.host, self.address.port
                )
                self._stamp = stamp
            return self.trust

    async def aclose(self) -> None:
        """Close all connections; calls that are under way raise `ConnectionLostError`."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
            for budget in self._others.values():
                budget.close()
            self._others.clear()
            # The transports close in the loop's next round, and the caller may end the loop.
            await asyncio.sleep(0)

    @robust
    def __repr__(self) -> str:
        state = "open" if self._pool is not None else "closed"
        return f"<{type(self).__name__} {self.address.origin} {state}>"

    # -- calls ---------------------------------------------------------------------------------

    async def exchange(self, call: EncodedCall) -> Reply:
        """Send `call` once and feed its reply to `call.receive`; see `Transport.exchange`."""
        receiver = CallReceiver(self.host, call, self.limits)
        await self._exchange(
            "POST",
            partial(self._encode, call),
            receiver,
            read=call.read or self.timeouts.read,
            seconds=call.deadline or self.timeouts.call,
            poll=call.poll,
        )
        return Reply(receiver.status, receiver.received)

    def _encode(self, call: EncodedCall) -> bytes:
        given = call.credential()
        cookie = "" if given is None else f"Cookie: {COOKIE}={given.reveal()}\r\n"
        rest = f'SOAPAction: "{call.action}"\r\nContent-Length: {len(call.body)}\r\n{cookie}\r\n'
        return self._head + rest.encode("latin-1") + call.body

    async def fetch(self, target: str, limit: int = 1 << 20) -> tuple[int, bytes]:
        """Get a small document of the server, without credentials: its status and its body.

        Raises as `exchange` does, and `LimitError` for a body longer than `limit`.
        """
        receiver = DocumentReceiver(self.host, target, limit)
        request = request_head("GET", target, self._common) + b"\r\n"
        await self._exchange(
            "GET", lambda: request, receiver, read=self.timeouts.read, seconds=self.timeouts.call
        )
        return receiver.status, b"".join(receiver.parts)

    async def _exchange(
        self,
        method: str,
        request: Callable[[], bytes],
        receiver: Receiver,
        *,
        read: float,
        seconds: float,
        poll: bool = False,
    ) -> None:
        """Send a request on a connection of the pool, all of it within `seconds`.

        The request is made at the last moment: it holds the cookie, and tracebacks keep frames.
        """
        until = asyncio.get_running_loop().time() + seconds
        pool = self._pool or self._open()
        connection = pool.ready(poll=poll) or await self._acquire(pool, seconds, poll=poll)
        reusable = False
        try:
            reusable = await connection.exchange(
                method, request(), receiver, read=read, seconds=seconds, until=until
            )
        finally:
            pool.release(connection, reusable=reusable)

    async def _acquire(self, pool: Pool, seconds: float, *, poll: bool) -> Connection:
        """Get a connection within a call's deadline. Nothing has been sent when this fails."""
        try:
            async with asyncio.timeout(seconds):
                return await pool.acquire(poll=poll)
        except TimeoutError as exc:
            if isinstance(exc, DeadlineError):
                raise
            failure = late(seconds, "call", self.host, sent=False)
        raise failure

    async def _connect(self) -> Connection:
        trust = await self.trusted()
        try:
            return await open_connection(self.address, trust, self.timeouts, self.proxy)
        except CertificateError as exc:
            failure = exc
        raise await self._with_certificate(failure)

    async def fetch_versions(self) -> bytes | None:
        """Return the document that lists the API versions of the host; None if it has none."""
        parent = self.address.path.rstrip("/")
        status, data = await self.fetch(f"{parent}/vimServiceVersions.xml")
        return data if status == 200 else None

    # -- transfers -----------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def http(
        self,
        request: HTTPRequest,
        *,
        address: Address | None = None,
        trust: Trust | None = None,
        timeouts: Timeouts | None = None,
    ) -> AsyncIterator[HTTPReply]:
        """Send a plain HTTP request on a connection of its own and yield the reply.

        It waits for the connection as `slot` does. `address` and `trust` name another server (an ESX
        host that a vCenter sends us to); without them it is this one. Credentials are the headers'
        alone: no cookie is added. Raises `TransportError`, `ProtocolError`, `SourceError`.
        Cancelling closes the connection. What the deadlines are, `exchange_http` describes.
        """
        self._open()
        timeouts = timeouts or self.timeouts
        target = address or self.address
        if target != self.address and target.tls and trust is None:
            raise UsageError(f"no trust settings given for {target.netloc}")
        # HEAD is over as soon as a call. To hold a connection for calls while making one could
        # leave none for the login that all wait for.
        brief = request.method == "HEAD"
        async with contextlib.AsyncExitStack() as admitted:
            chosen = None
            try:
                async with asyncio.timeout_at(
                    None if request.end.until == inf else request.end.until
                ):
                    if brief:
                        await renew(request.headers)
                    kind: Kind = "call" if brief else "transfer"
                    await admitted.enter_async_context(self._admitted(target, kind))
                    if not brief:
                        await renew(request.headers)
                    if target.tls:
                        chosen = await self.trusted() if target == self.address else trust
                    connection = await open_connection(
                        target, chosen, timeouts, self._proxy_to(target), room=TRANSFER_ROOM
                    )
            except TLSError as exc:
                failure = exc
            except TimeoutError as exc:
                if isinstance(exc, DeadlineError):
                    raise
                verb = "download" if request.body is None else "upload"
                breach = Breach(request.end.rule, request.end.seconds, 0)
                raise breach.error(verb, target.netloc, outcome="not_sent") from None
            else:
                async with exchange_http(connection, request, target.authority, timeouts) as reply:
                    yield reply
                return
            raise await self._with_certificate(failure, target, chosen)

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the host's connections for a transfer, waiting for it in turn.

        The next transfer of the block uses it, or a socket of the caller's own. Raises
        `DeadlineError` (phase `connect`, outcome `not_sent`) if none of the host's connections
        becomes free for `Timeouts.files`, and `ClosedError`. Cancelling leaves the queue.
        """
        async with self._admitted(self.address, "transfer"):
            token = _held.set(_Slot(self._open().budget))
            try:
                yield
            finally:
                _held.reset(token)

    @contextlib.asynccontextmanager
    async def _admitted(self, target: Address, kind: Kind) -> AsyncIterator[None]:
        pool = self._open()
        budget = pool.budget
        if target != self.address:
            budget = self._others.setdefault(target.netloc, ConnectionBudget(self._connections))
        held = _held.get()
        if kind == "transfer" and held is not None and held.spend(budget):
            yield
            return
        seconds = self.timeouts.files
        try:
            await budget.acquire(kind, patience=seconds)
        except TimeoutError:
            raise DeadlineError(
                f"none of the {budget.limit} connections to {target.netloc} became free within {seconds:g} s",
                hint="Check whether transfers hang, or allow more: connect(connections=...).",
                host=target.netloc,
                phase="connect",
                seconds=seconds,
                outcome="not_sent",
            ) from None
        try:
            if budget is pool.budget:
                pool.make_room()
            yield
        finally:
            budget.release(kind)

    def _proxy_to(self, target: Address) -> Proxy | None:
        # NO_PROXY may name a host that a vCenter sends us to, and not the vCenter, or the other way.
        if self._proxy_by_host and target != self.address:
            return find_proxy(ENVIRONMENT, target)
        return self.proxy

    # -- certificates --------------------------------------------------------------------------

    async def _with_certificate(
        self, failure: TLSError, address: Address | None = None, trust: Trust | None = None
    ) -> TLSError:
        """Add to a certificate error the SHA-256 that the server shows, seen on a second look.

        OpenSSL hands out no certificate that it did not accept, so one more connection is made
        that only shakes hands.
        """
        trust = trust or self.trust
        if not isinstance(failure, CertificateError) or failure.sha256 or trust is None:
            return failure
        try:
            der = await self.peer_certificate(address)
        except VimlibError as exc:
            log.debug("%s: cannot read the certificate: %s", self.host, exc)
            return failure
        return trust.certificate_error(failure.reason, der)

    async def peer_certificate(self, address: Address | None = None) -> bytes | None:
        """Return the certificate (DER) of the server without verifying it; sends no request."""
        target = address or self.address
        blind = blind_trust(target.netloc, legacy=self.tls.legacy)
        connection = await open_connection(target, blind, self.timeouts, self._proxy_to(target))
        connection.close()
        return connection.certificate

    def _open(self) -> Pool:
        if self._pool is None:
            raise ClosedError(
                f"the transport to {self.host} is closed", hint="Open it with `async with`."
            )
        return self._pool
