"""Event loops whose clocks run only when nobody is busy: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
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

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Join the threads, however long it takes: by this clock `timeout` is over at once."""
        await super().shutdown_default_executor()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine under the fake clock, in asyncio's debug mode off since it measures real time."""
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        return runner.run(work)


# Real seconds of silence on all sockets before the clock is moved: what one end of a loopback
# connection has written, the other end's kernel knows at once.
_QUIET = 0.005


class _Quiet(_Selector):
    """Moves the clock only when no socket has said anything for a while and no thread works."""

    loop: HostedClockLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = selectors.DefaultSelector.select(self, 0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.loop.busy():
            return selectors.DefaultSelector.select(self, 0.05)
        ready = selectors.DefaultSelector.select(self, _QUIET)
        if not ready and not self.loop.busy():
            self.loop.advance(timeout)
        return ready


class HostedClockLoop(FakeClockLoop):
    """A `FakeClockLoop` for code with real sockets, both ends of which are on this loop.

    Threads are waited for in real time: those of the loop itself, and those that `others` counts.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._threads = 0
        self.others: Callable[[], int] = lambda: 0
        selector = _Quiet()
        asyncio.SelectorEventLoop.__init__(self, selector)
        selector.loop = self

    def busy(self) -> bool:
        """Tell whether a thread is at work."""
        return self._threads > 0 or self.others() > 0

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        self._threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._one_less)
        return future

    def _one_less(self, _: object) -> None:
        self._threads -= 1


def run_hosted(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine under the fake clock of a `HostedClockLoop`."""
    with asyncio.Runner(loop_factory=HostedClockLoop) as runner:
        return runner.run(work)
