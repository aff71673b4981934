"""What the client fuzz does against a host: one short program for each part of the public interface."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import vimlib
from vimdriver import (
    DriverConfig,
    ESXDriver,
    InstanceSpec,
    LocalImages,
    NICSpec,
    list_port_groups,
)
from vimlib import vim25

Flow: TypeAlias = Callable[[vimlib.Client, Path], Awaitable[Any]]

STORE: Final = "datastore1"
CONFIG: Final = DriverConfig(
    owner="fuzz", settle_seconds=3, task_seconds=120, cleanup_seconds=60, concurrency=1
)
DATA: Final = bytes(range(256)) * 8
MAC: Final = "00:50:56:00:00:01"
WATCHED: Final = 40.0
"""Seconds for which a watch is read whose next change may never come."""

FLOWS: dict[str, Flow] = {}


def flow(function: Flow) -> Flow:
    """Add a function to `FLOWS`."""
    FLOWS[function.__name__] = function
    return function


async def machine(client: vimlib.Client, name: str = "vm-0") -> vim25.VirtualMachine:
    """Return a machine by name."""
    found: vim25.VirtualMachine = (await client.find(name, vim25.VirtualMachine))[0].obj
    return found


def driver(client: vimlib.Client) -> ESXDriver:
    """Return a driver of local images."""
    return ESXDriver(client, LocalImages(), CONFIG)


# -- the client ------------------------------------------------------------------------------------


@flow
async def connect(client: vimlib.Client, folder: Path) -> Any:
    """Log in and out."""
    return client.about.fullName, client.api_version, repr(client)


@flow
async def collect(client: vimlib.Client, folder: Path) -> Any:
    """Read rows of two kinds."""
    rows = await client.collect(vim25.VirtualMachine, "name", "runtime.powerState", "config").all()
    stores = [row async for row in client.collect(vim25.Datastore, "summary", "host", page=1)]
    return [row["name"] for row in rows], [row.get("summary") for row in stores]


@flow
async def get(client: vimlib.Client, folder: Path) -> Any:
    """Read one object, several, and everything."""
    vm = vim25.VirtualMachine("1")
    rows = await client.get([vm, client.content.rootFolder], "name", "parent")
    one = await client.get(vm, "config.hardware.device", "summary", "guest", "layoutEx")
    return len(rows), one.obj, await client.get(client.content.rootFolder, "*")


@flow
async def find(client: vimlib.Client, folder: Path) -> Any:
    """Find by pattern, and name the paths."""
    found = await client.find("**")
    return await client.paths([item.obj for item in found])


@flow
async def watch(client: vimlib.Client, folder: Path) -> Any:
    """Watch a machine that is powered on meanwhile."""
    seen = []
    try:
        async with (
            asyncio.timeout(WATCHED),
            client.watch(vim25.VirtualMachine, "name", "runtime.powerState") as changes,
        ):
            async for change in changes:
                seen.append((change.kind, dict(change.changed)))
                if len(seen) == 2:
                    vm: vim25.VirtualMachine = client.bind(change.obj)
                    await vm.PowerOnVM_Task()
                if len(seen) > 2:
                    break
    except TimeoutError as error:
        if isinstance(error, vimlib.VimlibError):
            raise
    return seen


@flow
async def events(client: vimlib.Client, folder: Path) -> Any:
    """Read the events that there are."""
    return [
        (event.key, event.createdTime, event.fullFormattedMessage)
        async for event in client.events(follow=False)
    ]


@flow
async def wait(client: vimlib.Client, folder: Path) -> Any:
    """Start tasks and wait for their ends: one that fails, one that succeeds, one by `run`."""
    vm = client.bind(vim25.VirtualMachine("1"))
    try:
        await client.wait(await vm.PowerOffVM_Task(), 60)
    except vim25.InvalidPowerState:
        await client.wait(await vm.PowerOnVM_Task(), 60, lambda percent: None)
    await client.run(vm.PowerOffVM_Task, 60)
    await client.tasks.idle(of=vm, timeout=60)
    return await client.wait_for(vm, "runtime.powerState", lambda state: True, 60)


@flow
async def listing(client: vimlib.Client, folder: Path) -> Any:
    """List, stat and change files."""
    store = client.datastore(STORE)
    found = await store.list("")
    await store.mkdir("dir")
    await store.copy("seed.txt", "dir/copy.txt")
    await store.move("dir/copy.txt", "dir/moved.txt")
    stat = await store.stat("dir/moved.txt")
    there = await store.exists("dir/copy.txt")
    await store.delete("dir")
    return found, stat, there


@flow
async def transfer(client: vimlib.Client, folder: Path) -> Any:
    """Upload a file and download it."""
    store = client.datastore(STORE)
    await store.upload("up.bin", DATA)
    try:
        async with store.download("up.bin") as found:
            return b"".join([piece async for piece in found])
    finally:
        await store.delete("up.bin", missing_ok=True)


@flow
async def lease(client: vimlib.Client, folder: Path) -> Any:
    """Hold an export lease."""
    vm = client.bind(vim25.VirtualMachine("1"))
    async with client.lease(vm.ExportVm(), timeout=60) as held:
        held.percent = 50
        await asyncio.sleep(20)
        return held.devices, held.info.totalDiskCapacityInKB


# -- the driver ------------------------------------------------------------------------------------


@flow
async def reads(client: vimlib.Client, folder: Path) -> Any:
    """All verbs that only read."""
    it = driver(client)
    found = await it.list_instances()
    return (
        found,
        await it.info("vm-0"),
        await it.diagnostics("vm-0"),
        await it.host_info(),
        await it.guest_network("vm-0"),
        await it.snapshots("vm-0"),
    )


@flow
async def instance_events(client: vimlib.Client, folder: Path) -> Any:
    """The events of one machine."""
    return [event async for event in driver(client).events("vm-0", follow=False)]


@flow
async def power(client: vimlib.Client, folder: Path) -> Any:
    """Through all power states."""
    it = driver(client)
    await it.power_on("vm-0", foreign=True)
    await it.suspend("vm-0", foreign=True)
    await it.resume("vm-0", foreign=True)
    console = await it.console("vm-0")
    await it.reboot("vm-0", soft=False, foreign=True)
    shot = await it.screenshot("vm-0", foreign=True)
    await it.shutdown("vm-0", timeout=5, force=True, foreign=True)
    return repr(console), len(shot), await it.power_off("vm-0", foreign=True)


@flow
async def snapshots(client: vimlib.Client, folder: Path) -> Any:
    """Make, list, revert to and remove a snapshot."""
    it = driver(client)
    made = await it.snapshot("vm-0", "one", foreign=True)
    tree = await it.snapshots("vm-0")
    await it.revert_snapshot("vm-0", "one", foreign=True)
    await it.remove_snapshot("vm-0", "one", foreign=True)
    return made, tree


@flow
async def port_groups(client: vimlib.Client, folder: Path) -> Any:
    """Make a port group, list, and remove it."""
    it = driver(client)
    await it.ensure_vlan("net-7", 7, interface="vmnic0")
    found = await list_port_groups(client)
    await it.remove_vlan("net-7")
    return found


@flow
async def sweep(client: vimlib.Client, folder: Path) -> Any:
    """Sweep a host with a leftover upload."""
    return await driver(client).sweep(older_than=0)


@flow
async def spawn(client: vimlib.Client, folder: Path) -> Any:
    """Make a machine from an image on a new VLAN, and destroy it."""
    spec = InstanceSpec(
        name="web",
        image=str(folder / "disk.img"),
        datastore=STORE,
        memory_mb=64,
        uuid="6f0c2a51-0000-4000-8000-000000000001",
        nics=(NICSpec(network="VM Network", mac=MAC, addresses=("10.0.0.2/24",)),),
    )
    made = await driver(client).spawn(spec)
    await driver(client).destroy(made.uuid)
    return made
