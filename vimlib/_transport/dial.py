"""Opens connections: name, socket, proxy tunnel, TLS, pin, each step with its deadline."""

from __future__ import annotations

import asyncio
import socket
from math import inf
from typing import TYPE_CHECKING, Final

import aiohappyeyeballs

from vimlib._secret import masking
from vimlib._text import printable
from vimlib._transport.connection import Connection, within
from vimlib._transport.http11 import request_head
from vimlib.errors import ConnectError, ConnectionLostError, ProtocolError, ProxyError, ResolveError

if TYPE_CHECKING:
    from vimlib._secret import Secret
    from vimlib._tls import Trust
    from vimlib._transport.address import Address
    from vimlib._transport.base import Timeouts
    from vimlib._transport.http11 import Head
    from vimlib._transport.proxy import Proxy

TRANSFER_ROOM: Final = 1 << 18
"""Bytes that a wake-up of a transfer takes from its socket: sixteen TLS records."""
# How long an address has before the next one of the same name is tried in parallel (RFC 8305, 8).
_STAGGER: Final = 0.25


async def open_connection(
    address: Address,
    trust: Trust | None,
    timeouts: Timeouts,
    proxy: Proxy | None = None,
    *,
    room: int = 1 << 16,
) -> Connection:
    """Connect to `address`, through `proxy` if there is one, and check the certificate.

    Raises `ConnectError` and its subclasses, `TLSError` and its subclasses, `DeadlineError`; in
    each case nothing was sent. Cancelling closes the socket.
    """
    peer = proxy.address if proxy is not None else address
    sock = await within(timeouts.connect, "connect", peer.netloc, _dial(peer), sent=False)
    connection = Connection(peer.netloc, room)
    # From here on the socket is the loop's, which closes it when this fails or is cancelled.
    # Closing it here too would close whatever has its number by then.
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
    try:
        if proxy is not None:
            tunnel = _tunnel(connection, proxy, address)
            sent = [proxy.authorization] if proxy.authorization is not None else []
            with masking(sent):
                await within(timeouts.connect, "connect", peer.netloc, tunnel, sent=False)
        if trust is not None:
            await connection.start_tls(trust, address.host, timeouts.handshake)
    except BaseException:
        connection.abort(reset=True)
        del connection  # its buffer holds what the proxy repeated
        raise
    return connection


async def _dial(peer: Address) -> socket.socket:
    """Return a socket connected to the first address of `peer` that answers."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise ResolveError(
            f"cannot resolve {peer.host}: {getattr(exc, 'strerror', None) or exc}",
            hint="Check the host name and the name server.",
            host=peer.netloc,
        ) from None
    try:
        # An address that never answers must not use up the deadline of all.
        return await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_STAGGER)
    except OSError as exc:
        raise ConnectError(
            f"cannot connect to {peer.netloc}: {exc.strerror or exc}",
            hint="Check the address, the port and the firewall.",
            host=peer.netloc,
        ) from None


class _TunnelReply:
    """Receives the reply to CONNECT: any 2xx opens the tunnel (RFC 9110, 9.3.6)."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def head(self, head: Head) -> None:
        if not 200 <= head.status < 300:
            said = f"{head.status} {head.reason}".strip()
            raise _proxy_failed(
                self._proxy, f"the proxy answered {printable(said, 80)!r}", head.status
            )

    def data(self, data: bytes) -> None: ...

    def end(self) -> None: ...


async def _tunnel(connection: Connection, proxy: Proxy, address: Address) -> None:
    """Have the proxy connect us to `address`."""
    headers: dict[str, str | Secret] = {"Host": address.netloc}
    if proxy.authorization is not None:
        headers["Proxy-Authorization"] = proxy.authorization
    reply = _TunnelReply(proxy)
    try:
        await connection.exchange(
            "CONNECT",
            request_head("CONNECT", address.netloc, headers) + b"\r\n",  # no variable holds it
            reply,
            read=inf,
            seconds=inf,
            until=inf,
        )
    except ConnectionLostError:
        raise _proxy_failed(proxy, "the proxy closed the connection", 0) from None
    except ProtocolError as exc:
        raise _proxy_failed(proxy, str(exc), 0) from None
    if not connection.open:
        raise _proxy_failed(proxy, "the proxy sent data into the tunnel", 200)
    connection.host = address.netloc


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
