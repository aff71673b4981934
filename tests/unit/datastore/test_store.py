"""Files on the simulated host, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

import vimlib
from tests.rig.cancel import cancel_everywhere
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from tests.rig.proxy import Fault, FaultProxy, fault_proxy
from vimlib._client import Client
from vimlib._datastore import Datastore, DatastorePath, Download
from vimlib._datastore.deadline import Course
from vimlib.errors import (
    ConnectionLostError,
    InvalidPathError,
    NotFoundError,
    OutcomeUnknownError,
    SourceError,
    TransferCorruptError,
    TransferRejectedError,
    TransportError,
    UsageError,
)
from vimlib.simulator import ESXHost
from vimlib.simulator._service.tasks import Task

DATA = bytes(range(256)) * 3000


@asynccontextmanager
async def client_of(esx: ESXHost, url: str | None = None) -> AsyncIterator[Client]:
    async with connected(
        esx, url=url, timeouts=vimlib.Timeouts(read=1, write=5, logout=2)
    ) as client:
        yield client


@pytest.fixture
async def esx() -> AsyncIterator[ESXHost]:
    async with leakcheck(), ESXHost() as host:
        yield host


@pytest.fixture
async def store(esx: ESXHost) -> AsyncIterator[Datastore]:
    async with client_of(esx) as client:
        yield client.datastore("datastore1", settle=0.1)


def root(esx: ESXHost) -> Path:
    return esx.datastore_path("datastore1")


async def chunks(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("version", ["4.0", "4.1", "6.7", "9.0"])
async def test_all_verbs_on_hosts_of_all_ages(version: str) -> None:
    async with leakcheck(), ESXHost(version=version) as esx, client_of(esx) as client:
        store = client.datastore("datastore1")
        await store.mkdir("a/b c", parents=True)
        await store.mkdir("a/b c", exist_ok=True)
        entry = await store.upload("a/b c/ü %41#?.bin", DATA)
        assert (entry.name, entry.size, entry.is_dir) == ("ü %41#?.bin", len(DATA), False)
        assert (root(esx) / "a/b c/ü %41#?.bin").read_bytes() == DATA
        assert [item.name for item in await store.list("a")] == ["b c"]
        assert (await store.stat("a")).is_dir
        assert (await store.stat("[datastore1] a/b c/ü %41#?.bin")).size == len(DATA)
        await store.copy("a/b c/ü %41#?.bin", "a/copy")
        await store.move("a/copy", "[datastore1] a/moved")
        assert not await store.exists("a/copy")
        async with store.download("a/moved") as body:
            assert body.size == len(DATA)
            assert await body.read() == DATA
        await store.delete("a/moved")
        await store.delete("a/moved", missing_ok=True)
        await store.delete("a")
        assert await store.list() == []


async def test_sources_of_all_kinds(store: Datastore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(DATA)
    seen: list[int] = []
    assert (await store.upload("bytes", DATA)).size == len(DATA)
    assert (await store.upload("view", memoryview(DATA))).size == len(DATA)
    assert (await store.upload("file", file)).size == len(DATA)
    assert (await store.upload("name", str(file))).size == len(DATA)
    assert (
        await store.upload("chunks", chunks(DATA), size=len(DATA), progress=seen.append)
    ).size == len(DATA)
    assert (await store.upload("empty", b"")).size == 0
    assert sum(seen) == len(DATA)
    with pytest.raises(UsageError):
        await store.upload("x", chunks(DATA))
    with pytest.raises(SourceError):
        await store.upload("x", tmp_path / "absent")


async def test_a_folder_is_no_source(esx: ESXHost, store: Datastore, tmp_path: Path) -> None:
    before = len(esx.call_log)
    with pytest.raises(SourceError, match="is a folder") as caught:
        await store.upload("x", tmp_path)
    assert caught.value.outcome == "not_sent"
    assert len(esx.call_log) == before


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
async def test_a_source_of_another_size_is_never_stored_whole(
    esx: ESXHost, store: Datastore, size: int
) -> None:
    with pytest.raises(SourceError):
        await store.upload("x", chunks(DATA), size=size)
    assert not (root(esx) / "x").exists() or (root(esx) / "x").stat().st_size < size


async def test_row_47_what_is_there_is_not_overwritten_unasked(
    esx: ESXHost, store: Datastore
) -> None:
    (root(esx) / "x").write_bytes(b"mine")
    with pytest.raises(TransferRejectedError) as caught:
        await store.upload("x", DATA)
    assert (caught.value.status, caught.value.outcome) == (409, "refused")
    assert (root(esx) / "x").read_bytes() == b"mine"
    await store.upload("x", DATA, overwrite=True)
    assert (root(esx) / "x").read_bytes() == DATA


async def test_row_46_a_host_that_lies_about_the_size(esx: ESXHost, store: Datastore) -> None:
    await store.upload("x", DATA)
    esx.lie("datastore1", "x", 5)
    with pytest.raises(TransferCorruptError) as caught:
        await store.upload("x", DATA, overwrite=True)
    assert (caught.value.expected, caught.value.actual) == (len(DATA), 5)
    assert caught.value.outcome == "applied"


async def flipped(esx: ESXHost, name: str, work: Awaitable[object]) -> None:
    """Run an upload of `DATA`, flipping one bit of what is stored between the PUT and the look at it."""
    esx.faults.hold_task("SearchDatastore_Task")
    task = asyncio.ensure_future(work)
    file = root(esx) / name
    async with asyncio.timeout(60):
        while not file.exists() or file.stat().st_size < len(DATA) or not _searching(esx):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    stored = bytearray(file.read_bytes())
    stored[len(DATA) // 2] ^= 1
    file.write_bytes(stored)
    esx.faults.release_task("SearchDatastore_Task")
    await task


def _searching(esx: ESXHost) -> bool:
    return len(esx.calls("SearchDatastore_Task")) > 0


@pytest.mark.parametrize("direct", [False, True])
async def test_row_46_a_bit_that_flips_in_storage_is_found_on_request(
    esx: ESXHost, store: Datastore, direct: bool
) -> None:
    # By default the host's word for the size is taken, and the documents say so.
    await flipped(esx, "x", store.upload("x", DATA, overwrite=True))
    esx.call_log.clear()
    with pytest.raises(TransferCorruptError) as caught:
        await flipped(
            esx, "y", store.upload("y", DATA, overwrite=True, verify="hash", direct=direct)
        )
    error = caught.value
    assert (error.outcome, error.retryable) == ("applied", False)
    assert error.expected == hashlib.sha256(DATA).hexdigest()
    assert error.actual == hashlib.sha256((root(esx) / "y").read_bytes()).hexdigest()
    assert "differs from the bytes that were sent" in str(error)
    # Whose name it is, is the caller's: it stays, as documented.
    assert (root(esx) / "y").stat().st_size == len(DATA)


@pytest.mark.parametrize("body", ["bytes", "chunks", "file", "empty"])
async def test_row_46_what_is_stored_as_it_was_sent_verifies(
    esx: ESXHost, store: Datastore, tmp_path: Path, body: str
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    source = {"bytes": DATA, "chunks": chunks(DATA), "file": tmp_path / "file", "empty": b""}[body]
    size = 0 if body == "empty" else len(DATA)
    entry = await store.upload("x", source, size=size, verify="hash")  # type: ignore[arg-type]
    assert entry.size == size
    told: list[int] = []
    digest = hashlib.sha512(DATA[:size]).hexdigest()
    await store.compare("x", digest.upper(), "sha512", progress=told.append)
    assert sum(told) == size
    with pytest.raises(TransferCorruptError):
        await store.compare("x", "00" * 64, "sha512")


async def test_row_46_a_source_may_fill_its_buffer_again(store: Datastore) -> None:
    async def refilled() -> AsyncIterator[bytearray]:
        buffer = bytearray(4)
        for number in range(16):
            buffer[:] = bytes([number]) * 4
            yield buffer

    await store.upload("x", refilled(), size=64, verify="hash")


async def test_what_cannot_be_verified(esx: ESXHost, store: Datastore) -> None:
    with pytest.raises(UsageError):
        await store.upload("x", DATA, verify="sha1")  # type: ignore[arg-type]
    for algorithm in ("no-such", "shake_128"):
        with pytest.raises(UsageError):
            await store.compare("x", "00", algorithm)
    assert not (root(esx) / "x").exists()


async def test_row_46_a_read_back_that_fails_is_no_success(esx: ESXHost, store: Datastore) -> None:
    esx.faults.add("GET", "status", status=500)
    with pytest.raises(TransferRejectedError) as caught:
        await store.upload("x", DATA, verify="hash")
    assert (caught.value.status, caught.value.outcome) == (500, "unknown")
    assert (root(esx) / "x").read_bytes() == DATA


async def test_a_hash_is_of_what_passed_and_closes_what_it_reads() -> None:
    from vimlib._datastore.digest import Digest

    closed = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            for _ in range(40):
                yield DATA[:100_000]
        finally:
            closed = True

    digest = Digest()
    got = b"".join([chunk async for chunk in digest.passing(body())])
    assert await digest.hexdigest() == hashlib.sha256(got).hexdigest()
    closed = False
    async with aclosing(Digest().passing(body())) as passing:
        await anext(passing)
        assert not closed
    assert closed


@pytest.mark.parametrize("status", [401, 403, 500, 503, 507])
@pytest.mark.parametrize("after", [0, 200_000])
async def test_row_45_a_refusal_is_told_as_it_is(
    esx: ESXHost, store: Datastore, status: int, after: int
) -> None:
    await store.place()
    esx.faults.add("PUT", "status", status=status, after=after)
    with pytest.raises(TransferRejectedError) as caught:
        await store.upload("x", chunks(DATA), size=len(DATA))
    assert caught.value.status == status


async def test_row_45_a_datastore_that_is_full(esx: ESXHost, store: Datastore) -> None:
    esx.fill("datastore1", free=1000)
    with pytest.raises(TransferRejectedError) as caught:
        await store.upload("x", chunks(DATA), size=len(DATA))
    assert caught.value.status == 507
    assert "Free some space" in str(caught.value)


@pytest.mark.parametrize("what", ["drop", "reset"])
async def test_row_45_a_connection_that_breaks_amid_the_body(
    esx: ESXHost, store: Datastore, what: str
) -> None:
    await store.place()
    esx.faults.add("PUT", what, after=100_000)  # type: ignore[arg-type]
    with pytest.raises(ConnectionLostError) as caught:
        await store.upload("x", chunks(DATA), size=len(DATA))
    assert caught.value.outcome == "unknown"


async def test_row_33_a_session_that_ended_before_the_body_is_renewed_first(
    esx: ESXHost, store: Datastore
) -> None:
    await store.place()
    for _ in range(2):
        esx.expire_sessions()
        await store.upload("x", DATA, overwrite=True)
    async with store.download("x") as body:
        esx.expire_sessions()
        assert await body.read() == DATA


async def test_row_33_a_session_that_ends_amid_the_body_fails_and_is_not_resumed(
    esx: ESXHost, store: Datastore
) -> None:
    await store.place()
    rule = esx.faults.add("PUT", "status", status=401, after=100_000, times=None)
    with pytest.raises(TransferRejectedError) as caught:
        await store.upload("x", chunks(DATA), size=len(DATA))
    assert (caught.value.status, caught.value.outcome) == (401, "refused")
    assert "from the first byte" in str(caught.value)
    assert rule.hits == 1, "the body was sent once"
    assert not (root(esx) / "x").exists() or (root(esx) / "x").stat().st_size < len(DATA)
    esx.faults.clear()
    # A fresh attempt, from byte 0, is the caller's to make.
    await store.upload("x", chunks(DATA), size=len(DATA), overwrite=True)
    assert (root(esx) / "x").read_bytes() == DATA


@pytest.mark.parametrize(
    ("asked", "expected"),
    [((0, 10), DATA[:10]), ((5, None), DATA[5:]), ((100, 200_000), DATA[100:200_000]),
     ((len(DATA) - 1, None), DATA[-1:]), ((10, 10**9), DATA[10:]), (None, DATA)],
)  # fmt: skip
async def test_ranges(
    store: Datastore, asked: tuple[int, int | None] | None, expected: bytes
) -> None:
    await store.upload("x", DATA)
    async with store.download("x", asked) as body:
        assert body.size == len(expected)
        assert body.file_size == len(DATA)
        assert await body.read() == expected


@pytest.mark.parametrize("asked", [(-1, None), (5, 5), (5, 4)])
async def test_ranges_that_are_none(store: Datastore, asked: tuple[int, int | None]) -> None:
    with pytest.raises(UsageError):
        async with store.download("x", asked):
            pass


async def test_a_range_behind_the_end(store: Datastore) -> None:
    await store.upload("x", DATA)
    with pytest.raises(TransferRejectedError) as caught:
        async with store.download("x", (len(DATA) + 5, None)):
            pass
    assert caught.value.status == 416


@asynccontextmanager
async def store_behind(esx: ESXHost) -> AsyncIterator[tuple[Datastore, FaultProxy]]:
    """A datastore behind a proxy that has let pass what came before, whatever it does from now on."""
    async with (
        fault_proxy(esx.registry.address, esx.port) as proxy,
        client_of(esx, proxy.url()) as client,
    ):
        store = client.datastore("datastore1")
        await store.upload("x", DATA)
        yield store, proxy


@pytest.mark.parametrize("what", ["close", "reset", "half"])
async def test_a_download_goes_on_where_it_broke(
    esx: ESXHost, what: Literal["close", "reset", "half"]
) -> None:
    async with store_behind(esx) as (store, proxy):
        # Small answers pass; a body is cut again and again.
        proxy.default = Fault(after=200_000, what=what)
        async with store.download("x") as body:
            assert await body.read() == DATA
            assert body.resumed >= 3
            assert proxy.struck == body.resumed


@pytest.mark.parametrize("what", ["drop", "reset"])
async def test_a_download_whose_first_request_breaks_is_asked_for_again(
    esx: ESXHost, store: Datastore, what: Literal["drop", "reset"]
) -> None:
    await store.upload("x", DATA)
    esx.faults.add("GET", what, times=2)
    async with store.download("x") as body:
        assert await body.read() == DATA
    rule = esx.faults.add("GET", what, times=None)
    with pytest.raises(ConnectionLostError):
        async with store.download("x"):
            raise AssertionError("not reached")
    assert rule.hits == 3


@pytest.mark.slow
async def test_a_download_goes_on_after_silence(esx: ESXHost) -> None:
    async with store_behind(esx) as (store, proxy):
        proxy.queue = [Fault(after=200_000, what="hold")]
        async with store.download("x") as body:
            assert await body.read() == DATA
            assert body.resumed == 1


@pytest.mark.parametrize("after", [0, 3000])
async def test_a_download_that_breaks_for_ever_ends(esx: ESXHost, after: int) -> None:
    async with store_behind(esx) as (store, proxy):
        proxy.queue = [Fault(after=100_000)]
        proxy.default = Fault(after=after)
        with pytest.raises(TransportError) as caught:
            async with store.download("x") as body:
                await body.read()
        assert caught.value.retryable
        assert proxy.struck < 10


async def test_a_file_that_changes_amid_a_download_is_never_spliced(esx: ESXHost) -> None:
    async with store_behind(esx) as (store, proxy):
        proxy.queue = [Fault(after=200_000)]
        got = bytearray()
        async with store.download("x") as body:
            with pytest.raises(TransferCorruptError):
                await _read_while(body, got, lambda: (root(esx) / "x").write_bytes(DATA + b"more"))
        assert DATA.startswith(bytes(got))


async def _read_while(body: Download, into: bytearray, act: Callable[[], object]) -> None:
    async for piece in body:
        into += piece
        act()


async def test_a_flipped_bit_is_a_broken_connection(esx: ESXHost) -> None:
    async with store_behind(esx) as (store, proxy):
        proxy.queue = [Fault(after=200_000, what="flip")]
        async with store.download("x") as body:
            assert await body.read() == DATA
            assert body.resumed == 1


async def test_what_is_not_there(store: Datastore) -> None:
    with pytest.raises(NotFoundError):
        await store.stat("absent")
    with pytest.raises(NotFoundError):
        await store.list("absent")
    with pytest.raises(NotFoundError):
        await store.delete("absent")
    with pytest.raises(NotFoundError):
        await store.move("absent", "x")
    with pytest.raises(NotFoundError):
        async with store.download("absent"):
            pass
    assert not await store.exists("absent/deeper")


@pytest.mark.parametrize("verb", ["move", "copy"])
async def test_a_folder_that_is_not_there_is_not_the_file_that_was_to_go_there(
    store: Datastore, verb: str
) -> None:
    await store.upload("here", b"x")
    with pytest.raises(NotFoundError) as caught:
        await getattr(store, verb)("here", "absent/there")
    assert caught.value.name == "[datastore1] absent"
    with pytest.raises(NotFoundError) as caught:
        await getattr(store, verb)("nowhere", "absent/there")
    assert caught.value.name == "[datastore1] nowhere"


async def test_a_folder_is_not_a_file(store: Datastore) -> None:
    """The host answers with a page that lists it; a file may be a page too."""
    await store.mkdir("folder")
    await store.upload("page.html", b"<html>mine</html>")
    for range_ in (None, (0, 5)):
        with pytest.raises(UsageError, match="is a folder"):
            async with store.download("folder", range_):
                raise AssertionError("not reached")
    async with store.download("page.html") as body:
        assert await body.read() == b"<html>mine</html>"


async def test_the_root_is_no_file(esx: ESXHost, store: Datastore) -> None:
    before = len(esx.call_log)
    attempts: list[Awaitable[object]] = [
        store.upload("", b"x", overwrite=True),
        store.move("", "x"),
        store.move("x", ""),
        store.copy("[datastore1]", "x"),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError, match="root"):
            await attempt
    with pytest.raises(UsageError, match="root"):
        async with store.download(""):
            raise AssertionError("not reached")
    assert len(esx.call_log) == before


async def test_paths_of_others(store: Datastore) -> None:
    for path in ("[other] x", DatastorePath("other", "x")):
        with pytest.raises(UsageError):
            await store.stat(path)
    with pytest.raises(InvalidPathError):
        await store.stat("../x")
    with pytest.raises(UsageError):
        await store.delete("")


async def test_no_such_datastore(esx: ESXHost) -> None:
    async with client_of(esx) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.datastore("absent").list()
    assert (caught.value.kind, caught.value.name) == ("Datastore", "absent")


@pytest.mark.parametrize("name", ["a*b", "a?b", "a[b]c", "[x]", "\\x", "a*", "%2e%2e"])
async def test_names_that_are_patterns(store: Datastore, name: str) -> None:
    await store.upload("axb", b"decoy")
    assert (await store.upload(f"[datastore1] {name}", DATA)).size == len(DATA)
    assert (await store.stat(f"[datastore1] {name}")).size == len(DATA)
    await store.delete(f"[datastore1] {name}")
    assert [entry.name for entry in await store.list()] == ["axb"]


async def test_a_lost_answer_is_made_up_by_looking(esx: ESXHost, store: Datastore) -> None:
    await store.upload("x", DATA)
    esx.faults.add("MoveDatastoreFile_Task", "lose")
    await _settled(esx, store.move("x", "y"))
    esx.faults.add("DeleteDatastoreFile_Task", "lose")
    await _settled(esx, store.delete("y"))
    esx.faults.add("MakeDirectory", "lose")
    await store.mkdir("folder", exist_ok=True)
    for method in ("MoveDatastoreFile_Task", "DeleteDatastoreFile_Task", "MakeDirectory"):
        assert len(esx.calls(method)) == 1, f"{method} was sent twice"
    assert [entry.name for entry in await store.list()] == ["folder"]


async def test_a_file_is_no_folder_when_the_answer_is_lost(esx: ESXHost, store: Datastore) -> None:
    await store.upload("x", b"a file")
    esx.faults.add("MakeDirectory", "lose")
    with pytest.raises(OutcomeUnknownError):
        await store.mkdir("x", exist_ok=True)


async def test_what_was_never_there_has_not_been_moved(esx: ESXHost, store: Datastore) -> None:
    await store.upload("y", b"somebody else's")
    esx.faults.add("MoveDatastoreFile_Task", "lose")
    with pytest.raises(NotFoundError):
        await store.move("x", "y")
    assert not esx.calls("MoveDatastoreFile_Task")


async def test_another_file_under_the_new_name_is_no_proof_of_a_move(
    esx: ESXHost, store: Datastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.upload("x", DATA)
    await store.upload("y", b"somebody else's")
    folder = esx.datastore_path("datastore1")
    changing = Course.changing

    def taken_away(course: Course) -> None:
        changing(course)
        (folder / "x").unlink()  # by somebody, just after we looked

    monkeypatch.setattr(Course, "changing", taken_away)
    esx.faults.add("MoveDatastoreFile_Task", "reset")
    with pytest.raises(OutcomeUnknownError):
        await store.move("x", "y")


async def _settled(esx: ESXHost, work: object) -> None:
    """Await it; the host's task may still run when we look, and then the honest answer is unknown."""
    try:
        await work  # type: ignore[misc]
    except OutcomeUnknownError:
        async with asyncio.timeout(60):
            while any(isinstance(o, Task) and not o.done for o in esx.registry.objects.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.005)


async def test_a_file_that_was_stored_by_others_is_confirmed(
    esx: ESXHost, store: Datastore
) -> None:
    with pytest.raises(TransferCorruptError):
        await store.confirm("x", len(DATA))
    (root(esx) / "x").write_bytes(DATA)
    assert (await store.confirm("x", len(DATA))).size == len(DATA)


async def test_tickets_are_used_where_there_are_any() -> None:
    for version, tickets in (("4.1", 0), ("8.0", 2)):
        async with leakcheck(), ESXHost(version=version) as esx, client_of(esx) as client:
            store = client.datastore("datastore1")
            await store.upload("x", DATA, direct=True)
            async with store.download("x", direct=True) as body:
                assert await body.read() == DATA
            assert len(esx.calls("AcquireGenericServiceTicket")) == tickets


@pytest.mark.slow
async def test_upload_and_download_cancelled_at_every_await(
    esx: ESXHost, record_property: Callable[[str, object], None]
) -> None:
    data = os.urandom(300_000)

    async def attempt() -> None:
        async with client_of(esx) as client:
            store = client.datastore("datastore1")
            await store.upload("x", chunks(data, 100_000), size=len(data), overwrite=True)
            async with store.download("x") as body:
                assert await body.read() == data

    async def check(at: int) -> None:
        async with asyncio.timeout(60):
            while esx.sessions.by_cookie:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    report = await cancel_everywhere(attempt, check, every=3)
    record_property("suspensions", str(report))
    assert report.suspensions > 50
