"""A download over replies that break where they should not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from vimlib._datastore import Download
from vimlib._transport import HTTPReply, Timeouts
from vimlib._transport.pace import Pace
from vimlib.errors import ConnectionLostError

DATA = bytes(range(100))


class Reply:
    """A 206 that breaks after so many of its bytes."""

    status = 206
    length = None  # chunked: the range alone says how much comes

    def __init__(self, start: int, stop: int, breaks_after: int | None) -> None:
        self._range = f"bytes {start}-{stop - 1}/{len(DATA)}"
        self._data = DATA[start:stop][:breaks_after]
        self._breaks = breaks_after is not None

    def header(self, name: str) -> str | None:
        return self._range if name == "content-range" else None

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._data), 30):
            yield self._data[at : at + 30]
        if self._breaks:
            raise ConnectionLostError("broken", outcome="unknown")


class Server:
    def __init__(self, *breaks: int | None) -> None:
        self._breaks = list(breaks)
        self.asked: list[tuple[int, int | None]] = []

    @asynccontextmanager
    async def request(self, start: int, stop: int | None) -> AsyncIterator[HTTPReply]:
        self.asked.append((start, stop))
        reply = Reply(start, stop or len(DATA), self._breaks.pop(0))
        yield cast("HTTPReply", reply)


async def read(server: Server, start: int, stop: int | None) -> bytes:
    confirmed: list[None] = []

    async def confirm() -> None:
        confirmed.append(None)

    download = Download(
        "[ds] x",
        server.request,
        start,
        stop,
        size=len(DATA),
        confirm=confirm,
        host="host",
        pace=Pace.steady(Timeouts()),
    )
    await download.open()
    try:
        data = await download.read()
        assert len(confirmed) == 1
        return data
    finally:
        await download.aclose()


@pytest.mark.parametrize(("start", "stop"), [(0, None), (10, 90), (99, 100)])
async def test_the_end_of_the_framing_alone_is_lost(start: int, stop: int | None) -> None:
    server = Server(100)
    assert await read(server, start, stop) == DATA[start:stop]
    assert len(server.asked) == 1


@pytest.mark.parametrize("breaks", [[40, None], [30, 0, 30, 0, 0, 5, None]])
async def test_a_break_amid_the_bytes_is_taken_up(breaks: list[int | None]) -> None:
    server = Server(*breaks)
    assert await read(server, 10, 90) == DATA[10:90]
    assert len(server.asked) == len(breaks)
    assert all(stop == 90 for _, stop in server.asked)


async def test_breaks_that_bring_nothing_come_to_an_end() -> None:
    server = Server(5, 0, 0, 0, None)
    with pytest.raises(ConnectionLostError):
        await read(server, 0, None)
    assert server.asked == [(0, None), (5, None), (5, None), (5, None)]
