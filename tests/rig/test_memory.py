"""Connections in memory behave as those of a kernel, and a server is not part of its client."""

from __future__ import annotations

import asyncio

import pytest

from tests.rig import memory
from tests.rig.cancel import cancelled_at
from tests.rig.memory import MemoryLoop


async def suspensions(pauses: int) -> int:
    """Return how often a client suspends whose server suspends so many times before it answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        for _ in range(pauses):
            await asyncio.create_task(asyncio.sleep(1))
        writer.write(b"answer\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"question\n")
        assert await reader.readline() == b"answer\n"
        writer.close()

    _, seen = await cancelled_at(ask)
    server.close()
    return seen


def test_what_a_server_on_the_same_loop_suspends_on_is_not_counted() -> None:
    assert memory.run(suspensions(0)) == memory.run(suspensions(5)) > 0


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_an_end_whose_peer_has_gone_closes_whatever_it_has_not_sent(size: int) -> None:
    async def work() -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(bytes(size))
            await asyncio.sleep(1)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.close()
        await asyncio.sleep(5)
        server.close()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, MemoryLoop)
        return len(loop.ends)

    assert memory.run(work()) == 0
