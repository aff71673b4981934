"""An image becomes a disk, by an import or by a PUT, once, however many ask for it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import lzma
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.driver.hosted import Beside, Hosted, glance, host_of, hosted, store
from tests.unit.driver.images import foreign
from vimdriver._disks.ensure import DiskWish, ensure_disk
from vimdriver._disks.ensured import EnsuredDisk
from vimdriver._disks.manager import disk_manager
from vimdriver._images.embedded import EmbeddedImage
from vimdriver._images.local import LocalImages
from vimdriver.errors import (
    FileConflictError,
    ImageHashError,
    ImageOrderError,
    ImageUnacceptableError,
)
from vimlib import vim25
from vimlib._datastore import DatastorePath
from vimlib._progress import Progress
from vimlib.errors import OutcomeUnknownError, UsageError, VimlibError

TARGET = DatastorePath("datastore1", "images/fedora.vmdk")
WAYS = ["nfc", "put"]


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """A raw image of data, holes and data, and of no whole number of KiB."""
    path = tmp_path / "disk.img"
    data = os.urandom(200_000)
    path.write_bytes(data + bytes(1 << 20) + data[:100_001])
    return path


async def ensured(
    host: Hosted, image: Path, on_progress: Progress | None = None, **wish: object
) -> EnsuredDisk:
    async with host.client() as client:
        return await ensure_disk(
            host_of(client),
            LocalImages().image(str(image)),
            DiskWish(**{"target": TARGET, **wish}),  # type: ignore[arg-type]
            on_progress=on_progress,
        )


def stored(host: Hosted, name: str = "images/fedora") -> bytes:
    return (host.folder / f"{name}-flat.vmdk").read_bytes()


def padded(image: Path) -> bytes:
    data = image.read_bytes()
    return data.ljust(-(-len(data) // 1024) * 1024, b"\0")


@pytest.mark.parametrize("way", WAYS)
async def test_an_image_becomes_a_disk_with_a_record(host: Hosted, holed: Path, way: str) -> None:
    progress: list[int] = []
    disk = await ensured(host, holed, progress.append, transfer=way)
    size, digest = holed.stat().st_size, hashlib.sha512(holed.read_bytes()).hexdigest()
    assert stored(host) == padded(holed)
    assert (disk.path, disk.bytes, disk.hash, disk.hash_algo) == (TARGET, size, digest, "sha512")
    assert (disk.already_there, disk.verified, disk.stored_hash) == (False, False, None)
    assert sum(progress) == size
    (record,) = (host.folder / "images").glob("fedora.*.json")
    assert json.loads(record.read_bytes()) == {
        "algorithm": "sha512",
        "hash": digest,
        "bytes": size,
        "capacity": len(stored(host)),
        "vimlib_disk": 1,
    }
    # Nothing else is left: no machine, no temporary file.
    state = host.state()
    assert not state.machines
    assert state.files == {
        "images/fedora.vmdk",
        "images/fedora-flat.vmdk",
        f"images/{record.name}",
    }


@pytest.mark.parametrize("way", WAYS)
async def test_the_same_bytes_are_already_there(host: Hosted, holed: Path, way: str) -> None:
    first = await ensured(host, holed, transfer=way)
    before = host.state()
    again = await ensured(host, holed, transfer=way)
    assert again.already_there
    assert (again.hash, again.bytes, again.capacity) == (first.hash, first.bytes, first.capacity)
    assert host.state() == before


@pytest.mark.parametrize("way", WAYS)
async def test_other_bytes_are_refused_unless_overwritten(
    host: Hosted, holed: Path, way: str
) -> None:
    await ensured(host, holed, transfer=way)
    before = host.state()
    other = holed.with_name("other.img")
    other.write_bytes(os.urandom(300_000))
    with pytest.raises(FileConflictError):
        await ensured(host, other, transfer=way)
    assert host.state() == before
    disk = await ensured(host, other, transfer=way, overwrite=True)
    assert not disk.already_there
    assert stored(host) == padded(other)
    assert len(host.state().files) == len(before.files)
    assert (await ensured(host, other)).already_there


@pytest.mark.parametrize("way", WAYS)
async def test_a_stored_disk_is_read_back_on_request(host: Hosted, holed: Path, way: str) -> None:
    disk = await ensured(host, holed, transfer=way, read_back=True)
    assert disk.stored_hash == hashlib.sha512(stored(host)).hexdigest()
    assert disk.stored_hash_algo == "sha512"


@pytest.mark.parametrize("thin", [True, False])
async def test_an_imported_disk_is_thin_as_wished(host: Hosted, holed: Path, thin: bool) -> None:
    await ensured(host, holed, transfer="nfc", thin=thin)
    assert stored(host) == padded(holed)
    descriptor = (host.folder / "images/fedora.vmdk").read_text()
    assert ('ddb.thinProvisioned = "1"' in descriptor) is thin


async def test_a_host_that_refuses_imports_gets_the_extent(host: Hosted, tmp_path: Path) -> None:
    image = tmp_path / "image.vmdk"
    image.write_bytes(foreign.sparse(DISK))
    host.esx.faults.add("ImportVApp", "fault", fault=vim25.NotSupported())
    disk = await ensured(host, image)
    assert disk.way is not None
    assert disk.way.transfer == "put"
    assert stored(host) == DISK.ljust(-(-len(DISK) // 1024) * 1024, b"\0")
    assert not host.state().machines


async def test_an_import_that_was_asked_for_is_not_replaced(host: Hosted, holed: Path) -> None:
    host.esx.faults.add("ImportVApp", "fault", fault=vim25.NotSupported())
    with pytest.raises(vim25.NotSupported):
        await ensured(host, holed, transfer="nfc")
    assert not host.state().files


@pytest.mark.parametrize("way", WAYS)
async def test_many_at_once_fetch_it_once(
    beside: Beside, host: Hosted, holed: Path, way: str
) -> None:
    data = holed.read_bytes()
    image = EmbeddedImage(name="many", chunks=lambda: iter([data]), disk_format="raw")
    with glance(beside, image) as service:
        async with host.client() as client, store(service) as images:
            disks = await asyncio.gather(
                *(
                    ensure_disk(
                        host_of(client),
                        images.image("many"),
                        DiskWish(target=TARGET, transfer=way),  # type: ignore[arg-type]
                    )
                    for _ in range(6)
                )
            )
        assert sum(seen.path.endswith("/file") for seen in service.seen) == 1
    assert [disk.already_there for disk in disks] == [False] + [True] * 5
    assert all(disk.verified for disk in disks)


async def test_those_that_wait_for_a_content_get_it_without_a_call(
    host: Hosted, holed: Path
) -> None:
    source = LocalImages().image(str(holed))
    made: list[Counter[str]] = []
    async with host.client() as client:
        there = host_of(client)
        for name, count in (("first", 1), ("one", 1), ("many", 6)):
            wish = DiskWish(target=DatastorePath("datastore1", f"{name}.vmdk"), by_content=True)
            seen = len(host.methods())
            disks = await asyncio.gather(*(ensure_disk(there, source, wish) for _ in range(count)))
            # How often a task is looked at is the host's business.
            calls = host.methods()[seen:]
            made.append(Counter(call for call in calls if not call.startswith("Retrieve")))
    assert made[2] == made[1]
    assert [disk.already_there for disk in disks] == [False] + [True] * 5
    assert len({disk.capacity for disk in disks}) == 1


async def test_one_that_waited_makes_the_disk_if_the_one_before_failed(
    host: Hosted, holed: Path
) -> None:
    source = LocalImages().image(str(holed))
    wish = DiskWish(target=TARGET, transfer="nfc", by_content=True)
    host.esx.faults.add("ImportVApp", "fault", fault=vim25.SystemError(reason="on order"), nth=1)
    async with host.client() as client:
        there = host_of(client)
        first, second, third = await asyncio.gather(
            *(ensure_disk(there, source, wish) for _ in range(3)), return_exceptions=True
        )
    assert isinstance(first, VimlibError)
    assert isinstance(second, EnsuredDisk)
    assert isinstance(third, EnsuredDisk)
    assert (second.already_there, third.already_there) == (False, True)
    assert stored(host) == padded(holed)


@pytest.mark.parametrize("way", WAYS)
async def test_two_processes_end_with_one_disk(host: Hosted, holed: Path, way: str) -> None:
    from vimdriver._disks import ensure

    # Two clients of one process that do not know of each other's turns.
    async def one(image: Path) -> EnsuredDisk:
        async with host.client() as client:
            source = LocalImages().image(str(image))
            wish = DiskWish(target=TARGET, transfer=way)  # type: ignore[arg-type]
            info = await source.info()
            place = await ensure._look(host_of(client), wish, source, info)
            assert not isinstance(place, EnsuredDisk)
            both.release()
            await ready.wait()
            try:
                return await ensure._make(host_of(client), source, info, wish, place, None)
            except FileConflictError:
                found = await ensure._look(host_of(client), wish, source, info)
                assert isinstance(found, EnsuredDisk)
                return found

    both, ready = asyncio.Semaphore(0), asyncio.Event()
    work = [asyncio.create_task(one(holed)) for _ in range(2)]
    for _ in work:
        await both.acquire()
    ready.set()
    disks = await asyncio.gather(*work)
    assert sorted(disk.already_there for disk in disks) == [False, True]
    assert stored(host) == padded(holed)
    assert len(host.state().files) == 3
    assert not host.state().machines


@pytest.mark.parametrize("way", WAYS)
async def test_a_damaged_image_leaves_nothing(
    beside: Beside, host: Hosted, holed: Path, way: str
) -> None:
    from vimdriver._images.embedded import Fault

    data = holed.read_bytes()
    image = EmbeddedImage(
        name="bad", chunks=lambda: iter([data]), disk_format="raw", fault=Fault.FLIPPED
    )
    with glance(beside, image) as service:
        async with host.client() as client, store(service) as images:
            with pytest.raises(ImageHashError):
                await ensure_disk(
                    host_of(client),
                    images.image("bad"),
                    DiskWish(target=TARGET, transfer=way),  # type: ignore[arg-type]
                )
    assert not host.state().files
    assert not host.state().machines


@pytest.mark.parametrize("version", ["4.0", "4.1", "9.0"])
@pytest.mark.parametrize("way", WAYS)
async def test_each_host_takes_both_ways(
    beside: Beside, tmp_path: Path, holed: Path, way: str, version: str
) -> None:
    with hosted(beside, tmp_path / "store", version) as host:
        await ensured(host, holed, transfer=way)
        assert stored(host) == padded(holed)


ODD = foreign.descriptor("monolithicSparse", 2048, name="Bob's VM.vmdk")


@pytest.mark.parametrize("build", [foreign.sparse, foreign.stream], ids=["sparse", "stream"])
async def test_the_host_converts_the_file_of_a_vmdk(
    host: Hosted, tmp_path: Path, build: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "image.vmdk"
    path.write_bytes(build(DISK[: 1 << 20]))
    disk = await ensured(host, path, transfer="sparse")
    assert stored(host) == DISK[: 1 << 20]
    assert disk.way is not None
    assert "as asked" in disk.way.why
    state = host.state()
    assert len(state.files) == 3
    assert not state.machines
    assert (await ensured(host, path)).already_there


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda disk: disk, UsageError),
        (foreign.qcow2, ImageUnacceptableError),
        (lambda disk: foreign.sparse(disk, text=ODD), ImageUnacceptableError),
        (lambda disk: foreign.sparse(disk + b"x"), UsageError),
        (lambda disk: gzip.compress(foreign.stream(disk)), ImageUnacceptableError),
        (lambda disk: foreign.stream(disk, progress=True), ImageUnacceptableError),
    ],
    ids=["raw", "qcow2", "lenient", "odd size", "compressed", "lenient in the end"],
)
async def test_a_file_that_a_host_must_not_read_is_not_left_there(
    host: Hosted, tmp_path: Path, build: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    path = tmp_path / "image"
    path.write_bytes(build(DISK[: 1 << 20]))
    with pytest.raises(error):
        await ensured(host, path, transfer="sparse")
    assert not host.state().files


async def test_a_conversion_counts_only_if_the_host_shows_its_success(
    host: Hosted, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.write_bytes(foreign.stream(DISK[: 1 << 20]))
    async with host.client() as client:
        # A copy of somebody else's that failed: from here on, a failed one may be ours.
        copying = disk_manager(host_of(client)).CopyVirtualDisk_Task(
            "[datastore1] none.vmdk", destName="[datastore1] other.vmdk"
        )
        with pytest.raises(vim25.FileFault):
            await client.wait(await copying)
    host.esx.faults.add("CopyVirtualDisk_Task", "lose")
    with pytest.raises(OutcomeUnknownError):
        await ensured(host, path, transfer="sparse")
    assert not host.state().files


async def test_a_disk_that_the_host_made_is_not_read_back(host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(foreign.stream(DISK[: 1 << 20]))
    with pytest.raises(UsageError, match="read_back"):
        await ensured(host, path, transfer="sparse", read_back=True)
    assert not host.state().files


async def test_an_image_is_judged_before_anything_is_made(host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / "x.img"
    path.write_bytes(b"QFI\xfb" + bytes(100_000))
    calls = len(host.methods())
    with pytest.raises(ImageUnacceptableError):
        await ensured(host, path)
    changes = {"CreateVirtualDisk_Task", "ImportVApp", "MakeDirectory"}
    assert not changes & set(host.methods()[calls:])


DISK = foreign.disk((1 << 20) + 512)
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "sparse": foreign.sparse,
    "stream": foreign.stream,
    "stream, small grains": partial(foreign.stream, grain=16, front=True),
    "qcow2": foreign.qcow2,
    "qcow2, deflated": partial(foreign.qcow2, compress=foreign.raw_deflate),
    "stream in gzip": lambda disk: gzip.compress(foreign.stream(disk)),
    "qcow2 in xz": lambda disk: lzma.compress(foreign.qcow2(disk)),
}


@pytest.mark.parametrize("build", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("way", WAYS)
async def test_images_of_all_formats_become_the_same_disk(
    host: Hosted, tmp_path: Path, build: Callable[[bytes], bytes], way: str
) -> None:
    path = tmp_path / "image"
    path.write_bytes(build(DISK))
    disk = await ensured(host, path, transfer=way)
    assert stored(host) == DISK.ljust(-(-len(DISK) // 1024) * 1024, b"\0")
    assert disk.hash == hashlib.sha512(path.read_bytes()).hexdigest()


async def test_a_compressed_raw_disk_is_refused_before_anything_is_made(
    host: Hosted, tmp_path: Path
) -> None:
    path = tmp_path / "image.gz"
    path.write_bytes(gzip.compress(DISK))
    with pytest.raises(ImageUnacceptableError, match=r"compressed\.capacity.*qemu-img convert"):
        await ensured(host, path)
    assert not host.state().files


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("read_back", [False, True])
async def test_a_disk_in_another_order_than_its_file_is_read_by_range(
    host: Hosted, tmp_path: Path, way: str, read_back: bool
) -> None:
    path = tmp_path / "image"
    path.write_bytes(foreign.sparse(DISK, tables_last=True))
    progress: list[int] = []
    disk = await ensured(host, path, progress.append, transfer=way, read_back=read_back)
    assert stored(host) == DISK.ljust(-(-len(DISK) // 1024) * 1024, b"\0")
    assert disk.hash == hashlib.sha512(path.read_bytes()).hexdigest()
    assert 0 < sum(progress) <= path.stat().st_size
    assert (await ensured(host, path, transfer=way)).already_there


async def test_such_a_disk_of_a_source_without_ranges_is_refused_before_anything_is_made(
    host: Hosted, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.write_bytes(foreign.sparse(DISK, tables_last=True))
    calls = len(host.methods())
    source = LocalImages().image(str(path))
    passing = SimpleNamespace(info=source.info, open=source.open)
    async with host.client() as client:
        with pytest.raises(ImageOrderError):
            await ensure_disk(host_of(client), passing, DiskWish(target=TARGET))
    assert not {"CreateVirtualDisk_Task", "ImportVApp"} & set(host.methods()[calls:])
