"""What others made on the host is never changed or removed.

A case runs a workflow of the driver: spawn, destroy, push, port groups, snapshots, each broken off by a
cancellation, a failure or a kill, and then often swept by the next process. Before and at random requests of
it, others place machines, folders, files, port groups, snapshots, tasks and sessions whose names and paths
collide or nearly collide with ours, and set the host's clock. At the end each of these is compared with what it
was when it was placed. Some workflows have two living processes of one owner, both of which must succeed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import vimlib
from tests.attacks.core import Case
from tests.attacks.images import Images
from tests.attacks.lies import FAULTS, TASKS, faults
from tests.attacks.ops import IMAGE
from tests.attacks.proxy import Act, Turn
from tests.attacks.verbs import WRITING, prepare
from tests.attacks.world import DATASTORE, World, world
from tests.fuzz.flows import Taken
from tests.rig.memory import run
from tests.unit.driver.scenarios import SCENARIOS, VM
from vimdriver import DriverConfig, ESXDriver, InstanceSpec, NICSpec, push_images
from vimlib import vim25
from vimlib.errors import VimlibError

OURS, THEIRS = "us", "them"
UUID = "00000000-1111-2222-3333-444444444444"
DAY = 86400.0


def config(owner: str = OURS, journal: Path | None = None) -> DriverConfig:
    return DriverConfig(
        owner=owner, journal=journal, task_seconds=20, cleanup_seconds=40, settle_seconds=2
    )


def spec(name: str = "web", *, vlan: str | None = None, **how: Any) -> InstanceSpec:
    nics = (NICSpec(network=vlan, vlan=77),) if vlan else (NICSpec(network="VM Network"),)
    return InstanceSpec(
        name=name, image="root", datastore=DATASTORE, memory_mb=64, nics=nics, **how
    )


# -- what others own -----------------------------------------------------------------------------------


@dataclass
class Others:
    """Other people, with a session of their own, and what they made."""

    world: World
    client: vimlib.Client
    case: Case
    files: dict[str, str] = field(default_factory=dict)
    machines: dict[str, str] = field(default_factory=dict)
    groups: dict[str, Any] = field(default_factory=dict)
    snapshots: dict[tuple[str, int], str] = field(default_factory=dict)
    tasks: list[vim25.Task[Any]] = field(default_factory=list)
    session: str = ""

    async def begin(self, but: tuple[str, ...] = ()) -> None:
        """Record what is there before we come, but for what we get: a machine, its files, a port group."""
        self.session = await self._session()
        for machine in self.world.esx.machines.values():
            if machine.name not in but:
                self.machines[machine.moid] = _machine(machine)
        for path, digest in self.world.files().items():
            if path.partition("/")[0] not in but:
                self.files[path] = digest
        for name, group in self.world.port_groups().items():
            if name not in but:
                self.groups[name] = group

    async def _session(self) -> str:
        manager = self.client.content.sessionManager
        assert manager is not None
        row = await self.client.get(manager, "currentSession")
        found = row["currentSession"]
        return "" if found is None else str(found.key)

    def put(self, path: str, data: bytes) -> None:
        """Place a file; nothing if there is one, or if its folder cannot be made."""
        place = self.world.root / path
        if place.exists():
            return
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except OSError:
            return
        found = self.world.files()
        part = ""
        for step in path.split("/")[:-1]:
            part += step + "/"
            self.files[part] = ""
        self.files[path] = found[path]
        self.case.tell(f"others: {path}")

    async def compare(self) -> None:
        """Find everything that is not as it was."""
        case, found = self.case, self.world.files()
        for path, digest in self.files.items():
            if path not in found:
                case.find(f"removed: {_sort(path)}", path)
            elif found[path] != digest:
                case.find(f"changed: {_sort(path)}", path)
        present = {m.moid: _machine(m) for m in self.world.esx.machines.values()}
        for moid, text in self.machines.items():
            if moid not in present:
                case.find("removed: a machine", text[:200])
            elif present[moid] != text:
                case.find("changed: a machine", _difference(text, present[moid]))
        groups = self.world.port_groups()
        for name, group in self.groups.items():
            if groups.get(name) != group:
                case.find("removed or changed: a port group", f"{name} {group} {groups.get(name)}")
        there = {
            (m.moid, s.number): s.name
            for m in self.world.esx.machines.values()
            for s in m.all_snapshots()
        }
        for key, name in self.snapshots.items():
            if key[0] in present and there.get(key) != name:
                case.find("removed: a snapshot", f"{key} {name}")
        for task in self.tasks:
            row = await self.client.get(task, "info.state", "info.cancelled")
            if row["info.state"] != "running" or row["info.cancelled"]:
                case.find("cancelled: a task", str(row.props))
        if await self._session() != self.session:
            case.find("ended: a session")


def _machine(machine: Any) -> str:
    names = [(s.number, s.name) for s in machine.all_snapshots()]
    return f"{machine.name} {machine.power} {names} {machine.config!r}"


def _difference(one: str, other: str) -> str:
    at = next((n for n, pair in enumerate(zip(one, other)) if pair[0] != pair[1]), 0)  # noqa: B905
    return f"...{one[max(0, at - 60) : at + 60]} -> {other[max(0, at - 60) : at + 60]}"


def _sort(path: str) -> str:
    """Return a path with what varies taken out."""
    return re.sub(r"[0-9a-f]{16}", "HEX", path)


@cache
def temporary(owner: str) -> str:
    """Return the name of a temporary file of an owner, as a push shows one."""

    async def look() -> str:
        async with world(vms=1) as w, w.client() as client:
            seen: list[str] = []

            async def note(turn: Turn) -> None:
                if turn.verb == "PUT":
                    seen.append(turn.target)

            w.proxy.on_turn = note
            await push_images(
                client,
                Images(root=IMAGE),
                ["root"],
                datastore=DATASTORE,
                as_is=True,
                config=config(owner),
            )
            found = re.search(r"/(root\.img\.[^/?]+\.part)\?", seen[0])
            assert found is not None, seen
            return found[1]

    return run(look())


Placement = Callable[[Others], Awaitable[None]]


def file_in(folder: str, *names: str) -> Placement:
    """Place one of the files in a folder."""

    async def place(o: Others) -> None:
        name = o.case.rng.choice(names)
        o.put(f"{folder}/{name}" if folder else name, b"precious " + name.encode())

    return place


def temporary_alike() -> Placement:
    """Place what looks nearly like a temporary file of ours."""

    async def place(o: Others) -> None:
        rng = o.case.rng
        ours, theirs = temporary(OURS), temporary(THEIRS)
        token = re.findall(r"[0-9a-f]{16}", ours)[-1]
        fresh = f"{rng.getrandbits(64) | 0xA << 60:016x}"
        ours, theirs = ours.replace(token, fresh), re.sub(r"[0-9a-f]{16}(?=\.part)", fresh, theirs)
        name = rng.choice(
            [
                theirs,
                ours.replace(fresh, fresh[:15]),
                ours.replace(fresh, fresh + "0"),
                ours.replace(fresh, fresh.upper()),
                ours.replace(fresh, "g" * 16),
                ours.replace(fresh, fresh + " "),
                ours + ".bak",
                ours.removesuffix(".part"),
                ours.removeprefix("root.img."),
                f"{ours}/inside.img",  # a folder of that name
            ]
        )
        folder = rng.choice(["images", "", "web", "vimlib-networks", "other/deep"])
        o.put(f"{folder}/{name}" if folder else name, b"precious")

    return place


def note_alike() -> Placement:
    """Place what looks nearly like a note about a port group."""

    async def place(o: Others) -> None:
        rng = o.case.rng
        stem = f"{rng.getrandbits(128):032x}"
        text = rng.choice([b"us\n77\nv-77\n", b"them\n77\nv-77\n", b"", b"us\n", b"\0\xff" * 40])
        name = rng.choice([f"{stem}.{rng.getrandbits(64):016x}", "readme.txt", f"{stem}", "old/x"])
        o.put(f"vimlib-networks/{name}", text)

    return place


async def their_group(o: Others, name: str = "v-77", switch: str = "vSwitch0") -> None:
    """Make a port group, of the name that we use."""
    vlan = o.case.rng.choice((77, 77, 78))
    system = await _network_system(o.client)
    group = vim25.HostPortGroupSpec(
        name=name, vlanId=vlan, vswitchName=switch, policy=vim25.HostNetworkPolicy()
    )
    with suppress(vim25.AlreadyExists, vim25.NotFound):
        await system.AddPortGroup(group)
        o.groups[name] = o.world.port_groups()[name]
        o.case.tell(f"others: port group {name} {vlan}")


async def near_group(o: Others) -> None:
    await their_group(o, o.case.rng.choice(("v-77 ", "V-77", "v-7", "v-770", "v%2d77")))


async def _network_system(client: vimlib.Client) -> vim25.HostNetworkSystem:
    row = await client.collect(vim25.HostSystem, "configManager.networkSystem").first()
    assert row is not None
    return client.bind(row["configManager.networkSystem"])  # type: ignore[no-any-return]


async def _create(o: Others, name: str, path: str, *devices: Any) -> None:
    """Make a machine of others, if the host lets them."""
    row = await o.client.collect(vim25.Datacenter, "vmFolder").first()
    pool = await o.client.collect(vim25.ResourcePool).first()
    assert row is not None
    assert pool is not None
    folder = o.client.bind(row["vmFolder"])
    change = [vim25.VirtualDeviceConfigSpec(operation="add", device=each) for each in devices]
    wanted = vim25.VirtualMachineConfigSpec(
        name=name,
        numCPUs=1,
        memoryMB=64,
        guestId="otherGuest",
        files=vim25.VirtualMachineFileInfo(vmPathName=path),
        deviceChange=change,
    )
    before = o.world.files()
    with suppress(vim25.MethodFault):
        made = await o.client.run(
            lambda: folder.CreateVM_Task(wanted, o.client.bind(pool.obj)), timeout=50
        )
        machine = o.world.esx.machines[made.moref[1]]
        o.machines[machine.moid] = _machine(machine)
        stem = machine.vmx.rpartition("/")[2].removesuffix(".vmx")
        for path, digest in o.world.files().items():
            if path not in before and path.rpartition("/")[2].startswith(stem):
                o.files[path] = digest
        o.case.tell(f"others: machine {name} at {machine.vmx}")


async def near_machine(o: Others) -> None:
    name = o.case.rng.choice(("Web", "web-1", "web_1", "web ", "we", "web.vmx", "webx"))
    await _create(o, name, f"[{DATASTORE}]")


async def machine_in_folder(o: Others, folder: str = "web") -> None:
    """Register a machine whose configuration is in our folder."""
    (o.world.root / folder).mkdir(exist_ok=True)
    await _create(o, "lodger", f"[{DATASTORE}] {folder}/lodger.vmx")


async def machine_with_iso(o: Others, folder: str = "web") -> None:
    """Let a machine of others use a file in our folder."""
    o.put(f"{folder}/install.iso", b"precious iso")
    cdrom = vim25.VirtualCdrom(
        key=-2,
        controllerKey=-1,
        unitNumber=0,
        backing=vim25.VirtualCdromIsoBackingInfo(fileName=f"[{DATASTORE}] {folder}/install.iso"),
    )
    await _create(
        o, "reader", f"[{DATASTORE}] reader", vim25.VirtualIDEController(key=-1, busNumber=0), cdrom
    )


async def user_of_group(o: Others) -> None:
    """Let a machine of others use the port group that we make."""
    card = vim25.VirtualE1000(
        key=-1,
        backing=vim25.VirtualEthernetCardNetworkBackingInfo(deviceName="v-77"),
    )
    if "v-77" in o.world.port_groups():
        await _create(o, "user", f"[{DATASTORE}] user", card)
        if any(m.name == "user" for m in o.world.esx.machines.values()):
            # From now on the machine's network is theirs to keep.
            o.groups["v-77"] = o.world.port_groups()["v-77"]


async def their_instance(o: Others) -> None:
    """Spawn a machine by a driver of another owner, with our port group or without."""
    vlan = o.case.rng.choice(("v-77", None))
    name = o.case.rng.choice(("web-2", "other"))
    before = o.world.files()
    with suppress(VimlibError):
        await ESXDriver(o.client, Images(root=IMAGE), config(THEIRS)).spawn(spec(name, vlan=vlan))
        machine = o.world.esx.machine(name)
        o.machines[machine.moid] = _machine(machine)
        for path, digest in o.world.files().items():
            if path not in before and path.startswith((f"{name}/", f"{name}_")):
                o.files[path] = digest
        if vlan:
            o.groups[vlan] = o.world.port_groups()[vlan]
        o.case.tell(f"others: instance {name} {vlan}")


async def their_snapshot(
    o: Others, of: str = "web", names: tuple[str, ...] = ("before", "Before", "before ")
) -> None:
    """Make a snapshot of our machine under the name that we use."""
    for machine in tuple(o.world.esx.machines.values()):
        if machine.name == of:
            name = o.case.rng.choice(names)
            known = {s.number for s in machine.all_snapshots()}
            vm = o.client.bind(vim25.VirtualMachine(machine.moid))
            begin = partial(vm.CreateSnapshot_Task, name, memory=False, quiesce=False)
            with suppress(vim25.MethodFault):
                await o.client.run(begin, timeout=50)
            for snapshot in machine.all_snapshots():
                if snapshot.number not in known and snapshot.name == name:
                    o.snapshots[machine.moid, snapshot.number] = name
                    o.case.tell(f"others: snapshot {name!r}")


async def their_task(o: Others) -> None:
    """Start a task that does not end; the host has one at a time for a machine."""
    if o.tasks:
        return
    o.world.esx.faults.hold_task("Rename_Task")
    vm = o.client.bind(vim25.VirtualMachine(next(iter(o.world.esx.machines))))
    with suppress(vim25.MethodFault):
        o.tasks.append(await vm.Rename_Task("vm-0"))
        o.case.tell("others: a task")


FOLDER_FILES = (
    "notes.txt", "customer.vmdk", "customer-flat.vmdk", "install.iso", "other.vmx", "web-data.vmdk",
    "web-data-flat.vmdk", "web.iso", "web.txt", "webx.nvram", "data/deep.img", "Web.vmdk", "web.vmdk.bak",
    "web.vmx.orig", ".hidden", "web-flat.vmdk.old", "vmware.txt",
)  # fmt: skip

PLACEMENTS: dict[str, tuple[Placement, ...]] = {
    "spawn": (
        file_in("web", *FOLDER_FILES), file_in("web", *FOLDER_FILES), file_in("web_1", *FOLDER_FILES),
        file_in("", "web.vmdk", "web-flat.vmdk", "web.vmx", "web.img"), file_in("web-1", "web.vmdk", "web.vmx"),
        near_machine, machine_in_folder, machine_with_iso, their_group, near_group, user_of_group, their_instance,
        their_task, temporary_alike(), note_alike(),
    ),
    "destroy": (
        file_in("web", *FOLDER_FILES), file_in("web", *FOLDER_FILES), file_in("web", *FOLDER_FILES),
        near_machine, machine_in_folder, machine_with_iso, their_instance, their_snapshot, their_task,
    ),
    "push": (
        file_in("images", "root.img", "root.img.part", "other.img", "root"), file_in("images", "root.img"),
        temporary_alike(), temporary_alike(), temporary_alike(), their_instance, near_machine, their_task,
    ),
    "group": (
        their_group, their_group, near_group, user_of_group, user_of_group, their_instance, note_alike(), note_alike(),
    ),
    "snapshot": (their_snapshot, their_snapshot, their_snapshot, their_task, near_machine),
    "verb": (
        file_in(VM, *(name.replace("web", VM) for name in FOLDER_FILES)), file_in("vimlib-cache", "notes.txt", "x.vmdk"),
        partial(machine_in_folder, folder=VM), partial(machine_with_iso, folder=VM), their_group, near_group,
        partial(their_group, name="on-lab", switch="lab"), partial(their_snapshot, of=VM, names=("one", "One", "two")),
        partial(_create, name="lodger", path="[nas]"), their_instance, temporary_alike(), note_alike(),
    ),
}  # fmt: skip


# -- what we do ----------------------------------------------------------------------------------------


@dataclass
class Ours:
    """A process of ours."""

    world: World
    client: vimlib.Client
    driver: ESXDriver


async def _spawn(p: Ours, case: Case) -> Any:
    return await p.driver.spawn(
        spec(vlan="v-77" if case.chance(0.4) else None, uuid=UUID, power_on=case.chance(0.6))
    )


async def _destroy(p: Ours, case: Case) -> Any:
    return await p.driver.destroy("web")


async def _push(p: Ours, case: Case) -> Any:
    return await push_images(
        p.client,
        Images(root=IMAGE),
        ["root"],
        datastore=DATASTORE,
        as_is=True,
        config=p.driver.config,
        journal=p.driver.journal,
    )


async def _group(p: Ours, case: Case) -> Any:
    await p.driver.ensure_vlan("v-77", 77)
    return await p.driver.remove_vlan("v-77")


async def _remove_group(p: Ours, case: Case) -> Any:
    return await p.driver.remove_vlan("v-77")


async def _snapshot(p: Ours, case: Case) -> Any:
    await p.driver.snapshot("web", "before")
    return await p.driver.remove_snapshot("web", "before")


async def _clone(p: Ours, case: Case) -> Any:
    return await p.driver.clone("vm-0", "web")


async def _disks(p: Ours, case: Case) -> Any:
    made = await p.driver.attach_disk("web", size_gb=1, disk_type="thin")
    await p.driver.grow_disk("web", made.label, 2)
    await p.driver.detach_disk("web", made.label, delete=True)


async def _register(p: Ours, case: Case) -> Any:
    left = await p.driver.unregister("web")
    return await p.driver.register(str(left.path))


async def _resize(p: Ours, case: Case) -> Any:
    await p.driver.resize("web", cpus=2, disk_gb=1)
    await (p.driver.revert_resize if case.chance(0.5) else p.driver.confirm_resize)("web")


async def _capture(p: Ours, case: Case) -> Any:
    return await p.driver.capture("web", "taken", target=Taken())


LEFT_OUT = {
    "reboot_host": "with force, it ends everybody's session and stops everybody's machines: that is the order",
    "shutdown_host": "the same",
}
"""Verbs that are not attacked, and why."""


def _verb(name: str) -> Callable[[Ours, Case], Awaitable[Any]]:
    return lambda p, case: SCENARIOS[name].act(p.driver)


WORKFLOWS: dict[str, tuple[str, tuple[str, ...], Callable[[Ours, Case], Awaitable[Any]]]] = {
    # name: placements, what is made undisturbed before, work
    **{verb: ("verb", (verb,), _verb(verb)) for verb in sorted(WRITING - LEFT_OUT.keys())},
    "spawn": ("spawn", (), _spawn),
    "destroy": ("destroy", ("web",), _destroy),
    "push": ("push", (), _push),
    "ensure and remove a VLAN": ("group", (), _group),
    "remove a VLAN": ("group", ("v-77",), _remove_group),
    "snapshot": ("snapshot", ("web",), _snapshot),
    "clone": ("spawn", (), _clone),
    "attach and detach a disk": ("destroy", ("web",), _disks),
    "unregister and register": ("destroy", ("web",), _register),
    "resize": ("destroy", ("web",), _resize),
    "capture": ("snapshot", ("web",), _capture),
}


async def _prepare(w: World, what: tuple[str, ...], journal: Path) -> None:
    for each in what:
        async with (
            w.client() as client,
            ESXDriver(client, Images(root=IMAGE, raw=IMAGE), config(journal=journal)) as driver,
        ):
            if each in WRITING:
                await prepare(w, each, driver)
            elif each == "web":
                await driver.spawn(spec(uuid=UUID))
            else:
                await driver.ensure_vlan(each, 77)


def stamp(w: World, known: dict[str, int]) -> None:
    """Give new files the host's time, which is not this machine's."""
    now = w.clock.now().timestamp()
    for place, _, names in os.walk(w.root):
        for name in names:
            path = os.path.join(place, name)
            with suppress(FileNotFoundError):
                status = os.stat(path)
                if known.get(path) != status.st_mtime_ns:
                    os.utime(path, (now, now))
                    known[path] = os.stat(path).st_mtime_ns


def _judge_end(case: Case, name: str, task: asyncio.Task[Any]) -> None:
    """Record the error of the workflow; an untyped one is a finding."""
    if not task.cancelled() and (error := task.exception()) is not None:
        case.tell(f"ends in {type(error).__name__}")
        if not isinstance(error, VimlibError):
            case.find(f"{name}: untyped {type(error).__name__}", repr(error)[:300])


async def _process(
    w: World, case: Case, work: Callable[[Ours, Case], Awaitable[Any]], journal: Path
) -> None:
    async with (
        w.client() as client,
        ESXDriver(client, Images(root=IMAGE, raw=IMAGE), config(journal=journal)) as driver,
    ):
        await work(Ours(w, client, driver), case)


async def disturbed(case: Case) -> None:
    """One workflow, others meanwhile, perhaps a cancellation, failures or a kill, then a sweep."""
    rng = case.rng
    name = rng.choice(sorted(WORKFLOWS))
    placements, before, work = WORKFLOWS[name]
    case.tell(name)
    case.counts[f"workflow: {name}"] += 1
    async with AsyncExitStack() as stack:
        w = await stack.enter_async_context(world(vms=2))
        journal = w.folder / "journal"
        # A verb works on a machine that it adopts, and one on a port group that is there.
        ours: tuple[str, ...] = (VM,) if placements == "verb" else ()
        if name == "set_port_group":
            ours += ("VM Network",)
        others = await _others(stack, w, case, ours)
        await _prepare(w, before, journal)
        await _place(others, placements, rng.choice((0, 0, 1, 2, 3)))
        times: dict[str, int] = {}
        end = rng.choice(("whole", "cancel", "cancel", "fail", "fail", "kill", "kill"))
        case.counts[f"end: {end}"] += 1
        turns = {rng.randrange(60) for _ in range(rng.choice((0, 1, 1, 2, 3)))}
        at = rng.randrange(45)
        first = len(w.proxy.seen) + 5  # logging in takes these
        struck = False
        task: asyncio.Task[Any] | None = None

        async def on_turn(turn: Turn) -> None:
            nonlocal struck
            stamp(w, times)
            number = len(w.proxy.seen) - first
            if number in turns:
                turns.discard(number)
                await _place(others, placements, 1)
            if number >= at and not struck and task is not None:
                struck = True
                if end == "cancel":
                    case.tell(f"cancelled at {number} {turn.verb}")
                    task.cancel()
                elif end == "kill":
                    case.tell(f"killed at {number} {turn.verb}")
                    if journal.exists():
                        shutil.copy(journal, w.folder / "journal-killed")
                    w.proxy.kill()

        def plan(turn: Turn) -> Act | None:
            if end != "fail" or not at <= len(w.proxy.seen) - first < at + strikes:
                return None
            case.tell(f"{turn.verb}: {fault_name}")
            return act

        strikes = rng.choice((1, 1, 2, 8))
        fault_name, act = case.choose(faults(case))
        if end == "fail" and case.chance(0.3):
            method, fault = rng.choice(TASKS), rng.choice(FAULTS)()
            w.esx.faults.fail_task(method, fault)
            case.tell(f"{method} ends with {type(fault).__name__}")
        w.proxy.on_turn, w.proxy.plan = on_turn, plan

        task = asyncio.ensure_future(_process(w, case, work, journal))
        await asyncio.wait({task}, timeout=3000)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=3000)
        _judge_end(case, name, task)
        w.proxy.on_turn = w.proxy.plan = None
        w.esx.faults.rules.clear()
        stamp(w, times)
        if end == "kill" and struck:
            w.proxy.dead = False
            await w.settle(30)
            journal = w.folder / "journal-killed"
        await _place(others, placements, rng.choice((0, 0, 1, 2)))
        if end == "kill" or case.chance(0.4):
            await _sweep(case, w, journal, times)
        await w.settle(100)
        await others.compare()
        w.esx.faults.release_task("Rename_Task")


async def _others(
    stack: AsyncExitStack, w: World, case: Case, ours: tuple[str, ...] = ()
) -> Others:
    direct: Any = SimpleNamespace(port=w.esx.port)
    client = await stack.enter_async_context(w.client(direct, keepalive=None))
    others = Others(w, client, case)
    await others.begin(but=ours)
    return others


async def _place(others: Others, kind: str, count: int) -> None:
    for _ in range(count):
        await others.case.rng.choice(PLACEMENTS[kind])(others)


async def _sweep(case: Case, w: World, journal: Path, times: dict[str, int]) -> None:
    """Sweep as the next process, perhaps after the host's clock was set."""
    rng = case.rng
    step = rng.choice((0.0, 0.0, 25 * 3600, 90 * 3600, -25 * 3600))
    older = rng.choice((0.0, 3600.0, DAY))
    stamp(w, times)
    w.clock.step(step)
    case.tell(f"sweep, older than {older:g}, clock {step:+g}")
    with suppress(VimlibError):
        async with (
            w.client() as client,
            ESXDriver(client, Images(root=IMAGE, raw=IMAGE), config(journal=journal)) as driver,
        ):
            report = await driver.sweep(older_than=older)
            for item in report.items:
                case.tell(f"{item.action} {item.kind} {item.name} ({item.reason})")
                case.counts[f"swept: {item.action} {item.kind}"] += 1


async def together(case: Case) -> None:
    """Two living processes, of one owner or two: neither may undo the other's work."""
    rng = case.rng
    kind = rng.choice(("sweep beside a spawn", "sweep beside a push", "two on one VLAN"))
    case.tell(kind)
    case.counts[f"workflow: {kind}"] += 1
    async with AsyncExitStack() as stack:
        w = await stack.enter_async_context(world(vms=1))
        others = await _others(stack, w, case)
        times: dict[str, int] = {}
        at = rng.randrange(45)
        first = len(w.proxy.seen) + 5
        done = False
        direct: Any = SimpleNamespace(port=w.esx.port)
        other_client = await stack.enter_async_context(w.client(direct))

        async def beside() -> None:
            if kind == "two on one VLAN":
                owner = rng.choice((OURS, THEIRS))
                second = ESXDriver(other_client, Images(root=IMAGE), config(owner))
                if case.chance(0.5):
                    w.esx.faults.fail_task("CreateVirtualDisk_Task", vim25.InvalidState())
                    case.tell(f"beside, by {owner}: a spawn that fails")
                else:
                    case.tell(f"beside, by {owner}: a spawn, and its end")
                with suppress(VimlibError):
                    await second.spawn(spec("second", vlan="v-77"))
                    await second.destroy("second")
                # Of the same owner it would be an order to remove what the first is making.
                if owner == THEIRS:
                    with suppress(VimlibError):
                        await second.remove_vlan("v-77")
                return
            step = rng.choice((0.0, 25 * 3600, 90 * 3600, -3600.0))
            stamp(w, times)
            w.clock.step(step)
            case.tell(f"beside: sweep, clock {step:+g}")
            second = ESXDriver(other_client, Images(), config())
            with suppress(VimlibError):
                report = await second.sweep(older_than=rng.choice((DAY, 3600.0)))
                for item in report.items:
                    case.tell(f"{item.action} {item.kind} ({item.reason})")

        async def on_turn(turn: Turn) -> None:
            nonlocal done
            stamp(w, times)
            if len(w.proxy.seen) - first >= at and not done:
                done = True
                case.tell(f"at {at} {turn.verb}")
                await beside()

        w.proxy.on_turn = on_turn
        error: BaseException | None = None
        pushed: Any = None
        async with w.client() as client:
            driver = ESXDriver(client, Images(root=IMAGE), config())
            try:
                if kind == "sweep beside a push":
                    pushed = await _push(Ours(w, client, driver), case)
                    error = pushed[0].error
                else:
                    await driver.spawn(spec(vlan="v-77" if "VLAN" in kind else None))
            except VimlibError as exc:
                error = exc
            w.proxy.on_turn = None
        if error is not None:
            case.find(
                f"{kind}: the living process failed", f"{type(error).__name__}: {error}"[:300]
            )
        elif "VLAN" in kind:
            case.check("v-77" in w.port_groups(), f"{kind}: the port group in use is gone")
        await w.settle(100)
        await others.compare()


def attack(case: Case) -> None:
    """Run one case."""
    temporary(OURS), temporary(THEIRS)
    run(together(case) if case.chance(0.2) else disturbed(case))
