"""The simulated host as a whole: its objects, its clock, its threads for file work."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._clock import Clock, SystemClock
from vimlib.simulator._faults import Faults
from vimlib.simulator._versions import find_release

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from vimlib.simulator._certificate import Certificate
    from vimlib.simulator._datastore import Datastore
    from vimlib.simulator._events import EventManager
    from vimlib.simulator._host_system import HostSystem
    from vimlib.simulator._inventory import Datacenter, Folder, ResourcePool
    from vimlib.simulator._machine import VirtualMachine
    from vimlib.simulator._network import NetworkSystem
    from vimlib.simulator._nfc import Lease
    from vimlib.simulator._objects import Served
    from vimlib.simulator._sessions import SessionManager
    from vimlib.simulator._state import Keeper
    from vimlib.simulator._tasks import TaskManager

__all__ = ["World", "localized", "missing", "say"]

R = TypeVar("R")
log = logging.getLogger("vimlib.simulator")


class World:
    """Everything that the host is, short of the socket that serves it."""

    # Set by `vimlib.simulator._inventory.build`.
    host: HostSystem
    datacenter: Datacenter
    vm_folder: Folder
    root_folder: Folder
    pool: ResourcePool
    networks: NetworkSystem
    sessions: SessionManager
    tasks: TaskManager
    events: EventManager

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
        self.max_objects = max_objects
        """Most objects that one RetrievePropertiesEx answers with, unless asked for fewer."""
        self.licensed = licensed
        """Whether the licence allows changes; if not they are answered by RestrictedVersion."""
        self.objects: dict[tuple[str, str], Served] = {}
        self.machines: dict[str, VirtualMachine] = {}
        self.datastores: dict[str, Datastore] = {}
        """By name."""
        self.given_datastores: tuple[str, ...] = ()
        """Names of the datastores that the host was started with."""
        self.capacity = 1 << 40
        """Bytes of a datastore."""
        self.local_folders: Path | None = None
        """The folder below which a call may make datastores; None: it may not."""
        self.leases: dict[str, Lease] = {}
        """NFC leases that live, by the id in their URLs."""
        self.faults = Faults()
        self.random = random.Random(seed)
        self.uuid = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.certificate: Certificate | None = None
        self.keeper: Keeper | None = None
        """Who saves the state; None if it is not kept."""
        self.restart: Callable[[float], Coroutine[Any, Any, None]] | None = None
        """Takes the service away for some seconds; set by who serves it."""
        self.reboot_seconds = 0.0
        """How long a reboot takes."""
        self.address = "127.0.0.1"
        self.port = 0
        self._serial = itertools.count(1)
        self._background: set[asyncio.Task[Any]] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._jobs: set[Future[Any]] = set()
        """File work that has not ended; who asked for it may be gone."""

    def add(self, obj: Served) -> None:
        """Serve `obj` from now on."""
        self.objects[obj.kind, obj.moid] = obj

    def forget(self, obj: Served) -> None:
        """Serve `obj` no more."""
        self.objects.pop((obj.kind, obj.moid), None)

    def find(self, ref: Any) -> Any:
        """Return the object of a reference. Raises `ManagedObjectNotFound`."""
        obj = self.objects.get(ref.moref)
        if obj is None:
            obj = self.find_by_id(ref)
        return obj

    def find_by_id(self, ref: Any) -> Any:
        """Return the object whose id is that of `ref`, whose type the client took for a base of it."""
        kind, moid = ref.moref
        for (_, other), obj in self.objects.items() if kind in _BASES else ():
            if other == moid and kind in obj.kinds:
                return obj
        raise missing(ref)

    def serial(self) -> int:
        """Return the next number, for ids."""
        return next(self._serial)

    def skip_serials(self, past: int) -> None:
        """Give no number up to `past` any more; a loaded state has used them."""
        self._serial = itertools.count(max(past, next(self._serial)) + 1)

    def new_uuid(self) -> str:
        """Return a random UUID as text."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that serves the host."""
        return asyncio.get_running_loop()

    def disk_resized(self, store: Datastore, path: str, capacity: int) -> None:
        """Let machines that have the disk know its new size."""
        shown = store.shown(path)
        for machine in self.machines.values():
            if (store, path) in machine.disk_files():
                hardware = machine.config.hardware
                devices = [
                    replace(device, capacityInKB=capacity // 1024, capacityInBytes=capacity)
                    if getattr(device.backing, "fileName", None) == shown
                    else device
                    for device in hardware.device
                ]
                machine.set_config(
                    replace(machine.config, hardware=replace(hardware, device=devices))
                )

    async def io(self, function: Callable[..., R], *args: Any) -> R:
        """Run file work in the host's own threads.

        Cancelling it stops the waiting; the work itself goes on to its end.
        """
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="vimlib-sim")
        job = self._threads.submit(function, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return await asyncio.wrap_future(job)

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` beside the calls; it ends with the world at the latest."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        # A fault is an answer, and whoever called gets it.
        if error is not None and not isinstance(error, vim25.MethodFault):
            log.error("%s failed", task.get_name(), exc_info=error)

    async def persist(self) -> None:
        """Save the state, where it is kept. Cancelling it leaves the old state or the new."""
        if self.keeper is not None:
            await self.keeper.save()

    async def reboot(self, *, shutdown: bool = False) -> None:
        """Go down: machines lose power, sessions end, the service goes away; and come back unless shut down."""
        from vimlib.simulator._power import power_off

        for machine in self.machines.values():
            if machine.power == "poweredOn":
                power_off(machine)
        self.sessions.expire()
        self.host.booted = self.clock.now()
        self.host.changed("runtime", "summary")
        await self.persist()
        if self.restart is not None:
            await self.restart(-1.0 if shutdown else self.reboot_seconds)

    async def stop_work(self) -> None:
        """Cancel what runs beside the calls and wait for its end."""
        for task in tuple(self._background):
            task.cancel()
        while self._background:
            await asyncio.wait(tuple(self._background))

    async def aclose(self) -> None:
        """End all work and the threads. Cancelling it leaves threads that end by themselves."""
        await self.stop_work()
        if self._threads is not None:
            threads, self._threads = self._threads, None
            for job in tuple(self._jobs):
                await asyncio.wait([asyncio.wrap_future(job)])
            threads.shutdown(wait=True)  # all are idle by now

    def require_licence(self) -> None:
        """Raise `RestrictedVersion` if the licence forbids changes."""
        if not self.licensed:
            raise say(
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


def say(fault: Any, text: str) -> Any:
    """Return `fault` with the words that the host says with it."""
    fault.localized_message = text
    return fault


def localized(fault: Any) -> Any:
    """Return a fault as data."""
    return vim25.LocalizedMethodFault(
        fault=fault, localizedMessage=fault.localized_message or type(fault).__name__
    )


def missing(ref: Any) -> Any:
    """Return the fault for an object that is not there."""
    return say(
        vim25.ManagedObjectNotFound(obj=ref),
        "The object 'vim.{}:{}' has already been deleted or has not been completely created".format(
            *ref.moref
        ),
    )
