from __future__ import annotations

import asyncio

import pytest

from vimdriver._journal import Entry, MemoryJournal, Uploading
from vimdriver._verbs import Rollback
from vimdriver.errors import JournalError
from vimlib.errors import ConnectError


class Step:
    def __init__(self, log: list[str], name: str, error: Exception | None = None) -> None:
        self.log, self.name, self.error = log, name, error

    async def __call__(self) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.log.append(self.name)


async def test_leaving_without_keep_undoes() -> None:
    log: list[str] = []
    async with Rollback(seconds=5) as rollback:
        rollback.push("a", Step(log, "a"))
    assert log == ["a"]


async def test_a_failing_undo_hides_nothing_and_stops_nothing() -> None:
    log: list[str] = []
    rollback = Rollback(seconds=5)

    async def work() -> None:
        async with rollback:
            rollback.push("a", Step(log, "a"))
            rollback.push("b", Step(log, "b", ConnectError("gone")))
            raise ValueError

    with pytest.raises(ValueError) as caught:
        await work()
    assert log == ["a"]
    assert rollback.left_behind == ["b (gone)"]
    assert caught.value.__notes__ == ["Left behind: b (gone)"]


async def test_a_second_cancellation_waits_for_the_rollback() -> None:
    log: list[str] = []
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        reached.set()
        await go.wait()
        log.append("undone")

    async def work() -> None:
        async with Rollback(seconds=5) as rollback:
            rollback.push("a", slow)
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


# -- with a journal ----------------------------------------------------------------------------------


def entry(path: str) -> Uploading:
    return Uploading(host="h", owner="o", path=path)


class Watched(MemoryJournal):
    """Says when it was asked to close what."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def done(self, token: str) -> None:
        self.log.append(f"done {token}")
        await super().done(token)


async def test_what_is_kept_or_undone_is_closed_and_what_is_left_is_not() -> None:
    log: list[str] = []
    journal = Watched(log)
    entries = [entry(str(n)) for n in range(3)]

    async def work() -> None:
        async with Rollback(seconds=5, journal=journal) as rollback:
            await rollback.begin("a", Step(log, "a"), entries[0])
            await rollback.begin("b", Step(log, "b", ConnectError("away")), entries[1])
            rollback.push("c", Step(log, "c"), token=entries[2].token)
            assert [e.token for e in journal.running] == [e.token for e in entries[:2]]
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await work()
    # First undone, then closed: whatever comes between is found by a sweep.
    assert log == ["c", f"done {entries[2].token}", "a", f"done {entries[0].token}"]
    assert await journal.abandoned() == (entries[1],)
    log.clear()
    async with Rollback(seconds=5, journal=journal) as rollback:
        await rollback.begin("d", Step(log, "d"), entries[0])
        rollback.keep()
    assert log == [f"done {entries[0].token}"]
    assert not journal.running


async def test_what_cannot_be_written_down_never_begins_and_is_not_undone() -> None:
    log: list[str] = []

    class Full(MemoryJournal):
        async def begin(self, entry: Entry) -> None:
            raise JournalError(path="journal", reason="no room")

    async def work() -> None:
        async with Rollback(seconds=5, journal=Full()) as rollback:
            await rollback.begin("a", Step(log, "a"), entry("a"))
            log.append("begun")

    with pytest.raises(JournalError):
        await work()
    assert log == []


async def test_an_undo_that_breaks_leaves_the_rest_to_a_sweep() -> None:
    log: list[str] = []
    journal = MemoryJournal()
    entries = [entry(str(n)) for n in range(2)]

    async def work() -> None:
        async with Rollback(seconds=5, journal=journal) as rollback:
            await rollback.begin("a", Step(log, "a"), entries[0])
            await rollback.begin("b", Step(log, "b", KeyError("a fault in here")), entries[1])
            raise ValueError

    with pytest.raises(KeyError):
        await work()
    assert not journal.running
    assert set(await journal.abandoned()) == set(entries)
