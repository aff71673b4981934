"""A TCP or TLS server that plays a script on each connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

Script: TypeAlias = "Callable[[Conn], Awaitable[None]]"

RESET = b"\x01\0\0\0\0\0\0\0"  # SO_LINGER on, 0 s: closing sends RST


@dataclass
class Request:
    """An HTTP request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


class Conn:
    """One connection, from the server's side."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.received = bytearray()

    async def read(self, size: int = 1 << 16) -> bytes:
        """Read some plain bytes; b"" at the end."""
        data = await self.reader.read(size)
        self.received += data
        return data

    async def head(self) -> tuple[str, str, dict[str, str]]:
        """Read the head of a request. Raises `ConnectionError` at the end of the connection."""
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as exc:
            self.received += exc.partial
            raise ConnectionResetError("no more requests") from None
        self.received += raw
        first, *lines = raw.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {}
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return method, target, headers

    async def request(self) -> Request:
        """Read a whole request."""
        method, target, headers = await self.head()
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        self.received += body
        return Request(method, target, headers, body)

    async def send(self, data: bytes) -> None:
        """Write raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def reply(
        self,
        status: int = 200,
        body: bytes = b"",
        headers: Sequence[tuple[str, str]] = (("Content-Type", "text/xml; charset=utf-8"),),
        *,
        length: int | None = None,
    ) -> None:
        """Write a whole reply; `length` lies about its Content-Length."""
        lines = [
            f"HTTP/1.1 {status} X",
            f"Content-Length: {len(body) if length is None else length}",
        ]
        lines += [f"{name}: {value}" for name, value in headers]
        await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def reset(self) -> None:
        """Close by RST."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()

    def close(self) -> None:
        """Close by FIN; written bytes are delivered."""
        self.writer.close()

    async def hold(self) -> None:
        """Send nothing until the peer closes."""
        while await self.read():
            pass


class Stage:
    """The log of a stage."""

    def __init__(self, tls: bool, address: str = "127.0.0.1") -> None:
        self.address = address
        self.port = 0
        self.connections: list[Conn] = []
        self.attempts = 0
        """TCP connections, including those with a failed handshake, which the handshake hook
        counts."""
        self._tls = tls
        self.failures: list[BaseException] = []

    @property
    def url(self) -> str:
        """Address of the service."""
        return f"{'https' if self._tls else 'http'}://{self.address}:{self.port}/sdk"

    @property
    def received(self) -> bytes:
        """All plain bytes received on all connections."""
        return b"".join(bytes(conn.received) for conn in self.connections)


@asynccontextmanager
async def stage(
    script: Script | Sequence[Script],
    tls: ssl.SSLContext | None = None,
    *,
    address: str = "127.0.0.1",
) -> AsyncIterator[Stage]:
    """Serve on loopback; the n-th connection plays the n-th script, the last one from then on."""
    scripts = [script] if callable(script) else list(script)
    shown = Stage(tls is not None, address)
    tasks: set[asyncio.Task[None]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conn = Conn(len(shown.connections), reader, writer)
        shown.connections.append(conn)
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await scripts[min(conn.number, len(scripts) - 1)](conn)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client closed, as many tests intend
        except asyncio.CancelledError:
            pass  # the stage is shutting down
        except BaseException as exc:  # noqa: BLE001
            shown.failures.append(exc)
        finally:
            tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1)

    server = await asyncio.start_server(play, address, 0, ssl=tls, limit=1 << 20)
    shown.port = server.sockets[0].getsockname()[1]
    try:
        yield shown
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        while tasks:
            await asyncio.wait(list(tasks), timeout=2)
        await server.wait_closed()
    if shown.failures:
        raise shown.failures[0]
