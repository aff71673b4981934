"""The simulated host as a server: how soon it answers, how it bears many machines, files and sessions.

    python -m bench.simulator [--machines 10000] [--mib 1024] [--sessions 200] [--rounds 3] [--json]

Beside it runs vcsim, govmomi's simulator, in Go. Both are processes of their own. What a server
takes for eight properties of all machines is measured by a client that reads nothing of the replies,
page after page, on one connection; uploads are curl's. Without Go and govmomi vcsim is left out.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vimlib
from bench._hosts import Host, cpu_seconds, in_memory, simulator
from bench._raw import Raw
from bench.report import Row, arguments, at_least, at_most, beside, emit
from tests.integration.peers import vcsim as govmomi
from tests.integration.peers.tools import MissingToolError
from vimlib import vim25

__all__ = ["measure", "rows"]

ROOT = Path(__file__).resolve().parents[1]
PATHS = (
    "name",
    "parent",
    "runtime",
    "summary",
    "config.hardware",
    "guest",
    "network",
    "datastore",
)
START_SECONDS = 0.5
MANY_SECONDS = 20.0
COLLECT_TIMES = 1 / 3
UPLOAD_TIMES = 0.5

EMBEDDED = """
import time
loading = time.perf_counter()
import asyncio, json
import vimlib
from vimlib.simulator import ESXHost
async def main():
    began = time.perf_counter()
    async with ESXHost() as esx:
        name, password = esx.credentials.username, esx.credentials.password
        async with vimlib.connect(esx.url, name, password, tls=vimlib.TLS(pin=esx.thumbprint)):
            print(json.dumps([(now := time.perf_counter()) - began, now - loading]))
vimlib.connect
asyncio.run(main())
"""


@contextmanager
def vcsim(machines: int = 0) -> Iterator[Host]:
    """Run vcsim as an ESX host; its files are where ours are."""
    before, tempfile.tempdir = tempfile.tempdir, in_memory()
    began = time.monotonic()
    try:
        with govmomi.vcsim("esx", vms=machines) as peer:
            yield Host(
                url=peer.url,
                username=peer.username,
                password=peer.password,
                thumbprint=peer.thumbprint,
                pid=peer.process.popen.pid,
                folder=peer.datastores[peer.datastore],
                datastore=peer.datastore,
                seconds=time.monotonic() - began,
            )
    finally:
        tempfile.tempdir = before


def have_vcsim() -> bool:
    """Return whether vcsim is here; it is compiled now, which nobody measures."""
    try:
        govmomi.binary()
    except MissingToolError as missing:
        print(f"without vcsim: {missing}", file=sys.stderr)
        return False
    return True


def start(rounds: int) -> dict[str, float]:
    """Return the medians of starting, in a process of one's own and as a command of its own."""
    embedded, loaded, command = [], [], []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", EMBEDDED],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
        )
        for samples, seconds in zip((embedded, loaded), json.loads(done.stdout), strict=True):
            samples.append(seconds)
        began = time.monotonic()
        with simulator() as host:
            Raw(host.url).call(
                vim25.ServiceInstance.RetrieveServiceContent,
                vim25.ServiceInstance("ServiceInstance"),
                {},
            )
            command.append(time.monotonic() - began)
    return {
        "embedded": statistics.median(embedded),
        "loaded": statistics.median(loaded),
        "command": statistics.median(command),
    }


def retrieve(host: Host, rounds: int) -> dict[str, float]:
    """Return the medians of what the server takes for all machines' properties, page after page."""
    raw = Raw(host.url)
    content = raw.login(host.username, host.password)
    walls, cpus, pages, size = [], [], 0, 0
    for number in range(rounds + 1):
        cpu, began = cpu_seconds(host.pid), time.perf_counter()
        pages, size = raw.pages(PATHS, content)
        if number:
            walls.append(time.perf_counter() - began)
            cpus.append(cpu_seconds(host.pid) - cpu)
    raw.close()
    return {
        "wall": statistics.median(walls),
        "cpu": statistics.median(cpus),
        "pages": pages,
        "bytes": size,
        "start": host.seconds,
    }


async def collect(host: Host, machines: int) -> float:
    """Return the seconds of `client.collect` for the same, decoded."""
    tls = vimlib.TLS(pin=host.thumbprint)
    async with vimlib.connect(host.url, host.username, host.password, tls=tls) as client:
        began = time.perf_counter()
        count = 0
        async for row in client.collect(vim25.VirtualMachine, *PATHS):
            count += bool(row["name"])
        if count != machines:
            raise SystemExit(f"collect brought {count} machines of {machines}")
        return time.perf_counter() - began


def upload(host: Host, file: Path, rounds: int) -> float:
    """Return the median seconds of curl's upload of a file into the host's datastore."""
    raw = Raw(host.url)
    raw.login(host.username, host.password)
    base = host.url.removesuffix("/sdk")
    address = f"{base}/folder/bench?dcPath=ha-datacenter&dsName={host.datastore}"
    walls = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        # Both hosts were started by us, on loopback.
        command = ["curl", "-skf", "-H", "Expect:", "-b", raw.cookie, "-T", str(file), address]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if number:
            walls.append(time.perf_counter() - began)
    stored = host.folder / "bench"
    if stored.stat().st_size != file.stat().st_size:
        raise SystemExit(f"{stored} has the wrong size")
    raw.close()
    return statistics.median(walls)


async def sessions(host: Host, count: int) -> dict[str, float]:
    """Hold that many sessions at once, each with calls of its own; return how many were well."""
    tls = vimlib.TLS(pin=host.thumbprint)
    all_in = asyncio.Barrier(count)
    keys: set[str] = set()

    async def one() -> None:
        async with vimlib.connect(host.url, host.username, host.password, tls=tls) as client:
            await all_in.wait()
            manager = client.content.sessionManager
            assert manager is not None
            session = (await client.get(manager, "currentSession"))["currentSession"]
            for _ in range(5):
                await client.get(client.content.rootFolder, "name", "childEntity")
            keys.add(session.key)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(one())
    return {"served": len(keys), "seconds": time.perf_counter() - began}


def measure(machines: int, mib: int, count: int, rounds: int) -> dict[str, Any]:
    """Measure all of it, beside vcsim where it is."""
    found: dict[str, Any] = {"machines": machines, "mib": mib, "start": start(rounds)}
    hosts: dict[str, Callable[..., Any]] = {"ours": lambda n: simulator(vms=n)}
    if have_vcsim():
        hosts["vcsim"] = vcsim
    with tempfile.TemporaryDirectory(prefix="bench-simulator-", dir=in_memory()) as name:
        file = Path(name, "source")
        file.write_bytes(bytes(1 << 20) * mib)
        for who, run in hosts.items():
            with run(machines) as host:
                found[who] = {"retrieve": retrieve(host, rounds)}
                if who == "ours":
                    found[who]["collect"] = asyncio.run(collect(host, machines))
            with run(1) as host:
                found[who]["upload"] = upload(host, file, rounds)
                found[who]["sessions"] = asyncio.run(sessions(host, count))
    return found


def rows(found: dict[str, Any], count: int) -> list[Row]:
    """Return the table's rows."""
    ours, peer, many = found["ours"], found.get("vcsim"), f"{found['machines']:,} machines"
    table = [
        at_most("ESXHost: start to first login", found["start"]["embedded"], "s", START_SECONDS),
        at_most("ESXHost: the same, all imports too", found["start"]["loaded"], "s"),
        at_most("vimctl sim: start to first answer", found["start"]["command"], "s"),
        at_most(f"{many}: start", ours["retrieve"]["start"], "s", MANY_SECONDS),
        at_most(f"{many}: collected and decoded", ours["collect"], "s"),
        at_least("sessions at once", ours["sessions"]["served"], "sessions", count),
    ]
    if peer is None:
        return table
    speed = [found["mib"] / who["upload"] for who in (ours, peer)]
    return [
        *table,
        _vcsim(f"{many}: start, beside vcsim", ours, peer, "start"),
        _vcsim(f"{many}: server time of 8 properties", ours, peer, "wall", COLLECT_TIMES),
        _vcsim(f"{many}: server CPU of the same", ours, peer, "cpu"),
        beside(
            "/folder: upload by curl",
            speed[0],
            "MiB/s",
            "vcsim",
            speed[1],
            UPLOAD_TIMES,
            more_is_better=True,
        ),
    ]


def _vcsim(name: str, ours: Any, peer: Any, key: str, times: float | None = None) -> Row:
    return beside(name, ours["retrieve"][key], "s", "vcsim", peer["retrieve"][key], times)


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.quick:
        given.machines, given.mib, given.rounds = 200, 64, 1
    found = measure(given.machines, given.mib, given.sessions, given.rounds)
    emit("simulator", rows(found, given.sessions), found, as_json=given.json)


if __name__ == "__main__":
    main()
