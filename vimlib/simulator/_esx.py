"""`ESXHost`: what users start, look at and break."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from vimlib.simulator import _power as power
from vimlib.simulator._call import CallLog
from vimlib.simulator._certificate import make_certificate, server_context
from vimlib.simulator._control import Control
from vimlib.simulator._datastore import Datastore, usage
from vimlib.simulator._inventory import build
from vimlib.simulator._populate import make_machines
from vimlib.simulator._server import Server
from vimlib.simulator._state import Keeper, certificate_of, kept_names
from vimlib.simulator._state import load as load_state
from vimlib.simulator._state import read as read_state
from vimlib.simulator._world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import TracebackType

    from vimlib.simulator._call import CallRecord
    from vimlib.simulator._clock import Clock
    from vimlib.simulator._faults import Faults
    from vimlib.simulator._machine import VirtualMachine
    from vimlib.simulator._sessions import Face

__all__ = ["Credentials", "ESXHost", "describe"]

R = TypeVar("R")


@dataclass(frozen=True)
class Credentials:
    """Who may log in."""

    username: str
    password: str = field(repr=False)


class ESXHost:
    """A simulated ESX host, served over TLS on loopback from `async with` to its end.

    Args:
        version: Which release: `"4.0"`, `"4.1"`, `"5.5"`, `"6.7"`, `"7.0"`, `"8.0"` or `"9.0"`.
        datastores: Names of datastores to the folders that they are; None makes a folder that
            goes away at the end.
        vms: How many powered-off machines there are from the start, `vm-0` and on.
        latency: Seconds that each call takes longer.
        capacity: Bytes that each datastore holds.
        legacy_tls: Speak TLS 1.0 alone, as ESX 4.1 did.
        port: Port to listen on; 0 picks one.
        username: Who may log in; the password is made up unless given.
        licensed: False is the free licence, which forbids changes through the API.
        clock: Where the host gets its time from; see `vimlib.simulator.ManualClock`.
        task_seconds: How long tasks take, file work apart.
        max_objects: Most objects in one page of RetrievePropertiesEx.
        session_limit: Most sessions at once; a further login gets HTTP 503.
        session_timeout: Seconds of silence after which a session ends.
        seed: Makes UUIDs and MAC addresses the same in each run.
        state: A file in which the host keeps what it knows; if it is there, the host begins with it.
            Use it with named datastores, whose folders stay too.
        local_folders: A folder below which CreateLocalDatastore may make datastores of folders; without
            it that call answers NotSupported, since it would open any folder of this machine.
        call_log_limit: Most entries that `call_log` keeps; the oldest go first.
        control: Serve `/_ctl/`, by which another process orders faults; see `vimlib.simulator._control`.
        address: Where to listen. Loopback alone is meant; the password is the only guard.
    """

    def __init__(
        self,
        version: str = "8.0",
        *,
        datastores: Mapping[str, str | Path | None] | None = None,
        vms: int = 0,
        latency: float = 0.0,
        capacity: int = 1 << 40,
        legacy_tls: bool = False,
        port: int = 0,
        username: str = "root",
        password: str | None = None,
        licensed: bool = True,
        clock: Clock | None = None,
        task_seconds: float = 0.0,
        max_objects: int | None = None,
        session_limit: int = 1000,
        session_timeout: float = 1800.0,
        seed: int | None = None,
        address: str = "127.0.0.1",
        state: str | Path | None = None,
        control: bool = False,
        call_log_limit: int = 100_000,
        local_folders: str | Path | None = None,
    ) -> None:
        if call_log_limit < 0:
            raise ValueError(f"call_log_limit must be at least 0, got {call_log_limit}")
        self.world = World(
            version,
            clock=clock,
            seed=seed,
            task_seconds=task_seconds,
            max_objects=max_objects,
            licensed=licensed,
        )
        self.credentials = Credentials(username, password or secrets.token_urlsafe(12))
        self.call_log = CallLog(call_log_limit)
        """The calls that came, failed ones too, oldest first; the last `call_log_limit` of them."""
        self._folders = dict(datastores) if datastores is not None else {"datastore1": None}
        self.world.given_datastores = tuple(self._folders)
        self.world.capacity = capacity
        self.world.local_folders = Path(local_folders) if local_folders is not None else None
        self._vms = vms
        self._legacy_tls = legacy_tls
        self._session_limit = session_limit
        self._session_timeout = session_timeout
        self._state = Path(state) if state is not None else None
        self._control = control
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._later: set[asyncio.Task[None]] = set()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.world.faults.latency = latency
        self.world.address = address
        self.world.port = port

    async def __aenter__(self) -> Self:
        """Start. Raises `OSError` if the port is taken. Cancelling it leaves nothing behind."""
        try:
            await self._start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def _start(self) -> None:
        world = self.world
        self._loop = asyncio.get_running_loop()
        kept = await world.io(read_state, self._state) if self._state is not None else None
        if kept is not None:
            self.credentials = Credentials(kept["username"], kept["password"])
            world.certificate = certificate_of(kept)
        else:
            # 4.1's clients may know no elliptic curves.
            bits = 2048 if self._legacy_tls else 0
            world.certificate = await world.io(lambda: make_certificate(bits=bits))
        build(
            world,
            username=self.credentials.username,
            password=self.credentials.password,
            session_limit=self._session_limit,
            session_timeout=self._session_timeout,
        )
        await self._mount({} if kept is None else kept_names(kept))
        if kept is not None:
            await load_state(world, kept)
        if self._state is not None:
            world.keeper = Keeper(world, self._state)
        if self._vms:
            await make_machines(world, self._vms)
        await world.persist()
        world.restart = self._restart
        await self._serve()

    async def _mount(self, kept: Mapping[str, tuple[str, str | None] | None]) -> None:
        """Make the datastores; `kept` has name and UUID of those that were there, None if removed."""
        world = self.world
        for given, folder in self._folders.items():
            known: tuple[str, str | None] | None = kept.get(given, (given, None))
            if known is None:
                continue
            root = Path(folder) if folder is not None else self._make_folder(given)
            root, used = await world.io(_open_root, root)
            name, uuid = known
            store = Datastore(world, name, root, world.capacity, uuid=uuid, given=given)
            store.used = used

    async def _serve(self) -> None:
        world = self.world
        certificate = world.certificate
        assert certificate is not None
        context = await world.io(lambda: server_context(certificate, legacy=self._legacy_tls))
        self._server = Server(world, self.call_log, context)
        if self._control:
            self._server.control = Control(self).serve
        world.port = await self._server.start(world.address, world.port)

    async def restart(self, *, seconds: float = 0.0, keep_state: bool = True) -> None:
        """Restart the host's services: connections break, sessions and tasks are gone, the port stays.

        `keep_state=False` also forgets which machines are registered; their files stay. Cancelling
        it may leave the host without a socket; `aclose` is safe then.
        """
        world = self.world
        await world.stop_work()
        world.sessions.expire()
        for task in [obj for obj in world.objects.values() if obj.kind == "Task"]:
            task.remove()
        world.tasks.recent.clear()
        world.tasks.finished.clear()
        if not keep_state:
            for machine in tuple(world.machines.values()):
                machine.remove()
            for store in world.datastores.values():
                store.locks.clear()
        for machine in world.machines.values():
            machine.recent_tasks.clear()
            machine.changed("recentTask")
        await world.persist()
        await self._restart(seconds)

    async def _restart(self, seconds: float) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        if seconds < 0:  # shut down: nothing comes back by itself
            return
        if seconds:
            await self.world.clock.sleep(seconds)
        await self._serve()

    async def reboot(self, *, seconds: float = 0.0) -> None:
        """Reboot the host as a power failure does: machines are off, sessions gone, the port stays."""
        self.world.reboot_seconds = seconds
        await self.world.reboot()

    def _make_folder(self, name: str) -> Path:
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="vimlib-sim-")
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
        return Path(self._temporary.name, f"{len(self.world.datastores)}-{safe}")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; see `aclose`."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections, end tasks and threads, delete made folders. May be called twice."""
        if self._later:
            await asyncio.wait(tuple(self._later))
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()
        await self.world.aclose()
        if self._temporary is not None:
            temporary, self._temporary = self._temporary, None
            temporary.cleanup()

    @property
    def url(self) -> str:
        """`https://127.0.0.1:PORT/sdk`."""
        return f"https://{self.world.address}:{self.world.port}/sdk"

    @property
    def thumbprint(self) -> str:
        """SHA-256 of its certificate, upper-case hex with colons."""
        assert self.world.certificate is not None, "the host is not started"
        return self.world.certificate.sha256

    @property
    def certificate_pem(self) -> bytes:
        """Its certificate, to be trusted as a CA."""
        assert self.world.certificate is not None, "the host is not started"
        return self.world.certificate.pem

    @property
    def faults(self) -> Faults:
        """What shall go wrong."""
        return self.world.faults

    def expire_sessions(self, face: Face = "fault") -> int:
        """End all sessions, as idleness does; return how many there were.

        `face` is how a property read with an ended session's cookie is answered from then on: by
        the fault NotAuthenticated, by an empty reply, or by NotAuthenticated inside missingSet.
        """
        return self.world.sessions.expire(face)

    def calls(self, method: str) -> list[CallRecord]:
        """Return the entries of the call log for one method."""
        return [record for record in self.call_log if record.method == method]

    def machine(self, name: str) -> VirtualMachine:
        """Return the state of a machine by name. Raises `LookupError`."""
        for machine in self.world.machines.values():
            if machine.name == name:
                return machine
        raise LookupError(f"no machine named {name!r}")

    def datastore_path(self, name: str = "datastore1") -> Path:
        """Return the folder of a datastore."""
        return self.world.datastores[name].root

    def set_guest(
        self, name: str, *, tools: bool = True, ip: str | None = None, host_name: str | None = None
    ) -> None:
        """Say what runs in a machine: whether its tools are installed (and run while it is on), its address."""
        machine = self.machine(name)
        guest = machine.guest
        guest.tools_installed = tools
        guest.tools_running = tools and machine.power == "poweredOn"
        guest.ip_address, guest.host_name = ip, host_name
        machine.changed("guest", "summary", "guestHeartbeatStatus")

    def fill(self, name: str, *, free: int = 0) -> None:
        """Let a datastore have `free` bytes left, by other things that are on it."""
        store = self.world.datastores[name]
        store.used = max(store.capacity - free, 0)
        store.changed("summary", "info")

    def lie(self, name: str, path: str, size: int | None) -> None:
        """Let a datastore show another size for a file than it has; None tells the truth again."""
        store = self.world.datastores[name]
        if size is None:
            store.sizes.pop(path, None)
        else:
            store.sizes[path] = size

    def ask(self, name: str, text: str, choices: Mapping[str, str]) -> str:
        """Let a machine ask a question, which its tasks wait for; return the question's id."""
        return power.ask(self.machine(name), text, dict(choices))

    @overload
    def threadsafe(
        self, function: Callable[..., Coroutine[Any, Any, R]], *args: Any, **kwargs: Any
    ) -> R: ...
    @overload
    def threadsafe(self, function: Callable[..., R], *args: Any, **kwargs: Any) -> R: ...
    def threadsafe(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `function(*args, **kwargs)` in the host's event loop, from another thread, and return its result.

        A coroutine is run to its end. Deadlocks if called in the host's own thread.
        """

        async def run() -> Any:
            result = function(*args, **kwargs)
            return await result if asyncio.iscoroutine(result) else result

        assert self._loop is not None, "the host is not started"
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the calls; `aclose` waits for its end."""
        task = asyncio.get_running_loop().create_task(work, name="simulated restart")
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def __repr__(self) -> str:
        state = self.url if self._server is not None else "not running"
        return f"<ESXHost {self.world.release.name} {state}, {len(self.world.machines)} machines>"


def _open_root(root: Path) -> tuple[Path, int]:
    """Make a datastore's folder if it is missing; return where it is and what it holds, in bytes."""
    root.mkdir(parents=True, exist_ok=True)
    root = root.resolve()
    return root, usage(root)


def describe(esx: ESXHost) -> dict[str, Any]:
    """Return what a client needs to connect, as `vimctl sim` prints it."""
    return {
        "url": esx.url,
        "username": esx.credentials.username,
        "password": esx.credentials.password,
        "thumbprint": esx.thumbprint,
    }
