"""Every verb that writes, disturbed everywhere: cancelled, with each call failed, and killed.

Each run has a host of its own, with a machine of ours and one of somebody else's: in memory, where no second
passes, except for processes that are killed. Whatever happens,
the host is afterwards as it was before the verb or as it is after it, in some runs once a sweep has
been there; no instance has two machines. A verb of several steps without an undo may stop between
them: then a second call completes it (`HALFWAY`).

A new verb needs its row in `tests.unit.driver.scenarios`. All of it takes long: `nox -s torture`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.rig import memory
from tests.rig.cancel import cancel_everywhere
from tests.rig.memory import in_memory_folder
from tests.unit.driver.hosted import CONFIG, OWNER, Beside, until
from tests.unit.driver.scenarios import SCENARIOS, Stage, staged, staged_in_memory, writing
from tests.unit.driver.sweep.test_killed import spawner
from tests.unit.driver.test_torture import ONCE, WAYS
from vimlib.errors import VimlibError

__all__ = ["spawner"]

VERBS = sorted(writing())
# The host goes down, and takes the session along.
DOWN = {"reboot_host", "shutdown_host"}
HALFWAY = {
    "destroy": "powered off, and not yet removed",
    "confirm_resize": "the old disk is being removed",
    "shutdown": "asked",
    "remove_vlan": "its notes are being removed",
}
TORTURE = [pytest.mark.torture, pytest.mark.timeout(3600)]


class Ground:
    """Hosts for one verb, one after another: in the thread `beside`, or in memory."""

    def __init__(self, verb: str, beside: Beside | None = None) -> None:
        self.verb = verb
        self._beside = beside
        self._stack = AsyncExitStack()
        self.stage: Stage
        self.before: object = None
        self.after: object = None
        self.swept = 0
        self.completed = 0

    async def fresh(self) -> Stage:
        """Start a new host, and bring it into the state for the verb."""
        await self.close()
        scenario, stack = SCENARIOS[self.verb], self._stack
        folder = stack.enter_context(in_memory_folder())
        if self._beside is None:
            self.stage = await stack.enter_async_context(staged_in_memory(scenario, folder))
        else:
            self.stage = stack.enter_context(staged(scenario, self._beside, folder))
        async with self.stage.driver() as driver:
            await self.stage.prepare(driver)
        return self.stage

    async def close(self) -> None:
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    async def act(self, **settings: Any) -> None:
        async with self.stage.driver(**settings) as driver:
            await self.stage.scenario.act(driver)

    async def learn(self) -> Counter[str]:
        """Run it undisturbed; return the calls that it makes."""
        stage = await self.fresh()
        # Each fresh host is like the first one.
        self.before = await self.facts()
        seen = len(stage.host.esx.call_log)
        await self.act()
        made = Counter(stage.host.methods()[seen:])
        self.after = await self.facts()
        return made

    async def facts(self) -> object:
        """Return all that verbs may change, without what is random."""
        found: list[Any] = [self.stage.shape()]
        if self.verb not in DOWN:
            async with self.stage.driver() as d:
                found += [await d.services(), await d.firewall(), await d.host_options("UserVars")]
                found += [(await d.host_time()).servers, await d.autostarts(), await d.switches()]
                found += [await d.port_group_policies(), (await d.host_capacity()).maintenance]
                found += [[one.name for one in await d.datastores()]]
        return found

    async def judge(self, what: str, *, done: bool = False) -> None:
        """Check the host after a disturbed run; `done`: the verb reported success."""
        esx, call = self.stage.host.esx, self.stage.host.beside.call
        call(esx.faults.clear)

        def idle() -> bool:
            return not self.stage.host.state().running

        await until(idle)
        names = call(lambda: [one.config.instanceUuid for one in esx.machines.values()])
        assert len(set(names)) == len(names), f"{what}: an instance has two machines"
        found = await self.facts()
        if done:
            assert found == self.after, f"{what}: reported as done\n{found}\n{self.after}"
        if found in (self.before, self.after):
            return
        assert self.verb not in DOWN, what
        await self.sweep()
        self.swept += 1
        found = await self.facts()
        if found in (self.before, self.after):
            return
        if self.verb in HALFWAY:
            self.completed += 1
            await self.act()
            found = await self.facts()
        assert found in (self.before, self.after), f"{what}\n{found}\n{self.before}\n{self.after}"

    async def sweep(self, **config: Any) -> None:
        async with self.stage.driver(replace(CONFIG, **config)) as driver, driver:
            await driver.sweep(older_than=0)


@asynccontextmanager
async def ground_of(verb: str, beside: Beside | None = None) -> AsyncIterator[Ground]:
    ground = Ground(verb, beside)
    try:
        yield ground
    finally:
        await ground.close()


def sampled(every: int, first: int) -> list[Any]:
    """Return the verbs with each step, and for a run of the tests a third of them with some steps.

    Each verb is in one of the three samples.
    """
    whole = [pytest.param(verb, 1, id=f"all-{verb}", marks=TORTURE) for verb in VERBS]
    slow = pytest.mark.slow
    return [
        *whole,
        *(pytest.param(verb, every, id=f"some-{verb}", marks=slow) for verb in VERBS[first::3]),
    ]


async def cancelled(verb: str, every: int) -> None:
    async with ground_of(verb) as ground:
        await ground.learn()
        await ground.fresh()

        async def check(at: int) -> None:
            await ground.judge(f"{verb} cancelled at {at}", done=at == 0)
            await ground.fresh()

        report = await cancel_everywhere(ground.act, check, every=every, most=5000)
    print(f"{verb}: {report}; swept {ground.swept}, completed {ground.completed}")
    assert report.suspensions


@pytest.mark.parametrize(("verb", "every"), sampled(31, 0))
def test_a_verb_cancelled_at_every_await(verb: str, every: int) -> None:
    memory.run(cancelled(verb, every))


def failures() -> list[Any]:
    """Return verbs and ways to fail: all, and a sample for a run of the tests."""
    whole = [
        pytest.param(verb, way, 1, id=f"all-{verb}-{way}", marks=TORTURE)
        for verb in VERBS
        for way in WAYS
    ]
    ways = ("reply lost", "fault", "reset")
    some = [
        pytest.param(verb, ways[n % 3], 11, id=f"some-{verb}-{ways[n % 3]}", marks=pytest.mark.slow)
        for n, verb in enumerate(VERBS[1::3])
    ]
    return [*whole, *some]


async def failed(verb: str, way: str, every: int) -> None:
    async with ground_of(verb) as ground:
        ended = await fail_each(ground, way, every)
    print(f"{verb}, {way}: N={ended.total()}, {dict(ended)}; swept {ground.swept}")
    assert ended


async def fail_each(ground: Ground, way: str, every: int) -> Counter[str]:
    """Run the verb once for each of its calls, which fails; return how the runs ended."""
    verb, (order, settings) = ground.verb, WAYS[way]
    usual = await ground.learn()
    calls = usual.total()
    ended: Counter[str] = Counter()
    for at in range(1 if every == 1 else min(4, calls), calls + 1, every):
        stage = await ground.fresh()
        seen = len(stage.host.esx.call_log)
        stage.host.esx.faults.add("*", nth=at, **order)
        error: BaseException | None = None
        try:
            async with asyncio.timeout(60):
                await ground.act(**settings)
        except VimlibError as failure:
            error = failure
        sent = Counter(
            record.method
            for record in stage.host.esx.call_log[seen:]
            if not (record.fault or "").startswith("NotAuth")
        )
        for method in ONCE:
            # A change is taken back by a call of the same method.
            most = max(1, usual[method]) * (1 if error is None else 2)
            assert sent[method] <= most, f"{verb}: {way} at call {at}: {sent}"
        if way == "late" and error is not None:
            await asyncio.sleep(order["seconds"])
        ended["done" if error is None else type(error).__name__] += 1
        await ground.judge(f"{verb}: {way} at call {at} of {calls}: {error!r}", done=error is None)
    return ended


@pytest.mark.parametrize(("verb", "way", "every"), failures())
def test_a_verb_with_each_of_its_calls_failed(
    verb: str, way: str, every: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        memory.run(failed(verb, way, every))


def ordered(
    ground: Ground,
    spawner: subprocess.Popen[str],
    folder: Path,
    at: tuple[str, int, str] | None = None,
) -> tuple[int, list[str]]:
    """Have a process do the verb, and end by SIGKILL at a step; return how it ended, and its steps."""
    esx, notes = ground.stage.host.esx, folder / "steps"
    order = {
        "verb": ground.verb, "at": at, "journal": str(folder / "journal"), "owner": OWNER,
        "notes": str(notes), "url": esx.url, "pin": esx.thumbprint,
        "username": esx.credentials.username, "password": esx.credentials.password,
        "glance": ground.stage.images.url, "image": "",
    }  # fmt: skip
    assert spawner.stdin is not None
    assert spawner.stdout is not None
    spawner.stdin.write(json.dumps(order) + "\n")
    spawner.stdin.flush()
    status = int(json.loads(spawner.stdout.readline())["status"])
    return status, notes.read_text().split()


@pytest.mark.parametrize(("verb", "every"), sampled(29, 2))
async def test_a_verb_killed_between_all_steps(
    verb: str, every: int, beside: Beside, spawner: subprocess.Popen[str], tmp_path: Path
) -> None:
    async with ground_of(verb, beside) as ground:
        killed = await kill_each(ground, every, spawner, tmp_path)
    print(f"{verb}: N={killed}, swept {ground.swept}, completed {ground.completed}")
    assert killed


async def kill_each(
    ground: Ground, every: int, spawner: subprocess.Popen[str], tmp_path: Path
) -> int:
    """Kill a process that does the verb at each of its steps; return how often it was killed."""
    verb = ground.verb
    await ground.learn()
    await ground.fresh()
    status, steps = ordered(ground, spawner, tmp_path)
    assert status == 0
    points = [
        (name, steps[: index + 1].count(name), when)
        for index, name in enumerate(steps)
        for when in (("before", "torn", "after") if name == "journal" else ("before", "after"))
    ]
    killed = 0
    for at in points[len(points) // 2 % every :: every]:
        await ground.fresh()
        (tmp_path / "journal").unlink(missing_ok=True)
        status, _ = ordered(ground, spawner, tmp_path, at)
        # How often it looks at a task is the host's business, so a step may not be reached.
        killed += status == -9
        await until(lambda: not ground.stage.host.state().running)
        if verb not in DOWN:
            await ground.sweep(journal=tmp_path / "journal")
        if verb == "screenshot":
            # The host chooses its name, which shows no owner: a sweep leaves it.
            for picture in ground.stage.host.folder.glob("vm-0/*.png"):
                picture.unlink()
        await ground.judge(f"{verb} killed at {at} of {steps}")
    return killed
