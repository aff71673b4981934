"""All connections to a host are within one limit, whatever they are for, and nobody starves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rig import clock
from vimlib._transport.budget import KINDS, LEAST, ConnectionBudget, Kind, urgent
from vimlib.errors import ClosedError, UsageError

SECONDS: dict[Kind, float] = {"call": 1.0, "transfer": 3600.0, "poll": 20.0}


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def work() -> None:
        await main()

    clock.run(work())


async def use(budget: ConnectionBudget, kind: Kind, served: list[str], name: str = "") -> None:
    await budget.acquire(kind)
    served.append(name or kind)
    try:
        await asyncio.sleep(SECONDS[kind])
    finally:
        budget.release(kind)


@pytest.mark.parametrize("limit", [0, 1, LEAST - 1])
def test_each_kind_needs_a_connection(limit: int) -> None:
    with pytest.raises(UsageError, match="at least 3"):
        ConnectionBudget(limit)


@pytest.mark.parametrize("limit", [LEAST, 4, 8, 32, 100])
def test_what_lasts_leaves_a_share_to_calls_and_to_each_other(limit: int) -> None:
    for lasting, other in (("transfer", "poll"), ("poll", "transfer")):
        budget = ConnectionBudget(limit)
        while budget.take(lasting):  # type: ignore[arg-type]
            pass
        assert budget.take(other)  # type: ignore[arg-type]
        assert budget.take("call")
        while budget.take("call"):
            pass
        assert budget.total == limit


@given(
    limit=st.integers(LEAST, 12),
    work=st.lists(
        st.tuples(st.sampled_from(KINDS), st.booleans(), st.floats(0, 60), st.booleans()),
        max_size=80,
    ),
)
def test_the_limit_holds_and_everybody_is_served(
    limit: int, work: list[tuple[Kind, bool, float, bool]]
) -> None:
    async def main() -> None:
        budget = ConnectionBudget(limit)
        served = cancelled = 0

        async def worker(kind: Kind, late: bool, at: float) -> None:
            nonlocal served
            await asyncio.sleep(at)
            if late:
                await budget.acquire(kind)
            else:
                with urgent():
                    await budget.acquire(kind)
            try:
                assert budget.total <= limit
                # A transfer makes calls before it ends: it must never wait for another transfer.
                if kind == "transfer":
                    await budget.acquire("call")
                    try:
                        await asyncio.sleep(0.5)
                    finally:
                        budget.release("call")
                await asyncio.sleep(SECONDS[kind])
                served += 1
            finally:
                budget.release(kind)

        tasks = [asyncio.create_task(worker(*each[:3])) for each in work]
        await asyncio.sleep(30)
        for task, each in zip(tasks, work, strict=True):
            if each[3] and not task.done():
                task.cancel()
                cancelled += 1
        await asyncio.gather(*tasks, return_exceptions=True)
        assert served + cancelled >= len(work)
        assert budget.total == budget.waiting == 0

    run(main)


def test_who_waits_longest_is_served_first_whatever_it_waits_for() -> None:
    async def main() -> None:
        budget = ConnectionBudget(4)
        for _ in range(4):
            assert budget.take("call")
        served: list[str] = []
        order: list[Kind] = ["poll", "call", "transfer", "call", "poll"]
        tasks = []
        for number, kind in enumerate(order):
            tasks.append(asyncio.create_task(use(budget, kind, served, f"{number} {kind}")))
            await asyncio.sleep(0.1)
        for _ in range(4):
            budget.release("call")
            await asyncio.sleep(0.1)
        assert served == ["0 poll", "1 call", "2 transfer", "3 call"]
        await asyncio.gather(*tasks)

    run(main)


def test_transfers_that_wait_hold_up_no_call_and_no_poll() -> None:
    async def main() -> None:
        budget = ConnectionBudget(32)
        served: list[str] = []
        tasks = [asyncio.create_task(use(budget, "transfer", served)) for _ in range(100)]
        await asyncio.sleep(1)
        assert served == ["transfer"] * 20
        for kind in ("call", "poll"):
            await asyncio.wait_for(use(budget, kind, served), 30)
        assert len(served) == 22
        await asyncio.gather(*tasks)

    run(main)


def test_an_urgent_call_goes_before_all_that_wait() -> None:
    async def main() -> None:
        budget = ConnectionBudget(3)
        for _ in range(3):
            assert budget.take("call")
        served: list[str] = []
        tasks = [asyncio.create_task(use(budget, "call", served, "spawn")) for _ in range(10)]
        await asyncio.sleep(1)
        with urgent():
            tasks.append(asyncio.create_task(use(budget, "call", served, "destroy")))
            # A transfer of the same block waits in turn.
            tasks.append(asyncio.create_task(use(budget, "transfer", served, "its transfer")))
        await asyncio.sleep(1)
        for _ in range(3):
            budget.release("call")
        await asyncio.gather(*tasks)
        assert served[0] == "destroy"
        assert served[-1] == "its transfer"

    run(main)


def test_a_queue_that_does_not_move_is_left_after_a_while() -> None:
    async def main() -> None:
        budget = ConnectionBudget(3)
        assert budget.take("transfer")
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(budget.acquire("transfer", patience=100))
        await asyncio.sleep(60)
        other = asyncio.create_task(budget.acquire("transfer", patience=100))
        await asyncio.sleep(1)
        budget.release("transfer")  # it moves: whoever waits begins its wait again
        await waiting
        with pytest.raises(TimeoutError):
            await other
        assert loop.time() == pytest.approx(260, abs=1)
        assert (budget.total, budget.waiting) == (1, 0)

    run(main)


@pytest.mark.parametrize("ticks", range(4))
def test_cancelling_passes_the_turn_on(ticks: int) -> None:
    async def main() -> None:
        budget = ConnectionBudget(3)
        for _ in range(3):
            assert budget.take("call")
        doomed = asyncio.create_task(budget.acquire("call"))
        waiting = asyncio.create_task(budget.acquire("call"))
        await asyncio.sleep(1)
        budget.release("call")
        for _ in range(ticks):
            await asyncio.sleep(0)
        doomed.cancel()
        if not (await asyncio.gather(doomed, return_exceptions=True))[0]:
            budget.release("call")
        await asyncio.wait_for(waiting, 1)
        assert (budget.total, budget.waiting) == (3, 0)

    run(main)


def test_closing_refuses_who_waits_and_who_comes() -> None:
    async def main() -> None:
        budget = ConnectionBudget(3)
        for _ in range(3):
            assert budget.take("call")
        waiting = [asyncio.create_task(budget.acquire(kind)) for kind in KINDS]
        await asyncio.sleep(1)
        budget.close()
        for task in waiting:
            with pytest.raises(ClosedError):
                await task
        with pytest.raises(ClosedError):
            await budget.acquire("call")
        assert budget.total == 3

    run(main)
