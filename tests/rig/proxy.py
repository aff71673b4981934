"""A TCP proxy in front of a real peer that breaks connections.

It forwards bytes unchanged, including TLS. `default` and `queue` define the faults of new
connections, applied after a number of bytes; `reset` and `die` cut all connections on command.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from tests.rig.stage import RESET


@dataclass
class Fault:
    """The fault of one connection."""

    after: int | None = None
    """Apply the fault after this many bytes from the server, TLS included; None: never."""
    what: Literal["close", "reset", "half", "hold", "flip"] = "close"


class FaultProxy:
    """Forwards TCP on loopback. Its methods run on the event loop that ran `start`."""

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.default = Fault()
        self.queue: list[Fault] = []
        self.dead = False
        """Whether new connections are reset at once."""
        self.struck = 0
        """Faults applied, and connections reset."""
        self._to = (host, port)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def url(self, path: str = "/sdk") -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.wait(list(self._tasks), timeout=2)

    def reset(self) -> None:
        """Reset all connections at once."""
        for writer in list(self._writers):
            if not writer.transport.is_closing():
                _abort(writer)
                self.struck += 1

    def die(self) -> None:
        """Reset all connections, and from now on every new one."""
        self.dead = True
        self.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        fault = self.queue.pop(0) if self.queue else self.default
        other: asyncio.StreamWriter | None = None
        try:
            if self.dead:
                self.reset()
                return
            source, other = await asyncio.open_connection(*self._to)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, other, Fault()))
                group.create_task(self._pump(source, writer, fault, other))
        except* (OSError, asyncio.CancelledError):
            pass  # one side is gone, or the proxy is taken down
        finally:
            for each in (writer, other):
                if each is not None:
                    each.close()
                    with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                        await asyncio.wait_for(each.wait_closed(), 1)
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        fault: Fault,
        *others: asyncio.StreamWriter,
    ) -> None:
        passed = 0
        while data := await source.read(1 << 14):
            if fault.after is not None and passed + len(data) > fault.after:
                keep = fault.after - passed
                self.struck += 1
                if fault.what != "flip":
                    await _strike(fault.what, data[:keep], sink, *others)
                    return
                data = data[:keep] + bytes([data[keep] ^ 1]) + data[keep + 1 :]
                fault = Fault()
            sink.write(data)
            await sink.drain()
            passed += len(data)
        sink.write_eof()


async def _strike(
    what: str, last: bytes, sink: asyncio.StreamWriter, *others: asyncio.StreamWriter
) -> None:
    sink.write(last)
    await sink.drain()
    if what == "hold":
        await asyncio.Event().wait()
    if what == "half":
        sink.write_eof()
        return
    for each in (sink, *others):
        if what == "reset":
            _abort(each)
        else:
            each.close()
    raise ConnectionResetError("struck")


def _abort(writer: asyncio.StreamWriter) -> None:
    # With this option, closing the socket sends an RST.
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


@asynccontextmanager
async def fault_proxy(host: str, port: int) -> AsyncIterator[FaultProxy]:
    """Proxy TCP to a server."""
    proxy = FaultProxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
