"""The bridge from threads to asyncio, for programs that are not coroutines.

A `LoopThread` owns one thread with one event loop. Any number of other threads hand it coroutines
and wait for their results::

    with LoopThread() as loop, loop.context(vimlib.connect(url, user, password)) as client:
        for row in loop.iterate(client.collect(vim25.VirtualMachine, "name")):
            print(row["name"])

All that belongs to one loop, as clients do, is used with the same `LoopThread`. Nothing is kept for
each thread: a call takes the caller's context variables with it, and all else is passed as
arguments. Coroutines use `vimlib` directly.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from vimlib._shield import stopped
from vimlib.errors import ClosedError, DeadlineError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

__all__ = ["LoopThread"]

T = TypeVar("T")
_END: Final = object()


class LoopThread:
    """An event loop in a thread of its own. Its methods are for other threads, any number at once.

    The thread starts with the first call. `close`, or the end of a ``with`` block, cancels what
    still runs, waits for its end, and joins the thread.

    Args:
        name: The thread's name.
        loop_factory: Makes the event loop.
    """

    def __init__(
        self,
        name: str = "vimlib-loop",
        *,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        self.name = name
        self._loop_factory = loop_factory
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        # From here on all belongs to the loop's thread.
        self._stop = asyncio.Event()
        self._running: set[asyncio.Task[Any]] = set()
        self._held: list[asyncio.Task[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, work: Awaitable[T], *, timeout: float | None = None) -> T:
        """Run a coroutine in the loop, and return its result or raise its error.

        After `timeout` seconds, and if the waiting thread is interrupted (Ctrl-C), the work is
        cancelled, and this returns when it has ended: verbs of the driver undo their steps first.
        A second interrupt does not wait for that.

        Raises:
            DeadlineError: `timeout` has passed.
            ClosedError: The loop is closed, also while the work runs.
            UsageError: This is the loop's own thread, which would wait for itself.
        """
        done: Future[T] = Future()
        submitted = _Work(_within(work, timeout), done, inner=work)
        try:
            self._submit(submitted)
            return _result(done)
        except BaseException:
            self._interrupted(submitted, done)
            raise

    @contextmanager
    def context(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter an asynchronous context manager, and leave it at the end of the block.

        It gets the block's exception. One task enters and leaves it, so that it may hold a task group
        or a timeout. `close` cancels that task, after all other work and in the reverse order of
        entry. The thread that ends the block waits until it is left.

        Raises:
            ClosedError: The loop is closed, also within the block.
            UsageError: This is the loop's own thread.
        """
        entered: Future[T] = Future()
        left: Future[bool] = Future()
        leaving = _Leaving()
        # Whatever ends the task before the context is entered is the outcome of entering.
        left.add_done_callback(lambda ended: _pass_on(ended, entered))
        submitted = _Work(_hold(manager, entered, leaving), left)
        try:
            self._submit(submitted, held=True)
            value = _result(entered)
            try:
                yield value
            except BaseException as error:
                with suppress(ClosedError):  # it is left already
                    self._call(leaving.leave, error)
                    if _result(left):
                        return
                raise
            self._call(leaving.leave, None)
            _result(left)
        except BaseException:
            self._interrupted(submitted, left)
            raise

    def iterate(self, source: AsyncIterable[T]) -> Iterator[T]:
        """Iterate over an asynchronous iterable. One item is requested at a time.

        The iterable is closed (`aclose`) when the loop over it ends in any way.
        """
        iterator = aiter(source)

        async def step() -> Any:
            return await anext(iterator, _END)

        try:
            while (item := self.run(step())) is not _END:
                yield item
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                self.run(close())

    def close(self) -> None:
        """Cancel what runs, wait for its end, and join the thread. Safe to call twice.

        Raises:
            UsageError: This is the loop's own thread.
        """
        self._refuse_own_thread()
        with self._lock:
            if not self._closed and self._loop is not None:
                self._loop.call_soon_threadsafe(self._stop.set)
            self._closed = True
        self._join()

    def _submit(self, work: _Work, *, held: bool = False) -> None:
        """Start work in the loop. Work is started in the order of the calls.

        An interrupt may come after it was passed to the loop: the caller cancels it then.
        """
        context = contextvars.copy_context()
        try:
            self._refuse_own_thread()
            self._call(self._start, work, held, context=context)
        except Exception as error:
            work.refuse(error)
            raise

    def _start(self, work: _Work, held: bool) -> None:
        task = work.start()
        if held:
            self._held.append(task)
            task.add_done_callback(self._held.remove)
        else:
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _interrupted(self, work: _Work, done: Future[Any]) -> None:
        """Cancel work whose thread was interrupted, and wait for its end; it may have ended."""
        if done.done():
            return
        try:
            self._call(work.cancel)
        except ClosedError:
            # The end of the loop cancels what has begun.
            self._join()
            if not done.done():
                work.refuse(ClosedError(f"the loop thread {self.name!r} is closed"))
        with suppress(Exception):
            _result(done)

    def _call(
        self,
        function: Callable[..., object],
        *args: object,
        context: contextvars.Context | None = None,
    ) -> None:
        with self._lock:
            if self._closed:
                raise ClosedError(f"the loop thread {self.name!r} is closed")
            if self._loop is None:
                self._loop, self._thread = self._started()
            self._loop.call_soon_threadsafe(function, *args, context=context)

    def _started(self) -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        """Start the loop in its thread."""
        runner = asyncio.Runner(loop_factory=self._loop_factory)
        # A program that ends without `close` does not wait for it.
        thread = threading.Thread(target=self._serve, args=(runner,), name=self.name, daemon=True)
        loop = runner.get_loop()
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            runner.close()
            raise
        return loop, thread

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _serve(self, runner: asyncio.Runner) -> None:
        with runner:  # cancels what clients left behind, and joins the threads of its executor
            with self._lock:
                if self._loop is not runner.get_loop():
                    return  # the caller was interrupted as it started this thread
            try:
                runner.run(self._until_stopped())
            finally:
                # A task of a client may have ended the loop, by SystemExit.
                with self._lock:
                    self._closed = True

    async def _until_stopped(self) -> None:
        await self._stop.wait()
        await stopped(*self._running)
        while self._held:
            await stopped(self._held[-1])

    def _refuse_own_thread(self) -> None:
        if self._thread is threading.current_thread():
            raise UsageError(
                f"the thread {self.name!r} cannot wait for itself",
                hint="Coroutines await; only other threads use a LoopThread.",
            )


class _Work:
    """A coroutine for the loop, and the `Future` that gets its outcome when it has ended."""

    def __init__(
        self, work: Coroutine[Any, Any, T], done: Future[T], *, inner: Awaitable[T] | None = None
    ) -> None:
        self._work = work
        self._done = done
        self._inner = inner
        self._task: asyncio.Task[Any] | None = None
        self._exit: BaseException | None = None

    def start(self) -> asyncio.Task[Any]:
        """Start the work as a task and return it; runs in the thread of the loop."""
        self._task = asyncio.create_task(self._guarded())
        self._task.add_done_callback(self._ended)
        return self._task

    async def _guarded(self) -> Any:
        try:
            return await self._work
        except (KeyboardInterrupt, SystemExit) as error:
            # A task that raises them ends the loop, with the work of all other threads.
            self._exit = error

    def cancel(self) -> None:
        """Cancel it, begun or not. In the loop."""
        if self._task is not None:
            self._task.cancel()
        elif not self._done.done():
            self.refuse(asyncio.CancelledError())

    def refuse(self, error: BaseException) -> None:
        """End work that has not begun."""
        self.discard()
        self._done.set_exception(error)

    def discard(self) -> None:
        """Close coroutines that may never have begun; one that has ended stays as it is."""
        self._work.close()
        if isinstance(self._inner, Coroutine):
            self._inner.close()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.discard()
        if task.cancelled():
            self._done.set_exception(asyncio.CancelledError())
        elif (error := self._exit or task.exception()) is not None:
            self._done.set_exception(error)
        else:
            self._done.set_result(task.result())


class _Leaving:
    """The order to leave a context. In the loop."""

    def __init__(self) -> None:
        self._order: asyncio.Future[BaseException | None] | None = None

    async def ordered(self) -> BaseException | None:
        """Wait for the order; return the exception to leave with."""
        self._order = asyncio.get_running_loop().create_future()
        return await self._order

    def leave(self, error: BaseException | None) -> None:
        """Give the order."""
        if self._order is not None and not self._order.done():
            self._order.set_result(error)


async def _hold(
    manager: AbstractAsyncContextManager[T], entered: Future[T], leaving: _Leaving
) -> bool:
    """Enter, wait for the order, leave; return whether the manager swallowed the exception."""
    error: BaseException | None = None
    async with manager as value:
        entered.set_result(value)
        error = await leaving.ordered()
        if error is not None:
            raise error
    return error is not None


def _pass_on(ended: Future[bool], entered: Future[Any]) -> None:
    if not entered.done():
        error = ended.exception()
        assert error is not None  # a block that was not entered has failed
        entered.set_exception(error)


async def _within(work: Awaitable[T], timeout: float | None) -> T:
    try:
        async with asyncio.timeout(timeout) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineError(
            f"the work must finish within {timeout:g} s",
            phase="blocking call",
            seconds=timeout or 0.0,
            rule="timeout",
        ) from None


def _result(done: Future[T]) -> T:
    """Wait for an outcome. Raises `ClosedError` where the loop's end cancelled the work."""
    try:
        return done.result()
    except asyncio.CancelledError:
        raise ClosedError("the work was cancelled, as by the end of its loop thread") from None
    finally:
        del done  # the traceback of its error would keep it
