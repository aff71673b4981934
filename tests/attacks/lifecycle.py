"""Two processes of one owner work on the same machines, by a state machine of hypothesis.

A schedule is a few verbs: spawn, clone, resize with confirm and revert, rescue, disks, power, destroy,
sweep; of one process alone, or of both at once. Meanwhile a response is lost, the sessions expire, a task
fails or ends late, a verb is cancelled, a process is killed and started again with its journal, and others
put things into the folders. After every request a uuid has at most one machine; after every verb all that
others own is as it was, and a verb that succeeded is on the host. At the end both processes sweep, all
machines are destroyed, and the datastore is as it was before, but for what others own.

A case is `SIZE` schedules with a seed of its own. Hypothesis shortens a schedule that breaks something.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.attacks import proxy as acts
from tests.attacks.core import Case
from tests.attacks.foreign import (
    FOLDER_FILES,
    OURS,
    THEIRS,
    Others,
    Placement,
    config,
    file_in,
    machine_in_folder,
    machine_with_iso,
    near_machine,
    spec,
    temporary,
    temporary_alike,
    their_instance,
)
from tests.attacks.images import Images
from tests.attacks.lies import FACES, FAULTS, XML
from tests.attacks.ops import IMAGE
from tests.attacks.proxy import HTML, Act, Proxy, Turn, response
from tests.attacks.world import DATASTORE, World, world
from tests.rig.memory import Held, MemoryRunner
from vimdriver import ESXDriver
from vimdriver._disks.cache import FOLDER as CACHE
from vimdriver._instances.machine import MAKING_KEY, device_files
from vimdriver._instances.pending import PENDING_KEY, Pending, parse_pending
from vimlib.errors import VimlibError

SIZE: Final = 25
"""Schedules of a case."""
STEPS: Final = 8
"""Rules of a schedule, at most."""
NAMES: Final = ("web", "db", "app")
UUIDS: Final = tuple(f"00000000-1111-2222-3333-44444444444{n}" for n in range(len(NAMES)))
RESCUE: Final = f"[{DATASTORE}] vm-0/vm-0.vmdk"
"""The disk of another's machine, which a rescue copies."""
SECOND: Final = "Hard disk 2"
CLONES: Final = ("none", "copy", "linked")
EXTENTS: Final = ("-flat.vmdk", "-delta.vmdk", "-sesparse.vmdk", "-ctk.vmdk")
TASKS: Final = (
    "CreateVM_Task", "ReconfigVM_Task", "CopyVirtualDisk_Task", "ExtendVirtualDisk_Task", "Destroy_Task",
    "DeleteVirtualDisk_Task", "CreateVirtualDisk_Task", "CreateSnapshot_Task", "PowerOffVM_Task",
)  # fmt: skip
ACTS: Final[dict[str, Act]] = {
    "lose": acts.lose,
    "lose politely": acts.lose_politely,
    "lose silently": acts.lose_silently,
    "reset": acts.reset,
    "drop": acts.drop,
    "late": acts.late(15.0),
    "late, lost": acts.late(60.0, acts.lose),
    "status, undone": acts.say(response(503, HTML)),
    "status after": acts.answer_after(response(502, HTML)),
    "empty after": acts.answer_after(response(200, b"", kind=XML)),
}
PLACEMENTS: Final[tuple[Placement, ...]] = (
    file_in("web", *FOLDER_FILES), file_in("db", "notes.txt", "db.vmdk.bak", "customer.vmdk"),
    near_machine, machine_in_folder, machine_with_iso, their_instance, temporary_alike(),
)  # fmt: skip


@dataclass(frozen=True)
class Disturbance:
    """What happens at a request of a verb."""

    kind: str
    at: int
    """Number of the request, counted from the verb's first."""


@dataclass(frozen=True)
class Action:
    """A verb of one process on one machine."""

    verb: str
    slot: int
    """Which machine."""
    number: int
    """Chooses among the verb's variants."""

    @property
    def uuid(self) -> str:
        return UUIDS[self.slot]


# -- verbs -----------------------------------------------------------------------------------------------


async def _spawn(d: ESXDriver, it: Action) -> Any:
    how: Any = {"clone": CLONES[it.number % 3], "power_on": it.number == 3}
    return await d.spawn(spec(NAMES[it.slot], uuid=it.uuid, **how))


async def _clone(d: ESXDriver, it: Action) -> Any:
    other = (it.slot + 1 + it.number % 2) % len(NAMES)
    return await d.clone(it.uuid, NAMES[other], uuid=UUIDS[other], linked=it.number > 1)


async def _resize(d: ESXDriver, it: Action) -> Any:
    return await d.resize(it.uuid, cpus=2, disk_gb=1 if it.number else None)


async def _attach(d: ESXDriver, it: Action) -> Any:
    return await d.attach_disk(it.uuid, size_gb=1, disk_type="thin")


async def _detach(d: ESXDriver, it: Action) -> Any:
    return await d.detach_disk(it.uuid, SECOND, delete=it.number > 0)


VERBS: Final[dict[str, Callable[[ESXDriver, Action], Awaitable[Any]]]] = {
    "spawn": _spawn,
    "clone": _clone,
    "resize": _resize,
    "confirm_resize": lambda d, it: d.confirm_resize(it.uuid),
    "revert_resize": lambda d, it: d.revert_resize(it.uuid),
    "rescue": lambda d, it: d.rescue(it.uuid, RESCUE),
    "unrescue": lambda d, it: d.unrescue(it.uuid),
    "attach_disk": _attach,
    "detach_disk": _detach,
    "power_on": lambda d, it: d.power_on(it.uuid),
    "power_off": lambda d, it: d.power_off(it.uuid),
    "destroy": lambda d, it: d.destroy(it.uuid),
    "sweep": lambda d, it: d.sweep(),
}
CHANGES: Final = tuple(name for name in VERBS if name != "spawn")


def _pending(machine: Any) -> Pending | None:
    return parse_pending(_marks(machine).get(PENDING_KEY))


def _marks(machine: Any) -> dict[str, str]:
    return {one.key: str(one.value) for one in machine.config.extraConfig}


def _made(machine: Any) -> bool:
    return machine is not None and MAKING_KEY not in _marks(machine)


HOLDS: Final[dict[str, Callable[[Any], bool]]] = {
    "spawn": _made,
    "resize": lambda m: m.config.hardware.numCPU == 2 and _pending(m) is not None,
    "confirm_resize": lambda m: _pending(m) is None,
    "revert_resize": lambda m: _pending(m) is None,
    "rescue": lambda m: _pending(m) is not None,
    "unrescue": lambda m: _pending(m) is None,
    "power_on": lambda m: m.power == "poweredOn",
    "power_off": lambda m: m.power == "poweredOff",
    "destroy": lambda m: m is None,
}
"""Whether a machine (None: there is none) shows that a verb succeeded."""


# -- processes -------------------------------------------------------------------------------------------


class Process:
    """One process of ours: its connection, its driver and its journal. It can be killed and started again."""

    def __init__(self, stage: Stage, name: str, proxy: Proxy) -> None:
        self.stage, self.name, self.proxy = stage, name, proxy
        self.driver: ESXDriver
        self.killed = False
        self._lives = 0
        self._held: Held[ESXDriver] | None = None

    @property
    def journal(self) -> Path:
        """The file of this life."""
        return self.stage.world.folder / f"{self.name}-{self._lives}.journal"

    async def start(self) -> None:
        self.proxy.dead = self.killed = False
        self._held = Held(self._life())
        self.driver = await self._held.value()

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[ESXDriver]:
        async with (
            self.stage.world.client(self.proxy) as client,
            ESXDriver(client, Images(root=IMAGE), config(journal=self.journal)) as driver,
        ):
            yield driver

    async def end(self) -> None:
        if self._held is not None:
            await self._held.close()

    def kill(self) -> None:
        """Send nothing more, and keep the journal as it is now: the next life begins with it."""
        if not self.killed:
            before = self.journal
            self.killed = True
            self._lives += 1
            if before.exists():
                shutil.copy(before, self.journal)
            self.proxy.kill()

    async def revive(self) -> None:
        """Start again after a kill."""
        await self.end()
        await self.start()


# -- the stage -------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """A host, two processes of ours, and others."""

    world: World
    others: Others
    processes: list[Process] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    """Files that there were before."""
    kept: set[str] = field(default_factory=set)
    """Files of disks that were detached to be kept."""
    formers: set[str] = field(default_factory=set)
    """Former root disks that a resize keeps, since they are linked to an image."""
    refused: list[VimlibError] = field(default_factory=list)
    """Errors in which verbs ended."""
    expired: bool = False

    # -- what is there -------------------------------------------------------------------------------

    def machines(self, uuid: str) -> list[Any]:
        """Return the machines of a uuid."""
        found = self.world.esx.machines.values()
        return [one for one in found if one.config.instanceUuid == uuid]

    def own(self) -> list[Any]:
        """Return the machines of all our uuids."""
        return [one for uuid in UUIDS for one in self.machines(uuid)]

    def look(self) -> None:
        """Raise `AssertionError` if a uuid has two machines, and note the former disks that stay."""
        pending = [found for one in self.own() if (found := _pending(one)) is not None]
        self.formers |= {one.former for one in pending if one.keeps_former}
        counts = Counter(one.config.instanceUuid for one in self.world.esx.machines.values())
        assert all(count == 1 for count in counts.values()), counts

    async def check(self) -> None:
        """Raise `AssertionError` if anything of others is not as it was."""
        self.look()
        if (
            self.expired
        ):  # by the host, so their session ended too; this property is read without one
            await self.others.client.get(self.others.client.content.rootFolder, "name")
            self.others.session = await self.others._session()
            self.expired = False
        await self.others.compare()
        findings = self.others.case.findings
        assert not findings, "\n".join(f"{one.what}: {one.detail}" for one in findings)

    # -- verbs ---------------------------------------------------------------------------------------

    async def perform(
        self,
        process: Process,
        action: Action,
        disturbance: Disturbance | None,
        second: Action | None = None,
        at: int = 0,
    ) -> None:
        """Do a verb; where `second` is given, the other process does that one from request `at` on."""
        other = self.processes[1 - self.processes.index(process)]
        tasks: dict[asyncio.Task[Any], Action] = {}
        first = len(process.proxy.seen)

        def begin(which: Process, what: Action) -> asyncio.Task[Any]:
            task = asyncio.ensure_future(self._work(which, what))
            tasks[task] = what
            return task

        def number() -> int:
            return len(process.proxy.seen) - 1 - first

        def plan(turn: Turn) -> Act | None:
            hit = disturbance is not None and number() == disturbance.at
            return ACTS.get(disturbance.kind) if hit and disturbance is not None else None

        async def on_turn(turn: Turn) -> None:
            self.look()
            if second is not None and len(tasks) == 1 and number() >= at:
                begin(other, second)
            if disturbance is not None and number() == disturbance.at:
                self._strike(process, main, disturbance)

        async def only_look(turn: Turn) -> None:
            self.look()

        if disturbance is not None:
            self._arm(disturbance)
        main = begin(process, action)
        process.proxy.plan, process.proxy.on_turn = plan, on_turn
        other.proxy.on_turn = only_look
        await asyncio.wait({main}, timeout=3000)
        if second is not None and len(tasks) == 1:
            begin(other, second)
        await asyncio.wait(tasks, timeout=3000)
        process.proxy.plan = process.proxy.on_turn = other.proxy.on_turn = None
        for task, what in tasks.items():
            assert task.done(), f"{what.verb} does not end"
        self.world.esx.faults.clear()
        if process.killed:
            await process.revive()
        for task, what in tasks.items():
            self._judge(task, what, alone=second is None)

    async def _work(self, process: Process, action: Action) -> Any:
        if action.verb == "detach_disk" and not action.number:
            # Its files are kept on purpose.
            with_disk = [
                one.path for one in await process.driver.devices(action.uuid) if one.label == SECOND
            ]
            for path in with_disk:
                stem = path.partition("] ")[2].removesuffix(".vmdk")
                self.kept |= {f"{stem}.vmdk", f"{stem}-flat.vmdk"}
        return await VERBS[action.verb](process.driver, action)

    def _arm(self, disturbance: Disturbance) -> None:
        """Have a task of the host fail, or end late."""
        faults, method = self.world.esx.faults, TASKS[disturbance.at % len(TASKS)]
        if disturbance.kind == "a task fails":
            faults.fail_task(method, FAULTS[disturbance.at % len(FAULTS)]())
        elif disturbance.kind == "a task is late":
            faults.hold_task(method)
            loop = asyncio.get_running_loop()
            loop.call_later(8.0, faults.release_task, method)

    def _strike(self, process: Process, main: asyncio.Task[Any], disturbance: Disturbance) -> None:
        """Do what happens to the whole process, or to all sessions."""
        if disturbance.kind == "cancel":
            main.cancel()
        elif disturbance.kind == "kill":
            process.kill()
        elif disturbance.kind in FACES:
            self.world.esx.expire_sessions(disturbance.kind)
            self.expired = True

    def _judge(self, task: asyncio.Task[Any], action: Action, *, alone: bool) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, VimlibError):
            raise error
        if error is not None:
            self.refused.append(error)
        if error is None and not task.cancelled() and alone and action.verb in HOLDS:
            found = self.machines(action.uuid)
            machine = found[0] if found else None
            assert HOLDS[action.verb](machine), f"{action.verb} succeeded, but the host has it not"

    # -- the end -------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Sweep, destroy all machines, and raise `AssertionError` if anything of ours is left."""
        await self.world.settle(200)
        for process in self.processes:
            await process.end()
            await process.start()
            report = await process.driver.sweep(older_than=0)
            assert not report.failed, report.failed
        await self.check()
        for machine in self.own():
            assert MAKING_KEY not in _marks(machine), f"{machine.name} is half-made after a sweep"
            pending = _pending(machine)
            assert pending is None or pending.phase == "done", f"{machine.name}: {pending}"
        stray = self._stray_disks()
        assert not stray, f"disks that no machine has: {stray}"
        driver = self.processes[0].driver
        await self._destroy_all(driver)
        report = await driver.sweep(older_than=0)
        assert not report.failed, report.failed
        await driver.prune_cache(DATASTORE, older_than=0)
        for process in self.processes:
            await process.end()
        await self.world.settle(100)
        await self.check()
        left = [path for path in self.world.files() if self._is_left(path)]
        assert not left, left
        running = [
            one.method
            for one in self.world.esx.registry.all("Task").values()
            if one.state in ("queued", "running")
        ]
        assert not running, running

    async def _destroy_all(self, driver: ESXDriver) -> None:
        # A machine to which another is linked goes after that one.
        for _ in UUIDS:
            refused: VimlibError | None = None
            for machine in self.own():
                try:
                    await driver.destroy(machine.config.instanceUuid)
                except VimlibError as error:
                    refused = error
            if refused is None:
                return
        raise AssertionError(f"cannot destroy: {refused!r}")

    def _stray_disks(self) -> list[str]:
        """Return the disks in the folders of our machines that neither a machine nor its pending change has."""
        used = set()
        for machine in self.world.esx.machines.values():
            used |= set(device_files(machine.config.hardware.device))
            pending = _pending(machine)
            used |= {pending.former} if pending else set()
        used |= self.formers
        own = tuple(f"{machine.folder}/" for machine in self.own())
        return [
            path
            for path in self.world.files()
            if path.startswith(own)
            and path.endswith(".vmdk")
            and not path.endswith(EXTENTS)
            and f"[{DATASTORE}] {path}" not in used
            and path not in self.kept | self.others.files.keys()
        ]

    def _shared_folders(self) -> set[str]:
        """Return the folders where a file belongs to a machine of others: there all stays that the host leaves."""
        files = [path for path in self.others.files if path.endswith(".vmx")]
        for machine in self.world.esx.machines.values():
            names = (getattr(one.backing, "fileName", "") for one in machine.config.hardware.device)
            files += [name.partition("] ")[2] for name in names if name]
        return {f"{path.rpartition('/')[0]}/" for path in files if "/" in path}

    def _is_left(self, path: str) -> bool:
        """Return whether a file is neither others' nor there on purpose."""
        theirs = self.others.files.keys() | self.kept | self.begun
        folders = {f"{machine.folder}/" for machine in self.world.esx.machines.values()}
        folders |= self._shared_folders()
        # Our verbs make no port groups, so that all notes about them are others'.
        folders.add("vimlib-networks/")
        if path in theirs or path == f"{CACHE}/" or path.startswith(tuple(folders)):
            return False
        # A folder stays with what others, or callers on purpose, have in it.
        return not (path.endswith("/") and any(one.startswith(path) for one in theirs))


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Run a host with two processes of ours and a client of others."""
    async with world(vms=1) as w:
        direct: Any = SimpleNamespace(port=w.esx.port)
        async with (
            w.client(direct, keepalive=None) as client,
            Proxy(w.esx.port).running() as second,
        ):
            others = Others(w, client, Case("lifecycle", 0, 0))
            await others.begin()
            made = Stage(w, others, begun=set(w.files()))
            made.processes = [Process(made, "a", w.proxy), Process(made, "b", second)]
            try:
                for process in made.processes:
                    await process.start()
                yield made
            finally:
                for process in made.processes:
                    await process.end()


# -- the state machine -----------------------------------------------------------------------------------

WHO: Final = st.integers(0, 1)
SLOT: Final = st.integers(0, len(NAMES) - 1)
NUMBER: Final = st.integers(0, 3)
AT: Final = st.integers(0, 24)
DISTURBANCE: Final = st.none() | st.builds(
    Disturbance,
    st.sampled_from([*ACTS, "cancel", "kill", *FACES, "a task fails", "a task is late"]),
    AT,
)


class Lifecycle(RuleBasedStateMachine):
    """The rules, each of which is run on the clock of one `MemoryRunner`."""

    played = 0
    """Schedules that have ended, of all."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = MemoryRunner()
        self._runner.__enter__()
        self._broken = True
        self._held: Held[Stage]
        self.stage: Stage

    def _run(self, work: Awaitable[Any]) -> None:
        async def whole() -> None:
            await work

        broken, self._broken = self._broken, True
        self._runner.run(whole())
        self._broken = broken

    @initialize()
    def begin(self) -> None:
        async def enter() -> None:
            self._held = Held(stage())
            self.stage = await self._held.value()

        self._broken = False
        self._run(enter())

    def _on_host(self, slot: int) -> int:
        """Return the slot of a machine that exists."""
        there = [n for n, uuid in enumerate(UUIDS) if self.stage.machines(uuid)]
        return there[slot % len(there)]

    @rule(who=WHO, slot=SLOT, number=NUMBER, disturbance=DISTURBANCE)
    def spawn(self, who: int, slot: int, number: int, disturbance: Disturbance | None) -> None:
        process = self.stage.processes[who]
        self._run(self.stage.perform(process, Action("spawn", slot, number), disturbance))

    @precondition(lambda self: self.stage.own())
    @rule(who=WHO, verb=st.sampled_from(CHANGES), slot=SLOT, number=NUMBER, disturbance=DISTURBANCE)
    def change(
        self, who: int, verb: str, slot: int, number: int, disturbance: Disturbance | None
    ) -> None:
        action = Action(verb, self._on_host(slot), number)
        self._run(self.stage.perform(self.stage.processes[who], action, disturbance))

    @rule(
        who=WHO,
        verbs=st.tuples(st.sampled_from([*VERBS]), st.sampled_from([*VERBS])),
        slots=st.tuples(SLOT, SLOT),
        numbers=st.tuples(NUMBER, NUMBER),
        at=AT,
        disturbance=DISTURBANCE,
    )
    def together(
        self,
        who: int,
        verbs: tuple[str, str],
        slots: tuple[int, int],
        numbers: tuple[int, int],
        at: int,
        disturbance: Disturbance | None,
    ) -> None:
        first, second = (Action(*each) for each in zip(verbs, slots, numbers, strict=True))
        process = self.stage.processes[who]
        self._run(self.stage.perform(process, first, disturbance, second, at))

    @rule(which=st.integers(0, len(PLACEMENTS) - 1), number=NUMBER)
    def place(self, which: int, number: int) -> None:
        self.stage.others.case.rng = random.Random(number)
        self._run(PLACEMENTS[which](self.stage.others))

    @invariant()
    def nothing_of_others_is_touched(self) -> None:
        self._run(self.stage.check())

    def teardown(self) -> None:
        try:
            if not self._broken:
                self._run(self.stage.finish())
                Lifecycle.played += 1
        finally:
            # After an error, that one counts, whatever ending the rest raises.
            with suppress(Exception) if self._broken else nullcontext():
                self._run(self._held.close())
            self._runner.__exit__(None, None, None)


def schedules(count: int, *, seed: int, steps: int = STEPS) -> None:
    """Run schedules. Raises the error of one that breaks something, with the shortest one in its notes."""
    temporary(OURS), temporary(THEIRS)

    class Seeded(Lifecycle):
        """Lifecycle with a seed."""

    run_state_machine_as_test(
        hypothesis.seed(seed)(Seeded),
        settings=settings(
            max_examples=count,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=False,
            print_blob=False,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


def attack(case: Case) -> None:
    """Run one case."""
    before = Lifecycle.played
    try:
        schedules(SIZE, seed=case.rng.getrandbits(32))
    except Exception as error:  # noqa: BLE001 - a verdict that failed, of whatever kind
        what = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        case.find(what, "\n".join(getattr(error, "__notes__", ())))
    case.counts["schedules"] += Lifecycle.played - before
