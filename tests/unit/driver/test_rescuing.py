"""Another root disk: rescue, its end, and rebuild."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import CONFIG, Beside, Hosted, glance, hosted, spec, store
from tests.unit.driver.test_disks import disks, paths
from tests.unit.driver.test_sizing import marks
from vimdriver._images.embedded import made_image
from vimdriver._images.make import Pattern
from vimdriver._images.push import push_images
from vimdriver._instances.pending import PENDING_KEY
from vimdriver._verbs import execute
from vimdriver.errors import (
    DiskSnapshotError,
    ForeignInstanceError,
    InstanceStateError,
    PendingChangeError,
)
from vimlib import vim25
from vimlib.errors import NotFoundError, UsageError

RESCUE = "[datastore1] tools/rescue.vmdk"
ROOT = "[datastore1] web/web.vmdk"


def bootable(host: Hosted, content: bytes = b"rescue" * 1024) -> None:
    """Put a disk into the datastore, as a push publishes it."""
    folder = host.folder / "tools"
    folder.mkdir()
    size = -(-len(content) // 512) * 512
    (folder / "rescue-flat.vmdk").write_bytes(content.ljust(size, b"\0"))
    (folder / "rescue.vmdk").write_text(
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="vmfs"\n'
        f'RW {size // 512} VMFS "rescue-flat.vmdk"\nddb.adapterType = "lsilogic"\n'
    )


def content(host: Hosted, path: str) -> bytes:
    name = path.partition("] ")[2].removesuffix(".vmdk")
    return (host.folder / f"{name}-flat.vmdk").read_bytes()


@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_machine_boots_from_the_rescue_disk_and_goes_back(
    version: str, beside: Beside, tmp_path: Path, image: Path
) -> None:
    with hosted(beside, tmp_path / "s", version, legacy_tls=version == "4.1") as host:
        async with host.driver() as driver:
            bootable(host)
            await driver.spawn(spec(image, power_on=False))
            files, (root,) = host.state().files, await disks(driver)
            assert (await driver.rescue("web", RESCUE)).power_state == "poweredOff"
            first, second = sorted(await disks(driver), key=lambda disk: disk.unit or 0)
            assert first.path.startswith("[datastore1] web/web-rescue-")
            assert (first.unit, second.unit, second.path) == (0, 1, ROOT)
            assert content(host, first.path).startswith(b"rescue")
            await driver.power_on("web")
            with pytest.raises(InstanceStateError, match="must be poweredOff"):
                await driver.unrescue("web")
            await driver.power_off("web")
            await driver.unrescue("web")
            assert await disks(driver) == [root]
            assert host.state().files - {"web/vmware.log"} == files
            assert PENDING_KEY not in marks(host)


async def test_the_root_disk_is_replaced_by_a_larger_copy(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        bootable(host)
        await driver.spawn(spec(image, power_on=False, disk_gb=1))
        uuid = (await driver.info("web")).uuid
        assert (await driver.rebuild("web", RESCUE)).uuid == uuid
        (disk,) = await disks(driver)
        assert (disk.capacity, disk.unit) == (1 << 30, 0)
        assert content(host, disk.path).startswith(b"rescue")
        assert not [name for name in host.state().files if name.startswith("web/web.vmdk")]
        assert PENDING_KEY not in marks(host)
        clean = {name for name in host.state().files if name.startswith("tools/")}
        await driver.destroy("web")
        assert host.state().files == clean


@pytest.mark.parametrize("clone", ["none", "linked"])
async def test_an_image_of_the_host_stays_when_its_machine_gets_another_disk(
    clone: Any, host: Hosted
) -> None:
    async with host.driver() as driver:
        bootable(host)
        image = {name for name in host.state().files if name.startswith("tools/")}
        await driver.spawn(spec(RESCUE, clone=clone, power_on=False))
        (root,) = await disks(driver)
        await driver.rebuild("web", RESCUE)
        assert image < host.state().files
        await driver.destroy("web")
        assert host.state().files == image

        await driver.spawn(spec(RESCUE, clone=clone, power_on=False))
        await driver.resize("web", disk_gb=1)
        await driver.confirm_resize("web")
        assert PENDING_KEY not in marks(host)
        assert [one.path for one in await disks(driver)] != [root.path]
        assert image < host.state().files
        await driver.destroy("web")
        assert host.state().files == image


async def test_new_contents_may_be_larger_than_the_disk(host: Hosted, image: Path) -> None:
    async with host.driver() as driver:
        bootable(host, b"x" * (4 << 20))
        await driver.spawn(spec(image, power_on=False))
        await driver.rebuild("web", RESCUE)
        (disk,) = await disks(driver)
        assert disk.capacity == 4 << 20


async def test_an_image_that_was_pushed(host: Hosted, beside: Beside, image: Path) -> None:
    made = made_image("stream", "streamOptimized", Pattern(2, 1 << 20))
    async with host.driver() as driver:
        with glance(beside, made) as images:
            async with store(images) as found:
                (pushed,) = await push_images(
                    driver.client, found, ["stream"], datastore="datastore1", config=CONFIG
                )
        await driver.spawn(spec(image, power_on=False))
        await driver.rescue("web", pushed.datastore_path)
        assert len(await paths(driver)) == 2


async def test_refusals_state_the_rule_and_change_nothing(host: Hosted, image: Path) -> None:
    call: Awaitable[Any]
    async with host.driver() as driver:
        bootable(host)
        await driver.spawn(spec(image, power_on=False))
        state, devices = host.state(), await driver.devices("web")
        for call in (driver.rescue("web", "[datastore1] a.iso"), driver.rebuild("web", "[ds] a")):
            with pytest.raises(UsageError, match="disk must name a disk's descriptor"):
                await call
        with pytest.raises(PendingChangeError, match="machine 'web' has no rescue to end"):
            await driver.unrescue("web")
        for call in (
            driver.rescue("web", "[datastore1] no.vmdk"),
            driver.rebuild("web", "[datastore1] no.vmdk"),
        ):
            with pytest.raises(NotFoundError, match=r"file not found: \[datastore1\] no.vmdk"):
                await call
        assert host.state() == state
        assert await driver.devices("web") == devices
        assert PENDING_KEY not in marks(host)
        await driver.snapshot("web", "one")
        for call in (driver.rescue("web", RESCUE), driver.rebuild("web", RESCUE)):
            with pytest.raises(DiskSnapshotError):
                await call
        await driver.remove_snapshot("web", "one")
        await driver.rescue("web", RESCUE)
        for call in (
            driver.rescue("web", RESCUE),
            driver.rebuild("web", RESCUE),
            driver.resize("web", cpus=2),
        ):
            with pytest.raises(
                PendingChangeError,
                match=r"has a rescue that is not final. End it first: vimctl instance unrescue",
            ):
                await call
        await driver.power_on("web")
        with pytest.raises(InstanceStateError):
            await driver.unrescue("web")


async def test_a_machine_in_rescue_is_destroyed_whole(host: Hosted, image: Path) -> None:
    clean = host.state()
    async with host.driver() as driver:
        bootable(host)
        await driver.spawn(spec(image, power_on=False))
        await driver.rescue("web", RESCUE)
        await driver.destroy("web")
    left = host.state()
    assert {name for name in left.files if not name.startswith("tools/")} == clean.files


@pytest.mark.parametrize("verb", ["rescue", "rebuild"])
async def test_a_swap_that_the_host_refuses_leaves_the_machine_as_it_was(
    verb: str, host: Hosted, image: Path
) -> None:
    async with host.driver() as driver:
        bootable(host)
        await driver.spawn(spec(image, power_on=False))
        state, devices = host.state(), await driver.devices("web")
        fault = vim25.SystemError(reason="on order")
        host.esx.faults.add("ReconfigVM_Task", "fault", fault=fault, nth=2)
        with pytest.raises(vim25.SystemError):
            await getattr(driver, verb)("web", RESCUE)
        assert host.state() == state
        assert await driver.devices("web") == devices
        assert PENDING_KEY not in marks(host)


async def test_a_machine_of_another_owner_is_changed_on_demand_only(
    host: Hosted, image: Path
) -> None:
    async with host.driver(config=replace(CONFIG, owner="another")) as other:
        await other.spawn(spec(image, power_on=False))
    async with host.driver() as driver:
        bootable(host)
        for call in (
            driver.rescue("web", RESCUE),
            driver.unrescue("web"),
            driver.rebuild("web", RESCUE),
        ):
            with pytest.raises(ForeignInstanceError):
                await call
        await driver.rescue("web", RESCUE, foreign=True)
        await driver.unrescue("web", foreign=True)
        assert await paths(driver) == [ROOT]


async def test_a_rebuild_that_is_cancelled_during_the_swap_keeps_the_new_disk(
    host: Hosted, image: Path
) -> None:
    """The root disk is gone by then, so the copy must not be undone."""
    async with host.driver() as driver:
        bootable(host)
        await driver.spawn(spec(image, power_on=False))
        plan = await driver.rebuild.plan("web", RESCUE)

        async def cancelled(run: Any) -> Any:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await execute(driver.host(), replace(plan, result=cancelled))
        (disk,) = await disks(driver)
        assert content(host, disk.path).startswith(b"rescue")
        assert PENDING_KEY not in marks(host)
        await driver.power_on("web")
