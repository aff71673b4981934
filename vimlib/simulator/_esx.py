"""`ESXHost`: a simulated host, from its start to its end."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from vimlib._repr import robust
from vimlib.simulator._assemble import build
from vimlib.simulator._control import Control
from vimlib.simulator._core.call import CallLog
from vimlib.simulator._core.certificate import load_certificate, make_certificate, server_context
from vimlib.simulator._core.registry import Registry
from vimlib.simulator._core.trace import Trace
from vimlib.simulator._load import read_saved, take_over
from vimlib.simulator._managers.host_power import reboot
from vimlib.simulator._operations import HostOperations
from vimlib.simulator._populate import make_machines
from vimlib.simulator._protocol.server import HttpServer
from vimlib.simulator._service.sessions import SessionManager
from vimlib.simulator._service.tasks import TaskManager
from vimlib.simulator._state import StateFile, certificate_of, kept_names
from vimlib.simulator._state import load as load_state
from vimlib.simulator._state import read as read_state
from vimlib.simulator._storage.datastore import Datastore, usage
from vimlib.simulator._vm.virtual_machine import VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from vimlib.simulator._core.clock import Clock

R = TypeVar("R")


@dataclass(frozen=True)
class Credentials:
    """The account that may log in."""

    username: str
    password: str = field(repr=False)


class ESXHost(HostOperations):
    """A simulated ESX host, served over TLS on loopback from `async with` to its end.

    Args:
        version: Which release: `"4.0"`, `"4.1"`, `"5.5"`, `"6.7"`, `"7.0"`, `"8.0"` or `"9.0"`.
        datastores: Names of datastores to their folders; None makes a folder that is deleted
            at the end.
        vms: Number of powered-off machines at the start, `vm-0` and on.
        latency: Seconds that each call takes longer.
        capacity: Bytes that each datastore holds.
        legacy_tls: Speak TLS 1.0 alone, as ESX 4.1 did.
        port: Port to listen on; 0 picks one.
        username: The user that may log in; the password is generated unless given.
        licensed: False is the free licence, which forbids changes through the API.
        clock: Source of the host's time; see `vimlib.simulator.ManualClock`.
        task_seconds: How long tasks take, file work apart.
        update_interval: Seconds between the moments at which a call that waits for updates reports
            changes, as hosts have them; 0 reports each at once.
        max_objects: Most objects in one page of RetrievePropertiesEx.
        session_limit: Most sessions at once; a further login gets HTTP 503.
        session_timeout: Seconds of silence after which a session ends.
        seed: Makes UUIDs and MAC addresses the same in each run.
        state: A file in which the host saves its state, and which it loads at the start if it exists.
            Use it with named datastores, whose folders stay too.
        load: A folder that `govc object.save` wrote of a host: its datastores, networks and machines are
            made; the release stays `version`'s. Not together with a state file that exists.
        put_creates_folders: False has a PUT to `/folder` answer 404 if the folder is missing; reports of
            hosts differ.
        refusals: How a method that returns a task refuses, for a wrong state or whatever: by a task that
            fails, as hosts do, or by a SOAP fault of the call.
        exports: Folders of NFS servers that the host can reach, by `server:/path`, for CreateNasDatastore;
            None makes one that is deleted at the end. Any other is refused by PlatformConfigFault.
        local_folders: A folder below which CreateLocalDatastore may make datastores of folders; without
            it that call answers NotSupported, since it would open any folder of this machine.
        call_log_limit: Most entries that `call_log` keeps; the oldest go first.
        control_token: Serve `/_ctl/`, by which another process that has this token injects faults; see
            `vimlib.simulator._control`.
        certificate: A PEM file with the certificate that it serves; by default one is made.
        key: A PEM file with its key, without a passphrase.
        trace: A file to which a line of JSON is appended for each call.
        address: Address to listen on. Use loopback only; the password is the only protection.
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
        update_interval: float = 0.0,
        max_objects: int | None = None,
        session_limit: int = 1000,
        session_timeout: float = 1800.0,
        seed: int | None = None,
        address: str = "127.0.0.1",
        state: str | Path | None = None,
        load: str | Path | None = None,
        control_token: str | None = None,
        certificate: str | Path | None = None,
        key: str | Path | None = None,
        trace: str | Path | None = None,
        call_log_limit: int = 100_000,
        local_folders: str | Path | None = None,
        exports: Mapping[str, str | Path | None] | None = None,
        put_creates_folders: bool = True,
        refusals: Literal["task", "call"] = "task",
    ) -> None:
        if refusals not in ("task", "call"):
            raise ValueError(f'refusals must be "task" or "call", got {refusals!r}')
        if (certificate is None) != (key is None):
            raise ValueError("certificate and key must be given together")
        if control_token == "":
            raise ValueError("control_token must not be empty")
        if call_log_limit < 0:
            raise ValueError(f"call_log_limit must be at least 0, got {call_log_limit}")
        registry = Registry(
            version,
            clock=clock,
            seed=seed,
            task_seconds=task_seconds,
            max_objects=max_objects,
            licensed=licensed,
        )
        super().__init__(registry, CallLog(call_log_limit))
        self.credentials = Credentials(username, password or secrets.token_urlsafe(12))
        self._folders = dict(datastores) if datastores is not None else {"datastore1": None}
        self._load = Path(load) if load is not None else None
        self._given = datastores is not None
        self._capacity = capacity
        self._exports = dict(exports or {})
        self._local_folders = Path(local_folders) if local_folders is not None else None
        self._vms = vms
        self._legacy_tls = legacy_tls
        self._session_limit = session_limit
        self._session_timeout = session_timeout
        self._state = Path(state) if state is not None else None
        self._control_token = control_token
        self._files = (Path(certificate), Path(key)) if certificate and key else None
        self._trace = Trace(registry, Path(trace)) if trace is not None else None
        self._server: HttpServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.registry.faults.latency = latency
        self.registry.update_interval = update_interval
        self.registry.put_creates_folders = put_creates_folders
        self.registry.refusals = refusals
        self.registry.address = address
        self.registry.port = port

    async def __aenter__(self) -> Self:
        """Start. Cancelling it leaves nothing behind.

        Raises:
            OSError: The port is taken, or a file cannot be used.
            ValueError: `certificate` and `key` do not fit, or `load` has no inventory of a host.
        """
        try:
            await self._start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def _start(self) -> None:
        registry = self.registry
        self._loop = asyncio.get_running_loop()
        if self._trace is not None:
            await self._trace.open()
            registry.trace = self._trace.add
        kept = await registry.io(read_state, self._state) if self._state is not None else None
        if kept is not None:
            self.credentials = Credentials(kept["username"], kept["password"])
            registry.certificate = certificate_of(kept)
        if self._files is not None:
            registry.certificate = await registry.io(load_certificate, *self._files)
        elif kept is None:
            # Clients of 4.1 may not support elliptic curves.
            bits = 2048 if self._legacy_tls else 0
            registry.certificate = await registry.io(lambda: make_certificate(bits=bits))
        saved = None
        if self._load is not None and kept is None:
            saved = await registry.io(read_saved, self._load)
            if not self._given and saved.datastores:
                self._folders = dict.fromkeys(saved.datastores)
        exports = {}
        for number, (place, folder) in enumerate(self._exports.items()):
            root = Path(folder) if folder is not None else self._make_folder(f"nas{number}")
            exports[place], _ = await registry.io(_open_root, root)
        build(
            registry,
            username=self.credentials.username,
            password=self.credentials.password,
            session_limit=self._session_limit,
            session_timeout=self._session_timeout,
            given_datastores=tuple(self._folders),
            capacity=self._capacity,
            local_folders=self._local_folders,
            exports=exports,
        )
        known = {} if saved is None else {n: (n, uuid) for n, uuid in saved.datastores.items()}
        await self._mount(known if kept is None else kept_names(kept))
        if kept is not None:
            await load_state(registry, kept)
        elif saved is not None:
            await take_over(registry, saved)
        if self._state is not None:
            registry.save = StateFile(registry, self._state).save
        if self._vms:
            await make_machines(registry, self._vms)
        await registry.persist()
        registry.restart = self._restart
        await self._serve()

    async def _mount(self, kept: Mapping[str, tuple[str, str | None] | None]) -> None:
        """Make the datastores; `kept` has name and UUID of saved ones, None for removed ones."""
        registry = self.registry
        for given, folder in self._folders.items():
            known: tuple[str, str | None] | None = kept.get(given, (given, None))
            if known is None:
                continue
            root = Path(folder) if folder is not None else self._make_folder(given)
            root, used = await registry.io(_open_root, root)
            name, uuid = known
            store = Datastore(registry, name, root, self._capacity, uuid=uuid, given=given)
            store.used = used

    async def _serve(self) -> None:
        registry = self.registry
        certificate = registry.certificate
        assert certificate is not None
        context = await registry.io(lambda: server_context(certificate, legacy=self._legacy_tls))
        self._server = HttpServer(registry, self.call_log, context)
        if self._control_token is not None:
            self._server.control = Control(
                self, self._control_token, restart=self._restart_later, reboot=self._reboot_later
            ).serve
        registry.port = await self._server.start(registry.address, registry.port)

    async def restart(self, *, seconds: float = 0.0, keep_state: bool = True) -> None:
        """Restart the host's services: connections break, sessions and tasks are gone, the port stays.

        `keep_state=False` also forgets which machines are registered; their files stay. Cancelling
        it may leave the host without a socket; `aclose` is safe then.
        """
        registry = self.registry
        await registry.stop_work()
        registry.one(SessionManager).expire()
        registry.one(TaskManager).clear()
        if not keep_state:
            for machine in tuple(registry.all(VirtualMachine).values()):
                machine.remove()
            for store in registry.all(Datastore).values():
                store.locks.clear()
        for machine in registry.all(VirtualMachine).values():
            machine.recent_tasks.clear()
            machine.changed("recentTask")
        await registry.persist()
        await self._restart(seconds)

    async def _restart(self, seconds: float) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        if seconds < 0:  # a shutdown does not start the service again
            return
        if seconds:
            await self.registry.clock.sleep(seconds)
        await self._serve()

    async def reboot(self, *, seconds: float = 0.0) -> None:
        """Reboot the host as a power failure does: machines are off, sessions gone, the port stays."""
        await reboot(self.registry, seconds=seconds)

    def _make_folder(self, name: str) -> Path:
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="vimlib-sim-")
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
        return Path(self._temporary.name, f"{len(self.datastores)}-{safe}")

    async def __aexit__(self, *_: object) -> None:
        """Stop; see `aclose`."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections, end tasks and threads, delete made folders. May be called twice."""
        if self._pending:
            await asyncio.wait(tuple(self._pending))
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()
        if self._trace is not None:
            await self._trace.close()
        await self.registry.aclose()
        if self._temporary is not None:
            temporary, self._temporary = self._temporary, None
            temporary.cleanup()

    @property
    def url(self) -> str:
        """`https://127.0.0.1:PORT/sdk`."""
        address = self.registry.address
        host = f"[{address}]" if ":" in address else address
        return f"https://{host}:{self.registry.port}/sdk"

    @property
    def most_connections(self) -> int:
        """How many connections were open at once, at most, since the service started."""
        return 0 if self._server is None else self._server.most_connections

    @property
    def thumbprint(self) -> str:
        """SHA-256 of its certificate, upper-case hex with colons."""
        assert self.registry.certificate is not None, "the host is not started"
        return self.registry.certificate.sha256

    @property
    def certificate_pem(self) -> bytes:
        """Its certificate, to be trusted as a CA."""
        assert self.registry.certificate is not None, "the host is not started"
        return self.registry.certificate.pem

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

    def _restart_later(self, seconds: float, keep_state: bool) -> None:
        self._later(self.restart(seconds=seconds, keep_state=keep_state))

    def _reboot_later(self, seconds: float) -> None:
        self._later(self.reboot(seconds=seconds))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task of its own; `aclose` waits for its end."""
        task = asyncio.get_running_loop().create_task(work, name="simulated restart")
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    @robust
    def __repr__(self) -> str:
        state = self.url if self._server is not None else "not running"
        return f"<ESXHost {self.registry.release.name} {state}, {len(self.machines)} machines>"


def _open_root(root: Path) -> tuple[Path, int]:
    """Make a datastore's folder if it is missing; return its path and the bytes in it."""
    root.mkdir(parents=True, exist_ok=True)
    root = root.resolve()
    return root, usage(root)


def describe(esx: ESXHost) -> dict[str, Any]:
    """Return the connection parameters for a client, as `vimctl sim` prints them."""
    return {
        "url": esx.url,
        "username": esx.credentials.username,
        "password": esx.credentials.password,
        "thumbprint": esx.thumbprint,
    }
