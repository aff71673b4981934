"""Spawn, push and the like, cancelled at every await and with every call to the host failed once.

`test_torture_of_verbs` does the same to every verb of the driver. A `Job` is for what needs images, a second
host, or somebody who interferes. All of it is played in memory, where no second passes, and samples of it
over TLS with a host in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rig import memory
from tests.rig.cancel import cancel_everywhere, cancelled_at
from tests.rig.leaks import leakcheck
from tests.unit.driver.hosted import (
    CONFIG,
    TIMEOUTS,
    Beside,
    Hosted,
    State,
    glance_at,
    hosted,
    hosted_in_memory,
    spec,
    store,
    until,
)
from vimdriver._disks.transfer import Transfer
from vimdriver._images.embedded import EmbeddedGlance, made_image
from vimdriver._images.fan import FanLimits
from vimdriver._images.make import Pattern
from vimdriver._images.push import push_images
from vimdriver._images.push_to_hosts import push_to_hosts
from vimdriver._instances.types import NICSpec
from vimlib import vim25
from vimlib._client import Client
from vimlib._transport.base import EncodedCall, Exchange, Reply
from vimlib.errors import ConnectError, VimlibError

UUID = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"
VLAN = "vlan-42"
ROOT = "[datastore1] web/web.vmdk"


class Job:
    """One way to use the driver, and what the host may look like afterwards."""

    fewest = 25
    """Calls that it makes at least, login and logout with them; over sockets there are more looks at tasks."""
    others = 0
    """Further hosts that it needs."""
    foreign_files: frozenset[str] = frozenset()
    """What somebody else puts there."""

    def __init__(
        self, host: Hosted, image: Path, images: EmbeddedGlance, others: Sequence[Hosted] = ()
    ) -> None:
        self.host, self.image, self.images = host, image, images
        self.other_hosts = others
        self.settings: dict[str, Any] = {}
        self.clean = host.state()

    async def prepare(self) -> None:
        """Make what the attempt needs."""

    async def attempt(self) -> None:
        raise NotImplementedError

    def is_done(self, state: State) -> bool:
        """Whether the work is whole, leftovers apart."""
        raise NotImplementedError

    def most(self, method: str, error: BaseException | None) -> int:
        """Return how often a call that must not be repeated may come."""
        return 1

    async def check(self, *, finished: bool | None = None) -> None:
        """All of it is there or nothing, and then nothing is there for the next attempt."""
        state = self.host.state()

        def settled() -> bool:
            nonlocal state
            state = self.host.state()
            idle = not state.sessions and not state.running
            return idle and (state == self.clean or self.is_done(state))

        await until(settled, lambda: f"left behind: {state}")
        if finished is not None:
            assert self.is_done(state) is finished
        await self.clear()

    async def clear(self) -> None:
        raise NotImplementedError

    async def sweep(self) -> int:
        """Let a sweep find what a host did too late; return how much it was."""
        state = self.host.state()
        ours = replace(state, sessions=0, files=state.files - self.foreign_files)
        if ours == self.clean or self.is_done(state):
            return 0
        async with self.host.driver() as driver:
            report = await driver.sweep(older_than=0)
        # A file that came late, and nothing that was ours to take away.
        assert {(item.kind, item.action) for item in report.items} == {("file", "removed")}, report
        return len(report.removed)


class Spawn(Job):
    """A machine with a disk that grows, on a VLAN that is made for it."""

    async def attempt(self) -> None:
        async with self.host.driver(**self.settings) as driver:
            nics = (NICSpec(network="VM Network"), NICSpec(network=VLAN, vlan=42))
            await driver.spawn(spec(self.image, uuid=UUID, nics=nics, disk_gb=1))

    def is_done(self, state: State) -> bool:
        return state.machines == {"web"} and VLAN in state.groups and {
            "web/web.vmx", "web/web.vmdk", "web/web-flat.vmdk", "web/vmware.log"
        } <= state.files  # fmt: skip

    async def clear(self) -> None:
        self.host.esx.faults.clear()
        if self.host.state() != self.clean:
            async with self.host.driver() as driver:
                await driver.destroy("web")
                await driver.remove_vlan(VLAN)
        assert replace(self.host.state(), sessions=0) == self.clean


class _Beside(Job):
    """Somebody puts a file into the machine's folder, as soon as it is there."""

    foreign = b"somebody else's"
    foreign_files = frozenset({"web/customer-db.vmdk"})

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.was_put = False

    @property
    def path(self) -> Path:
        return self.host.folder / "web" / "customer-db.vmdk"

    async def put(self, call: EncodedCall, exchange: Exchange, /) -> Reply:
        """Put it there before or after each call, once."""
        self._put()
        reply = await exchange(call)
        self._put()
        return reply

    def _put(self) -> None:
        if not self.was_put and self.path.parent.is_dir():
            self.path.write_bytes(self.foreign)
            self.was_put = True

    async def attempt(self) -> None:
        self.was_put = False
        given = {"middleware": [self.put]}
        self.settings = {**self.settings, **given}
        await super().attempt()

    async def check(self, *, finished: bool | None = None) -> None:
        if self.was_put:
            await until(lambda: not self.host.state().running)
            assert self.path.read_bytes() == self.foreign
            self.path.unlink()
            if not list(self.path.parent.iterdir()):
                self.path.parent.rmdir()
        self.was_put = False
        await super().check(finished=finished)


class SpawnBeside(_Beside, Spawn):
    """See both."""


class Destroy(Job):
    """The end of a running machine."""

    fewest = 15

    async def prepare(self) -> None:
        async with self.host.driver() as driver:
            await driver.spawn(spec(self.image, uuid=UUID))

    async def attempt(self) -> None:
        if not self.host.state().machines:
            await self.prepare()
        async with self.host.driver(**self.settings) as driver:
            assert await driver.destroy("web")

    def is_done(self, state: State) -> bool:
        # Half done: the machine is still there, and a second call ends it.
        return state.machines == {"web"}

    async def clear(self) -> None:
        self.host.esx.faults.clear()
        if self.host.state().machines:
            async with self.host.driver() as driver:
                await driver.destroy("web")
        assert replace(self.host.state(), sessions=0) == self.clean


class DestroyBeside(_Beside, Destroy):
    """See both."""


class Push(Job):
    """Two images at once, as files."""

    published: set[str] | None = None

    async def attempt(self) -> None:
        self.published: set[str] | None = None
        async with self.host.client(**self.settings) as client, store(self.images) as found:
            results = await push_images(
                client, found, ["raw", "stream"], datastore="datastore1", as_is=True, config=CONFIG
            )
        self.published = {r.datastore_path.partition(" ")[2] for r in results if r.error is None}
        errors = [r.error for r in results if r.error is not None]
        if errors:
            raise errors[0]

    def is_done(self, state: State) -> bool:
        # Each one whole under its own name, or not there.
        whole = {f"images/{i.id}.{'img' if i.name == 'raw' else 'vmdk'}": i.size for i in self.images.images.values()}  # fmt: skip
        # What is said to have failed is not there, and what is there was said.
        if self.published is not None and state.files != self.published:
            return False
        return all(
            name in whole and (self.host.folder / name).stat().st_size == whole[name]
            for name in state.files
        )

    async def clear(self) -> None:
        self.host.esx.faults.clear()
        for file in (self.host.folder / "images").glob("*"):
            file.unlink()
        assert replace(self.host.state(), sessions=0) == self.clean


class PushDisks(Push):
    """An image, as a disk."""

    transfer: Transfer = "put"

    async def attempt(self) -> None:
        async with self.host.client(**self.settings) as client, store(self.images) as found:
            results = await push_images(
                client,
                found,
                ["stream"],
                datastore="datastore1",
                transfer=self.transfer,
                config=CONFIG,
            )
        errors = [r.error for r in results if r.error is not None]
        if errors:
            raise errors[0]

    def is_done(self, state: State) -> bool:
        """Each one is whole under its own name, with its record, or not there."""
        files = {Path(file) for file in state.files}
        disks = {p for p in files if p.suffix == ".vmdk" and not p.stem.endswith("-flat")}
        extents = {p.with_name(f"{p.stem}-flat.vmdk") for p in disks}
        records = files - disks - extents
        known = {image.id for image in self.images.images.values()}
        return (
            not state.machines
            and {p.stem for p in disks} <= known
            and extents <= files
            and all(p.suffix == ".json" for p in records)
            and sorted(p.name.partition(".")[0] for p in records) == sorted(p.stem for p in disks)
        )


class ImportDisks(PushDisks):
    """An image, as a disk, by an import."""

    transfer = "nfc"


class SpawnCached(Job):
    """A machine from an image that is fetched into the cache."""

    transfer: Transfer = "put"

    async def attempt(self) -> None:
        async with (
            store(self.images) as found,
            self.host.driver(found, **self.settings) as driver,
        ):
            await driver.spawn(spec("stream", uuid=UUID, nics=(), transfer=self.transfer))

    def is_done(self, state: State) -> bool:
        """The machine is whole, or only the image in the cache is left."""
        cached = {file for file in state.files if file.startswith("vimlib-cache/")}
        if cached and not (len(cached) == 2 and all(file.endswith(".vmdk") for file in cached)):
            return False
        rest = state.files - cached
        if not state.machines:
            return not rest
        return bool(cached) and {"web/web.vmx", "web/web.vmdk", "web/web-flat.vmdk"} <= rest

    async def clear(self) -> None:
        self.host.esx.faults.clear()
        async with self.host.driver() as driver:
            await driver.destroy("web")
            await driver.prune_cache("datastore1", older_than=0)
        assert replace(self.host.state(), sessions=0) == self.clean


class SpawnImported(SpawnCached):
    """A machine from an image that is imported into the cache."""

    transfer = "nfc"

    def most(self, method: str, error: BaseException | None) -> int:
        # One takes the disk out of the machine that brought it, one attaches its copy.
        return 2 if method == "ReconfigVM_Task" else 1


class SpawnConverted(SpawnCached):
    """The same, where the host converts the image's own file."""

    transfer = "sparse"


class PushToHosts(Push):
    """The same to two hosts, one of which cannot be reached."""

    async def attempt(self) -> None:
        self.published = None
        hosts = {"here": self.host.client(**self.settings), "away": Away()}
        async with store(self.images) as found:
            results = await push_to_hosts(
                hosts,
                found,
                ["raw", "stream"],
                datastore="datastore1",
                as_is=True,
                config=CONFIG,
            )
        here = [result for result in results if result.host == "here"]
        self.published = {r.datastore_path.partition(" ")[2] for r in here if r.error is None}
        errors = [r.error for r in here if r.error is not None]
        if errors:
            raise errors[0]


class Away(AbstractAsyncContextManager[Client]):
    """The login to a host that cannot be reached."""

    async def __aenter__(self) -> Client:
        await asyncio.sleep(0)
        raise ConnectError("cannot connect", host="away")

    async def __aexit__(self, *exc: object) -> None:
        raise AssertionError("nobody was logged in")


class FanOut(ImportDisks):
    """An image, as a disk by an import, to two hosts; what fails at one does not concern the other."""

    others = 1

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        (self.other,) = self.other_hosts
        self.other_clean = self.other.state()
        self.told: bool | None = None
        """Whether the other host reported the disk; None if the attempt was cancelled."""

    async def attempt(self) -> None:
        self.told = None
        hosts = {"here": self.host.client(**self.settings), "there": self.other.client()}
        async with store(self.images) as found:
            here, there = await push_to_hosts(
                hosts,
                found,
                ["raw"],
                datastore="datastore1",
                transfer=self.transfer,
                config=CONFIG,
                limits=FanLimits(patience=1.0, gather=1.0),
            )
        self.told = there.error is None
        assert there.error is None, there.error
        if here.error is not None:
            raise here.error

    async def check(self, *, finished: bool | None = None) -> None:
        state = self.other.state()

        def settled() -> bool:
            nonlocal state
            state = self.other.state()
            return not state.sessions and not state.running and self.is_done(state)

        await until(settled, lambda: f"left behind at the other host: {state}")
        assert self.told is None or any(file.endswith("-flat.vmdk") for file in state.files)
        for file in (self.other.folder / "images").glob("*"):
            file.unlink()
        assert self.other.state() == self.other_clean
        await super().check(finished=finished)


class Vlan(Job):
    """A port group of its own."""

    fewest = 20

    async def attempt(self) -> None:
        async with self.host.driver(**self.settings) as driver:
            await driver.ensure_vlan(VLAN, 42)

    def is_done(self, state: State) -> bool:
        # It is there and noted, or neither.
        return VLAN in state.groups and len(state.files) == 1

    async def clear(self) -> None:
        self.host.esx.faults.clear()
        if self.host.state().groups != self.clean.groups:
            async with self.host.driver() as driver:
                await driver.remove_vlan(VLAN)
        assert replace(self.host.state(), sessions=0) == self.clean


JOBS: tuple[type[Job], ...] = (
    Spawn,
    Destroy,
    SpawnBeside,
    DestroyBeside,
    Push,
    PushDisks,
    ImportDisks,
    SpawnCached,
    SpawnImported,
    SpawnConverted,
    PushToHosts,
    FanOut,
    Vlan,
)


@asynccontextmanager
async def job(
    kind: type[Job], beside: Beside | None, folder: Path, image: Path
) -> AsyncIterator[Job]:
    """Give a job with a host and an image service of its own, in the thread `beside` or in memory; nothing of
    ours may stay open.

    Their sockets are in this process too, so they end before descriptors are counted.
    """
    raw = made_image("raw", "raw", Pattern(1, 1 << 20))
    stream = made_image("stream", "streamOptimized", Pattern(2, 1 << 20))
    more = (folder.with_name(f"{folder.name}-{number}") for number in range(kind.others))
    folders = [folder, *more]
    async with leakcheck(), AsyncExitStack() as stack:
        images = await stack.enter_async_context(glance_at(beside, raw, stream))
        if beside is None:
            enter = stack.enter_async_context
            hosts = [await enter(hosted_in_memory(each)) for each in folders]
        else:
            hosts = [stack.enter_context(hosted(beside, each)) for each in folders]
        host, *others = hosts
        yield kind(host, image, images, others)


def play(
    work: Callable[[Beside | None], Coroutine[Any, Any, None]], beside: Beside, *, whole: bool
) -> None:
    """Play all of it in memory, or a sample of it with hosts in the thread."""
    if whole:
        memory.run(work(None))
    else:
        asyncio.run(work(beside))


# All of them take minutes: `nox -s torture`. A run of the tests takes samples.
ALL = pytest.param(1, id="all", marks=[pytest.mark.torture, pytest.mark.timeout(1800)])


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        *(pytest.param(kind, 1, id=f"all-{kind.__name__}", marks=ALL.marks) for kind in JOBS),
        *(pytest.param(kind, 47, id=f"some-{kind.__name__}") for kind in JOBS),
    ],
)
def test_cancelled_at_every_await(
    kind: type[Job], every: int, beside: Beside, tmp_path: Path, image: Path
) -> None:
    async def cancel(where: Beside | None) -> None:
        async with job(kind, where, tmp_path / "store", image) as work:
            await work.prepare()

            async def check(at: int) -> None:
                await work.check(
                    finished=True if at == 0 and not issubclass(kind, Destroy) else None
                )
                await work.prepare()

            report = await cancel_everywhere(work.attempt, check, every=every)
        print(f"{kind.__name__}: cancelled at each {every}. await, {report}")
        assert report.cancelled > report.suspensions // every // 2

    play(cancel, beside, whole=every == 1)


# -- every call fails once ---------------------------------------------------------------------------

# How, and with which settings of the client.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "reset": ({"what": "reset"}, {}),
    "drop": ({"what": "drop"}, {}),
    "fault": ({"what": "fault", "fault": vim25.SystemError(reason="on order")}, {}),
    "busy": ({"what": "fault", "fault": vim25.HostCommunication()}, {}),
    "html 503": ({"what": "html"}, {}),
    "html 200": ({"what": "html", "status": 200}, {}),
    "status 500": ({"what": "status", "status": 500}, {}),
    "reply lost": ({"what": "lose"}, {}),
    "reply empty": ({"what": "empty"}, {}),
    "reply cut": ({"what": "truncate"}, {}),
    "no reply": ({"what": "hang"}, {"timeouts": TIMEOUTS}),
    "late": ({"what": "delay", "seconds": 3.0}, {"timeouts": TIMEOUTS}),
}
SAMPLED = ("reset", "fault", "reply lost")
ONCE = (
    "CreateVM_Task",
    "CreateVirtualDisk_Task",
    "PowerOnVM_Task",
    "ReconfigVM_Task",
    "AddPortGroup",
)


class Outcomes:
    """How the runs of one way ended."""

    def __init__(self) -> None:
        self.calls = 0
        self.swept = 0
        self.ended: dict[str, int] = {}

    def count(self, error: BaseException | None) -> None:
        name = "done" if error is None else type(error).__name__
        self.ended[name] = self.ended.get(name, 0) + 1


async def fail_each(work: Job, way: str, step: int, caplog: pytest.LogCaptureFixture) -> Outcomes:
    """Run the job once for each call that it makes, failing that one; until no call is left."""
    order, settings = WAYS[way]
    esx = work.host.esx
    found = Outcomes()
    at = 1
    while True:
        await work.prepare()
        work.settings = settings
        before = len(esx.call_log)
        caplog.clear()
        rule = esx.faults.add("*", nth=at, **order)
        error: BaseException | None = None
        try:
            async with asyncio.timeout(60):
                await work.attempt()
        except VimlibError as failure:
            error = failure
        esx.faults.clear()
        made = esx.call_log[before:]
        for method in ONCE:
            sent = [
                r for r in made if r.method == method and not (r.fault or "").startswith("NotAuth")
            ]
            assert len(sent) <= work.most(method, error), (
                f"{way} at {at}: {method} came {len(sent)} times"
            )
        if "logout failed" in caplog.text or (error and made[-1].method == "Login"):
            # It was the logout that failed, or the login's answer got lost and its cookie with
            # it: nobody can end such a session but its idleness.
            work.host.beside.call(esx.sessions.expire)
        if way == "late" and error is not None:
            # The host does what was given up after all, once nobody looks any more.
            await asyncio.sleep(order["seconds"])
            found.swept += await work.sweep()
        try:
            await work.check(
                finished=True if error is None and not isinstance(work, Destroy) else None
            )
        except AssertionError as left:
            raise AssertionError(
                f"{way} at call {at} of {[r.method for r in made]}, {error!r}: {left}"
            ) from error
        if not rule.hits:
            return found
        found.calls += 1
        found.count(error)
        at += step


@pytest.mark.parametrize(
    ("kind", "way", "step"),
    [
        *(
            pytest.param(kind, way, 1, id=f"all {way}-{kind.__name__}", marks=ALL.marks)
            for kind in JOBS
            for way in WAYS
        ),
        *(
            pytest.param(kind, way, 31, id=f"some {way}-{kind.__name__}")
            for kind in JOBS
            for way in SAMPLED
        ),
    ],
)
def test_every_call_fails_once(
    kind: type[Job],
    way: str,
    step: int,
    beside: Beside,
    tmp_path: Path,
    image: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(where: Beside | None) -> None:
        async with job(kind, where, tmp_path / "store", image) as work:
            outcomes = await fail_each(work, way, step, caplog)
        print(
            f"{kind.__name__}, {way}: {outcomes.calls} calls failed, ended in {outcomes.ended}; swept {outcomes.swept}"
        )
        assert outcomes.calls * step >= kind.fewest

    with caplog.at_level(logging.WARNING, "vimlib.session"):
        play(fail, beside, whole=step == 1)


# -- cancelled again while it cleans up --------------------------------------------------------------


@pytest.mark.parametrize("kind", [Spawn, Push])
@pytest.mark.parametrize(
    ("first_step", "second_step"), [pytest.param(7, 5, id="many", marks=ALL.marks), pytest.param(67, 23, id="some")]
)  # fmt: skip
def test_cancelled_again_while_it_cleans_up(
    kind: type[Job],
    first_step: int,
    second_step: int,
    beside: Beside,
    tmp_path: Path,
    image: Path,
) -> None:
    async def cancel(where: Beside | None) -> None:
        runs = 0
        async with job(kind, where, tmp_path / "store", image) as work:
            for first in range(first_step, 180, first_step):
                for second in range(1, 60, second_step):
                    _, seen = await cancelled_at(work.attempt, first, first + second)
                    runs += seen >= first + second
                    await work.check()
        print(f"{kind.__name__}: cancelled twice in {runs} ways")
        assert runs

    play(cancel, beside, whole=first_step == 7)
