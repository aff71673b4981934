"""Clients that send nonsense over a socket get the fault or the status that is right, in bounded time and memory."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from tests.simulator import trust
from tests.unit.simulator.conftest import Caller
from vimlib.simulator import ESXHost

LARGEST = 32 << 20
PATIENCE = 0.15
"""Seconds that the host of these tests waits for the rest of a request; a client of them waits for it."""
HEAD = "POST /sdk HTTP/1.1\r\nHost: esx\r\nContent-Type: text/xml\r\n"
CALL = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><e:Body>{}</e:Body></e:Envelope>'
)
TIME = '<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>'
READ = (
    '<RetrieveServiceContent xmlns="urn:vim25"><_this type="{}">{}</_this></RetrieveServiceContent>'
)
CLOSED = "closed"
"""No reply: the connection is closed."""


def head(*fields: str, method: str = "POST", path: str = "/sdk") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: esx", *fields, "", ""]).encode()


def post(body: str | bytes, *fields: str) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    return head(f"Content-Length: {len(raw)}", *fields) + raw


def call(body: str) -> bytes:
    return post(CALL.format(body))


@dataclass(frozen=True)
class Row:
    """What a client sends, and what it gets."""

    sent: bytes
    status: int | str
    text: str = ""
    or_closed: bool = False
    """Whether old releases of aiohttp close the connection instead."""
    ends: bool = False
    """Whether the client ends its side of the connection then; else it stays silent."""
    repeat: bytes = b""
    """Sent again and again, until the host answers."""


BOMB = (
    '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    + CALL.format("&b;")
)
FAULT = "InvalidRequestFault"
ROWS = {
    # Requests that are not whole.
    "nothing": Row(b"", CLOSED),
    "nothing, then the end": Row(b"", CLOSED, ends=True),
    "half a request line, then the end": Row(b"POST /s", CLOSED, ends=True),
    "half a head": Row(HEAD.encode(), CLOSED),
    "half a head, then the end": Row(HEAD.encode(), CLOSED, ends=True),
    "half a body": Row(head("Content-Length: 100") + b"<e:En", 408),
    "half a body, then the end": Row(head("Content-Length: 100") + b"<e:En", CLOSED, ends=True),
    "no body": Row(head("Content-Length: 100"), 408),
    "half of a chunk": Row(head("Transfer-Encoding: chunked") + b"ff\r\n<e:En", 408),
    "chunks without a last": Row(head("Transfer-Encoding: chunked") + b"3\r\nabc\r\n", 408),
    "a body that is announced": Row(head("Content-Length: 9", "Expect: 100-continue"), 408),
    "half a file": Row(
        head(
            "Content-Length: 100",
            "{login}",
            method="PUT",
            path="/folder/a.txt?dcPath=ha-datacenter&dsName=datastore1",
        )
        + b"abc",
        408,
    ),
    # Wrong lengths.
    "a length below zero": Row(head("Content-Length: -1"), 400),
    "a length that is no number": Row(head("Content-Length: many"), 400),
    "a length beyond all numbers": Row(head(f"Content-Length: {'9' * 400}"), 400),
    "two lengths": Row(head("Content-Length: 3", "Content-Length: 4") + b"abcd", 400),
    "a length and chunks": Row(
        head("Content-Length: 3", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400
    ),
    "a length that cuts the body": Row(
        head("Content-Length: 40") + CALL.format(TIME).encode(), 400, "Invalid method"
    ),
    "a chunk without a length": Row(head("Transfer-Encoding: chunked") + b"zz\r\nabc\r\n", 400),
    "an unknown coding of the body": Row(head("Transfer-Encoding: gzip") + b"abc", 400),
    # Huge.
    "a body that is announced as huge": Row(head(f"Content-Length: {LARGEST + 1}"), 413),
    "a body without an end": Row(
        head("Transfer-Encoding: chunked"), 413, repeat=b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    ),
    "a small body that would unpack to a huge one": Row(
        post(gzip.compress(bytes(LARGEST + (1 << 20)), 1), "Content-Encoding: gzip"), 500, FAULT
    ),
    "a line without an end": Row(b"GET /", 400, repeat=b"a" * 65536),
    "a field without an end": Row(b"GET / HTTP/1.1\r\nA: ", 400, repeat=b"a" * 65536),
    "fields without an end": Row(
        b"GET / HTTP/1.1\r\n", 400, or_closed=True, repeat=b"A: b\r\n" * 1000
    ),
    "many elements": Row(call("<a/>" * 1_100_000), 500, FAULT),
    "a deep document": Row(call("<a>" * 100_000), 500, FAULT),
    # No HTTP, or not what the host serves.
    "no HTTP": Row(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "HTTP 0.9": Row(b"GET /\r\n\r\n", 200, "VMware ESXi"),
    "an unknown version": Row(b"GET / HTTP/7.5\r\nHost: esx\r\n\r\n", 400),
    "a method that no server has": Row(b"FROB / HTTP/1.1\r\nHost: esx\r\n\r\n", 400),
    "a NUL in a field": Row(head("A: b\0c"), 400),
    "a GET of the service": Row(head(method="GET"), 405),
    "a PUT of the service": Row(head("Content-Length: 0", method="PUT"), 405),
    "a path that nobody serves": Row(head(method="GET", path="/etc/passwd"), 404),
    "a path out of the service": Row(head(method="GET", path="/sdk/../../etc/passwd"), 404),
    "a file without a login": Row(head(method="GET", path="/folder"), 401),
    "a lease that nobody has": Row(head("Content-Length: 0", method="PUT", path="/nfc/x/y"), 404),
    "a guest's file with a false token": Row(
        head(method="GET", path="/guestFile?id=1&token=%C3%BC"), 404
    ),
    # HTTP, but no call.
    "an empty body": Row(post(""), 500, FAULT),
    "no XML": Row(post("hello"), 500, FAULT),
    "bytes": Row(post(bytes(range(256))), 500, FAULT),
    "a broken coding": Row(post(b"no gzip", "Content-Encoding: gzip"), 500, FAULT),
    "an envelope without a call": Row(call(""), 500, FAULT),
    "half an envelope": Row(post(CALL.format(TIME)[:-9]), 500, FAULT),
    "entities": Row(post(BOMB), 500, FAULT),
    "another encoding": Row(post(CALL.format(TIME).encode("utf-16")), 500, FAULT),
    "an unknown method": Row(
        call('<Frobnicate xmlns="urn:vim25"><_this type="Folder">x</_this></Frobnicate>'),
        500,
        "Unable to resolve WSDL method name Frobnicate",
    ),
    "no object": Row(call('<CurrentTime xmlns="urn:vim25"/>'), 500, FAULT),
    "an object that is not there": Row(
        call(READ.format("ServiceInstance", "nonesuch")), 500, "ManagedObjectNotFoundFault"
    ),
    "an object of a type that is not there": Row(
        call(READ.format("Teapot", "ServiceInstance")), 500, "Fault"
    ),
    "a call without a login": Row(
        call(
            '<CreateFolder xmlns="urn:vim25"><_this type="Folder">ha-folder-root</_this><name>a</name></CreateFolder>'
        ),
        500,
        "NotAuthenticatedFault",
    ),
    "a cookie of no session": Row(
        post(CALL.format(TIME), 'Cookie: vmware_soap_session="x"; vmware_soap_session=; ;=;'),
        500,
        "NotAuthenticatedFault",
    ),
}


@asynccontextmanager
async def impatient(*, request: bool = False, idle: bool = False) -> AsyncIterator[ESXHost]:
    """Start a host that soon stops to wait for the rest of a request, or for a request."""
    esx = ESXHost()
    if request:
        esx.registry.request_seconds = PATIENCE
    if idle:
        esx.registry.idle_seconds = PATIENCE
    async with esx:
        yield esx


async def opened(esx: ESXHost) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", esx.port, ssl=trust.context(esx))


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Return the first reply that is final, empty if the connection is closed before it."""
    try:
        top = await reader.readuntil(b"\r\n\r\n")
        while top.startswith(b"HTTP/1.1 100 "):
            top = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    [length] = re.findall(rb"(?i)content-length: (\d+)", top)
    return top + await reader.readexactly(int(length))


async def reply(esx: ESXHost, row: Row) -> tuple[int | str, str, int]:
    """Return the status of the reply to a row, its text, and the bytes that were sent."""
    reader, writer = await opened(esx)
    sent = row.sent
    if b"{login}" in sent:
        pair = f"{esx.credentials.username}:{esx.credentials.password}".encode()
        sent = sent.replace(b"{login}", b"Authorization: Basic " + base64.b64encode(pair))
    got = asyncio.ensure_future(answer(reader))
    count = 0
    try:
        with suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
            count = len(sent)
            while row.repeat and not got.done():
                writer.write(row.repeat)
                await writer.drain()
                count += len(row.repeat)
            if row.ends:
                writer.close()
        raw = b""
        with suppress(ConnectionError):
            raw = await got
    finally:
        got.cancel()
        writer.transport.abort()
    if not raw:
        return CLOSED, "", count
    return int(raw.split()[1]), raw.decode("utf-8", "replace"), count


@pytest.mark.parametrize("name", ROWS)
async def test_nonsense_gets_its_answer(name: str) -> None:
    row = ROWS[name]
    async with impatient(request=row.status == 408, idle=row.status == CLOSED) as esx:
        status, text, sent = await reply(esx, row)
        assert status == row.status or (row.or_closed and status == CLOSED), text[:2000]
        assert row.text in text, text[:2000]
        assert "Traceback" not in text
        # The host reads no more than it may hold, and what is in the buffers of sockets.
        assert sent < LARGEST + (16 << 20)
        await Caller(esx).login()
        if row.status != CLOSED:
            sane = Row(call(READ.format("ServiceInstance", "ServiceInstance")), 200)
            esx.registry.request_seconds = 60
            assert (await reply(esx, sane))[0] == 200


async def test_plain_http_is_no_tls() -> None:
    async with impatient() as esx:
        reader, writer = await asyncio.open_connection("127.0.0.1", esx.port)
        writer.write(head(method="GET"))
        with suppress(ConnectionError):
            assert b"200" not in await reader.read()
        writer.close()


async def test_silent_connections_keep_nobody_out_and_are_closed() -> None:
    async with impatient(idle=True) as esx:
        silent = [await opened(esx) for _ in range(40)]
        (await opened(esx))[1].close()
        await Caller(esx).login()
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
