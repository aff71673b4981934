"""Each verb of the driver in its usual case, for the tests that go over all of them.

A new verb gets its row in `SCENARIOS`, or these tests fail.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.unit.driver.hosted import (
    CONFIG,
    Beside,
    Hosted,
    glance,
    hosted,
    hosted_in_memory,
    spec,
    store,
)
from vimdriver._config import DriverConfig
from vimdriver._driver import ESXDriver
from vimdriver._guestinfo import GuestConfig
from vimdriver._images.embedded import EmbeddedGlance, made_image
from vimdriver._images.make import Pattern
from vimdriver._instances.programs import GuestLogin
from vimdriver._instances.types import InstanceSpec, NICSpec
from vimdriver._verbs.verb import Query, Verb
from vimlib._secret import Secret

Act = Callable[[ESXDriver], Awaitable[Any]]

VM = "vm-0"
OTHER = "vm-1"
"""A machine of somebody else's."""
ROOT = "[datastore1] vm-0/vm-0.vmdk"
ISO, SECOND = "[datastore1] a.iso", "[datastore1] b.iso"
CARD, DISK = "Network adapter 1", "Hard disk 2"
LOGIN = GuestLogin("root", Secret("secret"))
UUID = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A verb at work on `VM`, which the driver owns."""

    act: Act
    before: Act | None = None
    """Brings the host into the state for it."""
    owned: bool = True
    """Whether the machine is adopted first."""
    setup: Callable[[Hosted], None] | None = None
    """Called in the host's thread."""
    since: str = "4.0"
    """The oldest API with what it needs."""
    given: dict[str, Any] = field(default_factory=dict)
    """Of the simulated host."""


def verbs() -> set[str]:
    """Return the names of the driver's verbs that are registered: `Verb` and `Query`."""
    return {name for name, value in vars(ESXDriver).items() if isinstance(value, Verb | Query)}


def writing() -> set[str]:
    """Return the names of the verbs that write, which have a plan."""
    return {name for name, value in vars(ESXDriver).items() if isinstance(value, Verb)}


async def on(driver: ESXDriver) -> None:
    await driver.power_on(VM)


async def suspended(driver: ESXDriver) -> None:
    await driver.power_on(VM)
    await driver.suspend(VM)


async def shot(driver: ESXDriver) -> None:
    await driver.snapshot(VM, "one")


async def resized(driver: ESXDriver) -> None:
    await driver.resize(VM, cpus=2, disk_gb=9)


async def in_rescue(driver: ESXDriver) -> None:
    await driver.rescue(VM, ROOT)


async def with_disk(driver: ESXDriver) -> None:
    await driver.attach_disk(VM, size_gb=1)


async def with_image(driver: ESXDriver) -> None:
    await driver.client.datastore("datastore1").upload(ISO, b"iso")
    await driver.insert_cdrom(VM, ISO)


async def with_second_image(driver: ESXDriver) -> None:
    await with_image(driver)
    await driver.client.datastore("datastore1").upload(SECOND, b"iso")


async def away(driver: ESXDriver) -> None:
    await driver.unregister(VM)


async def cached(driver: ESXDriver) -> None:
    await driver.spawn(wanted("first"))


async def take_down(verb: str, driver: ESXDriver) -> None:
    name = (await driver.host_info()).name
    await getattr(driver, verb)(name, force=True)


def wanted(name: str = "web", **given: Any) -> InstanceSpec:
    """Return a machine from the image in the image service."""
    given.setdefault("nics", ())
    return spec("raw", name, **given)


def accounts(host: Hosted) -> None:
    host.esx.set_guest(VM, tools=True, accounts={"root": "secret"})


def asked(host: Hosted) -> None:
    host.esx.ask(VM, "Was it moved?", {"0": "I moved it", "1": "I copied it"})


async def move_group(driver: ESXDriver) -> None:
    await driver.set_port_group("VM Network", vlan=5)


async def upload(driver: ESXDriver) -> None:
    await driver.guest_upload(VM, LOGIN, b"text", "/tmp/file")


async def uploaded(driver: ESXDriver) -> None:
    await on(driver)
    await upload(driver)


async def logging(driver: ESXDriver) -> None:
    await driver.spawn(wanted(serial_log=True))


def machine(act: Act, before: Act | None = None, **given: Any) -> Scenario:
    return Scenario(act=act, before=before, **given)


async def export(driver: ESXDriver) -> None:
    with TemporaryDirectory() as folder:
        await driver.export(VM, Path(folder) / "web.ova")


async def import_raw(driver: ESXDriver) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "web.img"
        file.write_bytes(bytes(MIB))
        await driver.import_instance(file, datastore="datastore1")


NFS: dict[str, Any] = {"given": {"exports": {"filer:/a": None}}}


async def mounted(driver: ESXDriver) -> None:
    await driver.mount_nfs("nas", "filer", "/a")


SCENARIOS: dict[str, Scenario] = {
    # machines
    "spawn": machine(lambda d: d.spawn(wanted(transfer="put")), cached),
    "destroy": machine(lambda d: d.destroy(VM)),
    "clone": machine(lambda d: d.clone(VM, "copy")),
    "register": machine(lambda d: d.register("[datastore1] vm-0/vm-0.vmx"), away),
    "unregister": machine(lambda d: d.unregister(VM)),
    "adopt": machine(lambda d: d.adopt(VM), owned=False),
    "rename": machine(lambda d: d.rename(VM, "renamed")),
    "annotate": machine(lambda d: d.annotate(VM, "text")),
    "capture": machine(lambda d: d.capture(VM, "golden")),
    "export": machine(export),
    "import_instance": machine(import_raw),
    "power_on": machine(lambda d: d.power_on(VM)),
    "power_off": machine(lambda d: d.power_off(VM), on),
    "shutdown": machine(lambda d: d.shutdown(VM, force=True), on),
    "suspend": machine(lambda d: d.suspend(VM), on),
    "resume": machine(lambda d: d.resume(VM), suspended),
    "reboot": machine(lambda d: d.reboot(VM, soft=False), on),
    "send_nmi": machine(lambda d: d.send_nmi(VM), on, since="6.0"),
    "snapshot": machine(lambda d: d.snapshot(VM, "two")),
    "snapshots": machine(lambda d: d.snapshots(VM), shot),
    "revert_snapshot": machine(lambda d: d.revert_snapshot(VM, "one"), shot),
    "remove_snapshot": machine(lambda d: d.remove_snapshot(VM, "one"), shot),
    "change_hardware": machine(lambda d: d.change_hardware(VM, cpus=2)),
    "resize": machine(lambda d: d.resize(VM, cpus=2, disk_gb=9)),
    "confirm_resize": machine(lambda d: d.confirm_resize(VM), resized),
    "revert_resize": machine(lambda d: d.revert_resize(VM), resized),
    "rescue": machine(lambda d: d.rescue(VM, ROOT)),
    "unrescue": machine(lambda d: d.unrescue(VM), in_rescue),
    "rebuild": machine(lambda d: d.rebuild(VM, ROOT)),
    "attach_disk": machine(lambda d: d.attach_disk(VM, size_gb=1)),
    "grow_disk": machine(lambda d: d.grow_disk(VM, DISK, 2), with_disk),
    "detach_disk": machine(lambda d: d.detach_disk(VM, DISK), with_disk),
    "insert_cdrom": machine(lambda d: d.insert_cdrom(VM, SECOND), with_second_image),
    "eject_cdrom": machine(lambda d: d.eject_cdrom(VM), with_image),
    "attach_interface": machine(lambda d: d.attach_interface(VM, "VM Network")),
    "change_interface": machine(lambda d: d.change_interface(VM, CARD, connected=False)),
    "detach_interface": machine(lambda d: d.detach_interface(VM, CARD)),
    "devices": machine(lambda d: d.devices(VM)),
    "info": machine(lambda d: d.info(VM)),
    "list_instances": machine(lambda d: d.list_instances()),
    "diagnostics": machine(lambda d: d.diagnostics(VM)),
    "metrics": machine(lambda d: d.metrics(VM), on),
    "question": machine(lambda d: d.question(VM), setup=asked),
    "answer": machine(lambda d: d.answer(VM, "0"), setup=asked),
    "console": machine(lambda d: d.console(VM), on),
    "console_log": machine(lambda d: d.console_log("web"), logging),
    "screenshot": machine(lambda d: d.screenshot(VM), on),
    "send_keys": machine(lambda d: d.send_keys(VM, "x"), on, since="6.5"),
    "set_autostart": machine(lambda d: d.set_autostart(VM)),
    "autostarts": machine(lambda d: d.autostarts()),
    # their guests
    "set_guest_info": machine(
        lambda d: d.set_guest_info(VM, GuestConfig(hostname="web"), form="versioned")
    ),
    "guest_network": machine(lambda d: d.guest_network(VM)),
    "guest_exec": machine(
        lambda d: d.guest_exec(VM, LOGIN, "/bin/true"), on, setup=accounts, since="5.0"
    ),
    "guest_ps": machine(lambda d: d.guest_ps(VM, LOGIN), on, setup=accounts, since="5.0"),
    "guest_upload": machine(upload, on, setup=accounts, since="5.0"),
    "guest_download": machine(
        lambda d: d.guest_download(VM, LOGIN, "/tmp/file"), uploaded, setup=accounts, since="5.0"
    ),
    # the host
    "host_info": machine(lambda d: d.host_info()),
    "host_identity": machine(lambda d: d.host_identity()),
    "host_capacity": machine(lambda d: d.host_capacity()),
    "datastores": machine(lambda d: d.datastores()),
    "services": machine(lambda d: d.services()),
    "control_service": machine(
        lambda d: d.control_service("ntpd", "stop"), lambda d: d.control_service("ntpd", "start")
    ),
    "set_service_policy": machine(lambda d: d.set_service_policy("ntpd", "on")),
    "firewall": machine(lambda d: d.firewall()),
    "set_ruleset": machine(lambda d: d.set_ruleset("CIMSLP", "closed")),
    "host_time": machine(lambda d: d.host_time()),
    "set_time_servers": machine(lambda d: d.set_time_servers(servers=("ntp1",))),
    "host_options": machine(lambda d: d.host_options()),
    "set_host_option": machine(lambda d: d.set_host_option("UserVars.CIMEnabled", "0")),
    "enter_maintenance": machine(lambda d: d.enter_maintenance()),
    "exit_maintenance": machine(lambda d: d.exit_maintenance(), lambda d: d.enter_maintenance()),
    "reboot_host": machine(partial(take_down, "reboot_host")),
    "shutdown_host": machine(partial(take_down, "shutdown_host")),
    "rescan": machine(lambda d: d.rescan()),
    "mount_nfs": machine(mounted, **NFS),
    "unmount_nfs": machine(lambda d: d.unmount_nfs("nas"), mounted, **NFS),
    "tasks": machine(lambda d: d.tasks(), on),
    "logs": machine(lambda d: d.logs(lines=10), on),
    # its networks
    "switches": machine(lambda d: d.switches()),
    "port_group_policies": machine(lambda d: d.port_group_policies()),
    "vmkernel": machine(lambda d: d.vmkernel()),
    "create_switch": machine(lambda d: d.create_switch("lab")),
    "remove_switch": machine(lambda d: d.remove_switch("lab"), lambda d: d.create_switch("lab")),
    "set_mtu": machine(lambda d: d.set_mtu("vSwitch0", 9000)),
    "set_switch": machine(lambda d: d.set_switch("vSwitch0", balancing="loadbalance_ip")),
    "set_port_group": machine(move_group),
    "ensure_vlan": machine(lambda d: d.ensure_vlan("blue", 42)),
    "remove_vlan": machine(lambda d: d.remove_vlan("blue"), lambda d: d.ensure_vlan("blue", 42)),
    # leftovers and the cache
    "sweep": machine(lambda d: d.sweep(older_than=0)),
    "list_cache": machine(lambda d: d.list_cache("datastore1"), cached),
    "prune_cache": machine(lambda d: d.prune_cache("datastore1", older_than=0), cached),
}

VARIANTS: dict[str, Scenario] = {
    "spawn, flat PUT": machine(lambda d: d.spawn(wanted(clone="none", transfer="put"))),
    "spawn, NFC": machine(lambda d: d.spawn(wanted(clone="none", transfer="nfc"))),
    "spawn, VLAN": machine(
        lambda d: d.spawn(wanted(nics=(NICSpec(network="blue", vlan=42),))), cached
    ),
}
"""Further cases of verbs."""


@dataclass(frozen=True)
class Stage:
    """A host of its own for one scenario, with an image service."""

    scenario: Scenario
    host: Hosted
    images: EmbeddedGlance

    @asynccontextmanager
    async def driver(
        self, config: DriverConfig = CONFIG, **settings: Any
    ) -> AsyncIterator[ESXDriver]:
        """Give a driver with a client of its own."""
        async with (
            store(self.images) as images,
            self.host.driver(images, config, **settings) as found,
        ):
            yield found

    def kept(self) -> object:
        """Return what verbs may change: files, machines with their hardware and settings, port groups."""
        return self.host.state(), self.host.beside.call(self._machines)

    def _machines(self) -> list[Any]:
        return sorted(
            (
                one.name,
                one.power,
                repr(one.config.hardware),
                str(one.config.annotation),
                sorted((option.key, str(option.value)) for option in one.config.extraConfig),
                [shot.name for shot in one.snapshots],
            )
            for one in self.host.esx.machines.values()
        )

    def shape(self) -> object:
        """Return the same, without the names and values that are random."""
        state, machines = self.host.state(), self.host.beside.call(self._machines)
        files = sorted(re.sub(r"[0-9a-f]{16,}", "*", name) for name in state.files)
        shapes = [
            (name, power, re.sub(r"[0-9a-f]{16,}|([0-9a-f]{2,8}[-: ]){5,}[0-9a-f]+", "*", hardware), note,
             [key for key, _ in extra], shots)
            for name, power, hardware, note, extra, shots in machines
        ]  # fmt: skip
        return files, sorted(state.groups), shapes

    async def prepare(self, driver: ESXDriver) -> None:
        """Bring the host into the state for it."""
        scenario = self.scenario
        if scenario.owned:
            await driver.adopt(VM)
        if scenario.setup is not None:
            self.host.beside.call(partial(scenario.setup, self.host))
        if scenario.before is not None:
            await scenario.before(driver)


@contextmanager
def staged(
    scenario: Scenario, beside: Beside, folder: Path, version: str = "8.0", **given: Any
) -> Iterator[Stage]:
    """Run a host with `VM` and `OTHER`, and an image service with the image `raw`."""
    given = {"vms": 2} | scenario.given | given
    raw = made_image("raw", "raw", Pattern(1, MIB))
    with hosted(beside, folder, version, **given) as host, glance(beside, raw) as images:
        yield Stage(scenario, host, images)


@asynccontextmanager
async def staged_in_memory(
    scenario: Scenario, folder: Path, version: str = "8.0", **given: Any
) -> AsyncIterator[Stage]:
    """Do as `staged` does on the loop of `tests.rig.memory`, whose clock is the host's: each run is the same."""
    given = {"vms": 2} | scenario.given | given
    raw = made_image("raw", "raw", Pattern(1, MIB))
    async with (
        hosted_in_memory(folder, version, **given) as host,
        EmbeddedGlance([raw]) as images,
    ):
        yield Stage(scenario, host, images)
