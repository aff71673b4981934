"""CD-ROM drives of a machine that exists: insert an ISO image of a datastore, eject it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimdriver._disks.lookup import stored_disk
from vimdriver._instances import devices as builders
from vimdriver._instances.change import (
    OFF,
    ON,
    MachineState,
    added,
    devices_changed,
    gather,
    look,
    reconfigure,
    require,
)
from vimdriver._instances.device_list import DeviceInfo, choose, describe, file_of, free_slot
from vimdriver._instances.further import config_image
from vimdriver._verbs import Host, Plan, Run, Step, verb
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


@verb
async def insert_cdrom(
    host: Host, ref: str, path: str, *, drive: str | None = None, foreign: bool = False
) -> Plan[DeviceInfo]:
    """Insert an ISO image into a machine's CD-ROM drive (`ReconfigVM_Task`), and return the drive.

    Without `drive` it is an empty drive, or the only one, whose image is replaced; a machine that is off
    and has none gets one. The config drive stays. Cancelling waits for the task, then inserts the former
    image again.

    Args:
        ref: uuid, name or moref's value.
        path: Datastore path of the image, as `[datastore1] iso/tools.iso`.
        drive: The drive's label or key.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine, the drive or the image does not exist.
        UsageError: The path names no ISO image, or all of several drives are full.
        NoSlotError: The machine has no free position for a drive.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: The machine is suspended; or it runs, and has no drive.
    """
    image = DatastorePath.parse(path)
    if image.suffix.lower() != ".iso":
        raise UsageError(f"path must name an ISO image (.iso), got {path!r}", field="path")
    machine = await gather(host, ref, ON, OFF, foreign=foreign)
    await stored_disk(host, image)
    found = _choose(machine, drive, full=False)
    if found is None:
        return _added(host, require_off(machine), image)
    return _changed(machine, found, image)


@verb
async def eject_cdrom(
    host: Host, ref: str, *, drive: str | None = None, foreign: bool = False
) -> Plan[DeviceInfo]:
    """Eject the image from a machine's CD-ROM drive (`ReconfigVM_Task`), and return the drive.

    Without `drive` it is the only one with an image, other than the config drive. A drive that is empty
    stays so. A guest that has locked its drive makes the machine ask a question. Cancelling waits for
    the task, then inserts the image again.

    Args:
        ref: uuid, name or moref's value.
        drive: The drive's label or key.
        foreign: Change a machine of another owner too.

    Raises:
        NotFoundError: The machine does not exist, or has no such drive.
        UsageError: Several drives have an image.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: The machine is suspended.
    """
    machine = await gather(host, ref, ON, OFF, foreign=foreign)
    found = _choose(machine, drive, full=True)
    if found is None:
        raise NotFoundError(f"machine {ref} has no CD-ROM drive", kind="VirtualCdrom", name=ref)
    return _changed(machine, found, None)


def require_off(machine: MachineState) -> MachineState:
    """Return the machine if it is off: nothing is added to an IDE controller while it runs."""
    require(machine, OFF)
    return machine


def _choose(machine: MachineState, which: str | None, *, full: bool) -> vim25.VirtualCdrom | None:
    """Return the drive that is named, else one that is `full` or empty, else the only one.

    None if the machine has no drive other than the config drive.
    """
    if which is not None:
        return choose(
            machine.devices, vim25.VirtualCdrom, which, noun="CD-ROM drive", machine=machine.ref
        )
    drives = [
        one
        for one in machine.devices
        if isinstance(one, vim25.VirtualCdrom) and file_of(one) != str(config_image(machine.vmx))
    ]
    fit = [one for one in drives if bool(file_of(one)) is full]
    if fit and (not full or len(fit) == 1):
        return min(fit, key=lambda one: one.key)
    if len(drives) < 2:
        return drives[0] if drives else None
    if full and not fit:
        return min(drives, key=lambda one: one.key)  # all are empty
    raise _ambiguous(machine, drives)


def _ambiguous(machine: MachineState, drives: Sequence[vim25.VirtualCdrom]) -> UsageError:
    labels = ", ".join(describe(one, machine.devices).label for one in drives)
    return UsageError(
        f"drive is required: machine {machine.ref} has {len(drives)} CD-ROM drives with an image",
        field="drive",
        hint=f"It has: {labels}.",
    )


def _state_of(image: DatastorePath | None, *, live: bool) -> dict[str, Any]:
    """Return the fields of a drive with an image, or without one. Pure."""
    there = image is not None
    return {
        "backing": vim25.VirtualCdromIsoBackingInfo(fileName=str(image))
        if there
        # The drive of the viewer of the console: empty unless the viewer connects it.
        else vim25.VirtualCdromRemotePassthroughBackingInfo(deviceName="", exclusive=False),
        "connectable": vim25.VirtualDeviceConnectInfo(
            startConnected=there, allowGuestControl=True, connected=there and live
        ),
    }


def _has(drive: vim25.VirtualDevice | None, image: DatastorePath | None, *, live: bool) -> bool:
    """Return whether a drive has the image, connected, or no image for None. Pure."""
    if drive is None:
        return False
    if image is None:
        return not file_of(drive)
    connect = drive.connectable
    return (
        file_of(drive) == str(image)
        and connect is not None
        and connect.startConnected
        and (connect.connected or not live)
    )


def _changed(
    machine: MachineState, drive: vim25.VirtualCdrom, image: DatastorePath | None
) -> Plan[DeviceInfo]:
    """Return the plan that gives a drive an image, or takes it out."""
    live = machine.power_state == ON
    wanted = _state_of(image, live=live)
    label = describe(drive, machine.devices).label

    def back(run: Run, now: MachineState) -> vim25.VirtualMachineConfigSpec | None:
        found = now.with_key(drive.key)
        if found is None or not _has(found, image, live=live):
            return None
        former = builders.revised(found, backing=drive.backing, connectable=drive.connectable)
        return devices_changed(builders.edit(former))

    step = reconfigure(
        machine,
        f"insert {image} into {label}" if image is not None else f"empty {label}",
        lambda run: devices_changed(builders.edit(builders.revised(drive, **wanted))),
        lambda run, now: _has(now.with_key(drive.key), image, live=live),
        undo=back,
        makes=f"the image in {label}",
    )
    steps = () if _has(drive, image, live=live) else (step,)
    return _plan(machine, steps, drive.key, image)


def _added(host: Host, machine: MachineState, image: DatastorePath) -> Plan[DeviceInfo]:
    """Return the plan that adds a drive with an image."""
    slot = free_slot(
        machine.devices,
        "ide",
        api_version=host.client.api_version,
        machine=machine.ref,
        noun="CD-ROM drive",
    )
    device = vim25.VirtualCdrom(
        key=-99, controllerKey=slot.controller, unitNumber=slot.unit, **_state_of(image, live=False)
    )

    def made(now: MachineState) -> vim25.VirtualDevice | None:
        return next((one for one in added(machine, now) if file_of(one) == str(image)), None)

    def back(run: Run, now: MachineState) -> vim25.VirtualMachineConfigSpec | None:
        found = made(now)
        return None if found is None else devices_changed(builders.remove(found))

    step = reconfigure(
        machine,
        f"add a CD-ROM drive with {image}",
        lambda run: devices_changed(builders.add(device)),
        lambda run, now: made(now) is not None,
        undo=back,
        makes="the CD-ROM drive",
    )
    return _plan(machine, (step,), None, image)


def _plan(
    machine: MachineState,
    steps: tuple[Step[Any], ...],
    key: int | None,
    image: DatastorePath | None,
) -> Plan[DeviceInfo]:
    async def result(run: Run) -> DeviceInfo:
        now = await look(run.host.client, machine.vm, machine.ref)
        which = str(image) if key is None else str(key)
        found = choose(
            now.devices, vim25.VirtualCdrom, which, noun="CD-ROM drive", machine=machine.ref
        )
        return describe(found, now.devices)

    what = f"eject the image of {machine.ref}" if image is None else f"insert {image}"
    return Plan(what, steps, result)
