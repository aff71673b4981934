"""Drives, ports and the controllers that every machine has, through CreateVM_Task and ReconfigVM_Task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vimlib import vim25

VM = vim25.VirtualMachine
POOL = vim25.ResourcePool("ha-root-pool")
VMS = vim25.Folder("ha-folder-vm")
ISO = "[datastore1] a.iso"


def change(device: Any, operation: str = "add") -> Any:
    return vim25.VirtualDeviceConfigSpec(operation=operation, device=device)


async def create(call: Any, *devices: Any) -> Any:
    """Create a machine with devices; return it."""
    spec = vim25.VirtualMachineConfigSpec(
        name="it",
        files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
        deviceChange=[change(device) for device in devices],
    )
    await call.done(vim25.Folder.CreateVM_Task, VMS, config=spec, pool=POOL)
    return call.esx.machine("it")


async def reconfigure(call: Any, machine: Any, device: Any, operation: str = "add") -> None:
    spec = vim25.VirtualMachineConfigSpec(deviceChange=[change(device, operation)])
    await call.done(VM.ReconfigVM_Task, machine.ref, spec=spec)


def drive(controller: int, file: str = ISO, **more: Any) -> Any:
    backing = vim25.VirtualCdromIsoBackingInfo(fileName=file)
    return vim25.VirtualCdrom(
        key=-9, controllerKey=controller, unitNumber=0, backing=backing, **more
    )


def ide(key: int, bus: int) -> Any:
    return vim25.VirtualIDEController(key=key, busNumber=bus)


@pytest.mark.parametrize(
    ("controllers", "drive_on", "key"),
    [
        ((ide(-1, 0),), -1, 3000),
        ((ide(-1, 1),), -1, 3002),
        ((ide(-1, 0), ide(-2, 1)), -2, 3002),
        ((ide(-2, 1), ide(-1, 0)), -2, 3002),
        ((ide(200, 0),), 200, 3000),
        ((ide(-1, -1), ide(-2, -1)), -2, 3002),
        ((), 201, 3002),
    ],
)
async def test_ide_controllers_of_a_spec_are_the_two_that_every_machine_has(
    controllers: tuple[Any, ...], drive_on: int, key: int, make: Callable[..., Any]
) -> None:
    # community.vmware's vmware_guest sends one, and asks for what it then finds.
    machine = await create(await make(), *controllers, drive(drive_on))
    assert [(d.key, d.busNumber) for d in machine.devices(vim25.VirtualIDEController)] == [
        (200, 0),
        (201, 1),
    ]
    [found] = machine.devices(vim25.VirtualCdrom)
    assert (found.key, found.controllerKey) == (key, 200 if key == 3000 else 201)


@pytest.mark.parametrize(
    "controllers",
    [(ide(-1, 0), ide(-2, 1), ide(-3, 0)), (ide(-1, 0), ide(-2, 0)), (ide(-1, -1),) * 3],
)
async def test_a_third_ide_controller_is_refused(
    controllers: tuple[Any, ...], make: Callable[..., Any]
) -> None:
    with pytest.raises(vim25.InvalidDeviceSpec) as caught:
        await create(await make(), *controllers)
    assert caught.value.deviceIndex == len(controllers) - 1


async def test_other_devices_that_every_machine_has_are_merged_too(
    make: Callable[..., Any],
) -> None:
    machine = await create(
        await make(),
        vim25.VirtualPCIController(key=-1, busNumber=0),
        vim25.VirtualPS2Controller(key=-2, busNumber=0),
        vim25.VirtualSIOController(key=-3, busNumber=0),
        vim25.VirtualKeyboard(key=-4),
        vim25.VirtualMachineVideoCard(key=-5, videoRamSizeInKB=8192, numDisplays=2),
    )
    keys = [device.key for device in machine.config.hardware.device]
    assert keys == [200, 201, 300, 100, 400, 600, 700, 500, 12000]
    [card] = machine.devices(vim25.VirtualMachineVideoCard)
    assert (card.videoRamSizeInKB, card.numDisplays, card.controllerKey) == (8192, 2, 100)


async def test_a_machine_that_is_off_takes_an_absent_image_and_starts_without_it(
    make: Callable[..., Any],
) -> None:
    call = await make()
    machine = await create(call, drive(200))
    [found] = machine.devices(vim25.VirtualCdrom)
    assert found.deviceInfo.summary == f"ISO {ISO}"
    assert found.backing.datastore == call.esx.datastores["datastore1"].ref
    assert found.connectable.startConnected
    await call.done(VM.PowerOnVM_Task, machine.ref)
    connect = machine.devices(vim25.VirtualCdrom)[0].connectable
    assert (connect.connected, connect.status) == (False, "unrecoverableError")
    await call.done(VM.PowerOffVM_Task, machine.ref)
    (call.esx.datastore_path() / "a.iso").write_bytes(b"")
    await call.done(VM.PowerOnVM_Task, machine.ref)
    connect = machine.devices(vim25.VirtualCdrom)[0].connectable
    assert (connect.connected, connect.status) == (True, "ok")


async def test_a_running_machine_does_not_connect_an_absent_image(make: Callable[..., Any]) -> None:
    call = await make()
    (call.esx.datastore_path() / "a.iso").write_bytes(b"")
    machine = await create(call, drive(200))
    await call.done(VM.PowerOnVM_Task, machine.ref)
    [found] = machine.devices(vim25.VirtualCdrom)

    def inserted(connected: bool) -> Any:
        connect = vim25.VirtualDeviceConnectInfo(
            startConnected=True, allowGuestControl=True, connected=connected
        )
        return vim25.VirtualCdrom(
            key=found.key,
            controllerKey=200,
            unitNumber=0,
            connectable=connect,
            backing=vim25.VirtualCdromIsoBackingInfo(fileName="[datastore1] b.iso"),
        )

    with pytest.raises(vim25.FileNotFound):
        await reconfigure(call, machine, inserted(True), "edit")
    assert machine.devices(vim25.VirtualCdrom)[0].backing.fileName == ISO
    await reconfigure(call, machine, inserted(False), "edit")
    [changed] = machine.devices(vim25.VirtualCdrom)
    assert changed.deviceInfo.summary == "ISO [datastore1] b.iso"


SUMMARIES = [
    (
        vim25.VirtualFloppy(
            key=-1, backing=vim25.VirtualFloppyRemoteDeviceBackingInfo(deviceName="")
        ),
        ("Floppy drive 1", "Remote"),
    ),
    (
        vim25.VirtualFloppy(
            key=-1, backing=vim25.VirtualFloppyImageBackingInfo(fileName="[datastore1] x.img")
        ),
        ("Floppy drive 1", "Image [datastore1] x.img"),
    ),
    (
        vim25.VirtualSerialPort(
            key=-1,
            yieldOnPoll=True,
            backing=vim25.VirtualSerialPortFileBackingInfo(fileName="[datastore1] x.log"),
        ),
        ("Serial port 1", "File [datastore1] x.log"),
    ),
    (
        vim25.VirtualSerialPort(
            key=-1,
            yieldOnPoll=True,
            backing=vim25.VirtualSerialPortURIBackingInfo(
                serviceURI="telnet://:33233", direction="client"
            ),
        ),
        ("Serial port 1", "Remote telnet://:33233"),
    ),
]


@pytest.mark.parametrize(("device", "shown"), SUMMARIES, ids=lambda v: str(v)[:30])
async def test_the_summary_of_a_port_names_its_backing(
    device: Any, shown: tuple[str, str], make: Callable[..., Any]
) -> None:
    machine = await create(await make(), device)
    [found] = machine.devices(type(device))
    assert (found.deviceInfo.label, found.deviceInfo.summary) == shown
    assert found.unitNumber == 0
    connect = found.connectable
    assert (connect.startConnected, connect.connected, connect.status) == (True, False, "untried")


@pytest.mark.parametrize(
    ("version", "product", "line", "user", "guest"),
    [
        ("4.1", "VMware ESX 4.1.0 build-260247", "esx", "root", "Sun Solaris 10 (64-bit)"),
        (
            "8.0",
            "VMware ESXi 8.0.3 build-24022510",
            "embeddedEsx",
            "Administrator",
            "Oracle Solaris 10 (64-bit)",
        ),
    ],
)
async def test_full_names_are_those_of_recorded_hosts(
    version: str, product: str, line: str, user: str, guest: str, make: Callable[..., Any]
) -> None:
    call = await make(version=version)
    about = call.content.about
    assert (about.fullName, about.productLineId) == (product, line)
    session = (await call.read(call.content.sessionManager, "currentSession"))["currentSession"]
    assert (session.userName, session.fullName) == ("root", user)
    machine = await create(call)
    spec = vim25.VirtualMachineConfigSpec(guestId="solaris10_64Guest")
    await call.done(VM.ReconfigVM_Task, machine.ref, spec=spec)
    assert machine.config.guestFullName == guest
