"""The codec: bytes in, objects out.

Envelopes, encoder, decoder and limits live here. Nothing here may do I/O: no asyncio, socket, ssl
or aiohttp. Tables come with the method, so no generated package is imported either.

`encode_request`, `decode_response`, `Decoder`         a client's side
`decode_request`, `encode_response`, `encode_fault`    a server's side
`Limits`    how much is read before it is refused
`Typed`     a value of an anyType field with its type; `Unknown` an element of an unknown type
`backend`   `"accelerated"` if the compiled decoder is in use, else `"pure"`; the variable
            `VIMLIB_SOAP_BACKEND` forces one
"""

from __future__ import annotations

from vimlib.soap._backend import Decoder, backend, decode_response
from vimlib.soap._encode import encode_request
from vimlib.soap._limits import Limits
from vimlib.soap._server import Request, decode_request, encode_fault, encode_response
from vimlib.soap._typed import Typed, Unknown

__all__ = [
    "Decoder",
    "Limits",
    "Request",
    "Typed",
    "Unknown",
    "backend",
    "decode_request",
    "decode_response",
    "encode_fault",
    "encode_request",
    "encode_response",
]
