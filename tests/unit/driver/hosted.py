"""A simulated host in a thread of its own: what its client suspends on is the client's alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

import vimlib
from tests.rig.certs import authority_file
from tests.rig.login import connected
from tests.rig.memory import Inline, LoopClock
from vimdriver._config import DriverConfig
from vimdriver._driver import ESXDriver
from vimdriver._images.embedded import EmbeddedGlance
from vimdriver._images.glance import Glance
from vimdriver._images.http import HttpClient
from vimdriver._images.local import LocalImages
from vimdriver._instances.machine import OWNER_KEY
from vimdriver._instances.types import InstanceSpec, NICSpec
from vimdriver._journal import Journal, MemoryJournal, SeenFile
from vimdriver._networks import notes
from vimdriver._networks.making import port_group_steps
from vimdriver._networks.port_groups import gather_network
from vimdriver._verbs import Host, Plan, Run, execute
from vimdriver._verbs.host import own_time
from vimlib import vim25
from vimlib._client import Client
from vimlib._session.policy import Backoff, RetryPolicy
from vimlib._transport.base import Timeouts
from vimlib.simulator import ESXHost
from vimlib.simulator._service.tasks import Task

T = TypeVar("T")

# What the tests wait for is milliseconds away.
OWNER = "tests"
CONFIG = DriverConfig(owner=OWNER, settle_seconds=0.1, task_seconds=20, cleanup_seconds=20)
QUICK = RetryPolicy(backoff=Backoff(first=0.001, longest=0.01))
MAC = "00:50:56:00:00:01"


class Beside:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="beside")
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def call(self, work: Callable[[], T]) -> T:
        async def inside() -> T:
            return work()

        return self.run(inside())

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Here:
    """In place of `Beside`: the host is on the test's own loop."""

    def call(self, work: Callable[[], T]) -> T:
        return work()


PATIENCE = 60.0
"""Seconds until what is waited for counts as never coming about; a busy machine takes some of them."""


async def until(
    holds: Callable[[], bool],
    otherwise: Callable[[], str] = lambda: "it never came about",
    patience: float = PATIENCE,
) -> None:
    """Look until it holds: what happens in the other thread tells nobody."""
    clock = asyncio.get_running_loop().time
    end = clock() + patience
    while not holds():
        assert clock() < end, otherwise()
        await asyncio.sleep(0.01)


@dataclass(frozen=True)
class State:
    """All that a spawn, a push or a port group leaves on a host."""

    files: frozenset[str]
    machines: frozenset[str]
    groups: frozenset[str]
    running: frozenset[str] = frozenset()
    sessions: int = 0


@dataclass
class Hosted:
    """The host, seen from the test's own loop."""

    esx: ESXHost
    beside: Beside | Here
    folder: Path
    requests: list[str] = field(default_factory=list)
    url: str | None = None
    """Where its clients go without TLS, if not to its own address."""

    def state(self) -> State:
        return self.beside.call(self._state)

    def _state(self) -> State:
        return State(
            files=frozenset(
                str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()
            ),
            machines=frozenset(m.name for m in self.esx.machines.values()),
            groups=frozenset(self.esx.networks.groups),
            running=frozenset(
                task.method for task in self.esx.registry.all(Task).values() if not task.done
            ),
            sessions=len(self.esx.sessions.by_cookie),
        )

    async def settled(self, wanted: State, *, but: Callable[[State], State] = lambda s: s) -> State:
        """Wait until the host is in the wanted state: connections close in their own time."""
        found = but(self.state())

        def holds() -> bool:
            nonlocal found
            found = but(self.state())
            return found == wanted

        await until(holds, lambda: f"the host is left with {found}, not {wanted}")
        return found

    def methods(self) -> list[str]:
        return [record.method for record in list(self.esx.call_log)]

    @asynccontextmanager
    async def client(self, **settings: Any) -> AsyncIterator[Client]:
        given: dict[str, Any] = {"retries": QUICK, "keepalive": None} | settings
        tls = vimlib.TLS(pin=self.esx.thumbprint, legacy=self.legacy)
        given.setdefault("tls", vimlib.TLS(verify=False) if self.url else tls)
        given.setdefault("url", self.url)
        async with connected(self.esx, **given) as client:
            yield client

    @property
    def legacy(self) -> bool:
        return self.esx._legacy_tls

    @asynccontextmanager
    async def driver(
        self, images: Any = None, config: DriverConfig = CONFIG, **settings: Any
    ) -> AsyncIterator[ESXDriver]:
        async with self.client(**settings) as client:
            yield ESXDriver(client, images or LocalImages(), config)


def own(esx: ESXHost, owner: str = OWNER) -> None:
    """Give all machines of a host the mark of an owner."""
    for machine in esx.machines.values():
        kept = [one for one in machine.config.extraConfig if one.key != OWNER_KEY]
        mark = vim25.OptionValue(key=OWNER_KEY, value=owner)
        machine.set_config(replace(machine.config, extraConfig=[*kept, mark]))


@contextmanager
def hosted(
    beside: Beside, folder: Path, version: str = "8.0", *, owned: bool = False, **given: Any
) -> Iterator[Hosted]:
    """Run a host whose datastore is `folder`; with `owned` its first machines have the mark of `OWNER`."""
    folder.mkdir(exist_ok=True)
    given.setdefault("datastores", {"datastore1": folder})

    async def start() -> ESXHost:
        return await ESXHost(version, **given).__aenter__()

    esx = beside.run(start())
    if owned:
        beside.call(lambda: own(esx))
    try:
        yield Hosted(esx, beside, folder)
    finally:
        beside.run(esx.aclose())


@asynccontextmanager
async def hosted_in_memory(
    folder: Path, version: str = "8.0", **given: Any
) -> AsyncIterator[Hosted]:
    """Run a host as `hosted` does, without TLS, on the loop of `tests.rig.memory`, whose clock is the host's."""
    folder.mkdir(exist_ok=True)
    given.setdefault("datastores", {"datastore1": folder})
    # Its files have the time of this computer, behind which a host's clock must not be: they have an age.
    esx = ESXHost(version, clock=LoopClock(datetime.now(UTC)), **given)
    # In the caller's thread, so that a run is the same each time.
    esx.registry._threads = Inline()  # type: ignore[assignment]
    async with esx:
        yield Hosted(esx, Here(), folder, url=f"http://127.0.0.1:{esx.port}/sdk")


@contextmanager
def glance(beside: Beside, *images: Any) -> Iterator[EmbeddedGlance]:
    """Run an image service in the same thread as the host."""

    async def start() -> EmbeddedGlance:
        return await EmbeddedGlance(images).__aenter__()

    found = beside.run(start())
    try:
        yield found
    finally:
        beside.run(found.__aexit__(None, None, None))


@asynccontextmanager
async def glance_at(beside: Beside | None, *images: Any) -> AsyncIterator[EmbeddedGlance]:
    """Run an image service in the thread `beside`, or, with None, on the caller's own loop."""
    if beside is None:
        async with EmbeddedGlance(images) as found:
            yield found
    else:
        with glance(beside, *images) as found:
            yield found


@asynccontextmanager
async def store(service: EmbeddedGlance, **settings: Any) -> AsyncIterator[Glance]:
    # The service has no TLS.
    stall = settings.pop("stall_timeout", PATIENCE)
    async with HttpClient(ca=authority_file(), stall_timeout=stall) as http:
        yield Glance(http, service.url)


def spec(image: Path | str | None, name: str = "web", **given: Any) -> InstanceSpec:
    given.setdefault("nics", (NICSpec(network="VM Network", mac=MAC, addresses=("10.0.0.2/24",)),))
    given.setdefault("datastore", "datastore1")
    given.setdefault("memory_mb", 64)
    return InstanceSpec(name=name, image=None if image is None else str(image), **given)


TIMEOUTS = Timeouts(connect=5, handshake=5, read=0.6, write=2, call=2, logout=2)
"""For a host that does not answer on purpose."""


def seen_file(path: Path) -> SeenFile:
    """Return a file as the host lists it."""
    found = path.stat()
    modified = datetime.fromtimestamp(int(found.st_mtime), UTC)
    return SeenFile(name=path.name, size=found.st_size, modified=modified)


LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
"""For what is to be old by this computer's clock."""


def host_of(
    client: Client,
    config: DriverConfig = CONFIG,
    journal: Journal | None = None,
    clock: Callable[[], datetime] = own_time,
) -> Host:
    """What a driver of these settings gives its verbs."""
    return Host(client, config, journal or MemoryJournal(), clock=clock)


async def add_port_group(
    host: Host, name: str, vlan: int, *, spawn: str = "", interface: str = "vmnic0"
) -> None:
    """Make a port group as a spawn does."""
    network = await gather_network(host, name)
    steps = port_group_steps(host, network, name, vlan, interface=interface, spawn=spawn)

    async def nothing(run: Run) -> None:
        return None

    await execute(host, Plan(name, steps, nothing))


async def write_note(host: Host, name: str, vlan: int) -> notes.Note:
    """Write a note about a port group that is not there, and return it."""
    note = notes.new_note((await notes.datastores(host.client)).every, host.owner, name)
    await notes.make_folder(host, note)
    return await notes.write(host, note, name, vlan)
