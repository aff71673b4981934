"""Replies that are late, short, wrong or hostile: rows 11 to 29 of the catalogue of faults."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.rig import certs, clock
from tests.rig.stage import Conn, stage
from vimlib import vim25
from vimlib._secret import Secret
from vimlib._tls import TLS
from vimlib._transport import EncodedCall, HTTPRequest, HTTPTransport, Timeouts
from vimlib._transport.base import session_cookie
from vimlib._transport.status import LONGEST_WAIT, retry_after
from vimlib.errors import (
    ConnectionLostError,
    DeadlineError,
    HTTPStatusError,
    LimitError,
    ProtocolError,
    RedirectError,
    TransportError,
    UnexpectedReplyError,
    VimlibError,
)
from vimlib.soap import Decoder, Limits, encode_response

pytestmark = pytest.mark.usefixtures("no_leaks")
GOOD = certs.make("good")
CurrentTime = vim25.ServiceInstance.CurrentTime
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REPLY = encode_response(CurrentTime, NOW)
XML = (("Content-Type", "text/xml; charset=utf-8"),)
SMALL = Limits(wire=1 << 20, inflated=1 << 20, elements=10_000, text=1 << 16)


def sending(
    raw: bytes, *, then: Callable[[Conn], Any] | None = None
) -> Callable[[Conn], Awaitable[None]]:
    """Read a request, send these bytes, then close or do `then`."""

    async def play(conn: Conn) -> None:
        await conn.request()
        await conn.send(raw)
        if then is not None:
            result = then(conn)
            if result is not None:
                await result

    return play


def http(
    body: bytes = REPLY, *headers: str, status: str = "200 OK", length: int | None = -1
) -> bytes:
    lines = [f"HTTP/1.1 {status}"]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: text/xml; charset=utf-8")
    return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + body


async def ask(
    script: Callable[[Conn], Awaitable[None]],
    *,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
) -> Any:
    """Make one call of CurrentTime on a stage and decode its reply."""
    timeouts = timeouts or Timeouts(read=30, call=60)
    async with (
        stage(script, GOOD.server_context()) as server,
        HTTPTransport(
            server.url, tls=TLS(pin=GOOD.digest()), timeouts=timeouts, limits=limits
        ) as transport,
    ):
        decoder = Decoder(CurrentTime, limits=limits or Limits())
        await transport.exchange(
            EncodedCall(method="CurrentTime", body=b"<call/>", receive=decoder.feed)
        )
        return decoder.close()


async def decoded(transport: HTTPTransport) -> Any:
    """Make one call of CurrentTime and decode its reply."""
    decoder = Decoder(CurrentTime)
    await transport.exchange(
        EncodedCall(method="CurrentTime", body=b"<call/>", receive=decoder.feed)
    )
    return decoder.close()


async def failing(script: Callable[[Conn], Awaitable[None]], **how: Any) -> VimlibError:
    with pytest.raises(VimlibError) as caught:
        await ask(script, **how)
    return caught.value


async def test_a_sound_reply() -> None:
    assert await ask(sending(http())) == NOW


async def test_row_11_half_close_amid_the_reply() -> None:
    error = await failing(sending(http(REPLY[:200], length=len(REPLY)), then=Conn.close))
    assert type(error) is ConnectionLostError
    assert error.outcome == "unknown"


async def trickle(conn: Conn) -> None:
    await conn.request()
    for byte in http():
        await conn.send(bytes([byte]))
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_row_12_slow_loris_meets_the_deadline_of_the_call() -> None:
    error = await failing(trickle, timeouts=Timeouts(read=30, call=0.5))
    assert isinstance(error, DeadlineError)
    assert (error.phase, error.seconds, error.outcome) == ("call", 0.5, "unknown")


@pytest.mark.slow
async def test_row_12_slow_loris_meets_the_deadline_of_a_read() -> None:
    async def stall(conn: Conn) -> None:
        await conn.request()
        await conn.send(http()[:300])
        await conn.hold()

    error = await failing(stall, timeouts=Timeouts(read=0.3, call=60))
    assert isinstance(error, DeadlineError)
    assert (error.phase, error.outcome) == ("read", "unknown")


@pytest.mark.slow
def test_row_13_the_reply_never_comes_and_the_connection_is_not_used_again() -> None:
    clock.run_hosted(_row_13())


async def _row_13() -> None:
    async def once(conn: Conn) -> None:
        await conn.request()
        await conn.hold()

    async def serve(conn: Conn) -> None:
        await conn.request()
        await conn.reply(200, REPLY)

    async with (
        stage([once, serve], GOOD.server_context()) as server,
        HTTPTransport(
            server.url, tls=TLS(pin=GOOD.digest()), timeouts=Timeouts(read=0.3)
        ) as transport,
    ):
        call = EncodedCall(method="CurrentTime", body=b"<call/>", receive=lambda _: None)
        with pytest.raises(DeadlineError) as caught:
            await transport.exchange(call)
        assert caught.value.phase == "read"
        assert (await transport.exchange(call)).status == 200
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2),
        ("0", 0),
        ("1000000000", LONGEST_WAIT),
        ("9" * 400, LONGEST_WAIT),
        (email.utils.formatdate(1000 + 5, usegmt=True), 5),
        (email.utils.formatdate(1000 - 50, usegmt=True), 0),
        (email.utils.formatdate(10**10, usegmt=True), LONGEST_WAIT),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("Thu, 99 Foo 2026 00:00:00 GMT", None),
        (None, None),
    ],
)
def test_row_14_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=1000.0) == seconds


@pytest.mark.parametrize(
    ("status", "outcome", "retryable"),
    [
        (401, "refused", False),
        (403, "refused", False),
        (404, "refused", False),
        (408, "unknown", True),
        (413, "refused", False),
        (429, "refused", True),
        (502, "unknown", True),
        (503, "unknown", True),
        (504, "unknown", True),
        (418, "unknown", False),
        (204, "unknown", False),
    ],
)
async def test_row_14_15_a_status_that_is_no_answer(
    status: int, outcome: str, retryable: bool
) -> None:
    error = await failing(
        sending(
            http(
                b"" if status == 204 else b"<b>busy</b>",
                "Content-Type: text/html",
                "Retry-After: 2",
                status=f"{status} X",
            )
        )
    )
    assert isinstance(error, HTTPStatusError)
    assert (error.status, error.outcome, error.retryable) == (status, outcome, retryable)
    assert error.retry_after == 2
    if status != 204:
        assert error.excerpt == "busy"  # HTML is shown without its tags


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:{}/sdk", "//127.0.0.1:{}/sdk", "/elsewhere", "//x\x1b"]
)
async def test_row_17_no_redirect_is_followed(status: int, where: str) -> None:
    async with stage(sending(http())) as trap:
        location = where.format(trap.port)
        raw = http(b"", f"Location: {location}", status=f"{status} Moved")
        await refuses_to_follow(raw, location)
        assert trap.connections == [], "nobody came where the redirect leads"


async def refuses_to_follow(raw: bytes, where: str) -> None:
    async with stage(sending(raw), GOOD.server_context()) as server:
        async with HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport:
            with pytest.raises(TransportError) as caught:
                await transport.exchange(
                    EncodedCall(
                        method="Login", body=b"secret", receive=lambda _: None, cookie=Secret("c")
                    )
                )
            if "\x1b" not in where:
                assert type(caught.value) is RedirectError
                assert caught.value.outcome == "refused"
                with pytest.raises(RedirectError):
                    async with transport.http(HTTPRequest(method="PUT", target="/folder/x")):
                        pass
        # One connection for the call, one for the transfer, one request on each: it was not asked
        # for the other place either.
        requests = [conn.received.count(b" HTTP/1.1\r\n") for conn in server.connections]
        assert set(requests) == {1}


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
async def test_row_18_an_html_page(status: str) -> None:
    page = b"<html><body>Welcome to ESXi\x1b[2J\r\n" + b"x" * 5000
    error = await failing(sending(http(page, "Content-Type: text/html", status=status)))
    assert type(error) is UnexpectedReplyError
    assert error.excerpt.startswith("Welcome to ESXi\\x1b")
    assert len(error.excerpt) < 250
    assert "\x1b" not in str(error)
    assert status[:3] in str(error)


@pytest.mark.parametrize(
    "body",
    [b"", b"   \r\n\t ", b"\xef\xbb\xbf", b'<?xml version="1.0"?>', b"hello", b"<html/>", b"\0"],
)
@pytest.mark.parametrize("kind", ["text/xml", None])
async def test_row_19_a_reply_without_an_envelope(body: bytes, kind: str | None) -> None:
    raw = (
        http(body)
        if kind
        else http(body).replace(b"Content-Type: text/xml; charset=utf-8\r\n", b"")
    )
    error = await failing(sending(raw))
    assert isinstance(error, ProtocolError)


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [True, False])
async def test_row_20_truncated_at_every_offset(lengths: bool) -> None:
    """With a Content-Length that lies, and without one: never a value, never another error."""
    body = REPLY.rstrip()
    offsets = iter(range(len(body)))
    done = 0

    async def play(conn: Conn) -> None:
        await conn.request()
        at = next(offsets)
        await conn.send(http(body[:at], length=len(body) if lengths else None))
        conn.close()

    async with (
        stage(play, GOOD.server_context()) as server,
        HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport,
    ):
        for _ in range(len(body)):
            with pytest.raises((TransportError, ProtocolError)):
                await decoded(transport)
            done += 1
    assert done == len(body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (REPLY, "text/xml; charset=iso-8859-1"),
        (REPLY, "text/xml; charset=utf-16"),
        (REPLY, 'application/xml; charset="latin1"'),
        (REPLY.decode().encode("utf-16"), "text/xml"),
        (REPLY.replace(b"UTF-8", b"ISO-8859-1").replace(b"2026", b"20\xe426"), "text/xml"),
        (REPLY.replace(b"2026", b"\xff\xfe26"), "text/xml; charset=utf-8"),
    ],
)
async def test_row_21_another_charset(body: bytes, kind: str) -> None:
    error = await failing(sending(http(body, f"Content-Type: {kind}")))
    assert isinstance(error, ProtocolError)


def wrapped(inner: bytes) -> bytes:
    return REPLY.replace(b"<returnval", inner + b"<returnval", 1)


ENDLESS = {
    "depth": b"<a>" * 100_000,
    "text": b"<returnval>" + b"x" * (64 << 20),
    "elements": b"<a/>" * 10_100_000,
    "attributes": b"<a " + b" ".join(b'a%d="y"' % i for i in range(100_000)) + b"/>",
}


@pytest.mark.slow
@pytest.mark.parametrize("limit", ENDLESS)
async def test_row_23_what_is_refused_took_little_memory(limit: str) -> None:
    """The limits that hold by default, against replies that would not end."""
    raw = http(wrapped(ENDLESS[limit]))  # made before memory is looked at
    before = _status("VmRSS")
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # forgets the peak
    error = await failing(sending_all(raw), timeouts=Timeouts(read=60, call=100))
    assert isinstance(error, LimitError)
    assert error.limit == limit
    assert _status("VmHWM") - before < 64 << 20


def sending_all(raw: bytes) -> Callable[[Conn], Awaitable[None]]:
    """Send as much as is taken, piece by piece."""

    async def play(conn: Conn) -> None:
        await conn.request()
        for at in range(0, len(raw), 1 << 16):
            await conn.send(raw[at : at + (1 << 16)])

    return play


def _status(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


async def test_row_24_gzip_is_taken_off() -> None:
    assert await ask(sending(http(gzip.compress(REPLY), "Content-Encoding: gzip"))) == NOW


@pytest.mark.parametrize(
    ("limits", "limit"), [(Limits(), "ratio"), (Limits(inflated=1 << 20, ratio=10**6), "inflated")]
)
async def test_row_24_a_gzip_bomb(limits: Limits, limit: str) -> None:
    bomb = gzip.compress(wrapped(b"<a>" + b" " * (1 << 23) + b"</a>"))
    limits = Limits(text=1 << 30, inflated=limits.inflated, ratio=limits.ratio)
    error = await failing(sending(http(bomb, "Content-Encoding: gzip")), limits=limits)
    assert isinstance(error, LimitError)
    assert error.limit == limit


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"not gzip at all", "gzip"),
        (gzip.compress(REPLY)[:-9], "gzip"),
        (gzip.compress(REPLY) + b"more", "gzip"),
        (gzip.compress(REPLY)[:-8] + bytes(8), "gzip"),
        (REPLY, "gzip"),
        (zlib.compress(REPLY), "deflate"),
        (REPLY, "br"),
        (REPLY, "gzip, gzip"),
    ],
)
async def test_row_24_damaged_or_other_encodings(body: bytes, encoding: str) -> None:
    error = await failing(sending(http(body, f"Content-Encoding: {encoding}")))
    assert isinstance(error, ProtocolError)


async def test_row_26_the_reply_to_another_method_and_the_connection_is_not_used_again() -> None:
    other = encode_response(vim25.SessionManager.Logout)

    async def once(conn: Conn) -> None:
        await conn.request()
        await conn.send(http(other))
        await conn.hold()

    async with (
        stage([once, sending(http())], GOOD.server_context()) as server,
        HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport,
    ):
        with pytest.raises(UnexpectedReplyError) as caught:
            await decoded(transport)
        assert caught.value.outcome == "unknown"
        assert await decoded(transport) == NOW
        assert len(server.connections) == 2, "what comes on it next is nobody's to know"


@pytest.mark.parametrize(
    "raw",
    [
        # Two lengths, a length beside chunks, no number: the ways to smuggle (RFC 9112, 6.3).
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_row_28_contradictory_framing(raw: bytes) -> None:
    error = await failing(sending(raw, then=Conn.close))
    assert isinstance(error, ProtocolError | ConnectionLostError | HTTPStatusError)
    async with (
        stage(sending(raw, then=Conn.close), GOOD.server_context()) as server,
        HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport,
    ):
        with pytest.raises((ProtocolError, ConnectionLostError)):
            async with transport.http(HTTPRequest(method="GET", target="/x")) as reply:
                await reply.read()


async def test_row_28_bytes_behind_a_reply_do_not_become_the_next_reply() -> None:
    evil = http(encode_response(CurrentTime, datetime(1999, 1, 1, tzinfo=UTC)))

    async def play(conn: Conn) -> None:
        await conn.request()
        await conn.send(http() + evil)
        await conn.request()
        await conn.send(http())

    async with (
        stage(play, GOOD.server_context()) as server,
        HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport,
    ):
        for _ in range(2):
            decoder = Decoder(CurrentTime)
            await transport.exchange(
                EncodedCall(method="CurrentTime", body=b"<call/>", receive=decoder.feed)
            )
            assert decoder.close() == NOW
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        (['vmware_soap_session="abc-1"; Path=/; HttpOnly; Secure'], '"abc-1"'),
        (["vmware_soap_session=abc; HttpOnly"], "abc"),
        (["other=1; Path=/"], None),
        (["vmware_soap_session=; Path=/"], None),
        (['vmware_soap_session=""; Path=/'], None),
        (["vmware_soap_session"], None),
        (["vmware_soap_session=a", "vmware_soap_session=b", "pbm=c"], "b"),
        (["vmware_soap_session=a,b"], None),
        (["vmware_soap_session=a\x01b"], None),
        (["xvmware_soap_session=a", "VMWARE_SOAP_SESSION=a"], None),
        (["vmware_soap_session=" + "x" * 5000], None),
        (["vmware_soap_session=a; Path=/x; Domain=evil.test"], "a"),
    ],
)
def test_row_29_exactly_the_session_s_cookie_is_kept(headers: list[str], value: str | None) -> None:
    found = session_cookie(headers)
    assert (None if found is None else found.reveal()) == value


async def test_row_29_the_cookie_is_sent_as_it_came_and_no_other() -> None:
    raw = http(REPLY, 'Set-Cookie: vmware_soap_session="q"; Secure', "Set-Cookie: track=1; Path=/")
    got: list[Secret] = []
    async with stage(sending(raw), GOOD.server_context()) as server:
        for _ in range(2):
            async with HTTPTransport(server.url, tls=TLS(pin=GOOD.digest())) as transport:
                await transport.exchange(
                    EncodedCall(
                        method="x",
                        body=b"",
                        receive=lambda _: None,
                        cookie=got[-1] if got else None,
                        on_cookie=got.append,
                    )
                )
        assert [cookie.reveal() for cookie in got] == ['"q"', '"q"']
        first, second = (bytes(conn.received) for conn in server.connections)
        assert b"Cookie" not in first
        assert b'Cookie: vmware_soap_session="q"\r\n' in second
        assert b"track" not in second
