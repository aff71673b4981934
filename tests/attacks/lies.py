"""Every success must be on the host; what was refused or not sent must not be there.

A case runs one operation through a proxy that breaks a few exchanges: lost, cut, replaced, late and forged
responses, expired sessions, tasks that fail or end late. Then it compares the operation's own account
with the host. A wrong body of the right length, or a forged reply of valid XML, cannot be told from a true
one, and is not made.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Literal, TypeAlias

import vimlib
from tests.attacks import proxy as acts
from tests.attacks.core import Case
from tests.attacks.images import Images
from tests.attacks.ops import CONFIG, IMAGE, Happened, Op, driver, yes
from tests.attacks.proxy import HTML, Act, Turn, response
from tests.attacks.verbs import VERBS
from tests.attacks.world import DATASTORE, World, world
from tests.rig.memory import run
from vimdriver import InstanceSpec, NICSpec, push_images
from vimlib import vim25
from vimlib.errors import VimlibError

Face: TypeAlias = Literal["fault", "empty", "missing"]
FACES: tuple[Face, ...] = ("fault", "empty", "missing")

DATA = bytes(range(256)) * 160  # 40 KiB
OLD = b"what was there before" * 100


def digest(data: bytes) -> str:
    return f"{len(data)}:{hashlib.sha1(data).hexdigest()[:12]}"


def file_is(path: str, new: bytes, old: bytes | None = None) -> Callable[[World], Happened]:
    """Return whether a file has its new content, its old one (None: is absent), or another."""

    def look(w: World) -> Happened:
        found = w.files().get(path)
        if found == digest(new):
            return "yes"
        return "no" if found == (None if old is None else digest(old)) else "part"

    return look


async def put_files(w: World) -> None:
    (w.root / "d" / "sub").mkdir(parents=True)
    (w.root / "d" / "old.bin").write_bytes(OLD)
    (w.root / "d" / "data.bin").write_bytes(DATA)
    (w.root / "d" / "sub" / "x.bin").write_bytes(b"x")


def power(state: str) -> Callable[[World], Awaitable[None]]:
    async def setup(w: World) -> None:
        w.esx.machine("vm-0").set_power(state)

    return setup


def is_power(wanted: str) -> Callable[[World], Happened]:
    return lambda w: yes(w.machines().get("vm-0") == wanted)


async def read_all(body: Any) -> bytes:
    return b"".join([chunk async for chunk in body])


def files(client: vimlib.Client) -> vimlib.Datastore:
    return client.datastore(DATASTORE, settle=2.0)


async def download(client: vimlib.Client, *span: tuple[int, int | None]) -> bytes:
    async with files(client).download("d/data.bin", *span) as body:
        return await read_all(body)


async def chunks() -> Any:
    for at in range(0, len(DATA), 5000):
        yield DATA[at : at + 5000]


async def machine(client: vimlib.Client, name: str = "vm-0") -> vim25.VirtualMachine:
    (found,) = await client.find(f"/ha-datacenter/vm/{name}", vim25.VirtualMachine)
    assert isinstance(found.obj, vim25.VirtualMachine)
    return found.obj


async def names(client: vimlib.Client) -> list[str]:
    return sorted([row["name"] async for row in client.collect(vim25.VirtualMachine, "name")])


async def run_on(client: vimlib.Client, call: Callable[[Any], Any]) -> Any:
    vm = await machine(client)
    return await client.run(lambda: call(vm), timeout=15)


async def network_system(client: vimlib.Client) -> vim25.HostNetworkSystem:
    row = await client.collect(vim25.HostSystem, "configManager.networkSystem").first()
    assert row is not None
    system: vim25.HostNetworkSystem = client.bind(row["configManager.networkSystem"])
    return system


async def add_group(client: vimlib.Client) -> None:
    system = await network_system(client)
    policy = vim25.HostNetworkPolicy()
    spec = vim25.HostPortGroupSpec(name="made", vlanId=7, vswitchName="vSwitch0", policy=policy)
    await system.AddPortGroup(spec)


async def a_group(w: World) -> None:
    async with w.client() as client:
        await driver(client).ensure_vlan("ours-9", 9)


async def a_snapshot(w: World) -> None:
    async with w.client() as client:
        await driver(client).snapshot("vm-0", "before", foreign=True)


async def a_machine(w: World) -> None:
    async with w.client() as client:
        await driver(client).spawn(spec(power_on=False))


def spec(**how: Any) -> InstanceSpec:
    uuid = "00000000-1111-2222-3333-444444444444"
    return InstanceSpec(
        name="web", image="root", datastore=DATASTORE, memory_mb=64, uuid=uuid, **how
    )


def spawned(w: World) -> Happened:
    found = w.files()
    on = w.machines().get("web")
    if on is None and not any(name.startswith("web") for name in found):
        return "no"
    whole = found.get("web/web-flat.vmdk") == digest(IMAGE)
    return "yes" if whole and on == "poweredOn" else "part"


async def push(client: vimlib.Client, **how: Any) -> Any:
    (result,) = await push_images(
        client, Images(root=IMAGE), ["root"], datastore=DATASTORE, as_is=True, config=CONFIG, **how
    )
    if result.error is not None:
        raise result.error
    return result


async def attempt_reconfigure(client: vimlib.Client) -> Any:
    change = vim25.VirtualMachineConfigSpec(annotation="changed")
    return await run_on(client, lambda vm: vm.ReconfigVM_Task(change))


def note_of(w: World) -> str | None:
    text: str | None = w.esx.machine("vm-0").config.annotation
    return text


def _removed(call: asyncio.Future[bool]) -> bool | None:
    """Return whether a call of `destroy` states that it removed the machine; None: it does not know."""
    error = call.exception()
    if error is None:
        return call.result()
    if not isinstance(error, VimlibError):
        raise error
    return None if error.outcome == "unknown" else error.outcome == "applied"


async def _twice(client: vimlib.Client) -> list[bool]:
    both = [asyncio.ensure_future(driver(client).destroy("web")) for _ in range(2)]
    await asyncio.wait(both)
    claims = [_removed(call) for call in both]
    if all(call.exception() for call in both) and claims != [True, True]:
        return [both[claims[0] is False].result()]
    # One that does not know may have done what the other did not.
    return sorted(
        not other if claim is None else claim
        for claim, other in zip(claims, reversed(claims), strict=True)
    )


async def _listed(client: vimlib.Client) -> list[str]:
    return sorted(entry.path.path for entry in await files(client).list("d"))


async def _size(client: vimlib.Client) -> int:
    return (await files(client).stat("d/data.bin")).size


async def _get(client: vimlib.Client) -> Any:
    return (await client.get(await machine(client), "name"))["name"]


async def _find(client: vimlib.Client, pattern: str = "vm-*") -> list[str]:
    found = await client.find(pattern, vim25.VirtualMachine)
    return sorted(str(each.path).rpartition("/")[2] for each in found)


LISTED = ["d/data.bin", "d/old.bin", "d/sub"]

OPS: dict[str, Op] = {
    # -- files
    "upload": Op(lambda c: files(c).upload("new.bin", DATA, timeout=20), file_is("new.bin", DATA), weight=8),
    "upload, hashed": Op(
        lambda c: files(c).upload("new.bin", DATA, verify="hash", timeout=20), file_is("new.bin", DATA)
    ),
    "upload over": Op(
        lambda c: files(c).upload("d/old.bin", DATA, overwrite=True, timeout=20),
        file_is("d/old.bin", DATA, OLD),
        setup=put_files,
    ),
    "upload of chunks": Op(
        lambda c: files(c).upload("new.bin", chunks(), size=len(DATA), timeout=20),
        file_is("new.bin", DATA),
    ),
    "download": Op(download, expected=DATA, setup=put_files, weight=8),
    "download of a range": Op(
        lambda c: download(c, (100, 9000)), expected=DATA[100:9000], setup=put_files
    ),
    "download of an open range": Op(
        lambda c: download(c, (30_000, None)), expected=DATA[30_000:], setup=put_files
    ),
    "mkdir": Op(
        lambda c: files(c).mkdir("n/m", parents=True, timeout=20), lambda w: yes("n/m/" in w.files())
    ),
    "delete": Op(
        lambda c: files(c).delete("d/old.bin", timeout=20),
        lambda w: yes("d/old.bin" not in w.files()),
        setup=put_files,
    ),
    "delete a folder": Op(
        lambda c: files(c).delete("d", timeout=20),
        lambda w: yes("d/" not in w.files()),
        setup=put_files,
    ),
    "move": Op(
        lambda c: files(c).move("d/data.bin", "m.bin", timeout=20),
        lambda w: yes(w.files().get("m.bin") == digest(DATA) and "d/data.bin" not in w.files()),
        setup=put_files,
    ),
    "move over": Op(
        lambda c: files(c).move("d/data.bin", "d/old.bin", overwrite=True, timeout=20),
        file_is("d/old.bin", DATA, OLD),
        setup=put_files,
    ),
    "copy": Op(
        lambda c: files(c).copy("d/data.bin", "c.bin", timeout=20), file_is("c.bin", DATA), setup=put_files
    ),
    "list": Op(
        _listed, expected=LISTED, setup=put_files
    ),
    "exists": Op(lambda c: files(c).exists("d/data.bin"), expected=True, setup=put_files),
    "exists not": Op(lambda c: files(c).exists("d/none.bin"), expected=False, setup=put_files),
    "stat": Op(_size, expected=len(DATA), setup=put_files),
    # -- reads
    "collect": Op(names, expected=["vm-0", "vm-1"]),
    "get": Op(_get, expected="vm-0"),
    "find": Op(_find, expected=["vm-0", "vm-1"]),
    "find none": Op(lambda c: _find(c, "zz-*"), expected=[]),
    # -- calls and tasks
    "call PowerOn": Op(
        lambda c: run_on(c, lambda vm: vm.PowerOnVM_Task()), is_power("poweredOn"), once=("PowerOnVM_Task",)
    ),
    "call PowerOff": Op(
        lambda c: run_on(c, lambda vm: vm.PowerOffVM_Task()),
        is_power("poweredOff"),
        setup=power("poweredOn"),
        once=("PowerOffVM_Task",),
    ),
    "call Reconfig": Op(
        attempt_reconfigure, lambda w: yes(note_of(w) == "changed"), once=("ReconfigVM_Task",)
    ),
    "call Destroy": Op(
        lambda c: run_on(c, lambda vm: vm.Destroy_Task()),
        lambda w: yes("vm-0" not in w.machines()),
        once=("Destroy_Task",),
    ),
    "call AddPortGroup": Op(
        add_group, lambda w: yes("made" in w.port_groups()), once=("AddPortGroup",)
    ),
    # -- the driver
    "power_on": Op(lambda c: driver(c).power_on("vm-0", foreign=True), is_power("poweredOn")),
    "power_off": Op(
        lambda c: driver(c).power_off("vm-0", foreign=True), is_power("poweredOff"), setup=power("poweredOn")
    ),
    "suspend": Op(lambda c: driver(c).suspend("vm-0", foreign=True), is_power("suspended"), setup=power("poweredOn")),
    "resume": Op(lambda c: driver(c).resume("vm-0", foreign=True), is_power("poweredOn"), setup=power("suspended")),
    "shutdown": Op(
        lambda c: driver(c).shutdown("vm-0", force=True, foreign=True), is_power("poweredOff"), setup=power("poweredOn")
    ),
    "snapshot": Op(
        lambda c: driver(c).snapshot("vm-0", "s1", foreign=True),
        lambda w: yes(w.snapshots("vm-0") == ["s1"]),
        once=("CreateSnapshot_Task", "CreateSnapshotEx_Task"),
    ),
    "remove_snapshot": Op(
        lambda c: driver(c).remove_snapshot("vm-0", "before", foreign=True),
        lambda w: yes(not w.snapshots("vm-0")),
        setup=a_snapshot,
    ),
    "ensure_vlan": Op(
        lambda c: driver(c).ensure_vlan("made-8", 8),
        lambda w: yes(w.port_groups().get("made-8") == (8, "vSwitch0")),
        once=("AddPortGroup",),
        undoes=True,
    ),
    "remove_vlan": Op(
        lambda c: driver(c).remove_vlan("ours-9"),
        lambda w: yes("ours-9" not in w.port_groups()),
        setup=a_group,
    ),
    "destroy": Op(
        lambda c: driver(c).destroy("web"),
        lambda w: yes("web" not in w.machines() and not any(f.startswith("web/") for f in w.files())),
        setup=a_machine,
        weight=3,
    ),
    "destroy, twice at once": Op(
        _twice,
        lambda w: yes("web" not in w.machines() and not any(f.startswith("web/") for f in w.files())),
        expected=[False, True],
        # Neither call can then tell whether it or the other one removed the machine.
        if_lost=("Destroy_Task", [True, True]),
        setup=a_machine,
    ),
    "destroy, again": Op(
        lambda c: driver(c).destroy("no-such"), lambda w: "yes", expected=False
    ),
    "spawn": Op(lambda c: driver(c).spawn(spec()), spawned, once=("CreateVM_Task",), undoes=True, weight=8),
    "spawn with a VLAN": Op(
        lambda c: driver(c).spawn(spec(nics=(NICSpec(network="v-5", vlan=5),))),
        spawned,
        once=("CreateVM_Task", "AddPortGroup"),
        undoes=True,
        weight=3,
    ),
    "push": Op(push, file_is("images/root.img", IMAGE), undoes=True, weight=8),
    "push, read back": Op(
        lambda c: push(c, read_back=True), file_is("images/root.img", IMAGE), undoes=True
    ),
}  # fmt: skip
OPS = VERBS | OPS


# -- what is broken ----------------------------------------------------------------------------------

XML = b"text/xml; charset=utf-8"


def _longer(answer: acts.Answer) -> bytes:
    return answer.with_body(answer.body + b"and more" * 3)


def _shorter(share: float) -> Callable[[acts.Answer], bytes]:
    """Cut the body, and say so in its length."""
    return lambda answer: answer.with_body(answer.body[: int(len(answer.body) * share)])


def _cut(share: float) -> Callable[[acts.Answer], bytes]:
    """Cut the body below its announced length; the connection closes."""
    return lambda answer: answer.raw[: len(answer.head) + int(len(answer.body) * share)]


def _headless(share: float) -> Callable[[acts.Answer], bytes]:
    """Cut the body; its end is that of the connection."""

    def change(answer: acts.Answer) -> bytes:
        lines = [n for n in answer.head.split(b"\r\n") if not n.lower().startswith(b"content-l")]
        return b"\r\n".join(lines) + answer.body[: int(len(answer.body) * share)]

    return change


def faults(case: Case) -> dict[str, Act]:
    """Return all acts, with parameters of this case."""
    rng = case.rng
    share = rng.choice((0.0, 0.3, 0.7, 0.95))
    status = rng.choice((500, 502, 503, 504, 507, 400, 403, 404, 409, 410, 413, 429, 401))
    # What was done is answered by no 4xx: only a liar could, and nobody can tell.
    broken = rng.choice((500, 502, 503, 504, 507))
    good = rng.choice((200, 200, 201, 204, 206))
    wait = rng.choice((3.0, 15.0, 60.0))
    after = b"Retry-After: " + rng.choice((b"0", b"3", b"999999"))
    return {
        "reset": acts.reset,
        "drop": acts.drop,
        "lose": acts.lose,
        "lose politely": acts.lose_politely,
        "lose silently": acts.lose_silently,
        "HTML": acts.say(response(200, HTML)),
        "empty": acts.say(response(200, b"", kind=XML)),
        "status, undone": acts.say(response(status, HTML, after)),
        "success, undone": acts.say(response(good, b"")),
        "HTML after": acts.answer_after(response(200, HTML)),
        "empty after": acts.answer_after(response(200, b"", kind=XML)),
        "status after": acts.answer_after(response(broken, HTML)),
        "redirect": acts.say(response(302, b"", b"Location: /login")),
        "cut": acts.rewrite(_cut(share), close=True),
        "shorter": acts.rewrite(_shorter(share)),
        "longer": acts.rewrite(_longer),
        "without a length": acts.rewrite(_headless(share), close=True),
        "late": acts.late(wait),
        "late, lost": acts.late(wait, acts.lose),
        "request cut": acts.cut_request(share, None),
        "request cut, success": acts.cut_request(share, response(201)),
        "request cut, status": acts.cut_request(share, response(broken)),
        "flipped": acts.rewrite(_flipped),
    }


def _flipped(answer: acts.Answer) -> bytes:
    """Break the XML of a call; leave other bodies, whose damage cannot be seen."""
    if b"Envelope" not in answer.body:
        return answer.raw
    at = answer.body.rindex(b"<")
    return answer.with_body(answer.body[:at] + b"!" + answer.body[at + 1 :])


TASKS = (
    "PowerOnVM_Task", "PowerOffVM_Task", "ReconfigVM_Task", "Destroy_Task", "CreateSnapshot_Task",
    "CreateVM_Task", "CreateVirtualDisk_Task", "DeleteDatastoreFile_Task", "MoveDatastoreFile_Task",
    "CopyDatastoreFile_Task", "SearchDatastore_Task", "SuspendVM_Task", "RemoveSnapshot_Task", "ExtendVirtualDisk_Task",
)  # fmt: skip
FAULTS: tuple[Callable[[], vim25.MethodFault], ...] = (
    vim25.InvalidState,
    lambda: vim25.NoDiskSpace(file="x", datastore=DATASTORE),
    lambda: vim25.NotAuthenticated(
        object=vim25.Folder("ha-folder-root"), privilegeId="System.View"
    ),
    vim25.HostCommunication,
    vim25.RuntimeFault,
    lambda: vim25.NoPermission(object=vim25.Folder("ha-folder-root"), privilegeId="System.View"),
)


def arm(case: Case, w: World, turns: int) -> None:
    """Choose what is broken and when."""
    rng = case.rng
    planned: dict[int, tuple[str, Act]] = {}
    expire: dict[int, Face] = {}
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        sort = rng.random()
        at = rng.randrange(max(1, turns))
        if sort < 0.72:
            name, act = case.choose(faults(case))
            case.counts[f"fault: {name}"] += 1
            for again in range(rng.choice((1, 1, 1, 2, 6))):
                planned.setdefault(at + again, (name, act))
        elif sort < 0.84:
            face: Face = rng.choice(FACES)
            expire[at] = face
            case.counts[f"expired: {face}"] += 1
        elif sort < 0.92:
            method = rng.choice(TASKS)
            fault = rng.choice(FAULTS)()
            w.esx.faults.fail_task(method, fault)
            case.tell(f"{method} ends with {type(fault).__name__}")
            case.counts["failed task"] += 1
        else:
            method, seconds = rng.choice(TASKS), rng.choice((2.0, 10.0, 50.0))
            w.esx.faults.hold_task(method)
            asyncio.get_running_loop().call_later(seconds, w.esx.faults.release_task, method)
            case.tell(f"{method} ends {seconds:g} s late")
            case.counts["late task"] += 1
    first = len(w.proxy.seen)

    def plan(turn: Turn) -> Act | None:
        at = len(turn.proxy.seen) - 1 - first
        if at in expire:
            w.esx.expire_sessions(expire[at])
            case.tell(f"{at} {turn.verb}: sessions expire ({expire[at]})")
        if at not in planned:
            return None
        case.tell(f"{at} {turn.verb}: {planned[at][0]}")
        return planned[at][1]

    w.proxy.plan = plan


# -- the verdict -------------------------------------------------------------------------------------


def judge(
    case: Case, name: str, op: Op, w: World, result: Any, error: BaseException | None, before: int
) -> None:
    """Compare what the operation says with the host."""
    if error is not None and not isinstance(error, VimlibError):
        # Not this kind's affair, but never right.
        case.find(f"{name}: untyped {type(error).__name__}", repr(error)[:300])
        return
    if op.happened is None:
        if error is None:
            case.check(
                result == op.expected, f"{name}: wrong result as success", f"{result!r:.200}"
            )
        return
    happened = op.happened(w)
    case.counts[f"outcome: {'success' if error is None else error.outcome}"] += 1
    if error is None:
        right = [op.expected]
        if op.if_lost is not None and op.if_lost[0] in w.proxy.lost:
            right.append(op.if_lost[1])
        case.check(
            op.expected is None or result in right,
            f"{name}: wrong result",
            f"{result!r:.200}",
        )
        case.check(
            happened in ("yes", "both"), f"{name}: success, but the host has it not ({happened})"
        )
    elif error.outcome in ("refused", "not_sent") and name != "destroy, again":
        notes = " ".join(getattr(error, "__notes__", ()))
        if not (op.undoes and notes):
            case.check(
                happened in ("no", "both"),
                f"{name}: {error.outcome}, but the host has {'all' if happened == 'yes' else 'a part'}",
                f"{type(error).__name__}: {error}",
            )
    for method in op.once:
        done = sum(c.fault is None for c in w.esx.calls(method)[before:])
        case.check(done <= 1, f"{name}: {method} executed {done} times")


@cache
def turns_of(name: str) -> int:
    """Return the number of requests of an operation that nothing disturbs."""

    op = OPS[name]
    op.learn()

    async def count() -> int:
        async with world(vms=2) as w:
            if op.setup is not None:
                await op.setup(w)
            async with w.client() as client:
                before = len(w.proxy.seen)
                result = await op.work(client)
                assert op.expected is None or op.happened is not None or result == op.expected, (
                    name,
                    result,
                )
                turns = len(w.proxy.seen) - before
            assert op.happened is None or op.happened(w) in ("yes", "both"), (
                name,
                w.files(),
                w.machines(),
            )
            return turns

    return run(count())


CHOICES = [name for name, op in OPS.items() for _ in range(op.weight)]


def attack(case: Case) -> None:
    """Run one case."""
    name = case.rng.choice(CHOICES)
    op = OPS[name]
    turns = turns_of(name)

    async def play() -> None:
        async with world(vms=2) as w:
            if op.setup is not None:
                await op.setup(w)
            result, error = None, None
            case.tell(name)
            case.counts[name] += 1
            async with w.client() as client:
                counts = {method: len(w.esx.calls(method)) for method in op.once}
                arm(case, w, turns)
                try:
                    async with asyncio.timeout(3000):
                        result = await op.work(client)
                except Exception as exc:  # noqa: BLE001 - judged below
                    error = exc
                w.proxy.plan = None
            await w.settle(200)
            judge(case, name, op, w, result, error, max(counts.values(), default=0))

    run(play())
