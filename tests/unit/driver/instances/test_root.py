"""A machine gets its disk from the cache, from a disk on the host, from an ISO image, or none."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import Beside, Hosted, glance, hosted, spec, store
from vimdriver._disks.cache import FOLDER
from vimdriver._images.embedded import EmbeddedImage
from vimdriver.errors import ImageHashError, ImageUnacceptableError, InstanceExistsError
from vimlib import vim25
from vimlib.errors import NotFoundError, UsageError

SIZE = 300 * 1024
DATA = os.urandom(SIZE)
KEY = f"sha512-{hashlib.sha512(DATA).hexdigest()}"
DISK = "[datastore1] golden/base.vmdk"


def image(data: bytes = DATA, **given: Any) -> EmbeddedImage:
    given.setdefault("name", "img")
    given.setdefault("disk_format", "raw")
    return EmbeddedImage(chunks=lambda: iter([data]), **given)


def devices(host: Hosted, name: str, kind: type[Any]) -> list[Any]:
    return [d for d in host.esx.machine(name).config.hardware.device if isinstance(d, kind)]


def stored(host: Hosted, path: str) -> bytes:
    return (host.folder / path).read_bytes()


async def test_many_machines_of_one_image_fetch_it_once(beside: Beside, host: Hosted) -> None:
    with glance(beside, image()) as service:
        async with store(service) as images, host.driver(images) as driver:
            await asyncio.gather(
                *(driver.spawn(spec("img", f"web-{n}", nics=())) for n in range(8))
            )
        assert sum(seen.path.endswith("/file") for seen in service.seen) == 1
    for n in range(8):
        assert stored(host, f"web-{n}/web-{n}-flat.vmdk") == DATA
    assert stored(host, f"{FOLDER}/{KEY}-flat.vmdk") == DATA


async def test_a_machine_of_a_cached_image_needs_no_source_but_its_properties(
    beside: Beside, host: Hosted
) -> None:
    with glance(beside, image()) as service:
        async with store(service) as images, host.driver(images) as driver:
            await driver.spawn(spec("img", "one"))
            seen = len(service.seen)
            made = await driver.spawn(spec("img", "two", disk_gb=1))
            assert not any(entry.path.endswith("/file") for entry in service.seen[seen:])
            assert made.power_state == "poweredOn"
    (disk,) = devices(host, "two", vim25.VirtualDisk)
    assert disk.capacityInKB == 1 << 20
    assert stored(host, "two/two-flat.vmdk") == DATA.ljust(1 << 30, b"\0")


async def test_linked_machines_share_a_base_that_no_destroy_removes(
    beside: Beside, host: Hosted
) -> None:
    with glance(beside, image()) as service:
        async with store(service) as images, host.driver(images) as driver:
            for name in ("one", "two"):
                await driver.spawn(spec("img", name, clone="linked"))
            base = f"[datastore1] {FOLDER}/{KEY}.vmdk"
            for name in ("one", "two"):
                (disk,) = devices(host, name, vim25.VirtualDisk)
                assert disk.backing.parent.fileName == base
            assert await driver.destroy("one")
            assert await driver.destroy("two")
    assert not host.esx.calls("Destroy_Task")
    assert host.state().files == {f"{FOLDER}/{KEY}.vmdk", f"{FOLDER}/{KEY}-flat.vmdk"}
    assert not host.state().machines


@pytest.mark.parametrize("given", [{"disk_gb": 1, "clone": "linked"}])
async def test_a_linked_disk_does_not_grow(
    given: dict[str, Any], beside: Beside, host: Hosted
) -> None:
    with glance(beside, image()) as service:
        async with store(service) as images, host.driver(images) as driver:
            with pytest.raises(UsageError):
                await driver.spawn(spec("img", **given))
    assert not host.state().files


async def test_without_the_cache_the_image_is_the_machines_alone(
    beside: Beside, host: Hosted
) -> None:
    with glance(beside, image()) as service:
        async with store(service) as images, host.driver(images) as driver:
            await driver.spawn(spec("img", clone="none"))
    assert not (host.folder / FOLDER).exists()
    assert stored(host, "web/web-flat.vmdk") == DATA


async def test_a_weak_hash_does_not_name_a_cache_entry(beside: Beside, host: Hosted) -> None:
    old = image(hashed=False)
    with glance(beside, old) as service:
        async with store(service) as images, host.driver(images) as driver:
            await driver.spawn(spec("img"))
    assert not (host.folder / FOLDER).exists()


@pytest.mark.parametrize("transfer", ["nfc", "put"])
async def test_each_way_onto_the_host(transfer: str, beside: Beside, host: Hosted) -> None:
    for clone in ("none", "copy"):
        with glance(beside, image()) as service:
            async with store(service) as images, host.driver(images) as driver:
                await driver.spawn(spec("img", clone, transfer=transfer, clone=clone))
        assert stored(host, f"{clone}/{clone}-flat.vmdk") == DATA
        assert host.state().machines == {"none", clone}


async def test_a_damaged_image_is_neither_cached_nor_a_machine(
    beside: Beside, host: Hosted
) -> None:
    from vimdriver._images.embedded import Fault

    with glance(beside, image(fault=Fault.FLIPPED)) as service:
        async with store(service) as images, host.driver(images) as driver:
            with pytest.raises(ImageHashError):
                await driver.spawn(spec("img"))
    assert not host.state().files
    assert not host.esx.calls("CreateVM_Task")


async def base(host: Hosted) -> None:
    """Put a disk onto the host."""
    folder = host.folder / "golden"
    folder.mkdir()
    async with host.client() as client:
        await client.datastore("datastore1").upload("golden/x", b"")
        assert client.content.virtualDiskManager is not None
        manager = client.bind(client.content.virtualDiskManager)
        made = vim25.FileBackedVirtualDiskSpec(
            adapterType="lsiLogic", diskType="thin", capacityKb=SIZE // 1024
        )
        await client.wait(await manager.CreateVirtualDisk_Task(DISK, spec=made))
    (folder / "base-flat.vmdk").write_bytes(DATA)
    (folder / "x").unlink()


@pytest.mark.parametrize("clone", ["copy", "linked", "none", None])
async def test_a_machine_from_a_disk_on_the_host(clone: Any, host: Hosted) -> None:
    await base(host)
    before = host.state().files
    async with host.driver() as driver:
        made = await driver.spawn(spec(DISK, clone=clone))
        assert made.power_state == "poweredOn"
        (disk,) = devices(host, "web", vim25.VirtualDisk)
        wanted = DISK if clone == "none" else "[datastore1] web/web.vmdk"
        assert disk.backing.fileName == wanted
        if clone in (None, "copy"):
            assert stored(host, "web/web-flat.vmdk") == DATA
        assert await driver.destroy("web")
    assert host.state().files == before
    assert stored(host, "golden/base-flat.vmdk") == DATA


async def test_a_disk_that_is_not_on_the_host(host: Hosted) -> None:
    async with host.driver() as driver:
        for path in ("[datastore1] nowhere/x.vmdk", "[datastore1] x.iso", "[nowhere] x.vmdk"):
            with pytest.raises(NotFoundError):
                await driver.spawn(spec(path))
        with pytest.raises(UsageError):
            await driver.spawn(spec("[datastore1] x.txt"))
    assert not host.state().machines


ISO = (bytes(0x8001) + b"CD001").ljust(200 * 1024, b"\0")


@pytest.mark.parametrize("disk_gb", [None, 1])
@pytest.mark.parametrize("claim", ["iso", None])
async def test_an_iso_image_is_in_the_drive_of_a_machine(
    claim: str | None, disk_gb: int | None, beside: Beside, host: Hosted, tmp_path: Path
) -> None:
    path = tmp_path / "boot.iso"
    path.write_bytes(ISO)
    digest = hashlib.sha512(ISO).hexdigest()
    with glance(beside, image(ISO, disk_format="iso")) as service:
        async with store(service) as images, host.driver(images if claim else None) as driver:
            for name in ("one", "two"):
                await driver.spawn(spec("img" if claim else path, name, disk_gb=disk_gb))
        assert sum(s.path.endswith("/file") for s in service.seen) == (1 if claim else 0)
    file = f"{FOLDER}/sha512-{digest}.iso"
    assert stored(host, file) == ISO
    for name in ("one", "two"):
        (drive,) = devices(host, name, vim25.VirtualCdrom)
        assert drive.backing.fileName == f"[datastore1] {file}"
        capacities = [d.capacityInKB for d in devices(host, name, vim25.VirtualDisk)]
        assert capacities == ([] if disk_gb is None else [1 << 20])
    async with host.driver() as driver:
        for name in ("one", "two"):
            assert await driver.destroy(name)
    assert host.state().files == {file}


@pytest.mark.parametrize("disk_gb", [None, 1])
async def test_an_empty_machine(disk_gb: int | None, host: Hosted) -> None:
    async with host.driver() as driver:
        made = await driver.spawn(spec(None, disk_gb=disk_gb))
        assert made.power_state == "poweredOn"
        assert len(devices(host, "web", vim25.VirtualDisk)) == (disk_gb or 0)
        assert not (await driver.sweep(older_than=0)).items
        assert await driver.destroy("web")
    assert not host.state().files


async def test_image_properties_set_the_hardware_of_the_machine(
    beside: Beside, host: Hosted
) -> None:
    from vimdriver._instances.types import NICSpec

    said = {
        "hw_firmware_type": "uefi",
        "hw_vif_model": "VirtualVmxnet3",
        "hw_scsi_model": "vmpvscsi",
        "os_distro": "ubuntu",
        "hw_rng_model": "virtio",
        "unrelated": "x",
    }
    ignored: list[str] = []
    with glance(beside, image(properties=said, min_disk=1)) as service:
        async with store(service) as images, host.driver(images) as driver:
            nics = (NICSpec(network="VM Network"), NICSpec(network="VM Network", model="e1000"))
            await driver.spawn(spec("img", nics=nics), on_ignored=ignored.append)
    config = host.esx.machine("web").config
    assert (config.firmware, config.guestId) == ("efi", "ubuntu64Guest")
    assert ignored == ["hw_rng_model=virtio"]
    cards = devices(host, "web", vim25.VirtualEthernetCard)
    assert [type(card) for card in cards] == [vim25.VirtualVmxnet3, vim25.VirtualE1000]
    assert devices(host, "web", vim25.ParaVirtualSCSIController)
    (disk,) = devices(host, "web", vim25.VirtualDisk)
    assert disk.capacityInKB == 1 << 20


@pytest.mark.parametrize(
    ("least", "given", "rule"),
    [
        ({"min_ram": 128}, {"memory_mb": 64}, "spawn.min_ram"),
        ({"min_disk": 2}, {"disk_gb": 1}, "spawn.min_disk"),
    ],
)
async def test_a_machine_that_is_smaller_than_its_image_needs(
    least: dict[str, Any], given: dict[str, Any], rule: str, beside: Beside, host: Hosted
) -> None:
    with glance(beside, image(**least)) as service:
        async with store(service) as images, host.driver(images) as driver:
            with pytest.raises(ImageUnacceptableError) as caught:
                await driver.spawn(spec("img", **given))
    assert caught.value.rule == rule
    assert not host.state().files


@pytest.mark.parametrize("version", ["4.0", "4.1", "5.5", "9.0"])
async def test_each_host_copies_from_its_cache(
    version: str, beside: Beside, tmp_path: Path
) -> None:
    with (
        hosted(beside, tmp_path / "store", version) as host,
        glance(beside, image()) as service,
    ):
        async with store(service) as images, host.driver(images) as driver:
            for name in ("one", "two"):
                await driver.spawn(spec("img", name))
        assert stored(host, "two/two-flat.vmdk") == DATA


async def test_a_cached_image_that_was_removed_by_name_is_fetched_once_more(
    beside: Beside, host: Hosted
) -> None:
    with glance(beside, image()) as service:
        async with store(service) as images, host.driver(images) as driver:
            await driver.spawn(spec("img", "one"))
            async with host.driver() as other:
                assert await other.prune_cache("datastore1", older_than=0)
            await driver.spawn(spec("img", "two"))
            assert {one.name for one in await driver.list_instances()} == {"one", "two"}
    assert stored(host, "two/two-flat.vmdk") == DATA


async def test_a_name_that_is_taken_is_refused_by_the_call_that_makes_the_machine(
    beside: Beside, host: Hosted
) -> None:
    with glance(beside, image()) as service:
        async with store(service) as images, host.driver(images) as driver:
            await driver.spawn(spec("img", "one"))
            state = host.state()
            with pytest.raises(InstanceExistsError) as caught:
                await driver.spawn(spec("img", "one"))
            assert caught.value.name == "one"
            with pytest.raises(InstanceExistsError):
                await driver.spawn.plan(spec("img", "one"))
            assert host.state() == state
