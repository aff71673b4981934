"""The inspector and the image generators, compared with qemu-img."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import needed_tools
from tests.integration.peers import tools
from vimdriver._images.inspect import DiskFacts, Inspector
from vimdriver._images.make import GRAIN, Kind, Pattern, make
from vimdriver.errors import ImageUnacceptableError


def qemu_img(*args: object) -> str:
    with needed_tools():
        program = tools.find("qemu-img")
    done = subprocess.run(
        [program, *map(str, args)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def inspect(path: Path, claim: str | None = None) -> DiskFacts:
    inspector = Inspector(size=path.stat().st_size, claim=claim)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            inspector.feed(chunk)
    return inspector.finish()


@pytest.fixture(
    scope="module",
    params=[1 << 20, (40 << 20) + 1536, 33 << 20, 96 << 20],
    ids=lambda size: f"{size} bytes",
)
def disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk: noise, text and holes, not always a whole number of grains."""
    size: int = request.param
    path = tmp_path_factory.mktemp("disk") / "my disk (2).img"
    noise = random.Random(size).randbytes(700_000)
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size - len(noise), 5 << 20):
            file.seek(at)
            file.write(noise)
            file.write(b"all work and no play " * 9000)
        file.truncate(size)
    return path


OPTIONS = [
    "subformat=monolithicSparse",
    "subformat=monolithicSparse,zeroed_grain=on",
    "subformat=monolithicSparse,adapter_type=lsilogic,hwversion=7",
    "subformat=monolithicSparse,adapter_type=legacyESX,compat6",
    "subformat=streamOptimized",
    "subformat=streamOptimized,adapter_type=buslogic",
    "subformat=streamOptimized,adapter_type=lsilogic,hwversion=13",
]


@pytest.mark.parametrize("options", OPTIONS)
def test_images_of_qemu_img_pass(disk: Path, tmp_path: Path, options: str) -> None:
    image = tmp_path / f"{disk.stem}.vmdk"
    qemu_img("convert", "-O", "vmdk", "-o", options, disk, image)
    for claim in ("vmdk", None):
        facts = inspect(image, claim)
        assert facts.create_type == options.partition(",")[0].partition("=")[2]
        assert facts.capacity_bytes == disk.stat().st_size
        assert facts.grain_bytes == GRAIN


@pytest.mark.parametrize("options", OPTIONS)
def test_an_empty_disk_passes(tmp_path: Path, options: str) -> None:
    image = tmp_path / "empty.vmdk"
    qemu_img("create", "-f", "vmdk", "-o", options, image, "3G")
    assert inspect(image, "vmdk").capacity_bytes == 3 << 30


def test_a_raw_disk_passes(disk: Path) -> None:
    for claim in ("raw", "vmdk", None):
        assert inspect(disk, claim) == DiskFacts(kind="raw", capacity_bytes=disk.stat().st_size)


@pytest.mark.parametrize(
    ("form", "options", "rule"),
    [
        ("qcow2", "compat=1.1", "format.foreign_magic"),
        ("qcow", "encryption=off", "format.foreign_magic"),
        ("vhdx", "subformat=dynamic", "format.foreign_magic"),
        ("vpc", "subformat=dynamic", "format.foreign_magic"),
        ("vdi", "static=off", "format.foreign_magic"),
        ("qed", "cluster_size=65536", "format.foreign_magic"),
        ("vmdk", "subformat=monolithicSparse", "format.foreign_magic"),
        ("vmdk", "subformat=streamOptimized", "format.foreign_magic"),
        ("vmdk", "subformat=monolithicFlat", "format.descriptor"),
        ("vmdk", "subformat=twoGbMaxExtentSparse", "format.descriptor"),
    ],
)
def test_another_format_is_not_a_raw_disk(
    tmp_path: Path, form: str, options: str, rule: str
) -> None:
    image = tmp_path / "image"
    qemu_img("create", "-f", form, "-o", options, image, "64M")
    with pytest.raises(ImageUnacceptableError) as caught:
        inspect(image, "raw")
    assert caught.value.rule == rule


@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized"])
@pytest.mark.parametrize("capacity", [512, GRAIN * 3 + 512, (33 << 20) + 512, 70 << 20])
@pytest.mark.parametrize("hole_every", [0, 1, 7])
def test_qemu_img_reads_our_images(
    tmp_path: Path, kind: Kind, capacity: int, hole_every: int
) -> None:
    pattern = Pattern(9, capacity, hole_every=hole_every)
    for name, made in (("disk.vmdk", kind), ("disk.img", "raw")):
        with (tmp_path / name).open("wb") as file:
            file.writelines(make(made, pattern))
    vmdk, raw = tmp_path / "disk.vmdk", tmp_path / "disk.img"
    qemu_img("check", "-f", "vmdk", vmdk)
    assert "identical" in qemu_img("compare", "-f", "vmdk", "-F", "raw", vmdk, raw)
