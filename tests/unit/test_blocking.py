"""The bridge from threads to asyncio. Its threads are real; they meet by futures, not by waiting."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from tests.rig.clock import FakeClockLoop
from tests.rig.login import connected
from vimlib import vim25
from vimlib.blocking import LoopThread
from vimlib.errors import ClosedError, DeadlineError, UsageError
from vimlib.simulator import ESXHost


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    with LoopThread() as thread:
        yield thread
    assert not [one for one in threading.enumerate() if one.name == thread.name]


class Stalled:
    """A coroutine that ends by cancellation only."""

    def __init__(self) -> None:
        self.began: Future[None] = Future()
        self.cancelled = False

    async def __call__(self) -> None:
        self.began.set_result(None)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # as an undo, which takes some turns of the loop
            self.cancelled = True
            raise


async def value() -> int:
    return 7


def test_a_call_returns_the_coroutines_result(loop: LoopThread) -> None:
    assert loop.run(value()) == 7


def test_a_call_raises_the_coroutines_error(loop: LoopThread) -> None:
    async def fail() -> None:
        raise LookupError("nothing here")

    with pytest.raises(LookupError, match="nothing here"):
        loop.run(fail())


def test_all_threads_share_one_loop_and_one_thread(loop: LoopThread) -> None:
    async def where() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
        return asyncio.get_running_loop(), threading.current_thread()

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: loop.run(where()), range(64)))
    assert len(found) == 1


def test_calls_of_threads_run_at_the_same_time(loop: LoopThread) -> None:
    async def make() -> asyncio.Barrier:
        return asyncio.Barrier(8)

    barrier = loop.run(make())
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: loop.run(barrier.wait()), range(8))) == set(range(8))


def test_nothing_starts_before_the_first_call() -> None:
    before = threading.active_count()
    unused = LoopThread()
    assert threading.active_count() == before
    unused.close()


def test_the_callers_context_variables_go_with_the_call(loop: LoopThread) -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")

    async def seen() -> str:
        before = request.get()
        request.set("changed by the work")
        return before

    request.set("req-1")
    assert loop.run(seen()) == "req-1"
    assert request.get() == "req-1"


def test_a_deadline_cancels_the_work_and_waits_for_its_end() -> None:
    stalled = Stalled()
    with (
        LoopThread(loop_factory=FakeClockLoop) as loop,
        pytest.raises(DeadlineError, match="must finish within 3600 s") as caught,
    ):
        loop.run(stalled(), timeout=3600)
    assert stalled.cancelled
    assert caught.value.seconds == 3600


def test_a_timeout_of_the_work_itself_is_raised_unchanged(loop: LoopThread) -> None:
    async def slow() -> None:
        raise TimeoutError("the work's own")

    with pytest.raises(TimeoutError, match="the work's own") as caught:
        loop.run(slow(), timeout=60)
    assert not isinstance(caught.value, DeadlineError)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, also in a process that a shell started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_of_the_waiting_thread_cancels_the_work(loop: LoopThread) -> None:
    stalled = Stalled()
    main = threading.main_thread().ident
    assert main is not None
    stalled.began.add_done_callback(lambda _: signal.pthread_kill(main, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        loop.run(stalled())
    assert stalled.cancelled


def test_an_interrupt_before_the_work_is_handed_over_leaves_no_coroutine_unawaited() -> None:
    attempts = []

    def make() -> asyncio.AbstractEventLoop:
        attempts.append(True)
        if len(attempts) == 1:
            raise KeyboardInterrupt
        return asyncio.new_event_loop()

    with LoopThread(loop_factory=make) as loop:
        with pytest.raises(KeyboardInterrupt):
            loop.run(value())
        assert loop.run(value()) == 7


def test_a_thread_that_cannot_start_is_tried_again(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            loop.run(value())
    assert loop.run(value()) == 7


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_work_that_ends_the_program_ends_only_its_own_call(
    loop: LoopThread, error: type[BaseException]
) -> None:
    async def leave() -> None:
        raise error

    with pytest.raises(error):
        loop.run(leave())
    assert loop.run(value()) == 7


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_ended_by_a_task_of_the_work_is_closed() -> None:
    async def leave() -> None:
        raise SystemExit

    async def begin() -> None:
        await asyncio.create_task(leave())

    with LoopThread() as loop:
        with pytest.raises(ClosedError):
            loop.run(begin())
        with pytest.raises(ClosedError):
            loop.run(value())


def test_closing_ends_work_that_another_thread_waits_for() -> None:
    stalled = Stalled()
    loop = LoopThread()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(loop.run, stalled())
        stalled.began.result()
        loop.close()
        with pytest.raises(ClosedError):
            waiting.result()
    assert stalled.cancelled


def test_a_closed_loop_refuses_work_and_leaves_no_coroutine_unawaited() -> None:
    loop = LoopThread()
    loop.run(value())
    loop.close()
    loop.close()
    with pytest.raises(ClosedError, match="'vimlib-loop' is closed"):
        loop.run(value())


def test_the_loops_own_thread_may_not_wait_for_itself(loop: LoopThread) -> None:
    async def nested() -> None:
        loop.run(value())

    with pytest.raises(UsageError, match="cannot wait for itself"):
        loop.run(nested())

    async def close() -> None:
        loop.close()

    with pytest.raises(UsageError, match="cannot wait for itself"):
        loop.run(close())


class Context:
    """Remembers in which order contexts were entered and left, and with what."""

    def __init__(self, swallows: type[BaseException] | tuple[()] = ()) -> None:
        self.seen: list[object] = []
        self.swallows = swallows

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[str]:
        self.seen.append(f"enter {name}")
        try:
            # Fails where another task leaves than entered.
            async with asyncio.timeout(None):
                yield name
        except BaseException as error:
            self.seen.append(type(error))
            if not isinstance(error, self.swallows):
                raise
        finally:
            self.seen.append(f"leave {name}")


def test_a_context_is_entered_and_left_around_the_block(loop: LoopThread) -> None:
    context = Context()
    with loop.context(context.of("a")) as name:
        assert name == "a"
        assert context.seen == ["enter a"]
    assert context.seen == ["enter a", "leave a"]


def test_a_context_gets_the_blocks_exception(loop: LoopThread) -> None:
    context = Context()
    with pytest.raises(ZeroDivisionError), loop.context(context.of("a")):
        _ = 1 / 0
    assert context.seen == ["enter a", ZeroDivisionError, "leave a"]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_contexts_get_what_ends_the_program(loop: LoopThread, error: type[BaseException]) -> None:
    context = Context()
    with pytest.raises(error), loop.context(context.of("a")), loop.context(context.of("b")):
        raise error
    assert context.seen == ["enter a", "enter b", error, "leave b", error, "leave a"]
    assert loop.run(value()) == 7


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_while_a_context_is_left_waits_for_its_end(loop: LoopThread) -> None:
    main = threading.main_thread().ident
    assert main is not None
    ended = []

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        yield
        signal.pthread_kill(main, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(KeyboardInterrupt), loop.context(slow()):
        pass
    assert ended == [True]


def test_a_context_may_swallow_the_blocks_exception(loop: LoopThread) -> None:
    context = Context(swallows=ZeroDivisionError)
    with loop.context(context.of("a")):
        _ = 1 / 0
    assert context.seen == ["enter a", ZeroDivisionError, "leave a"]


def test_a_context_that_cannot_be_entered_raises_its_error(loop: LoopThread) -> None:
    @asynccontextmanager
    async def refused(reason: str) -> AsyncIterator[None]:
        if reason:
            raise PermissionError(reason)
        yield

    with pytest.raises(PermissionError, match="by rule"), loop.context(refused("by rule")):
        pytest.fail("the block ran")


def test_an_error_of_leaving_is_raised(loop: LoopThread) -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        yield
        raise OSError("cannot log out")

    with pytest.raises(OSError, match="cannot log out"), loop.context(broken()):
        pass


def test_closing_ends_work_before_contexts_and_the_last_context_first() -> None:
    context = Context()
    loop = LoopThread()

    async def work() -> None:
        began.set_result(None)
        try:
            await asyncio.Event().wait()
        finally:
            context.seen.append("work ended")

    began: Future[None] = Future()
    with ThreadPoolExecutor(1) as pool:

        def hold() -> None:
            with loop.context(context.of("a")), loop.context(context.of("b")):
                loop.run(work())

        holding = pool.submit(hold)
        began.result()
        loop.close()
        with pytest.raises(ClosedError):
            holding.result()
    cancelled = asyncio.CancelledError
    assert context.seen == ["enter a", "enter b", "work ended",
                            cancelled, "leave b", cancelled, "leave a"]  # fmt: skip


def test_an_iterable_is_closed_when_its_loop_is_left(loop: LoopThread) -> None:
    ended = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(5):
                yield number
        finally:
            ended.append(True)

    assert list(loop.iterate(numbers())) == [0, 1, 2, 3, 4]
    for number in (items := loop.iterate(numbers())):
        if number == 1:
            break
    items.close()  # type: ignore[attr-defined]
    assert ended == [True, True]


async def test_a_thread_uses_a_client(esx_host: ESXHost) -> None:
    def work() -> list[str]:
        with LoopThread() as loop, loop.context(connected(esx_host)) as client:
            rows = loop.iterate(client.collect(vim25.HostSystem, "name"))
            return [row["name"] for row in rows]

    assert len(await asyncio.to_thread(work)) == 1
    assert esx_host.call_log[-1].method == "Logout"
