"""Run a coroutine once for each of its suspensions, and cancel or fail it there."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Report:
    """The results of the cancelled runs."""

    suspensions: int
    cancelled: int
    finished: int

    def __str__(self) -> str:
        return f"N={self.suspensions}, cancelled {self.cancelled}, finished first {self.finished}"


@dataclass(frozen=True)
class Failures:
    """The results of the runs with an injected failure."""

    suspensions: int
    runs: int
    ended: dict[str, int]
    """Names of the errors that the runs ended in, `done` for none, and how often."""

    @property
    def failed(self) -> int:
        return self.runs - self.ended.get("done", 0)

    def __str__(self) -> str:
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.ended.items()))
        return f"N={self.suspensions}, {self.runs} runs: {ends}"


_COUNTER: contextvars.ContextVar[_Counter | None] = contextvars.ContextVar("counter", default=None)
"""Of the attempt, for whatever tasks it starts; a server on the same loop has a context of its own."""


class _Counter:
    """Counts the suspensions of an attempt and the tasks that it starts, and cancels the attempt or injects a
    failure at chosen ones."""

    def __init__(self, *at: int, strike: Callable[[], None] | None = None) -> None:
        self.at = at
        self.strike = strike
        self.seen = 0
        self.target: asyncio.Task[Any] | None = None

    async def run(self, attempt: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        """Run an attempt to its end; return its task."""
        loop = asyncio.get_running_loop()
        before = loop.get_task_factory()
        context = contextvars.copy_context()
        context.run(_COUNTER.set, self)
        loop.set_task_factory(self._factory)
        try:
            self.target = loop.create_task(attempt(), context=context)
            await asyncio.wait([self.target])
        finally:
            loop.set_task_factory(before)
        return self.target

    def _factory(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **how: Any,
    ) -> asyncio.Task[Any]:
        context = how.get("context") or contextvars.copy_context()
        if context.get(_COUNTER) is not self:
            return asyncio.Task(coro, loop=loop, **how)

        async def outer() -> Any:
            return await self._drive(coro, loop)

        task = asyncio.Task(outer(), loop=loop, **how)
        # One that is cancelled before its first step never drives what is inside.
        task.add_done_callback(lambda _: coro.close())
        return task

    @types.coroutine
    def _drive(self, coro: Any, loop: asyncio.AbstractEventLoop) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                waited = coro.throw(error) if error is not None else coro.send(None)
            except StopIteration as stop:
                return stop.value
            error = None
            self.seen += 1
            if self.seen in self.at and self.target is not None and not self.target.done():
                if self.strike is not None:
                    self.strike()
                else:
                    loop.call_soon(self.target.cancel)
            try:
                yield waited
            except BaseException as exc:  # noqa: BLE001 - handed on into the coroutine
                error = exc


async def cancelled_at(
    attempt: Callable[[], Coroutine[Any, Any, Any]], *at: int
) -> tuple[bool, int]:
    """Run `attempt`, cancelled at these suspensions; return whether it ended by that, and how many it had.

    Suspensions of tasks that it starts count too. It may raise no other error.
    """
    counter = _Counter(*at)
    task = await counter.run(attempt)
    if task.cancelled():
        return True, counter.seen
    error = task.exception()
    if error is not None:
        raise AssertionError(f"cancelled at {at}, it raised {error!r}") from error
    return False, counter.seen


async def cancel_everywhere(
    attempt: Callable[[], Coroutine[Any, Any, Any]],
    check: Callable[[int], Awaitable[None]],
    *,
    every: int = 1,
    most: int = 2000,
) -> Report:
    """Run `attempt` once to count its suspensions, then once for each, cancelled there: see `cancelled_at`.

    `check(k)` runs after each and asserts that
    nothing is left. `every` selects each n-th only.
    """
    _, total = await cancelled_at(attempt)
    await check(0)
    assert 0 < total < most, f"{total} suspensions"
    cancelled = finished = 0
    for at in range(1, total + 1, every):
        was, _ = await cancelled_at(attempt, at)
        cancelled += was
        finished += not was
        await check(at)
    return Report(total, cancelled, finished)


async def fail_everywhere(
    attempt: Callable[[], Coroutine[Any, Any, Any]],
    strike: Callable[[], None],
    check: Callable[[int, BaseException | None], Awaitable[None]],
    *,
    typed: tuple[type[BaseException], ...],
    every: int = 1,
    most: int = 2000,
) -> Failures:
    """Run `attempt` once to count its suspensions, then once for each, with `strike()` there.

    The coroutine is suspended while `strike` runs, so the failure is complete when it resumes. It
    may still succeed, or raise one of `typed`; any other error fails. `check(k, error)` runs after
    each and asserts that nothing is left.
    """

    async def one(*at: int) -> tuple[BaseException | None, int]:
        counter = _Counter(*at, strike=strike)
        task = await counter.run(attempt)
        if task.cancelled():
            raise AssertionError(f"struck at {at}, it was cancelled by nobody")
        error = task.exception()
        if error is not None and not isinstance(error, typed):
            raise AssertionError(f"struck at {at}, it raised {error!r}") from error
        return error, counter.seen

    error, total = await one()
    assert error is None, f"unharmed, it raised {error!r}"
    await check(0, None)
    assert 0 < total < most, f"{total} suspensions"
    ended: dict[str, int] = {}
    runs = 0
    for at in range(1, total + 1, every):
        error, _ = await one(at)
        name = "done" if error is None else type(error).__name__
        ended[name] = ended.get(name, 0) + 1
        runs += 1
        await check(at, error)
    return Failures(total, runs, ended)
