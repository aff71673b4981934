"""Packages and exports against tools that we did not write: tar, qemu-img, libvmdk, dissect, and a real Glance."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.peers.disk_readers import by_dissect, by_libvmdk, qemu_img
from tests.integration.peers.glance import Glance
from tests.unit.driver.hosted import CONFIG, Beside, Hosted, hosted
from tests.unit.driver.images import foreign
from tests.unit.driver.images.packages import disk_ref, file_ref, manifest, ova, ovf
from vimdriver import Glance as GlanceStore
from vimdriver import HttpClient, InstanceSpec, LocalImages, push_images

DISK = foreign.disk(5 << 20)


@pytest.fixture
def simulated(beside: Beside, tmp_path: Path) -> Iterator[Hosted]:
    with hosted(beside, tmp_path / "datastore1") as found:
        yield found


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(DISK)
    return path


async def spawned(simulated: Hosted, image: Path) -> None:
    async with simulated.driver(LocalImages()) as driver:
        spec = InstanceSpec(name="web", datastore="datastore1", image=str(image), power_on=False)
        await driver.spawn(spec)


@pytest.mark.parametrize("form", ["qcow2", "raw", "vmdk"])
async def test_others_read_the_files_of_an_export(
    form: str, simulated: Hosted, disk: Path, tmp_path: Path
) -> None:
    await spawned(simulated, disk)
    file = tmp_path / f"out.{form}"
    async with simulated.driver() as driver:
        await driver.export("web", file)
        back = await driver.import_instance(file, datastore="datastore1", name="again")
    assert back.name == "again"
    qemu_img("compare", "-f", "raw", "-F", form, disk, file)
    if form == "qcow2":
        qemu_img("check", "-f", form, file)
    if form == "vmdk":
        assert by_libvmdk(file) == DISK
        assert by_dissect(file) == DISK
    extent = simulated.folder / "again/again-flat.vmdk"
    qemu_img("compare", "-f", "raw", "-F", "raw", disk, extent)


async def test_others_read_the_disk_of_an_exported_ova(
    simulated: Hosted, disk: Path, tmp_path: Path
) -> None:
    await spawned(simulated, disk)
    async with simulated.driver() as driver:
        await driver.export("web", tmp_path / "out.ova")
    subprocess.run(["tar", "-xf", "out.ova"], cwd=tmp_path, check=True)
    said = subprocess.run(
        [
            "sh",
            "-c",
            "sed 's/^SHA256(\\(.*\\))= \\(.*\\)/\\2  \\1/' out.mf | sha256sum -c --strict",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.count(": OK") == 2
    qemu_img("compare", "-f", "raw", "-F", "vmdk", disk, tmp_path / "out-disk1.vmdk")


SPARSE = ["gnu --sparse", "pax --sparse", "posix --sparse --sparse-version=0.1"]


@pytest.mark.parametrize(
    ("form", "options"),
    [
        *(("vmdk", options) for options in ("gnu", "pax", "ustar", "v7", "oldgnu")),
        ("qcow2", "gnu"),
        *(("raw", options) for options in SPARSE),
    ],
)
async def test_archives_of_tar_are_read(
    form: str, options: str, simulated: Hosted, disk: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    name = f"disk.{form}"
    more = ("-o", "subformat=streamOptimized") if form == "vmdk" else ()
    qemu_img("convert", "-f", "raw", "-O", form, *more, disk, folder / name)
    text = ovf(file_ref(name), disk_ref(capacity=len(DISK)))
    (folder / "web.ovf").write_bytes(text)
    data = (folder / name).read_bytes()
    (folder / "web.mf").write_bytes(manifest({"web.ovf": text, name: data}))
    command = f"tar --format={options} -cf ../web.ova web.ovf web.mf {name}"
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)
    async with simulated.client() as client:
        (result,) = await push_images(
            client,
            LocalImages(),
            [str(tmp_path / "web.ova")],
            datastore="datastore1",
            config=CONFIG,
        )
    assert (result.error, result.manifest) == (None, True)
    assert (simulated.folder / "images/web-flat.vmdk").read_bytes() == DISK


@pytest.mark.parametrize("pack", [None, "gzip", "xz", "zstd"])
@pytest.mark.parametrize("order", ["omd", "dmo"])
async def test_an_ova_of_a_real_glance_becomes_a_machine(
    order: str, pack: str | None, glance: Glance, simulated: Hosted, tmp_path: Path
) -> None:
    path = tmp_path / "appliance.ova"
    path.write_bytes(ova(order=order))
    if pack is not None:
        done = subprocess.run([pack, "-c", path], check=True, capture_output=True)
        path.write_bytes(done.stdout)
    container = "ova" if pack is None else "compressed"
    record = glance.upload(path, "vmdk", container_format=container)
    try:
        async with HttpClient() as http:
            images = GlanceStore(http, glance.url)
            async with simulated.driver(images) as driver:
                made = await driver.spawn(
                    InstanceSpec(
                        name="web", datastore="datastore1", image=record["id"], power_on=False
                    )
                )
                (result,) = await push_images(
                    driver.client, images, [record["id"]], datastore="datastore1", config=CONFIG
                )
    finally:
        glance.delete(record["id"])
    assert (made.cpus, made.memory_mb) == (2, 1024)
    assert (result.error, result.verified, result.manifest) == (None, True, True)
