"""Devices of a machine to come that are made in its folder: further disks, serial log, config drive.

They are added before the root disk is attached, as long as the machine carries the mark of a
half-made one: whatever undoes or sweeps it removes them with it. `DISKS_KEY` shows how many of its
disks are the driver's own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from vimdriver._instances import devices as builders
from vimdriver._instances.config_drive import iso_library
from vimdriver._instances.device_list import BUSES, Bus
from vimdriver._verbs import Run, Step
from vimlib import vim25
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vimdriver._instances.types import FurtherDisk, InstanceSpec
    from vimlib._datastore import DatastorePath

DISKS_KEY: Final = "vimlib.disks"
"""extraConfig key of a half-made machine: the number of disks that its spawn has added."""
_SERIAL_KEY: Final = -170
_CDROM_KEY: Final = -180
# The root disk's controller is the first one of its bus.
_FIRST_BUS: Final = 1
_MOST_BUSES: Final = 4
_MOST_DISKS: Final = 256
_SECOND_IDE: Final = 201


def own_disks(marks: Mapping[str, str]) -> int:
    """Return the number of further disks that an unfinished spawn adds to its machine."""
    text = marks.get(DISKS_KEY, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _MOST_DISKS else 0


def numbered_disks(first: DatastorePath, count: int) -> list[DatastorePath]:
    """Return the paths of a machine's further disks, by that of the first one."""
    stem = first.name.removesuffix(".vmdk")
    return [first.with_name(f"{stem}_{number}.vmdk") for number in range(1, count + 1)]


def serial_log(vmx: DatastorePath) -> DatastorePath:
    """Return the file that a machine's serial port writes to."""
    return vmx.with_name(f"{vmx.name.removesuffix('.vmx')}-serial.log")


def config_image(vmx: DatastorePath) -> DatastorePath:
    """Return the ISO image of a machine's config drive."""
    return vmx.with_name(f"{vmx.name.removesuffix('.vmx')}-config.iso")


def disk_changes(
    disks: Sequence[FurtherDisk], vmx: DatastorePath
) -> list[vim25.VirtualDeviceConfigSpec]:
    """Return the specs that create blank disks and attach the others, with controllers other than the root disk's.

    Raises:
        UsageError: There are more disks than the controllers take.
    """
    found: list[vim25.VirtualDeviceConfigSpec] = []
    paths = numbered_disks(vmx.with_name(f"{vmx.name.removesuffix('.vmx')}.vmdk"), len(disks))
    next_bus: dict[type, int] = {}
    open_at: dict[str, tuple[int, list[int]]] = {}
    for number, (disk, path) in enumerate(zip(disks, paths, strict=True), 1):
        bus = BUSES[disk.adapter]
        if disk.adapter not in open_at or not open_at[disk.adapter][1]:
            family = _family(bus)
            at = next_bus.get(family, _FIRST_BUS)
            if at >= _MOST_BUSES:
                raise UsageError(
                    f"disks must be at most what the controllers take, got {len(disks)}",
                    field="disks",
                )
            next_bus[family] = at + 1
            key = -200 - len(found)
            given: dict[str, Any] = {"key": key, "busNumber": at}
            if family is vim25.VirtualSCSIController:
                given["sharedBus"] = vim25.VirtualSCSISharing.noSharing
            found.append(builders.add(bus.controller(**given)))
            scsi = family is vim25.VirtualSCSIController
            open_at[disk.adapter] = (key, [n for n in range(bus.units) if not scsi or n != 7])
        key, units = open_at[disk.adapter]
        device = builders.disk(
            str(path),
            controller=key,
            unit=units.pop(0),
            capacity_kb=disk.capacity_kb,
            mode=disk.mode,
            disk_type=disk.disk_type,
        )
        found.append(
            builders.add(builders.revised(device, key=-300 - number), new_file=disk.number is None)
        )
    return found


def _family(bus: Bus) -> type:
    """Return the type of which a machine has at most four controllers."""
    for family in (vim25.VirtualSCSIController, vim25.VirtualSATAController):
        if issubclass(bus.controller, family):
            return family
    return bus.controller


def changes(
    spec: InstanceSpec, disks: Sequence[FurtherDisk], vmx: DatastorePath
) -> list[vim25.VirtualDeviceConfigSpec]:
    """Return the specs of all further devices of a machine."""
    found = builders.limited(disk_changes(disks, vmx), spec.hardware.disk)
    if spec.serial_log:
        found.append(
            builders.add(
                vim25.VirtualSerialPort(
                    key=_SERIAL_KEY,
                    yieldOnPoll=True,
                    backing=vim25.VirtualSerialPortFileBackingInfo(fileName=str(serial_log(vmx))),
                    connectable=_connected(),
                )
            )
        )
    if spec.config_drive is not None:
        found.append(
            builders.add(
                vim25.VirtualCdrom(
                    key=_CDROM_KEY,
                    controllerKey=_SECOND_IDE,
                    # Unit 0 has the ISO image that the machine boots from, if any.
                    unitNumber=1,
                    backing=vim25.VirtualCdromIsoBackingInfo(fileName=str(config_image(vmx))),
                    connectable=_connected(),
                )
            )
        )
    return found


def _connected() -> vim25.VirtualDeviceConnectInfo:
    return vim25.VirtualDeviceConnectInfo(
        startConnected=True, allowGuestControl=True, connected=True
    )


def count_option(disks: Sequence[FurtherDisk]) -> vim25.OptionValue:
    """Return the setting by which a sweep knows how many disks of a half-made machine are its own."""
    return vim25.OptionValue(key=DISKS_KEY, value=str(len(disks)))


def _bring_step(
    disk: FurtherDisk,
    at: int,
    count: int,
    vmx: Callable[[Run], DatastorePath],
    bring: Callable[[Run, DatastorePath, FurtherDisk], Awaitable[Any]],
) -> Step[Any]:
    def path(run: Run) -> DatastorePath:
        file = vmx(run)
        return numbered_disks(file.with_name(f"{file.name.removesuffix('.vmx')}.vmdk"), count)[at]

    return Step[Any](
        title=f"make disk {(disk.number or 0) + 1} of the OVA in its folder",
        call=lambda run: bring(run, path(run), disk),
        interruptible=True,
    )


def further_steps(
    spec: InstanceSpec,
    disks: Sequence[FurtherDisk],
    created: Step[vim25.VirtualMachine],
    vmx: Callable[[Run], DatastorePath],
    bring: Callable[[Run, DatastorePath, FurtherDisk], Awaitable[Any]],
) -> list[Step[Any]]:
    """Return the steps that add a machine's further devices; none without any.

    `bring` makes a disk of an OVA, whose machine has `DISKS_KEY` from its creation.

    Raises:
        MissingExtraError: A config drive needs `pycdlib`, which is not installed.
        UsageError: There are more disks than the controllers take.
    """
    steps: list[Step[Any]] = []
    drive = spec.config_drive
    if drive is not None:
        iso_library()  # before anything is made

        async def store(run: Run) -> None:
            # It is made of the caller's text, however much that is.
            data = await asyncio.to_thread(
                drive.image, spec.uuid, spec.name, spec.hostname or spec.name
            )
            file = config_image(vmx(run))
            await run.host.datastore(file.datastore).upload(file, data, fresh=True)

        steps.append(
            Step[Any](title=f"upload the config drive of layout {drive.layout} (PUT)", call=store)
        )
    for at, disk in enumerate(disks):
        if disk.number is not None:
            steps.append(_bring_step(disk, at, len(disks), vmx, bring))
    if not (disks or spec.serial_log or drive is not None):
        return steps

    async def probe(run: Run) -> bool | None:
        row = await run.host.client.get(run[created], "config.hardware.device")
        there = {
            getattr(device.backing, "fileName", None)
            for device in row.props.get("config.hardware.device") or []
        }
        wanted = {
            getattr(change.device.backing, "fileName", None)
            for change in changes(spec, disks, vmx(run))
            if change.device.backing is not None
        }
        return wanted <= there or None

    words = [f"{len(disks)} further disks"] if disks else []
    words += ["a serial port"] if spec.serial_log else []
    words += ["the config drive"] if drive is not None else []
    steps.append(
        Step[Any](
            title=f"add {', '.join(words)} (ReconfigVM_Task)",
            call=lambda run: run[created].ReconfigVM_Task(
                vim25.VirtualMachineConfigSpec(
                    deviceChange=changes(spec, disks, vmx(run)),
                    extraConfig=[count_option(disks)] if disks else [],
                )
            ),
            probe=probe,
            of=lambda run: run[created],
        )
    )
    return steps
