from __future__ import annotations

import asyncio

import pytest

from vimlib.simulator._core.clock import ManualClock, SystemClock, wait_for


async def test_a_manual_clock_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock()
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(clock.monotonic())

    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3, 1, 2)]
    await asyncio.sleep(0)
    await clock.advance(0.5)
    assert woken == []
    await clock.advance(2)
    assert woken == [1, 2]
    await clock.advance(10)
    assert woken == [1, 2, 3]
    await asyncio.gather(*tasks)


async def test_a_sleeper_that_sleeps_again_is_woken_in_the_same_advance() -> None:
    clock = ManualClock()
    times: list[float] = []

    async def tick() -> None:
        for _ in range(3):
            await clock.sleep(1)
            times.append(clock.monotonic())

    task = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await clock.advance(5)
    assert times == [1, 2, 3]
    await task


async def test_a_cancelled_sleeper_is_no_harm() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    task.cancel()
    await clock.advance(2)
    assert task.cancelled()


async def test_the_time_of_day_goes_along() -> None:
    clock = ManualClock()
    before = clock.now()
    await clock.advance(90)
    assert (clock.now() - before).total_seconds() == 90


@pytest.mark.parametrize("manual", [True, False])
async def test_waiting_for_an_event(manual: bool) -> None:
    clock = ManualClock() if manual else SystemClock()
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await wait_for(clock, event, 10)
    assert await wait_for(clock, event, None)


async def test_waiting_ends_with_the_time() -> None:
    clock = ManualClock()
    event = asyncio.Event()
    task = asyncio.create_task(wait_for(clock, event, 5))
    await asyncio.sleep(0)
    await clock.advance(4)
    assert not task.done()
    await clock.advance(2)
    assert await task is False
    assert await wait_for(SystemClock(), event, 0) is False
