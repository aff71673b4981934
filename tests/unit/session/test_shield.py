from __future__ import annotations

import asyncio

import pytest

from tests.rig import clock
from vimlib._session.shield import finish


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
