"""Images into a datastore as files: whole and verified, or not at all. `disks/` has those that become disks."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import (
    CONFIG,
    PATIENCE,
    TIMEOUTS,
    Beside,
    Hosted,
    glance,
    hosted,
    store,
    until,
)
from vimdriver._config import DriverConfig
from vimdriver._images.embedded import EmbeddedImage, Fault, made_image
from vimdriver._images.http import HttpClient, HttpImages
from vimdriver._images.local import LocalImages
from vimdriver._images.make import Pattern
from vimdriver._images.push import PushEvent, PushResult, push_images
from vimdriver.errors import (
    FileConflictError,
    HostReadOnlyError,
    ImageHashError,
    ImageNotFoundError,
    ImageNotReadyError,
    ImageSizeError,
    ImageSourceError,
    ImageUnacceptableError,
    NoSpaceError,
    SourceRefusedError,
    SourceStalledError,
)
from vimlib import vim25
from vimlib._tls import TLS
from vimlib.errors import (
    ConnectionLostError,
    DeadlineError,
    InvalidPathError,
    LoginError,
    NotFoundError,
    PinMismatchError,
    TransferCorruptError,
    TransferRejectedError,
    UsageError,
    VimlibError,
)

MIB = 1 << 20


def some(size: int = 2 * MIB) -> list[EmbeddedImage]:
    return [
        made_image("raw", "raw", Pattern(1, size)),
        made_image("sparse", "monolithicSparse", Pattern(2, size)),
        made_image("stream", "streamOptimized", Pattern(3, size)),
    ]


async def push(host: Hosted, service: Any, *refs: str, **how: Any) -> list[PushResult]:
    settings = how.pop("settings", {})
    async with (
        host.client(**settings) as client,
        store(service, stall_timeout=how.pop("stall", PATIENCE)) as images,
    ):
        how.setdefault("datastore", "datastore1")
        how.setdefault("config", CONFIG)
        how.setdefault("as_is", True)
        return await push_images(client, images, refs, **how)


@pytest.mark.parametrize(("version", "legacy"), [("4.1", True), ("6.7", False), ("8.0", False)])
async def test_all_arrive_whole(version: str, legacy: bool, beside: Beside, tmp_path: Path) -> None:
    images = some()
    events: list[PushEvent] = []
    with (
        hosted(beside, tmp_path / "s", version, legacy_tls=legacy) as host,
        glance(beside, *images) as service,
    ):
        results = await push(host, service, *(i.name for i in images), events=events.append)
        assert [r.image for r in results] == ["raw", "sparse", "stream"]
        for image, result in zip(images, results, strict=True):
            assert result.error is None
            name = f"images/{image.id}.{'img' if image.name == 'raw' else 'vmdk'}"
            assert result.datastore_path == f"[datastore1] {name}"
            assert (result.hash_algo, result.hash, result.verified) == (
                "sha512",
                image.sha512,
                True,
            )
            assert hashlib.sha512((host.folder / name).read_bytes()).hexdigest() == image.sha512
            assert (
                sum(e.bytes for e in events if (e.kind, e.image) == ("progress", image.name))
                == image.size
            )
        await host.settled(host.state(), but=lambda s: s)
        assert host.state().sessions == 0
        assert len(host.state().files) == 3


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.KILLED, ImageSourceError),
        (Fault.SHORT, ImageSizeError),
        (Fault.SHORT_LENGTH, ImageSourceError),
        (Fault.LONG_LENGTH, ImageSourceError),
        (Fault.LONG_CHUNKED, ImageSourceError),
        (Fault.FLIPPED, ImageHashError),
        (Fault.STALLED, SourceStalledError),
        (Fault.NO_CONTENT, ImageNotReadyError),
        (Fault.REDIRECT, SourceRefusedError),
        (Fault.FORBIDDEN, SourceRefusedError),
        (Fault.UNAVAILABLE, SourceRefusedError),
    ],
)
async def test_one_that_fails_leaves_no_file_and_the_others_go_on(
    fault: Fault, error: type[VimlibError], beside: Beside, host: Hosted
) -> None:
    images = some()
    images[0].fault = fault
    images[0].hashed = fault is Fault.FLIPPED  # without a hash nothing is resumed
    with glance(beside, *images) as service:
        async with asyncio.timeout(PATIENCE):
            failed, *good = await push(
                host,
                service,
                "raw",
                "sparse",
                "stream",
                stall=1.0 if fault is Fault.STALLED else PATIENCE,
            )
    assert isinstance(failed.error, error)
    assert failed.error.hint
    assert failed.to_json()["error"]["type"] == type(failed.error).__name__
    assert [r.error for r in good] == [None, None]
    assert host.state().files == {r.datastore_path.partition(" ")[2] for r in good}


SERVER = """
import asyncio, sys
from vimdriver._images.embedded import EmbeddedGlance, Fault, made_image
from vimdriver._images.make import Pattern

async def main():
    image = made_image("raw", "raw", Pattern(1, 8 << 20))
    image.fault = Fault.STALLED
    async with EmbeddedGlance([image]) as service:
        print(service.url, flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def another_process() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        yield process, url
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("read_back", [True, False])
async def test_row_46_a_bit_that_flips_in_storage_is_found_by_reading_back(
    read_back: bool, beside: Beside, host: Hosted
) -> None:
    clean = host.state()

    async def flip() -> None:
        """Flip a bit of the partial file while the host is asked for its size."""
        size = 2 * MIB
        await until(lambda: any(p.stat().st_size == size for p in host.folder.rglob("*.part")))
        (part,) = host.folder.rglob("*.part")
        stored = bytearray(part.read_bytes())
        stored[MIB] ^= 1
        part.write_bytes(stored)

    # The first search is for the name, the second one reads the size back.
    host.esx.faults.add("SearchDatastore_Task", "delay", seconds=1.5, nth=2)
    with glance(beside, *some()) as service:
        flipping = asyncio.create_task(flip())
        (result,) = await push(host, service, "raw", read_back=read_back)
        await flipping
        if not read_back:
            assert result.error is None, "the size is all that is looked at unless asked"
            return
        assert isinstance(result.error, TransferCorruptError)
        assert result.error.expected != result.error.actual
        await host.settled(clean)
        # A fresh copy is fine.
        (again,) = await push(host, service, "raw", read_back=True)
        assert again.error is None


@pytest.mark.slow
async def test_the_image_service_is_killed_in_mid_stream(host: Hosted) -> None:
    clean = host.state()
    async with another_process() as (process, url):
        from vimdriver._images.glance import Glance

        killed = False

        def watch(event: PushEvent) -> None:
            nonlocal killed
            if event.kind == "progress" and not killed:
                killed = True
                process.send_signal(signal.SIGKILL)

        async with HttpClient(stall_timeout=60) as http, host.client() as client:
            async with asyncio.timeout(60):
                (result,) = await push_images(
                    client,
                    Glance(http, url),
                    ["raw"],
                    datastore="datastore1",
                    as_is=True,
                    events=watch,
                )
    assert killed
    assert isinstance(result.error, ImageSourceError)
    await host.settled(clean)


async def test_a_datastore_without_room_takes_no_byte(beside: Beside, tmp_path: Path) -> None:
    with (
        hosted(beside, tmp_path / "s", capacity=5 * MIB) as host,
        glance(beside, *some()) as service,
    ):
        with pytest.raises(NoSpaceError) as caught:
            await push(host, service, "raw", "sparse", "stream")
        assert caught.value.free == 5 * MIB
        assert caught.value.needed > 5 * MIB
        assert "MakeDirectory" not in host.methods()
        await host.settled(host.state())
        assert host.state().files == frozenset()
        # Each alone has room.
        assert [r.error for r in await push(host, service, "raw")] == [None]


@pytest.mark.parametrize("after", [0, MIB])
async def test_a_datastore_that_fills_meanwhile(after: int, beside: Beside, host: Hosted) -> None:
    clean = host.state()
    host.esx.faults.add("PUT", "status", status=507, after=after)
    with glance(beside, *some()) as service:
        (result,) = await push(host, service, "raw")
    assert isinstance(result.error, (TransferRejectedError, ConnectionLostError))
    if not after:
        assert isinstance(result.error, TransferRejectedError)
        assert result.error.status == 507
        assert result.error.hint
    await host.settled(clean)


async def test_another_who_fills_it(beside: Beside, tmp_path: Path) -> None:
    with (
        hosted(beside, tmp_path / "s", capacity=5 * MIB) as host,
        glance(beside, *some()) as service,
    ):
        taken = False

        def take(event: PushEvent) -> None:
            nonlocal taken
            if event.kind == "started" and not taken:
                taken = True
                host.esx.datastores["datastore1"].grow(4 * MIB)

        (result,) = await push(host, service, "raw", events=take)
        assert isinstance(result.error, TransferRejectedError)
        assert result.error.status == 507
        assert host.state().files == frozenset()


async def test_a_wrong_pin_and_a_wrong_password(beside: Beside, host: Hosted) -> None:
    with glance(beside, *some()) as service:
        with pytest.raises(PinMismatchError):
            await push(host, service, "raw", settings={"tls": TLS(pin=":".join(["00"] * 32))})
        assert not host.esx.call_log
        with pytest.raises(LoginError):
            await push(host, service, "raw", settings={"password": "canary-wrong"})
        assert not service.seen
    assert host.state().sessions == 0


@pytest.mark.parametrize("directory", ["images", "a/b/c", ""])
async def test_a_licence_that_forbids_writes_is_told_before_the_first_byte(
    directory: str, beside: Beside, tmp_path: Path
) -> None:
    with hosted(beside, tmp_path / "s", licensed=False) as host, glance(beside, *some()) as service:
        clean = host.state()
        with pytest.raises(HostReadOnlyError) as caught:
            await push(host, service, "raw", "stream", directory=directory)
        assert "licence" in str(caught.value)
        assert not [s for s in service.seen if s.path.endswith("/file")]
        await host.settled(clean)


async def test_what_is_there_already(beside: Beside, host: Hosted) -> None:
    with glance(beside, *some()) as service:
        (first,) = await push(host, service, "raw", directory="")
        assert first.datastore_path == f"[datastore1] {service.named('raw').id}.img"
        (second,) = await push(host, service, "raw", directory="")
        assert second.already_there
        assert (second.hash, second.verified) == (first.hash, True)
        there = host.folder / f"{service.named('raw').id}.img"
        for other in (b"x" * there.stat().st_size, b"x"):
            there.write_bytes(other)
            (second,) = await push(host, service, "raw", directory="")
            assert isinstance(second.error, FileConflictError)
            (third,) = await push(host, service, "raw", directory="", overwrite=True)
            assert third.error is None
            assert not third.already_there
        # Somebody is quicker by the last moment.
        host.esx.faults.fail_task("MoveDatastoreFile_Task", vim25.FileAlreadyExists(file="x"))
        (fourth,) = await push(host, service, "stream")
        assert isinstance(fourth.error, FileConflictError)
    assert host.state().files == {f"{service.named('raw').id}.img"}


async def test_what_is_there_takes_no_room_from_the_others(beside: Beside, tmp_path: Path) -> None:
    with (
        hosted(beside, tmp_path / "s", capacity=5 * MIB) as host,
        glance(beside, *some()) as service,
    ):
        (first,) = await push(host, service, "raw")
        assert first.error is None
        # The rest of a push that was broken off: together with what is there it would not fit.
        again, rest = await push(host, service, "raw", "stream")
        assert again.already_there
        assert rest.error is None
        with pytest.raises(NoSpaceError):
            await push(host, service, "raw", "stream", overwrite=True)


async def test_a_push_makes_its_folder_before_the_put(beside: Beside, tmp_path: Path) -> None:
    # Reports of real hosts differ on whether a PUT makes the folder: here it is refused.
    with (
        hosted(beside, tmp_path / "s", put_creates_folders=False) as host,
        glance(beside, *some()) as service,
    ):
        assert [r.error for r in await push(host, service, "raw")] == [None]
        assert host.methods().count("MakeDirectory") == 1


async def test_an_archive_ends_before_anything_is_made(beside: Beside, host: Hosted) -> None:
    archive = made_image("archive", "raw", Pattern(9, 64 * MIB))
    archive.container_format = "docker"
    with glance(beside, archive) as service:
        (result,) = await push(host, service, "archive")
    assert isinstance(result.error, ImageUnacceptableError)
    assert "MakeDirectory" not in host.methods()


@pytest.mark.parametrize("directory", ["images/", "a/b/"])
async def test_a_folder_with_a_slash_at_its_end(
    directory: str, beside: Beside, host: Hosted
) -> None:
    with glance(beside, *some()) as service:
        (result,) = await push(host, service, "raw", directory=directory)
    assert result.error is None
    assert result.datastore_path.startswith(f"[datastore1] {directory}")


@pytest.mark.parametrize("directory", ["..", "a/../b", "/a", "a//b", "a\nb", "a" * 256])
async def test_a_folder_that_cannot_be(directory: str, beside: Beside, host: Hosted) -> None:
    with glance(beside, *some()) as service:
        with pytest.raises(InvalidPathError):
            await push(host, service, "raw", directory=directory)
        assert not service.seen
    assert host.state().files == frozenset()


async def test_a_folder_that_is_a_file(beside: Beside, host: Hosted) -> None:
    (host.folder / "images").write_bytes(b"mine")
    with (
        glance(beside, *some()) as service,
        pytest.raises(FileConflictError, match="not a folder") as caught,
    ):
        await push(host, service, "raw", overwrite=True)
    assert caught.value.path == "[datastore1] images"
    assert (host.folder / "images").read_bytes() == b"mine"


NAMES = [
    "a b.img",
    "[x] y.img",
    "50%#?&+;.img",
    "*.img",
    "~\N{SNOWMAN}.img",
    "\N{CJK UNIFIED IDEOGRAPH-6F22}" * 80,
]


@pytest.mark.parametrize("name", NAMES)
async def test_files_of_odd_names(name: str, host: Hosted, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\1" * 1000)
    async with host.client() as client:
        for there in (False, True):
            (result,) = await push_images(
                client,
                LocalImages(),
                [str(path)],
                datastore="datastore1",
                as_is=True,
                config=CONFIG,
            )
            assert result.error is None
            assert result.already_there is there
        assert host.state().files == {f"images/{name}"}


async def test_two_files_of_one_name(host: Hosted, tmp_path: Path) -> None:
    paths = []
    for folder in "ab":
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "disk.img"
        path.write_bytes(folder.encode() * 1000)
        paths.append(str(path))
    async with host.client() as client:
        one, two = await push_images(
            client, LocalImages(), paths, datastore="datastore1", as_is=True, overwrite=True
        )
    assert one.error is None
    assert isinstance(two.error, FileConflictError)
    # To replace it is no way out: the first one would be lost.
    assert two.error.other_image == paths[0]
    assert "--overwrite" not in str(two.error)
    assert (host.folder / "images/disk.img").read_bytes() == b"a" * 1000


async def test_the_config_says_how_many_at_a_time(beside: Beside, host: Hosted) -> None:
    running = most = 0

    def count(event: PushEvent) -> None:
        nonlocal running, most
        running += {"started": 1, "done": -1}.get(event.kind, 0)
        most = max(most, running)

    with glance(beside, *some()) as service:
        names = ("raw", "sparse", "stream")
        await push(host, service, *names, config=replace(CONFIG, concurrency=1), events=count)
        assert (running, most) == (0, 1)
        await push(host, service, *names, directory="b", concurrency=3, events=count)
    assert most > 1


async def test_what_cannot_be(beside: Beside, host: Hosted) -> None:
    queued = EmbeddedImage(name="queued", chunks=lambda: iter([b"x" * 1024]), status="queued")
    with glance(beside, queued, *some()) as service:
        with pytest.raises(UsageError):
            await push(host, service, "raw", "raw")
        with pytest.raises(UsageError):
            await push(host, service)
        with pytest.raises(UsageError):
            await push(host, service, "raw", concurrency=0)
        with pytest.raises(UsageError):
            DriverConfig(concurrency=0)
        with pytest.raises(NotFoundError, match="datastore1"):
            await push(host, service, "raw", datastore="nowhere")
        unknown = "5021e9d8-7d2f-4b8c-9f8a-0c5b3d1f2a10"
        results = await push(host, service, "queued", unknown)
    assert [type(r.error) for r in results] == [ImageNotReadyError, ImageNotFoundError]
    assert host.state().files == frozenset()
    assert "MakeDirectory" not in host.methods()


async def test_a_url_whose_server_is_not_there(host: Hosted) -> None:
    async with HttpClient() as http, host.client() as client:
        (result,) = await push_images(
            client,
            HttpImages(http),
            ["http://127.0.0.1:9/x.img"],
            datastore="datastore1",
            as_is=True,
        )
    assert isinstance(result.error, ImageSourceError)


async def test_an_answer_to_the_move_that_is_lost(beside: Beside, tmp_path: Path) -> None:
    with (
        hosted(beside, tmp_path / "s", task_seconds=0.1) as host,
        glance(beside, *some()) as service,
    ):
        host.esx.faults.add("MoveDatastoreFile_Task", "lose")
        (result,) = await push(host, service, "raw")
        assert result.error is None
        assert host.state().files == {f"images/{service.named('raw').id}.img"}
        assert len(host.esx.calls("MoveDatastoreFile_Task")) == 1


async def test_a_lost_move_whose_file_somebody_took(beside: Beside, host: Hosted) -> None:
    """The file that was there before is not taken for the one that was to replace it."""
    image = made_image("raw", "raw", Pattern(1, 2 * MIB))
    old = host.folder / "images" / f"{image.id}.img"
    old.parent.mkdir()
    old.write_bytes(b"old")

    def take() -> None:
        for part in old.parent.glob("*.part"):
            part.unlink()

    with glance(beside, image) as service:
        host.esx.faults.add("MoveDatastoreFile_Task", "reset")
        watch = asyncio.ensure_future(until(lambda: bool(host.esx.calls("MoveDatastoreFile_Task"))))
        watch.add_done_callback(lambda _: take())
        (result,) = await push(host, service, "raw", overwrite=True)
        await watch
    assert result.error is not None
    assert old.read_bytes() == b"old"


async def test_a_host_that_stores_less_than_it_took(beside: Beside, host: Hosted) -> None:
    class Short(dict[str, int]):
        def get(self, key: str, default: Any = None) -> Any:
            return 17 if key.endswith(".part") else default

    host.esx.datastores["datastore1"].sizes = Short()
    with glance(beside, *some()) as service:
        (result,) = await push(host, service, "raw")
    assert isinstance(result.error, TransferCorruptError)
    assert host.state().files == frozenset()


async def test_a_host_that_falls_silent_in_mid_stream(beside: Beside, host: Hosted) -> None:
    clean = host.state()
    host.esx.faults.add("PUT", "hang")
    with glance(beside, *some(8 * MIB)) as service:
        async with asyncio.timeout(60):
            (result,) = await push(host, service, "raw", settings={"timeouts": TIMEOUTS})
    assert isinstance(result.error, DeadlineError)
    await host.settled(clean)
