"""Disk formats, compared with qemu-img, libvmdk and dissect.hypervisor in both directions."""

from __future__ import annotations

import random
import shlex
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers.disk_readers import (
    by_dissect,
    by_libvmdk,
    by_qemu_img,
    qemu_img,
    with_io,
)
from tests.unit.driver.images import foreign, qcow2_corpus
from tests.unit.driver.images.corpus import Case, Good
from tests.unit.driver.images.formats.reading import read_disk
from vimdriver._images.formats import (
    GRAIN,
    PREFIX,
    FlatReader,
    StreamOptimizedWriter,
    open_image,
)
from vimdriver._images.make import Kind, Pattern, make
from vimdriver.errors import ImageOrderError, ImageUnacceptableError

# Around the ends of a sector, a grain, a table and the next piece of a directory.
CAPACITIES = [512, GRAIN, GRAIN + 512, (1 << 20) - 512, 32 << 20, (32 << 20) + 1536, 70 << 20]
READERS: list[Callable[[Path], bytes]] = [by_qemu_img, by_libvmdk, by_dissect]


@pytest.fixture(scope="module", params=CAPACITIES, ids=lambda size: f"{size} bytes")
def disk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk: noise, text and holes, not always a whole number of grains."""
    size: int = request.param
    path = tmp_path_factory.mktemp("disk") / "my disk (2).img"
    noise = random.Random(size).randbytes(700_000)
    with path.open("wb") as file:
        for at in range(0, size, 5 << 20):
            file.seek(at)
            file.write(noise)
            file.write(b"all work and no play " * 9000)
        file.truncate(size)
    return path


OPTIONS = [
    "subformat=monolithicSparse",
    "subformat=monolithicSparse,zeroed_grain=on",
    "subformat=monolithicSparse,adapter_type=legacyESX,compat6",
    "subformat=streamOptimized",
    "subformat=streamOptimized,adapter_type=lsilogic,hwversion=13",
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("ranges", [False, True])
def test_images_of_qemu_img_are_read(
    disk: Path, tmp_path: Path, options: str, ranges: bool
) -> None:
    path = tmp_path / f"{disk.stem}.vmdk"
    qemu_img("convert", "-O", "vmdk", "-o", options, disk, path)
    image = path.read_bytes()
    opened = open_image(image[:PREFIX], size=len(image), claimed="vmdk", name=path.name)
    assert opened.kind == options.partition(",")[0].partition("=")[2]
    assert opened.refusal is None
    assert opened.importable == (opened.kind == "streamOptimized")
    assert read_disk(image, ranges=ranges, step=1_000_003) == disk.read_bytes()


@pytest.mark.parametrize("options", OPTIONS)
def test_an_empty_disk_is_read(tmp_path: Path, options: str) -> None:
    path = tmp_path / "empty.vmdk"
    qemu_img("create", "-f", "vmdk", "-o", options, path, "3G")
    image = path.read_bytes()
    opened = open_image(image[:PREFIX], size=len(image))
    assert opened.capacity == 3 << 30
    for ranges in (False, True):
        reader = opened.reader(ranges=ranges)
        extents = [] if ranges else list(reader.feed(image))
        while (wanted := reader.wanted) is not None:
            extents += reader.feed(image[wanted.start : wanted.stop])
        assert [*extents, *reader.finish()] == []


def test_an_image_that_a_machine_wrote_to_is_read(tmp_path: Path) -> None:
    # Its grains are in the order in which they were written.
    path = tmp_path / "used.vmdk"
    qemu_img("create", "-f", "vmdk", "-o", "subformat=monolithicSparse", path, "64M")
    places = random.Random(4).sample(range(1024), 80)
    writes = [f"write -P {place % 255 + 1} {place * 64}k 64k" for place in places]
    with_io(path, writes)
    image = path.read_bytes()
    expected = by_qemu_img(path)
    assert read_disk(image) == read_disk(image, ranges=True) == expected


def written(disk: bytes, **options: Any) -> bytes:
    reader, writer = FlatReader(len(disk)), StreamOptimizedWriter(len(disk), **options)
    pieces = [writer.start()]
    for extent in reader.feed(disk):
        pieces += map(bytes, writer.write(extent))
    return b"".join([*pieces, *map(bytes, writer.finish())])


@pytest.mark.parametrize("read", READERS)
def test_others_read_streams_that_we_write(
    disk: Path, tmp_path: Path, read: Callable[[Path], bytes]
) -> None:
    data = disk.read_bytes()
    for grain in (GRAIN, 8192) if len(data) < 1 << 25 else (GRAIN,):
        path = tmp_path / f"{grain}.vmdk"
        path.write_bytes(written(data, level=1, grain_bytes=grain))
        assert_same(read(path), data)


def assert_same(seen: bytes, data: bytes) -> None:
    # dissect.hypervisor leaves out a last part.
    assert len(data) - len(seen) < 8192
    assert seen == data[: len(seen)]


def test_qemu_img_finds_no_fault_in_streams_that_we_write(disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_bytes(written(disk.read_bytes()))
    qemu_img("check", "-f", "vmdk", path)
    assert "identical" in qemu_img("compare", "-f", "vmdk", "-F", "raw", path, disk)


def test_streams_that_we_write_are_as_small_as_those_of_qemu_img(
    disk: Path, tmp_path: Path
) -> None:
    path = tmp_path / "qemu.vmdk"
    qemu_img("convert", "-O", "vmdk", "-o", "subformat=streamOptimized", disk, path)
    assert len(written(disk.read_bytes())) <= 1.05 * path.stat().st_size + GRAIN


FILES: dict[str, Callable[[bytes], bytes]] = {
    "sparse": foreign.sparse,
    "sparse, small grains": partial(foreign.sparse, grain=16),
    "sparse, version 2": partial(foreign.sparse, version=2),
    "sparse, zeroed": partial(foreign.sparse, zeroed=True),
    "sparse, tables last": partial(foreign.sparse, tables_last=True),
    "stream": foreign.stream,
    "stream, small grains": partial(foreign.stream, grain=16),
    "stream, zeroed": partial(foreign.stream, zeroed=True),
    "stream, tables last": partial(foreign.stream, tables_last=True),
    "stream, in front": partial(foreign.stream, front=True),
    "stream, in front, with an end": partial(foreign.stream, front=True, end=bytes(512)),
    "stream, unsorted": partial(foreign.stream, shuffle=lambda grains: grains[::-1], front=True),
    "stream, progress": partial(foreign.stream, progress=True, tables_last=True),
}


@pytest.mark.parametrize("build", FILES.values(), ids=FILES)
def test_others_read_the_same_in_the_files_of_the_unit_tests(
    build: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    data = foreign.disk((2 << 20) + 1536)
    path = tmp_path / "disk.vmdk"
    path.write_bytes(build(data))
    assert by_qemu_img(path) == data
    assert_same(by_dissect(path), data)
    assert read_disk(path.read_bytes(), ranges=True) == data


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


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("qcow", "encryption=off"),
        ("vhdx", "subformat=dynamic"),
        ("vhdx", "subformat=fixed"),
        ("vpc", "subformat=dynamic"),
        ("vpc", "subformat=fixed"),
        ("vdi", "static=off"),
        ("qed", "cluster_size=65536"),
        ("parallels", "cluster_size=1048576"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vmdk", "subformat=twoGbMaxExtentSparse"),
        ("vmdk", "subformat=twoGbMaxExtentFlat"),
    ],
)
@pytest.mark.parametrize("claimed", ["raw", "vmdk", None])
def test_the_hint_for_another_format_makes_an_image_that_is_read(
    tmp_path: Path, form: str, options: str, claimed: str | None
) -> None:
    image = tmp_path / "IN"
    qemu_img("create", "-f", form, "-o", options, image, "8M")
    data = image.read_bytes()
    with pytest.raises(ImageUnacceptableError) as caught:
        read_disk(data, claimed=claimed, strict=True)
    assert caught.value.rule == "format.unsupported"
    convert(caught.value.hint or "", image)
    made = (tmp_path / "OUT.vmdk").read_bytes()
    opened = open_image(made[:PREFIX], size=len(made), claimed="vmdk")
    assert opened.importable
    assert opened.capacity is not None
    assert opened.capacity >= 8 << 20
    assert not any(read_disk(made))


def convert(hint: str, image: Path) -> None:
    """Run the command of a hint in the image's folder."""
    command = hint.partition("with: ")[2].replace("IN.vmdk", image.name)
    assert command.startswith("qemu-img convert "), hint
    subprocess.run(shlex.split(command), cwd=image.parent, check=True, capture_output=True)


def test_a_child_is_converted_with_its_parent(tmp_path: Path) -> None:
    parent, child = tmp_path / "parent.vmdk", tmp_path / "child.vmdk"
    qemu_img("create", "-f", "vmdk", parent, "8M")
    with_io(parent, ["write -P 7 1M 64k"])
    qemu_img("create", "-f", "vmdk", "-b", parent, "-F", "vmdk", child)
    with pytest.raises(ImageUnacceptableError) as caught:
        read_disk(child.read_bytes())
    assert caught.value.rule == "descriptor.parent"
    convert(caught.value.hint or "", child)
    made = (tmp_path / "OUT.vmdk").read_bytes()
    assert read_disk(made)[1 << 20 : (1 << 20) + 65536] == b"\7" * 65536


QCOW2 = [
    [],
    ["-o", "compat=0.10"],
    ["-c"],
    ["-c", "-o", "compression_type=zstd"],
    ["-c", "-o", "cluster_size=4096"],
    ["-c", "-o", "cluster_size=2M"],
    ["-o", "cluster_size=512"],
    ["-o", "cluster_size=2M,lazy_refcounts=on"],
    ["-o", "preallocation=metadata"],
    ["-o", "preallocation=full"],
]


@pytest.mark.parametrize("options", QCOW2, ids=" ".join)
@pytest.mark.parametrize("ranges", [False, True])
def test_qcow2_images_of_qemu_img_are_read(
    disk: Path, tmp_path: Path, options: list[str], ranges: bool
) -> None:
    path = tmp_path / "disk.qcow2"
    qemu_img("convert", "-O", "qcow2", *options, disk, path)
    image = path.read_bytes()
    opened = open_image(image[:PREFIX], size=len(image), claimed="qcow2", name=path.name)
    assert opened.capacity == disk.stat().st_size
    assert read_disk(image, ranges=ranges, step=1_000_003) == disk.read_bytes()


def test_a_qcow2_that_a_machine_wrote_to_is_read_by_range(tmp_path: Path) -> None:
    path = tmp_path / "used.qcow2"
    qemu_img("create", "-f", "qcow2", path, "64M")
    places = random.Random(4).sample(range(1024), 300)
    writes = [f"write -P {place % 255 + 1} {place * 64}k 64k" for place in places]
    with_io(path, [*writes[:150], "discard 1M 1M", "write -z 8M 2M"], form="qcow2")
    qemu_img("snapshot", "-c", "before", path)
    with_io(path, writes[150:], form="qcow2")
    qemu_img("resize", path, "200M")
    image = path.read_bytes()
    with pytest.raises(ImageOrderError) as caught:
        read_disk(image[: 64 << 20])
    seen = read_disk(image, ranges=True)
    assert seen == by_qemu_img(path)
    subprocess.run(
        shlex.split((caught.value.hint or "").partition("with: ")[2].replace("IN", path.name)),
        cwd=tmp_path,
        check=True,
    )
    assert read_disk((tmp_path / "OUT.qcow2").read_bytes()) == seen


READ_BY_QEMU = [
    *(good for good in qcow2_corpus.GOOD if good not in qcow2_corpus.UNREAD_BY_QEMU),
    *(case for case in qcow2_corpus.CASES if case.converted == "qcow2.order"),
]


@pytest.mark.parametrize("image", READ_BY_QEMU, ids=lambda image: image.name)
def test_qemu_img_sees_the_same_disk_in_the_qcow2_files_of_the_unit_tests(
    image: Good | Case, tmp_path: Path
) -> None:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(image.build())
    assert read_disk(path.read_bytes(), ranges=True) == by_qemu_img(path)


@pytest.mark.parametrize("image", qcow2_corpus.UNREAD_BY_QEMU, ids=lambda image: image.name)
def test_qemu_img_needs_more_than_the_disk_of_a_qcow2(image: Good, tmp_path: Path) -> None:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(image.build())
    assert read_disk(path.read_bytes(), ranges=True) == image.disk
    with pytest.raises(AssertionError, match="Could not open"):
        by_qemu_img(path)


@pytest.mark.parametrize("options", ["extended_l2=on", "data_file=OTHER", "backing"])
def test_the_hint_for_a_qcow2_that_is_refused_makes_one_that_is_read(
    tmp_path: Path, options: str
) -> None:
    image = tmp_path / "IN"
    if options == "backing":
        qemu_img("create", "-f", "qcow2", tmp_path / "base", "8M")
        qemu_img("create", "-f", "qcow2", "-b", tmp_path / "base", "-F", "qcow2", image)
    else:
        options = options.replace("OTHER", str(tmp_path / "other"))
        qemu_img("create", "-f", "qcow2", "-o", options, image, "8M")
    with_io(image, ["write -P 7 1M 64k"], form="qcow2")
    with pytest.raises(ImageUnacceptableError, match=r"qcow2\.") as caught:
        read_disk(image.read_bytes())
    convert(caught.value.hint or "", image)
    made = read_disk((tmp_path / "OUT.qcow2").read_bytes())
    assert made[1 << 20 : (1 << 20) + 65536] == b"\7" * 65536


def test_a_luks_disk_is_decrypted_by_its_hint(tmp_path: Path) -> None:
    image, secret = tmp_path / "IN", tmp_path / "PASSPHRASE"
    secret.write_text("secret")
    key = f"secret,id=key,file={secret}"
    options = "key-secret=key,iter-time=10,hash-alg=sha512"
    for last in (False, False, False, True):
        try:
            qemu_img("create", "-f", "luks", "--object", key, "-o", options, image, "8M")
        except AssertionError as error:
            # Its measurement of rounds of the hash may end within one tick of the CPU's clock.
            if last or "accurate CPU usage" not in str(error):
                raise
        else:
            break
    with pytest.raises(ImageUnacceptableError) as caught:
        read_disk(image.read_bytes(), claimed="raw")
    convert(caught.value.hint or "", image)
    made = (tmp_path / "OUT.vmdk").read_bytes()
    assert open_image(made[:PREFIX], size=len(made)).importable


ARCHIVES = {
    "bzip2": "bzip2 -c disk.img > IN",
}


@pytest.mark.parametrize(
    "pack", ["gzip -c", "gzip -9c", "xz -c", "xz -T2 -c", "zstd -qc", "zstd -q19c"]
)
@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk"])
def test_compressed_images_are_read(tmp_path: Path, pack: str, form: str) -> None:
    data = foreign.disk((2 << 20) + 512)
    (tmp_path / "disk.img").write_bytes(data)
    qemu_img("convert", "-f", "raw", "-O", form, tmp_path / "disk.img", tmp_path / "disk")
    done = subprocess.run(
        ["sh", "-c", f"{pack} disk"], cwd=tmp_path, check=True, capture_output=True
    )
    assert read_disk(done.stdout, step=4099) == data
    twice = subprocess.run(
        ["sh", "-c", f"head -c 70000 disk | {pack}; tail -c +70001 disk | {pack}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert read_disk(twice.stdout) == data


@pytest.mark.parametrize("pack", ARCHIVES.values(), ids=ARCHIVES)
def test_the_hint_for_an_archive_unpacks_it(tmp_path: Path, pack: str) -> None:
    data = foreign.disk(1 << 20)
    (tmp_path / "disk.img").write_bytes(data)
    subprocess.run(["sh", "-c", pack], cwd=tmp_path, check=True)
    with pytest.raises(ImageUnacceptableError, match=r"format\.archive") as caught:
        read_disk((tmp_path / "IN").read_bytes())
    command = (caught.value.hint or "").partition("with: ")[2]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert read_disk((tmp_path / "OUT").read_bytes()) == data
