"""CD-ROM drives of machines that exist."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import Beside, Hosted, hosted, spec
from vimdriver._driver import ESXDriver
from vimdriver._instances.config_drive import ConfigDrive
from vimdriver._instances.device_list import DeviceInfo
from vimdriver.errors import InstanceStateError, NoSlotError
from vimlib import vim25
from vimlib.errors import NotFoundError, OutcomeUnknownError, UsageError

ONE, TWO = "[datastore1] iso/one.iso", "[datastore1] iso/two.iso"


async def images(driver: ESXDriver) -> None:
    store = driver.client.datastore("datastore1")
    await store.mkdir("[datastore1] iso")
    for path in (ONE, TWO):
        await store.upload(path, b"iso")


async def drives(driver: ESXDriver, name: str = "web") -> list[DeviceInfo]:
    return [one for one in await driver.devices(name) if one.kind == "cdrom"]


@pytest.mark.parametrize("version", ["4.1", "8.0"])
@pytest.mark.parametrize("running", [False, True])
async def test_an_image_is_inserted_replaced_and_ejected(
    version: str, running: bool, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        async with host.driver() as driver:
            await images(driver)
            await driver.spawn(spec(image, power_on=False))
            added = await driver.insert_cdrom("web", ONE)
            assert (added.kind, added.model, added.path) == ("cdrom", "ide", ONE)
            if running:
                await driver.power_on("web")
                assert (await drives(driver))[0].connected is True
            seen = len(host.esx.calls("ReconfigVM_Task"))
            assert (await driver.insert_cdrom("web", ONE)).path == ONE
            assert len(host.esx.calls("ReconfigVM_Task")) == seen
            other = await driver.insert_cdrom("web", TWO, drive=added.label)
            assert (other.key, other.path, other.connected) == (added.key, TWO, running)
            empty = await driver.eject_cdrom("web")
            assert (empty.key, empty.path, empty.connected) == (added.key, "", False)
            seen = len(host.esx.calls("ReconfigVM_Task"))
            assert (await driver.eject_cdrom("web")).path == ""
            assert len(host.esx.calls("ReconfigVM_Task")) == seen
            assert (await driver.insert_cdrom("web", ONE)).key == added.key
            await driver.destroy("web")
            # Images are of nobody's machine.
            assert {"iso/one.iso", "iso/two.iso"} == host.state().files


async def test_the_config_drive_stays(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await images(driver)
        await driver.spawn(
            spec(image, power_on=False, config_drive=ConfigDrive(layout="openstack"))
        )
        (config,) = await drives(driver)
        with pytest.raises(NotFoundError, match="machine web has no CD-ROM drive"):
            await driver.eject_cdrom("web")
        one = await driver.insert_cdrom("web", ONE)
        assert one.key != config.key
        assert (await driver.eject_cdrom("web")).key == one.key
        assert config in await drives(driver)
        # By its name it is a drive like any other.
        assert (await driver.eject_cdrom("web", drive=config.label)).path == ""


async def test_several_drives(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await images(driver)
        await driver.spawn(spec(ONE, disk_gb=1, power_on=False))
        await driver.spawn(spec(ONE, "db", disk_gb=1, nics=(), power_on=False))
        vm = driver.client.bind(vim25.VirtualMachine(host.esx.machine("web").moid))
        second = vim25.VirtualCdrom(
            key=-1,
            controllerKey=201,
            unitNumber=0,
            backing=vim25.VirtualCdromIsoBackingInfo(fileName=TWO),
        )
        change = vim25.VirtualDeviceConfigSpec(operation="add", device=second)
        await driver.client.wait(
            await vm.ReconfigVM_Task(vim25.VirtualMachineConfigSpec(deviceChange=[change]))
        )
        for call in (driver.insert_cdrom("web", ONE), driver.eject_cdrom("web")):
            with pytest.raises(UsageError, match=r"has 2 CD-ROM drives .* It has: CD/DVD drive 1"):
                await call
        labels = [one.label for one in await drives(driver)]
        await driver.eject_cdrom("web", drive=labels[0])
        assert (await driver.eject_cdrom("web")).label == labels[1]
        assert (await driver.eject_cdrom("web")).path == ""  # all are empty
        assert (await driver.insert_cdrom("web", TWO)).label == labels[0]
        assert (await driver.insert_cdrom("web", ONE)).label == labels[1]


async def test_what_cannot_be_is_refused_and_nothing_is_changed(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        await images(driver)
        await driver.spawn(spec(image))
        seen = len(host.esx.calls("ReconfigVM_Task"))
        refusals: list[tuple[Any, type[Exception], str]] = [
            (driver.insert_cdrom("web", "[datastore1] a.img"), UsageError, r"must name an ISO image \(.iso\)"),
            (driver.insert_cdrom("web", "[datastore1] iso/none.iso"), NotFoundError, "not found: "),
            (driver.insert_cdrom("web", ONE), InstanceStateError, "must be poweredOff, is poweredOn"),
            (driver.insert_cdrom("web", ONE, drive="x"), NotFoundError, "has no CD-ROM drive 'x'"),
            (driver.eject_cdrom("web", drive="x"), NotFoundError, "has no CD-ROM drive 'x'"),
        ]  # fmt: skip
        for call, kind, rule in refusals:
            with pytest.raises(kind, match=rule):
                await call
        await driver.power_off("web")
        for _ in range(4):
            await driver.attach_disk("web", size_gb=1, adapter="ide", disk_type="thin")
        with pytest.raises(NoSlotError):
            await driver.insert_cdrom("web", ONE)
        assert len(host.esx.calls("ReconfigVM_Task")) == seen + 4


async def test_answers_that_are_lost_and_calls_that_fail(
    beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", task_seconds=0.05) as host:
        async with host.driver() as driver:
            await images(driver)
            await driver.spawn(spec(image, power_on=False))
            acts: list[Callable[[], Awaitable[Any]]] = [
                lambda: driver.insert_cdrom("web", ONE),
                lambda: driver.insert_cdrom("web", TWO),
                lambda: driver.eject_cdrom("web"),
            ]
            for act in acts:
                before = await drives(driver)
                host.esx.faults.add("ReconfigVM_Task", "drop")
                with pytest.raises(OutcomeUnknownError):
                    await act()
                assert await drives(driver) == before
                host.esx.faults.add("ReconfigVM_Task", "lose")
                await act()
                assert await drives(driver) != before
