"""NFC leases: import and export of machines' disks over HTTP."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import MethodFault
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import (
    invalid_argument,
    invalid_state,
    localized,
    not_supported,
    with_message,
)
from vimlib.simulator._core.objects import SimObject
from vimlib.simulator._core.objects import prop as prop_
from vimlib.simulator._host.folders import Folder
from vimlib.simulator._host.resources import ResourcePool
from vimlib.simulator._storage.datastore import find_path
from vimlib.simulator._vm.lifecycle import (
    create_machine,
    delete_files,
    require_connected,
    require_idle,
    require_power,
)
from vimlib.simulator._vm.virtual_machine import Snapshot, VirtualMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._storage.datastore import Datastore

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
    populated: int = 0
    """Bytes of the disk that they hold."""
    sha1: str = ""
    checksum: str = ""
    """The checksum of the type that was asked for."""
    checksum_type: str = "sha1"


class Lease(SimObject):
    """A lease: the right to read or write the disks of a machine for a while."""

    kind = "HttpNfcLease"

    def __init__(self, registry: Registry, mode: str) -> None:
        self.id = secrets.token_hex(16)
        self.mode = mode
        self.state = "initializing"
        self.machine: VirtualMachine | None = None
        self.devices: list[Device] = []
        self.error: MethodFault | None = None
        self.progress = 0
        self.heard = registry.clock.monotonic()
        self.transfers = 0
        self.still = asyncio.Event()
        self.still.set()
        super().__init__(registry, f"session[{self.id[:8]}]{registry.new_uuid()}")

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
        """Return the devices to transfer, once the lease is ready."""
        if self.machine is None:
            return None
        certificate = self.registry.certificate
        return vim25.HttpNfcLeaseInfo(
            lease=self.ref,
            entity=self.machine.ref,
            deviceUrl=[
                vim25.HttpNfcLeaseDeviceUrl(
                    key=device.key,
                    importKey=device.import_key,
                    # A host writes `*` for its own address.
                    url=f"https://*/{self.root}/{self.id}/{device.name}",
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

    @property
    def root(self) -> str:
        """First part of the path of its URLs: a published lease of a 4.x has another one."""
        return "nfc" if self.registry.version >= (5,) else "ha-nfc"

    def to(self, state: str) -> None:
        """Go to another state."""
        self.state = state
        self.heard = self.registry.clock.monotonic()
        self.changed("state", "info", "error", "initializeProgress")

    def touch(self) -> None:
        """Reset the timeout."""
        self.heard = self.registry.clock.monotonic()

    async def initialized(self, machine: VirtualMachine) -> None:
        """Offer the disks of a machine, unless the lease was aborted in the meantime."""
        self.machine = machine
        if self.state == "initializing":
            self.devices = _devices(machine)
            self.to("ready")
        else:
            await self._delete_import()
        await self.registry.persist()

    async def fail(self, fault: MethodFault) -> None:
        """Fail; an imported machine is deleted."""
        self.error = fault
        self.to("error")
        self.still.set()
        await self._delete_import()
        await self.registry.persist()

    async def _delete_import(self) -> None:
        machine = self.machine
        if self.mode == "import" and machine is not None and machine.alive:
            machine.remove()
            await delete_files(machine)

    @contextmanager
    def transferring(self) -> Iterator[None]:
        """Count a transfer in progress; the completion of the lease waits for the end of an upload."""
        self.transfers += 1
        if self.mode == "import":
            self.still.clear()
        try:
            yield
        finally:
            self.transfers -= 1
            if not self.transfers:
                self.still.set()

    async def watch(self) -> None:
        """Fail the lease after its timeout."""
        clock = self.registry.clock
        while self.state in ("initializing", "ready"):
            left = self.heard + _TIMEOUT - clock.monotonic()
            if left <= 0:
                await self.fail(with_message(vim25.Timedout(), "The lease timed out."))
                return
            await clock.sleep(left)


def _devices(machine: VirtualMachine) -> list[Device]:
    found = []
    for number, disk in enumerate(machine.disks()):
        controller: Any = next(
            d for d in machine.config.hardware.device if d.key == disk.controllerKey
        )
        place = f"{type(controller).__name__}{controller.busNumber}:{disk.unitNumber}"
        store, path = find_path(machine.registry, disk.backing.fileName)
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


@handles(ResourcePool, "ImportVApp")
def import_vapp(pool: ResourcePool, call: Call) -> Any:
    """Make a machine whose disks are then written over HTTP; the result is a lease."""
    registry, spec = call.registry, call.args["spec"]
    registry.require_licence()
    if not isinstance(spec, vim25.VirtualMachineImportSpec):
        raise not_supported()
    folder = call.get("folder")
    if folder is not None and not isinstance(registry.find(folder), Folder):
        raise invalid_argument("folder")
    config = spec.configSpec
    if not config.name:
        raise with_message(vim25.InvalidVmConfig(property="configSpec.name"))
    lease = Lease(registry, "import")

    async def work() -> None:
        try:
            machine = await create_machine(registry, config, pool)
        except MethodFault as fault:
            await lease.fail(fault)
        else:
            await lease.initialized(machine)

    registry.spawn(work(), f"simulated import {lease.moid}")
    registry.spawn(lease.watch(), f"simulated lease {lease.moid}")
    return lease.ref


@handles(VirtualMachine, "ExportVm")
def export_vm(machine: VirtualMachine, call: Call) -> Any:
    """Return a lease to read a machine's disks over HTTP; the machine must be off."""
    require_connected(machine)
    require_idle(machine)
    require_power(machine, "poweredOff", "suspended")
    return _export(machine)


@handles(Snapshot, "ExportSnapshot")
def export_snapshot(snapshot: Snapshot, call: Call) -> Any:
    """Return a lease to read the disks of a snapshot over HTTP; the machine may run."""
    return _export(snapshot.machine)


def _export(machine: VirtualMachine) -> Any:
    lease = Lease(machine.registry, "export")
    machine.registry.spawn(lease.initialized(machine), f"simulated export {lease.moid}")
    machine.registry.spawn(lease.watch(), f"simulated lease {lease.moid}")
    return lease.ref


def _require_live(lease: Lease) -> None:
    if lease.state == "error" and isinstance(lease.error, vim25.Timedout):
        raise with_message(vim25.Timedout(), "The lease timed out.")
    if lease.state not in ("initializing", "ready"):
        raise invalid_state()


@handles(Lease, "HttpNfcLeaseProgress")
def lease_progress(lease: Lease, call: Call) -> None:
    """Keep a lease alive."""
    _require_live(lease)
    lease.touch()
    lease.progress = min(max(call.args["percent"], 0), 100)
    lease.changed("transferProgress")


@handles(Lease, "HttpNfcLeaseComplete")
async def lease_complete(lease: Lease, call: Call) -> None:
    """Complete a lease after its uploads: some clients do not wait for the reply to an upload."""
    _require_live(lease)
    await lease.still.wait()
    _require_live(lease)
    if lease.state != "ready":
        raise invalid_state()
    lease.to("done")


@handles(Lease, "HttpNfcLeaseAbort")
async def lease_abort(lease: Lease, call: Call) -> None:
    """Abort a lease; an imported machine is deleted."""
    _require_live(lease)
    given = call.get("fault")
    await lease.fail(
        given.fault
        if given is not None
        else with_message(vim25.RequestCanceled(), "The lease was aborted.")
    )


@handles(Lease, "HttpNfcLeaseGetManifest")
def lease_manifest(lease: Lease, call: Call) -> list[Any]:
    """Return sizes and checksums of the disks that were read or written."""
    if lease.state not in ("ready", "done"):
        raise invalid_state()
    return [
        vim25.HttpNfcLeaseManifestEntry(
            key=device.key,
            sha1=device.sha1,
            checksum=device.checksum,
            checksumType=device.checksum_type,
            size=device.size,
            disk=True,
            capacity=device.capacity,
            populatedSize=device.populated,
        )
        for device in lease.devices
        if device.sha1
    ]


@handles(Lease, "HttpNfcLeaseSetManifestChecksumType")
def set_checksum_type(lease: Lease, call: Call) -> None:
    """Choose the checksum of devices' entries in the manifest, before they are transferred."""
    _require_live(lease)
    by_key = {device.key: device for device in lease.devices}
    for pair in call.get("deviceUrlsToChecksumTypes") or ():
        if pair.key not in by_key or pair.value not in ("sha1", "sha256"):
            raise invalid_argument("deviceUrlsToChecksumTypes", pair.key)
        by_key[pair.key].checksum_type = pair.value
