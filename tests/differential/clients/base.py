"""The channel to the runner, and the actions, which each client's adapter does in a session of its own."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tests.simulator.clients.base import Client
from tests.simulator.values import Failed, Kind, Obj, Ref, Server, new

SERVICE = Ref("ServiceInstance", "ServiceInstance")


@dataclass
class Job:
    """The requested action and its target."""

    action: str
    args: dict[str, Any]
    server: str
    """`simulator` or `vcsim`."""
    host: str
    port: int
    username: str
    password: str
    trust: str
    """`default`: no trust setting; `ca`: the file in `ca`; `pin`: the SHA-256 in `pin`."""
    ca: str
    pin: str
    wsdl: str
    """A folder with the WSDL, for a client that needs one before it connects."""
    deadline: float
    """Seconds of each network timeout, if the client has such a setting."""

    def target(self) -> Server:
        """Return the server as the clients of the simulator's scenarios know it."""
        kind: Kind = "here" if self.server == "simulator" else "vpx"
        url = f"https://{self.host}:{self.port}/sdk"
        ca = Path(self.ca)
        return Server(kind, url, self.username, self.password, self.pin, ca, "datastore1")


class NotOffered(Exception):
    """The client does not support this."""


class Channel:
    """The channel to the runner."""

    def __init__(self) -> None:
        # stdout carries the protocol; the client's own prints go to stderr and are searched like
        # its log.
        self._out: TextIO = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def receive(self) -> Any:
        return json.loads(sys.stdin.readline())

    def send(self, **message: Any) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def checkpoint(self, word: str) -> None:
        """Let the runner act now."""
        self.send(at=word)
        self.receive()


def show(*things: object) -> None:
    """Print output as a user would."""
    for thing in things:
        print(repr(thing), str(thing), file=sys.stderr)


def describe(value: Any) -> dict[str, Any]:
    """Return a value and its type as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return {"type": "names", "value": sorted(value)}
    kind = value._kind if isinstance(value, Obj) else type(value).__name__
    return {"type": kind, "value": repr(value)[:200]}


def attempt(function: Callable[[], Any]) -> dict[str, Any]:
    """Call something; return its outcome."""
    try:
        return {"returned": function()}
    except NotOffered as error:
        return {"not_offered": str(error)}
    except Exception as error:  # noqa: BLE001 - every error is an observation
        # The scenarios' clients raise their own exception in place of the library's.
        own = error.__context__ if isinstance(error, Failed) and error.__context__ else error
        traceback.print_exception(own)
        show(own, getattr(own, "args", ()))
        # The fault of a task has its name only.
        name = str(own) if isinstance(own, Failed) else type(own).__name__
        return {"raised": name, "text": str(own)[:200]}


def in_threads(count: int, call: Callable[[], Any]) -> list[Any]:
    """Call in `count` threads in parallel; return values or names of exceptions."""
    found: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def one(index: int) -> None:
        barrier.wait()
        outcome = attempt(call)
        found[index] = outcome["raised"] if "raised" in outcome else describe(outcome["returned"])

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


class Actions(ABC):
    """What a client is asked to do, by the verbs of the simulator's scenarios."""

    def __init__(self, job: Job, channel: Channel) -> None:
        self.job, self.channel = job, channel

    @abstractmethod
    def session(self) -> AbstractContextManager[Any]:
        """Log in as the client's documents show it, and out."""

    @abstractmethod
    def listed(self, client: Any) -> list[str]:
        """Return the names of the machines, by one retrieval."""

    def login(self) -> None:
        with self.session():
            pass

    def login_again(self) -> None:
        attempt(self.login)
        self.login()

    def now(self) -> Any:
        with self.session() as client:
            self.channel.checkpoint("between")
            return describe(client.call("CurrentTime", SERVICE))

    def names(self) -> Any:
        with self.session() as client:
            self.channel.checkpoint("between")
            return describe(self.listed(client))

    def callers(self, count: int) -> Any:
        with self.session() as client:
            self.listed(client)
            self.channel.checkpoint("between")
            return in_threads(count, lambda: self.listed(client))

    def create(self, name: str) -> Any:
        with self.session() as client:
            get = client.get
            # In single steps: vcsim fails on the recursive traversal of oslo.vmware.
            center = get(client.content.rootFolder, "childEntity")[0]
            compute = get(get(center, "hostFolder"), "childEntity")[0]
            store = get(get(center, "datastore")[0], "name")
            spec = new(
                "VirtualMachineConfigSpec",
                name=name,
                guestId="otherGuest64",
                memoryMB=64,
                numCPUs=1,
                files=new("VirtualMachineFileInfo", vmPathName=f"[{store}]"),
            )
            pool = get(compute, "resourcePool")
            task = client.call("CreateVM_Task", get(center, "vmFolder"), config=spec, pool=pool)
            return describe(client.wait(task))

    def _machine(self, client: Client) -> Any:
        path = "ha-datacenter/vm/vm-0"
        index = client.content.searchIndex
        return client.call("FindByInventoryPath", index, inventoryPath=path)

    def power_on(self) -> Any:
        with self.session() as client:
            return describe(client.wait(client.call("PowerOnVM_Task", self._machine(client))))

    def snapshot(self, name: str) -> Any:
        with self.session() as client:
            args = {"name": name, "memory": False, "quiesce": False}
            task = client.call("CreateSnapshot_Task", self._machine(client), **args)
            return describe(client.wait(task))

    def upload(self, name: str, size: int, give: int, door: str = "careful") -> Any:
        raise NotOffered("leaves files to the caller")

    def download(self, name: str) -> Any:
        raise NotOffered("leaves files to the caller")


def run(make: Callable[[Job, Channel], Actions], version: str) -> None:
    """Do one job. `make` returns the adapter, whose methods are the actions."""
    logging.basicConfig(stream=sys.stderr)
    channel = Channel()
    job = Job(**channel.receive())
    adapter = make(job, channel)
    # Only from here on: one client logs a hundred megabytes about its WSDL.
    logging.getLogger().setLevel(logging.DEBUG)
    channel.send(ready=version)
    channel.receive()
    channel.send(**attempt(lambda: getattr(adapter, job.action)(**job.args)))
