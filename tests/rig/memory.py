"""TCP in memory, on an event loop whose clock jumps: deterministic, without sockets or threads.

Code under test uses the loop as ever: name resolution, `sock_connect`, `create_connection` and
`create_server` lead to connections that are two `End`s in this process. Work for threads runs at once,
in the loop's own, so that a case is the same each time.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import itertools
import os
import socket
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from tests.rig.clock import FakeClockLoop

T = TypeVar("T")

# Bytes that are under way in one direction while the receiver does not read, as in a kernel.
_WINDOW = 1 << 13


# Virtual seconds after which a case can only wait for ever.
_LONGEST = 50_000


class Stuck(Exception):
    """The case does not end: nothing can happen any more, or only timers that repeat."""


class End(asyncio.Transport):
    """One end of a connection."""

    def __init__(
        self,
        loop: MemoryLoop,
        protocol: asyncio.BaseProtocol,
        names: dict[str, Any],
        context: contextvars.Context,
    ):
        super().__init__(names)
        self.loop = loop
        # As behind a socket: whatever the peer does, this end's protocol is called in its own context.
        self._context = context
        self.peer: End
        self._protocol = protocol
        self._out = bytearray()
        self._low, self._high = 1 << 14, 1 << 16
        self._writing_paused = False
        self._reading = True
        self._inbox = bytearray()
        self._incoming_end = False  # the peer's FIN came
        self._closing = self._lost = self._fin = self._fin_sent = False
        self._flushing = self._delivering = False

    # -- writing -------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self._lost or self._closing or self._fin:
            return
        self._out += data
        self._flush_soon()
        if len(self._out) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        self._flushing = False
        if self._lost:
            return
        if self._closing and self.peer._lost:
            self._out.clear()  # nobody takes it any more
        if self._out and not self.peer._lost:
            space = max(0, _WINDOW - len(self.peer._inbox))
            if space:
                piece = bytes(self._out[:space])
                del self._out[:space]
                self.peer._take(piece)
        if self._writing_paused and len(self._out) <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()
        if not self._out:
            if (self._fin or self._closing) and not self._fin_sent:
                self._fin_sent = True
                self.peer._take_end()
            if self._closing:
                self._lose(None)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = (1 << 16) if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        return len(self._out)

    def write_eof(self) -> None:
        self._fin = True
        self._flush_soon()

    def can_write_eof(self) -> bool:
        return True

    # -- reading -------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        self._inbox += data
        self._deliver_soon()

    def _take_end(self) -> None:
        self._incoming_end = True
        self._deliver_soon()

    def _deliver_soon(self) -> None:
        if not self._delivering:
            self._delivering = True
            self.loop.call_soon(self._deliver, context=self._context)

    def _deliver(self) -> None:
        self._delivering = False
        protocol = self._protocol
        while self._inbox and self._reading and not self._lost and not self._closing:
            if isinstance(protocol, asyncio.BufferedProtocol):
                room = memoryview(protocol.get_buffer(-1))
                count = min(len(room), len(self._inbox))
                room[:count] = self._inbox[:count]
                del self._inbox[:count]
                protocol.buffer_updated(count)
            else:
                data = bytes(self._inbox)
                self._inbox.clear()
                protocol.data_received(data)  # type: ignore[attr-defined]
        if self.peer._out:
            self.peer._flush_soon()
        if self._incoming_end and not self._inbox and not self._lost:
            self._incoming_end = False
            with contextlib.suppress(OSError):
                self._mark.shutdown(socket.SHUT_RDWR)
            if not self._closing and not protocol.eof_received():  # type: ignore[attr-defined]
                self.close()

    @property
    def _mark(self) -> socket.socket:
        """The other side of the socket that stands for this end: readable once the peer has closed."""
        mark: socket.socket = self._extra["mark"]  # type: ignore[attr-defined]
        return mark

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._deliver_soon()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    # -- ending --------------------------------------------------------------------------------

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._flush_soon()

    def abort(self) -> None:
        """Close with a reset: what is under way is gone."""
        if not self._lost:
            self._closing = True
            self._out.clear()
            self.peer._reset()
            self._lose(None)

    def _reset(self) -> None:
        error = ConnectionResetError(104, "Connection reset by peer")
        self.loop.call_soon(self._lose, error, context=self._context)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._out.clear()
        self.loop.call_soon(self._gone, error, context=self._context)

    def _gone(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self.discard()
            self.loop.ends.discard(self)

    def discard(self) -> None:
        """Close the sockets that stand for it, after the loop has ended."""
        for name in ("socket", "mark"):
            self._extra[name].close()  # type: ignore[attr-defined]

    def is_closing(self) -> bool:
        return self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol


class _Address:
    """What `asyncio.Server.sockets` has for a port in memory."""

    def __init__(self, port: int) -> None:
        self.port = port

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self.port


class _Server(asyncio.AbstractServer):
    def __init__(self, loop: MemoryLoop, port: int, factory: Callable[[], Any], sock: Any) -> None:
        self.factory = factory
        self.context = contextvars.copy_context()
        self.sockets = (_Address(port),)
        self._loop, self._port, self._sock = loop, port, sock

    def close(self) -> None:
        self._loop.servers.pop(self._port, None)
        if self._sock is not None:
            self._sock.close()

    async def wait_closed(self) -> None: ...

    async def start_serving(self) -> None: ...

    async def serve_forever(self) -> None:
        await self._loop.create_future()

    def is_serving(self) -> bool:
        return self._port in self._loop.servers

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop


class MemoryLoop(FakeClockLoop):
    """A `FakeClockLoop` with TCP in memory. TLS that servers ask for is left out: speak http."""

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[int, _Server] = {}
        self.ends: set[End] = set()
        self.names: dict[str, str] = {}
        """Host names that resolve, beside addresses."""
        self.silent: set[int] = set()
        """Ports that do not answer a SYN."""
        self._ports = itertools.cycle(range(20_000, 1 << 16))
        self._dialled: dict[int, Any] = {}

    def _run_once(self) -> None:
        # Time passes, if little: on a clock that stands still, code that waits until a time by
        # which rounding says that a microsecond is missing would wait for ever.
        self._now += 1e-6
        if not self._ready and not self._scheduled and not self._stopping:  # type: ignore[attr-defined]
            raise Stuck(" | ".join(sorted(map(_waits_in, asyncio.all_tasks(self)))))
        super()._run_once()  # type: ignore[misc]

    # -- threads -------------------------------------------------------------------------------

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        try:
            result = func(*args)
        except BaseException as error:  # noqa: BLE001 - the future's
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    # -- names and connections -----------------------------------------------------------------

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        found = self.names.get(host, host)
        if not found.replace(".", "").isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

    async def sock_connect(self, sock: Any, address: Any) -> None:
        await asyncio.sleep(0)
        if address[1] in self.silent:
            await self.create_future()
        if address[1] not in self.servers:
            raise ConnectionRefusedError(111, "Connection refused")
        self._dialled[sock.fileno()] = address[1]

    async def create_connection(  # type: ignore[override]
        self, factory: Any, host: Any = None, port: Any = None, *, sock: Any = None, **_: Any
    ) -> Any:
        if sock is not None:
            port = self._dialled.pop(sock.fileno())
            sock.close()
        server = self.servers.get(port)
        if server is None:
            raise ConnectionRefusedError(111, "Connection refused")
        near = ("127.0.0.1", next(self._ports))
        own = contextvars.copy_context()
        client = self._end(factory(), near, ("127.0.0.1", port), own)
        accepted = server.context.run(server.factory)
        other = self._end(accepted, ("127.0.0.1", port), near, server.context)
        client.peer, other.peer = other, client
        server.context.run(accepted.connection_made, other)
        client.get_protocol().connection_made(client)
        await asyncio.sleep(0)
        return client, client.get_protocol()

    def _end(
        self,
        protocol: Any,
        own: tuple[str, int],
        peer: tuple[str, int],
        context: contextvars.Context,
    ) -> End:
        shown, mark = socket.socketpair()
        shown.setblocking(False)
        names = {"socket": shown, "mark": mark, "sockname": own, "peername": peer}
        end = End(self, protocol, names, context)
        self.ends.add(end)
        return end

    async def create_server(  # type: ignore[override]
        self, factory: Any, host: Any = None, port: Any = None, *, sock: Any = None, **_: Any
    ) -> Any:
        free = (each for each in self._ports if each not in self.servers)
        given = sock.getsockname()[1] if sock is not None else port or next(free)
        self.servers[given] = server = _Server(self, given, factory, sock)
        return server


class MemoryRunner:
    """A `MemoryLoop` that runs one coroutine after another; time stands still between them."""

    def __init__(self) -> None:
        self._loop = MemoryLoop()

    def __enter__(self) -> Self:
        # Not by `asyncio.Runner`, which waits until all that was cancelled has ended.
        asyncio.set_event_loop(self._loop)
        return self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and return its result. Raises `Stuck` if it can never end."""
        return self._loop.run_until_complete(_within(work))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._loop.run_until_complete(_end_all())
        finally:
            asyncio.set_event_loop(None)
            for end in tuple(self._loop.ends):
                end.discard()
            self._loop.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own. Raises `Stuck` if it can never end."""
    with MemoryRunner() as runner:
        return runner.run(work)


class Held(Generic[T]):
    """An asynchronous context manager that a task of its own enters and leaves.

    So that a block may span several `MemoryRunner.run`s, each of which is another task.
    """

    def __init__(self, manager: AbstractAsyncContextManager[T]) -> None:
        self._leave = asyncio.Event()
        self._value: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._task = asyncio.ensure_future(self._hold(manager))

    async def _hold(self, manager: AbstractAsyncContextManager[T]) -> None:
        async with manager as value:
            self._value.set_result(value)
            await self._leave.wait()

    async def value(self) -> T:
        """Return the value of the block, once it is entered."""
        either: set[asyncio.Future[Any]] = {self._task, self._value}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._value.done():
            await self._task
        return self._value.result()

    async def close(self) -> None:
        """Leave the block. Raises what leaving raises."""
        self._leave.set()
        await self._task


async def _within(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=_LONGEST)
    if task.done():
        return task.result()
    raise Stuck(" | ".join(sorted(map(_waits_in, asyncio.all_tasks()))))


async def _end_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_LONGEST)


def _waits_in(task: asyncio.Task[Any]) -> str:
    """Return the names of the coroutines in which a task waits, the outermost first."""
    names: list[str] = []
    inner: Any = task.get_coro()
    while inner is not None:
        code = getattr(inner, "cr_code", None) or getattr(inner, "ag_code", None)
        if code is not None:
            names.append(code.co_qualname)
        inner = getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None)
    return " > ".join(names)


class Inline(concurrent.futures.Executor):
    """Runs jobs at once, in the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - the future's
            future.set_exception(error)
        return future


class LoopClock:
    """The host's time: the loop's from `start` on, so it takes none; `step` sets it forward or back."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = start
        self._stepped = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._loop.time() + self._stepped)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def step(self, seconds: float) -> None:
        """Set the time of day."""
        self._stepped += seconds


@contextlib.contextmanager
def in_memory_folder() -> Iterator[Path]:
    """Make a folder for files, in memory where the machine has that, for the block."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="vimlib-", dir=where, ignore_cleanup_errors=True) as at:
        yield Path(at)
