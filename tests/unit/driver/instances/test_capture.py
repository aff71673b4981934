"""A machine's disk becomes an image, which boots again; nothing of the capture stays on the host."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.rig.cancel import cancel_everywhere
from tests.unit.driver.hosted import CONFIG, Beside, Hosted, glance, host_of, hosted, spec, store
from vimdriver._driver import ESXDriver
from vimdriver._images.embedded import EmbeddedGlance
from vimdriver._images.source import ImageInfo
from vimdriver._instances import capture
from vimdriver._instances.capture import CapturedImage
from vimdriver._journal import Capturing, MemoryJournal
from vimdriver.errors import SourceRefusedError
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib.errors import NotFoundError, TransferCorruptError, UsageError


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(b"\7" * 100_000 + bytes(8 << 20) + b"\5" * 200_000)
    return path


async def captured(
    host: Hosted, service: EmbeddedGlance, image: Path, power_on: bool = True, **how: Any
) -> CapturedImage:
    async with store(service) as images, host.driver(images) as driver:
        await driver.spawn(spec(image, power_on=power_on), source=_local(image))
        return await driver.capture("web", "golden", **how)


def _local(path: Path) -> Any:
    from vimdriver._images.local import LocalImages

    return LocalImages().image(str(path))


@pytest.mark.parametrize("power_on", [True, False])
@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_a_captured_image_boots_again(
    version: str, power_on: bool, beside: Beside, tmp_path: Path, holed: Path
) -> None:
    told: list[int] = []
    with hosted(beside, tmp_path / "store", version) as host, glance(beside) as service:
        image = await captured(
            host, service, holed, power_on, properties={"os_version": "1"}, on_progress=told.append
        )
        kept = service.images[image.id]
        assert (kept.name, kept.disk_format, kept.visibility) == ("golden", "vmdk", "private")
        assert kept.properties == {
            "vmware_disktype": "streamOptimized",
            "vmware_adaptertype": "lsiLogic",
            "vmware_ostype": "otherGuest",
            "os_version": "1",
        }
        assert (image.bytes, image.hash, image.hash_algo) == (kept.size, kept.sha512, "sha512")
        assert image.bytes < 200_000  # of its data
        assert sum(told) == image.bytes
        # Nothing of it is left on the host.
        assert not host.esx.machine("web").all_snapshots()
        files = {file for file in host.state().files if not file.endswith((".log", ".vmsd"))}
        assert files == {"web/web.vmx", "web/web.vmdk", "web/web-flat.vmdk"}
        async with store(service) as images, host.driver(images) as driver:
            await driver.spawn(spec("golden", "again", nics=()))
        extent = (host.folder / "again/again-flat.vmdk").read_bytes()
        assert extent == (host.folder / "web/web-flat.vmdk").read_bytes()


async def test_a_service_that_refuses_leaves_nothing(
    beside: Beside, host: Hosted, holed: Path
) -> None:
    with glance(beside) as service:
        service.token = "needed"
        with pytest.raises(SourceRefusedError):
            await captured(host, service, holed)
        assert not service.images
    assert not host.esx.machine("web").all_snapshots()


async def test_the_export_ends_before_its_snapshot_is_removed(host: Hosted, holed: Path) -> None:
    class Refusing:
        """A service that refuses in the middle; its client keeps the body that it has not read."""

        body: AsyncIterator[bytes]

        @asynccontextmanager
        async def new_image(self, name: str, **how: Any) -> AsyncIterator[str]:
            yield name

        async def fill(self, image: str, body: AsyncIterable[bytes]) -> None:
            self.body = aiter(body)
            assert await anext(self.body)
            raise SourceRefusedError(status=413, image=image)

        async def find(self, ref: str) -> ImageInfo:
            raise NotImplementedError

    target = Refusing()
    async with host.driver() as driver:
        await driver.spawn(spec(holed), source=_local(holed))
        with pytest.raises(SourceRefusedError):
            await driver.capture("web", "golden", target=target)
    ends = [name for name in host.methods() if name in ("HttpNfcLeaseAbort", "RemoveSnapshot_Task")]
    assert ends == ["HttpNfcLeaseAbort", "RemoveSnapshot_Task"]
    assert not host.esx.machine("web").all_snapshots()


async def test_a_refused_removal_of_its_snapshot_is_asked_for_again(
    beside: Beside, host: Hosted, holed: Path
) -> None:
    busy = vim25.HostCommunication()
    host.esx.faults.add("RemoveSnapshot_Task", "fault", fault=busy, nth=1)
    with glance(beside) as service:
        async with store(service) as images, host.driver(images) as driver:
            await driver.spawn(spec(holed), source=_local(holed))
            await driver.capture("web", "golden")
    assert host.methods().count("RemoveSnapshot_Task") == 2
    assert not host.esx.machine("web").all_snapshots()


@pytest.mark.parametrize("size", [3072, 5120])
async def test_a_copy_of_another_size_is_refused(host: Hosted, size: int) -> None:
    (host.folder / "copy-flat.vmdk").write_bytes(bytes(size))
    file = DatastorePath("datastore1", "copy.vmdk")
    found = capture.FrozenDisk(
        key=2000,
        vm=vim25.VirtualMachine("1"),
        vmx=file,
        capacity=4096,
        adapter="lsilogic",
        properties={},
    )
    async with host.client() as client:
        run: Any = SimpleNamespace(host=host_of(client))
        with pytest.raises(TransferCorruptError, match=f"4096 bytes, got {size}"):
            [piece async for piece in capture.deflated(run, file, found)]


async def test_what_cannot_be_captured(beside: Beside, host: Hosted) -> None:
    async with host.driver() as driver:
        await driver.spawn(spec(None))
        with pytest.raises(UsageError):
            await driver.capture("web", "golden")
    with glance(beside) as service:
        async with store(service) as images, host.driver(images) as driver:
            for ref in ("web", "nobody"):
                with pytest.raises(NotFoundError):
                    await driver.capture(ref, "golden")
        assert not service.images


@pytest.mark.parametrize(
    ("version", "every"),
    [
        ("8.0", 23),
        ("4.1", 23),
        pytest.param("8.0", 1, marks=pytest.mark.torture),
        pytest.param("4.1", 1, marks=pytest.mark.torture),
    ],
)
async def test_cancelled_at_every_await(
    version: str, every: int, beside: Beside, tmp_path: Path, holed: Path
) -> None:
    with hosted(beside, tmp_path / "store", version) as host, glance(beside) as service:
        async with host.driver() as driver:
            await driver.spawn(spec(holed))
        before = host.state()

        async def attempt() -> None:
            async with store(service) as images, host.driver(images) as driver:
                await driver.capture("web", "golden")

        async def check(at: int) -> None:
            await host.settled(before)
            assert not host.esx.machine("web").all_snapshots()
            # Whole or gone.
            assert all(image.status == "active" for image in service.images.values())
            service.images.clear()

        report = await cancel_everywhere(attempt, check, every=every)
        assert report.cancelled > report.suspensions // every // 2


async def test_a_sweep_removes_the_snapshot_of_a_killed_capture(host: Hosted, holed: Path) -> None:
    async with host.client() as client:
        journal = MemoryJournal()
        driver = ESXDriver(client, config=CONFIG, journal=journal)
        made = await driver.spawn(spec(holed), source=_local(holed))
        for name in ("vimlib-capture-x", "theirs"):
            await driver.snapshot("web", name)
        entry = Capturing(
            host=client.host, owner=driver.host().owner, uuid=made.uuid, snapshot="vimlib-capture-x"
        )
        await journal.begin(entry)
        journal.abandon(entry.token)
        report = await driver.sweep()
        assert [(i.kind, i.action) for i in report.items] == [("snapshot", "removed")]
        assert [one.name for one in await driver.snapshots("web")] == ["theirs"]
