"""Grains are deflated in several threads, and come out as by one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.unit.driver.images.foreign import disk
from vimdriver._images.deflater import Deflater
from vimdriver._images.formats import GRAIN, Extent, StreamOptimizedWriter
from vimdriver._images.formats.deflate import deflate
from vimdriver._images.formats.stream_writer import GrainDeflater

DISK = disk((3 << 20) + 512)


@pytest.fixture(params=[False, True], ids=["alone", "shared"])
def deflater(request: pytest.FixtureRequest) -> Iterator[Deflater]:
    made = Deflater(shared=request.param)
    yield made
    made.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("vimlib-deflate")]


def written(deflater: GrainDeflater | None, data: bytes = DISK, *, step: int = 100_000) -> bytes:
    writer = StreamOptimizedWriter(len(data), level=1, deflater=deflater)
    pieces = [writer.start()]
    for at in range(0, len(data), step):
        pieces += map(bytes, writer.write(Extent(at, data[at : at + step])))
    return b"".join([*pieces, *map(bytes, writer.finish())])


def test_a_file_has_the_same_bytes(deflater: Deflater) -> None:
    assert written(deflater) == written(None)
    assert written(deflater, step=GRAIN) == written(None)


def test_deflated_grains_keep_their_place_among_others(deflater: Deflater) -> None:
    results = []
    for given in (deflater, None):
        writer = StreamOptimizedWriter(4 * GRAIN, level=1, deflater=given)
        pieces = [writer.start(), *writer.write(Extent(0, b"x" * GRAIN))]
        pieces += writer.write_compressed(GRAIN // 512, deflate(b"y" * GRAIN, 1))
        pieces += [*writer.write(Extent(3 * GRAIN, b"z" * 600)), *writer.finish()]
        results.append(b"".join(map(bytes, pieces)))
    assert results[0] == results[1]


class Slow:
    """Ends grains when it is told to."""

    ahead = 3

    def __init__(self) -> None:
        self.begun: list[Future[bytes]] = []

    def start(self, data: bytes, level: int) -> Future[bytes]:
        """Note the grain; those ahead of the last three are done."""
        self.begun.append(Future())
        for future in self.begun[: -self.ahead]:
            if not future.done():
                future.set_result(b"deflated")
        return self.begun[-1]


def test_a_writer_is_ahead_with_few_grains() -> None:
    slow = Slow()
    writer = StreamOptimizedWriter(10 * GRAIN, deflater=slow)
    grains = [len(writer.write(Extent(at * GRAIN, b"x" * GRAIN))) for at in range(10)]
    assert grains == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]


def test_writers_of_the_same_disk_share_the_work() -> None:
    shared = Deflater(shared=True)
    try:
        first = shared.start(b"x" * GRAIN, 6)
        assert shared.start(b"x" * GRAIN, 6) is first
        assert shared.start(b"x" * GRAIN, 1) is not first
        assert shared.start(b"y" * GRAIN, 6) is not first
        for number in range(256):
            shared.start(number.to_bytes(2, "big"), 1)
        again = shared.start(b"x" * GRAIN, 6)
        assert again is not first
        assert again.result() == first.result() == deflate(b"x" * GRAIN, 6)
    finally:
        shared.close()
