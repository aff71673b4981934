"""Connecting, and whom to trust: rows 1 to 8 and 82 of the catalogue of faults."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.rig import certs
from tests.rig.cancel import cancel_everywhere
from tests.rig.stage import Conn, stage
from vimlib._tls import TLS, blind_trust, parse_pin
from vimlib._transport import EncodedCall, HTTPRequest, HTTPTransport, Timeouts
from vimlib._transport.address import parse_address
from vimlib.errors import (
    CertificateError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    PinMismatchError,
    ProxyError,
    ResolveError,
    TLSError,
    TransportError,
    UsageError,
)

QUICK = Timeouts(connect=0.4, handshake=0.4, read=0.4, write=0.4, call=2)
PATIENT = Timeouts(connect=30, handshake=30, read=30, write=30, call=60)
"""For tests of other things than deadlines: a busy machine keeps them."""
pytestmark = pytest.mark.usefixtures("no_leaks")
GOOD = certs.make("good")
XML = b"<ok/>"


async def serve(conn: Conn) -> None:
    """Answer every request on the connection with a little XML."""
    while True:
        await conn.request()
        await conn.reply(200, XML)


def call(into: list[bytes] | None = None) -> EncodedCall:
    return EncodedCall(
        method="CurrentTime", body=b"<call/>", receive=(into if into is not None else []).append
    )


@asynccontextmanager
async def transport(url: str, tls: TLS | None = None, **how: Any) -> AsyncIterator[HTTPTransport]:
    how.setdefault("timeouts", PATIENT)
    async with HTTPTransport(url, tls=tls or TLS(pin=GOOD.digest()), **how) as made:
        yield made


async def both_ways(made: HTTPTransport) -> list[TransportError]:
    """Return the errors of a call and of a transfer: they go by different code on the same trust."""
    errors = []
    with pytest.raises(TransportError) as caught:
        await made.exchange(call())
    errors.append(caught.value)
    with pytest.raises(TransportError) as caught:
        async with made.http(HTTPRequest(method="GET", target="/folder/x")):
            pass
    errors.append(caught.value)
    return errors


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_row_01_connect_refused() -> None:
    async with transport(f"https://127.0.0.1:{closed_port()}/sdk") as made:
        for error in await both_ways(made):
            assert type(error) is ConnectError
            assert (error.outcome, error.retryable) == ("not_sent", True)
            assert error.host == made.host


@pytest.mark.slow
async def test_row_02_syn_black_hole() -> None:
    with socket.socket() as sock, socket.socket() as one, socket.socket() as two:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for filler in (one, two):  # the backlog is full: further SYNs are dropped
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        url = f"https://127.0.0.1:{sock.getsockname()[1]}/sdk"
        async with transport(url, timeouts=QUICK) as made:
            for error in await both_ways(made):
                assert isinstance(error, DeadlineError)
                assert (error.phase, error.outcome) == ("connect", "not_sent")
                assert error.seconds == QUICK.connect
                assert isinstance(error, TimeoutError)


async def test_row_03_no_such_name() -> None:
    async with transport("https://no-such-host.invalid/sdk", TLS()) as made:
        for error in await both_ways(made):
            assert type(error) is ResolveError
            assert error.outcome == "not_sent"


@pytest.mark.parametrize("number", [socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_NONAME])
async def test_row_03_a_resolver_that_fails(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(host: str, port: int, **how: Any) -> Any:
        raise socket.gaierror(number, "as SERVFAIL and its kin come out of the system")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fails)
    async with transport("https://esx.test/sdk") as made:
        for error in await both_ways(made):
            assert type(error) is ResolveError
            assert (error.outcome, error.retryable) == ("not_sent", True)
            assert "esx.test" in str(error)


async def test_row_03_a_resolver_that_is_slow_meets_the_deadline_and_blocks_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(host: str, port: int, **how: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", slow)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    async with transport("https://esx.test/sdk", timeouts=Timeouts(connect=0.1)) as made:
        ticking = asyncio.create_task(tick())
        for error in await both_ways(made):
            assert isinstance(error, DeadlineError)
            assert (error.phase, error.outcome) == ("connect", "not_sent")
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
    assert ticks > 5


async def test_row_03_the_second_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    async with stage(serve, GOOD.server_context()) as server:

        async def two(host: str, port: int, **how: Any) -> Any:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in ("127.0.0.2", "127.0.0.1")
            ]

        monkeypatch.setattr(loop, "getaddrinfo", two)
        async with transport(f"https://two-addresses.test:{server.port}/sdk") as made:
            assert (await made.exchange(call())).status == 200
            async with made.http(HTTPRequest(method="GET", target="/x")) as reply:
                assert await reply.read() == XML


def addresses(monkeypatch: pytest.MonkeyPatch, *where: tuple[str, int]) -> None:
    """Let every name have these addresses."""

    async def found(host: str, port: int, **how: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in where]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


async def test_row_03_an_address_that_swallows_all_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as sock, socket.socket() as one, socket.socket() as two:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(sock.getsockname())
        async with stage(serve, GOOD.server_context()) as server:
            addresses(monkeypatch, sock.getsockname(), ("127.0.0.1", server.port))
            slow = Timeouts(connect=100, handshake=100, read=100)
            async with asyncio.timeout(60), transport("https://esx.test", timeouts=slow) as made:
                assert (await made.exchange(call())).status == 200
                async with made.http(HTTPRequest(method="GET", target="/x")) as reply:
                    assert await reply.read() == XML


async def test_row_03_no_address_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        addresses(monkeypatch, *[closed.getsockname()] * 3)
        async with transport("https://esx.test") as made:
            for error in await both_ways(made):
                assert type(error) is ConnectError


async def test_row_03_cancelled_amid_two_addresses_it_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage(serve, GOOD.server_context()) as server:
        addresses(monkeypatch, ("127.0.0.1", server.port), ("127.0.0.1", server.port))

        async def once() -> None:
            async with transport("https://esx.test") as made:
                await made.exchange(call())

        async def check(at: int) -> None:
            """Leave it to the leak check around the test: what one run leaves stays."""

        assert (await cancel_everywhere(once, check)).cancelled > 5


@pytest.mark.parametrize("kind", ["expired", "future", "wrong-name", "self-signed"])
async def test_row_04_a_bad_certificate(kind: str, tmp_path: Path) -> None:
    bad = certs.make(kind)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(GOOD.ca_pem)
    async with (
        stage(serve, bad.server_context()) as server,
        transport(server.url, TLS(ca=ca)) as made,
    ):
        for error in await both_ways(made):
            assert type(error) is CertificateError
            assert error.sha256 == bad.digest()
            assert error.reason
            assert bad.digest() in str(error)
            assert (error.outcome, error.retryable) == ("not_sent", False)
        assert server.received == b""


async def test_row_04_localhost_is_not_exempt() -> None:
    async with stage(serve, GOOD.server_context()) as server, transport(server.url, TLS()) as made:
        for error in await both_ways(made):
            assert type(error) is CertificateError
        assert server.received == b""


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("shape", [str, str.lower, lambda pin: pin.replace(":", "")])
async def test_row_05_pins_of_all_kinds(algorithm: str, shape: Any) -> None:
    pin = shape(GOOD.digest(algorithm))
    async with (
        stage(serve, GOOD.server_context()) as server,
        transport(server.url, TLS(pin=pin)) as made,
    ):
        assert (await made.exchange(call())).status == 200


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
async def test_row_05_a_wrong_pin_on_every_connection(algorithm: str) -> None:
    other = certs.make("good", 1)
    async with (
        stage(serve, GOOD.server_context()) as server,
        transport(server.url, TLS(pin=other.digest(algorithm))) as made,
    ):
        for _ in range(3):
            for error in await both_ways(made):
                assert type(error) is PinMismatchError
                assert error.sha256 == GOOD.digest()
        assert server.received == b""


async def test_row_05_a_pin_replaces_the_chain_and_with_a_ca_means_both(tmp_path: Path) -> None:
    own = certs.make("self-signed")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(GOOD.ca_pem)
    async with stage(serve, own.server_context()) as server:
        async with transport(server.url, TLS(pin=own.digest())) as made:
            assert (await made.exchange(call())).status == 200
        before = server.received
        async with transport(server.url, TLS(pin=own.digest(), ca=ca)) as made:
            for error in await both_ways(made):
                assert type(error) is CertificateError
        assert server.received == before
    async with stage(serve, GOOD.server_context()) as server:
        async with transport(server.url, TLS(pin=GOOD.digest(), ca=ca)) as made:
            assert (await made.exchange(call())).status == 200
        before = server.received
        async with transport(server.url, TLS(pin=own.digest(), ca=ca)) as made:
            for error in await both_ways(made):
                assert type(error) is PinMismatchError
        assert server.received == before


@pytest.mark.parametrize("after", ["reset", "close"])
async def test_row_05_07_a_new_certificate_on_a_new_connection(after: str) -> None:
    """The pin is compared after a reset too; a pool never carries trust over to a new socket."""
    old, new = GOOD.server_context(), certs.make("good", 1).server_context()
    port = 0

    async def once(conn: Conn) -> None:
        await conn.request()
        await conn.reply(200, XML)
        conn.reset() if after == "reset" else conn.close()

    async with stage(once, old) as server:
        port = server.port
        made = HTTPTransport(server.url, tls=TLS(pin=GOOD.digest()), timeouts=PATIENT)
        await made.__aenter__()
        assert (await made.exchange(call())).status == 200
    heard = bytearray()

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            heard.extend(await reader.read())
        writer.close()

    swapped = await asyncio.start_server(record, "127.0.0.1", port, ssl=new)
    try:
        for error in await both_ways(made):
            assert type(error) is PinMismatchError
            assert error.sha256 == certs.make("good", 1).digest()
            assert "pin this SHA-256" in str(error)
    finally:
        await made.aclose()
        swapped.close()
        await swapped.wait_closed()
    assert heard == b""


@pytest.mark.slow
async def test_row_06_the_handshake_stalls() -> None:
    async with stage(Conn.hold) as server:
        url = f"https://127.0.0.1:{server.port}/sdk"
        async with transport(url, timeouts=Timeouts(connect=30, handshake=0.3)) as made:
            for error in await both_ways(made):
                assert isinstance(error, DeadlineError)
                assert (error.phase, error.outcome) == ("handshake", "not_sent")
                assert error.seconds == 0.3


async def test_row_06_the_port_speaks_http() -> None:
    async def plain(conn: Conn) -> None:
        await conn.read()
        await conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with stage(plain) as server, transport(f"https://127.0.0.1:{server.port}/sdk") as made:
        for error in await both_ways(made):
            assert type(error) is TLSError
            assert "does not speak TLS" in str(error)


async def test_row_06_the_peer_hangs_up_in_the_handshake() -> None:
    async def hang_up(conn: Conn) -> None:
        await conn.read()
        conn.reset()

    async with stage(hang_up) as server, transport(f"https://127.0.0.1:{server.port}/sdk") as made:
        for error in await both_ways(made):
            assert isinstance(error, TLSError)
            assert (error.outcome, error.retryable) == ("not_sent", True)


async def test_a_host_of_tls_1_0_is_named_and_allowed_on_request() -> None:
    old = certs.make("self-signed", 7, bits=1024)
    async with stage(serve, old.server_context(legacy=True)) as server:
        async with transport(server.url, TLS(pin=old.digest())) as made:
            for error in await both_ways(made):
                assert type(error) is TLSError
                assert "legacy=True" in str(error)
                assert "--tls-legacy" in str(error)
        async with transport(server.url, TLS(pin=old.digest(), legacy=True)) as made:
            assert (await made.exchange(call())).status == 200
            async with made.http(HTTPRequest(method="GET", target="/x")) as reply:
                assert await reply.read() == XML
        async with transport(server.url, TLS(pin=GOOD.digest(), legacy=True)) as made:
            for error in await both_ways(made):
                assert type(error) is PinMismatchError


async def test_row_08_an_idle_connection_that_was_reset_is_not_used() -> None:
    async def once(conn: Conn) -> None:
        await conn.request()
        await conn.reply(200, XML)
        await asyncio.sleep(0)
        conn.reset()

    async with stage([once, serve], GOOD.server_context()) as server, transport(server.url) as made:
        assert (await made.exchange(call())).status == 200
        while made.connections:  # noqa: ASYNC110 - a reset has no event
            await asyncio.sleep(0.001)
        assert (await made.exchange(call())).status == 200
        assert len(server.connections) == 2


async def test_row_08_a_reset_after_the_request_left_says_unknown() -> None:
    async def reset(conn: Conn) -> None:
        await conn.request()
        conn.reset()

    async with stage(reset, GOOD.server_context()) as server, transport(server.url) as made:
        for error in await both_ways(made):
            assert type(error) is ConnectionLostError
            assert (error.outcome, error.retryable) == ("unknown", True)


async def test_known_hosts_pins_its_hosts_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    async with stage(serve, GOOD.server_context()) as server:
        file.write_text(
            f"# mine\n\n127.0.0.1:{server.port} {GOOD.digest('sha1')}\nother {GOOD.digest()}\n"
        )
        async with transport(server.url, TLS(known_hosts=file)) as made:
            assert (await made.exchange(call())).status == 200
        file.write_text(f"127.0.0.1:{server.port} {certs.make('good', 1).digest()}\n")
        async with transport(server.url, TLS(known_hosts=file)) as made:
            for error in await both_ways(made):
                assert type(error) is PinMismatchError
        file.write_text(f"127.0.0.1:1 {GOOD.digest()}\n")
        async with transport(server.url, TLS(known_hosts=file)) as made:
            for error in await both_ways(made):
                assert type(error) is CertificateError


# -- proxies -------------------------------------------------------------------------------------


def proxy_to(port: int, seen: list[str], *, password: str = "", status: int = 200) -> Any:
    """Play an HTTP proxy that tunnels to `port` on loopback, whatever it is asked for."""

    expected = "Basic " + base64.b64encode(f"user:{password}".encode()).decode()

    async def play(conn: Conn) -> None:
        method, target, headers = await conn.head()
        seen.append(f"{method} {target}")
        if password and headers.get("proxy-authorization") != expected:
            await conn.send(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
            )
            return
        if status != 200:
            await conn.send(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await conn.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(conn.reader, writer), pump(reader, conn.writer))

    return play


async def test_calls_and_transfers_go_through_the_proxy_with_a_password() -> None:
    seen: list[str] = []
    async with (
        stage(serve, GOOD.server_context()) as server,
        stage(proxy_to(server.port, seen, password="p:w")) as proxy,
        transport(
            "https://esx.test/sdk", proxy=f"http://user:p%3Aw@127.0.0.1:{proxy.port}"
        ) as made,
    ):
        assert (await made.exchange(call())).status == 200
        async with made.http(HTTPRequest(method="GET", target="/x")) as reply:
            assert await reply.read() == XML
    assert set(seen) == {"CONNECT esx.test:443"}


@pytest.mark.parametrize("status", [407, 403, 502])
async def test_a_proxy_that_refuses(status: int) -> None:
    async with (
        stage(proxy_to(1, [], status=status)) as proxy,
        transport("https://esx.test/sdk", proxy=f"http://127.0.0.1:{proxy.port}") as made,
    ):
        for error in await both_ways(made):
            assert type(error) is ProxyError
            assert error.outcome == "not_sent"
            assert str(status) in str(error)


@pytest.mark.parametrize("status", ["9" * 5000, "\xb2\xb2\xb2", "20", "2000", "", "OK"])
async def test_a_proxy_whose_status_is_none(status: str) -> None:
    async def play(conn: Conn) -> None:
        await conn.head()
        await conn.send(f"HTTP/1.1 {status} yes\r\n\r\n".encode("latin-1"))

    async with (
        stage(play) as proxy,
        transport("https://esx.test/sdk", proxy=f"http://127.0.0.1:{proxy.port}") as made,
    ):
        for error in await both_ways(made):
            assert type(error) is ProxyError


async def test_the_pin_is_compared_behind_the_proxy() -> None:
    async with (
        stage(serve, GOOD.server_context()) as server,
        stage(proxy_to(server.port, [])) as proxy,
        transport(
            "https://esx.test/sdk",
            TLS(pin=certs.make("good", 1).digest()),
            proxy=f"http://127.0.0.1:{proxy.port}",
        ) as made,
    ):
        for error in await both_ways(made):
            assert type(error) is PinMismatchError
        assert server.received == b""


async def test_row_82_the_environment_s_proxy_is_used_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login root password netrc-secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with (
        stage(serve, GOOD.server_context()) as server,
        stage(proxy_to(server.port, seen)) as proxy,
    ):
        for name in (
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "http_proxy",
            "https_proxy",
            "all_proxy",
        ):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with transport(server.url) as made:
            assert (await made.exchange(call())).status == 200
            async with made.http(HTTPRequest(method="GET", target="/x")) as reply:
                await reply.read()
        assert seen == []
        async with transport(server.url, proxy="environment") as made:
            assert (await made.exchange(call())).status == 200
        assert seen == [f"CONNECT 127.0.0.1:{server.port}"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with transport(server.url, proxy="environment") as made:
            assert (await made.exchange(call())).status == 200
        assert len(seen) == 1
        assert b"uthorization" not in server.received


async def test_row_82_no_proxy_holds_for_the_host_that_it_names_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A vCenter without a proxy may send a transfer to a host that is behind one."""
    seen: list[str] = []
    for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    async with (
        stage(serve, GOOD.server_context()) as server,
        stage(proxy_to(server.port, seen)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with transport(server.url, proxy="environment") as made:
            assert (await made.exchange(call())).status == 200
            assert seen == []
            other = parse_address("https://esx.test")
            trust = blind_trust("esx.test", (parse_pin(GOOD.digest()),))
            request = HTTPRequest(method="GET", target="/x")
            async with made.http(request, address=other, trust=trust) as reply:
                assert await reply.read() == XML
        assert seen == ["CONNECT esx.test:443"]


async def test_plain_http_needs_to_be_meant() -> None:
    with pytest.raises(UsageError, match="sends the password unencrypted"):
        HTTPTransport("http://127.0.0.1/sdk")
    async with stage(serve) as server, transport(server.url, TLS(verify=False)) as made:
        assert (await made.exchange(call())).status == 200
