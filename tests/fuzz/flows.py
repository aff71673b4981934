"""What the client fuzz does against a host: one short program for each part of the public interface."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import vimlib
from vimdriver import (
    DriverConfig,
    ESXDriver,
    GuestLogin,
    ImageInfo,
    InstanceSpec,
    LocalImages,
    NICSpec,
    list_port_groups,
)
from vimlib import vim25
from vimlib._secret import Secret

Flow: TypeAlias = Callable[[vimlib.Client, Path], Awaitable[Any]]

STORE: Final = "datastore1"
CONFIG: Final = DriverConfig(
    owner="fuzz", settle_seconds=3, task_seconds=120, cleanup_seconds=60, concurrency=1
)
DATA: Final = bytes(range(256)) * 8
MAC: Final = "00:50:56:00:00:01"
GUEST: Final = GuestLogin("root", Secret("of-the-guest"))
EXPORT: Final = ("filer", "/a")
WATCHED: Final = 40.0
"""Seconds for which a watch is read whose next change may never come."""

FLOWS: dict[str, Flow] = {}
FRESH: Final = frozenset(
    {"guest", "hardware", "host_settings", "interfaces", "resize", "shares", "switches"}
)
"""Flows that change more of a host than its state shows: the next case begins with another."""


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


class Taken:
    """Takes the bytes of a captured image."""

    def __init__(self) -> None:
        self.data = b""

    @asynccontextmanager
    async def new_image(self, name: str, **how: Any) -> AsyncIterator[str]:
        """Make an image."""
        yield name

    async def fill(self, image: str, body: AsyncIterable[bytes]) -> None:
        """Take the bytes."""
        async for piece in body:
            self.data += piece

    async def find(self, ref: str) -> ImageInfo:
        """Return what the bytes are."""
        digest = hashlib.sha512(self.data).hexdigest()
        return ImageInfo(
            id=ref, name=ref, size=len(self.data), hash_algo="sha512", hash_value=digest
        )


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


# -- machines --------------------------------------------------------------------------------------


@flow
async def hardware(client: vimlib.Client, folder: Path) -> Any:
    """Change the size of a machine and back, its note, name, keys and what its guest is told."""
    it = driver(client)
    await it.change_hardware("vm-0", cpus=2, memory_mb=256, foreign=True)
    await it.annotate("vm-0", "a note", foreign=True)
    await it.rename("vm-0", "vm-9", foreign=True)
    await it.rename("vm-9", "vm-0", foreign=True)
    await it.set_autostart("vm-0", order=1, foreign=True)
    found = await it.autostarts()
    await it.set_autostart("vm-0", off=True, foreign=True)
    return found, await it.devices("vm-0"), await it.question("vm-0")


@flow
async def disks(client: vimlib.Client, folder: Path) -> Any:
    """Attach a new disk, grow it, and detach it with its file."""
    it = driver(client)
    made = await it.attach_disk("vm-0", size_gb=1, disk_type="thin", foreign=True)
    await it.grow_disk("vm-0", made.label, 2, foreign=True)
    await it.detach_disk("vm-0", made.label, delete=True, foreign=True)
    return made


@flow
async def interfaces(client: vimlib.Client, folder: Path) -> Any:
    """Attach a network card, disconnect it, and detach it."""
    it = driver(client)
    made = await it.attach_interface("vm-0", "VM Network", mac=MAC, foreign=True)
    changed = await it.change_interface("vm-0", made.label, connected=False, foreign=True)
    await it.detach_interface("vm-0", made.label, foreign=True)
    return made, changed


@flow
async def resize(client: vimlib.Client, folder: Path) -> Any:
    """Resize a machine, revert it, and once more for good."""
    it = driver(client)
    await it.adopt("vm-0", foreign=True)
    await it.resize("vm-0", cpus=2, foreign=True)
    await it.revert_resize("vm-0", foreign=True)
    await it.resize("vm-0", memory_mb=256, foreign=True)
    return await it.confirm_resize("vm-0", foreign=True)


@flow
async def clone(client: vimlib.Client, folder: Path) -> Any:
    """Copy a machine; unregister, register and destroy the copy."""
    it = driver(client)
    made = await it.clone("vm-0", "copy")
    left = await it.unregister("copy", foreign=True)
    again = await it.register(str(left.path))
    return made, again, await it.destroy("copy", foreign=True)


@flow
async def capture(client: vimlib.Client, folder: Path) -> Any:
    """Read the disk of a machine into an image."""
    taken = Taken()
    found = await driver(client).capture("vm-0", "taken", target=taken, foreign=True)
    return found, len(taken.data)


@flow
async def guest(client: vimlib.Client, folder: Path) -> Any:
    """Run a program in a guest, and copy files."""
    it = driver(client)
    await it.power_on("vm-0", foreign=True)
    await it.send_keys("vm-0", "text", keys=("enter",), foreign=True)
    ran = await it.guest_exec(
        "vm-0", GUEST, "/bin/echo", "word", env={"A": "b"}, timeout=30, foreign=True
    )
    running = await it.guest_ps("vm-0", GUEST)
    await it.guest_upload("vm-0", GUEST, DATA, "/tmp/up.bin", overwrite=True, foreign=True)
    found = await it.guest_download("vm-0", GUEST, "/tmp/up.bin")
    await it.power_off("vm-0", foreign=True)
    return ran, running, found


# -- the host --------------------------------------------------------------------------------------


@flow
async def host_reads(client: vimlib.Client, folder: Path) -> Any:
    """All verbs that read the host."""
    it = driver(client)
    return (
        await it.host_capacity(),
        await it.host_identity(),
        await it.host_time(),
        await it.host_options("UserVars."),
        await it.services(),
        await it.firewall(),
        await it.datastores(),
        await it.tasks(),
        await it.vmkernel(),
        await it.switches(),
        await it.port_group_policies(),
        await it.logs(lines=5),
        await it.metrics("vm-0", samples=2),
        await it.list_cache(STORE),
        await it.prune_cache(STORE, older_than=0),
    )


@flow
async def host_settings(client: vimlib.Client, folder: Path) -> Any:
    """Change settings of the host, services and rules."""
    it = driver(client)
    await it.set_time_servers(servers=("10.0.0.1",))
    service = await it.control_service("TSM-SSH", "start")
    await it.control_service("TSM-SSH", "stop")
    await it.set_service_policy("TSM-SSH", "off")
    ruleset = await it.set_ruleset("CIMSLP", "closed")
    option = await it.set_host_option("UserVars.DcuiTimeOut", "300")
    await it.rescan()
    await it.enter_maintenance()
    return service, ruleset, option, await it.exit_maintenance()


@flow
async def switches(client: vimlib.Client, folder: Path) -> Any:
    """Make a switch, change and remove it."""
    it = driver(client)
    made = await it.create_switch("vSwitch7")
    changed = await it.set_mtu("vSwitch7", 9000)
    await it.set_port_group("VM Network", promiscuous="reject")
    await it.remove_switch("vSwitch7")
    return made, changed


@flow
async def shares(client: vimlib.Client, folder: Path) -> Any:
    """Mount an NFS share and unmount it."""
    it = driver(client)
    made = await it.mount_nfs("share", *EXPORT)
    await it.unmount_nfs("share")
    return made
