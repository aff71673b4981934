"""A TCP forwarder to a server that cuts its connections on command."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from tests.rig.stage import RESET


class Line:
    """Forwards TCP on loopback. Use it only on the loop that `start` ran on."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.dead = False
        """Whether new connections are reset at once."""
        self.struck = 0
        """Connections that were reset."""
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        while self._tasks:
            self.reset()
            await asyncio.wait(list(self._tasks), timeout=1)

    def reset(self) -> None:
        """Reset all connections at once: on return, the peers' kernels have received the RST."""
        for writer in list(self._writers):
            sock: socket.socket | None = writer.get_extra_info("socket")
            if sock is None or writer.transport.is_closing():
                continue
            # The transport closes later; the RST must be sent now.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
            self.struck += 1

    def die(self) -> None:
        """Reset all connections, and every new one from now on."""
        self.dead = True
        self.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        pumps: set[asyncio.Task[None]] = set()
        other: asyncio.StreamWriter | None = None
        try:
            if self.dead:
                self.reset()
                return
            source, other = await asyncio.open_connection("127.0.0.1", self._to)
            pumps = {
                asyncio.create_task(_pump(reader, other)),
                asyncio.create_task(_pump(source, writer)),
            }
            await asyncio.wait(pumps)
        except OSError:
            pass  # the server is down, so the forwarder closes too
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for each in (writer, other):
                if each is not None:
                    each.close()
                    with contextlib.suppress(OSError, TimeoutError):
                        await asyncio.wait_for(each.wait_closed(), 1)
            self._writers.discard(writer)
            self._tasks.discard(task)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass  # one side closed; closing this side informs the other
    finally:
        sink.close()
