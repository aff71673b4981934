"""A machine's disk in the image that nova has made for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.driver.hosted import Beside, Hosted, glance, spec, store
from vimdriver._driver import ESXDriver
from vimdriver._images.embedded import EmbeddedGlance, EmbeddedImage
from vimdriver._images.glance import Glance
from vimdriver._images.local import LocalImages
from vimdriver.errors import ImageNotFoundError, SourceRefusedError
from vimdriver.nova._map import snapshot_properties
from vimdriver.nova._snapshots import SnapshotImage
from vimlib.errors import NotFoundError

MISSING = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(b"\7" * 100_000)
    return path


def queued(service: EmbeddedGlance) -> EmbeddedImage:
    """Return a record as nova makes it: with a name and what the server's own image had."""
    image = EmbeddedImage(
        name="snap",
        chunks=lambda: iter(()),
        disk_format="",
        container_format="",
        visibility="private",
        status="queued",
        properties={"vmware_disktype": "sparse", "image_type": "snapshot"},
    )
    service.images[image.id] = image
    return image


@asynccontextmanager
async def machine(
    host: Hosted, service: EmbeddedGlance, disk: Path
) -> AsyncIterator[tuple[ESXDriver, Glance]]:
    async with store(service) as images, host.driver(images) as driver:
        await driver.spawn(spec(disk), source=LocalImages().image(str(disk)))
        yield driver, images


async def test_the_record_of_nova_is_filled(beside: Beside, host: Hosted, disk: Path) -> None:
    begun: list[tuple[str, int, bool]] = []
    with glance(beside) as service:
        record = queued(service)

        def begin() -> None:
            frozen = len(host.esx.machine("web").all_snapshots())
            in_loop = threading.current_thread() is threading.main_thread()
            begun.append((record.status, frozen, in_loop))

        async with machine(host, service, disk) as (driver, images):
            target = SnapshotImage(images, record.id, begin)
            given = snapshot_properties(SimpleNamespace(project_id="p"))
            made = await driver.capture("web", record.id, target=target, properties=given)
        assert list(service.images) == [record.id]
        assert begun == [("queued", 1, False)]
        assert (made.id, made.name, made.hash) == (record.id, "snap", record.sha512)
        assert (record.status, record.disk_format, record.container_format) == (
            "active",
            "vmdk",
            "bare",
        )
        assert (record.name, record.visibility) == ("snap", "private")
        assert record.properties == {
            "image_type": "snapshot",
            "vmware_disktype": "streamOptimized",
            "vmware_adaptertype": "lsiLogic",
            "vmware_ostype": "otherGuest",
            "vmware_image_version": "1",
            "owner_id": "p",
            "img_hv_type": "vmware",
        }
    assert not host.esx.machine("web").all_snapshots()


async def test_a_failure_deletes_the_record(beside: Beside, host: Hosted, disk: Path) -> None:
    def fail() -> None:
        raise LookupError("the server is deleted")

    with glance(beside) as service:
        record = queued(service)
        async with machine(host, service, disk) as (driver, images):
            with pytest.raises(LookupError):
                await driver.capture(
                    "web", record.id, target=SnapshotImage(images, record.id, fail)
                )
        assert not service.images
    assert not host.esx.machine("web").all_snapshots()


async def test_cancelling_deletes_the_record(beside: Beside, host: Hosted, disk: Path) -> None:
    with glance(beside) as service:
        record = queued(service)
        async with machine(host, service, disk) as (driver, images):
            loop = asyncio.get_running_loop()

            def cancel() -> None:
                loop.call_soon_threadsafe(task.cancel)

            target = SnapshotImage(images, record.id, cancel)
            task = asyncio.ensure_future(driver.capture("web", record.id, target=target))
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not service.images
    assert not host.esx.machine("web").all_snapshots()


async def test_an_image_with_bytes_stays_as_it_is(beside: Beside, host: Hosted, disk: Path) -> None:
    with glance(beside) as service:
        record = queued(service)
        record.status = "active"
        before = record.document()
        async with machine(host, service, disk) as (driver, images):
            with pytest.raises(SourceRefusedError):
                await driver.capture(
                    "web", record.id, target=SnapshotImage(images, record.id, lambda: None)
                )
        assert service.images[record.id].document() == before
    assert not host.esx.machine("web").all_snapshots()


async def test_no_image_and_no_machine(beside: Beside, host: Hosted, disk: Path) -> None:
    with glance(beside) as service:
        record = queued(service)
        async with machine(host, service, disk) as (driver, images):
            with pytest.raises(ImageNotFoundError):
                await driver.capture(
                    "web", MISSING, target=SnapshotImage(images, MISSING, lambda: None)
                )
            with pytest.raises(NotFoundError):
                await driver.capture(
                    "nobody", record.id, target=SnapshotImage(images, record.id, lambda: None)
                )
        assert record.status == "queued"  # nova deletes it
    assert not host.esx.machine("web").all_snapshots()
