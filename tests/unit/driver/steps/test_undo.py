from __future__ import annotations

import asyncio

import pytest

from driver.steps.undo import Undo
from vimlib.errors import ConnectError


class Step:
    def __init__(self, log: list[str], name: str, error: Exception | None = None) -> None:
        self.log, self.name, self.error = log, name, error

    async def __call__(self) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.log.append(self.name)


async def test_steps_are_undone_in_reverse_and_the_error_stays() -> None:
    log: list[str] = []

    async def work() -> None:
        async with Undo(seconds=5) as undo:
            undo.push("a", Step(log, "a"))
            undo.push("b", Step(log, "b"))
            raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await work()
    assert log == ["b", "a"]


async def test_what_went_well_stays() -> None:
    log: list[str] = []
    async with Undo(seconds=5) as undo:
        undo.push("a", Step(log, "a"))
        undo.keep()
    assert log == []


async def test_leaving_without_keep_undoes() -> None:
    log: list[str] = []
    async with Undo(seconds=5) as undo:
        undo.push("a", Step(log, "a"))
    assert log == ["a"]


async def test_a_failing_way_back_hides_nothing_and_stops_nothing() -> None:
    log: list[str] = []
    undo = Undo(seconds=5)

    async def work() -> None:
        async with undo:
            undo.push("a", Step(log, "a"))
            undo.push("b", Step(log, "b", ConnectError("gone")))
            raise ValueError

    with pytest.raises(ValueError) as caught:
        await work()
    assert log == ["a"]
    assert undo.left_behind == ["b (gone)"]
    assert caught.value.__notes__ == ["Left behind: b (gone)"]


async def test_a_second_cancellation_waits_for_the_way_back() -> None:
    log: list[str] = []
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        reached.set()
        await go.wait()
        log.append("undone")

    async def work() -> None:
        async with Undo(seconds=5) as undo:
            undo.push("a", slow)
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["undone"]
