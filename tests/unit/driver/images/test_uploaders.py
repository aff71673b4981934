"""The uploader against peers that behave well, and against peers that do not."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.driver.hosted import until
from tests.unit.driver.images.corpus import CASES, PATTERN, RAW, STREAM
from tests.unit.driver.images.peers import (
    PATIENT,
    Sink,
    Target,
    client_tls,
    reset,
    running,
    server_tls,
    small,
)
from vimdriver._images import (
    Glance,
    HttpClient,
    HttpImage,
    ImageInfo,
    LocalImage,
    Uploader,
)
from vimdriver._images.embedded import EmbeddedGlance, EmbeddedImage, Fault
from vimdriver._images.make import make
from vimdriver._images.sink import DatastoreSink
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
    SourceUntrustedError,
)
from vimlib._tls import TLS
from vimlib._transport import Timeouts
from vimlib._transport.http import Buffer
from vimlib.errors import (
    CertificateError,
    ClosedError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    PinMismatchError,
    ProtocolError,
    RedirectError,
    TLSError,
    TransferRejectedError,
)

pytestmark = pytest.mark.usefixtures("hurried")

IMPATIENT = Timeouts(connect=30, handshake=30, read=0.5, write=0.3, call=0.5)
"""For tests of the deadlines themselves; in other tests a busy machine would exceed them."""


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """No descriptor, no thread, no task outlives a test."""
    files = len(os.listdir("/proc/self/fd"))
    threads = set(threading.enumerate())
    yield
    # aiohttp closes its transports in a later loop iteration.
    await until(lambda: len(os.listdir("/proc/self/fd")) <= files)
    assert {t for t in threading.enumerate() if t.name.startswith("vimlib-")} <= threads
    assert not {t for t in asyncio.all_tasks() if "images" in repr(t.get_coro())}


@pytest.fixture
async def uploader() -> AsyncIterator[Uploader]:
    async with Uploader(streams=4) as made:
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
async def test_a_body_arrives_complete(
    uploader: Uploader, tls: bool, hashing: bool, tmp_path: Path
) -> None:
    image = small()
    seen: list[int] = []
    target = Target(tls=server_tls() if tls else None)
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        info = await source.info()
        sink = Sink(target, tls=client_tls(tmp_path) if tls else None)
        done = await uploader.upload(source, sink, info, hashing=hashing, on_progress=seen.append)
        await asyncio.sleep(0)
    assert bytes(target.body) == b"".join(image.chunks())
    assert (done.source.bytes, sum(seen)) == (image.size, image.size)
    assert done.source.verified is hashing
    assert done.source.hash == (image.sha512 if hashing else None)
    assert done.source.facts.kind == "raw"


@pytest.mark.parametrize("size", [1, 511, 512, 36 << 10, 512 << 10, (512 << 10) + 1, 2 << 20])
@pytest.mark.parametrize("hashing", [False, True])
async def test_sizes_around_the_buffer_size_arrive(
    uploader: Uploader, size: int, hashing: bool
) -> None:
    data = RAW[:size].ljust(size, b"!")
    image = EmbeddedImage(name="a", chunks=lambda: iter([data]))
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("a")
        await uploader.upload(source, Sink(target), await source.info(), hashing=hashing)
    assert bytes(target.body) == data
    assert target.whole


async def test_a_body_without_a_hash_is_not_verified(uploader: Uploader) -> None:
    image = small(mib=1)
    image.hashed = False
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        done = await uploader.upload(source, Sink(target), await source.info())
    assert (done.source.verified, done.source.hash_algo, done.source.hash) == (
        False,
        "sha512",
        image.sha512,
    )


async def test_a_local_file_arrives(uploader: Uploader, tmp_path: Path) -> None:
    path = tmp_path / "disk.vmdk"
    path.write_bytes(STREAM)
    target = Target()
    source = LocalImage(path)
    async with running(target):
        done = await uploader.upload(source, Sink(target), await source.info())
    assert bytes(target.body) == STREAM
    assert done.source.facts.kind == "streamOptimized"


async def test_a_body_is_padded_for_the_datastore(uploader: Uploader, tmp_path: Path) -> None:
    stored: list[bytes] = []

    class Store:
        def slot(self) -> AbstractAsyncContextManager[None]:
            return nullcontext()

        async def upload(
            self, path: str, body: AsyncIterable[bytes], *, size: int, **_: Any
        ) -> None:
            stored.append(b"".join([piece async for piece in body]))
            assert len(stored[0]) == size

    (tmp_path / "x").write_bytes(b"x" * 1000)
    source = LocalImage(tmp_path / "x")
    sink = DatastoreSink(Store(), "x", pad=512)  # type: ignore[arg-type]
    await uploader.upload(source, sink, await source.info())
    assert stored == [(b"x" * 1000).ljust(1024, b"\0")]


async def test_a_source_of_the_callers_own_arrives(uploader: Uploader) -> None:
    info = ImageInfo(id="own", name="own", size=3 << 16)

    class Body:
        info = ImageInfo(id="own", name="own", size=3 << 16)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for number in range(3):
                await asyncio.sleep(0)
                yield bytes([number]) * (1 << 16)

    class Own:
        async def info(self) -> ImageInfo:
            return info

        @asynccontextmanager
        async def open(self) -> AsyncIterator[Body]:
            yield Body()

    target = Target()
    async with running(target):
        await uploader.upload(Own(), Sink(target), info)
    assert bytes(target.body) == b"".join(bytes([number]) * (1 << 16) for number in range(3))


async def test_a_body_of_unknown_size_is_sent_chunked(uploader: Uploader, tmp_path: Path) -> None:
    class Growing:
        size = None

        def feed(self, data: Buffer) -> list[Buffer]:
            return [data, b"more"]

        def finish(self) -> list[Buffer]:
            return [b"end"]

    target = Target()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (size := int((await reader.readuntil(b"\r\n")).strip(), 16)) > 0:
            target.body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    target.behaviour = take
    (tmp_path / "x").write_bytes(b"x" * 1000)
    source = LocalImage(tmp_path / "x")
    async with running(target):
        done = await uploader.upload(source, Sink(target), await source.info(), stage=Growing)
    assert b"Transfer-Encoding: chunked\r\n" in target.head
    assert b"Content-Length" not in target.head
    sent = b"x" * 1000 + b"moreend"
    assert (bytes(target.body), done.bytes) == (sent, len(sent))


async def test_many_bodies_arrive_in_parallel(uploader: Uploader) -> None:
    images = [small(f"{'x' * index}", mib=2) for index in range(1, 9)]
    async with source_of(*images) as glance, asyncio.TaskGroup() as group:
        for image in images:
            group.create_task(move_and_compare(uploader, glance, image))


async def move_and_compare(uploader: Uploader, glance: Glance, image: EmbeddedImage) -> None:
    target = Target()
    async with running(target):
        source = glance.image(image.name)
        await uploader.upload(source, Sink(target), await source.info())
    assert bytes(target.body) == b"".join(image.chunks())


FAULTS: list[tuple[Fault, type[ImageError], bool]] = [
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
    uploader: Uploader,
    fault: Fault,
    error: type[ImageError],
    connects: bool,
    tls: bool,
    tmp_path: Path,
) -> None:
    image = small(fault=fault)
    target = Target(tls=server_tls() if tls else None)
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        info = await source.info()
        with pytest.raises(error) as caught:
            await uploader.upload(
                source, Sink(target, tls=client_tls(tmp_path) if tls else None), info
            )
    assert not target.whole
    assert caught.value.image == image.id
    assert str(caught.value).endswith(caught.value.hint)
    if not connects:
        assert target.connections == 0


@pytest.mark.parametrize("fault", [Fault.SHORT, Fault.KILLED])
async def test_a_source_that_breaks_off_goes_on_while_the_put_stays_open(
    uploader: Uploader, fault: Fault
) -> None:
    image, target = small(fault=fault), Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        done = await uploader.upload(source, Sink(target), await source.info())
    assert bytes(target.body) == b"".join(image.chunks())
    assert done.source.verified
    assert target.connections == 1


@pytest.mark.slow
async def test_a_source_that_stalls_never_completes_a_body(uploader: Uploader) -> None:
    target, image = Target(), small(fault=Fault.STALLED)
    image.hashed = False
    stalling = source_of(image, stall=0.3)
    async with stalling as glance, running(target):
        source = glance.image("image")
        info = await source.info()
        with pytest.raises(SourceStalledError):
            await uploader.upload(source, Sink(target), info)
    assert not target.whole


async def test_single_bytes_arrive(uploader: Uploader) -> None:
    image = small(mib=1, fault=Fault.DRIP)
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("image")
        await uploader.upload(source, Sink(target), await source.info())
    assert target.whole


@pytest.mark.parametrize("case", [c for c in CASES if c.claim == "vmdk"][::9], ids=lambda c: c.rule)
async def test_a_bad_image_never_completes_a_body(uploader: Uploader, case) -> None:  # type: ignore[no-untyped-def]
    data = case.build()
    properties = {"vmware_disktype": case.disk_type} if case.disk_type else {}
    image = EmbeddedImage(
        name="bad", chunks=lambda: iter([data]), disk_format="vmdk", properties=properties
    )
    target = Target()
    async with source_of(image) as glance, running(target):
        source = glance.image("bad")
        with pytest.raises(ImageUnacceptableError) as caught:
            await uploader.upload(source, Sink(target), await source.info())
    assert caught.value.rule == case.rule
    assert not target.whole
    if case.early:
        assert not target.body
        assert target.connections == 0


async def test_an_unreachable_source_is_an_error(uploader: Uploader) -> None:
    target = Target()
    async with source_of(small(mib=1)) as glance:
        source = glance.image("image")
        info = await source.info()
    async with HttpClient() as client, running(target):
        image = HttpImage(client, "http://127.0.0.1:1/x")
        image._info = info
        with pytest.raises(SourceUnreachableError):
            await uploader.upload(image, Sink(target), info)
    assert target.connections == 0


async def test_an_untrusted_source_is_refused(uploader: Uploader) -> None:
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
            await uploader.upload(source, Sink(target), source._info)
    assert not target.whole


async def test_a_refused_token_is_renewed_once(uploader: Uploader) -> None:
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
        await uploader.upload(source, Sink(target), info)
        assert target.whole
        assert asked == [False, True] * 3  # name, image, file


# Faults of a target.


async def fail(
    uploader: Uploader, target: Target, *, mib: int = 8, **more: object
) -> BaseException:
    async with source_of(small(mib=mib)) as glance, running(target):
        source = glance.image("image")
        info = await source.info()
        with pytest.raises(Exception) as caught:
            await uploader.upload(source, Sink(target, **more), info)  # type: ignore[arg-type]
        assert "canary" not in repr(caught.value) + str(caught.value)
    return caught.value


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("how", ["wait", "close", "reset"])
@pytest.mark.parametrize("status", [403, 507, 500])
async def test_an_early_refusal_is_reported(
    uploader: Uploader, tls: bool, how: str, status: int, tmp_path: Path
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
    error = await fail(uploader, target, tls=client_tls(tmp_path) if tls else None)
    assert isinstance(error, TransferRejectedError)
    assert (error.status, error.outcome) == (status, "unknown" if status >= 500 else "refused")
    assert not target.whole


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_an_early_success_counts_only_with_the_whole_body(
    uploader: Uploader, status: int
) -> None:
    target = Target()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader, 1000)
        writer.write(f"HTTP/1.1 {status} Done\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        reset(writer)

    target.behaviour = lie
    assert isinstance(await fail(uploader, target), ConnectionLostError)


async def test_a_reset_by_the_target_is_an_error(uploader: Uploader) -> None:
    target = Target()

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader, 1 << 20)
        reset(writer)

    target.behaviour = cut
    error = await fail(uploader, target)
    assert isinstance(error, ConnectionLostError)
    assert error.outcome == "unknown"


@pytest.mark.slow
async def test_a_target_that_reads_nothing_is_a_deadline_error(
    uploader: Uploader,
) -> None:
    target = Target()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.released.wait()

    target.behaviour = hold
    error = await fail(uploader, target, mib=24, timeouts=IMPATIENT)
    assert isinstance(error, DeadlineError)
    assert error.phase == "write"


@pytest.mark.slow
async def test_a_target_that_never_responds_is_a_deadline_error(
    uploader: Uploader,
) -> None:
    target = Target()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader)
        await target.released.wait()

    target.behaviour = take
    error = await fail(uploader, target, mib=1, timeouts=IMPATIENT)
    assert isinstance(error, DeadlineError)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ConnectionLostError),
        (b"HTTP/1.1 20", ConnectionLostError),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", ProtocolError),
        (b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n", TransferRejectedError),
        (b"HTTP/1.1 202 Later\r\nContent-Length: 0\r\n\r\n", TransferRejectedError),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n", RedirectError),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\nwhy", TransferRejectedError),
    ],
)
async def test_the_response_to_the_complete_body_decides(
    uploader: Uploader, answer: bytes, error: type[Exception]
) -> None:
    target = Target()

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader)
        writer.write(answer)
        await writer.drain()

    target.behaviour = say
    assert isinstance(await fail(uploader, target, mib=1), error)


async def test_a_closed_port_is_a_connect_error(uploader: Uploader) -> None:
    async with source_of(small(mib=1)) as glance:
        source = glance.image("image")
        info = await source.info()
        with pytest.raises(ConnectError) as caught:
            await uploader.upload(source, Sink(Target(port=1)), info)
    assert caught.value.outcome == "not_sent"


async def test_an_untrusted_certificate_is_refused(uploader: Uploader) -> None:
    target = Target(tls=server_tls())
    error = await fail(uploader, target, mib=1, tls=TLS())
    assert isinstance(error, CertificateError)
    assert not target.head


async def test_a_wrong_pin_is_refused_before_the_first_byte(uploader: Uploader) -> None:
    target = Target(tls=server_tls())
    error = await fail(uploader, target, mib=1, tls=TLS(pin="00" * 32))
    assert isinstance(error, PinMismatchError)
    assert not target.head


async def test_http_on_a_tls_port_is_an_error(uploader: Uploader) -> None:
    class Plain(Target):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()
            await writer.wait_closed()

    error = await fail(uploader, Plain(), mib=1, tls=TLS())
    assert type(error) is TLSError
    assert error.outcome == "not_sent"


@pytest.mark.parametrize("moment", ["connected", "midway", "answered"])
@pytest.mark.parametrize("tls", [False, True])
async def test_cancelling_leaves_nothing(
    uploader: Uploader, moment: str, tls: bool, tmp_path: Path
) -> None:
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
        info = await source.info()
        sink = Sink(target, tls=client_tls(tmp_path) if tls else None)
        task = asyncio.create_task(uploader.upload(source, sink, info))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_closed_uploader_is_refused() -> None:
    async with source_of(small(mib=1)) as glance:
        source = glance.image("image")
        with pytest.raises(ClosedError):
            await Uploader().upload(source, Sink(Target(port=1)), await source.info())


@pytest.mark.parametrize(
    "error", [DeadlineError("the target"), TransferRejectedError("full", status=507), OSError("x")]
)
async def test_an_error_of_the_target_is_not_reported_as_the_sources(
    uploader: Uploader, error: Exception
) -> None:
    class Failing(Sink):
        async def put(self, body: AsyncIterable[Buffer], size: int | None) -> None:
            async for _ in body:
                raise error

    async with source_of(small(mib=1)) as glance:
        source = glance.image("image")
        with pytest.raises(type(error)) as caught:
            await uploader.upload(source, Failing(Target(port=1)), await source.info())
    assert caught.value is error


@pytest.mark.slow
async def test_a_slow_target_slows_the_source(uploader: Uploader) -> None:
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
        info = await source.info()
        produced = 0
        task = asyncio.create_task(uploader.upload(source, Sink(target), info))
        await started.wait()
        await asyncio.sleep(0.25)
        assert produced < image.size // 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Limits of both sides: a minimum rate over a window, and a deadline for the head of a response.

PACED = replace(PATIENT, call=0.4, rate=float(1 << 30), window=0.3)


@pytest.mark.slow
async def test_row_86_a_target_that_takes_the_body_too_slowly_is_a_deadline_error(
    uploader: Uploader,
) -> None:
    target = Target()

    async def sip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(1000):
            await reader.read(1 << 12)
            await asyncio.sleep(0.05)

    target.behaviour = sip
    error = await fail(uploader, target, mib=24, timeouts=PACED)
    assert isinstance(error, DeadlineError)
    assert (error.rule, error.phase, error.seconds) == ("rate", "upload", 0.3)
    assert error.bytes is not None


@pytest.mark.slow
async def test_row_86_a_target_that_drips_its_response_is_a_deadline_error(
    uploader: Uploader,
) -> None:
    target = Target()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await target.take(reader)
        while not target.released.is_set():
            for byte in b"HTTP/1.1 100 Continue\r\n\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)

    target.behaviour = drip
    error = await fail(uploader, target, mib=1, timeouts=PACED)
    assert isinstance(error, DeadlineError)
    assert (error.rule, error.phase, error.seconds, error.bytes) == ("call", "call", 0.4, 1 << 20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "rule"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", "rate"),
        (b"", "call"),
    ],
)
async def test_row_86_a_source_that_drips_is_an_error(
    uploader: Uploader, sent: bytes, rule: str
) -> None:
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
    ):
        image = HttpImage(client, f"http://127.0.0.1:{source.port}/x")
        image._info = info = ImageInfo(id="x", name="x", size=1 << 20)
        with pytest.raises(SourceStalledError) as caught:
            await uploader.upload(image, Sink(target), info)
    assert caught.value.rule == rule
    assert not target.whole
