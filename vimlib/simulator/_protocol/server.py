"""The HTTP server: TLS, routes, and injected connection failures."""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
import ssl
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from vimlib.simulator._protocol.bodies import SilentClient, whole
from vimlib.simulator._protocol.datastore_http import close, page, refuse, serve_folder
from vimlib.simulator._protocol.dispatch import Answer, Incoming, Interrupted, serve_call
from vimlib.simulator._protocol.documents import versions_document, wsdl_document
from vimlib.simulator._protocol.guest_http import serve_guest_file
from vimlib.simulator._protocol.nfc_http import serve_transfer
from vimlib.simulator._protocol.screens import serve_screen
from vimlib.simulator._service.permissions import may_write_files
from vimlib.simulator._service.sessions import SessionManager, redeem

if TYPE_CHECKING:
    from vimlib.simulator._core.call import CallRecord
    from vimlib.simulator._core.registry import Registry

_COOKIE = "vmware_soap_session"
_TICKET = "vmware_cgi_ticket"
_LARGEST = 32 << 20


class _Server(web.Server):
    """Closes a connection from which no request comes; old releases of aiohttp wait for ever."""

    def __init__(self, handler: Any, seconds: float, **options: Any) -> None:
        super().__init__(handler, **options)
        self._seconds = seconds
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Give a new connection its time."""
        super().connection_made(handler, transport)
        loop = asyncio.get_running_loop()
        self._silent[handler] = loop.call_later(self._seconds, handler.force_close)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection."""
        self.heard(handler)
        super().connection_lost(handler, exc)

    def heard(self, handler: web.RequestHandler) -> None:
        """Note that a request has come."""
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()


class HttpServer:
    """The HTTP server of a host."""

    def __init__(
        self, registry: Registry, records: list[CallRecord], context: ssl.SSLContext
    ) -> None:
        self.registry = registry
        self.records = records
        self._context = context
        self._web: _Server | None = None
        self._runner: web.ServerRunner | None = None
        self.most_connections = 0
        """Connections that were open at once, at most: counted when a request comes."""
        self.control: Any = None
        """Serves the control endpoint, where it is wanted."""

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port. Raises `OSError` if it is taken."""
        sock = socket.create_server((host, port), backlog=512, reuse_port=False)
        self._web = _Server(
            self._handle,
            self.registry.idle_seconds,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=self.registry.idle_seconds,
            lingering_time=min(self.registry.request_seconds, 10),
            # No host is known to unpack requests; a small one could fill the memory.
            auto_decompress=False,
            max_line_size=32 << 10,
            max_field_size=64 << 10,
        )
        self._runner = web.ServerRunner(
            self._web,
            handle_signals=False,
            shutdown_timeout=1,
        )
        await self._runner.setup()
        await web.SockSite(self._runner, sock, ssl_context=self._context, backlog=512).start()
        port_: int = sock.getsockname()[1]
        return port_

    async def stop(self) -> None:
        """Close the socket and all connections."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._web is not None:
            self.most_connections = max(self.most_connections, len(self._web.connections))
            self._web.heard(request.protocol)
        try:
            return await self._route(request)
        except SilentClient as error:
            return refuse(408, str(error), Connection="close")

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = request.raw_path.partition("?")[0]
        if raw.startswith("http"):  # absolute form
            raw = request.rel_url.raw_path
        if raw in ("/sdk", "/sdk/"):
            return await self._sdk(request)
        if raw == "/sdk/vimServiceVersions.xml":
            return web.Response(
                body=versions_document(self.registry.release), content_type="text/xml"
            )
        if raw.startswith("/sdk/") and raw.endswith((".wsdl", ".xsd")):
            return await self._wsdl(raw.removeprefix("/sdk/"))
        if raw == "/folder" or raw.startswith("/folder/"):
            return await self._guarded(request, raw)
        if raw == "/screen":
            return await self._guarded(request, raw)
        if raw.startswith(("/nfc/", "/ha-nfc/")):
            return await serve_transfer(self.registry, request, raw)
        if raw == "/guestFile":
            return await serve_guest_file(self.registry, request)
        if raw.startswith("/_ctl/") and self.control is not None:
            answer: web.StreamResponse = await self.control(request, raw)
            return answer
        if raw == "/":
            return web.Response(
                text=page(self.registry.release.full_name, "A simulated host."),
                content_type="text/html",
            )
        return refuse(404, "Not found")

    async def _sdk(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "POST":
            return refuse(405, "Method not allowed", Allow="POST")
        body = await whole(request, self.registry.request_seconds, _LARGEST)
        if body is None:
            return refuse(413, "Request too large", Connection="close")
        if self.registry.one(SessionManager).full and b"Login" in body:
            return refuse(503, "Too many sessions")
        incoming = Incoming(
            body,
            cookie_of(request, _COOKIE),
            request.remote or "127.0.0.1",
            request.headers.get(hdrs.USER_AGENT, ""),
            request.headers.get("SOAPAction", ""),
        )
        try:
            answer = await serve_call(self.registry, incoming, self.records)
        except Interrupted as order:
            return await self._on_order(request, order.rule)
        return await self._answer(request, answer)

    async def _answer(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        rule = answer.rule
        if rule is not None and rule.what == "lose":
            close(request, reset=True)
            return web.Response(status=500)
        body = answer.body if rule is None or rule.what != "empty" else b""
        response = web.Response(
            body=body, status=answer.status, headers={hdrs.CONTENT_TYPE: "text/xml; charset=utf-8"}
        )
        if answer.set_cookie is not None:
            response.headers[hdrs.SET_COOKIE] = _set_cookie(answer.set_cookie)
        if rule is not None and rule.what == "truncate":
            return await _truncated(request, response, body)
        return response

    async def _on_order(self, request: web.BaseRequest, rule: Any) -> web.StreamResponse:
        if rule.what == "html":
            return web.Response(
                status=rule.status,
                text=page("Error", "<h1>Service unavailable</h1>"),
                content_type="text/html",
                headers=rule.headers,
            )
        if rule.what == "status":
            return refuse(rule.status, "on order", **rule.headers)
        if rule.what == "hang":
            await asyncio.get_running_loop().create_future()
        close(request, reset=rule.what == "reset")
        return web.Response(status=500)

    async def _guarded(self, request: web.BaseRequest, raw: str) -> web.StreamResponse:
        registry = self.registry
        if not self._allowed(request):
            return refuse(
                401, "Unauthorized", **{hdrs.WWW_AUTHENTICATE: 'Basic realm="VMware HTTP server"'}
            )
        if raw == "/screen":
            return await serve_screen(registry, request)
        session = registry.one(SessionManager).find(cookie_of(request, _COOKIE))
        reads = request.method in ("GET", "HEAD")
        if session is not None and not reads and not may_write_files(registry, session.user_name):
            return refuse(403, "Permission to perform this operation was denied.")
        amid = []
        for rule in registry.faults.matching(request.method):
            if rule.after:
                amid.append(rule)
            elif rule.what == "delay":
                await registry.clock.sleep(rule.seconds)
            elif rule.what == "lose":
                await serve_folder(registry, request, raw, [])
                close(request, reset=True)
                return web.Response(status=500)
            else:
                return await self._on_order(request, rule)
        return await serve_folder(registry, request, raw, amid)

    def _allowed(self, request: web.BaseRequest) -> bool:
        """Whether a request carries a live session, a ticket for it, or the password."""
        sessions = self.registry.one(SessionManager)
        if sessions.find(cookie_of(request, _COOKIE)) is not None:
            return True
        ticket = cookie_of(request, _TICKET)
        if ticket is not None and redeem(sessions, ticket, request.method, request.raw_path):
            return True
        return self._has_password(request)

    def _has_password(self, request: web.BaseRequest) -> bool:
        sessions = self.registry.one(SessionManager)
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            raw = base64.b64decode(given, validate=True)
        except ValueError:
            return False
        return secrets.compare_digest(raw, f"{sessions.username}:{sessions.password}".encode())

    async def _wsdl(self, name: str) -> web.StreamResponse:
        found = await self.registry.io(wsdl_document, name, self.registry.release)
        if found is None:
            return refuse(404, "Not found")
        return web.Response(body=found, content_type="text/xml")


def cookie_of(request: web.BaseRequest, name: str) -> str | None:
    """Return a cookie's value; old hosts quote it, and clients return it unchanged."""
    for header in request.headers.getall(hdrs.COOKIE, ()):
        for part in header.split(";"):
            key, equals, value = part.strip().partition("=")
            if equals and key == name:
                return value.strip().strip('"')
    return None


def _set_cookie(value: str) -> str:
    if not value:
        return f'{_COOKIE}=""; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure'
    return f'{_COOKIE}="{value}"; Path=/; HttpOnly; Secure'


async def _truncated(
    request: web.BaseRequest, response: web.Response, body: bytes
) -> web.StreamResponse:
    """Send the head and half of the body, then close."""
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.headers[hdrs.CONTENT_LENGTH] = str(len(body))
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half
