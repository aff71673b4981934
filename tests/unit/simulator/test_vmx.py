from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.registry import Registry
from vimlib.simulator._vm import vmx
from vimlib.simulator._vm.devices import DeviceList
from vimlib.simulator._vm.reconfigure import blank_config


class Networks:
    kind: ClassVar[str] = "HostNetworkSystem"
    moid = "networkSystem"
    kinds = frozenset({kind})
    networks: ClassVar[dict[str, Any]] = {}


def registry() -> Registry:
    made = Registry("8.0", seed=1)
    made.add(Networks())
    return made


def configured() -> Any:
    here = registry()
    config = blank_config(here, "it", "[ds] it/it.vmx")
    devices = DeviceList(config.hardware.device)

    def mac() -> str:
        return "00:0c:29:00:00:01"

    scsi = devices.add(
        vim25.ParaVirtualSCSIController(key=-1, busNumber=1, sharedBus="noSharing"), 0, mac
    )
    backing = vim25.VirtualDiskFlatVer2BackingInfo(
        fileName="[ds] it/it.vmdk", diskMode="independent_persistent"
    )
    devices.add(
        vim25.VirtualDisk(
            key=-2, controllerKey=scsi.key, unitNumber=3, capacityInKB=4, backing=backing
        ),
        0,
        mac,
    )
    iso = vim25.VirtualCdromIsoBackingInfo(fileName="[ds] a.iso")
    devices.add(vim25.VirtualCdrom(key=-3, controllerKey=200, unitNumber=1, backing=iso), 0, mac)
    card = vim25.VirtualEthernetCardNetworkBackingInfo(deviceName="net")
    devices.add(
        vim25.VirtualVmxnet3(
            key=-4, backing=card, addressType="manual", macAddress="00:50:56:00:00:01"
        ),
        0,
        mac,
    )
    return replace(
        config,
        annotation='two\nlines, "quoted" | piped',
        managedBy=vim25.ManagedByInfo(extensionKey="org.example", type="instance"),
        hardware=replace(
            config.hardware, numCPU=4, numCoresPerSocket=2, memoryMB=1024, device=devices.result()
        ),
        extraConfig=[
            vim25.OptionValue(key="machine.id", value="a;b#"),
            vim25.OptionValue(key="guestinfo.x", value=""),
        ],
    )


def test_what_is_written_is_read_back() -> None:
    before = configured()
    facts: dict[str, Any] = {}
    after = vmx.read_config(
        registry(),
        blank_config(registry(), "other", "[ds] it/it.vmx"),
        vmx.parse(vmx.render(registry(), before).encode()),
        facts,
    )
    for field in (
        "name",
        "annotation",
        "uuid",
        "instanceUuid",
        "version",
        "guestId",
        "firmware",
        "managedBy",
        "extraConfig",
    ):
        assert getattr(after, field) == getattr(before, field), field
    assert (after.hardware.numCPU, after.hardware.numCoresPerSocket, after.hardware.memoryMB) == (
        4,
        2,
        1024,
    )
    old = {(type(d).__name__, d.key, d.controllerKey, d.unitNumber) for d in before.hardware.device}
    assert {
        (type(d).__name__, d.key, d.controllerKey, d.unitNumber) for d in after.hardware.device
    } == old
    nic: Any = next(d for d in after.hardware.device if d.key == 4000)
    assert (nic.addressType, nic.macAddress, nic.backing.deviceName) == (
        "manual",
        "00:50:56:00:00:01",
        "net",
    )
    disk: Any = next(d for d in after.hardware.device if isinstance(d, vim25.VirtualDisk))
    assert (disk.backing.fileName, disk.backing.diskMode) == (
        "[ds] it/it.vmdk",
        "independent_persistent",
    )


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_through(text: str) -> None:
    config = replace(
        configured(), annotation=text, extraConfig=[vim25.OptionValue(key="k", value=text)]
    )
    values = vmx.parse(vmx.render(registry(), config).encode())
    assert values.get("annotation") == text
    assert values["k"] == text


@pytest.mark.parametrize(
    "text", ["", "nonsense", 'displayName = "x"\n', 'config.version = "8"\nnot a line\n']
)
def test_a_file_that_is_not_a_configuration_is_refused(text: str) -> None:
    with pytest.raises(vmx.VmxError):
        vmx.parse(text.encode())


def test_a_malformed_number_is_refused() -> None:
    values = vmx.parse(b'config.version = "8"\nmemSize = "much"\n')
    with pytest.raises(vmx.VmxError):
        vmx.read_config(registry(), blank_config(registry(), "x", "[ds] x/x.vmx"), values, {})


@pytest.mark.parametrize(
    ("place", "disk", "written"),
    [
        ("[ds] it/it.vmx", "[ds] it/it.vmdk", "it.vmdk"),
        ("[ds] it/it.vmx", "[ds] it/sub/it.vmdk", "[ds] it/sub/it.vmdk"),
        ("[ds] it/it.vmx", "[ds] it2/it.vmdk", "[ds] it2/it.vmdk"),
        ("[ds] it/it.vmx", "[other] it/it.vmdk", "[other] it/it.vmdk"),
        ("[ds] it.vmx", "[ds] it.vmdk", "it.vmdk"),
    ],
)
def test_a_disk_in_the_machines_folder_is_named_without_a_path(
    place: str, disk: str, written: str
) -> None:
    before = configured()
    given: list[Any] = before.hardware.device
    devices = [
        replace(device, backing=replace(device.backing, fileName=disk))
        if type(device).__name__ == "VirtualDisk"
        else device
        for device in given
    ]
    before = replace(
        before,
        files=replace(before.files, vmPathName=place),
        hardware=replace(before.hardware, device=devices),
    )
    values = vmx.parse(vmx.render(registry(), before).encode())
    assert values["scsi1:3.fileName"] == written
    after = vmx.read_config(registry(), blank_config(registry(), "it", place), values, {})
    found: list[Any] = [d for d in after.hardware.device if isinstance(d, vim25.VirtualDisk)]
    assert [device.backing.fileName for device in found] == [disk]
