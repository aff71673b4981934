"""Mutate one reply of a host, and look how the client and the driver take it.

    python -m tests.fuzz.client [--cases 100000] [--first 0] [--seconds S] [--seed 0] [--flow NAME]
                                [--every] [--show SEED:NUMBER] [--json]

Each case is a flow of `tests.fuzz.flows` against the simulated host. A relay changes one reply of it:
an element is dropped, doubled, emptied, retyped, out of range, truncated or moved; or the reply
becomes another fault, another HTTP status, has an odd header or a wrong Content-Length. The flow must
end in a result or in a `VimlibError`, before its deadline, and leave no asyncio task, socket, session,
view, collector, lease or temporary file behind, no warning, and no logged traceback. The clock is
fake, so that minutes of patience take milliseconds.

`--every` drops and empties each element of each reply in turn instead of drawing cases. A finding is
printed with its seed, and `--show` plays that one case again with all its details; the exit code
is 1 if there are any.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, Final

from lxml import etree
from msgspec import Struct

import vimlib
from tests.fuzz.flows import CONFIG, EXPORT, FLOWS, FRESH, GUEST, STORE
from tests.fuzz.mutate import Mutator
from tests.rig.leaks import descriptors
from tests.rig.memory import Inline, LoopClock, MemoryLoop, in_memory_folder
from tests.rig.relay import HTML, XML, Relay, Reply, Turn
from tests.rig.slices import add_arguments, numbers
from tests.rig.stage import Request, stage
from vimdriver import ESXDriver, LocalImages
from vimlib import vim25
from vimlib.errors import VimlibError
from vimlib.model import MethodFault
from vimlib.simulator import ESXHost
from vimlib.simulator._protocol.dispatch import Incoming, serve_call
from vimlib.simulator._service.tasks import Task
from vimlib.simulator._vm.nfc import Lease
from vimlib.soap import encode_fault

DEADLINE: Final = 3600.0
"""Seconds of the fake clock that a flow may take: the longest own deadline is far below."""
CALLS: Final = 3000
"""Requests of one flow; more of them are a loop."""
BUSY: Final = 30
"""Seconds of CPU time for one case: a loop without a request or a timer."""
LOGS: Final = ("vimlib", "vimdriver", "asyncio")


# -- mutations -------------------------------------------------------------------------------------

FAULTS: Final[tuple[Callable[[], MethodFault], ...]] = (
    lambda: vim25.NotAuthenticated(object=vim25.Folder("root"), privilegeId="System.View"),
    lambda: vim25.NoPermission(object=vim25.Folder("root"), privilegeId="System.View"),
    lambda: vim25.ManagedObjectNotFound(obj=vim25.VirtualMachine("1")),
    lambda: vim25.InvalidProperty(name="name"),
    lambda: vim25.InvalidArgument(invalidProperty="spec"),
    lambda: vim25.TaskInProgress(task=vim25.Task("haTask-1")),
    vim25.ResourceInUse,
    vim25.NotSupported,
    lambda: vim25.SystemError(reason="fuzz"),
    vim25.RequestCanceled,
    vim25.HostCommunication,
    vim25.InvalidLogin,
    lambda: vim25.FileNotFound(file="[datastore1] x"),
    lambda: vim25.FileAlreadyExists(file="[datastore1] x"),
    lambda: vim25.DuplicateName(name="x", object=vim25.Folder("root")),
    lambda: vim25.InvalidPowerState(existingState="poweredOn", requestedState="poweredOff"),
    vim25.InvalidCollectorVersion,
    vim25.RestrictedVersion,
)
TEXTS: Final = (
    "", " ", "0", "-1", "2147483648", "-9223372036854775809", "9" * 30, "1e308", "NaN", "true", "yes", "poweredOn",
    "unheard", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z",
    "[datastore1] ../x", "[other] x", "datastore1", "../../etc", "http://127.0.0.1:1/x", "https://*:0/x", "*", "%2f", "x" * 300,
    "Gr\u00fc\u00dfe \U0001f600", "\u202etxt", "a\tb", "[", "]", "AB:CD",
)  # fmt: skip
TYPES: Final = (
    "xsd:int", "xsd:string", "xsd:boolean", "xsd:dateTime", "xsd:base64Binary", "xsd:nonesuch", "VirtualDisk", "VirtualDevice", "OptionValue",
    "ArrayOfInt", "ArrayOfString", "ArrayOfVirtualDevice", "ArrayOfAnyType", "ArrayOfManagedObjectReference", "ManagedObjectReference",
    "VirtualMachinePowerState", "NotFound", "LocalizedMethodFault", "Future", "ArrayOfFuture", "MethodFault", "DynamicData", "",
)  # fmt: skip
KINDS: Final = (
    "VirtualMachine", "Folder", "Task", "HostSystem", "Datastore", "PropertyCollector", "SuperVM", "",
)  # fmt: skip
STATUSES: Final = (
    100,
    101,
    200,
    204,
    206,
    301,
    302,
    304,
    400,
    401,
    403,
    404,
    407,
    410,
    413,
    429,
    500,
    501,
    502,
    503,
    504,
    599,
)
HEADERS: Final = (
    "Content-Length: 5", "Content-Length: -1", "Content-Length: x", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked",
    "Content-Encoding: gzip", "Content-Encoding: br", "Connection: close", "Retry-After: 999999", "Retry-After: x",
    "Set-Cookie: vmware_soap_session=\"odd\"; Path=/", "Set-Cookie: vmware_soap_session=", "Location: https://127.0.0.1:1/sdk",
    "no colon", " folded: x", "X-Long: " + "x" * 70_000, "Content-Type: text/html", "Content-Range: bytes 5-9/3", "X: \x00", "Upgrade: h2c",
)  # fmt: skip
XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"

Element = Any
Change = Callable[[random.Random, Element], None]


def drop(rng: random.Random, it: Element) -> None:
    """Remove the element."""
    it.getparent().remove(it)


def double(rng: random.Random, it: Element) -> None:
    """Repeat the element, up to a hundred times."""
    for _ in range(rng.choice((1, 1, 2, 100))):
        it.addnext(etree.fromstring(etree.tostring(it)))


def empty(rng: random.Random, it: Element) -> None:
    """Keep the start tag alone."""
    del it[:]
    it.text = None


def retext(rng: random.Random, it: Element) -> None:
    """Put another text, out of range or of another type, where a value is."""
    del it[:]
    it.text = rng.choice(TEXTS)


def retype(rng: random.Random, it: Element) -> None:
    """Name another type, with what is inside or without."""
    it.set(f"{XSI}type", rng.choice(TYPES))
    if rng.random() < 0.3:
        retext(rng, it)


def refer(rng: random.Random, it: Element) -> None:
    """Refer to another object, or to one of another kind."""
    it.set("type", rng.choice(KINDS))
    if rng.random() < 0.3:
        retext(rng, it)


def nil(rng: random.Random, it: Element) -> None:
    """Say that there is no value."""
    it.set(f"{XSI}nil", "true")


def truncate(rng: random.Random, it: Element) -> None:
    """Cut the text, or drop the last children."""
    if len(it):
        del it[rng.randrange(len(it)) :]
    elif it.text:
        it.text = it.text[: rng.randrange(len(it.text))]


def move(rng: random.Random, it: Element) -> None:
    """Put the element elsewhere among its brothers, or below another."""
    parent = it.getparent()
    parent.remove(it)
    if rng.random() < 0.5 and len(parent):
        parent = rng.choice(list(parent))
    parent.insert(rng.randrange(len(parent) + 1), it)


def swap(rng: random.Random, it: Element) -> None:
    """Reverse the children."""
    it[:] = list(it)[::-1]


def rename(rng: random.Random, it: Element) -> None:
    """Give the element another name."""
    it.tag = rng.choice(("{urn:vim25}nonesuch", "{urn:vim25}val", "{urn:vim25}name", "{urn:x}key"))


CHANGES: Final[tuple[Change, ...]] = (
    drop, drop, drop, double, empty, empty, retext, retext, retext, retype, retype, refer, nil, truncate, move, swap, rename,
)  # fmt: skip


def elements(body: bytes) -> tuple[Element, list[Element]]:
    """Return the tree of a reply, and all that may change in it: from the reply's own element on."""
    tree = etree.fromstring(body)
    return tree, [it for it in tree.iter("*") if sum(1 for _ in it.iterancestors()) >= 2]


def changed(rng: random.Random, body: bytes) -> tuple[str, bytes]:
    """Return a reply with one element changed, and what was done."""
    tree, found = elements(body)
    if rng.random() < 0.1 and len(found) > 40:  # the outer ones decide more
        found = found[:40]
    it = rng.choice(found)
    place = tree.getroottree().getelementpath(it)
    place = re.sub(r"\{[^}]*\}", "", place)
    change = rng.choice(CHANGES)
    if it.getparent().getparent() is tree and change in (drop, double, move):
        change = empty
    change(rng, it)
    return f"{change.__name__} {place}", etree.tostring(tree)


def mutate(rng: random.Random, reply: Reply) -> tuple[str, bytes | None]:
    """Return what was done to a reply and its bytes; None closes the connection without any."""
    kind = rng.random()
    if reply.body.startswith(b"<") and kind < 0.72:
        if kind < 0.62:
            what, reply.body = changed(rng, reply.body)
            return what, reply.raw()
        reply.body = Mutator(rng).mutate(reply.body)
        return "mutate tokens", reply.raw()
    if kind < 0.8:
        fault = rng.choice(FAULTS)()
        what = fault.fault_name
        reply.status, reply.body = 500, encode_fault(fault, binding=vim25.BINDING)
        if rng.random() < 0.2:
            did, reply.body = changed(rng, reply.body)
            what = f"{what}, {did}"
        return f"fault {what}", reply.raw()
    if kind < 0.87:
        reply.status = rng.choice(STATUSES)
        if rng.random() < 0.6:
            reply.headers, reply.body = [HTML], b"<html><body>no</body></html>"
        return f"status {reply.status}", reply.raw()
    if kind < 0.93:
        header = rng.choice(HEADERS)
        head, _, body = reply.raw().partition(b"\r\n")
        return f"header {header[:40]}", head + b"\r\n" + header.encode() + b"\r\n" + body
    if kind < 0.96:
        length = len(reply.body) + rng.choice((-1, 1, -len(reply.body), 10_000))
        return f"length {length} for {len(reply.body)}", reply.raw(length=length)
    if kind < 0.98:
        whole = reply.raw()
        return "cut", whole[: rng.randrange(len(whole))]
    return "nothing", None


# -- the host --------------------------------------------------------------------------------------


class DirectRelay(Relay):
    """A relay in the host's own process: calls go to its dispatcher, other requests to its socket."""

    def __init__(self, esx: ESXHost) -> None:
        super().__init__("127.0.0.1", esx.port)
        self.esx = esx
        self.at = -1
        """Number of the reply to change; -1 for none."""
        self.alter: Callable[[Reply], bytes | None] = lambda reply: reply.raw()
        self.owned: list[str] = []
        """What a session still owned when it was logged out."""
        self.logins = 0
        self.sizes: list[int] | None = None
        """Elements of each reply, while they are counted."""

    async def ask(self, request: Request) -> Reply:
        """Answer a call; forward anything else."""
        if request.method != "POST" or request.target != "/sdk":
            return await super().ask(request)
        cookie = re.search(r'vmware_soap_session="?([^";]+)', request.headers.get("cookie", ""))
        incoming = Incoming(
            request.body,
            cookie[1] if cookie else None,
            "127.0.0.1",
            "fuzz",
            request.headers.get("soapaction", ""),
        )
        if b"Logout" in request.body:
            session = self.esx.sessions.by_cookie.get(incoming.cookie or "")
            self.owned += [repr(it.ref) for it in session.owned] if session else []
        answer = await serve_call(self.esx.registry, incoming, self.esx.call_log)
        headers = [XML]
        if answer.set_cookie is not None:
            self.logins += bool(answer.set_cookie)
            headers.append(("Set-Cookie", f'vmware_soap_session="{answer.set_cookie}"; Path=/'))
        return Reply(answer.status, headers, answer.body)

    async def play(self, conn: Any) -> None:
        """Serve a connection: forward each request, and change the reply whose turn it is."""
        while True:
            request = await conn.request()
            number = len(self.calls)
            turn = Turn(self, conn, request, _method(request))
            self.calls.append(turn.method)
            if number > CALLS:
                conn.close()
                return
            reply = await turn.forward()
            if self.sizes is not None:
                known = reply.body.startswith(b"<") and turn.method not in ("GET", "HEAD", "PUT")
                self.sizes.append(len(elements(reply.body)[1]) if known else 0)
            raw = self.alter(reply) if number == self.at else reply.raw()
            if raw is not None:
                await conn.send(raw)
            if raw is None or (number == self.at and _ends(raw)):
                conn.close()
            if conn.writer.is_closing() or request.headers.get("connection", "").lower() == "close":
                return


def _ends(raw: bytes) -> bool:
    """Whether a changed reply leaves the connection unusable, or the client waiting for the rest."""
    head, _, body = raw.partition(b"\r\n\r\n")
    length = re.findall(rb"(?i)content-length: *(\S*)", head)
    return [str(len(body)).encode()] != length


def _method(request: Request) -> str:
    from tests.rig.relay import method_of

    return method_of(request)


@dataclass
class World:
    """A simulated host, its files, and the relay before it."""

    esx: ESXHost
    folder: Path
    relay: DirectRelay
    url: str
    begun: frozenset[str] = frozenset()

    def state(self) -> frozenset[str]:
        """Return all that flows make on the host: files, machines, port groups, snapshots, leases."""
        found = {
            str(path.relative_to(self.folder))
            for path in (self.folder / STORE).rglob("*")
            if path.is_file()
        }
        for it in self.esx.machines.values():
            found.add(f"machine {it.name} {it.power} {len(it.snapshots)} snapshots")
        found |= {f"group {name}" for name in self.esx.networks.groups}
        return frozenset(found)

    def running(self) -> list[str]:
        """Return the leases that are open and the tasks that run."""
        leases = [it.id for it in self.esx.registry.all(Lease).values() if it.state == "ready"]
        tasks = [it.method for it in self.esx.registry.all(Task).values() if not it.done]
        return leases + tasks

    def client(self, **how: Any) -> Any:
        """Return a connection through the relay."""
        return vimlib.connect(
            self.url,
            self.esx.credentials.username,
            self.esx.credentials.password,
            tls=vimlib.TLS(verify=False),
            retry_login=True,
            timeouts=vimlib.Timeouts(files=600),
            **how,
        )


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """Run a host."""
    (folder / STORE).mkdir(parents=True)
    (folder / STORE / "seed.txt").write_bytes(b"seed")
    (folder / "disk.img").write_bytes(bytes(range(256)) * 1000)
    esx = ESXHost(
        vms=1,
        datastores={STORE: folder / STORE},
        exports={":".join(EXPORT): None},
        seed=1,
        clock=LoopClock(),
    )
    esx.registry._threads = Inline()  # type: ignore[assignment]
    async with esx:
        esx.set_guest("vm-0", tools=True, accounts={GUEST.username: GUEST.password.reveal()})
        relay = DirectRelay(esx)
        async with stage(relay.play) as shown:
            relay.stage = shown
            found = World(esx, folder, relay, shown.url)
            found.begun = found.state()
            yield found
    shutil.rmtree(folder)


# -- one case --------------------------------------------------------------------------------------


class Case(Struct, frozen=True):
    """A flow, the reply of it that changes, and the seed of the change; or a given change."""

    flow: str
    at: int
    seed: str
    element: int = -1
    """For `--every`: the number of the element."""
    how: str = ""


@dataclass
class Result:
    """How a case ended."""

    outcome: str = ""
    did: str = "no reply changed"
    method: str = ""
    findings: list[str] = field(default_factory=list)
    trace: str = ""


class _Logs(logging.Handler):
    """Keeps the records that a user would take for an error of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep records with a traceback, and all errors of asyncio."""
        if record.exc_info or (record.name == "asyncio" and record.levelno >= logging.WARNING):
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += "".join(traceback.format_exception(record.exc_info[1])[-3:])
            self.found.append(text[:2000])


@contextmanager
def watched(result: Result) -> Iterator[None]:
    """Note warnings and logged tracebacks, and the loop's complaints."""
    logs = _Logs()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, context: logs.found.append(
            f"{context.get('message')}: {context.get('exception')!r}"
        )
    )
    for name in LOGS:
        logging.getLogger(name).addHandler(logs)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for name in LOGS:
                logging.getLogger(name).removeHandler(logs)
            loop.set_exception_handler(None)
            result.findings += [f"logged: {text}" for text in logs.found]
            result.findings += [f"warning: {each.message}" for each in warned]


class _Alarm:
    """Ends a case that uses up its CPU time: cancels it, or if that does not help, the process."""

    def __init__(self) -> None:
        self.case: Case | None = None
        self.task: asyncio.Task[Any] | None = None
        self.rang = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Take the signal."""
        if self.rang or self.task is None:
            print(f"endless, and not to be cancelled: {self.case}", file=sys.stderr)
            traceback.print_stack(frame)
            os._exit(3)
        self.rang = True
        signal.setitimer(signal.ITIMER_PROF, BUSY)
        self.task.cancel()

    @contextmanager
    def over(self, case: Case, result: Result) -> Iterator[None]:
        """Watch over the current task."""
        self.case, self.task, self.rang = case, asyncio.current_task(), False
        signal.setitimer(signal.ITIMER_PROF, BUSY)
        try:
            yield
        except asyncio.CancelledError:
            if not self.rang:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            result.findings.append(f"endless: no end after {BUSY} s of CPU time")
            result.trace = traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.task = None


ALARM: Final = _Alarm()


async def play(case: Case, on: World) -> Result:
    """Run one case on a host."""
    result = Result()
    relay = on.relay
    relay.calls.clear()
    relay.owned.clear()
    relay.logins = 0
    relay.at = case.at
    rng = random.Random(case.seed)

    def alter(reply: Reply) -> bytes | None:
        result.method = relay.calls[case.at]
        if case.element < 0:
            result.did, raw = mutate(rng, reply)
            return raw
        if not reply.body.startswith(b"<"):
            return reply.raw()
        tree, found = elements(reply.body)
        it = found[case.element % len(found)]
        result.did = f"{case.how} {it.tag} #{case.element} of {len(found)}"
        if it.getparent().getparent() is not tree:
            {"drop": drop, "empty": empty, "nil": nil}[case.how](rng, it)
        reply.body = etree.tostring(tree)
        return reply.raw()

    relay.alter = alter
    tasks, files = asyncio.all_tasks(), len(descriptors())
    with ALARM.over(case, result):
        with watched(result):
            await _flow(case, on, result)
            for _ in range(20):
                await asyncio.sleep(0)
        if not result.method and result.outcome != "result":
            result.findings.append(f"failed undisturbed: {result.outcome}")
        left = [repr(task) for task in asyncio.all_tasks() - tasks if not _serves(task)]
        result.findings += [f"task left: {text}" for text in left]
        await _leftovers(on, result, files)
    return result


def _serves(task: asyncio.Task[Any]) -> bool:
    """Whether a task is the host's or the relay's."""
    return any(name in repr(task) for name in ("stage", "simulated", "RequestHandler", "tests/rig"))


async def _flow(case: Case, on: World, result: Result) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + DEADLINE
    try:
        async with asyncio.timeout_at(end), on.client() as client:
            await FLOWS[case.flow](client, on.folder)
        result.outcome = "result"
    except TimeoutError as error:
        if isinstance(error, VimlibError):
            result.outcome = type(error).__name__
        else:
            result.findings.append("endless: the deadline of the flow passed")
    except VimlibError as error:
        result.outcome = type(error).__name__
        str(error), repr(error)
    except Exception as error:  # noqa: BLE001 - what is looked for
        result.outcome = type(error).__name__
        result.trace = traceback.format_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.name}"
        result.findings.append(f"untyped: {type(error).__name__}: {str(error)[:200]} in {place}")
    if len(on.relay.calls) >= CALLS:
        result.findings.append(f"endless: {CALLS} requests")


async def _leftovers(on: World, result: Result, files: int) -> None:
    """Note what is left on the host, apart from what the changed reply made unknowable."""
    relay, esx = on.relay, on.esx
    blind = result.method == "Login" or relay.logins > 1
    if esx.sessions.by_cookie and not blind:
        result.findings.append(f"sessions left: {len(esx.sessions.by_cookie)}")
    esx.sessions.expire()
    # A reply that names what was made is the only way to learn of it.
    if relay.owned and not (blind or result.method.startswith(("Create", "Retrieve"))):
        result.findings.append(f"left at logout: {relay.owned}")
    for _ in range(50):
        if not on.running():
            break
        await asyncio.sleep(1)
    if on.running() and result.method not in ("ExportVm", "ExportSnapshot"):
        result.findings.append(f"running: {on.running()}")
    if on.state() != on.begun:
        relay.at = -1
        async with on.client() as client:
            await ESXDriver(client, LocalImages(), CONFIG).sweep(older_than=0)
        after = on.state()
        noted = "group net-7" in after  # the note belongs to it
        odd = [
            name
            for name in after - on.begun
            if ".part" in name or ("vimlib-networks" in name and not noted)
        ]
        if odd:
            result.findings.append(f"files left: {sorted(odd)}")
    for _ in range(20):
        await asyncio.sleep(0)
    if len(descriptors()) > files + 4:
        await asyncio.sleep(60)
        if len(descriptors()) > files + 4:
            result.findings.append(f"descriptors left: {len(descriptors()) - files}")


# -- many cases ------------------------------------------------------------------------------------


async def lengths(folder: Path) -> dict[str, list[int]]:
    """Return for each flow the number of elements of each reply, undisturbed."""
    found = {}
    for name in FLOWS:
        async with world(folder / name) as on:
            sizes: list[int] = []
            on.relay.sizes = sizes
            result = await play(Case(name, -1, ""), on)
            assert result.outcome == "result", (name, result)
            assert not result.findings, (name, result)
            found[name] = sizes
    return found


def draw(number: int, seed: int, sizes: dict[str, int], flows: list[str]) -> Case:
    """Return a random case."""
    rng = random.Random(f"{seed}:{number}")
    name = rng.choices(flows, [sizes[each] ** 0.5 for each in flows])[0]
    return Case(name, rng.randrange(sizes[name]), f"{seed}:{number}")


class Report:
    """Counts outcomes and prints findings."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.cases = 0

    def take(self, case: Case, result: Result) -> None:
        """Count a case, and print what it found."""
        self.cases += 1
        self.outcomes[result.outcome] += 1
        for text in result.findings:
            self.findings[text.split(":")[0]] += 1
            print(
                f"{case.seed} {case.flow}[{case.at}] {result.method}: {result.did}: {text}",
                file=sys.stderr,
                flush=True,
            )


async def run(cases: Iterator[Case], folder: Path, report: Report, verbose: bool = False) -> None:
    """Play cases, each on a host as it was at the start."""
    number = 0
    while True:
        number += 1
        async with world(folder / f"world-{number}") as on:
            for _ in range(200):
                case = next(cases, None)
                if case is None:
                    return
                result = await play(case, on)
                report.take(case, result)
                if verbose:
                    print(result.outcome, result.did, on.relay.calls, result.trace, sep="\n")
                if case.flow in FRESH or result.findings or on.state() != on.begun or on.running():
                    break
                on.esx.call_log.clear()
        if number % 20 == 0:  # a host ends as a cycle of its objects
            gc.collect()


def every(plan: dict[str, list[int]], flows: list[str], most: int = 150) -> Iterator[Case]:
    """Yield cases for each element of each reply; of a long one for `most` elements."""
    for name in flows:
        for at, size in enumerate(plan[name]):
            for element in range(0, size, max(1, size // most)):
                for how in ("drop", "empty"):
                    yield Case(name, at, f"every:{name}:{at}:{element}", element, how)


def main() -> int:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser, "--cases", 100_000)
    parser.add_argument("--flow", action="append", choices=list(FLOWS))
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--show")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGPROF, ALARM)
    logging.getLogger("vimlib").setLevel(logging.DEBUG if given.show else logging.WARNING)
    report = Report()
    began = time.monotonic()
    flows = given.flow or list(FLOWS)
    with in_memory_folder() as folder, asyncio.Runner(loop_factory=MemoryLoop) as runner:
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        plan = runner.run(lengths(folder / "lengths"))
        gc.freeze()  # all modules are loaded: a collection then takes a tenth of the time
        sizes = {each: len(found) for each, found in plan.items()}
        if given.show:
            seed, _, number = given.show.partition(":")
            cases = iter([draw(int(number), int(seed), sizes, flows)])
        elif given.every:
            rest = islice(every(plan, flows), given.first, None)
            cases = (case for _, case in zip(numbers(given), rest, strict=False))
        else:
            cases = (draw(number, given.seed, sizes, flows) for number in numbers(given))
        runner.run(run(cases, folder / "run", report, bool(given.show)))
    found = {
        "cases": report.cases,
        "seed": given.seed,
        "replies": sum(sizes.values()),
        "findings": dict(report.findings),
        "seconds": round(time.monotonic() - began, 1),
        "outcomes": dict(report.outcomes.most_common()),
    }
    print(json.dumps({"fuzz": found}) if given.json else found)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
