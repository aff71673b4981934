"""Both uploaders against the same peers: they must behave alike."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.driver.hosted import until
from tests.unit.driver.images.corpus import CASES, PATTERN, RAW, STREAM
from tests.unit.driver.images.peers import (
    OTHER_AUTHORITY,
    Sink,
    Target,
    client_tls,
    reset,
    running,
    server_tls,
    small,
)
from vimdriver._images import (
    AsyncUploader,
    BodyCheck,
    BodyUploader,
    Glance,
    HttpClient,
    LocalImage,
    PumpOptions,
    ThreadUploader,
)
from vimdriver._images.embedded import EmbeddedGlance, EmbeddedImage, Fault
from vimdriver._images.make import make
from vimdriver.errors import (
    ImageError,
    ImageHashError,
    ImageNotFoundError,
    ImageSizeError,
    ImageUnacceptableError,
    SourceProtocolError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnreachableError,
    SourceUnsizedError,
    SourceUntrustedError,
)
from vimlib.errors import (
    CertificateError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    PinMismatchError,
    RedirectError,
    TLSError,
    TransferCorruptError,
    TransferRejectedError,
    UsageError,
)

OPTIONS = PumpOptions(connect_timeout=30, stall_timeout=30, answer_timeout=30)
IMPATIENT = PumpOptions(connect_timeout=30, stall_timeout=0.3, answer_timeout=0.5)
"""For tests of the deadlines themselves; in other tests a busy machine would exceed them."""


@asynccontextmanager
async def uploader_named(name: str, options: PumpOptions = OPTIONS) -> AsyncIterator[BodyUploader]:
    if name == "threads":
        async with ThreadUploader(streams=4, options=options) as threads:
            yield threads
    else:
        with ThreadPoolExecutor(2) as executor:
            yield AsyncUploader(executor)


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """No descriptor, no thread, no task outlives a test."""
    files = len(os.listdir("/proc/self/fd"))
    threads = set(threading.enumerate())
    yield
    # aiohttp closes its transports in a later loop iteration.
    await until(lambda: len(os.listdir("/proc/self/fd")) <= files)
    assert {t for t in threading.enumerate() if "pump" in t.name} <= threads
    assert not {t for t in asyncio.all_tasks() if "images" in repr(t.get_coro())}


@pytest.fixture(params=["threads", "async"])
async def uploader(request: pytest.FixtureRequest) -> AsyncIterator[BodyUploader]:
    async with uploader_named(request.param) as made:
        yield made


@pytest.fixture
async def threads() -> AsyncIterator[BodyUploader]:
    async with uploader_named("threads") as made:
        yield made


@asynccontextmanager
async def source_of(
    *images: EmbeddedImage, token: str | None = None, stall: float = 30
) -> AsyncIterator[Glance]:
    async with (
        EmbeddedGlance(images, token=token) as embedded,
        HttpClient(stall_timeout=stall) as client,
    ):
        yield Glance(client, embedded.url, token=token)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("hashing", [False, True])
async def test_a_body_arrives_complete(uploader: BodyUploader, tls: bool, hashing: bool) -> None:
    image = small()
    seen: list[int] = []
    target = Target(tls=server_tls() if tls else None)
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        check = BodyCheck(await source.info(), hashing=hashing)
        sink = Sink(target, tls=client_tls() if tls else None)
        report = await uploader.upload(source, sink, check, on_progress=seen.append)
        await asyncio.sleep(0)
    assert bytes(target.body) == b"".join(image.chunks())
    assert (report.bytes, sum(seen)) == (image.size, image.size)
    assert report.verified is hashing
    assert report.hash == (image.sha512 if hashing else None)
    assert report.facts.kind == "raw"


@pytest.mark.parametrize("size", [1, 511, 512, 36 << 10, 512 << 10, (512 << 10) + 1, 2 << 20])
@pytest.mark.parametrize("hashing", [False, True])
async def test_sizes_around_the_buffer_size_arrive(
    uploader: BodyUploader, size: int, hashing: bool
) -> None:
    data = RAW[:size].ljust(size, b"!")
    image = EmbeddedImage(name="a", chunks=lambda: iter([data]))
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("a")
        await uploader.upload(source, Sink(target), BodyCheck(await source.info(), hashing=hashing))
    assert bytes(target.body) == data
    assert target.whole


async def test_a_body_without_a_hash_is_not_verified(uploader: BodyUploader) -> None:
    image = small(mib=1)
    image.hashed = False
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        report = await uploader.upload(source, Sink(target), BodyCheck(await source.info()))
    assert (report.verified, report.hash_algo, report.hash) == (False, "sha512", image.sha512)


async def test_padding_follows_the_body(threads: BodyUploader) -> None:
    data = b"x" * 1000
    image = EmbeddedImage(name="a", chunks=lambda: iter([data]))
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("a")
        await threads.upload(source, Sink(target, pad=512), BodyCheck(await source.info()))
    assert bytes(target.body) == data.ljust(1024, b"\0")


async def test_a_local_file_arrives(uploader: BodyUploader, tmp_path: Path) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_bytes(STREAM)
    target = Target()
    source = LocalImage(path)
    async with running(target):
        report = await uploader.upload(source, Sink(target), BodyCheck(await source.info()))
    assert bytes(target.body) == STREAM
    assert report.facts.kind == "streamOptimized"


async def test_many_bodies_arrive_in_parallel(uploader: BodyUploader) -> None:
    images = [small(f"{'x' * index}", mib=2) for index in range(1, 9)]
    async with source_of(*images) as glance, asyncio.TaskGroup() as group:
        for image in images:
            group.create_task(move_and_compare(uploader, glance, image))


async def move_and_compare(uploader: BodyUploader, glance: Glance, image: EmbeddedImage) -> None:
    target = Target()
    async with running(target):
        source = glance.image(image.name)
        await uploader.upload(source, Sink(target), BodyCheck(await source.info()))
    assert bytes(target.body) == b"".join(image.chunks())


FAULTS: list[tuple[Fault, type[ImageError], bool]] = [
    (Fault.SHORT, ImageSizeError, True),
    (Fault.KILLED, ImageSizeError, True),
    (Fault.SHORT_LENGTH, ImageSizeError, False),
    (Fault.LONG_LENGTH, ImageSizeError, False),
    (Fault.LONG_CHUNKED, ImageSizeError, True),
    (Fault.FLIPPED, ImageHashError, True),
    (Fault.GZIP, SourceProtocolError, False),
    (Fault.REDIRECT, SourceRefusedError, False),
    (Fault.UNAUTHORIZED, SourceRefusedError, False),
    (Fault.FORBIDDEN, SourceRefusedError, False),
    (Fault.GONE, ImageNotFoundError, False),
    (Fault.UNAVAILABLE, SourceRefusedError, False),
]


@pytest.mark.parametrize(("fault", "error", "connects"), FAULTS)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_broken_source_never_completes_a_body(
    uploader: BodyUploader, fault: Fault, error: type[ImageError], connects: bool, tls: bool
) -> None:
    image = small(fault=fault)
    target = Target(tls=server_tls() if tls else None)
    if fault is Fault.LONG_CHUNKED and isinstance(uploader, ThreadUploader):
        error, connects = SourceUnsizedError, False
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        check = BodyCheck(await source.info())
        with pytest.raises(error) as caught:
            await uploader.upload(source, Sink(target, tls=client_tls() if tls else None), check)
    assert not target.whole
    assert caught.value.image == image.id
    assert str(caught.value).endswith(caught.value.hint)
    if not connects and isinstance(uploader, ThreadUploader):
        assert target.connections == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threads", "async"])
async def test_a_source_that_stalls_never_completes_a_body(name: str) -> None:
    target = Target()
    stalling = source_of(small(fault=Fault.STALLED), stall=IMPATIENT.stall_timeout)
    async with uploader_named(name, IMPATIENT) as uploader, stalling as glance, running(target):
        source = glance.image("image")
        check = BodyCheck(await source.info())
        with pytest.raises(SourceStalledError):
            await uploader.upload(source, Sink(target), check)
    assert not target.whole


async def test_single_bytes_arrive(uploader: BodyUploader) -> None:
    image = small(mib=1, fault=Fault.DRIP)
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        await uploader.upload(source, Sink(target), BodyCheck(await source.info()))
    assert target.whole


@pytest.mark.parametrize("case", [c for c in CASES if c.claim == "vmdk"][::9], ids=lambda c: c.rule)
async def test_a_bad_image_never_completes_a_body(uploader: BodyUploader, case) -> None:  # type: ignore[no-untyped-def]
    data = case.build()
    properties = {"vmware_disktype": case.disk_type} if case.disk_type else {}
    image = EmbeddedImage(
        name="bad", chunks=lambda: iter([data]), disk_format="vmdk", properties=properties
    )
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("bad")
        with pytest.raises(ImageUnacceptableError) as caught:
            await uploader.upload(source, Sink(target), BodyCheck(await source.info()))
    assert caught.value.rule == case.rule
    assert not target.whole
    if case.early:
        assert not target.body
        if isinstance(uploader, ThreadUploader):
            assert target.connections == 0


async def test_an_unreachable_source_is_an_error(uploader: BodyUploader) -> None:
    target = Target()
    async with source_of(small(mib=1)) as glance:
        source = glance.image("image")
        info = await source.info()
    async with HttpClient() as client, running(target):
        from vimdriver._images import HttpImage

        image = HttpImage(client, "http://127.0.0.1:1/x")
        image._info = info
        with pytest.raises(SourceUnreachableError):
            await uploader.upload(image, Sink(target), BodyCheck(info))
    assert target.connections == 0 or isinstance(uploader, AsyncUploader)


async def test_an_untrusted_source_is_refused(uploader: BodyUploader) -> None:
    image, target = small(mib=1), Target()
    async with (
        EmbeddedGlance([image], tls=server_tls()) as embedded,
        HttpClient() as client,
        running(target),
    ):
        source = Glance(client, embedded.url).image(image.id)
        async with source_of(image) as trusted:
            source._info = await trusted.image(image.id).info()
        with pytest.raises(SourceUntrustedError):
            await uploader.upload(source, Sink(target), BodyCheck(source._info))
    assert not target.whole


async def test_a_refused_token_is_renewed_once(uploader: BodyUploader) -> None:
    asked: list[bool] = []
    image = small(mib=1)
    target = Target()
    async with (
        EmbeddedGlance([image], token="new") as embedded,
        HttpClient(stall_timeout=30) as client,
        running(target),
    ):

        async def token(fresh: bool) -> str:
            asked.append(fresh)
            return "new" if fresh else "old"

        source = Glance(client, embedded.url, token=token).image("image")
        info = await source.info()
        await uploader.upload(source, Sink(target), BodyCheck(info))
        assert target.whole
        assert asked == [False, True] * 3  # name, image, file


# Faults of a target. Only the thread uploader is tested; vimlib's tests cover the other's client.


async def fail(
    threads: BodyUploader, target: Target, *, mib: int = 8, **more: object
) -> BaseException:
    async with source_of(small(mib=mib)) as glance, running(target):
        source = glance.image("image")
        check = BodyCheck(await source.info())
        with pytest.raises(Exception) as caught:
            await threads.upload(source, Sink(target, **more), check)  # type: ignore[arg-type]
        assert "canary" not in repr(caught.value) + str(caught.value)
    return caught.value


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("how", ["wait", "close", "reset"])
@pytest.mark.parametrize("status", [403, 507, 500])
async def test_an_early_refusal_is_reported(
    threads: BodyUploader, tls: bool, how: str, status: int
) -> None:
    target = Target(tls=server_tls() if tls else None)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader, 1 << 20)
        writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 4\r\n\r\nfull".encode())
        await writer.drain()
        if how == "wait":
            await target.released.wait()
        elif how == "reset":
            # A reset may discard a response that the client has not read yet: let it arrive first.
            await asyncio.sleep(0.1)
            reset(writer)

    target.behaviour = refuse
    error = await fail(threads, target, tls=client_tls() if tls else None)
    assert isinstance(error, TransferRejectedError)
    assert (error.status, error.outcome) == (status, "unknown" if status >= 500 else "refused")
    assert not target.whole


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_an_early_success_is_an_error(threads: BodyUploader, status: int) -> None:
    target = Target()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader, 1000)
        writer.write(f"HTTP/1.1 {status} Done\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        await target.released.wait()

    target.behaviour = lie
    assert isinstance(await fail(threads, target), TransferCorruptError)


async def test_a_reset_by_the_target_is_an_error(threads: BodyUploader) -> None:
    target = Target()

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader, 1 << 20)
        reset(writer)

    target.behaviour = cut
    error = await fail(threads, target)
    assert isinstance(error, ConnectionLostError)
    assert error.outcome == "unknown"


@pytest.mark.slow
async def test_a_target_that_reads_nothing_is_a_deadline_error() -> None:
    target = Target()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.released.wait()

    target.behaviour = hold
    async with uploader_named("threads", IMPATIENT) as threads:
        error = await fail(threads, target, mib=24)
    assert isinstance(error, DeadlineError)
    assert error.phase == "write"


@pytest.mark.slow
async def test_a_target_that_never_responds_is_a_deadline_error() -> None:
    target = Target()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader)
        await target.released.wait()

    target.behaviour = take
    async with uploader_named("threads", IMPATIENT) as threads:
        assert isinstance(await fail(threads, target, mib=1), DeadlineError)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionLostError),
        (b"HTTP/1.1 20", ConnectionLostError),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", ConnectionLostError),
        (b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n", TransferRejectedError),
        (b"HTTP/1.1 202 Later\r\nContent-Length: 0\r\n\r\n", TransferRejectedError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n", RedirectError),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\nwhy", TransferRejectedError),
    ],
)
async def test_the_response_to_the_complete_body_decides(
    threads: BodyUploader, answer: bytes, error: type[Exception]
) -> None:
    target = Target()

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader)
        writer.write(answer)
        await writer.drain()

    target.behaviour = say
    assert isinstance(await fail(threads, target, mib=1), error)


async def test_a_closed_port_is_a_connect_error(threads: BodyUploader) -> None:
    async with source_of(small(mib=1)) as glance:
        source = glance.image("image")
        check = BodyCheck(await source.info())
        with pytest.raises(ConnectError) as caught:
            await threads.upload(source, Sink(Target(port=1)), check)
    assert caught.value.outcome == "not_sent"


async def test_an_untrusted_certificate_is_refused(threads: BodyUploader) -> None:
    target = Target(tls=server_tls())
    error = await fail(threads, target, mib=1, tls=client_tls(OTHER_AUTHORITY))
    assert isinstance(error, CertificateError)
    assert not target.head


async def test_a_wrong_pin_is_refused_before_the_first_byte(threads: BodyUploader) -> None:
    target = Target(tls=server_tls())
    seen: list[bytes] = []

    def refuse(der: bytes) -> None:
        seen.append(der)
        raise PinMismatchError("not the pinned one")

    error = await fail(threads, target, mib=1, tls=client_tls(), check_peer=refuse)
    assert isinstance(error, PinMismatchError)
    assert len(seen[0]) > 100
    assert not target.head


async def test_http_on_a_tls_port_is_an_error(threads: BodyUploader) -> None:
    class Plain(Target):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            await writer.wait_closed()

    error = await fail(threads, Plain(), mib=1, tls=client_tls())
    assert type(error) is TLSError
    assert error.outcome == "not_sent"


@pytest.mark.parametrize("moment", ["connected", "midway", "answered"])
@pytest.mark.parametrize("tls", [False, True])
async def test_cancelling_leaves_nothing(uploader: BodyUploader, moment: str, tls: bool) -> None:
    target = Target(tls=server_tls() if tls else None)
    reached = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if moment == "midway":
            await target.take(reader, 1 << 20)
        elif moment == "answered":
            await target.take(reader)
        reached.set()
        await target.released.wait()

    target.behaviour = hold
    mib = 1 if moment == "answered" else 24
    async with source_of(small(mib=mib)) as glance, running(target):
        source = glance.image("image")
        check = BodyCheck(await source.info())
        sink = Sink(target, tls=client_tls() if tls else None)
        task = asyncio.create_task(uploader.upload(source, sink, check))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_closing_the_uploader_ends_its_transfers() -> None:
    target = Target()
    reached = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await target.released.wait()

    target.behaviour = hold
    async with source_of(small(mib=24)) as glance, running(target):
        source = glance.image("image")
        check = BodyCheck(await source.info())
        async with ThreadUploader(streams=1) as threads:
            task = asyncio.create_task(threads.upload(source, Sink(target), check))
            await reached.wait()
        with pytest.raises(UsageError):
            await task


async def test_a_source_without_a_request_is_refused(threads: BodyUploader) -> None:
    class Odd:
        pass

    async with source_of(small(mib=1)) as glance:
        info = await glance.image("image").info()
        with pytest.raises(UsageError):
            await threads.upload(Odd(), Sink(Target(port=1)), BodyCheck(info))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [DeadlineError("the target"), TransferRejectedError("full", status=507), OSError("x")]
)
async def test_an_error_of_the_target_is_not_reported_as_the_sources(error: Exception) -> None:
    class Failing(Sink):
        async def put(self, body: object, size: int) -> None:
            async for _ in body:  # type: ignore[attr-defined]
                raise error

    async with source_of(small(mib=1)) as glance, uploader_named("async") as uploader:
        source = glance.image("image")
        with pytest.raises(type(error)) as caught:
            await uploader.upload(source, Failing(Target(port=1)), BodyCheck(await source.info()))
    assert caught.value is error


@pytest.mark.slow
async def test_a_slow_target_slows_the_source(uploader: BodyUploader) -> None:
    """Back-pressure: the bytes read from the source are bounded by buffers, not by the image."""
    produced = 0

    def chunks():  # type: ignore[no-untyped-def]
        nonlocal produced
        for chunk in make("raw", PATTERN):
            for _ in range(32):
                produced += len(chunk)
                yield chunk

    image = EmbeddedImage(name="a", chunks=chunks)
    target = Target()
    started = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started.set()
        await target.released.wait()

    target.behaviour = hold
    async with source_of(image) as glance, running(target):
        source = glance.image("a")
        check = BodyCheck(await source.info())
        produced = 0
        task = asyncio.create_task(uploader.upload(source, Sink(target), check))
        await started.wait()
        await asyncio.sleep(0.25)
        assert produced < image.size // 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Limits of both sides: a minimum rate over a window, and a deadline for the head of a response.

PACED = PumpOptions(
    connect_timeout=30, stall_timeout=30, answer_timeout=0.4, rate=float(1 << 30), window=0.3
)


@pytest.mark.slow
async def test_row_86_a_target_that_takes_the_body_too_slowly_is_a_deadline_error() -> None:
    target = Target()

    async def sip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(1000):
            await reader.read(1 << 12)
            await asyncio.sleep(0.05)

    target.behaviour = sip
    async with uploader_named("threads", PACED) as threads:
        error = await fail(threads, target, mib=24)
    assert isinstance(error, DeadlineError)
    assert (error.rule, error.phase, error.seconds) == ("rate", "upload", 0.3)
    assert error.bytes is not None


@pytest.mark.slow
async def test_row_86_a_target_that_drips_its_response_is_a_deadline_error() -> None:
    target = Target()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader)
        while not target.released.is_set():
            for byte in b"HTTP/1.1 100 Continue\r\n\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)

    target.behaviour = drip
    async with uploader_named("threads", PACED) as threads:
        error = await fail(threads, target, mib=1)
    assert isinstance(error, DeadlineError)
    assert (error.rule, error.phase, error.seconds, error.bytes) == ("call", "call", 0.4, 1 << 20)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threads", "async"])
@pytest.mark.parametrize(
    ("sent", "rule"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", "rate"),
        (b"", "call"),
    ],
)
async def test_row_86_a_source_that_drips_is_an_error(name: str, sent: bytes, rule: str) -> None:
    from vimdriver._images import HttpImage
    from vimdriver._images.source import ImageInfo
    from vimlib import Timeouts

    source, target = Target(), Target()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        while not source.released.is_set():
            for byte in b"HTTP/1.1 100 Continue\r\n\r\n" if rule == "call" else b"x" * 20:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)

    source.behaviour = drip
    limits = Timeouts(call=0.4, rate=float(1 << 30), window=0.3)
    async with (
        running(source),
        running(target),
        HttpClient(stall_timeout=30, timeouts=limits) as client,
        uploader_named(name, PACED) as uploader,
    ):
        image = HttpImage(client, f"http://127.0.0.1:{source.port}/x")
        image._info = info = ImageInfo(id="x", name="x", size=1 << 20)
        with pytest.raises(SourceStalledError) as caught:
            await uploader.upload(image, Sink(target), BodyCheck(info))
    assert caught.value.rule == rule
    assert not target.whole
