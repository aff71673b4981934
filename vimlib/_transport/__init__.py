"""An encoded call out, a reply back; plain HTTP on the same trust. The only layer that does I/O.

May stand here: sockets, TLS, proxies, HTTP, limits on bytes. May not: sessions, retries, types of
the API. `Transport` is the seam; `HTTPTransport` is the real one, `ScriptedTransport` a fake
for tests. It needs nothing but the standard library.
"""

from __future__ import annotations

from vimlib._transport.address import Address, parse_address
from vimlib._transport.base import EncodedCall, Exchange, Middleware, Reply, Timeouts, Transport
from vimlib._transport.http import HTTPReply, HTTPRequest
from vimlib._transport.network import HTTPTransport
from vimlib._transport.scripted import ScriptedTransport

__all__ = [
    "Address",
    "EncodedCall",
    "Exchange",
    "HTTPReply",
    "HTTPRequest",
    "HTTPTransport",
    "Middleware",
    "Reply",
    "ScriptedTransport",
    "Timeouts",
    "Transport",
    "parse_address",
]
