"""Send the simulated host requests that no client means: each gets a reply that the API has.

    python -m tests.fuzz.requests [--requests 100000] [--seed 0] [--seconds S] [--show SEED:BATCH]

A request is a method of any type with generated arguments, often on an object that exists and with
names that exist, two fifths of them then changed as bytes. The reply must be a result that the method
declares or a fault of the API; a `SystemError` that stands for an error of the simulator is a
finding, as are an exception, a call without an end, and a file outside of the datastores. Each batch
has a host of its own, that must still answer at the end. A finding is printed with its batch, and the
exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.fuzz.mutate import Mutator
from tests.unit.simulator.conftest import Caller
from tests.unit.soap.building import BINDING, Builder, kinds
from vimlib import vim25
from vimlib.errors import EncodeError, ProtocolError
from vimlib.model import ManagedObject, MethodFault
from vimlib.simulator import ESXHost
from vimlib.simulator._assemble import load_handlers
from vimlib.simulator._core.handlers import HANDLERS
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._core.registry import Registry
from vimlib.simulator._protocol.dispatch import Answer
from vimlib.soap import decode_response, encode_request

BATCH: Final = 250
SECONDS: Final = 10.0
"""What a call may take; waits for updates may take longer."""
WAITS: Final = ("WaitForUpdates", "WaitForUpdatesEx")
POWER: Final = ("RebootHost_Task", "ShutdownHost_Task")
"""They end the server, of which this needs no socket."""
VERSIONS: Final = ("4.0", "4.1", "5.5", "6.7", "7.0", "8.0", "9.0")
TEXTS: Final = (
    "vm-0", "vm-1", "[datastore1] vm-0/vm-0.vmdk", "[datastore1] vm-0/vm-0.vmx", "[datastore1] new/a.vmdk",
    "[datastore1]", "[datastore1] ../x", "[datastore1] /", "[]", "[nowhere] a", "datastore1", "VM Network", "vSwitch0", "vmnic1",
    "Management Network", "otherGuest", "root", "persistent", "thin", "name", "config", "config.hardware.device[2000]", "*.vmdk",
    "ha-datacenter/vm/vm-0", "0", "-1", "a" * 300, "%", "%2f", "../..", "*", "config.", "UserVars.DcuiTimeOut",
)  # fmt: skip
"""Texts that mean something to a host, or nearly."""


class Nonsense(Builder):
    """Builds arguments, often of names and objects that the host has."""

    def __init__(self, rng: random.Random, registry: Registry) -> None:
        super().__init__(rng, optional=0.15)
        self.registry = registry

    def text(self) -> str:
        return self.rng.choice(TEXTS) if self.rng.random() < 0.7 else super().text()

    def reference(self, referent: str) -> ManagedObject:
        if self.rng.random() < 0.8:
            objects = [
                obj for cls in kinds(referent) for obj in self.registry.all(cls.__name__).values()
            ]
            if objects:
                found: ManagedObject = self.rng.choice(objects).ref
                return found
        return super().reference(referent)


@dataclass
class Report:
    """What became of the requests."""

    requests: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


class Batch:
    """A host and the requests that it gets."""

    def __init__(self, seed: str, esx: ESXHost, report: Report) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.esx = esx
        self.report = report
        self.caller = Caller(esx)
        self.nonsense = Nonsense(self.rng, esx.registry)
        self.mutator = Mutator(self.rng)
        load_handlers()
        self.known = sorted(set(BINDING.method_names()) - set(POWER))
        self.handled = sorted(set(HANDLERS) & set(self.known))

    def request(self) -> tuple[Any, bytes] | None:
        """Return a method and the body of a request, None where the arguments cannot be sent."""
        rng = self.rng
        name = rng.choice(self.handled if rng.random() < 0.85 else self.known)
        method: Any = BINDING.method(name)
        this = self.target(method)
        args = {
            param.name: self.nonsense.field(param, 1)
            for param in method.params
            if param.required or rng.random() < 0.4
        }
        try:
            body = encode_request(method, this, args)
        except EncodeError:
            return None
        if rng.random() < 0.4:
            body = self.mutator.mutate(body)
        return method, body

    def target(self, method: Any) -> ManagedObject:
        """Return the object that is called, one that exists where there is one."""
        objects: list[SimObject] = [
            obj
            for cls, _ in HANDLERS.get(method.name, ())
            for obj in self.esx.registry.all(cls.kind).values()
        ]
        if objects and self.rng.random() < 0.95:
            found: ManagedObject = self.rng.choice(objects).ref
            return found
        return self.nonsense.reference(method.owner.__name__)

    async def one(self) -> None:
        """Send a request and judge the reply."""
        made = self.request()
        if made is None:
            return
        method, body = made
        self.report.requests += 1
        if self.esx.sessions.find(self.caller.cookie) is None:
            self.caller.cookie = None
            await self.caller.login()
        try:
            async with asyncio.timeout(0.05 if method.name in WAITS else SECONDS):
                answer = await self.caller.raw(body)
        except TimeoutError:
            if any(name.encode() in body for name in WAITS):
                self.report.outcomes["waits"] += 1
            else:
                self.find(body, "no reply")
        except Exception:  # noqa: BLE001 - any is a finding
            self.find(body, traceback.format_exc(limit=-4))
        else:
            self.judge(method, body, answer)

    def judge(self, method: Any, body: bytes, answer: Answer) -> None:
        """Check that a reply is one of the API."""
        if answer.status not in (200, 500):
            self.find(body, f"status {answer.status}")
        if answer.status == 200 and answer.method != method.name:
            method = BINDING.method(answer.method)
        try:
            decode_response(method, answer.body)
        except MethodFault as fault:
            name = fault.fault_name
            self.report.outcomes[name] += 1
            # "Weak password" is one that hosts give; those of the simulator's own begin so.
            if isinstance(fault, vim25.SystemError) and fault.reason.startswith("simulator"):
                self.find(body, f"SystemError: {fault}")
        except ProtocolError as error:
            self.find(body, f"a reply that is none: {error}: {answer.body[:300]!r}")
        else:
            self.report.outcomes["result"] += 1

    def find(self, body: bytes, text: str) -> None:
        """Report a finding."""
        self.report.findings.append(f"batch {self.seed}: {text}\n  {body!r}")


async def play(seed: str, report: Report, requests: int, folder: Path) -> None:
    """Start a host and send it a batch."""
    store = folder / "datastore1"
    store.mkdir(parents=True)
    rng = random.Random(f"{seed} host")
    # What tasks and their threads raise is not in a reply.
    loop = asyncio.get_running_loop()
    lost: list[str] = []
    loop.set_exception_handler(lambda _, what: lost.append(str(what)))
    async with ESXHost(
        rng.choice(VERSIONS), datastores={"datastore1": store}, vms=2, capacity=1 << 28, seed=1
    ) as esx:
        batch = Batch(seed, esx, report)
        try:
            for _ in range(requests):
                await batch.one()
            # It still serves who means it.
            batch.caller.cookie = None
            await batch.caller.login()
            await batch.caller.read(esx.host.ref, "name", "summary", "config", "vm")
        except (vim25.NoPermission, vim25.InvalidLogin):
            # A request took the user's permissions, locked the host or changed the password.
            report.outcomes["locked out"] += 1
        except MethodFault as fault:
            batch.find(b"", f"the host does not serve any more: {fault}")
    if lost:
        batch.find(b"", f"lost errors: {lost[:3]}")
    left = sorted(path.name for path in folder.iterdir())
    if left != ["datastore1"]:
        batch.find(b"", f"files outside of the datastores: {left}")


async def run(
    requests: int, seed: int, until: float = float("inf"), show: int | None = None
) -> Report:
    """Send that many requests, or fewer if the time is over."""
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        batches = range(-(-requests // BATCH)) if show is None else [show]
        for number in batches:
            size = min(BATCH, requests - number * BATCH) if show is None else BATCH
            await play(f"{seed}:{number}", report, size, Path(name, str(number)))
            if time.monotonic() > until:
                break
    return report


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--show", metavar="SEED:BATCH", help="one batch alone")
    given = parser.parse_args()
    began = time.monotonic()
    seed, _, number = (given.show or f"{given.seed}:").partition(":")
    report = asyncio.run(
        run(given.requests, int(seed), began + given.seconds, int(number) if number else None)
    )
    for text in report.findings[:20]:
        print(text, file=sys.stderr)
    found = {
        "requests": report.requests,
        "findings": len(report.findings),
        "seconds": round(time.monotonic() - began, 1),
        "outcomes": dict(report.outcomes.most_common()),
    }
    print(json.dumps({"fuzz": found}))
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
