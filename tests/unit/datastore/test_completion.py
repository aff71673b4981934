"""A transfer is complete when the host's own listing has as many bytes as were transferred."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import vimlib
from tests.rig import certs
from tests.rig.leaks import leakcheck
from tests.rig.login import connected
from tests.rig.relay import HTML, Act, Relay, Reply, Turn, answer, edit, relay
from vimlib._datastore import Datastore
from vimlib.errors import (
    NotFoundError,
    ProtocolError,
    TransferCorruptError,
    TransferRejectedError,
    VimlibError,
)
from vimlib.simulator import ESXHost

DATA = bytes(range(256)) * 400
PAGE = b"<html>please log in</html>"
RAW = ("Content-Type", "application/octet-stream")
GOOD = certs.make("good")


@asynccontextmanager
async def behind() -> AsyncIterator[tuple[ESXHost, Relay, Datastore]]:
    """A host with the file `x`, the relay before it, and its datastore."""
    async with leakcheck(), ESXHost() as esx:
        esx.datastore_path().joinpath("x").write_bytes(DATA)
        async with (
            relay("127.0.0.1", esx.port, tls=GOOD.server_context()) as between,
            connected(esx, url=between.stage.url, tls=vimlib.TLS(pin=GOOD.digest())) as client,
        ):
            yield esx, between, client.datastore("datastore1", settle=0.05)


def shown(change: Callable[[bytes], bytes]) -> Act:
    def changed(reply: Reply) -> Reply:
        reply.body = change(reply.body)
        return reply

    return edit(changed)


async def chunked(turn: Turn) -> None:
    """The whole file, with no length in the head."""
    body = (await turn.forward()).body
    await turn.conn.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(body), body)
    )


async def endless(turn: Turn) -> None:
    """The whole file, ended by the end of the connection."""
    await turn.conn.send((await turn.forward()).raw(length=-1))
    turn.conn.close()


# What a proxy between here and the host sends with a status of 200, and the size that is reported.
LIES: dict[str, tuple[Act, type[VimlibError], int | None]] = {
    "a login page": (answer(200, PAGE, HTML), TransferCorruptError, len(PAGE)),
    "a page that is not called one": (answer(200, PAGE, RAW), TransferCorruptError, len(PAGE)),
    "nothing": (answer(200, b"", RAW), TransferCorruptError, 0),
    "10 bytes less": (shown(lambda body: body[:-10]), TransferCorruptError, len(DATA) - 10),
    "10 bytes more": (shown(lambda body: body + bytes(10)), TransferCorruptError, len(DATA) + 10),
    "chunks": (chunked, ProtocolError, None),
    "no length": (endless, ProtocolError, None),
}


@pytest.mark.parametrize("name", ["x", "disk.vmdk"])
@pytest.mark.parametrize("lie", LIES)
async def test_row_83_what_is_not_the_listed_file_is_no_download(lie: str, name: str) -> None:
    act, kind, actual = LIES[lie]
    async with behind() as (esx, between, store):
        esx.datastore_path().joinpath("disk.vmdk").write_bytes(DATA)
        between.on("GET", act, times=None)
        with pytest.raises(kind) as caught:
            async with store.download(name) as body:
                await body.read()
        error = caught.value
        assert not isinstance(error, TransferCorruptError) or (error.expected, error.actual) == (
            len(DATA),
            actual,
        )
        with pytest.raises(kind):
            await store.compare(name, "00" * 32)


@pytest.mark.parametrize("lie", [lie for lie in LIES if "length" not in lie and lie != "chunks"])
async def test_row_83_a_range_is_of_the_listed_file(lie: str) -> None:
    act, _, actual = LIES[lie]
    async with behind() as (_, between, store):
        between.on("GET", act, times=None)
        with pytest.raises((TransferCorruptError, ProtocolError)):
            async with store.download("x", (5, 20)) as body:
                await body.read()
        between.rules.clear()

        def of_another(reply: Reply) -> Reply:
            reply.headers = [
                (k, f"bytes 5-19/{actual}" if k.lower() == "content-range" else v)
                for k, v in reply.headers
            ]
            return reply

        between.on("GET", edit(of_another))
        with pytest.raises((TransferCorruptError, ProtocolError)):
            async with store.download("x", (5, 20)) as body:
                await body.read()
        async with store.download("x", (5, 20)) as body:
            assert await body.read() == DATA[5:20]


CHANGES: dict[str, Callable[[bytes], bytes | None]] = {
    "grows": lambda data: data + b"more",
    "shrinks": lambda data: data[:-1],
    "is replaced by one of its size": lambda data: data[::-1],
    "goes": lambda data: None,
}


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("change", CHANGES)
async def test_row_84_a_file_that_changes_while_it_is_read_is_no_download(
    change: str, growing: bool
) -> None:
    async with behind() as (esx, _, store):
        file = esx.datastore_path().joinpath("x")
        os.utime(file, (1_000_000_000, 1_000_000_000))
        accepted = growing and change in {"grows", "is replaced by one of its size"}
        got = bytearray()

        async def read() -> None:
            async with store.download("x", growing=growing) as body:
                async for piece in body:
                    if not got:
                        data = CHANGES[change](DATA)
                        file.write_bytes(data) if data is not None else file.unlink()
                    got.extend(piece)

        if accepted:
            await read()
            assert len(got) == len(DATA)
        else:
            with pytest.raises((TransferCorruptError, vimlib.errors.TransportError)) as caught:
                await read()
            if isinstance(caught.value, TransferCorruptError):
                assert (caught.value.outcome, caught.value.retryable) == ("not_sent", True)
                assert caught.value.expected == len(DATA)


async def test_row_84_a_log_that_grew_since_it_was_listed_is_read_as_listed_on_request() -> None:
    """`vmware.log` of a running machine: the listing is older than the answer to GET."""
    async with behind() as (esx, between, store):
        log = esx.datastore_path().joinpath("x")

        async def grow(turn: Turn) -> None:
            with log.open("ab") as file:
                file.write(b"one more line\n")
            await turn.conn.send((await turn.forward()).raw())

        between.on("GET", grow, times=None)
        with pytest.raises(TransferCorruptError, match="growing=True") as caught:
            async with store.download("x"):
                raise AssertionError("not reached")
        assert caught.value.expected == len(DATA)
        listed = log.stat().st_size
        async with store.download("x", growing=True) as body:
            assert (body.size, body.file_size) == (listed, listed)
            assert await body.read() == log.read_bytes()[:listed]
        log.write_bytes(b"")
        async with store.download("x", growing=True) as body:
            assert await body.read() == b""


async def test_a_disk_that_the_host_lists_with_the_size_of_its_extent_is_asked_itself() -> None:
    descriptor = b"# Disk DescriptorFile\nversion=1\n"
    async with behind() as (esx, between, store):
        await store.upload("d.vmdk", descriptor)
        esx.datastore_path().joinpath("x").unlink()

        def listed_larger(body: bytes) -> bytes:
            return body.replace(b"<fileSize>%d<" % len(descriptor), b"<fileSize>1073741824<")

        for call in ("WaitForUpdatesEx", "RetrievePropertiesEx"):
            between.on(call, shown(listed_larger), times=None)
        assert (await store.confirm("d.vmdk", len(descriptor))).size == len(descriptor)
        async with store.download("d.vmdk") as body:
            assert await body.read() == descriptor
        # A page in its place, for HEAD too, has no header of a disk.
        between.on("GET", answer(200, PAGE, RAW), times=None)

        async def page(turn: Turn) -> None:
            await turn.conn.send(Reply(200, [RAW], b"", len(PAGE)).raw())

        between.on("HEAD", page, times=None)
        with pytest.raises(TransferCorruptError, match="header of a disk"):
            async with store.download("d.vmdk") as body:
                await body.read()


@pytest.mark.parametrize("name", ["x", "y-flat.vmdk"])
async def test_row_83_a_page_for_every_request_is_no_upload(name: str) -> None:
    """A proxy that answers PUT and HEAD itself: the host has nothing."""

    async def page(turn: Turn) -> None:
        length = len(DATA) if turn.request.method == "HEAD" else None
        await turn.conn.send(Reply(200, [HTML], b"" if length else PAGE, length).raw())

    async with behind() as (esx, between, store):
        esx.datastore_path().joinpath("x").unlink()
        for method in ("PUT", "HEAD"):
            between.on(method, page, times=None)
        with pytest.raises((TransferCorruptError, ProtocolError)):
            await store.upload(name, DATA)
        assert os.listdir(esx.datastore_path()) == []


# -- PUT answered by 5xx -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504, 507])
async def test_row_85_a_5xx_to_a_put_is_settled_by_the_listing(status: int) -> None:
    """A gateway that lost the host's answer, and one that did not ask the host."""
    async with behind() as (esx, between, store):
        between.on("PUT", answer(status, b"sorry", HTML, forward=True))
        assert (await store.upload("new", DATA)).size == len(DATA)
        assert esx.datastore_path().joinpath("new").read_bytes() == DATA
        assert between.count("PUT") == 1

        between.on("PUT", answer(status, b"sorry", HTML))
        with pytest.raises(TransferRejectedError) as caught:
            await store.upload("other", DATA)
        assert (caught.value.status, caught.value.outcome) == (status, "unknown")

        # Of a file that was there before, the listing cannot tell the old one from the new.
        between.on("PUT", answer(status, b"sorry", HTML))
        with pytest.raises(TransferRejectedError) as caught:
            await store.upload("new", DATA, overwrite=True)
        assert caught.value.outcome == "unknown"
        assert between.count("PUT") == 3


async def test_row_85_a_5xx_and_a_shorter_file_is_no_upload() -> None:
    async with behind() as (_, between, store):

        async def half(turn: Turn) -> None:
            turn.request.body = turn.request.body[:1000]
            await turn.forward()
            await turn.conn.send(Reply(502, [HTML], b"sorry").raw())

        between.on("PUT", half)
        with pytest.raises(TransferRejectedError) as caught:
            await store.upload("new", DATA)
        assert (caught.value.status, caught.value.outcome) == (502, "unknown")


# -- PUT that meets the end of the session -----------------------------------------------------------


@pytest.mark.parametrize("source", ["bytes", "file", "iterable"])
async def test_row_33_a_put_that_meets_the_end_of_the_session_is_sent_once_more(
    source: str, tmp_path: Path
) -> None:
    async with behind() as (esx, between, store):
        file = tmp_path / "source.bin"
        file.write_bytes(DATA)

        async def chunks() -> AsyncIterator[bytes]:
            yield DATA

        given = {"bytes": DATA, "file": file, "iterable": chunks()}[source]
        told: list[int] = []

        async def ended(turn: Turn) -> None:
            esx.expire_sessions()
            await turn.conn.send((await turn.forward()).raw())

        logins = between.count("Login")
        between.on("PUT", ended)
        work = store.upload("new", given, size=len(DATA), progress=told.append, verify="hash")  # type: ignore[arg-type]
        if source == "iterable":  # it cannot begin again
            with pytest.raises(TransferRejectedError) as caught:
                await work
            assert (caught.value.status, caught.value.outcome) == (401, "refused")
            return
        assert (await work).size == len(DATA)
        assert esx.datastore_path().joinpath("new").read_bytes() == DATA
        assert (between.count("PUT"), between.count("Login") - logins) == (2, 1)
        assert sum(told) == len(DATA)

        between.on("PUT", answer(401, b"", HTML), times=None)
        with pytest.raises(TransferRejectedError) as caught:
            await store.upload("other", DATA)
        assert (caught.value.status, caught.value.outcome) == (401, "refused")
        assert between.count("PUT") == 4


async def test_a_file_that_is_not_listed_is_not_found() -> None:
    async with behind() as (_, between, store):
        between.on("GET", answer(200, PAGE, RAW), times=None)
        with pytest.raises(NotFoundError):
            async with store.download("absent"):
                raise AssertionError("not reached")
        assert between.count("GET") == 1  # the list of API versions
