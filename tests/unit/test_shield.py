from __future__ import annotations

import asyncio

import pytest

from tests.rig import clock
from vimlib._shield import finish, settled, stopped


def test_the_work_ends_whatever_happens_to_its_caller() -> None:
    async def main() -> None:
        done = []

        async def work() -> int:
            await asyncio.sleep(1)
            done.append(1)
            return 7

        assert await finish(work()) == 7
        task = asyncio.create_task(finish(work()))
        for _ in range(5):
            await asyncio.sleep(0.1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == [1, 1]

    clock.run(main())


def test_the_grace_ends_it() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(finish(asyncio.sleep(1000), grace=5))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 5.9 < loop.time() < 6.1

    clock.run(main())


def test_its_own_failure_is_raised_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError("spoilt")

    async def main() -> None:
        with pytest.raises(ValueError, match="spoilt"):
            await finish(fail())
        task = asyncio.create_task(finish(fail(), what="this work"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    clock.run(main())
    assert "this work failed" in caplog.text


def test_a_timeout_around_it_counts_its_cancellations_right() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await finish(asyncio.sleep(3))
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    clock.run(main())


def test_a_result_that_no_caller_sees_is_undone() -> None:
    async def main() -> None:
        made = []

        async def make() -> str:
            await asyncio.sleep(1)
            made.append("thing")
            return "thing"

        async def undo(thing: str) -> None:
            await asyncio.sleep(1)
            made.remove(thing)

        assert await finish(make(), undo=undo) == "thing"
        assert made == ["thing"]
        task = asyncio.create_task(finish(make(), undo=undo))
        await cancelled_every(0.3, task)
        assert made == ["thing"]

    clock.run(main())


def test_futures_settle_however_often_the_caller_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError("spoilt")

    async def main() -> None:
        seen = []
        works = [asyncio.ensure_future(asyncio.sleep(2)), asyncio.ensure_future(fail())]
        waiting = settled(*works, on_cancel=lambda: seen.append(1))
        await cancelled_every(0.9, asyncio.create_task(waiting))
        assert [work.done() for work in works] == [True, True]
        assert seen == [1, 1]

    clock.run(main())
    assert caplog.text == ""


def test_a_stopped_task_has_ended_though_its_own_end_takes_long() -> None:
    async def main() -> None:
        async def stubborn() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(2)

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await cancelled_every(0.5, asyncio.create_task(stopped(task)))
        assert task.cancelled()

    clock.run(main())


async def cancelled_every(seconds: float, task: asyncio.Task[object]) -> None:
    """Cancel a task again and again until it has ended, by a cancellation."""
    while not task.done():
        await asyncio.sleep(seconds)
        task.cancel()
    assert task.cancelled()
