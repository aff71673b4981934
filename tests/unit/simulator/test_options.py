from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator._core.versions import RELEASES
from vimlib.simulator._vm.guests import full_name, guests_of, is_known
from vimlib.simulator._vm.hardware import hardware_of

BROWSER = vim25.EnvironmentBrowser("envbrowser-ha-compute-res")
FOLDER = vim25.Folder("ha-folder-vm")
POOL = vim25.ResourcePool("ha-root-pool")


def spec(**fields: Any) -> Any:
    files = vim25.VirtualMachineFileInfo(vmPathName="[datastore1]")
    return vim25.VirtualMachineConfigSpec(name="made", files=files, **fields)


def test_the_guests_are_those_of_the_enumeration() -> None:
    newest = guests_of(RELEASES["9.0"].numbers)
    ids = [guest.id for guest in newest]
    assert sorted(ids) == sorted(vim25.VirtualMachineGuestOsIdentifier.__values__())
    families = set(vim25.VirtualMachineGuestOsFamily.__values__())
    assert {guest.family for guest in newest} == families
    assert all(len(guest.name) > 5 for guest in newest)


@pytest.mark.parametrize(
    ("guest_id", "version", "known"),
    [
        ("otherGuest", "4.0", True),
        ("rhel7_64Guest", "4.1", False),
        ("rhel7_64Guest", "5.5", True),
        ("debian12_64Guest", "7.0", False),
        ("debian12_64Guest", "8.0", True),
        ("debian13_64Guest", "9.0", True),
        ("", "9.0", False),
        ("OtherGuest", "9.0", False),
    ],
)
def test_a_guest_is_known_from_its_version_on(guest_id: str, version: str, known: bool) -> None:
    assert is_known(guest_id, RELEASES[version].numbers) is known


def test_names_of_guests() -> None:
    assert full_name("rhel9_64Guest", (8, 0)) == "Red Hat Enterprise Linux 9 (64-bit)"
    assert full_name("nothing", (8, 0)) == "nothing"


@pytest.mark.parametrize("version", list(RELEASES))
async def test_every_release_answers_for_all_its_hardware(
    make: Callable[..., Any], version: str
) -> None:
    call = await make(version=version)
    release = RELEASES[version]
    keys = await call(vim25.EnvironmentBrowser.QueryConfigOptionDescriptor, BROWSER)
    assert [each.key for each in keys] == list(hardware_of(release))
    assert [each.key for each in keys if each.defaultConfigOption] == [release.hardware]
    for each in keys:
        option = await call(vim25.EnvironmentBrowser.QueryConfigOption, BROWSER, key=each.key)
        assert option.version == each.key
        assert option.hardwareOptions.hwVersion == int(each.key[4:])
        known = {guest.id for guest in guests_of(release.numbers)}
        offered = {guest.id: guest for guest in option.guestOSDescriptor}
        assert {"otherGuest", "ubuntu64Guest"} <= set(offered) <= known
        assert option.guestOSDescriptor[option.guestOSDefaultIndex].id == "otherGuest"
        devices = {device.type for device in option.hardwareOptions.virtualDeviceOption}
        for guest in offered.values():
            assert guest.recommendedDiskController in guest.supportedDiskControllerList
            assert guest.recommendedEthernetCard in guest.supportedEthernetCard
            assert {*guest.supportedDiskControllerList, *guest.supportedEthernetCard} <= devices
    newest = await call(vim25.EnvironmentBrowser.QueryConfigOption, BROWSER)
    assert newest.version == release.hardware


async def test_the_hardware_options_have_their_limits(make: Callable[..., Any]) -> None:
    call = await make()

    async def option(key: str) -> Any:
        return await call(vim25.EnvironmentBrowser.QueryConfigOption, BROWSER, key=key)

    old, new = await option("vmx-07"), await option("vmx-21")
    assert (old.hardwareOptions.numCPU[-1], new.hardwareOptions.numCPU[-1]) == (8, 32)
    assert old.hardwareOptions.memoryMB.max == 261_120
    kinds = [{d.type for d in each.hardwareOptions.virtualDeviceOption} for each in (old, new)]
    assert kinds[1] - kinds[0] == {
        "VirtualAHCIController",
        "VirtualNVMEController",
        "VirtualE1000e",
    }
    assert "debian12_64Guest" not in {guest.id for guest in old.guestOSDescriptor}
    for key in ("vmx-99", "13"):
        with pytest.raises(vim25.InvalidArgument) as caught:
            await option(key)
        assert caught.value.invalidProperty == "key"
    with pytest.raises(vim25.ManagedObjectNotFound):
        await call(
            vim25.EnvironmentBrowser.QueryConfigTarget, BROWSER, host=vim25.HostSystem("host-7")
        )


async def test_the_query_selects_guests(make: Callable[..., Any]) -> None:
    call = await make()

    async def ids(**query: Any) -> list[str]:
        given = vim25.EnvironmentBrowserConfigOptionQuerySpec(**query)
        found = await call(vim25.EnvironmentBrowser.QueryConfigOptionEx, BROWSER, spec=given)
        return [guest.id for guest in found.guestOSDescriptor]

    assert await ids(guestId=["rhel9_64Guest", "nothing", "dosGuest"]) == [
        "dosGuest",
        "rhel9_64Guest",
    ]
    assert len(await ids(host=vim25.HostSystem("ha-host"))) == 195
    with pytest.raises(vim25.InvalidArgument):
        await ids(guestId=["rhel9_64Guest"], key="vmx-10")
    with pytest.raises(vim25.InvalidArgument):
        await ids(guestId=["nothing"])
    old = await make(version="4.1")
    with pytest.raises(vim25.InvalidRequest):
        await old(vim25.EnvironmentBrowser.QueryConfigOptionEx, BROWSER)


async def test_the_target_lists_the_devices_of_the_host(make: Callable[..., Any]) -> None:
    call = await make(datastores={"a": None, "b": None}, capacity=1 << 30)
    target = await call(vim25.EnvironmentBrowser.QueryConfigTarget, BROWSER)
    assert [store.name for store in target.datastore] == ["a", "b"]
    assert target.datastore[1].datastore.capacity == 1 << 30
    assert target.datastore[0].maxVirtualDiskCapacity == 62 << 40
    assert [(net.name, net.vswitch) for net in target.network] == [("VM Network", "vSwitch0")]
    assert (target.numCpus, target.numCpuCores, target.maxMemMBOptimalPerf) == (32, 16, 131_072)
    old = await make(version="4.1")
    target = await old(vim25.EnvironmentBrowser.QueryConfigTarget, BROWSER)
    assert target.datastore[0].maxVirtualDiskCapacity is None  # younger than 4.1
    assert target.datastore[0].mode == "readWrite"


async def test_the_capabilities_of_the_host(make: Callable[..., Any]) -> None:
    for version in ("4.0", "9.0"):
        call = await make(version=version)
        found = await call(vim25.EnvironmentBrowser.QueryTargetCapabilities, BROWSER)
        host = vim25.HostSystem("ha-host")
        assert (await call.read(host, "capability"))["capability"] == found
        assert found.maintenanceModeSupported
        assert not found.vmotionSupported


@pytest.mark.parametrize(
    ("version", "fields", "fault"),
    [
        ("8.0", {"guestId": "noSuchGuest"}, vim25.InvalidArgument),
        ("8.0", {"guestId": ""}, vim25.InvalidArgument),
        ("4.1", {"guestId": "windows8_64Guest"}, vim25.InvalidArgument),
        ("8.0", {"guestId": "windows8_64Guest", "version": "vmx-08"}, None),
        ("6.7", {"version": "vmx-15"}, vim25.VirtualHardwareVersionNotSupported),
        ("8.0", {"version": "vmx-05"}, vim25.VirtualHardwareVersionNotSupported),
        ("8.0", {"version": "vmx-21"}, None),
    ],
)
async def test_a_machine_is_created_from_the_options(
    make: Callable[..., Any], version: str, fields: dict[str, str], fault: Any
) -> None:
    call = await make(version=version)
    ref = await call(vim25.Folder.CreateVM_Task, FOLDER, config=spec(**fields), pool=POOL)
    task = call.esx.registry.find(ref)
    await task.work
    if fault is None:
        assert task.error is None
        config = call.esx.machine("made").config
        assert all(getattr(config, name) == value for name, value in fields.items())
    else:
        assert isinstance(task.error, fault)
        if fault is vim25.InvalidArgument:
            assert task.error.invalidProperty == "configSpec.guestId"
        assert not call.esx.machines
