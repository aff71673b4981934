"""An encoded call out, a reply back; plain HTTP on the same trust. The only floor that does I/O.

May stand here: sockets, TLS, proxies, HTTP, limits on bytes. May not: sessions, retries, types of
the API. `Transport` is the seam; `AiohttpTransport` is the real one, `ScriptedTransport` a fake
for tests. aiohttp is imported when `AiohttpTransport` is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib.transport.address import Address, parse_address
from vimlib.transport.base import EncodedCall, Exchange, Middleware, Reply, Timeouts, Transport
from vimlib.transport.http import HTTPReply, HTTPRequest
from vimlib.transport.scripted import ScriptedTransport

if TYPE_CHECKING:
    from vimlib.transport.aio import AiohttpTransport

__all__ = [
    "Address",
    "AiohttpTransport",
    "EncodedCall",
    "Exchange",
    "HTTPReply",
    "HTTPRequest",
    "Middleware",
    "Reply",
    "ScriptedTransport",
    "Timeouts",
    "Transport",
    "parse_address",
]


def __getattr__(name: str) -> Any:
    if name == "AiohttpTransport":
        from vimlib.transport.aio import AiohttpTransport

        return AiohttpTransport
    raise AttributeError(f"module 'vimlib.transport' has no attribute {name!r}")
