from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.unit.driver.images.corpus import SPARSE
from vimdriver._images import BodyCheck, ImageInfo, Passage, Pipe, piped
from vimdriver._images.worker import Worker
from vimdriver.errors import ImageHashError, ImageSizeError, ImageUnacceptableError
from vimlib._transport.http import Buffer
from vimlib.errors import ClosedError


class Body:
    """A body from a list that records how far it was read."""

    def __init__(self, chunks: list[bytes], **more: str) -> None:
        self.chunks = chunks
        self.read = 0
        self.info = ImageInfo(id="i", name="n", size=sum(map(len, chunks)), **more)  # type: ignore[arg-type]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.read += 1
            yield chunk


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


CHUNK = bytes(64 << 10)


async def test_at_most_three_chunks_are_held(executor: ThreadPoolExecutor) -> None:
    body = Body([CHUNK] * 20)
    taken = 0
    async with piped(body, Passage(BodyCheck(body.info)), executor=executor) as pipe:
        async for _ in pipe:
            taken += 1
            assert body.read - taken <= 2
    assert taken == 20


async def test_nothing_leaves_before_the_beginning_is_judged(executor: ThreadPoolExecutor) -> None:
    body = Body([SPARSE[at : at + 1000] for at in range(0, len(SPARSE), 1000)])
    async with piped(body, Passage(BodyCheck(body.info)), executor=executor) as pipe:
        first = await anext(pipe)
        assert first == SPARSE[:1000]
        assert body.read >= 36


async def test_the_last_chunk_waits_for_the_verdict(executor: ThreadPoolExecutor) -> None:
    body = Body([CHUNK] * 3, hash_algo="md5", hash_value="0" * 32)
    seen = []
    with pytest.raises(ImageHashError):  # noqa: PT012 - about leaving the block
        async with piped(body, Passage(BodyCheck(body.info)), executor=executor) as pipe:
            async for chunk in pipe:
                seen.append(chunk)
    assert len(seen) == 2


@pytest.mark.parametrize(("promised", "error"), [(-1, ImageSizeError), (1, ImageSizeError)])
async def test_a_wrong_length_is_an_error(
    executor: ThreadPoolExecutor, promised: int, error: type[Exception]
) -> None:
    body = Body([CHUNK, CHUNK])
    info = ImageInfo(id="i", name="n", size=body.info.size + promised)
    seen = 0
    with pytest.raises(error):  # noqa: PT012 - about leaving the block
        async with piped(body, Passage(BodyCheck(info)), executor=executor) as pipe:
            async for chunk in pipe:
                seen += len(chunk)
    assert seen < info.size


async def test_progress_counts_consumed_bytes(executor: ThreadPoolExecutor) -> None:
    body = Body([CHUNK] * 3)
    counted: list[int] = []
    check = BodyCheck(body.info)
    async with piped(body, Passage(check), executor=executor, on_progress=counted.append) as pipe:
        await anext(pipe)
        assert counted == []
        await anext(pipe)
        assert counted == [len(CHUNK)]
        async for _ in pipe:
            pass
    assert sum(counted) == body.info.size


async def test_an_error_of_the_pipe_is_raised(executor: ThreadPoolExecutor) -> None:
    body = Body([CHUNK])
    info = ImageInfo(id="i", name="n", size=body.info.size + 1)
    with pytest.raises(ImageSizeError):  # noqa: PT012 - about leaving the block
        async with piped(body, Passage(BodyCheck(info)), executor=executor) as pipe:
            try:
                async for _ in pipe:
                    pass
            except ImageSizeError:
                raise ConnectionError("an HTTP client's own error") from None


async def test_an_error_of_the_block_is_kept(executor: ThreadPoolExecutor) -> None:
    body = Body([CHUNK] * 9)
    with pytest.raises(ConnectionError):  # noqa: PT012 - about leaving the block
        async with piped(body, Passage(BodyCheck(body.info)), executor=executor) as pipe:
            await anext(pipe)
            raise ConnectionError


async def test_a_cancelled_reader_is_not_a_failure(executor: ThreadPoolExecutor) -> None:
    """Like aiohttp, which iterates in a task and cancels it when an early response arrives."""
    body = Body([CHUNK] * 9)
    blocked = asyncio.Event()

    async def read(pipe: Pipe) -> None:
        async for _ in pipe:
            blocked.set()
            await asyncio.sleep(60)

    with pytest.raises(ConnectionError):  # noqa: PT012 - about leaving the block
        async with piped(body, Passage(BodyCheck(body.info)), executor=executor) as pipe:
            task = asyncio.create_task(read(pipe))
            await blocked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            raise ConnectionError


async def test_a_worker_waits_for_its_job_on_every_exit(executor: ThreadPoolExecutor) -> None:
    release = threading.Event()
    ended: list[int] = []

    def job() -> None:
        release.wait(10)
        ended.append(1)

    async def use() -> None:
        async with Worker[None](executor) as worker:
            worker.start(job)
            await worker.result()

    task = asyncio.create_task(use())
    await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [1]


async def test_a_workers_error_is_raised(executor: ThreadPoolExecutor) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - about leaving the block
        async with Worker[float](executor) as worker:
            worker.start(lambda: 1 / 0)
            await worker.result()


class Doubling:
    """A stage that yields each byte twice and a trailer, or nothing until the end."""

    def __init__(self, size: int | None = None, *, late: bool = False) -> None:
        self.size = size
        self.late = late
        self.threads: set[int] = set()
        self.kept = b""

    def feed(self, data: Buffer) -> Iterator[Buffer]:
        self.threads.add(threading.get_ident())
        if self.late:
            self.kept += bytes(data) * 2
        else:
            yield bytes(data)
            yield bytes(data)

    def finish(self) -> list[Buffer]:
        return [self.kept, b"end"]


async def through(stage: Doubling, executor: ThreadPoolExecutor, body: Body) -> bytes:
    passage = Passage(BodyCheck(body.info), stage)
    counted: list[int] = []
    async with piped(body, passage, executor=executor, on_progress=counted.append) as pipe:
        await pipe.begin()
        assert pipe.size == stage.size
        out = b"".join([bytes(piece) async for piece in pipe])
    assert sum(counted) == body.info.size
    assert passage.out == len(out)
    return out


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("sized", [False, True])
async def test_a_stage_converts_the_body_in_a_thread(
    executor: ThreadPoolExecutor, late: bool, sized: bool
) -> None:
    body = Body([CHUNK] * 5)
    stage = Doubling(len(CHUNK) * 10 + 3 if sized else None, late=late)
    assert await through(stage, executor, body) == CHUNK * 10 + b"end"
    assert threading.get_ident() not in stage.threads


async def test_the_last_bytes_of_a_converted_body_wait_for_the_verdict(
    executor: ThreadPoolExecutor,
) -> None:
    """A stage may have nothing to add when the source ends."""

    class Plain(Doubling):
        def finish(self) -> list[Buffer]:
            return []

    body = Body([CHUNK] * 3, hash_algo="md5", hash_value="0" * 32)
    seen = 0
    size = len(CHUNK) * 6
    passage = Passage(BodyCheck(body.info), Plain(size))
    with pytest.raises(ImageHashError):  # noqa: PT012 - about leaving the block
        async with piped(body, passage, executor=executor) as pipe:
            async for piece in pipe:
                seen += len(piece)
    assert seen == len(CHUNK) * 4


async def test_much_that_comes_out_of_little_is_taken_in_parts(
    executor: ThreadPoolExecutor,
) -> None:
    made = 0

    class Swelling(Doubling):
        def feed(self, data: Buffer) -> Iterator[Buffer]:
            nonlocal made
            for _ in range(64):
                made += 1
                yield bytes(1 << 20)

    body = Body([bytes(68 << 10)])
    taken = 0
    async with piped(body, Passage(BodyCheck(body.info), Swelling()), executor=executor) as pipe:
        async for _ in pipe:
            taken += 1
            assert made - taken <= 2
    assert taken == 129


async def test_small_pieces_are_joined(executor: ThreadPoolExecutor) -> None:
    class Crumbling(Doubling):
        def feed(self, data: Buffer) -> Iterator[Buffer]:
            view = memoryview(data)
            return (view[at : at + 512] for at in range(0, len(view), 512))

    body = Body([CHUNK])
    async with piped(body, Passage(BodyCheck(body.info), Crumbling()), executor=executor) as pipe:
        assert [bytes(piece) async for piece in pipe] == [CHUNK, b"end"]


async def test_an_error_of_a_stage_ends_the_body(executor: ThreadPoolExecutor) -> None:
    class Refusing(Doubling):
        def finish(self) -> list[Buffer]:
            raise ImageUnacceptableError(rule="stream.end", detail="truncated")

    body = Body([CHUNK])
    with pytest.raises(ImageUnacceptableError):
        await through(Refusing(), executor, body)


async def test_a_closed_executor_is_a_closed_uploader() -> None:
    with ThreadPoolExecutor(1) as closed:
        pass
    body = Body([CHUNK] * 2)
    with pytest.raises(ClosedError):
        await through(Doubling(), closed, body)
