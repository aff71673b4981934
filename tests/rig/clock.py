"""An event loop whose clock runs only when nobody is busy: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Waits for no timer: where the loop would sleep, its clock is moved."""

    loop: FakeClockLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # No timer at all: only a thread or a socket can go on.
            return super().select(1.0)
        self.loop.advance(timeout)
        return ready


class FakeClockLoop(asyncio.SelectorEventLoop):
    """`time()` starts at 0 and jumps from timer to timer. For code without real sockets."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock; also what a suspended machine looks like."""
        self._now += seconds


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine under the fake clock, in asyncio's debug mode off since it measures real time."""
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        return runner.run(work)
