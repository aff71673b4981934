"""The simulated host compared with vcsim: start, a large inventory, uploads, many sessions.

    python -m bench.simulator [--machines N] [--size MIB] [--sessions N] [--quick] [--json]

Both servers are separate processes and get the same bytes from one plain client, which does not
decode the replies, so that only the server is measured. Without Go and govmomi there is no peer,
and its columns stay empty. Ours runs like an installed package, from compiled modules: the first
start of the bench compiles them into a temporary folder and is listed separately.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.report import Row, arguments, at_least, at_most, beside, emit
from tests.integration.peers.tools import MissingToolError
from tests.integration.peers.vcsim import vcsim
from vimlib import vim25
from vimlib.soap import decode_response, encode_request

__all__ = ["measure"]

MIB = 1 << 20
PATHS = (
    "name runtime.powerState config.hardware.numCPU config.hardware.memoryMB config.uuid "
    "guest.toolsStatus summary.config.vmPathName network"
).split()
SERVE = """
import asyncio, json, sys
from vimlib.simulator import serve
asyncio.run(serve(lambda ready: print(json.dumps(ready), flush=True), **json.loads(sys.argv[1])))
"""


@dataclass
class Server:
    """A server under test."""

    url: str
    username: str
    password: str
    datastore: str
    seconds: float
    """Seconds from its start until it reported that it was ready."""


class Client:
    """Sends calls and returns the replies; decodes only the values that later calls need."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http
        self.cookie = ""
        self.content: Any = None

    async def raw(self, method: Any, this: Any, **args: Any) -> bytes:
        """Make a call and return the reply's bytes."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        body = encode_request(method, this, args)
        async with self.http.post(self.server.url, data=body, headers=headers) as answer:
            cookie = answer.headers.get("Set-Cookie")
            if cookie and not self.cookie:
                self.cookie = cookie.partition(";")[0]
            return await answer.read()

    async def call(self, method: Any, this: Any, **args: Any) -> Any:
        """Make a call and return its result."""
        return decode_response(method, await self.raw(method, this, **args))

    async def login(self) -> None:
        """Log in."""
        instance = vim25.ServiceInstance("ServiceInstance")
        self.content = await self.call(vim25.ServiceInstance.RetrieveServiceContent, instance)
        self.cookie = ""
        manager = self.content.sessionManager
        await self.call(
            vim25.SessionManager.Login,
            manager,
            userName=self.server.username,
            password=self.server.password,
        )


@contextlib.asynccontextmanager
async def ours(compiled: str | None = None, **options: Any) -> AsyncIterator[Server]:
    """Run the simulator in a process of its own; `compiled` is a folder for compiled modules."""
    environment = dict(os.environ)
    if compiled is not None:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = compiled
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SERVE,
        json.dumps(options),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulated host ended with {await process.wait()}")
        ready = json.loads(line)
        seconds = time.perf_counter() - began
        yield Server(ready["url"], ready["username"], ready["password"], "datastore1", seconds)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@contextlib.contextmanager
def theirs(machines: int = 0) -> Iterator[Server | None]:
    """Run vcsim; None if it is not available."""
    with contextlib.ExitStack() as stack:
        began = time.perf_counter()
        try:
            sim = stack.enter_context(vcsim("esx", vms=machines))
        except MissingToolError:
            yield None
            return
        seconds = time.perf_counter() - began
        yield Server(sim.url, sim.username, sim.password, sim.datastore, seconds)


@contextlib.asynccontextmanager
async def client(server: Server) -> AsyncIterator[Client]:
    """Connect; the peers run on loopback for the bench only, so certificates are not checked."""
    connector = aiohttp.TCPConnector(ssl=False, limit=0)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=600),
    ) as http:
        made = Client(server, http)
        await made.login()
        yield made


async def first_answer(compiled: str) -> float:
    """Return the seconds from the start of a process to its first reply."""
    began = time.perf_counter()
    async with (
        ours(compiled) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as http,
    ):
        await Client(server, http).call(
            vim25.ServiceInstance.RetrieveServiceContent, vim25.ServiceInstance("ServiceInstance")
        )
        return time.perf_counter() - began


async def inventory(server: Server, machines: int, tries: int) -> tuple[float, int]:
    """Return the median seconds of reading eight properties of all machines, and the bytes."""
    async with client(server) as made:
        content = made.content
        view = await made.call(
            vim25.ViewManager.CreateContainerView,
            content.viewManager,
            container=content.rootFolder,
            type=["VirtualMachine"],
            recursive=True,
        )
        walk = vim25.TraversalSpec(name="view", type="ContainerView", path="view", skip=False)
        spec = vim25.PropertyFilterSpec(
            propSet=[vim25.PropertySpec(type="VirtualMachine", pathSet=PATHS)],
            objectSet=[vim25.ObjectSpec(obj=view, skip=True, selectSet=[walk])],
        )
        taken, size = [], 0
        for _ in range(tries):
            began = time.perf_counter()
            body = await made.raw(
                vim25.PropertyCollector.RetrievePropertiesEx,
                content.propertyCollector,
                specSet=[spec],
                options=vim25.RetrieveOptions(),
            )
            taken.append(time.perf_counter() - began)
            size = len(body)
            if (found := body.count(b"</propSet></objects>")) != machines:
                raise RuntimeError(f"{server.url} returned {found} machines instead of {machines}")
        return statistics.median(taken), size


async def upload(server: Server, size: int, tries: int) -> float:
    """Return the median speed of a PUT to `/folder`, in MiB a second."""
    block = memoryview(bytes(range(256)) * 4096)

    async def body() -> AsyncIterator[memoryview]:
        for _ in range(size // len(block)):
            yield block

    async with client(server) as made:
        url = f"{server.url.removesuffix('/sdk')}/folder/bench.bin"
        query = {"dcPath": "ha-datacenter", "dsName": server.datastore}
        speeds = []
        for _ in range(tries):
            headers = {"Cookie": made.cookie, "Content-Length": str(size)}
            began = time.perf_counter()
            async with made.http.put(url, params=query, data=body(), headers=headers) as answer:
                if answer.status not in (200, 201):
                    raise RuntimeError(f"{url}: HTTP {answer.status}")
            speeds.append(size / MIB / (time.perf_counter() - began))
        return statistics.median(speeds)


async def sessions(server: Server, count: int) -> tuple[float, int]:
    """Return the seconds in which many clients log in and make five calls each, and how many
    succeeded.
    """

    async def one() -> bool:
        async with client(server) as made:
            instance = vim25.ServiceInstance("ServiceInstance")
            for _ in range(5):
                await made.call(vim25.ServiceInstance.CurrentTime, instance)
        return True

    began = time.perf_counter()
    done = await asyncio.gather(*(one() for _ in range(count)))
    return time.perf_counter() - began, sum(done)


async def measure(
    machines: int, size: int, count: int, *, quick: bool
) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows and their details."""
    tries = 1 if quick else 3
    with tempfile.TemporaryDirectory() as compiled:
        cold = await first_answer(compiled)
        starts = [await first_answer(compiled) for _ in range(tries)]
    rows = [at_most("start to the first answer", statistics.median(starts), "s", 0.5)]
    details: dict[str, Any] = {
        "machines": machines,
        "upload_mib": size // MIB,
        "starts": starts,
        "start_that_compiles": cold,
    }
    async with ours(vms=machines) as server:
        rows.append(at_most(f"start with {machines:,} machines", server.seconds, "s", 20))
        mine, details["bytes"] = await inventory(server, machines, tries)
    with theirs(machines) as peer:
        if peer is None:
            rows.append(at_most(f"8 properties of {machines:,} machines", mine, "s"))
        else:
            details["vcsim_start"] = peer.seconds
            their, details["vcsim_bytes"] = await inventory(peer, machines, tries)
            rows.append(
                beside(f"8 properties of {machines:,} machines", mine, "s", "vcsim", their, 1 / 3)
            )
    async with ours() as server:
        speed = await upload(server, size, tries)
        seconds, done = await sessions(server, count)
    with theirs() as peer:
        if peer is None:
            rows.append(at_least("upload through /folder", speed, "MiB/s", 0))
        else:
            their = await upload(peer, size, tries)
            rows.append(
                beside(
                    "upload through /folder",
                    speed,
                    "MiB/s",
                    "vcsim",
                    their,
                    0.5,
                    more_is_better=True,
                )
            )
    rows.append(at_least("sessions at once, five calls each", done, "sessions", count))
    details["sessions_seconds"] = seconds
    return rows, details


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=512, help="MiB of an upload")
    parser.add_argument("--sessions", type=int, default=200)
    given = parser.parse_args()
    if given.quick:
        given.machines, given.size, given.sessions = 200, 16, 20
    rows, details = asyncio.run(
        measure(given.machines, given.size * MIB, given.sessions, quick=given.quick)
    )
    emit("simulator", rows, details, as_json=given.json)


if __name__ == "__main__":
    main()
