"""Login, call, collect, watch, wait, upload and download: cancelled and let down at every await.

The simulated host runs in a thread of its own, so what is counted is the client's alone. *Reset*
cuts the connections that there are at that moment and lets new ones through; *gone* cuts them and
all that come later. Both happen while the client stands still at the await.

Every run ends by the client's own deadlines. After each one the host's sessions are looked at: one
that is still there must be one that the client could not end, and is counted as what it is. Either
the answer to its login was lost, so that the client has never learnt its cookie (heard by a
middleware) and no call ever came with it (the host's log); or the client has said in the log that
the host, which is gone, did not take the logout.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

import vimlib
from tests.rig.cancel import cancel_everywhere, fail_everywhere
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from tests.rig.proxy import FaultProxy
from tests.unit.driver.hosted import PATIENCE, QUICK, Beside, Hosted, hosted, until
from vimlib import vim25
from vimlib._secret import Secret
from vimlib._transport import EncodedCall, Reply
from vimlib._transport.base import Exchange
from vimlib.errors import VimlibError
from vimlib.simulator._core.session import Session
from vimlib.soap import encode_response

VM = vim25.VirtualMachine
DATA = bytes(range(256)) * 1200
OWNED = frozenset({"PropertyFilter", "ContainerView", "ListView", "InventoryView", "HttpNfcLease"})
"""What a client makes on the host and has to give back."""
PATIENT = vimlib.Timeouts(
    connect=60, handshake=60, read=60, write=60, call=60, logout=60, outage=0.3
)
"""No deadline ends here on a slow machine; a watch outlasts an outage of a third of a second."""
LOST = "login's answer lost"
UNREACHED = "logout did not reach the host"
_number = itertools.count()


class Work:
    """A host behind a line, and the verbs."""

    def __init__(self, host: Hosted, line: FaultProxy) -> None:
        self.host, self.line = host, line
        self.owned = self._owned()
        self.learnt: set[str] = set()
        """Cookies that clients have been told."""
        self.stays = False
        """Whether clients do not log out, as one would that has forgotten to."""

    async def _overhear(self, call: EncodedCall, exchange: Exchange, /) -> Reply:
        """See which cookies the client gets to know."""
        if self.stays and call.method == "Logout":
            call.receive(encode_response(vim25.SessionManager.Logout))
            return Reply(200)
        take = call.on_cookie
        if take is not None:

            def learn(cookie: Secret) -> None:
                self.learnt.add(cookie.reveal().strip('"'))
                take(cookie)

            call = msgspec.structs.replace(call, on_cookie=learn)
        return await exchange(call)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[vimlib.Client]:
        esx = self.host.esx
        async with connected(
            esx,
            url=f"https://127.0.0.1:{self.line.port}/sdk",
            retries=QUICK,
            timeouts=PATIENT,
            keepalive=None,
            middleware=[self._overhear],
        ) as client:
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
        objects = list(self.host.esx.registry.objects.values())
        return sum(obj.kind in OWNED for obj in objects)

    def left(self) -> str:
        """Name what the client has left on the host; "" for nothing."""
        state = self.host.state()
        owned = self.host.beside.call(self._owned) - self.owned
        files = {name for name in state.files if "part" in name or "tmp" in name}
        if not (state.sessions or state.running or owned or files):
            return ""
        return f"{state.sessions} sessions, {owned} objects, {state.running}, {files}"

    def _excused(self, unreached: bool) -> list[str]:
        """End the sessions that the client could not, as their idleness would; name each one's reason."""
        sessions, reasons = self.host.esx.sessions, []
        for session in list(sessions.by_cookie.values()):
            reason = self._reason(session, unreached)
            if reason is not None:
                sessions.end(session)
                reasons.append(reason)
        return reasons

    def _reason(self, session: Session, unreached: bool) -> str | None:
        came = [record.method for record in self.host.esx.call_log if record.session == session.key]
        if session.cookie not in self.learnt:
            assert not came, f"calls came with a cookie that nobody was told: {came}"
            return LOST
        return UNREACHED if unreached and "Logout" not in came else None

    async def cleared(
        self, at: int, *, unreached: bool = False, patience: float = PATIENCE
    ) -> Counter[str]:
        """Wait until nothing is left but what is excused; return that, counted."""
        found: Counter[str] = Counter()
        left = ""

        def nothing() -> bool:
            nonlocal left
            found.update(self.host.beside.call(lambda: self._excused(unreached)))
            left = self.left()
            return not left

        await until(nothing, lambda: f"at {at} it left {left}", patience)
        return found


@asynccontextmanager
async def work(beside: Beside, folder: Path) -> AsyncIterator[Work]:
    async with leakcheck():
        with hosted(beside, folder, vms=3, task_seconds=0.01) as host:
            (folder / "down").write_bytes(DATA)
            line = FaultProxy("127.0.0.1", host.esx.port)
            beside.run(line.start())
            try:
                yield Work(host, line)
            finally:
                beside.run(line.stop())


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
                assert not await job.cleared(at), "a session was not logged out"

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
        line, stranded = job.line, Counter[str]()

        def strike() -> None:
            beside.call(line.reset if way == "reset" else line.die)

        async def attempt() -> None:
            async with leakcheck():  # its own awaits count, the verb is over by then
                # No run gets that far: it would be a TimeoutError, which is not one of ours.
                async with asyncio.timeout(600):
                    await getattr(job, verb)()

        async def check(at: int, error: BaseException | None) -> None:
            line.dead = False
            methods = job.host.methods()
            assert methods.count("ReconfigVM_Task") <= 1, "a change was asked for twice"
            unreached = "logout failed" in caplog.text
            caplog.clear()
            # Where the host can be reached again, a session that is known is logged out.
            assert not (unreached and way == "reset"), "a logout was given up"
            excused = await job.cleared(at, unreached=unreached)
            assert excused[UNREACHED] <= 1
            stranded.update(excused)
            beside.call(job.host.esx.call_log.clear)

        with caplog.at_level(logging.WARNING, "vimlib"):
            report = await fail_everywhere(
                attempt, strike, check, typed=(VimlibError,), every=every
            )
    left = ", ".join(f"{reason} {count}" for reason, count in sorted(stranded.items()))
    told(f"{verb}, {way} at each {every}. await: {report}; sessions left: {left or 'none'}")
    assert report.suspensions > 8
    # Reads survive a reset; a host that is gone is survived by nothing but the last awaits.
    assert line.struck > 0
    assert way == "reset" or report.failed > 0


async def test_a_session_that_is_left_is_noticed(beside: Beside, tmp_path: Path) -> None:
    """The check that the others rely on finds a client that does not log out, and one alone."""
    async with work(beside, tmp_path / "s") as job:
        job.stays = True
        await job.login()
        with pytest.raises(AssertionError, match="1 sessions"):
            await job.cleared(0, patience=0.1)
        assert await job.cleared(0, unreached=True) == {UNREACHED: 1}
        await job.login()
        job.learnt.clear()  # as if the answer had been lost
        assert await job.cleared(0) == {LOST: 1}
        # Who has made a call has learnt the cookie, whatever is said.
        await job.call()
        job.learnt.clear()
        with pytest.raises(AssertionError, match="nobody was told"):
            await job.cleared(0, patience=0.1)
        await job.host.settled(job.host.state())
        beside.call(job.host.esx.sessions.expire)
