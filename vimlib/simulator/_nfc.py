"""NFC leases: import and export of machines' disks over HTTP."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import MethodFault
from vimlib.simulator._inventory import Folder, ResourcePool
from vimlib.simulator._lifecycle import (
    create_machine,
    delete_files,
    require_connected,
    require_idle,
    require_power,
)
from vimlib.simulator._machine import VirtualMachine
from vimlib.simulator._objects import Served, serves
from vimlib.simulator._objects import prop as prop_
from vimlib.simulator._snapshots import Snapshot
from vimlib.simulator._world import localized, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._call import Call
    from vimlib.simulator._datastore import Datastore
    from vimlib.simulator._world import World

__all__ = ["Device", "Lease"]

_TIMEOUT = 300
"""Seconds without a word of progress after which a lease ends."""


@dataclass
class Device:
    """One disk of a lease."""

    key: str
    """As `/vm-1/VirtualLsiLogicController0:0`."""
    import_key: str
    name: str
    """Last part of its URL."""
    store: Datastore
    path: str
    capacity: int
    size: int = 0
    """Bytes that went over the wire."""
    sha1: str = ""


class Lease(Served):
    """A lease: the right to read or write the disks of a machine for a while."""

    kind = "HttpNfcLease"

    def __init__(self, world: World, mode: str) -> None:
        self.id = secrets.token_hex(16)
        self.mode = mode
        self.state = "initializing"
        self.machine: VirtualMachine | None = None
        self.devices: list[Device] = []
        self.error: MethodFault | None = None
        self.progress = 0
        self.heard = world.clock.monotonic()
        self.uploads = 0
        self.still = asyncio.Event()
        self.still.set()
        super().__init__(world, f"session[{self.id[:8]}]{world.new_uuid()}")
        world.leases[self.id] = self

    @prop_("state")
    def _state(self) -> str:
        return self.state

    @prop_("initializeProgress")
    def _initialize(self) -> int:
        return 0 if self.state == "initializing" else 100

    @prop_("transferProgress")
    def _transfer(self) -> int:
        return self.progress

    @prop_("mode")
    def _mode(self) -> str:
        return "pushOrGet"

    @prop_("capabilities")
    def _capabilities(self) -> Any:
        return vim25.HttpNfcLeaseCapabilities(pullModeSupported=False, corsSupported=False)

    @prop_("error")
    def _error(self) -> Any:
        return localized(self.error) if self.error is not None else None

    @prop_("info")
    def info(self) -> Any:
        """Return what there is to transfer, once the lease is ready."""
        if self.machine is None:
            return None
        certificate = self.world.certificate
        return vim25.HttpNfcLeaseInfo(
            lease=self.ref,
            entity=self.machine.ref,
            deviceUrl=[
                vim25.HttpNfcLeaseDeviceUrl(
                    key=device.key,
                    importKey=device.import_key,
                    # A host says `*` where it means itself.
                    url=f"https://*/nfc/{self.id}/{device.name}",
                    sslThumbprint=certificate.sha1 if certificate else "",
                    disk=True,
                    targetId=device.name,
                    datastoreKey="",
                )
                for device in self.devices
            ],
            totalDiskCapacityInKB=sum(device.capacity for device in self.devices) // 1024,
            leaseTimeout=_TIMEOUT,
        )

    def to(self, state: str) -> None:
        """Go to another state."""
        self.state = state
        self.heard = self.world.clock.monotonic()
        self.changed("state", "info", "error", "initializeProgress")

    def touch(self) -> None:
        """Note a sign of life."""
        self.heard = self.world.clock.monotonic()

    async def fail(self, fault: MethodFault) -> None:
        """End in error; what was imported so far is deleted."""
        self.error = fault
        machine = self.machine
        self.to("error")
        self.still.set()
        self.world.leases.pop(self.id, None)
        if self.mode == "import" and machine is not None and machine.alive:
            machine.remove()
            await delete_files(machine)
        await self.world.persist()

    @contextmanager
    def uploading(self) -> Iterator[None]:
        """Mark that bytes arrive: what is under way belongs to the lease that is completed meanwhile."""
        self.uploads += 1
        self.still.clear()
        try:
            yield
        finally:
            self.uploads -= 1
            if not self.uploads:
                self.still.set()

    async def watch(self) -> None:
        """End the lease when nothing was heard for too long."""
        clock = self.world.clock
        while self.state in ("initializing", "ready"):
            left = self.heard + _TIMEOUT - clock.monotonic()
            if left <= 0:
                await self.fail(say(vim25.Timedout(), "The lease timed out."))
                return
            await clock.sleep(left)


def _devices(machine: VirtualMachine) -> list[Device]:
    from vimlib.simulator._datastore import find_path

    found = []
    for number, disk in enumerate(machine.disks()):
        controller: Any = next(
            d for d in machine.config.hardware.device if d.key == disk.controllerKey
        )
        place = f"{type(controller).__name__}{controller.busNumber}:{disk.unitNumber}"
        store, path = find_path(machine.world, disk.backing.fileName)
        found.append(
            Device(
                key=f"/{machine.moid}/{place}",
                import_key=f"/{machine.name}/{place}",
                name=f"disk-{number}.vmdk",
                store=store,
                path=path,
                capacity=disk.capacityInKB * 1024,
            )
        )
    return found


@serves(ResourcePool, "ImportVApp")
def import_vapp(pool: ResourcePool, call: Call) -> Any:
    """Make a machine whose disks are then written over HTTP; the result is a lease."""
    world, spec = call.world, call.args["spec"]
    world.require_licence()
    if not isinstance(spec, vim25.VirtualMachineImportSpec):
        raise say(vim25.NotSupported(), "The operation is not supported on the object.")
    folder = call.get("folder")
    if folder is not None and not isinstance(world.find(folder), Folder):
        raise say(
            vim25.InvalidArgument(invalidProperty="folder"),
            "A specified parameter was not correct: folder",
        )
    config = spec.configSpec
    if not config.name:
        raise say(
            vim25.InvalidVmConfig(property="configSpec.name"),
            "Invalid virtual machine configuration.",
        )
    lease = Lease(world, "import")

    async def work() -> None:

        try:
            machine = await create_machine(world, config, pool)
        except MethodFault as fault:
            await lease.fail(fault)
            return
        lease.machine = machine
        lease.devices = _devices(machine)
        lease.to("ready")
        await world.persist()

    world.spawn(work(), f"simulated import {lease.moid}")
    world.spawn(lease.watch(), f"simulated lease {lease.moid}")
    return lease.ref


@serves(VirtualMachine, "ExportVm")
def export_vm(machine: VirtualMachine, call: Call) -> Any:
    """Read a machine's disks over HTTP; it has to be off."""
    require_connected(machine)
    require_idle(machine)
    require_power(machine, "poweredOff", "suspended")
    return _export(machine)


@serves(Snapshot, "ExportSnapshot")
def export_snapshot(snapshot: Snapshot, call: Call) -> Any:
    """Read the disks of a snapshot over HTTP; the machine may run."""
    return _export(snapshot.machine)


def _export(machine: VirtualMachine) -> Any:
    lease = Lease(machine.world, "export")

    async def work() -> None:
        lease.machine = machine
        lease.devices = _devices(machine)
        lease.to("ready")

    machine.world.spawn(work(), f"simulated export {lease.moid}")
    machine.world.spawn(lease.watch(), f"simulated lease {lease.moid}")
    return lease.ref


def _require_live(lease: Lease) -> None:
    if lease.state == "error" and isinstance(lease.error, vim25.Timedout):
        raise say(vim25.Timedout(), "The lease timed out.")
    if lease.state not in ("initializing", "ready"):
        raise say(vim25.InvalidState(), "The operation is not allowed in the current state.")


@serves(Lease, "HttpNfcLeaseProgress")
def lease_progress(lease: Lease, call: Call) -> None:
    """Keep a lease alive."""
    _require_live(lease)
    lease.touch()
    lease.progress = min(max(call.args["percent"], 0), 100)
    lease.changed("transferProgress")


@serves(Lease, "HttpNfcLeaseComplete")
async def lease_complete(lease: Lease, call: Call) -> None:
    """End a lease well, once what was sent has been taken: some clients do not wait for an upload's answer."""
    _require_live(lease)
    await lease.still.wait()
    _require_live(lease)
    if lease.state != "ready":
        raise say(vim25.InvalidState(), "The operation is not allowed in the current state.")
    lease.to("done")
    lease.world.leases.pop(lease.id, None)


@serves(Lease, "HttpNfcLeaseAbort")
async def lease_abort(lease: Lease, call: Call) -> None:
    """End a lease badly; what was imported is deleted."""
    _require_live(lease)
    given = call.get("fault")
    await lease.fail(
        given.fault if given is not None else say(vim25.RequestCanceled(), "The lease was aborted.")
    )


@serves(Lease, "HttpNfcLeaseGetManifest")
def lease_manifest(lease: Lease, call: Call) -> list[Any]:
    """Return sizes and sums of what was read."""
    if lease.state not in ("ready", "done"):
        raise say(vim25.InvalidState(), "The operation is not allowed in the current state.")
    return [
        vim25.HttpNfcLeaseManifestEntry(
            key=device.key, sha1=device.sha1, size=device.size, disk=True, capacity=device.capacity
        )
        for device in lease.devices
        if device.sha1
    ]
