"""One verb for many objects."""

from __future__ import annotations

import asyncio

import pytest

from vimdriver._verbs.many import for_each
from vimlib.errors import NotFoundError, UsageError


class Worked:
    """Counts how many work at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.go = asyncio.Event()

    async def act(self, name: str) -> str:
        self.begun.append(name)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        finally:
            self.now -= 1
        if name == "bad":
            raise NotFoundError("no such machine", kind="VirtualMachine")
        return name.upper()


@pytest.mark.parametrize("parallel", [1, 2, 5])
async def test_parallel_bounds_the_verbs_at_once_and_an_error_stops_no_other(parallel: int) -> None:
    worked = Worked()
    worked.go.set()
    found = await for_each(worked.act, ["a", "bad", "b"], parallel=parallel)
    assert worked.most <= parallel
    assert (found["a"], found["b"]) == ("A", "B")
    assert isinstance(found["bad"], NotFoundError)
    assert list(found) == ["a", "bad", "b"]


async def test_cancelling_cancels_those_at_work_and_begins_no_other() -> None:
    worked = Worked()
    task = asyncio.create_task(for_each(worked.act, "abcd", parallel=2))
    while len(worked.begun) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert worked.begun == worked.cancelled == ["a", "b"]


async def test_at_least_one_at_a_time() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        await for_each(Worked().act, "a", parallel=0)
