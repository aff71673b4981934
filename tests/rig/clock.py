"""Event loops whose clocks advance only when everything is idle: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Does not wait for timers: instead of sleeping, it advances the clock of the loop."""

    loop: FakeClockLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            # No timer is pending: only a thread or a socket can continue.
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
        """Advance the clock; to the loop, a suspended machine looks the same."""
        self._now += seconds

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Join the threads, however long it takes: on this clock `timeout` would expire at once."""
        await super().shutdown_default_executor()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine under the fake clock, without asyncio's debug mode, which measures real
    time."""
    with asyncio.Runner(loop_factory=FakeClockLoop) as runner:
        return runner.run(work)


# Real seconds without activity on any socket before the clock advances: bytes written at one end of
# a loopback connection reach the kernel of the other end at once.
_QUIET = 0.005


class _Quiet(_Selector):
    """Advances the clock only when no socket was active for a while and no thread works."""

    loop: HostedClockLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = selectors.DefaultSelector.select(self, 0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.loop.busy():
            return selectors.DefaultSelector.select(self, 0.05)
        ready = selectors.DefaultSelector.select(self, self.loop.quiet)
        if not ready and not self.loop.busy():
            self.loop.advance(timeout)
        return ready


class HostedClockLoop(FakeClockLoop):
    """A `FakeClockLoop` for code with real sockets, both ends of which are on this loop.

    It waits in real time for threads: those of the loop itself, and those that `others` counts.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._threads = 0
        self.quiet = _QUIET
        self.others: Callable[[], int] = lambda: 0
        selector = _Quiet()
        asyncio.SelectorEventLoop.__init__(self, selector)
        selector.loop = self

    def advance(self, seconds: float) -> None:
        """Advance the clock, and by a little more: real time never stops just before a timer."""
        super().advance(seconds + 1e-6)

    def busy(self) -> bool:
        """Return whether a thread is working."""
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
