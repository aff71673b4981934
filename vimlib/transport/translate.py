"""aiohttp's exceptions, turned into ours at one place, with nothing of theirs kept.

Theirs hold request headers, URLs and proxy credentials, so that ours neither chain to them nor
keep their tracebacks; the OS error behind one is kept as `__cause__` without its frames.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp

from vimlib.errors import (
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    ProxyError,
    ResolveError,
    TLSError,
    UsageError,
    VimlibError,
    printable,
)
from vimlib.tls import BROKEN_HANDSHAKE

if TYPE_CHECKING:
    from vimlib.errors import Outcome
    from vimlib.tls import Trust
    from vimlib.transport.base import Timeouts

__all__ = ["PinCheck", "translate"]


class _Refused(aiohttp.ServerFingerprintMismatch):
    """Carries our error through aiohttp, which closes the connection on this class alone."""

    def __init__(self, error: TLSError, host: str, port: int) -> None:
        super().__init__(b"", b"", host, port)
        self.error = error


class PinCheck(aiohttp.Fingerprint):
    """aiohttp's hook on a new connection, before a byte of a request, with our pins in it."""

    def __init__(self, trust: Trust) -> None:
        super().__init__(bytes(32))
        self._trust = trust

    def check(self, transport: asyncio.Transport) -> None:
        """Compare the certificate of a new connection."""
        if not self._trust.pins:
            return
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        try:
            self._trust.check(der)
        except TLSError as exc:
            host, port, *_ = transport.get_extra_info("peername")
            raise _Refused(exc, str(host), int(port)) from None


def translate(
    exc: Exception,
    host: str,
    trust: Trust | None,
    timeouts: Timeouts,
    read: float | None,
    *,
    sent: bool,
) -> VimlibError:
    """Return our error for one of aiohttp's, or of the OS."""
    error = _translate(exc, host, trust, timeouts, read, "unknown" if sent else "not_sent")
    cause = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else None
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
        error.__cause__ = cause.with_traceback(None)
        error.__cause__.__context__ = None
    return error


def _translate(
    exc: Exception,
    host: str,
    trust: Trust | None,
    timeouts: Timeouts,
    read: float | None,
    outcome: Outcome,
) -> VimlibError:
    if isinstance(exc, _Refused):
        return exc.error
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return _tls(exc.certificate_error, host, trust)
    if isinstance(exc, aiohttp.ClientConnectorSSLError):
        return _tls(exc.os_error, host, trust)
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return ResolveError(
            f"the name of {host} has no address: {exc.os_error.strerror or exc.os_error}",
            hint="Check the host name and the name server.",
            host=host,
        )
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        return ProxyError(
            f"no connection to the proxy for {host}: {_reason(exc.os_error)}", host=host
        )
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        hint = (
            "Give the proxy's user name and password in its URL."
            if exc.status == 407
            else "Check the proxy."
        )
        return ProxyError(
            f"the proxy for {host} opened no tunnel: HTTP {exc.status}",
            hint=hint,
            host=host,
            status=exc.status,
        )
    if isinstance(exc, aiohttp.ClientConnectorError):
        return _connect(exc.os_error, host, timeouts)
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return _late("connect", timeouts.connect + timeouts.handshake, host, "not_sent")
    if isinstance(exc, TimeoutError):
        return _late("read", read or timeouts.read, host, outcome)
    if isinstance(exc, aiohttp.InvalidURL):
        return UsageError(f"{host}: the URL cannot be used")
    if isinstance(exc, aiohttp.ClientResponseError):
        return ProtocolError(
            f"the reply of {host} is not HTTP as it should be: {printable(exc.message, 120)}",
            outcome=outcome,
        )
    if isinstance(exc, aiohttp.ClientPayloadError):
        return ConnectionLostError(
            f"{host} closed the connection before its reply was whole", host=host, outcome=outcome
        )
    if isinstance(exc, OSError | aiohttp.ClientConnectionError):
        return ConnectionLostError(
            f"{host} closed the connection: {_reason(exc)}", host=host, outcome=outcome
        )
    return UsageError(f"the request to {host} cannot be made: {type(exc).__name__}")


def _tls(exc: OSError | Exception, host: str, trust: Trust | None) -> TLSError:
    if trust is not None and isinstance(exc, ssl.SSLError):
        return trust.error(exc)
    return TLSError(f"{host}: the TLS handshake failed: {_reason(exc)}", host=host)


def _connect(exc: OSError, host: str, timeouts: Timeouts) -> VimlibError:
    if isinstance(exc, ssl.SSLError):
        return TLSError(f"{host}: the TLS handshake failed: {_reason(exc)}", host=host)
    if isinstance(exc, ConnectionAbortedError) and exc.errno is None:
        # asyncio's word for a handshake that took too long.
        return _late("handshake", timeouts.handshake, host, "not_sent")
    if isinstance(exc, ConnectionResetError | ConnectionAbortedError):
        return TLSError(
            f"{host}: the connection broke in the TLS handshake: {_reason(exc)}",
            hint=BROKEN_HANDSHAKE,
            host=host,
            retryable=True,
        )
    return ConnectError(
        f"no connection to {host}: {_reason(exc)}",
        hint="Check the address, the port and the firewall.",
        host=host,
    )


def _late(phase: str, seconds: float, host: str, outcome: Outcome) -> DeadlineError:
    return DeadlineError(
        f"{host}: the {phase} took more than {seconds:g} s",
        hint=f"If the host is only slow, raise Timeouts.{phase}.",
        host=host,
        phase=phase,
        seconds=seconds,
        outcome=outcome,
    )


def _reason(exc: BaseException) -> str:
    return printable(getattr(exc, "strerror", None) or type(exc).__name__, 120)
