"""Login, call, collect, watch, wait, upload and download: cancelled and let down at every await.

The simulated host runs in a thread of its own, so what is counted is the client's alone. *Reset*
cuts the connections that there are at that moment and lets new ones through; *gone* cuts them and
all that come later. Both happen while the client stands still at the await.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import vimlib
from tests.rig.cancel import cancel_everywhere, fail_everywhere
from tests.rig.leaks import leakcheck
from tests.rig.line import Line
from tests.unit.driver.hosted import QUICK, TIMEOUTS, Beside, Hosted, hosted
from vimlib import vim25
from vimlib.errors import VimlibError

VM = vim25.VirtualMachine
DATA = bytes(range(256)) * 1200
OWNED = frozenset({"PropertyFilter", "ContainerView", "ListView", "InventoryView", "HttpNfcLease"})
"""What a client makes on the host and has to give back."""
_number = itertools.count()


@pytest.fixture(scope="module")
def beside() -> Iterator[Beside]:
    loop = Beside()
    yield loop
    loop.close()


class Work:
    """A host behind a line, and the verbs."""

    def __init__(self, host: Hosted, line: Line) -> None:
        self.host, self.line = host, line
        self.owned = self._owned()
        self.inside = False
        """Whether the last attempt was logged in."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[vimlib.Client]:
        esx = self.host.esx
        self.inside = False
        async with vimlib.connect(
            f"https://127.0.0.1:{self.line.port}/sdk",
            esx.credentials.username,
            esx.credentials.password,
            tls=vimlib.TLS(pin=esx.thumbprint),
            retries=QUICK,
            timeouts=TIMEOUTS,
            keepalive=None,
        ) as client:
            self.inside = True
            yield client

    async def login(self) -> None:
        async with self.client():
            pass

    async def call(self) -> None:
        async with self.client() as client:
            await client.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime()
            vm = await client.collect(VM).first()
            assert vm is not None
            await vm.obj.ReconfigVM_Task(self._spec())

    async def collect(self) -> None:
        async with self.client() as client:
            rows = await client.collect(VM, "name", "runtime.powerState", page=2).all()
            assert sorted(row["name"] for row in rows) == ["vm-0", "vm-1", "vm-2"]

    async def watch(self) -> None:
        async with self.client() as client, client.watch(VM, "name", "config.annotation") as watch:
            changes = aiter(watch)
            for _ in range(3):
                first = await anext(changes)
            spec = self._spec()
            await client.bind(first.obj).ReconfigVM_Task(spec)
            while (await anext(changes)).row.get("config.annotation") != spec.annotation:
                pass

    async def wait(self) -> None:
        async with self.client() as client:
            vm = await client.collect(VM).first()
            assert vm is not None
            await client.wait(await vm.obj.ReconfigVM_Task(self._spec()))

    async def upload(self) -> None:
        async def body() -> AsyncIterator[bytes]:
            for at in range(0, len(DATA), 100_000):
                yield DATA[at : at + 100_000]

        async with self.client() as client:
            store = client.datastore("datastore1")
            await store.upload("up", body(), size=len(DATA), overwrite=True)

    async def download(self) -> None:
        async with (
            self.client() as client,
            client.datastore("datastore1").download("down") as body,
        ):
            assert await body.read() == DATA

    @staticmethod
    def _spec() -> vim25.VirtualMachineConfigSpec:
        return vim25.VirtualMachineConfigSpec(annotation=f"note {next(_number)}")

    def _owned(self) -> int:
        objects = list(self.host.esx.world.objects.values())
        return sum(obj.kind in OWNED for obj in objects)

    def left(self) -> str:
        """Name what the client has left on the host; "" for nothing."""
        state = self.host.state()
        owned = self.host.beside.call(self._owned) - self.owned
        files = {name for name in state.files if "part" in name or "tmp" in name}
        if not (state.sessions or state.running or owned or files):
            return ""
        return f"{state.sessions} sessions, {owned} objects, {state.running}, {files}"

    async def cleared(self, at: int, *, idle: bool = False) -> None:
        for _ in range(300):
            if idle:
                self.host.beside.call(self.host.esx.world.sessions.expire)
            left = self.left()
            if not left:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"at {at} it left {left}")


@asynccontextmanager
async def work(beside: Beside, folder: Path) -> AsyncIterator[Work]:
    async with leakcheck():
        with hosted(beside, folder, vms=3, task_seconds=0.01) as host:
            (folder / "down").write_bytes(DATA)
            line = Line(host.esx.world.port)
            beside.run(line.start())
            try:
                yield Work(host, line)
            finally:
                beside.run(line.stop())


OUTLASTING = frozenset({"watch", "wait", "upload"})
"""What waits for updates goes on through an outage for as long as its patience lasts, or until its
caller's own deadline. An upload reads the file's size back by a task."""
VERBS = ("login", "call", "collect", "watch", "wait", "upload", "download")
ALL = pytest.param(1, id="all", marks=[pytest.mark.torture, pytest.mark.timeout(1200)])
SOME = pytest.param(9, id="some")


@pytest.mark.parametrize("every", [ALL, SOME])
@pytest.mark.parametrize("verb", VERBS)
async def test_cancelled_at_every_await(
    verb: str, every: int, beside: Beside, tmp_path: Path, told: Callable[[str], None]
) -> None:
    async with work(beside, tmp_path / "s") as job:

        async def check(at: int) -> None:
            async with leakcheck():
                await job.cleared(at)

        report = await cancel_everywhere(getattr(job, verb), check, every=every)
    told(f"{verb} cancelled at each {every}. await: {report}")
    assert report.suspensions > 8
    assert report.cancelled > report.finished


@pytest.mark.parametrize("every", [ALL, SOME])
@pytest.mark.parametrize("way", ["reset", "gone"])
@pytest.mark.parametrize("verb", VERBS)
async def test_failed_at_every_await(
    verb: str,
    way: str,
    every: int,
    beside: Beside,
    tmp_path: Path,
    told: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with work(beside, tmp_path / "s") as job:
        line = job.line
        seen = 0
        loop = asyncio.get_running_loop()
        deadline, working = asyncio.timeout(30), False

        def strike() -> None:
            beside.call(line.reset if way == "reset" else line.die)
            if way == "gone" and verb in OUTLASTING and working:
                deadline.reschedule(loop.time() + 0.5)

        async def attempt() -> None:
            nonlocal deadline, working
            async with leakcheck():  # its own awaits count, the verb is over by then
                async with asyncio.timeout(30) as deadline:
                    working = True
                    try:
                        await getattr(job, verb)()
                    finally:
                        working = False

        async def check(at: int, error: BaseException | None) -> None:
            nonlocal seen
            line.dead = False
            methods = job.host.methods()[seen:]
            seen += len(methods)
            assert methods.count("ReconfigVM_Task") <= 1, "a change was asked for twice"
            said = "not logged out" in caplog.text
            caplog.clear()
            # A login's answer that got lost took its cookie with it, and a host that is cut off does
            # not hear of a session's end: its idleness ends it, and only those.
            await job.cleared(at, idle=said or not job.inside)

        with caplog.at_level(logging.WARNING, "vimlib"):
            typed = (VimlibError, TimeoutError) if verb in OUTLASTING else (VimlibError,)
            report = await fail_everywhere(attempt, strike, check, typed=typed, every=every)
    told(f"{verb}, {way} at each {every}. await: {report}")
    assert report.suspensions > 8
    # Reads survive a reset; a host that is gone is survived by nothing but the last awaits.
    assert line.struck > 0
    assert way == "reset" or report.failed > 0
