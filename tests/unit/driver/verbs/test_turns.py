"""Verbs that work on one object go one after another."""

from __future__ import annotations

import asyncio

import pytest

from vimdriver._verbs.turns import Turns


async def work(turns: Turns[str], key: str, name: str, log: list[str], first: bool = False) -> None:
    await turns.take(key, first=first)
    try:
        log.append(f"{name} begins")
        await asyncio.sleep(0)
        log.append(f"{name} ends")
    finally:
        turns.give(key)


def began(log: list[str]) -> list[str]:
    return [text.partition(" ")[0] for text in log if text.endswith("begins")]


async def test_one_object_is_worked_on_in_the_order_of_the_calls() -> None:
    turns: Turns[str] = Turns()
    log: list[str] = []
    await asyncio.gather(*[work(turns, "vm", name, log) for name in "abcd"])
    assert log == [f"{name} {what}" for name in "abcd" for what in ("begins", "ends")]
    assert len(turns) == 0


async def test_different_objects_are_worked_on_at_the_same_time() -> None:
    turns: Turns[str] = Turns()
    log: list[str] = []
    await asyncio.gather(*[work(turns, name, name, log) for name in "ab"])
    assert log == ["a begins", "b begins", "a ends", "b ends"]


async def test_a_first_turn_waits_for_the_running_one_alone() -> None:
    turns: Turns[str] = Turns()
    log: list[str] = []
    tasks = [asyncio.create_task(work(turns, "vm", name, log)) for name in "abc"]
    tasks.append(asyncio.create_task(work(turns, "vm", "destroy", log, first=True)))
    await asyncio.gather(*tasks)
    assert began(log) == ["a", "destroy", "b", "c"]


@pytest.mark.parametrize("rounds", range(4))
async def test_a_cancelled_wait_gives_its_turn_up_at_any_moment(rounds: int) -> None:
    turns: Turns[str] = Turns()
    log: list[str] = []
    tasks = [asyncio.create_task(work(turns, "vm", name, log)) for name in "abc"]
    for _ in range(rounds):
        await asyncio.sleep(0)
    tasks[1].cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in ended} <= {type(None), asyncio.CancelledError}
    assert [name for name in began(log) if name != "b"] == ["a", "c"]
    assert len(turns) == 0


async def test_a_wait_that_is_cancelled_right_before_the_turn_ends_is_passed_over() -> None:
    turns: Turns[str] = Turns()
    await turns.take("vm")
    cancelled, following = (asyncio.create_task(turns.take("vm")) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    turns.give("vm")
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await following
    turns.give("vm")
    assert len(turns) == 0
