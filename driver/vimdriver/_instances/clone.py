"""Clone a machine on one host, by copies of its disks or disks that are linked to them: no vCenter is needed."""

from __future__ import annotations

import uuid as uuid_
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from vimdriver._disks.manager import copy_disk
from vimdriver._instances import devices as builders
from vimdriver._instances.change import OFF, STATE_PATHS, MachineState, require, state_of
from vimdriver._instances.creating import create_step, read_vmx
from vimdriver._instances.destroy import remove_half_made
from vimdriver._instances.device_list import capacity_kb, file_of
from vimdriver._instances.disks import explain_file
from vimdriver._instances.folder import names_of
from vimdriver._instances.further import DISKS_KEY, numbered_disks
from vimdriver._instances.machine import (
    MAKING_KEY,
    OWNER_KEY,
    SPAWN_KEY,
    claim,
    device_files,
    find_by_name,
    find_by_uuid,
    look,
    read,
)
from vimdriver._instances.placement import Placement, gather_site
from vimdriver._instances.power import power_step
from vimdriver._instances.root_disk import descriptor_adapter, disk_paths
from vimdriver._instances.snapshots import chosen_snapshot, listed, temporary_snapshot
from vimdriver._instances.types import Instance, check_name
from vimdriver._journal import Spawning
from vimdriver._journal.entries import new_token
from vimdriver._verbs import Host, Plan, Run, Step, verb
from vimdriver._verbs.host import stamp
from vimdriver.errors import InstanceExistsError, NoSpaceError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._inventory import escape
from vimlib.errors import HostStateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_CONFIG: Final = (
    "config.version",
    "config.guestId",
    "config.firmware",
    "config.nestedHVEnabled",
    "config.tools",
    "config.bootOptions",
    "config.cpuAllocation",
    "config.memoryAllocation",
)
_SINCE: Final = {"config.firmware": (5,), "config.nestedHVEnabled": (5, 1)}
# Disk controllers; the IDE ones are in each machine from birth.
_CONTROLLERS: Final = (
    vim25.VirtualSCSIController,
    vim25.VirtualSATAController,
    vim25.VirtualNVMEController,
)
_FIRST_KEY: Final = -400
_SNAPSHOT: Final = "vimlib-clone-"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The machine that is cloned."""

    machine: MachineState
    config: dict[str, Any]
    """Fields of its configuration, by name without `config.`."""
    disks: tuple[vim25.VirtualDisk, ...]
    """By key."""
    linked: bool
    """Whether the clone's disks stand on them."""
    snapshot: str
    """Name of the snapshot to take of it for that; "" if none."""


@verb
async def clone(
    host: Host,
    ref: str,
    name: str,
    *,
    datastore: str | None = None,
    uuid: str | None = None,
    power_on: bool = False,
    linked: bool = False,
    snapshot: str | None = None,
    foreign: bool = False,
) -> Plan[Instance]:
    """Make a machine like another one, with copies of its disks or disks that are linked to them.

    The host copies the disks (`CopyVirtualDisk_Task`), with all snapshots in one. With `linked` it makes
    disks that hold the writes of the clone only, on top of those that a snapshot of the other machine has
    frozen. That snapshot stays, and is not removed as long as a machine is linked to it. The clone has its own
    uuid and MAC addresses, and the hardware, disks, port groups, limits and annotation of the other; its
    snapshots, drives, ports and extraConfig are not copied, so the guest's addresses are not either.
    Cancelling lets the task that is under way end, then removes the clone. After a kill,
    `ESXDriver.sweep` does it.

    Args:
        ref: uuid, name or moref's value of the machine that is cloned; it may be another owner's.
        name: Name of the clone, 1 to 80 characters of any script.
        datastore: Datastore of the clone; the default is that of the other.
        uuid: UUID of the clone; a second clone with the same UUID fails. The default is random.
        power_on: Power the clone on.
        linked: Link its disks to those of a snapshot instead of copying them.
        snapshot: With `linked`: name or reference of a snapshot of the machine, which may run then. The
            default is a new one.
        foreign: With `linked`: take the snapshot of a machine of another owner too.

    Raises:
        ForeignInstanceError: Another made the machine of which a snapshot would be taken.
        NotFoundError: The machine or the datastore does not exist.
        UsageError: The name or the uuid is not valid.
        InstanceExistsError: A machine with that uuid or name exists; nothing was made.
        InstanceStateError: The machine is not off.
        HostStateError: A disk of the machine has no file that can be copied or linked to; or another process
            replaced a disk before the snapshot for a linked clone was taken, and nothing was made.
        NoSpaceError: The datastore has too little free space; nothing was made.
        VimlibError: A step failed; all was undone, or a note names the objects that are left.
    """
    check_name(name)
    try:
        made_uuid = str(uuid_.uuid4() if uuid is None else uuid_.UUID(uuid))
    except ValueError:
        raise UsageError(
            f"invalid UUID: {uuid!r}", field="uuid", hint="Omit it to generate one."
        ) from None
    if uuid is not None and await find_by_uuid(host.client, made_uuid) is not None:
        raise InstanceExistsError(name=made_uuid)
    if snapshot is not None and not linked:
        raise UsageError("snapshot requires linked", field="snapshot", hint="Give --linked too.")
    source = await _gather(host, ref, linked=linked, snapshot=snapshot, foreign=foreign)
    target = source.machine.vmx.datastore if datastore is None else datastore
    if linked and target != source.machine.vmx.datastore:
        raise UsageError(
            f"a linked clone must be on the datastore of the other, "
            f"{source.machine.vmx.datastore}, got {target}",
            field="datastore",
            hint="Omit the datastore, or make a copy.",
        )
    placement = await _place(host, source, name, target)
    entry = Spawning(
        host=host.client.host, owner=host.owner, uuid=made_uuid, name=name, power_on=power_on
    )
    return _plan(host, source, placement, entry, target, stamp(await host.about_now()))


async def _gather(
    host: Host, ref: str, *, linked: bool, snapshot: str | None, foreign: bool
) -> _Source:
    """Return the machine that is cloned.

    Raises as `machine.claim` if a snapshot of it is to be taken, as `machine.look` else, and:
        InstanceStateError: It is not off, and no snapshot is named.
        HostStateError: A disk cannot be copied, or linked to.
    """
    speaks = tuple(int(part) for part in host.client.api_version.split(".")[:2])
    paths = [path for path in _CONFIG if speaks >= _SINCE.get(path, ())]
    takes = linked and snapshot is None
    if takes:
        row = await claim(host, ref, *STATE_PATHS, *paths, foreign=foreign)
    else:
        row = await look(host.client, ref, *STATE_PATHS, *paths)
    machine = state_of(row, ref)
    if snapshot is None:
        require(machine, OFF)
    else:
        chosen = vim25.VirtualMachineSnapshot(chosen_snapshot(listed(row), snapshot, ref).moref)
        machine = await _frozen(host, machine, chosen)
    disks = [one for one in machine.devices if isinstance(one, vim25.VirtualDisk)]
    for disk in disks:
        backing = disk.backing
        if not isinstance(backing, vim25.VirtualDiskFlatVer2BackingInfo) or not file_of(disk):
            raise HostStateError(
                f"disk {disk.key} of machine {machine.ref!r} has no file that can be copied",
                state="disk",
                hint="Detach it first, as a device of the host's.",
            )
        if linked and str(backing.diskMode).startswith("independent"):
            raise HostStateError(
                f"disk {disk.key} of machine {machine.ref!r} is in no snapshot: it is independent",
                state="disk",
                hint="Make a copy, or detach it first.",
            )
    return _Source(
        machine=machine,
        config={path.partition(".")[2]: row.known(path) for path in paths},
        disks=tuple(sorted(disks, key=lambda disk: disk.key)),
        linked=linked,
        snapshot=_SNAPSHOT + new_token() if takes else "",
    )


async def _frozen(
    host: Host, machine: MachineState, snapshot: vim25.VirtualMachineSnapshot
) -> MachineState:
    """Return a machine with the hardware that a snapshot has frozen. One call."""
    row = await host.client.get(host.client.bind(snapshot), "config.hardware")
    hardware: vim25.VirtualHardware = row.require("config.hardware")
    return replace(
        machine,
        cpus=hardware.numCPU,
        cores_per_socket=hardware.numCoresPerSocket or 1,
        memory_mb=hardware.memoryMB,
        devices=tuple(hardware.device),
    )


async def _place(host: Host, source: _Source, name: str, datastore: str) -> Placement:
    """Check the space, and return where machines go; the call that makes the clone checks its name."""
    if host.dry and await find_by_name(host.client, name) is not None:
        raise InstanceExistsError(name=name)
    site = await gather_site(host, datastore)
    copied = () if source.linked else source.disks
    needed = sum(capacity_kb(disk) * 1024 for disk in copied if not _is_thin(disk))
    if site.free < needed:
        raise NoSpaceError(datastore=datastore, needed=needed, free=site.free)
    return site.placement


def _is_thin(disk: vim25.VirtualDevice) -> bool:
    return bool(getattr(disk.backing, "thinProvisioned", False))


def _config_of(
    source: _Source, entry: Spawning, datastore: str, making: str
) -> vim25.VirtualMachineConfigSpec:
    """Return the machine to create, without disks. Pure."""
    machine, config = source.machine, source.config
    cards = [one for one in machine.devices if isinstance(one, vim25.VirtualEthernetCard)]
    marks = {OWNER_KEY: entry.owner, SPAWN_KEY: entry.token, MAKING_KEY: making}
    if len(source.disks) > 1:
        marks[DISKS_KEY] = str(len(source.disks) - 1)
    return vim25.VirtualMachineConfigSpec(
        name=escape(entry.name),
        instanceUuid=entry.uuid,
        version=config["version"],
        guestId=config["guestId"],
        files=vim25.VirtualMachineFileInfo(vmPathName=f"[{datastore}]"),
        numCPUs=machine.cpus,
        numCoresPerSocket=machine.cores_per_socket if machine.cores_per_socket > 1 else None,
        memoryMB=machine.memory_mb,
        annotation=machine.annotation or None,
        firmware=config.get("firmware"),
        nestedHVEnabled=config.get("nestedHVEnabled") or None,
        tools=_tools(config["tools"]),
        bootOptions=_boot_options(config["bootOptions"]),
        cpuAllocation=config["cpuAllocation"],
        memoryAllocation=config["memoryAllocation"],
        deviceChange=[_card(card, n) for n, card in enumerate(cards)],
        extraConfig=[vim25.OptionValue(key=key, value=value) for key, value in marks.items()],
    )


def _tools(tools: Any) -> vim25.ToolsConfigInfo | None:
    """Return the settings of VMware Tools without the state that the host reports."""
    names = (
        "afterPowerOn afterResume beforeGuestStandby beforeGuestShutdown beforeGuestReboot "
        "toolsUpgradePolicy syncTimeWithHost"
    )
    if tools is None:
        return None
    return vim25.ToolsConfigInfo(**{name: getattr(tools, name) for name in names.split()})


def _boot_options(options: Any) -> vim25.VirtualMachineBootOptions | None:
    """Return boot options without the order, which names devices by their keys."""
    if options is None:
        return None
    found: vim25.VirtualMachineBootOptions = builders.revised(options, bootOrder=[])
    return found


def _card(card: vim25.VirtualEthernetCard, number: int) -> vim25.VirtualDeviceConfigSpec:
    """Return the spec that adds a card like another one, with a MAC address that the host chooses."""
    network = str(getattr(card.backing, "deviceName", "") or "")
    return builders.add(
        type(card)(
            key=_FIRST_KEY - 100 - number,
            backing=vim25.VirtualEthernetCardNetworkBackingInfo(deviceName=network),
            connectable=vim25.VirtualDeviceConnectInfo(
                startConnected=True, allowGuestControl=True, connected=True
            ),
            addressType="generated",
            wakeOnLanEnabled=card.wakeOnLanEnabled,
        )
    )


def _attaching(source: _Source, files: list[DatastorePath]) -> list[vim25.VirtualDeviceConfigSpec]:
    """Return the specs that attach the copies in the positions of the originals, or make linked disks. Pure."""
    keys: dict[int, int] = {}
    changes = []
    for device in source.machine.devices:
        if isinstance(device, _CONTROLLERS) and any(
            disk.controllerKey == device.key for disk in source.disks
        ):
            keys[device.key] = _FIRST_KEY - len(keys)
            given: dict[str, Any] = {"key": keys[device.key], "busNumber": device.busNumber}
            if isinstance(device, vim25.VirtualSCSIController):
                given["sharedBus"] = vim25.VirtualSCSISharing.noSharing
            changes.append(builders.add(type(device)(**given)))
    for number, (disk, file) in enumerate(zip(source.disks, files, strict=True)):
        copy = builders.disk(
            str(file),
            controller=keys.get(disk.controllerKey or 0, disk.controllerKey or 0),
            unit=disk.unitNumber or 0,
            capacity_kb=capacity_kb(disk),
            mode=str(getattr(disk.backing, "diskMode", "") or "persistent"),
            disk_type="thin" if _is_thin(disk) else "thick",
        )
        if source.linked:
            copy = builders.linked(copy, file_of(disk))
        device = builders.revised(
            copy,
            key=-300 - number,
            shares=disk.shares,
            storageIOAllocation=disk.storageIOAllocation,
        )
        changes.append(builders.add(device, new_file=source.linked))
    return changes


def _plan(
    host: Host,
    source: _Source,
    placement: Placement,
    entry: Spawning,
    datastore: str,
    making: str,
) -> Plan[Instance]:
    name, machine = entry.name, source.machine

    async def undo(run: Run, vm: vim25.VirtualMachine) -> str:
        vmx = run.get(located)
        first = None if vmx is None else files(run)[0] if source.disks else None
        removed = await remove_half_made(run.host, vm, vmx, first, token=entry.token)
        return f"{vmx.parent}, with {names_of(removed.left)}" if vmx and removed.left else ""

    def files(run: Run) -> list[DatastorePath]:
        vmx = run[located]
        first = vmx.with_name(f"{vmx.name.removesuffix('.vmx')}.vmdk")
        return [first, *numbered_disks(first, len(source.disks) - 1)]

    config = _config_of(source, entry, datastore, making)
    created = create_step(host, config, placement, undo, entry)
    located = Step[DatastorePath](
        title="read which folder the host gave it",
        call=lambda run: read_vmx(run.host, run[created]),
    )
    steps: list[Step[Any]] = []
    if source.snapshot:
        about = f"The machine {name} ({entry.uuid}) is linked to it."
        taken = temporary_snapshot(
            host, machine.vm, machine.uuid, source.snapshot, description=about
        )
        steps += [taken, _frozen_step(source, taken)]
    steps += [created, located]
    if not source.linked:
        steps += [
            _copy_step(machine, n, disk, created, files) for n, disk in enumerate(source.disks)
        ]
    steps.append(_attach_step(source, created, files))
    if entry.power_on:
        steps.append(power_step(lambda run: run[created], vim25.VirtualMachinePowerState.poweredOn))

    async def result(run: Run) -> Instance:
        return await read(run.host.client, run[created])

    copied = () if source.linked else source.disks
    needed = sum(capacity_kb(disk) * 1024 for disk in copied)
    return Plan(
        f"clone {machine.ref} as {name}",
        tuple(steps),
        result,
        explain=explain_file(datastore, needed),
    )


def _frozen_step(source: _Source, taken: Step[vim25.VirtualMachineSnapshot]) -> Step[None]:
    """Return the step that raises if another process has changed the disks before the snapshot."""
    machine = source.machine

    async def check(run: Run) -> None:
        now = await _frozen(run.host, machine, run[taken])
        frozen = {file_of(one) for one in now.devices if isinstance(one, vim25.VirtualDisk)}
        if frozen != {file_of(disk) for disk in source.disks}:
            raise HostStateError(
                f"the disks of machine {machine.ref!r} have changed since they were read",
                state="disk",
                hint="Another process is at work on it. Try again when it has ended.",
            )

    return Step(title="read which disks the snapshot has frozen", call=check)


def _copy_step(
    machine: MachineState,
    number: int,
    disk: vim25.VirtualDisk,
    created: Step[vim25.VirtualMachine],
    files: Callable[[Run], list[DatastorePath]],
) -> Step[Any]:
    spec = vim25.VirtualDiskSpec(
        adapterType=descriptor_adapter(machine, disk),
        diskType="thin" if _is_thin(disk) else "preallocated",
    )

    async def remove(run: Run, result: Any) -> None:
        try:
            row = await run.host.client.get(run[created], "config.hardware.device")
        except vim25.ManagedObjectNotFound:
            attached = set[str]()
        else:
            attached = set(device_files(row.props.get("config.hardware.device") or []))
        file = files(run)[number]
        # An attached file is removed with the machine.
        for path in () if str(file) in attached else disk_paths(file):
            await run.host.delete(path)

    return Step[Any](
        title=f"copy {file_of(disk)} (CopyVirtualDisk_Task)",
        call=lambda run: copy_disk(run.host, file_of(disk), files(run)[number], spec),
        undo=remove,
        method="CopyVirtualDisk_Task",
    )


def _attach_step(
    source: _Source,
    created: Step[vim25.VirtualMachine],
    files: Callable[[Run], list[DatastorePath]],
) -> Step[Any]:
    """Return the step that attaches all disks and removes the mark of a half-made machine."""
    unmark = [vim25.OptionValue(key=key, value="") for key in (MAKING_KEY, DISKS_KEY)]

    async def probe(run: Run) -> bool | None:
        row = await run.host.client.get(run[created], "config.extraConfig")
        keys = {option.key for option in row.props.get("config.extraConfig") or []}
        return MAKING_KEY not in keys or None

    return Step[Any](
        title=f"{'make and ' if source.linked else ''}attach {len(source.disks)} "
        f"{'linked ' if source.linked else ''}disks (ReconfigVM_Task)",
        call=lambda run: run[created].ReconfigVM_Task(
            vim25.VirtualMachineConfigSpec(
                deviceChange=_attaching(source, files(run) if source.disks else []),
                extraConfig=unmark,
            )
        ),
        probe=probe,
        of=lambda run: run[created],
    )
