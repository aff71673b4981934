"""The registry of the simulated host: its managed objects, its clock, its threads for file work.

Must not import a managed type. Callers that import a type look objects up by its class; packages
below that type use its name on the wire.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, overload

from vimlib import vim25
from vimlib.simulator._core.clock import Clock, SystemClock
from vimlib.simulator._core.injection import Faults
from vimlib.simulator._core.messages import not_found, with_message
from vimlib.simulator._core.versions import find_release

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from vimlib.simulator._core.certificate import Certificate

log = logging.getLogger("vimlib.simulator")


class _Registered(Protocol):
    """The attributes of an object that the registry uses."""

    kind: ClassVar[str]
    moid: str

    @property
    def kinds(self) -> frozenset[str]: ...


R = TypeVar("R")
S = TypeVar("S", bound=_Registered)


class Registry:
    """All managed objects of a host, and their shared services."""

    def __init__(
        self,
        version: str = "8.0",
        *,
        clock: Clock | None = None,
        seed: int | None = None,
        task_seconds: float = 0.0,
        max_objects: int | None = None,
        licensed: bool = True,
    ) -> None:
        self.release = find_release(version)
        self.version = self.release.numbers
        self.clock = clock or SystemClock()
        self.task_seconds = task_seconds
        """Seconds that a task takes; file work comes on top."""
        self.guest_seconds = 0.0
        """Seconds that a guest takes to shut down or to reboot."""
        self.request_seconds = 60.0
        """Seconds in which a call must have arrived, and longest pause of the body of an upload."""
        self.idle_seconds = 300.0
        """Seconds after which an idle connection is closed: long polls are silent for minutes."""
        self.update_interval = 0.0
        """Seconds between the moments at which a waiting WaitForUpdatesEx reports changes; 0: at once."""
        self.trace: Callable[[Any], None] | None = None
        """Is given the record of each call that ended."""
        self.refusals = "task"
        """How a method that returns a task refuses: by a failed task, or by a fault of the `call`."""
        self.put_creates_folders = True
        """Whether a PUT to `/folder` creates missing folders."""
        self.max_objects = max_objects
        """Most objects that one RetrievePropertiesEx answers with, unless asked for fewer."""
        self.licensed = licensed
        """Whether the licence allows changes; if not they are answered by RestrictedVersion."""
        self.objects: dict[tuple[str, str], Any] = {}
        """By type and id."""
        self._by_kind: dict[str, dict[str, Any]] = {}
        self.faults = Faults()
        self.random = random.Random(seed)
        self.uuid = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.certificate: Certificate | None = None
        self.save: Callable[[], Awaitable[None]] | None = None
        """Saves the state; None if it is not kept."""
        self.restart: Callable[[float], Coroutine[Any, Any, None]] | None = None
        """Stops the service for some seconds; set by `ESXHost`."""
        self.address = "127.0.0.1"
        self.port = 0
        self._serial = itertools.count(1)
        self._background: set[asyncio.Task[Any]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._jobs: set[Future[Any]] = set()
        """File work that has not ended, whose caller may have gone."""

    def add(self, obj: _Registered) -> None:
        """Register an object: from now on clients can call it."""
        self.objects[obj.kind, obj.moid] = obj
        self._by_kind.setdefault(obj.kind, {})[obj.moid] = obj

    def forget(self, obj: _Registered) -> None:
        """Remove an object from the registry."""
        self.objects.pop((obj.kind, obj.moid), None)
        self._by_kind.get(obj.kind, {}).pop(obj.moid, None)

    @overload
    def all(self, kind: type[S]) -> dict[str, S]: ...
    @overload
    def all(self, kind: str) -> dict[str, Any]: ...
    def all(self, kind: type[Any] | str) -> dict[str, Any]:
        """Return the objects of a type by id, oldest first: a class, or its name on the wire.

        Do not change the result; it changes when objects come and go.
        """
        return self._by_kind.get(kind if isinstance(kind, str) else kind.kind, {})

    @overload
    def one(self, kind: type[S]) -> S: ...
    @overload
    def one(self, kind: str) -> Any: ...
    def one(self, kind: type[Any] | str) -> Any:
        """Return the only object of a type. Raises `LookupError` if it does not exist yet."""
        for found in self.all(kind).values():
            return found
        raise LookupError(f"no object of type {kind}")

    def find(self, ref: Any) -> Any:
        """Return the object of a reference. Raises `ManagedObjectNotFound`.

        A client may name a base of the object's type.
        """
        obj = self.objects.get(ref.moref)
        if obj is not None:
            return obj
        kind, moid = ref.moref
        for objects in self._by_kind.values() if kind in _BASES else ():
            obj = objects.get(moid)
            if obj is not None and kind in obj.kinds:
                return obj
        raise not_found(ref)

    def serial(self) -> int:
        """Return the next number, for ids."""
        return next(self._serial)

    def skip_serials(self, past: int) -> None:
        """Skip the numbers up to `past`, which a loaded state has used."""
        self._serial = itertools.count(max(past, next(self._serial)) + 1)

    def new_uuid(self) -> str:
        """Return a random UUID as text."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that serves the host."""
        return asyncio.get_running_loop()

    async def io(self, function: Callable[..., R], *args: Any) -> R:
        """Run file work in the host's own threads.

        Cancelling it stops the wait; the work itself runs to its end.
        """
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="vimlib-sim")
        job = self._threads.submit(function, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return await asyncio.wrap_future(job)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` in the background; it is cancelled when the host stops."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        # A fault is a result, which the caller receives.
        if error is not None and not isinstance(error, vim25.MethodFault):
            log.error("%s failed", task.get_name(), exc_info=error)

    async def persist(self) -> None:
        """Save the state, if the host has a state file. Cancelling it leaves the old state or the new."""
        if self.save is not None:
            await self.save()

    async def stop_work(self) -> None:
        """Cancel background work and wait for its end."""
        for task in tuple(self._background):
            task.cancel()
        while self._background:
            await asyncio.wait(tuple(self._background))

    async def aclose(self) -> None:
        """End all work and the threads. Cancelling it leaves threads that finish by themselves."""
        await self.stop_work()
        if self._threads is not None:
            threads, self._threads = self._threads, None
            for job in tuple(self._jobs):
                await asyncio.wait([asyncio.wrap_future(job)])
            threads.shutdown(wait=True)  # all are idle by now

    def require_licence(self) -> None:
        """Raise `RestrictedVersion` if the licence forbids changes."""
        if not self.licensed:
            raise with_message(
                vim25.RestrictedVersion(),
                "Current license or ESXi version prohibits execution of the requested operation.",
            )


# Types by which clients call objects of a derived type.
_BASES = frozenset(
    {
        "ManagedEntity",
        "ManagedObject",
        "Folder",
        "ComputeResource",
        "View",
        "ManagedObjectView",
        "HistoryCollector",
        "ExtensibleManagedObject",
        "Network",
    }
)
