"""One read of an image for several targets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from vimdriver._images.fan import Bandwidth, Fan, FanLimits, Member
from vimdriver._images.source import ImageInfo
from vimdriver.errors import ImageSizeError, SourceProtocolError
from vimlib.errors import UsageError

CHUNKS = [bytes([number]) * 1000 for number in range(40)]
DATA = b"".join(CHUNKS)
LIMITS = FanLimits(window=5000, patience=0.05, gather=0.05)
PATIENT = FanLimits(window=5000, patience=60, gather=60)


@dataclass
class Body:
    info: ImageInfo
    source: Source

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number, chunk in enumerate(self.source.chunks):
            if number == self.source.breaks_at:
                raise ImageSizeError(expected=1, received=0, image="disk")
            self.source.read += 1
            yield chunk


class Source:
    """An image that counts how often it is opened and how many chunks were read."""

    def __init__(self, *, hashed: bool = True) -> None:
        self.chunks = list(CHUNKS)
        self.opened = self.closed = self.read = 0
        self.breaks_at: int | None = None
        value = "00" if hashed else None
        self._info = ImageInfo(
            id="disk", name="disk", size=len(DATA), hash_algo=value and "md5", hash_value=value
        )

    async def info(self) -> ImageInfo:
        return self._info

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Body]:
        self.opened += 1
        try:
            yield Body(self._info, self)
        finally:
            self.closed += 1

    def image(self, ref: str) -> Source:
        return self


async def take(member: Member, *, upto: int | None = None) -> bytes:
    taken = b""
    async with member.image("disk").open() as body:
        async for chunk in body:
            taken += chunk
            await asyncio.sleep(0)
            if upto is not None and len(taken) >= upto:
                break
    return taken


async def test_members_get_the_same_bytes_of_one_read() -> None:
    source = Source()
    async with Fan(source, 3, limits=PATIENT) as fan:
        members = [fan.member(number) for number in range(3)]
        assert await asyncio.gather(*map(take, members)) == [DATA] * 3
    assert (source.opened, source.closed, source.read) == (1, 1, len(CHUNKS))


async def test_the_read_begins_when_all_members_have_come() -> None:
    source = Source()
    async with Fan(source, 2, limits=PATIENT) as fan:
        first = asyncio.create_task(take(fan.member(0)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert source.opened == 0
        assert await take(fan.member(1)) == await first == DATA
    assert source.opened == 1


async def test_a_member_that_left_is_not_waited_for() -> None:
    source = Source()
    async with Fan(source, 2, limits=PATIENT) as fan:
        first = asyncio.create_task(take(fan.member(0)))
        await asyncio.sleep(0)
        fan.member(1).leave()
        assert await first == DATA


async def test_bytes_read_ahead_of_the_slowest_member_are_bounded() -> None:
    source = Source()
    async with Fan(source, 2, limits=PATIENT) as fan:
        quick = asyncio.create_task(take(fan.member(0)))
        async with fan.member(1).image("disk").open() as body:
            slow = b""
            async for chunk in body:
                slow += chunk
                for _ in range(20):
                    await asyncio.sleep(0)
                assert source.read * 1000 - len(slow) <= PATIENT.window + 1000
        assert slow == await quick == DATA


@pytest.mark.parametrize("hashed", [False, True])
async def test_a_member_that_keeps_the_others_waiting_finishes_alone(hashed: bool) -> None:
    source = Source(hashed=hashed)
    async with Fan(source, 2, limits=LIMITS) as fan:
        quick = asyncio.create_task(take(fan.member(0)))
        async with fan.member(1).image("disk").open() as body:
            chunks = aiter(body)
            slow = await anext(chunks)
            assert await quick == DATA
            async for chunk in chunks:
                slow += chunk
    assert slow == DATA
    assert (source.opened, source.closed) == (2, 2)


async def test_a_member_that_is_cut_loose_is_never_spliced_of_two_images() -> None:
    source = Source(hashed=False)
    async with Fan(source, 2, limits=LIMITS) as fan:
        quick = asyncio.create_task(take(fan.member(0)))
        async with fan.member(1).image("disk").open() as body:
            chunks = aiter(body)
            await anext(chunks)
            await quick
            source.chunks[0] = b"!" * 1000
            with pytest.raises(SourceProtocolError, match="changed"):
                async for _ in chunks:
                    pass


async def test_a_member_that_fails_leaves_the_others_alone() -> None:
    source = Source()
    async with Fan(source, 3, limits=PATIENT) as fan:
        early = asyncio.create_task(take(fan.member(0), upto=3000))
        others = [asyncio.create_task(take(fan.member(number))) for number in (1, 2)]
        assert await asyncio.gather(*others) == [DATA] * 2
        assert len(await early) == 3000
    assert source.opened == 1


async def test_a_member_that_comes_too_late_reads_alone() -> None:
    source = Source()
    async with Fan(source, 2, limits=LIMITS) as fan:
        assert await take(fan.member(0)) == DATA
        assert await take(fan.member(1)) == DATA
    assert source.opened == 2


async def test_a_source_that_fails_fails_for_each_member_by_itself() -> None:
    source = Source()
    source.breaks_at = 3
    async with Fan(source, 2, limits=PATIENT) as fan:
        ended = await asyncio.gather(
            *(take(fan.member(number)) for number in range(2)), return_exceptions=True
        )
    assert [type(error) for error in ended] == [ImageSizeError] * 2
    assert ended[0] is not ended[1]
    assert source.opened == 1


async def test_members_that_open_an_image_twice_share_each_read() -> None:
    """As where the beginning is read first, to learn the format."""
    source = Source()

    async def both(member: Member) -> bytes:
        image = member.image("disk")
        async with image.open() as body:
            async for _ in body:
                break
        async with image.open() as body:
            return b"".join([chunk async for chunk in body])

    async with Fan(source, 2, limits=PATIENT) as fan:
        members = [fan.member(number) for number in range(2)]
        assert await asyncio.gather(*map(both, members)) == [DATA] * 2
    assert (source.opened, source.closed) == (2, 2)


async def test_cancelling_all_members_closes_the_source() -> None:
    source = Source()
    async with Fan(source, 2, limits=PATIENT) as fan:
        tasks = [asyncio.create_task(take(fan.member(number))) for number in range(2)]
        while source.read < 3:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert source.opened == source.closed == 1


async def test_bandwidth_spreads_the_bytes_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    limit = Bandwidth(1000.0)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(4):
        await limit.take(500)
    assert waits == pytest.approx([0.4, 0.9, 1.4, 1.9], abs=0.2)


async def test_bandwidths_limit_members_and_their_sum() -> None:
    source = Source()
    took: list[int] = []

    class Counting(Bandwidth):
        async def take(self, count: int) -> None:
            took.append(count)

    async with Fan(source, 2, limits=PATIENT, total=Counting(1)) as fan:
        await asyncio.gather(take(fan.member(0, Counting(1))), take(fan.member(1)))
    assert sum(took) == 3 * len(DATA)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_bandwidth_must_be_positive(rate: float) -> None:
    with pytest.raises(UsageError):
        Bandwidth(rate)
