"""Every operation ends by its deadline or a default one, and soon after it is cancelled.

A case runs one operation against a peer that drips, stalls at any byte, sends headers, interim responses or
chunks for ever, pages with tokens for ever, truncates updates for ever, answers `Retry-After: 999999` or a
redirect to itself, never ends a task, refuses every session, or takes no byte of a body. Time is the loop's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

import vimlib
from tests.attacks import proxy as acts
from tests.attacks.core import Case
from tests.attacks.images import Images
from tests.attacks.lies import DATA, FAULTS, TASKS, machine, network_system, put_files, spec
from tests.attacks.lies import names as machine_names
from tests.attacks.ops import Op as AnyOp
from tests.attacks.proxy import Act, Proxy, Turn, response
from tests.attacks.verbs import VERBS
from tests.attacks.world import DATASTORE, World, world
from tests.rig.memory import MemoryLoop, run
from vimdriver import DriverConfig, ESXDriver, HttpClient, HttpImages, push_images
from vimlib import vim25
from vimlib.errors import VimlibError

IMAGE = bytes(range(256)) * 1024
CONFIG = DriverConfig(owner="attacks", task_seconds=8, cleanup_seconds=10, settle_seconds=1)
MOST_REQUESTS = 1500
CANCELLED = 120.0
"""Seconds that the end of a cancelled operation may take: it cleans up, each call by its deadline."""
LEAVING = 120.0
"""Seconds that leaving `connect` may take."""


@dataclass
class Setting:
    """What an operation works with."""

    world: World
    client: vimlib.Client
    images: Proxy
    store: Any = None

    @property
    def files(self) -> vimlib.Datastore:
        return self.client.datastore(DATASTORE, settle=1.0)

    @property
    def driver(self) -> ESXDriver:
        return ESXDriver(self.client, self.store or Images(root=IMAGE), CONFIG)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.images.port}/root.img"


@dataclass(frozen=True)
class Op:
    """An operation, and the virtual seconds in which it has to end."""

    work: Callable[[Setting], Awaitable[Any]]
    bound: float
    setup: tuple[Callable[[World], Awaitable[None]], ...] = field(default=())
    sends: bool = False
    """Whether it sends a body."""
    focus: str = ""
    """The HTTP method of its transfer."""
    weight: int = 2
    source: bool = False
    """Whether an image server takes part."""


async def power_on_state(w: World) -> None:
    w.esx.machine("vm-0").set_power("poweredOn")


async def ours(w: World) -> None:
    async with w.client() as client:
        await ESXDriver(client, Images(root=IMAGE), CONFIG).spawn(spec(power_on=False))


async def a_snapshot(w: World) -> None:
    async with w.client() as client:
        await ESXDriver(client, Images(), CONFIG).snapshot("vm-0", "before", foreign=True)


async def a_group(w: World) -> None:
    async with w.client() as client:
        await ESXDriver(client, Images(), CONFIG).ensure_vlan("ours-9", 9)


async def _chunks() -> Any:
    for _ in range(160):
        yield bytes(1000)


async def _download(s: Setting) -> None:
    async with s.files.download("d/data.bin") as body:
        async for _ in body:
            pass


async def _run(s: Setting, call: Callable[[Any], Any]) -> Any:
    vm = s.client.bind(vim25.VirtualMachine(next(iter(s.world.esx.machines))))
    return await s.client.run(lambda: call(vm), timeout=5)


async def _wait_for(s: Setting) -> Any:
    vm = s.client.bind(vim25.VirtualMachine(next(iter(s.world.esx.machines))))
    return await s.client.wait_for(vm, "runtime.powerState", lambda p: p == "suspended", timeout=5)


async def _watch(s: Setting) -> None:
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(20),
            s.client.watch(vim25.VirtualMachine, "name") as changes,
        ):
            async for _ in changes:
                pass


async def _events(s: Setting) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(20), s.client.events(follow=True) as events:
            async for _ in events:
                pass


async def _collect_with_deadline(s: Setting) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            await machine_names(s.client)


async def _push_from_source(s: Setting, ref: str, store: Any) -> None:
    results = await push_images(
        s.client, store, [ref], datastore=DATASTORE, config=CONFIG, overwrite=True, as_is=True
    )
    for result in results:
        if result.error is not None:
            raise result.error


async def _with_http(s: Setting, work: Callable[[HttpImages], Awaitable[Any]]) -> Any:
    async with HttpClient(connect_timeout=5, stall_timeout=10) as http:
        return await work(HttpImages(http))


async def _spawn_from_url(s: Setting, store: HttpImages) -> Any:
    given = Setting(s.world, s.client, s.images, store)
    return await given.driver.spawn(spec_from(s.url))


def spec_from(image: str) -> Any:
    return type(spec())(name="web", image=image, datastore=DATASTORE, memory_mb=64)


async def _lease(s: Setting, *, whole: bool) -> None:
    vm = s.client.bind(vim25.VirtualMachine(next(iter(s.world.esx.machines))))
    async with s.client.lease(vm.ExportVm(), timeout=5) as lease:
        for device in lease.devices if whole else ():
            async for _ in lease.download(device):
                pass


async def _add_group(s: Setting) -> None:
    await (await network_system(s.client)).AddPortGroup(
        vim25.HostPortGroupSpec(
            name="made", vlanId=7, vswitchName="vSwitch0", policy=vim25.HostNetworkPolicy()
        )
    )


SHORT, CALLS, VERB = 90.0, 400.0, 1500.0
"""Seconds: for `timeout=5` and a clean-up of one call; for a few calls of 20 s, repeated; for a verb."""

OPS: dict[str, Op] = {
    "call": Op(_add_group, CALLS),
    "collect": Op(lambda s: machine_names(s.client), CALLS),
    "collect, caller's deadline": Op(_collect_with_deadline, SHORT + 20),
    "get": Op(
        lambda s: s.client.get(vim25.VirtualMachine(next(iter(s.world.esx.machines))), "name"), CALLS
    ),
    "find": Op(lambda s: machine(s.client), CALLS),
    "run": Op(lambda s: _run(s, lambda vm: vm.PowerOnVM_Task()), SHORT),
    "wait_for": Op(_wait_for, SHORT),
    "watch, caller's deadline": Op(_watch, SHORT + 20),
    "events, caller's deadline": Op(_events, SHORT + 20),
    "upload": Op(
        lambda s: s.files.upload("new.bin", DATA * 4, timeout=5), SHORT, sends=True, focus="PUT", weight=5
    ),
    "upload of small chunks": Op(
        lambda s: s.files.upload("new.bin", _chunks(), size=160_000, timeout=5),
        SHORT,
        sends=True,
        focus="PUT",
        weight=5,
    ),
    "upload, hashed": Op(
        lambda s: s.files.upload("new.bin", DATA, verify="hash", timeout=5),
        SHORT,
        sends=True,
        focus="GET",
        weight=4,
    ),
    "upload, default": Op(
        lambda s: s.files.upload("new.bin", DATA * 4), CALLS, sends=True, focus="PUT", weight=4
    ),
    "download": Op(_download, CALLS, (put_files,), focus="GET", weight=8),
    "list": Op(lambda s: s.files.list("d", timeout=5), SHORT, (put_files,)),
    "stat": Op(lambda s: s.files.stat("d/old.bin", timeout=5), SHORT, (put_files,)),
    "exists": Op(lambda s: s.files.exists("d/old.bin"), CALLS, (put_files,)),
    "mkdir": Op(lambda s: s.files.mkdir("n/m", parents=True, timeout=5), SHORT),
    "delete": Op(lambda s: s.files.delete("d", timeout=5), SHORT, (put_files,)),
    "move": Op(lambda s: s.files.move("d/old.bin", "m", timeout=5), SHORT, (put_files,)),
    "copy": Op(lambda s: s.files.copy("d/old.bin", "c", timeout=5), SHORT, (put_files,)),
    "lease": Op(lambda s: _lease(s, whole=False), CALLS),
    "lease, download": Op(lambda s: _lease(s, whole=True), CALLS, focus="GET", weight=4),
    "spawn": Op(lambda s: s.driver.spawn(spec()), VERB, sends=True, focus="PUT", weight=6),
    "spawn from a URL": Op(
        lambda s: _with_http(s, lambda store: _spawn_from_url(s, store)), VERB, sends=True, source=True, focus="PUT"
    ),
    "destroy": Op(lambda s: s.driver.destroy("web"), VERB, (ours,)),
    "power_on": Op(lambda s: s.driver.power_on("vm-0", foreign=True), VERB),
    "power_off": Op(lambda s: s.driver.power_off("vm-0", foreign=True), VERB, (power_on_state,)),
    "shutdown": Op(
        lambda s: s.driver.shutdown("vm-0", force=True, foreign=True), VERB, (power_on_state,)
    ),
    "reboot": Op(lambda s: s.driver.reboot("vm-0", force=True, foreign=True), VERB, (power_on_state,)),
    "suspend": Op(lambda s: s.driver.suspend("vm-0", foreign=True), VERB, (power_on_state,)),
    "snapshot": Op(lambda s: s.driver.snapshot("vm-0", "s", foreign=True), VERB),
    "revert_snapshot": Op(lambda s: s.driver.revert_snapshot("vm-0", "before", foreign=True), VERB, (a_snapshot,)),
    "remove_snapshot": Op(lambda s: s.driver.remove_snapshot("vm-0", "before", foreign=True), VERB, (a_snapshot,)),
    "ensure_vlan": Op(lambda s: s.driver.ensure_vlan("made-8", 8), VERB, sends=True),
    "remove_vlan": Op(lambda s: s.driver.remove_vlan("ours-9"), VERB, (a_group,)),
    "sweep": Op(lambda s: s.driver.sweep(older_than=0), VERB, (ours, a_group)),
    "screenshot": Op(lambda s: s.driver.screenshot("vm-0", foreign=True), VERB, (power_on_state,)),
    "info": Op(lambda s: s.driver.info("vm-0"), CALLS),
    "diagnostics": Op(lambda s: s.driver.diagnostics("vm-0"), CALLS),
    "host_info": Op(lambda s: s.driver.host_info(), CALLS),
    "wait_for_network": Op(lambda s: s.driver.wait_for_network("vm-0", timeout=5), SHORT),
    "push": Op(
        lambda s: _push_from_source(s, "root", Images(root=IMAGE)), VERB, sends=True, focus="PUT", weight=6
    ),
    "push from a URL": Op(
        lambda s: _with_http(s, lambda store: _push_from_source(s, s.url, store)),
        VERB,
        sends=True,
        source=True,
        focus="PUT",
        weight=5,
    ),
}  # fmt: skip


def _further(verb: AnyOp) -> Op:
    """Return a verb of the driver as an operation that ends."""
    return Op(lambda s: verb.work(s.client), VERB, () if verb.setup is None else (verb.setup,))


OPS = {name: _further(verb) for name, verb in VERBS.items()} | OPS
CHOICES = [name for name, op in OPS.items() for _ in range(op.weight)]


# -- peers without an end ------------------------------------------------------------------------------


def _in_progress() -> vim25.MethodFault:
    return vim25.TaskInProgress(task=vim25.Task("haTask-1"))


def for_ever(piece: bytes, pause: float, first: bytes = b"") -> Act:
    """Respond with `first` and then the same bytes again and again."""

    async def act(turn: Turn) -> None:
        await turn.read_body()
        await turn.send(first)
        while not turn.client.writer.is_closing():
            await turn.send(piece)
            await asyncio.sleep(pause)

    return act


class Pages:
    """Adds a token to every page, so that no page is the last."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.page: acts.Answer | None = None
        self.count = 0

    def __call__(self, turn: Turn) -> Act | None:
        if turn.verb not in ("RetrievePropertiesEx", "ContinueRetrievePropertiesEx"):
            return None
        return self.serve

    async def serve(self, turn: Turn) -> None:
        self.count += 1
        if turn.verb == "RetrievePropertiesEx":
            self.page = await turn.forward()
        page = self.page
        if page is None or b"<returnval" not in page.body:
            await turn.send((page or await turn.forward()).raw)
            return
        body = page.body.replace(b"RetrievePropertiesExResponse", turn.verb.encode() + b"Response")
        if self.kind == "empty":
            body = re.sub(rb"<objects.*</objects>", b"", body, flags=re.DOTALL)
        elif self.kind == "fresh":
            body = re.sub(rb'(<obj type="\w+">)', rb"\g<1>n%d-" % self.count, body)
        token = b"same" if self.kind == "same token" else b"%d" % self.count
        body = body.replace(b"<returnval>", b"<returnval><token>%s</token>" % token, 1)
        await asyncio.sleep(0.2)
        await turn.send(page.with_body(body))


class Updates:
    """Answers every wait for updates at once, and says that there are more."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.count = 0

    def __call__(self, turn: Turn) -> Act | None:
        return self.serve if turn.verb in ("WaitForUpdatesEx", "WaitForUpdates") else None

    async def serve(self, turn: Turn) -> None:
        self.count += 1
        verb = turn.verb.encode()
        more = b"<truncated>true</truncated>" if self.kind.startswith("truncated") else b""
        version = b"1" if "same" in self.kind else b"%d" % self.count
        value = b"<returnval><version>%s</version>%s</returnval>" % (version, more)
        if self.kind == "nothing":
            value = b""
        body = (
            b'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope '
            b'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
            b'<%sResponse xmlns="urn:vim25">%s</%sResponse></soapenv:Body></soapenv:Envelope>'
        ) % (verb, value, verb)
        await asyncio.sleep(0.2)
        await turn.send(response(200, body, kind=b"text/xml; charset=utf-8"))


def _replaced(old: bytes, new: bytes) -> Callable[[acts.Answer], bytes]:
    return lambda answer: answer.with_body(answer.body.replace(old, new))


def _plain_urls(answer: acts.Answer) -> bytes:
    """Let the addresses of a lease lead to http, since nothing here speaks TLS."""
    return answer.with_body(re.sub(rb"https://[^/<]*/nfc", b"http://*/nfc", answer.body))


NOT_AUTHENTICATED = (
    b'<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><soapenv:Fault>'
    b"<faultcode>ServerFaultCode</faultcode><faultstring>no session</faultstring><detail>"
    b'<NotAuthenticatedFault xmlns="urn:vim25" xsi:type="NotAuthenticated">'
    b'<object type="Folder">ha-folder-root</object><privilegeId>System.View</privilegeId>'
    b"</NotAuthenticatedFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>"
)
XML = b"text/xml; charset=utf-8"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def choose(case: Case, op: Op) -> tuple[str, Callable[[Turn], Act | None] | None, float]:
    """Return a name, what happens to each request, and the share of cases that begin with the first one."""
    rng = case.rng
    pause = rng.choice((0.9, 4.0, 9.5, 0.0))
    wait = rng.choice((0.9, 4.0, 9.5))
    whole: dict[str, Act] = {
        "drip": acts.drip(wait, rng.choice((1, 1, 3))),
        "slow": acts.drip(0.5, 40),
        "stall": acts.stall(rng.choice((rng.randrange(1, 40), rng.randrange(1, 400), rng.randrange(1, 4000)))),
        "hang": acts.hang,
        "lose silently": acts.lose_silently,
        "reset": acts.reset,
        "Retry-After": acts.say(response(rng.choice((503, 429)), b"busy", b"Retry-After: 999999")),
        "busy": acts.say(response(503, b"busy")),
        "redirect": acts.say(response(302, b"", b"Location: /sdk")),
        "interim": for_ever(b"HTTP/1.1 100 Continue\r\n\r\n", pause or 0.01),
        "interim 102": for_ever(b"HTTP/1.1 102 Processing\r\n\r\n", wait),
        "headers": for_ever(b"X-More: 1\r\n", pause or 0.01, HEAD),
        "one header": for_ever(b"x", wait, HEAD + b"X-Long: "),
        "status line": for_ever(b"x", wait, b"HTTP/1.1 200 "),
        "chunks": for_ever(b"1\r\n \r\n", wait, CHUNKED),
        "a chunk's size": for_ever(b"0", wait, CHUNKED),
        "trailers": for_ever(b"X-More: 1\r\n", wait, CHUNKED + b"0\r\n"),
        "no length": for_ever(b" ", wait, HEAD + b"Connection: close\r\n\r\n"),
        "not authenticated": acts.say(response(500, NOT_AUTHENTICATED, kind=XML)),
    }  # fmt: skip
    if op.sends:
        sipping = acts.sip(wait, rng.choice((1, 1000)))
        whole |= {f"sip{n}": sipping for n in ("", " ", "  ")}
        whole |= {"take nothing": acts.no_reading, "take nothing ": acts.no_reading}
    kinds: dict[str, Callable[[Turn], Act | None]] = {
        name: (lambda turn, act=act: act)  # type: ignore[misc]
        for name, act in whole.items()
    }
    for kind in ("same", "empty", "same token"):
        kinds[f"pages: {kind}"] = Pages(kind)
    if op.bound <= SHORT + 20:
        # Objects that are new on each page are progress: only a deadline ends them.
        kinds["pages: fresh"] = Pages("fresh")
    for kind in ("truncated", "truncated, same version", "nothing", "same version"):
        kinds[f"updates: {kind}"] = Updates(kind)
    name = rng.choice(sorted(kinds))
    return name.strip(), kinds[name], 0.3


def arm(case: Case, op: Op, s: Setting, target: Proxy) -> None:
    """Choose what has no end."""
    rng = case.rng
    if case.chance(0.15):
        methods = rng.sample(TASKS, rng.choice((1, 3, len(TASKS))))
        for method in methods:
            s.world.esx.faults.hold_task(method)
        case.tell(f"tasks without end: {', '.join(methods)}")
        case.counts["tasks without end"] += 1
        return
    if case.chance(0.05):
        fault: Callable[[], vim25.MethodFault] = rng.choice((_in_progress, *FAULTS))
        method = rng.choice(TASKS)
        s.world.esx.faults.fail(method, fault(), times=None)
        case.tell(f"{method} is always refused")
        case.counts["always refused"] += 1
        return
    name, choice, at_once = choose(case, op)
    case.counts[name] += 1
    assert choice is not None
    start = len(target.seen) + (0 if case.chance(at_once) else rng.randrange(24))
    # Some strike once, some every time; some one method alone.
    times = rng.choice((1, 10**9, 10**9))
    only = op.focus if case.chance(0.4) else rng.choice(("", "", "PUT", "GET", "HEAD", "Login"))
    if name.startswith(("pages", "updates")):
        only, times = "", 10**9
    if name.startswith("sip") or name == "take nothing":
        only = "PUT"
    struck = 0
    case.tell(f"from {start - len(target.seen)}, {times if times == 1 else 'all'} {only}: {name}")

    def plan(turn: Turn) -> Act | None:
        nonlocal struck
        if len(turn.proxy.seen) - 1 < start or struck >= times or (only and turn.verb != only):
            return None
        act = choice(turn)
        if act is not None:
            struck += 1
            if struck <= 3:
                case.tell(f"at {turn.verb}")
        return act

    target.plan = plan


async def _ended(work: asyncio.Task[Any], proxies: tuple[Proxy, ...], seconds: float) -> bool:
    """Wait until the work has ended, its time is over, or it has asked too often; return whether it ended."""
    spent = [asyncio.ensure_future(each.exhausted.wait()) for each in proxies]
    try:
        await asyncio.wait({work, *spent}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in spent:
            each.cancel()
    return work.done()


async def _image_server() -> tuple[web.ServerRunner, int]:
    async def serve(request: web.BaseRequest) -> web.Response:
        return web.Response(body=IMAGE, content_type="application/octet-stream")

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MemoryLoop)
    server = await loop.create_server(runner.server, "127.0.0.1", 0)
    return runner, server.sockets[0].getsockname()[1]


async def play(case: Case) -> None:
    """Run one case."""
    name = case.rng.choice(CHOICES)
    op = OPS[name]
    case.tell(name)
    case.counts[f"verb: {name}"] += 1
    runner, port = await _image_server()
    loop = asyncio.get_running_loop()
    async with world(vms=2) as w, Proxy(port).running() as images:
        for step in op.setup:
            await step(w)
        w.proxy.most = len(w.proxy.seen) + MOST_REQUESTS
        images.most = MOST_REQUESTS
        proxies = (w.proxy, images)
        early = case.chance(0.1)
        # Behind a proxy the driver's transfers go over the loop, which this can watch.
        how: dict[str, Any] = {"proxy": f"http://127.0.0.1:{w.proxy.port}"} if op.source else {}

        async def whole() -> None:
            if early:
                arm(case, op, Setting(w, None, images), w.proxy)  # type: ignore[arg-type]
            async with w.client(**how) as client:
                s = Setting(w, client, images)
                if not early:
                    arm(case, op, s, images if op.source and case.chance(0.5) else w.proxy)
                began = loop.time()
                try:
                    task = asyncio.ensure_future(op.work(s))
                    if not await _ended(task, proxies, op.bound):
                        case.find(f"{name}: no end", await _stack(task, loop.time() - began, w))
                        await _cancel(case, name, task)
                    else:
                        _judge(case, name, task)
                finally:
                    case.tell(f"{loop.time() - began:.0f} s, {len(w.proxy.seen)} requests")

        task = asyncio.ensure_future(whole())
        if not await _ended(task, proxies if early else (), op.bound + CANCELLED + LEAVING):
            if not case.findings:
                case.find(f"{'connect' if early else 'leaving'}: no end", await _stack(task, 0, w))
            await _cancel(case, name, task)
        elif not task.cancelled() and not isinstance(error := task.exception(), VimlibError | None):
            case.find(f"connect: untyped {type(error).__name__}", repr(error)[:300])
        w.proxy.kill()
        images.kill()
        for method in TASKS:
            w.esx.faults.release_task(method)
    await runner.cleanup()


def _judge(case: Case, name: str, task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        case.check(
            isinstance(error, VimlibError), f"{name}: untyped {type(error).__name__}", repr(error)[:300]
        )  # fmt: skip
    case.counts[f"ends in {type(error).__name__ if error else 'a result'}"] += 1


async def _cancel(case: Case, name: str, task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=CANCELLED)
    if not task.done():
        case.find(f"{name}: cancelled, it does not end")
    elif not task.cancelled():
        task.exception()


async def _stack(task: asyncio.Task[Any], seconds: float, w: World) -> str:
    """Return where the work waits."""
    frames: list[str] = []
    inner: Any = task.get_coro()
    while inner is not None:
        code = getattr(inner, "cr_code", None) or getattr(inner, "ag_code", None)
        if code is not None:
            frames.append(code.co_qualname)
        inner = getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None)
    last = w.proxy.seen[-6:]
    return f"after {seconds:.0f} s in {' > '.join(frames[-5:])}; last {last} of {len(w.proxy.seen)}"


def attack(case: Case) -> None:
    """Run one case."""
    run(play(case))
