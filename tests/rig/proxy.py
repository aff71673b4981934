"""A proxy in front of a real peer, with a fault for each connection.

`FaultProxy` forwards TCP unchanged, including TLS: delay, throttle, cut after a number of bytes,
reset, half-close, flip a bit. `editing` terminates TLS on both sides, so that a test can read and
change the plain bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tests.rig.stage import RESET

Way: TypeAlias = Literal["up", "down"]
"""`up`: from the client to the server."""
Edit: TypeAlias = Callable[[Way, bytes], bytes]


@dataclass
class Fault:
    """The fault of one connection. Bytes are those on the wire, TLS included."""

    way: Way = "down"
    after: int | None = None
    """Apply the fault after this many bytes of `way`; None: never."""
    what: Literal["close", "reset", "half", "hold", "flip"] = "close"
    delay: float = 0.0
    """Delay before connecting to the server, in seconds."""
    rate: float | None = None
    """Bytes per second, each way."""


class FaultProxy:
    """A proxy's counters; `default` and `queue` define the faults of new connections."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.default = Fault()
        self.queue: list[Fault] = []
        self.connections = 0
        self.struck = 0
        self._upstream = (host, port)
        self._upstream_tls: ssl.SSLContext | None = None
        self._edit: Edit | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def url(self, path: str = "/sdk") -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        fault = self.queue.pop(0) if self.queue else self.default
        upstream: asyncio.StreamWriter | None = None
        try:
            if fault.delay:
                await asyncio.sleep(fault.delay)
            other, upstream = await asyncio.open_connection(*self._upstream, ssl=self._upstream_tls)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump("up", reader, upstream, fault, (writer, upstream)))
                group.create_task(self._pump("down", other, writer, fault, (writer, upstream)))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for each in (writer, upstream):
                if each is not None:
                    each.close()
                    with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                        await asyncio.wait_for(each.wait_closed(), 1)

    async def _pump(
        self,
        way: Way,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        fault: Fault,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        passed = 0
        while data := await source.read(1 << 14):
            if self._edit is not None:
                data = self._edit(way, data)
            if fault.way == way and fault.after is not None and passed + len(data) > fault.after:
                keep = fault.after - passed
                self.struck += 1
                if fault.what == "flip":
                    data = data[:keep] + bytes([data[keep] ^ 1]) + data[keep + 1 :]
                    fault = Fault(rate=fault.rate)
                else:
                    await self._strike(fault, sink, data[:keep], both)
                    return
            if fault.rate is not None:
                await asyncio.sleep(len(data) / fault.rate)
            sink.write(data)
            await sink.drain()
            passed += len(data)
        if sink.can_write_eof():
            sink.write_eof()
        else:
            sink.close()

    async def _strike(
        self,
        fault: Fault,
        sink: asyncio.StreamWriter,
        last: bytes,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        sink.write(last)
        await sink.drain()
        if fault.what == "hold":
            await asyncio.Event().wait()
        if fault.what == "half":
            sink.write_eof()
            return
        for each in both:
            if fault.what == "reset":
                sock: socket.socket = each.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.transport.abort()
            else:
                each.close()
        raise ConnectionResetError("struck")

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.wait(list(self._tasks), timeout=2)


@asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """Proxy TCP to a server, TLS untouched."""
    proxy = FaultProxy(host, port)
    async with _served(proxy, None):
        yield proxy


@asynccontextmanager
async def editing(
    host: str, port: int, edit: Edit, *, tls: ssl.SSLContext, upstream: ssl.SSLContext
) -> AsyncIterator[FaultProxy]:
    """Proxy to a TLS server with `tls` towards the client; `edit` receives all plain bytes."""
    proxy = FaultProxy(host, port)
    proxy._edit, proxy._upstream_tls = edit, upstream
    async with _served(proxy, tls):
        yield proxy


@asynccontextmanager
async def _served(proxy: FaultProxy, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        await proxy.stop()
        await server.wait_closed()
