from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

from tests.unit.collector.host import Host, lost
from tests.unit.collector.virtual import settle, virtual
from vimlib import vim25
from vimlib._events import Memory, events
from vimlib.errors import ConnectionLostError, NotFoundError, OutcomeUnknownError, UsageError

START = datetime(2026, 5, 1, tzinfo=UTC)
VERSIONS = pytest.mark.parametrize("version", ["4.0", "4.1", "8.0.3.0"])


async def take(found: AsyncIterator[vim25.Event], count: int) -> list[int]:
    return [(await anext(found)).key for _ in range(count)]


@VERSIONS
@virtual
async def test_reads_what_there_is_and_follows_what_comes(version: str) -> None:
    host = Host(version)
    old = [host.post().key for _ in range(25)]
    async with events(host.context()) as stream:
        found = aiter(stream)
        assert await take(found, 25) == old
        for _ in range(3):
            reader = asyncio.create_task(take(found, 4))
            await asyncio.sleep(45)
            new = [host.post().key for _ in range(4)]
            assert await reader == new
    assert host.leftovers() == []


@virtual
async def test_without_following_it_ends_with_the_last() -> None:
    host = Host()
    for _ in range(2500):
        host.post()
    keys = [event.key async for event in events(host.context(), follow=False)]
    assert keys == [event.key for event in host.events]
    assert host.count("ReadNextEvents") == 4
    assert host.leftovers() == []


@virtual
async def test_since_and_filter_are_told_to_the_host() -> None:
    host = Host()
    host.post(at=START - timedelta(hours=1))
    wanted = host.post(at=START + timedelta(hours=1))
    host.post(vim25.UserLoginSessionEvent, at=START + timedelta(hours=2))
    spec = vim25.EventFilterSpec(eventTypeId=["GeneralUserEvent"])
    keys = [event.key async for event in events(host.context(), spec, since=START, follow=False)]
    assert keys == [wanted.key]
    assert spec.time is None, "the caller's filter is left as it is"
    spec.time = vim25.EventFilterSpecByTime(beginTime=START)
    assert [event.key async for event in events(host.context(), spec, follow=False)] == [wanted.key]


class Nowhere(tzinfo):
    def utcoffset(self, when: datetime | None) -> None:
        return None

    def dst(self, when: datetime | None) -> None:
        return None

    def tzname(self, when: datetime | None) -> str:
        return "nowhere"


@virtual
@pytest.mark.parametrize(
    "since",
    [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=Nowhere()), START.date(), "2026-01-01", 0],
)
async def test_what_is_not_a_point_in_time_is_refused(since: Any) -> None:
    with pytest.raises(UsageError, match="since must be a datetime with a time zone, got"):
        events(Host().context(), since=since)


@virtual
async def test_a_cursor_that_is_made_anew_begins_no_earlier_than_asked() -> None:
    host = Host()
    host.post(at=START - timedelta(seconds=5))
    wanted = host.post(at=START + timedelta(seconds=5))
    async with events(host.context(), since=START) as stream:
        found = aiter(stream)
        assert [wanted.key] == await take(found, 1)
        reader = asyncio.create_task(take(found, 1))
        await settle()
        host.expire()
        later = host.post(at=START + timedelta(seconds=9))
        assert [later.key] == await reader


@VERSIONS
@virtual
async def test_nothing_is_lost_or_repeated_when_sessions_end_and_replies_are_lost(
    version: str,
) -> None:
    host = Host(version)
    count = 0
    clock = START

    def reply(method: str, result: Any) -> None:
        nonlocal count
        if method == "ReadNextEvents" and result:
            count += 1
            if count % 3 == 0:  # the cursor has moved and nobody heard what it passed
                raise OutcomeUnknownError("no answer came", method=method) if count % 2 else lost()

    host.reply = reply
    seen: list[int] = []

    async def read() -> None:
        async for event in events(host.context()):
            seen.append(event.key)

    reader = asyncio.create_task(read())
    for n in range(200):
        clock += timedelta(seconds=n % 3)
        host.post(at=clock - timedelta(seconds=(n * 7) % 5))  # in no strict order
        if n % 9 == 0:
            host.expire()
        await asyncio.sleep(2.0 if n % 4 == 0 else 0)
    await asyncio.sleep(60)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert sorted(seen) == [event.key for event in host.events]
    assert len(seen) == len(set(seen))
    assert host.leftovers() == []


@virtual
async def test_a_host_whose_cursor_stops_is_read_by_its_latest_page() -> None:
    host = Host()
    host.post()

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> Any:
        return [] if method == "ReadNextEvents" and host.count(method) > 1 else None

    host.hook = hook
    async with events(host.context()) as stream:
        found = aiter(stream)
        await take(found, 1)
        reader = asyncio.create_task(take(found, 2))
        await settle()
        assert [host.post().key, host.post().key] == await reader


@virtual
async def test_a_host_that_is_away_at_first_or_keeps_no_events() -> None:
    host = Host()

    async def hook(method: str, this: object, args: Mapping[str, Any]) -> None:
        raise lost()

    host.hook = hook
    with pytest.raises(ConnectionLostError):
        await anext(aiter(events(host.context())))
    context = host.context()
    context.content.eventManager = None
    with pytest.raises(NotFoundError):
        await anext(aiter(events(context)))


@VERSIONS
@virtual
async def test_nothing_stays_behind_wherever_it_is_cancelled(version: str) -> None:
    host = Host(version)
    host.latency = 1.0
    host.post()

    async def work() -> None:
        async with events(host.context()) as stream:
            async for _ in stream:
                pass

    for step in range(40):
        task = asyncio.create_task(work())
        await asyncio.sleep(step / 2 + 0.25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert host.leftovers() == [], f"cancelled after {step / 2 + 0.25} s"


def test_memory_stays_bounded_and_forgets_only_what_cannot_come_again() -> None:
    host = Host()
    memory = Memory()
    made = [host.post(at=START + timedelta(seconds=n)) for n in range(10_000)]
    for at in range(0, 10_000, 100):
        assert memory.fresh(made[at : at + 100]) == made[at : at + 100]
    assert len(memory._seen) <= 2100
    begin = memory.resume_from()
    assert begin is not None
    assert memory.fresh([event for event in made if event.createdTime >= begin]) == []


def event(key: Any, at: Any) -> vim25.Event:
    """An event as the lenient decoder makes it, fields that the reply lacked included."""
    made = vim25.VmPoweredOnEvent(key=1, chainId=1, createdTime=START, userName="u", template=False)
    made.key, made.createdTime = key, at
    return made


@pytest.mark.parametrize(
    "times",
    [
        [datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)],
        [datetime(1, 1, 1, tzinfo=UTC), START],
        [datetime(1, 1, 1), None],
        [None, None, START],
    ],
    ids=["no time zone", "year 1", "year 1 and none", "no time"],
)
def test_events_with_odd_times_are_handed_on_once_and_in_order(times: list[Any]) -> None:
    memory = Memory()
    page = [event(key, at) for key, at in enumerate(times)]
    assert {found.key for found in memory.fresh(page)} == set(range(len(times)))
    assert memory.fresh(page) == []
    begin = memory.resume_from()
    assert begin is None or begin.tzinfo is not None


def test_events_without_a_key_are_handed_on() -> None:
    memory = Memory()
    assert len(memory.fresh([event(None, START), event(2, START)])) == 2


@virtual
async def test_a_filter_whose_begin_has_no_time_zone_is_refused() -> None:
    begin = START.replace(tzinfo=None)
    spec = vim25.EventFilterSpec(time=vim25.EventFilterSpecByTime(beginTime=begin))
    with pytest.raises(UsageError, match="since must be a datetime with a time zone"):
        events(Host().context(), spec)
