"""Machines from one image, cached and not, and power operations in a row, against simulated hosts.

    python -m bench.spawns [--machines N] [--cold N] [--latency MS] [--rounds N] [--json] [--quick]

Each host is a separate process. The minimum of many spawns is the longest chain of dependent calls of
one spawn, times the median seconds of a call on the idle host, times the number of machines divided by
the connections of the client, rounded up; with a cold cache the chain is that of a spawn that fetches the image. Beside it stands the sequence of calls that nova's driver for
vCenter makes for a machine from a cached image, on the same client: it looks at each task at once, then
every half second. Power operations run on a host that reports changes every 250 ms.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import vimlib
from bench._hosts import in_memory
from bench.report import Row, arguments, at_most, beside, emit
from vimdriver import DriverConfig, ESXDriver
from vimdriver._images.embedded import EmbeddedGlance, made_image
from vimdriver._images.glance import Glance
from vimdriver._images.http import HttpClient
from vimdriver._images.make import Pattern
from vimdriver._instances.types import InstanceSpec
from vimlib import vim25

__all__ = ["rows"]

SERVE = """
import asyncio, json, sys
from vimlib.simulator import serve
asyncio.run(serve(lambda ready: print(json.dumps(ready), flush=True), **json.loads(sys.argv[1])))
"""
CONNECTIONS = 32
POLL_SECONDS = 0.5
OPERATIONS = 20
TICK = 0.25


@contextmanager
def host(**given: Any) -> Iterator[dict[str, str]]:
    """Run a simulated host in a process of its own; its datastore is in memory where there is room."""
    with tempfile.TemporaryDirectory(prefix="bench-sim-", dir=in_memory()) as folder:
        options = json.dumps({"datastores": {"datastore1": folder}, **given})
        command = [sys.executable, "-c", SERVE, options]
        with subprocess.Popen(
            command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                yield json.loads(process.stdout.readline())
            finally:
                process.terminate()


class Timed:
    """A middleware that counts calls, and their seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, call: Any, exchange: Callable[[Any], Awaitable[Any]], /) -> Any:
        """Make the call."""
        began = time.monotonic()
        try:
            return await exchange(call)
        finally:
            self.seconds.append(time.monotonic() - began)


def connected(found: dict[str, str], timed: Timed) -> Any:
    """Return a client, to be entered."""
    return vimlib.connect(
        found["url"],
        found["username"],
        found["password"],
        tls=vimlib.TLS(pin=found["thumbprint"]),
        connections=CONNECTIONS,
        middleware=[timed],
    )


def spec(name: str) -> InstanceSpec:
    """Return a machine from the image."""
    return InstanceSpec(name=name, image="raw", datastore="datastore1", memory_mb=64)


async def polled(client: Any, task: vim25.Task[Any]) -> Any:
    """Wait for a task as oslo.vmware does."""
    while True:
        info = (await client.get(task, "info")).require("info")
        if info.state not in ("queued", "running"):
            if info.error is not None:
                raise info.error.fault
            return info.result
        await asyncio.sleep(POLL_SECONDS)


async def as_nova(client: Any, name: str, base: str) -> None:
    """Make the calls of `VMwareVMOps.spawn` for an image in its cache (nova 34, vmops.py, vm_util.py)."""
    rows = await client.gather(
        {
            vim25.Datacenter: ("name", "vmFolder"),
            vim25.Datastore: ("summary", "browser"),
            vim25.ResourcePool: ("parent",),
            vim25.HostSystem: ("name",),
        }
    )
    center, store = rows[vim25.Datacenter][0], rows[vim25.Datastore][0]
    await client.get(rows[vim25.HostSystem][0].obj, "name")
    folder = client.bind(center.require("vmFolder"))
    config = vim25.VirtualMachineConfigSpec(
        name=name,
        guestId="otherGuest",
        numCPUs=1,
        memoryMB=64,
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
    )
    task = await folder.CreateVM_Task(config, rows[vim25.ResourcePool][0].obj)
    vm = client.bind(await polled(client, task))
    browser = client.bind(store.require("browser"))
    await polled(client, await browser.SearchDatastore_Task("[datastore1] vimlib-cache"))
    target = f"[datastore1] {name}/{name}.vmdk"
    disks = client.bind(client.content.virtualDiskManager)
    task = await disks.CopyVirtualDisk_Task(
        base, sourceDatacenter=center.obj, destName=target, destDatacenter=center.obj
    )
    await polled(client, task)
    await client.get(vm, "config.hardware.device")
    controller = vim25.VirtualLsiLogicController(key=-101, busNumber=0, sharedBus="noSharing")
    disk = vim25.VirtualDisk(
        key=-100,
        backing=vim25.VirtualDiskFlatVer2BackingInfo(fileName=target, diskMode="persistent"),
        controllerKey=-101,
        unitNumber=0,
        capacityInKB=1024,
    )
    change = [
        vim25.VirtualDeviceConfigSpec(operation="add", device=device)
        for device in (controller, disk)
    ]
    # The disk, the guest's settings, the console's, and the folder of the project: a call each.
    for one in (
        vim25.VirtualMachineConfigSpec(deviceChange=change),
        vim25.VirtualMachineConfigSpec(extraConfig=[vim25.OptionValue(key="machine.id", value="")]),
        vim25.VirtualMachineConfigSpec(
            extraConfig=[vim25.OptionValue(key="RemoteDisplay.vnc.enabled", value="TRUE")]
        ),
    ):
        await polled(client, await vm.ReconfigVM_Task(one))
    await polled(client, await vm.PowerOnVM_Task())
    await client.get(vm, "runtime.powerState")


@asynccontextmanager
async def driven(latency: float, timed: Timed) -> AsyncIterator[ESXDriver]:
    """Give a driver for a host whose cache is empty, with an image service."""
    image = made_image("raw", "raw", Pattern(1, 1 << 20))
    with host(latency=latency) as found:
        async with (
            EmbeddedGlance([image]) as service,
            HttpClient(stall_timeout=30) as http,
            connected(found, timed) as client,
        ):
            yield ESXDriver(client, Glance(http, service.url), DriverConfig(owner="bench"))


async def at_once(driver: ESXDriver, machines: int) -> float:
    """Spawn so many machines; return the seconds."""
    began = time.monotonic()
    await asyncio.gather(*(driver.spawn(spec(f"m{n}")) for n in range(machines)))
    return time.monotonic() - began


def least(chain: int, median: float, machines: int) -> float:
    """Return the minimum of the seconds that so many spawns take."""
    return chain * median * math.ceil(machines / CONNECTIONS)


async def alone(driver: ESXDriver, timed: Timed) -> tuple[int, float]:
    """Spawn one machine; return its calls and the median of their seconds."""
    timed.seconds.clear()
    await driver.spawn(spec("alone"))
    return len(timed.seconds), statistics.median(timed.seconds)


async def cold(machines: int, latency: float) -> dict[str, Any]:
    """Return the figures of many spawns at once of an image that is not cached yet."""
    timed = Timed()
    async with driven(latency, timed) as driver:
        chain, median = await alone(driver, timed)
    async with driven(latency, timed) as driver:
        wall = await at_once(driver, machines)
    return {
        "machines": machines,
        "chain": chain,
        "median_ms": median * 1000,
        "minimum": least(chain, median, machines),
        "wall": wall,
    }


async def spawns(machines: int, latency: float) -> dict[str, Any]:
    """Return the figures of many spawns at once of a cached image."""
    timed = Timed()
    async with driven(latency, timed) as driver:
        client = driver.client
        await driver.spawn(spec("first"))
        (entry,) = await driver.list_cache("datastore1")
        chain, median = await alone(driver, timed)
        timed.seconds.clear()
        wall, calls = await at_once(driver, machines), len(timed.seconds)
        timed.seconds.clear()
        began = time.monotonic()
        base = str(entry.path)
        await asyncio.gather(*(as_nova(client, f"n{n}", base) for n in range(machines)))
        nova = time.monotonic() - began
        made = {one.name for one in await driver.list_instances()}
    assert len(made) == 2 + 2 * machines, "every machine was made"
    return {
        "machines": machines,
        "chain": chain,
        "median_ms": median * 1000,
        "minimum": least(chain, median, machines),
        "wall": wall,
        "calls_each": calls / machines,
        "nova_wall": nova,
        "nova_calls_each": len(timed.seconds) / machines,
    }


async def power(rounds: int) -> list[float]:
    """Return the milliseconds of an operation, of each of so many runs of 20."""
    found_ms = []
    with host(vms=1, update_interval=TICK) as found:
        async with connected(found, Timed()) as client:
            driver = ESXDriver(client, config=DriverConfig(owner="bench"))
            await driver.adopt("vm-0")
            for _ in range(rounds):
                began = time.monotonic()
                for _ in range(OPERATIONS // 2):
                    await driver.power_on("vm-0")
                    await driver.power_off("vm-0")
                found_ms.append((time.monotonic() - began) / OPERATIONS * 1000)
    return found_ms


def rows(found: dict[str, Any], fresh: dict[str, Any], power_ms: list[float]) -> list[Row]:
    """Return the table's rows."""
    name = f"{found['machines']} spawns of one cached image"
    first = f"{fresh['machines']} spawns of one image, cold cache"
    return [
        at_most(f"{first}: wall, of the minimum", fresh["wall"] / fresh["minimum"], "", 1.5),
        at_most(f"{name}: wall, of the minimum", found["wall"] / found["minimum"], "", 1.5),
        beside(f"{name}: wall", found["wall"], "s", "nova's calls", found["nova_wall"]),
        at_most(f"{name}: calls each", found["calls_each"], "calls", 14),
        at_most(
            f"{OPERATIONS} power operations in a row, updates each 250 ms: each",
            statistics.median(power_ms),
            "ms",
            20,
        ),
    ]


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--cold", type=int, default=50, help="machines with a cold cache")
    parser.add_argument("--latency", type=float, default=20.0, help="milliseconds of each call")
    parser.add_argument("--rounds", type=int, default=5, help="runs of the power operations")
    given = parser.parse_args()
    if given.quick:
        given.machines, given.cold, given.rounds = 8, 4, 1
    fresh = asyncio.run(cold(given.cold, given.latency / 1000))
    found = asyncio.run(spawns(given.machines, given.latency / 1000))
    power_ms = asyncio.run(power(given.rounds))
    details = {"spawns": found, "cold": fresh, "power_ms": power_ms}
    emit("spawns", rows(found, fresh, power_ms), details, as_json=given.json)
    if not given.json:
        print(json.dumps(details))


if __name__ == "__main__":
    main()
