"""A test's own event loop, whose clock jumps: an hour of waiting takes no time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class VirtualLoop(asyncio.SelectorEventLoop):
    """When nothing is ready, the clock goes to the next timer. No timer at all is a deadlock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and not self._stopping:  # type: ignore[attr-defined]
            timers = [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
            if not timers:
                raise RuntimeError("deadlock: every task waits and no timer runs")
            self.now = max(self.now, min(timer.when() for timer in timers))
        super()._run_once()  # type: ignore[misc]


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine test on a `VirtualLoop`; it must leave no task behind."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def checked() -> None:
            await test(*args, **kwargs)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks left running: {left}"

        with asyncio.Runner(loop_factory=VirtualLoop, debug=False) as runner:
            runner.run(checked())

    return run


async def settle(rounds: int = 20) -> None:
    """Let everything run that can run without the clock."""
    for _ in range(rounds):
        await asyncio.sleep(0)
