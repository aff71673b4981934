"""The transport over aiohttp: a pool of connections for calls, one of its own for each transfer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import aiohttp
import yarl

from vimlib.errors import (
    CertificateError,
    ClosedError,
    DeadlineError,
    LimitError,
    RedirectError,
    TLSError,
    UnexpectedReplyError,
    UsageError,
    VimlibError,
    printable,
)
from vimlib.soap import Limits
from vimlib.tls import TLS, blind_trust
from vimlib.transport.address import Address, parse_address
from vimlib.transport.base import COOKIE, EncodedCall, Reply, Timeouts, session_cookie
from vimlib.transport.http import HTTPReply, HTTPRequest, exchange_http
from vimlib.transport.inflate import Inflater
from vimlib.transport.proxy import Proxy, find_proxy
from vimlib.transport.status import retry_after, status_error
from vimlib.transport.translate import PinCheck, translate
from vimlib.transport.wire import open_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from vimlib.tls import Trust


__all__ = ["AiohttpTransport"]

T = TypeVar("T")

log = logging.getLogger("vimlib.transport")

# hostd closes idle connections after about 30 s; ours go first, so that no call meets one that is
# just being closed and has to be reported as "outcome unknown".
_IDLE: Final = 12.0
_EXCERPT: Final = 200
_XML_TYPES: Final = frozenset({"text/xml", "application/xml", "application/soap+xml", ""})
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", ""})


class AiohttpTransport:
    """Calls and transfers to one server. Use it as a context manager.

    `connections` caps the sockets for calls; a call waits for a free one within its own deadline.
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
        proxy: str | None = None,
        connections: int = 32,
        user_agent: str = "vimlib",
    ) -> None:
        self.address = parse_address(address) if isinstance(address, str) else address
        self.tls = tls or TLS()
        self.timeouts = timeouts or Timeouts()
        self.limits = limits or Limits()
        self.proxy: Proxy | None = find_proxy(proxy, self.address)
        if connections < 1:
            raise UsageError("connections must be at least 1")
        if not self.address.tls and self.tls.verify:
            raise UsageError(
                f"{self.address.netloc}: http sends the password in the clear",
                hint="Use https, or say TLS(verify=False) if that is meant.",
            )
        self.trust: Trust | None = None
        """Set by `__aenter__`; None for plain http."""
        self._connections = connections
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._seen: dict[str, bytes] = {}

    @property
    def host(self) -> str:
        """`host:port` of the server."""
        return self.address.netloc

    async def __aenter__(self) -> Self:
        if self.address.tls:
            # Certificate files are read: in a thread, since a bundle of CAs takes 20 ms and more.
            self.trust = await asyncio.to_thread(
                self.tls.prepare, self.address.host, self.address.port
            )
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_mark_sent)
        self._session = aiohttp.ClientSession(
            connector=Connector(self.trust, self.timeouts, self._connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_client_timeout(self.timeouts, self.timeouts.read),
            trust_env=False,
            auto_decompress=False,
            raise_for_status=False,
            skip_auto_headers=["Accept", "Accept-Encoding", "User-Agent"],
            trace_configs=[trace],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Cancelling leaves none open either."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def __repr__(self) -> str:
        state = "open" if self._session is not None else "closed"
        return f"<{type(self).__name__} {self.address.origin} {state}>"

    # -- calls ---------------------------------------------------------------------------------

    async def exchange(self, call: EncodedCall) -> Reply:
        """Send `call` once and feed its reply to `call.receive`; see `Transport.exchange`."""
        seconds = call.deadline or self.timeouts.call
        return await self._guarded(call.method, seconds, call.read, partial(self._exchange, call))

    async def _guarded(
        self,
        what: str,
        seconds: float,
        read: float | None,
        work: Callable[[SimpleNamespace], Awaitable[T]],
    ) -> T:
        """Await `work` within a deadline, and turn what fails into our errors."""
        progress = SimpleNamespace(sent=False)
        failure: VimlibError
        try:
            async with asyncio.timeout(seconds):
                return await work(progress)
        except VimlibError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ClientError):
                failure = DeadlineError(
                    f"{self.host}: {what} took more than {seconds:g} s",
                    hint="If the host is only slow, raise Timeouts.call.",
                    host=self.host,
                    phase="call",
                    seconds=seconds,
                    outcome="unknown" if progress.sent else "not_sent",
                )
            else:
                failure = translate(
                    exc, self.host, self.trust, self.timeouts, read, sent=progress.sent
                )
        # Raised outside the handler: a foreign exception as __context__ would carry request headers.
        if isinstance(failure, TLSError):
            failure = await self._with_certificate(failure)
        raise failure

    async def _exchange(self, call: EncodedCall, progress: SimpleNamespace) -> Reply:
        response = await self._open().post(
            str(self.address),
            data=call.body,
            headers=self._headers(call),
            **self._arguments(progress, call.read),
        )
        try:
            reply = await self._receive(response, call)
        except BaseException:
            response.close()
            raise
        response.release()
        return reply

    async def fetch(self, target: str, limit: int = 1 << 20) -> tuple[int, bytes]:
        """Get a small document of the server, without credentials: its status and its body.

        Raises as `exchange` does, and `LimitError` for a body longer than `limit`.
        """

        async def work(progress: SimpleNamespace) -> tuple[int, bytes]:
            headers = {"User-Agent": self._user_agent}
            session = self._open()
            url = yarl.URL(self.address.origin + target, encoded=True)
            async with session.get(
                url, headers=headers, **self._arguments(progress, None)
            ) as response:
                if 300 <= response.status < 400:
                    raise self._redirect(response)
                data = await response.content.read(limit + 1)
                while len(data) <= limit and (more := await response.content.read(limit + 1)):
                    data += more
                if len(data) > limit:
                    response.close()
                    raise LimitError(
                        f"{target} has more than {limit} bytes", limit="http", allowed=limit
                    )
                return response.status, data

        return await self._guarded(f"GET {target}", self.timeouts.call, None, work)

    async def fetch_versions(self) -> bytes | None:
        """Return the document that lists the API versions of the host; None if it has none."""
        parent = self.address.path.rstrip("/")
        status, data = await self.fetch(f"{parent}/vimServiceVersions.xml")
        return data if status == 200 else None

    def _arguments(self, progress: SimpleNamespace, read: float | None) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "allow_redirects": False,
            "ssl": self.trust.context if self.trust is not None else True,
            "trace_request_ctx": progress,
        }
        if read is not None:
            arguments["timeout"] = _client_timeout(self.timeouts, read)
        if self.proxy is not None:
            arguments["proxy"] = self.proxy.address.origin
            authorization = self.proxy.authorization
            if authorization is not None:
                arguments["proxy_headers"] = {"Proxy-Authorization": authorization.reveal()}
        return arguments

    def _headers(self, call: EncodedCall) -> dict[str, str]:
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": f'"{call.action}"',
            "Accept-Encoding": "gzip",
            "User-Agent": self._user_agent,
        }
        if call.cookie is not None:
            headers["Cookie"] = f"{COOKIE}={call.cookie.reveal()}"
        return headers

    async def _receive(self, response: aiohttp.ClientResponse, call: EncodedCall) -> Reply:
        headers = response.headers
        if call.on_cookie is not None and "Set-Cookie" in headers:
            cookie = session_cookie(headers.getall("Set-Cookie"))
            if cookie is not None:
                call.on_cookie(cookie)
        status = response.status
        if 300 <= status < 400:
            raise self._redirect(response)
        if status not in {200, 500}:
            raise status_error(
                self.host,
                status,
                await self._excerpt(response),
                retry_after(headers.get("Retry-After")),
            )
        kind, charset = _content_type(headers.get("Content-Type", ""))
        if kind not in _XML_TYPES or charset not in _CHARSETS:
            what = kind if kind not in _XML_TYPES else f"the charset {charset}"
            raise UnexpectedReplyError(
                f"{self.host} answered {call.method} with {printable(what, 40)} instead of SOAP (HTTP {status})",
                hint="Check that the URL is the one of the API: https://HOST/sdk.",
                excerpt=await self._excerpt(response),
                status=status,
            )
        inflater = Inflater(headers.get("Content-Encoding", ""), self.limits, call.receive)
        async for chunk in response.content.iter_any():
            inflater.feed(chunk)
        inflater.close()
        return Reply(status, inflater.wire)

    def _redirect(self, response: aiohttp.ClientResponse) -> RedirectError:
        where = printable(response.headers.get("Location", ""), _EXCERPT)
        return RedirectError(
            f"{self.host} redirects to {where!r}, which is not followed",
            hint="Connect to the host that serves the API itself.",
            host=self.host,
            location=where,
        )

    async def _excerpt(self, response: aiohttp.ClientResponse) -> str:
        data = b""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            while len(data) < _EXCERPT and (chunk := await response.content.read(_EXCERPT)):
                data += chunk
        return printable(data.decode("utf-8", "replace").strip(), _EXCERPT)

    # -- transfers -----------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def http(
        self, request: HTTPRequest, *, address: Address | None = None, trust: Trust | None = None
    ) -> AsyncIterator[HTTPReply]:
        """Send a plain HTTP request on a connection of its own and yield the reply.

        `address` and `trust` name another server (an ESX host that a vCenter sends us to); without
        them it is this one. Credentials are the headers' alone: no cookie is added. Raises
        `TransportError`, `ProtocolError`, `SourceError`. Cancelling closes the connection.
        """
        self._open()
        target = address or self.address
        if target != self.address and target.tls and trust is None:
            raise UsageError(f"no trust was given for {target.netloc}")
        chosen = (trust or self.trust) if target.tls else None
        try:
            connection = await open_connection(target, chosen, self.timeouts, self.proxy)
        except TLSError as exc:
            failure = exc
        else:
            async with exchange_http(connection, request, target.authority) as reply:
                yield reply
            return
        raise await self._with_certificate(failure, target, chosen)

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
            log.debug("%s: no second look at the certificate: %s", self.host, exc)
            return failure
        return trust.certificate_error(failure.reason, der)

    async def peer_certificate(self, address: Address | None = None) -> bytes | None:
        """Return the certificate (DER) that the server shows, whoever signed it; sends no request."""
        target = address or self.address
        blind = blind_trust(target.netloc, legacy=self.tls.legacy)
        connection = await open_connection(target, blind, self.timeouts, self.proxy)
        connection.close()
        return connection.certificate

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise ClosedError(
                f"the transport to {self.host} is closed", hint="Open it with `async with`."
            )
        return self._session


class Connector(aiohttp.TCPConnector):
    """A pool whose new connections have a handshake deadline and a pin to match."""

    def __init__(self, trust: Trust | None, timeouts: Timeouts, limit: int) -> None:
        super().__init__(
            limit=limit,
            ssl=PinCheck(trust) if trust is not None else True,
            keepalive_timeout=_IDLE,
            use_dns_cache=False,
        )
        self._handshake = timeouts.handshake
        self._connect_seconds = timeouts.connect

    async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> Any:
        # aiohttp has one deadline for connecting and shaking hands; asyncio has a second one for
        # the handshake, which only this private step can pass on. Should aiohttp rename it, the
        # sum of both deadlines still holds (a test of each phase watches over this).
        if kwargs.get("ssl"):
            kwargs.setdefault("ssl_handshake_timeout", self._handshake)
        return await super()._wrap_create_connection(*args, **kwargs)


async def _mark_sent(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:
    context.trace_request_ctx.sent = True


def _client_timeout(timeouts: Timeouts, read: float) -> aiohttp.ClientTimeout:
    # No total: each call has one deadline of its own, which `exchange` keeps.
    return aiohttp.ClientTimeout(
        total=None, sock_connect=timeouts.connect + timeouts.handshake, sock_read=read
    )


def _content_type(value: str) -> tuple[str, str]:
    kind, _, rest = value.partition(";")
    charset = ""
    for part in rest.split(";"):
        name, _, text = part.partition("=")
        if name.strip().lower() == "charset":
            charset = text.strip().strip('"').lower()
    return kind.strip().lower(), charset
