"""Export a machine's disks into files of this computer, and import a machine from a file.

A machine that is off is read by ExportVm. Another one is frozen by a snapshot, as for a capture: its disks
are read by ExportSnapshot (API 5.5), else from copies on the host. Whatever was made on the host is removed on
every way out.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vimdriver._disks.ensure import judge
from vimdriver._disks.exported import (
    DiskBody,
    ExportFormat,
    WrittenFile,
    check_new,
    export_files,
    format_of,
)
from vimdriver._disks.peek import read_prefix
from vimdriver._images.archive import contents_of
from vimdriver._images.formats import PREFIX
from vimdriver._images.local import LocalImages
from vimdriver._images.ovf import OVFNIC, OVFDisk, OVFMachine
from vimdriver._instances.capture import (
    EXPORT_SINCE,
    FrozenDisk,
    copy_step,
    deflated,
)
from vimdriver._instances.change import OFF, MachineState, gather
from vimdriver._instances.device_list import BUSES, describe
from vimdriver._instances.snapshots import temporary_snapshot
from vimdriver._instances.spawn import spawn
from vimdriver._instances.types import Instance, InstanceSpec, NICSpec
from vimdriver._journal.entries import new_token
from vimdriver._verbs import Host, Plan, Run, Step, verb
from vimlib import vim25
from vimlib.errors import HostStateError, NotFoundError
from vimlib.model import parse_version

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from vimlib._nfc import Lease, LeaseDevice
    from vimlib._progress import Progress

_PLACE: Final = re.compile(r"/(?:vim\.vm\.device\.)?([A-Za-z]+)([0-9]{1,4}):([0-9]{1,4})\Z")
"""The end of a lease's key of a disk: type and bus of its controller, and its unit."""
_FIRMWARE_SINCE: Final = (5, 0)
_SECURE_BOOT_SINCE: Final = (6, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedInstance:
    """The files of an export."""

    format: ExportFormat
    files: tuple[WrittenFile, ...]
    """One for each disk; one for an OVA."""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `vimctl instance export --json` prints."""
        return {"format": self.format, "files": [file.to_json() for file in self.files]}


@verb
async def export(
    host: Host,
    ref: str,
    file: Path,
    *,
    foreign: bool = False,
    overwrite: bool = False,
    quiesce: bool = False,
    on_progress: Progress | None = None,
) -> Plan[ExportedInstance]:
    """Write a machine's disks into files of this computer, in the format of the name's ending.

    `.qcow2` and `.raw` have no trace of VMware's formats, and the holes of the disks are holes of the
    files; `.vmdk` is streamOptimized; `.ova` has the machine's hardware too, and a manifest. Further disks become
    `NAME-2.qcow2` and so on. A running machine is frozen by a snapshot while it is read. The files get their
    names when all of them are whole. Cancelling leaves no file, and nothing on the host.

    Args:
        ref: uuid, name or moref's value.
        file: Path of the file; its folder must exist.
        foreign: Take a machine of another owner too: while it runs, a snapshot of it is made and removed.
        overwrite: Replace files of these names.
        quiesce: Have the guest's tools quiesce its file systems first, if it runs.
        on_progress: Called with the bytes that have just come from the host.

    Raises:
        NotFoundError: The machine does not exist, or has no disk.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        UsageError: The ending is none of these.
        LocalFileError: A file cannot be written, or is there and `overwrite` is false.
        HostStateError: The host exports other disks than the machine has.
        TransferCorruptError: The host sent a damaged disk.
        MethodFault: The host refused.
    """
    kind = format_of(file)
    machine = await gather(host, ref, foreign=foreign)
    found = [device for device in machine.devices if isinstance(device, vim25.VirtualDisk)]
    if not found:
        raise NotFoundError(f"machine {ref} has no disk", kind="VirtualDisk", name=ref)
    described = await _described(host, machine)
    if not overwrite:  # before anything is made on the host; `export_files` is sure of it
        await asyncio.to_thread(check_new, file, 1 if kind == "ova" else len(found))
    disks = [_frozen(machine, disk) for disk in sorted(found, key=lambda disk: disk.key)]
    reading = _reading(host, machine, disks, quiesce)

    async def write(run: Run) -> ExportedInstance:
        async with AsyncExitStack() as stack:
            bodies = await stack.enter_async_context(reading.opened(run))
            files = await export_files(
                file,
                described,
                bodies,
                overwrite=overwrite,
                on_progress=on_progress,
                done=stack.aclose,
            )
        return ExportedInstance(format=kind, files=tuple(files))

    writing = Step[ExportedInstance](
        title=f"write {len(disks)} disks to {file} ({reading.way})", call=write, interruptible=True
    )

    async def result(run: Run) -> ExportedInstance:
        return run[writing]

    return Plan(f"export {ref}", (*reading.steps, writing), result, keep=False)


@dataclass(frozen=True, slots=True)
class _DiskReading:
    """How the disks of a machine are read."""

    way: str
    steps: tuple[Step[Any], ...]
    """What is made on the host before, and removed after."""
    opened: Callable[[Run], Any]
    """Returns the context that yields the disks; leaving it ends the lease."""


def _reading(
    host: Host, machine: MachineState, disks: Sequence[FrozenDisk], quiesce: bool
) -> _DiskReading:
    """Return the way for a machine in its power state, on this host. Pure."""
    if machine.power_state == OFF:

        def opened(run: Run) -> Any:
            return _leased(run, machine, disks, machine.vm.ExportVm)

        return _DiskReading("ExportVm", (), opened)
    name = f"vimlib-export-{new_token()}"
    snapshot = temporary_snapshot(host, machine.vm, machine.uuid, name, quiesce=quiesce)
    if parse_version(host.client.api_version) >= EXPORT_SINCE:

        def opened_snapshot(run: Run) -> Any:
            bound = run.host.client.bind(run[snapshot])
            return _leased(run, machine, disks, bound.ExportSnapshot)

        return _DiskReading("ExportSnapshot", (snapshot,), opened_snapshot)
    copies = [copy_step(host, disk, snapshot, machine.ref) for disk in disks]

    @asynccontextmanager
    async def opened_copies(run: Run) -> AsyncIterator[list[DiskBody]]:
        yield [
            DiskBody(
                capacity=disk.capacity,
                adapter=disk.adapter,
                read=partial(deflated, run, copy.file, disk),
            )
            for disk, copy in zip(disks, copies, strict=True)
        ]

    return _DiskReading("GET", (snapshot, *(copy.step for copy in copies)), opened_copies)


@asynccontextmanager
async def _leased(
    run: Run,
    machine: MachineState,
    disks: Sequence[FrozenDisk],
    start: Callable[[], Any],
) -> AsyncIterator[list[DiskBody]]:
    async with run.host.client.lease(start()) as lease:
        devices = _devices(lease, machine, disks)
        yield [
            DiskBody(
                capacity=disk.capacity,
                adapter=disk.adapter,
                read=partial(_downloaded, lease, device),
            )
            for disk, device in zip(disks, devices, strict=True)
        ]


def _downloaded(lease: Lease, device: LeaseDevice) -> AsyncGenerator[bytes, None]:
    body: Any = lease.download(device)  # a generator
    found: AsyncGenerator[bytes, None] = body
    return found


def _devices(lease: Lease, machine: MachineState, disks: Sequence[FrozenDisk]) -> list[LeaseDevice]:
    """Return the lease's devices in the order of the disks: by their places, where the keys state them.

    Raises `HostStateError` if the host exports other disks.
    """
    there = [device for device in lease.devices if device.is_disk]
    if len(there) != len(disks):
        raise HostStateError(
            f"the host exports {len(there)} of the {len(disks)} disks of machine {machine.ref}",
            state="exported",
            hint="Independent disks are in no snapshot: power the machine off first.",
        )
    places: dict[tuple[str, int, int], LeaseDevice] = {}
    for device in there:
        if (match := _PLACE.search(device.key)) is not None:
            places[match[1], int(match[2]), int(match[3])] = device
    wanted = [_place(machine, disk) for disk in disks]
    if {*wanted} == places.keys():
        return [places[place] for place in wanted]
    return there


def _place(machine: MachineState, frozen: FrozenDisk) -> tuple[str, int, int]:
    disk = machine.with_key(frozen.key)
    controller = None if disk is None else machine.with_key(disk.controllerKey or 0)
    bus = getattr(controller, "busNumber", 0) or 0
    return type(controller).__name__, int(bus), (disk.unitNumber or 0) if disk is not None else 0


def _frozen(machine: MachineState, disk: vim25.VirtualDisk) -> FrozenDisk:
    adapter = _adapter(machine, disk)
    return FrozenDisk(
        vm=machine.vm,
        vmx=machine.vmx,
        key=disk.key,
        capacity=disk.capacityInKB * 1024,
        adapter={"ide": "ide", "busLogic": "buslogic"}.get(adapter, "lsilogic"),
        properties={},
    )


def _adapter(machine: MachineState, device: vim25.VirtualDevice) -> str:
    word = describe(device, machine.devices).model
    return word if word in BUSES else "lsiLogic"


async def _described(host: Host, machine: MachineState) -> OVFMachine:
    """Return what a descriptor states of a machine. One call; cancelling loses nothing."""
    version = parse_version(host.client.api_version)
    paths = ["config.guestId", "config.version"]
    paths += ["config.firmware"] if version >= _FIRMWARE_SINCE else []
    paths += ["config.bootOptions"] if version >= _SECURE_BOOT_SINCE else []
    row = await host.client.get(machine.vm, *paths)
    boot: Any = row.known("config.bootOptions")
    firmware = row.props.get("config.firmware")
    disks = sorted(
        (device for device in machine.devices if isinstance(device, vim25.VirtualDisk)),
        key=lambda disk: disk.key,
    )
    every = [describe(device, machine.devices) for device in machine.devices]
    cards = sorted((one for one in every if one.kind == "nic"), key=lambda card: card.key)
    return OVFMachine(
        name=machine.name,
        guest_id=str(row.props.get("config.guestId") or "otherGuest"),
        cpus=machine.cpus,
        memory_mb=machine.memory_mb,
        firmware=None if firmware is None else str(firmware),
        secure_boot=bool(boot is not None and boot.efiSecureBootEnabled),
        version=str(row.props.get("config.version") or "vmx-07"),
        disks=tuple(
            OVFDisk(
                capacity=disk.capacityInKB * 1024,
                adapter=_adapter(machine, disk),
                controller=_place(machine, _frozen(machine, disk))[1],
                unit=disk.unitNumber or 0,
            )
            for disk in disks
        ),
        nics=tuple(OVFNIC(network=card.network, model=card.model) for card in cards),
    )


@verb
async def import_instance(
    host: Host,
    file: Path,
    *,
    datastore: str,
    name: str | None = None,
    network: str | None = None,
    power_on: bool = False,
    on_progress: Progress | None = None,
    on_ignored: Callable[[str], None] | None = None,
) -> Plan[Instance]:
    """Make a machine from a file of this computer: an OVA, an OVF descriptor, or a disk image.

    A machine from a package has the hardware that its descriptor states, see `ESXDriver.spawn`; one from a
    qcow2, raw or VMDK image has one CPU and 512 MiB. Cancelling undoes all, as for a spawn.

    Args:
        file: Path of the file.
        datastore: Datastore of its disks.
        name: Name of the machine; the default is the descriptor's, else that of the file.
        network: Port group of a NIC, in place of those of the descriptor.
        power_on: Power it on.
        on_progress: Called with the bytes of the file that have just been sent.
        on_ignored: Called with each property of the package that has no effect.

    Raises the errors of `ESXDriver.spawn`.
    """
    source = LocalImages().image(str(file))
    if name is None:
        info = await source.info()
        head = await read_prefix(source, info, PREFIX)
        image = judge(info, head)
        name = file.stem
        if image.kind == "ova":
            name = (await contents_of(source, info, image, head)).machine.name or name
    spec = InstanceSpec(
        name=name,
        image=str(file),
        datastore=datastore,
        nics=() if network is None else (NICSpec(network=network),),
        power_on=power_on,
        clone="none",
    )
    return await spawn.function(
        host, spec, source=source, on_progress=on_progress, on_ignored=on_ignored
    )
