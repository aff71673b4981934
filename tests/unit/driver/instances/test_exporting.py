"""A machine leaves as a file, whole or not at all, and comes back as it was."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tarfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.cancel import cancel_everywhere
from tests.unit.driver.hosted import Beside, Hosted, hosted
from tests.unit.driver.images.corpus import RAW, SPARSE, STREAM
from tests.unit.driver.images.formats.reading import read_disk
from tests.unit.driver.images.packages import (
    HARDWARE,
    attached,
    disk_ref,
    file_ref,
    item,
    ova,
    ovf,
)
from vimdriver._disks.exported import DiskBody, export_files
from vimdriver._images.local import LocalImages
from vimdriver._images.ovf import OVFDisk, OVFMachine
from vimdriver._instances.exporting import ExportedInstance
from vimdriver._instances.types import InstanceSpec
from vimdriver.errors import ImageUnacceptableError, LocalFileError
from vimlib import vim25
from vimlib.errors import NotFoundError, TransferCorruptError, UsageError

PACKAGE = ovf(
    file_ref() + file_ref("b.img", "file2"),
    disk_ref() + disk_ref("b", "file2"),
    HARDWARE
    + item(InstanceID=4, ResourceSubType="lsilogicsas", ResourceType=6)
    + attached()
    + attached("b", 1, Parent=4)
    + item(Connection="VM Network", InstanceID=9, ResourceSubType="E1000", ResourceType=10),
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "in.ova"
    path.write_bytes(ova(PACKAGE, more={"b.img": RAW[::-1]}))
    return path


async def made(host: Hosted, package: Path, **given: Any) -> None:
    settings: dict[str, Any] = {"name": "web", "datastore": "datastore1", "power_on": False}
    async with host.driver(LocalImages()) as driver:
        await driver.spawn(InstanceSpec(**settings | {"image": str(package)} | given))


async def exported(host: Hosted, file: Path, **how: Any) -> ExportedInstance:
    async with host.driver() as driver:
        return await driver.export("web", file, **how)


def whole(host: Hosted, name: str = "web/web") -> bytes:
    return (host.folder / f"{name}-flat.vmdk").read_bytes()


@pytest.mark.parametrize("power_on", [False, True])
@pytest.mark.parametrize("version", ["4.1", "8.0"])
async def test_the_disks_become_files_of_each_format(
    version: str, power_on: bool, beside: Beside, tmp_path: Path, package: Path
) -> None:
    with hosted(beside, tmp_path / "store", version) as host:
        await made(host, package, power_on=power_on)
        before = host.state()
        for form in ("raw", "qcow2", "vmdk"):
            told: list[int] = []
            found = await exported(host, tmp_path / f"out.{form}", on_progress=told.append)
            assert found.format == form
            assert [Path(one.path).name for one in found.files] == [f"out.{form}", f"out-2.{form}"]
            for one, disk in zip(found.files, (RAW, RAW[::-1]), strict=True):
                data = await asyncio.to_thread(Path(one.path).read_bytes)
                assert (one.bytes, one.hash) == (len(data), hashlib.sha256(data).hexdigest())
                assert read_disk(data) == disk
            assert sum(told) > 0
        methods = host.methods()
        assert ("ExportVm" in methods) is (not power_on)
        assert ("CopyVirtualDisk_Task" in methods) is (power_on and version == "4.1")
        assert not host.esx.machine("web").all_snapshots()
        await host.settled(before)
    assert not list(tmp_path.glob(".*.part"))


async def test_holes_take_no_space(host: Hosted, tmp_path: Path) -> None:
    image = tmp_path / "holed.img"
    image.write_bytes(b"x" * 65536)
    await asyncio.to_thread(os.truncate, image, 8 << 20)
    await made(host, image)
    for form in ("raw", "qcow2", "vmdk"):
        await exported(host, tmp_path / f"out.{form}")
        assert (tmp_path / f"out.{form}").stat().st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("power_on", [False, True])
async def test_a_machine_comes_back_from_an_ova_as_it_was(
    power_on: bool, host: Hosted, tmp_path: Path, package: Path
) -> None:
    await made(host, package, power_on=power_on)
    found = await exported(host, tmp_path / "out.ova")
    (file,) = found.files
    data = (tmp_path / "out.ova").read_bytes()
    assert (file.bytes, file.hash) == (len(data), hashlib.sha256(data).hexdigest())
    with tarfile.open(tmp_path / "out.ova") as archive:
        names = archive.getnames()
        assert names == ["out.ovf", "out.mf", "out-disk1.vmdk", "out-disk2.vmdk"]
        for line in archive.extractfile("out.mf").read().decode().splitlines():  # type: ignore[union-attr]
            name, value = line.removeprefix("SHA256(").split(")= ")
            member = archive.extractfile(name)
            assert member is not None
            assert hashlib.sha256(member.read()).hexdigest() == value
    ignored: list[str] = []
    async with host.driver() as driver:
        back = await driver.import_instance(
            tmp_path / "out.ova", datastore="datastore1", name="again", on_ignored=ignored.append
        )
    assert (back.cpus, back.memory_mb, back.power_state) == (2, 1024, "poweredOff")
    assert whole(host, "again/again") == RAW
    assert whole(host, "again/again_1") == RAW[::-1]
    assert shape(host, "again") == shape(host, "web")
    assert ignored == []


def shape(host: Hosted, name: str) -> Any:
    """Return what an export keeps."""
    config: Any = host.esx.machine(name).config
    kinds = (vim25.VirtualSCSIController, vim25.VirtualDisk, vim25.VirtualEthernetCard)
    devices = [
        (type(d), getattr(d, "capacityInKB", None), d.unitNumber if isinstance(d, vim25.VirtualDisk) else None,
         getattr(d.backing, "deviceName", None) if isinstance(d, vim25.VirtualEthernetCard) else None)
        for d in config.hardware.device if isinstance(d, kinds)
    ]  # fmt: skip
    return config.guestId, config.firmware, devices


@pytest.mark.parametrize("form", ["qcow2", "raw", "vmdk"])
async def test_a_disk_comes_back_from_a_file(
    form: str, host: Hosted, tmp_path: Path, package: Path
) -> None:
    await made(host, package)
    await exported(host, tmp_path / f"out.{form}")
    async with host.driver() as driver:
        back = await driver.import_instance(
            tmp_path / f"out.{form}", datastore="datastore1", network="VM Network", power_on=True
        )
    assert (back.name, back.power_state) == ("out", "poweredOn")
    assert whole(host, "out/out") == RAW


async def test_a_file_that_is_there_stays(host: Hosted, tmp_path: Path, package: Path) -> None:
    await made(host, package)
    (tmp_path / "out-2.raw").write_bytes(b"mine")
    with pytest.raises(LocalFileError, match="of that name"):
        await exported(host, tmp_path / "out.raw")
    assert "ExportVm" not in host.methods()
    assert not (tmp_path / "out.raw").exists()
    await exported(host, tmp_path / "out.raw", overwrite=True)
    assert (tmp_path / "out-2.raw").read_bytes() == RAW[::-1]


@pytest.mark.parametrize(
    ("file", "error"),
    [("out.img", UsageError), ("out", UsageError), ("none/out.raw", LocalFileError)],
)
async def test_what_cannot_be_written_is_refused(
    file: str, error: type[Exception], host: Hosted, tmp_path: Path, package: Path
) -> None:
    await made(host, package)
    before = host.state()
    with pytest.raises(error):
        await exported(host, tmp_path / file)
    await host.settled(before)


async def test_a_machine_that_is_not_there(host: Hosted, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        await exported(host, tmp_path / "out.raw")


@pytest.mark.parametrize("data", [STREAM, STREAM[:-1024], SPARSE, b""], ids=len)
async def test_a_disk_that_is_not_the_machines_leaves_no_file(data: bytes, tmp_path: Path) -> None:
    async def read() -> AsyncGenerator[bytes, None]:
        yield data

    async def done() -> None:
        raise AssertionError("not every disk was read")

    capacity = len(RAW) if data is not STREAM else len(RAW) + 512
    for form in ("ova", "qcow2", "vmdk"):
        with pytest.raises((TransferCorruptError, ImageUnacceptableError)):
            await export_files(
                tmp_path / f"out.{form}",
                OVFMachine(disks=(OVFDisk(capacity=capacity),)),
                [DiskBody(capacity=capacity, adapter="lsilogic", read=read)],
                overwrite=False,
                on_progress=None,
                done=done,
            )
    assert not list(tmp_path.iterdir())


async def test_a_file_that_comes_meanwhile_stays_and_the_others_go(tmp_path: Path) -> None:
    async def read() -> AsyncGenerator[bytes, None]:
        yield STREAM

    async def done() -> None:
        (tmp_path / "out-2.raw").write_bytes(b"theirs")

    disk = DiskBody(capacity=len(RAW), adapter="lsilogic", read=read)
    with pytest.raises(LocalFileError):
        await export_files(
            tmp_path / "out.raw",
            OVFMachine(),
            [disk, disk],
            overwrite=False,
            on_progress=None,
            done=done,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["out-2.raw"]
    assert (tmp_path / "out-2.raw").read_bytes() == b"theirs"


@pytest.mark.torture
@pytest.mark.parametrize("power_on", [False, True])
@pytest.mark.parametrize("form", ["ova", "qcow2"])
async def test_an_export_is_cancelled_anywhere(
    form: str, power_on: bool, beside: Beside, tmp_path: Path, package: Path
) -> None:
    with hosted(beside, tmp_path / "store") as host:
        await made(host, package, power_on=power_on)
        before = host.state()
        folder = tmp_path / "out"
        folder.mkdir()

        async def attempt() -> None:
            await exported(host, folder / f"out.{form}")

        async def check(at: int) -> None:
            assert not host.esx.machine("web").all_snapshots()
            names = {file.name for file in folder.iterdir()}
            whole = {"out.ova"} if form == "ova" else {"out.qcow2", "out-2.qcow2"}
            assert names in (set(), whole)
            for name in names:
                (folder / name).unlink()
            await host.settled(before)

        report = await cancel_everywhere(attempt, check)
        assert report.cancelled > 20
