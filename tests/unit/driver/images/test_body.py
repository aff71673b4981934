"""A body that breaks off goes on where it was, and is never spliced from two images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import aiohttp
import pytest

from vimdriver._images import body as module
from vimdriver._images.body import HttpBody, ReadShare, strong
from vimdriver._images.source import ImageInfo
from vimdriver.errors import (
    ImageSizeError,
    ImageSourceError,
    SourceProtocolError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnreachableError,
)
from vimlib._transport import Timeouts

pytestmark = pytest.mark.usefixtures("hurried")

DATA = bytes(range(256)) * 40
HALF = len(DATA) // 2
ETAG = {"ETag": '"v1"'}
INFO = ImageInfo(id="disk.img", name="disk.img", size=len(DATA))
HASHED = ImageInfo(id="disk.img", name="disk.img", size=len(DATA), hash_algo="md5", hash_value="00")
Script: TypeAlias = "Callable[[Mapping[str, str]], Answer]"


@dataclass
class Answer:
    """A response; `end` is raised behind its bytes, None waits for ever."""

    data: bytes
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    end: Exception | str | None = "complete"

    @property
    def content(self) -> Answer:
        return self

    async def read(self, size: int) -> bytes:
        piece, self.data = self.data[:1000], self.data[1000:]
        if piece:
            return piece
        if self.end is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(self.end, Exception):
            raise self.end
        return b""


RESET = aiohttp.ClientPayloadError("reset")


def part(first: int, data: bytes = DATA, **more: Any) -> Answer:
    headers = {"Content-Range": f"bytes {first}-{len(DATA) - 1}/{len(DATA)}", **ETAG}
    return Answer(data[first:], headers, 206, **more)


class Source:
    """Answers each request by the next script, and records the requests."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Mapping[str, str]] = []

    async def ask(self, stack: AsyncExitStack, more: Mapping[str, str]) -> Any:
        self.asked.append(dict(more))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def read(self, info: ImageInfo = INFO, *, stall: float = 60.0) -> bytes:
        async with AsyncExitStack() as stack:
            self.body = HttpBody(info, self.ask, stack, stall=stall, timeouts=Timeouts())
            await self.body.open()
            return b"".join([chunk async for chunk in self.body])


async def test_a_body_that_does_not_break_asks_once() -> None:
    source = Source(Answer(DATA))
    assert await source.read() == DATA
    assert source.asked == [{}]
    assert source.body.resumed == 0


@pytest.mark.parametrize("end", [RESET, "complete"], ids=["reset", "short"])
async def test_it_goes_on_at_the_byte_reached_if_the_etag_is_the_same(end: Any) -> None:
    source = Source(Answer(DATA[:HALF], ETAG, end=end), part(HALF))
    assert await source.read() == DATA
    assert source.asked[1] == {"Range": f"bytes={HALF}-", "If-Range": '"v1"'}
    assert source.body.resumed == 1


async def test_a_first_request_that_fails_is_sent_again_without_any_guard() -> None:
    busy = SourceRefusedError(status=503, retryable=True)
    source = Source(busy, busy, Answer(DATA))
    assert await source.read() == DATA
    assert source.asked == [{}] * 3
    with pytest.raises(SourceRefusedError):
        await Source(busy).read()
    gone = Source(SourceRefusedError(status=404))
    with pytest.raises(SourceRefusedError):
        await gone.read()
    assert len(gone.asked) == 1


async def test_many_bodies_read_less_at_a_time_and_each_ends() -> None:
    share = ReadShare()
    assert share.chunk == 1 << 20
    async with AsyncExitStack() as stack:
        body = HttpBody(
            INFO, Source(Answer(DATA)).ask, stack, stall=60, timeouts=Timeouts(), share=share
        )
        await body.open()
        chunks = aiter(body)
        await anext(chunks)
        assert share.bodies == 1
        share.bodies += 15
        assert share.chunk == 256 << 10
        await chunks.aclose()
    assert share.bodies == 15


async def test_without_an_etag_the_hash_of_the_whole_is_the_guard() -> None:
    source = Source(Answer(DATA[:HALF], end=RESET), part(HALF))
    assert await source.read(HASHED) == DATA
    assert source.asked[1] == {"Range": f"bytes={HALF}-"}


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"v1"'}, {"ETag": "v1"}])
async def test_without_a_guard_it_ends(headers: dict[str, str]) -> None:
    source = Source(Answer(DATA[:HALF], headers, end=RESET))
    with pytest.raises(ImageSizeError) as caught:
        await source.read()
    assert (caught.value.expected, caught.value.received) == (len(DATA), HALF)
    assert len(source.asked) == 1


@pytest.mark.slow
async def test_it_goes_on_after_a_stall() -> None:
    source = Source(Answer(DATA[:HALF], ETAG, end=None), part(HALF))
    assert await source.read(stall=0.05) == DATA


@pytest.mark.slow
async def test_a_source_that_stalls_each_time_is_given_up() -> None:
    source = Source(
        Answer(DATA[:HALF], ETAG, end=None), Answer(b"", {**part(HALF).headers}, 206, None)
    )
    with pytest.raises(SourceStalledError) as caught:
        await source.read(stall=0.05)
    assert (caught.value.received, caught.value.rule) == (HALF, "read")
    assert len(source.asked) == 4


@pytest.mark.parametrize(
    "failure",
    [
        SourceRefusedError(status=503, retryable=True),
        SourceUnreachableError(host="h", reason="refused"),
        SourceStalledError(seconds=1, rule="call"),
    ],
    ids=["5xx", "unreachable", "silent"],
)
async def test_an_attempt_that_fails_is_made_again(failure: ImageSourceError) -> None:
    source = Source(Answer(DATA[:HALF], ETAG, end=RESET), failure, failure, part(HALF))
    assert await source.read() == DATA
    assert source.body.resumed == 1


async def test_attempts_are_bounded_and_the_first_error_is_raised() -> None:
    failure = SourceRefusedError(status=503, retryable=True)
    source = Source(Answer(DATA[:HALF], ETAG, end=RESET), failure)
    with pytest.raises(ImageSizeError):
        await source.read()
    assert len(source.asked) == 1 + len(module.PAUSES)


async def test_a_connection_that_breaks_after_each_byte_comes_to_an_end() -> None:
    answers = [part(at, DATA[: at + 1], end=RESET) for at in range(1, 9)]
    source = Source(Answer(DATA[:1], ETAG, end=RESET), *answers)
    with pytest.raises(ImageSizeError):
        await source.read()
    assert len(source.asked) == 1 + len(module.PAUSES)


async def test_a_refusal_that_lasts_ends_it_at_once() -> None:
    refusal = SourceRefusedError(status=403)
    source = Source(Answer(DATA[:HALF], ETAG, end=RESET), refusal)
    with pytest.raises(SourceRefusedError):
        await source.read()
    assert len(source.asked) == 2


async def test_a_source_that_ignores_the_range_is_read_from_its_start() -> None:
    source = Source(Answer(DATA[:HALF], ETAG, end=RESET), Answer(DATA, ETAG))
    assert await source.read() == DATA


@pytest.mark.parametrize(
    "rest",
    [
        Answer(DATA, {"ETag": '"v2"'}),
        Answer(DATA[HALF:], {**part(HALF).headers, "ETag": '"v2"'}, 206),
        Answer(DATA[HALF:], {}, 206),
        Answer(DATA[HALF:], {**ETAG, "Content-Range": f"bytes 0-9/{len(DATA)}"}, 206),
        Answer(DATA[HALF:], {**ETAG, "Content-Range": f"bytes {HALF}-{len(DATA)}/9999999"}, 206),
        Answer(DATA[HALF:], {**part(HALF).headers, "Content-Encoding": "gzip"}, 206),
        Answer(DATA[HALF:], ETAG, 200, RESET),
    ],
    ids=["changed", "changed part", "no etag", "other part", "other size", "encoded", "short"],
)
async def test_a_body_other_than_the_rest_of_the_image_is_refused(rest: Answer) -> None:
    source = Source(Answer(DATA[:HALF], ETAG, end=RESET), rest)
    with pytest.raises((SourceProtocolError, ImageSizeError)):
        await source.read()


async def test_all_bytes_may_come_without_the_end_of_the_framing() -> None:
    source = Source(Answer(DATA, ETAG, end=RESET))
    assert await source.read() == DATA
    assert len(source.asked) == 1


async def test_a_body_of_another_length_is_refused_before_a_byte_of_it() -> None:
    with pytest.raises(ImageSizeError):
        await Source(Answer(DATA, {"Content-Length": "5"})).read()


@pytest.mark.parametrize("etag", [None, "", 'W/"a"', "a", '"a', '"a" b'])
def test_a_weak_etag_proves_nothing(etag: str | None) -> None:
    assert strong(etag) is None
