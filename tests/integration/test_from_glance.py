"""Each accepted format goes from a real Glance to a running machine, whose disk is the one that qemu-img sees."""

from __future__ import annotations

import random
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import vimlib
from tests.integration.conftest import Host
from tests.integration.peers.disk_readers import qemu_img, with_io
from tests.integration.peers.glance import Glance
from tests.integration.peers.process import PeerError
from vimdriver import DriverConfig, ESXDriver, HttpClient, InstanceSpec
from vimdriver._images import Glance as GlanceStore
from vimlib import vim25

pytestmark = [
    pytest.mark.simulator_only("vcsim keeps no bytes of an imported disk"),
    pytest.mark.filterwarnings("ignore:Support for InfluxDB"),
]
MIB = 1 << 20


@dataclass(frozen=True)
class Form:
    """How an image is made of a raw disk, and declared to Glance."""

    make: Callable[[Path, Path], None]
    disk_format: str = "vmdk"
    container: str = "bare"
    properties: dict[str, str] = field(default_factory=dict)
    read_as: str | None = None
    """qemu-img's name of the format; None is `disk_format`."""


def converted(form: str, *options: str) -> Callable[[Path, Path], None]:
    def make(raw: Path, image: Path) -> None:
        qemu_img("convert", "-f", "raw", "-O", form, *options, raw, image)

    return make


def rewritten(form: str, *options: str) -> Callable[[Path, Path], None]:
    """Write the disk's second half first, so that the file has another order than the disk."""

    def make(raw: Path, image: Path) -> None:
        size = raw.stat().st_size
        qemu_img("create", "-f", form, *options, image, str(size))
        half = size // 2 // MIB * MIB
        data = raw.read_bytes()
        pieces = [(half, size), (0, half)]
        for start, end in pieces:
            part = image.with_name("part")
            part.write_bytes(data[start:end])
            with_io(image, [f"write -s {part} {start} {end - start}"], form=form)
            part.unlink()

    return make


def packed(tool: str, make: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def pack(raw: Path, image: Path) -> None:
        make(raw, image)
        done = subprocess.run([tool, "-c", image], check=True, capture_output=True, timeout=60)
        image.with_name("packed").write_bytes(done.stdout)

    return pack


def copied(raw: Path, image: Path) -> None:
    image.write_bytes(raw.read_bytes())


SPARSE = converted("vmdk", "-o", "subformat=monolithicSparse")
STREAM = converted("vmdk", "-o", "subformat=streamOptimized")
FORMS = {
    "raw": Form(copied, "raw"),
    "raw, with its disk type": Form(copied, "raw", properties={"vmware_disktype": "preallocated"}),
    "raw, thin": Form(copied, "raw", properties={"vmware_disktype": "thin"}),
    "raw, eagerZeroedThick": Form(copied, "raw", properties={"vmware_disktype": "eagerZeroedThick"}),
    "sparse": Form(SPARSE),
    "sparse, with its disk type": Form(SPARSE, properties={"vmware_disktype": "sparse"}),
    "sparse, zeroed grains": Form(converted("vmdk", "-o", "zeroed_grain=on")),
    "sparse, of an older adapter": Form(converted("vmdk", "-o", "adapter_type=legacyESX")),
    "sparse, rewritten": Form(rewritten("vmdk")),
    "stream": Form(STREAM),
    "stream, with its disk type": Form(STREAM, properties={"vmware_disktype": "streamOptimized"}),
    "qcow2": Form(converted("qcow2"), "qcow2"),
    "qcow2, version 2": Form(converted("qcow2", "-o", "compat=0.10"), "qcow2"),
    "qcow2, deflated": Form(converted("qcow2", "-c"), "qcow2"),
    "qcow2, zstd": Form(converted("qcow2", "-c", "-o", "compression_type=zstd"), "qcow2"),
    "qcow2, metadata preallocated": Form(converted("qcow2", "-o", "preallocation=metadata"), "qcow2"),
    "qcow2, rewritten": Form(rewritten("qcow2"), "qcow2"),
    "qcow2 in gzip": Form(packed("gzip", converted("qcow2")), "qcow2", "compressed"),
    "stream in xz": Form(packed("xz", STREAM), "vmdk", "compressed"),
    "sparse in zstd": Form(packed("zstd", SPARSE), "vmdk", "compressed"),
}  # fmt: skip


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk with holes, larger than the windows of all readers."""
    path = tmp_path_factory.mktemp("disk") / "disk.img"
    noise = random.Random(15).randbytes(MIB)
    with path.open("wb") as file:
        for at in (0, 3, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23):
            file.seek(at * MIB + 4096)
            file.write(at.to_bytes(8, "little") + noise[8:])
        file.truncate(26 * MIB + 512)
    return path


@asynccontextmanager
async def driver_of(host: Host, glance: Glance) -> AsyncIterator[ESXDriver]:
    async with (
        HttpClient() as http,
        vimlib.connect(
            host.url, host.username, host.password, tls=vimlib.TLS(pin=host.thumbprint)
        ) as client,
        ESXDriver(client, GlanceStore(http, glance.url), DriverConfig(owner="tests")) as driver,
    ):
        yield driver


@pytest.fixture
def upload(glance: Glance) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def put(path: Path, disk_format: str, **fields: Any) -> str:
        made.append(glance.upload(path, disk_format, **fields)["id"])
        return made[-1]

    yield put
    for identity in made:
        glance.delete(identity)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_a_format_becomes_the_disk_of_a_running_machine(
    form: Form, host: Host, glance: Glance, upload: Callable[..., str], disk: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    form.make(disk, image)
    sent = tmp_path / "packed" if form.container == "compressed" else image
    identity = upload(sent, form.disk_format, container_format=form.container, **form.properties)
    async with driver_of(host, glance) as driver:
        made = await driver.spawn(
            InstanceSpec(name="web", image=identity, datastore=host.datastore, memory_mb=64)
        )
        assert made.power_state == "poweredOn"
        stored = host.folder / "web/web-flat.vmdk"
        qemu_img("compare", "-f", "raw", "-F", form.disk_format, stored, image)
        await driver.destroy("web")


@pytest.mark.parametrize("transfer", ["nfc", "put"])
@pytest.mark.parametrize("name", ["raw", "sparse", "stream", "qcow2, rewritten"])
async def test_both_ways_end_with_that_disk(
    name: str,
    transfer: Any,
    host: Host,
    glance: Glance,
    upload: Callable[..., str],
    disk: Path,
    tmp_path: Path,
) -> None:
    form, image = FORMS[name], tmp_path / "image"
    form.make(disk, image)
    identity = upload(image, form.disk_format)
    async with driver_of(host, glance) as driver:
        await driver.spawn(
            InstanceSpec(
                name="web",
                image=identity,
                datastore=host.datastore,
                memory_mb=64,
                transfer=transfer,
                clone="none",
            )
        )
    stored = host.folder / "web/web-flat.vmdk"
    qemu_img("compare", "-f", "raw", "-F", form.disk_format, stored, image)


async def test_an_iso_image_is_put_into_the_drive(
    host: Host, glance: Glance, upload: Callable[..., str], tmp_path: Path
) -> None:
    image = tmp_path / "image.iso"
    image.write_bytes(bytes(16 * 2048) + b"\1CD001\1".ljust(2048, b"\0") + b"\2" * 20480)
    identity = upload(image, "iso")
    async with driver_of(host, glance) as driver:
        await driver.spawn(
            InstanceSpec(name="web", image=identity, datastore=host.datastore, memory_mb=64)
        )
        devices = [
            device
            async for row in driver.client.collect(vim25.VirtualMachine, "config.hardware.device")
            for device in row["config.hardware.device"]
        ]
    (drive,) = [one for one in devices if isinstance(one, vim25.VirtualCdrom)]
    assert isinstance(drive.backing, vim25.VirtualCdromIsoBackingInfo)
    stored = drive.backing.fileName.partition("] ")[2]
    assert (host.folder / stored).read_bytes() == image.read_bytes()


@pytest.mark.parametrize("wrong", ["preallocated", "streamOptimized", "nonsense"])
async def test_a_disk_type_that_contradicts_the_bytes_is_refused_before_anything_is_made(
    wrong: str, host: Host, glance: Glance, upload: Callable[..., str], disk: Path, tmp_path: Path
) -> None:
    from vimdriver.errors import ImageUnacceptableError

    image = tmp_path / "image"
    SPARSE(disk, image)
    identity = upload(image, "vmdk", vmware_disktype=wrong)
    async with driver_of(host, glance) as driver:
        with pytest.raises(
            ImageUnacceptableError, match=r"format\.disk_type.*vmware_disktype=sparse"
        ):
            await driver.spawn(
                InstanceSpec(name="web", image=identity, datastore=host.datastore, memory_mb=64)
            )
        assert await driver.list_instances() == []
    assert not [path for path in host.folder.rglob("*") if path.is_file()]


def test_glance_itself_refuses_flat_bytes_as_vmdk(glance: Glance, disk: Path) -> None:
    with pytest.raises(PeerError, match="415"):
        glance.upload(disk, "vmdk", vmware_disktype="preallocated")
