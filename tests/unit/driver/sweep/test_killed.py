"""A process killed by SIGKILL at each step, then a sweep: all of it is there, or nothing of it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.unit.driver.hosted import CONFIG, OWNER, Beside, Hosted, State, hosted
from tests.unit.driver.sweep.decoys import Decoys, place
from tests.unit.driver.sweep.spawner import FOREIGN
from vimdriver._sweep import SweepReport

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[4]
ALL = pytest.param(True, id="all", marks=[pytest.mark.torture, pytest.mark.timeout(1800)])

SOME = pytest.param(False, id="some", marks=pytest.mark.timeout(300))

# Calls that change something; a run of the tests takes these, or samples of them, all take minutes.
WRITES = (
    "CreateVM_Task", "CreateVirtualDisk_Task", "DeleteDatastoreFile_Task", "ExtendVirtualDisk_Task",
    "ReconfigVM_Task", "PowerOnVM_Task", "PowerOffVM_Task", "Destroy_Task", "MoveDatastoreFile_Task",
    "CopyVirtualDisk_Task", "DeleteVirtualDisk_Task", "ImportVApp", "HttpNfcLeaseComplete", "MoveVirtualDisk_Task", "MakeDirectory", "AddPortGroup", "RemovePortGroup", "journal", "body",
)  # fmt: skip


@contextmanager
def spawning() -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "tests.unit.driver.sweep.spawner"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def spawner() -> Iterator[subprocess.Popen[str]]:
    with spawning() as process:
        yield process


Point: TypeAlias = tuple[str, int, str]
"""Name of a step, which one of that name, and when."""


@dataclass
class Rig:
    """A host with look-alikes on it, and somebody who gives orders to processes."""

    host: Hosted
    spawner: subprocess.Popen[str]
    folder: Path
    image: Path
    decoys: Decoys
    clean: State
    steps: list[str] = field(default_factory=list)

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def order(self, job: str, at: Point | None = None, *, journal: bool = True, **more: Any) -> int:
        """Have a process do a job, as `push` or by a way `push-nfc`; return how it ended. Its steps are in `steps`."""
        self.begin(job, at, journal=journal, **more)
        return self.ended()

    def begin(
        self, job: str, at: Point | None = None, *, journal: bool = True, **more: Any
    ) -> None:
        """Have a process do a job; see `order`."""
        job, _, transfer = job.partition("-")
        notes = self.folder / "steps"
        order = {
            "job": job,
            "transfer": transfer or None,
            "at": at,
            "journal": str(self.journal) if journal else None,
            "owner": OWNER,
            "notes": str(notes),
            "url": self.host.esx.url,
            "pin": self.host.esx.thumbprint,
            "username": self.host.esx.credentials.username,
            "password": self.host.esx.credentials.password,
            "image": str(self.image),
            **more,
        }
        assert self.spawner.stdin is not None
        self.spawner.stdin.write(json.dumps(order) + "\n")
        self.spawner.stdin.flush()

    def ended(self) -> int:
        """Return how the job ended that was begun."""
        assert self.spawner.stdout is not None
        answer = self.spawner.stdout.readline()
        self.steps = (self.folder / "steps").read_text().split()
        return int(json.loads(answer)["status"])

    async def sweep(self, *, journal: bool = True, older_than: float = 3600) -> SweepReport:
        config = replace(CONFIG, journal=self.journal if journal else None)
        async with self.host.driver(config=config) as driver, driver:
            return await driver.sweep(older_than=older_than)

    def state(self) -> State:
        return replace(self.host.state(), sessions=0)

    async def clear(self) -> None:
        """Remove what is whole."""
        self.journal.unlink(missing_ok=True)
        async with self.host.driver() as driver:
            await driver.destroy("web")
            for name in ("vlan-42", "vlan-43"):
                if name in self.host.state().groups:
                    await driver.remove_vlan(name)
        for name in new(self):
            if name.startswith("images/disk"):
                (self.host.folder / name).unlink()
        self.check_clean()

    def check_clean(self) -> None:
        assert self.state() == self.clean
        self.decoys.check()


@asynccontextmanager
async def rigged(
    beside: Beside, tmp_path: Path, image: Path, spawner: subprocess.Popen[str]
) -> AsyncIterator[Rig]:
    # Tasks take a while, so that they run on when whoever began them is no more.
    with hosted(beside, tmp_path / "datastore1", task_seconds=0.03) as host:
        async with host.client() as client:
            decoys = await place(host, client)
        yield Rig(host, spawner, tmp_path, image, decoys, replace(host.state(), sessions=0))


WHOLE = {"web/web.vmx", "web/web.vmdk", "web/web-flat.vmdk"}


def is_nothing(rig: Rig, job: str) -> bool:
    state = rig.state()
    if job == "destroy":
        # The port group was not its own alone, and stays.
        return not new(rig, but_notes=True) and state.machines == rig.clean.machines
    return state == rig.clean


def new(rig: Rig, *, but_notes: bool = False) -> set[str]:
    found = rig.state().files - rig.clean.files
    return {name for name in found if not but_notes or not name.startswith("vimlib-networks/")}


def is_spawned(rig: Rig) -> bool:
    """Whether the machine is whole and runs, on a port group of its own."""
    state = rig.state()
    machine = rig.host.esx.machine("web") if "web" in state.machines else None
    return (
        machine is not None
        and machine.power == "poweredOn"
        and not any(o.key == "vimlib.making" for o in machine.config.extraConfig)
        and new(rig) >= WHOLE
        and (rig.host.folder / "web/web-flat.vmdk").stat().st_size == 1 << 30
        and state.groups == rig.clean.groups | {"vlan-42"}
    )


def is_pushed(rig: Rig) -> bool:
    """Whether the disk is whole; its record is written after it."""
    disk = {name for name in new(rig) if not name.endswith(".json")}
    flat = rig.host.folder / "images/disk-flat.vmdk"
    return (
        disk == {"images/disk.vmdk", "images/disk-flat.vmdk"}
        # The last sector is filled up.
        and flat.read_bytes().rstrip(b"\0") == rig.image.read_bytes().rstrip(b"\0")
    )


def is_there(rig: Rig) -> bool:
    """Whether the machine was left alone, whole, running or not."""
    return "web" in rig.state().machines and new(rig) >= WHOLE


def is_sized(rig: Rig) -> bool:
    """Whether the machine has its former size, or the new one, to be confirmed or for good; whole each time."""
    machine = rig.host.esx.machine("web")
    (disk,) = machine.disks()
    marks = {option.key: option.value for option in machine.config.extraConfig}
    files = {name for name in new(rig, but_notes=True) if name.endswith(".vmdk")}
    resized = {name for name in files if "-resize-" in name}
    size = (machine.config.hardware.numCPU, disk.capacityInKB >> 20)
    if "vimlib.pending" in marks:
        return size == (2, 2) and len(files - resized) == len(resized) == 2
    return (size, len(files - resized), len(resized)) in (((1, 1), 2, 0), ((2, 2), 0, 2))


def has_group(rig: Rig) -> bool:
    state = rig.state()
    return state.groups == rig.clean.groups | {"vlan-43"} and state.files > rig.clean.files


WORDS = {"journal": ("before", "torn", "after"), "body": ("before",)}


def points(steps: list[str], every: bool, sample: int = 1) -> list[Point]:
    """Return where to end: around each step, or around those that write."""
    chosen: list[Point] = []
    for index, name in enumerate(steps):
        if every or name in WRITES:
            number = steps[: index + 1].count(name)
            chosen += [(name, number, when) for when in WORDS.get(name, ("before", "after"))]
    return chosen if every else chosen[::sample]


def was_killed(status: int, at: Point) -> bool:
    """Whether it was; how often it polls is the host's business, so a poll may not be reached."""
    if status == -9:
        return True
    assert status == 0, at
    assert at[0] not in WRITES, at
    return False


JOBS = {
    "spawn": is_spawned,
    "push": is_pushed,
    "spawn-nfc": is_spawned,
    "push-nfc": is_pushed,
    "destroy": is_there,
    "resize": is_sized,
    "ensure_vlan": has_group,
}


# The steps of a resize, one by one, are those of `test_changes`.
KILLED = [
    *(pytest.param(job, True, id=f"{job}-all", marks=ALL.marks) for job in JOBS),
    *(
        pytest.param(job, False, id=f"{job}-some", marks=SOME.marks)
        for job in JOBS
        if job not in ("resize", "spawn-nfc")
    ),
]


@pytest.mark.parametrize(("job", "every"), KILLED)
async def test_row_61_killed_at_each_step(
    job: str,
    every: bool,
    beside: Beside,
    tmp_path: Path,
    image: Path,
    spawner: subprocess.Popen[str],
) -> None:
    async with rigged(beside, tmp_path, image, spawner) as rig:

        async def prepare() -> None:
            if job in ("destroy", "resize"):
                assert rig.order("spawn") == 0
                rig.journal.unlink()

        await prepare()
        assert rig.order(job) == 0
        assert job == "destroy" or JOBS[job](rig)
        todo, ended = points(rig.steps, every), {"whole": 0, "nothing": 0}
        # The first one is about its session, and the last one closes that entry.
        lines = rig.steps.count("journal")
        await rig.clear()
        for number, at in enumerate(todo):
            if number % 10 == 0:
                print(f"{job}: {number} of {len(todo)} points, {ended}", flush=True)
            await prepare()
            killed = was_killed(rig.order(job, at), at)
            where = f"{job} killed at {at} of {rig.steps}"
            report = await rig.sweep()
            assert not report.failed, f"{where}: {report.items}"
            rig.decoys.check()
            if not job.startswith("push") and 1 < rig.steps.count("journal") < lines:
                # Its session was written down, and has ended; a push writes none.
                assert rig.host.state().sessions == 0, where
            if JOBS[job](rig):
                ended["whole"] += 1
                made = [i.name for i in report.removed if i.kind == "machine"]
                # A machine that brought its disk may still be there.
                assert all(name.startswith("vimlib-import-") for name in made), where
            else:
                assert killed or job == "destroy", where
                assert is_nothing(rig, job), f"{where}: {new(rig)}, {report.items}"
                ended["nothing"] += 1
            # Nothing is open any more, and what is whole stays so.
            assert (await rig.sweep()).items == (), where
            rig.host.beside.call(rig.host.esx.sessions.expire)
            await rig.clear()
    print(f"{job}: killed at {len(todo)} points, {ended}")
    assert min(ended.values()) > 0 or (job == "resize" and not ended["nothing"])


@pytest.mark.parametrize("every", [ALL, SOME])
@pytest.mark.parametrize("job", ["spawn", "push"])
async def test_row_61_the_journal_is_lost_too(
    job: str,
    every: bool,
    beside: Beside,
    tmp_path: Path,
    image: Path,
    spawner: subprocess.Popen[str],
) -> None:
    """What the host itself knows is enough for machines and files, once it is old enough."""
    async with rigged(beside, tmp_path, image, spawner) as rig:
        assert rig.order(job, journal=False) == 0
        # Of the few points of a push each counts: at one alone a file is sure to stay behind.
        todo, left = points(rig.steps, every, 1 if job == "push" else 2), 0
        await rig.clear()
        for at in todo:
            was_killed(rig.order(job, at, journal=False), at)
            where = f"{job} killed at {at} of {rig.steps}"
            young = await rig.sweep(journal=False)
            assert not young.removed, where
            left += bool(young.left)
            report = await rig.sweep(journal=False, older_than=0)
            assert not report.failed, where
            rig.decoys.check()
            state = rig.state()
            if "web" in state.machines:
                # Whole, if perhaps not running: nobody knows any more that it was to.
                assert new(rig) >= WHOLE, where
                assert rig.host.esx.machine("web").disks(), where
            elif not is_pushed(rig):
                # The record of a disk that never came has no owner: it stays.
                records = {name for name in new(rig) if name.endswith(".json")}
                assert len(records) <= 1, where
                assert replace(state, files=state.files - records) == rig.clean, where
            await rig.clear()
    print(f"{job}: killed at {len(todo)} points, without a journal; {left} times too young")
    assert left > 0


@pytest.mark.parametrize("every", [ALL, SOME])
async def test_row_61_a_sweep_is_killed(
    every: bool, beside: Beside, tmp_path: Path, image: Path, spawner: subprocess.Popen[str]
) -> None:
    async with rigged(beside, tmp_path, image, spawner) as rig:

        def half_made() -> None:
            assert rig.order("spawn", ("ExtendVirtualDisk_Task", 1, "before")) == -9
            assert rig.state() != rig.clean

        half_made()
        assert rig.order("sweep", older_than=3600) == 0
        todo = points(rig.steps, every, 3)
        rig.check_clean()
        for at in todo:
            half_made()
            was_killed(rig.order("sweep", at, older_than=3600), at)
            report = await rig.sweep()
            assert not report.failed, report.items
            rig.check_clean()
            rig.journal.unlink()
    print(f"sweep: killed at {len(todo)} points")
    assert len(todo) > 5


DUMP = "vmware-vmx-zdump.000"
"""A file of the machine that the host does not remove with it, so that the driver has to."""


@pytest.mark.parametrize("every", [ALL, SOME])
@pytest.mark.parametrize("kill", [True, False], ids=["killed", "lives"])
@pytest.mark.parametrize("job", ["spawn", "destroy"])
async def test_a_file_that_somebody_puts_into_the_folder_at_each_step_stays(
    job: str,
    kill: bool,
    every: bool,
    beside: Beside,
    tmp_path: Path,
    image: Path,
    spawner: subprocess.Popen[str],
) -> None:
    """Whether the process is killed there or goes on; and a sweep and a destroy follow."""
    async with rigged(beside, tmp_path, image, spawner) as rig:
        web = rig.host.folder / "web"
        theirs = web / "customer-db.vmdk"

        async def prepare() -> None:
            if job == "destroy":
                assert rig.order("spawn") == 0
                rig.journal.unlink()
                (web / DUMP).write_bytes(b"core")

        await prepare()
        assert rig.order(job) == 0
        todo, put = points(rig.steps, every, 4), 0
        await rig.clear()
        for at in todo:
            await prepare()
            status = rig.order(job, at, foreign=str(theirs), kill=kill)
            where = f"{job}, a file put there at {at} of {rig.steps}"
            was_put = theirs.exists()
            # A host has no folder of that name before the machine, nor after its end.
            put += was_put
            assert status in ((-9, 0) if kill else (0,)), where
            report = await rig.sweep()
            assert not report.failed, f"{where}: {report.items}"
            async with rig.host.driver() as driver:
                await driver.destroy("web")
            assert theirs.exists() is was_put, where
            if was_put:
                assert theirs.read_bytes() == FOREIGN, where
                assert [path.name for path in web.iterdir()] == [theirs.name], where
                theirs.unlink()
                web.rmdir()
            await rig.clear()
    print(f"{job}: a file was put there at {put} of {len(todo)} points, and stayed")
    assert put > len(todo) // 4
