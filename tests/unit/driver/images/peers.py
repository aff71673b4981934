"""The peers of a transfer, on loopback: a server that accepts PUTs, correctly or with faults."""

from __future__ import annotations

import asyncio
import inspect
import re
import ssl
import struct
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Self
from unittest.mock import Mock

import aiohttp
import trustme
from aioresponses import aioresponses

from vimdriver._images.embedded import EmbeddedImage, Fault
from vimdriver._images.make import GRAIN, Pattern
from vimlib._datastore.download import rejected
from vimlib._secret import Secret
from vimlib._tls import TLS
from vimlib._transport import HTTPTransport, Timeouts
from vimlib._transport.http import Buffer, HTTPRequest

AUTHORITY = trustme.CA()
PATIENT = Timeouts(connect=30, handshake=30, read=30, write=30, call=30)
"""For tests of other things than the deadlines: a busy machine exceeds short ones."""


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


def client_tls(folder: Path) -> TLS:
    """Return the trust in `AUTHORITY`, whose certificate is written below `folder`."""
    path = folder / "authority.pem"
    path.write_bytes(AUTHORITY.cert_pem.bytes())
    return TLS(ca=path)


def small(name: str = "image", *, mib: int = 4, fault: Fault | None = None) -> EmbeddedImage:
    from vimdriver._images.embedded import made_image

    image = made_image(name, "raw", Pattern(len(name), mib << 20))
    image.fault = fault
    return image


class CannedAnswer(aiohttp.ClientResponse):
    """A response that aioresponses can create: it passes no `stream_writer`, as aiohttp 3.14 requires."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
            kwargs["stream_writer"] = Mock(output_size=0)
        super().__init__(*args, **kwargs)


class Answers(aioresponses):
    """Canned responses to aiohttp's requests, one each; any other request is refused. No socket.

    If framing, faults or back-pressure matter, a test uses a server instead.
    """

    def add(self, *args: Any, **kwargs: Any) -> None:
        super().add(*args, **{"response_class": CannedAnswer} | kwargs)

    def __enter__(self) -> Self:
        self.start()
        return self


@dataclass
class Target:
    """A server of PUTs. `behaviour` is called with the streams after the request head was read."""

    tls: ssl.SSLContext | None = None
    behaviour: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
    port: int = 0
    connections: int = 0
    head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    """The body arrived up to its Content-Length."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server stops, so that waiting handlers end."""

    handlers: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def length(self) -> int:
        match = re.search(rb"content-length: (\d+)", self.head, re.IGNORECASE)
        assert match is not None
        return int(match[1])

    async def take(self, reader: asyncio.StreamReader, upto: int | None = None) -> None:
        """Read `upto` bytes of the body, by default all."""
        end = self.length if upto is None else upto
        while len(self.body) < end:
            piece = await reader.read(min(65536, end - len(self.body)))
            if not piece:
                return
            self.body += piece
        self.whole = len(self.body) == self.length

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.handlers.add(task)
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            self.head = await reader.readuntil(b"\r\n\r\n")
            if self.behaviour is not None:
                await self.behaviour(reader, writer)
            else:
                await self.take(reader)
                if self.whole:
                    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
                    await writer.drain()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with RST."""
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def running(target: Target) -> AsyncIterator[Target]:
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0, ssl=target.tls)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        target.released.set()
        server.close()
        await server.wait_closed()
        if target.handlers:
            await asyncio.wait(target.handlers)


class Sink:
    """A `BodySink` at a `Target`, by the transport that uploads to datastores use."""

    def __init__(
        self, target: Target, *, tls: TLS | None = None, timeouts: Timeouts | None = None
    ) -> None:
        self.puts = 0
        self._path = "/folder/a/b.img?dcPath=ha-datacenter&dsName=ds"
        self._url = f"http{'s' if tls else ''}://127.0.0.1:{target.port}/sdk"
        self._tls = tls or TLS(verify=False)
        self._timeouts = timeouts or PATIENT

    def slot(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def put(self, body: AsyncIterable[Buffer], size: int | None) -> None:
        self.puts += 1
        request = HTTPRequest(
            method="PUT",
            target=self._path,
            headers={"Cookie": Secret("vmware_soap_session=canary")},
            body=body,
            length=size,
        )
        async with (
            HTTPTransport(self._url, tls=self._tls, timeouts=self._timeouts) as transport,
            transport.http(request) as reply,
        ):
            if reply.status not in (200, 201, 204):
                raise rejected("the file", "store", reply.status, await reply.excerpt())


__all__ = [
    "GRAIN",
    "Answers",
    "Sink",
    "Target",
    "client_tls",
    "reset",
    "running",
    "server_tls",
    "small",
]
