"""No frame of a traceback holds a secret, whatever verb fails in whatever way."""

from __future__ import annotations

import asyncio
import base64
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import vimlib
from tests.rig.canary import secrets_in_frames
from tests.rig.login import connected
from tests.unit.driver.hosted import CONFIG, QUICK, spec
from vimdriver._driver import ESXDriver
from vimdriver._images.embedded import EmbeddedGlance, Fault, made_image
from vimdriver._images.glance import Glance
from vimdriver._images.http import HttpClient, HttpImages
from vimdriver._images.make import Pattern
from vimdriver._images.openstack import open_cloud
from vimdriver._images.push import push_images
from vimlib import vim25
from vimlib._client import Client
from vimlib._secret import Secret
from vimlib._session.credentials import Credentials, read_password
from vimlib._session.session import Session
from vimlib._transport import HTTPTransport, Timeouts, parse_address
from vimlib._transport.http import HTTPRequest
from vimlib._transport.proxy import find_proxy
from vimlib._transport.replies import redirect
from vimlib.simulator import ESXHost

pytestmark = pytest.mark.usefixtures("hurried")

PASSWORD = "canary-passw0rd-of-the-host"
TOKEN = "canary-t0ken-of-glance"
USERINFO = "canary-us3rinfo"
SIGNATURE = "canary-s1gnature"
PROXY = "canary-pr0xy-password"
BASIC = [
    base64.b64encode(f"{user}:{word}".encode()).decode()
    for user, word in (("u", USERINFO), ("pu", PROXY))
]
STATIC = [PASSWORD, TOKEN, USERINFO, SIGNATURE, PROXY, *BASIC]
SHORT = Timeouts(connect=2, handshake=2, read=0.5, write=1, call=1, logout=1, outage=0.3)

WAYS = ("fault", "reset", "drop", "html", "status", "lose", "empty", "truncate", "hang")
METHODS = (
    "Login", "RetrieveServiceContent", "RetrievePropertiesEx", "RetrieveProperties",
    "SearchDatastore_Task", "AcquireTicket",
    "AcquireGenericServiceTicket", "PowerOnVM_Task", "GET", "PUT", "HEAD", "Logout",
)  # fmt: skip


@pytest.fixture
async def esx() -> AsyncIterator[ESXHost]:
    async with ESXHost(vms=1, password=PASSWORD) as host:
        (host.datastore_path() / "there").write_bytes(b"x" * 5000)
        yield host


def all_secrets(esx: ESXHost) -> list[str]:
    return [*STATIC, *esx.sessions.by_cookie, *esx.sessions.dead, *esx.sessions.tickets]


async def failure(work: Callable[[], Awaitable[Any]]) -> BaseException | None:
    """Return how it failed; None if it did not, as where the call was repeated."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - whatever it is, its frames are looked at
        return error
    return None


def check(error: BaseException | None, secrets: list[str]) -> None:
    assert error is None or not secrets_in_frames(error, secrets), repr(error)


# -- the walker itself ---------------------------------------------------------------------------


@dataclass
class Holder:
    inner: Any


def test_the_walker_finds_what_is_hidden() -> None:
    name = "_made_by_test.py"
    places: dict[str, Any] = {}
    code = compile("def fail(held):\n    raise ValueError('x')\n", name, "exec")
    exec(code, places)
    for held in (
        {"a": [("deep", TOKEN)]},
        bytearray(b"Cookie: " + TOKEN.encode()),
        vim25.KeyValue(key="k", value=TOKEN),
        [{1: {TOKEN}}],
    ):
        with pytest.raises(ValueError, match="x") as caught:
            places["fail"](held)
        assert secrets_in_frames(caught.value, [TOKEN])
        wrapped = RuntimeError()
        wrapped.__context__ = caught.value
        assert secrets_in_frames(wrapped, [TOKEN])
    with pytest.raises(ValueError, match="x") as caught:
        places["fail"](Secret(TOKEN))
    assert not secrets_in_frames(caught.value, [TOKEN])


# -- connect -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "how"),
    [
        (f"https://u:{USERINFO}@127.0.0.1:1/sdk", {}),
        (f"https://u:{USERINFO}@[::bad/sdk", {}),
        (f"ftp://u:{USERINFO}@h/sdk", {}),
        (f"http://u:{USERINFO}@h/sdk", {}),
        ("https://127.0.0.1:1/sdk", {}),
        ("https://127.0.0.1:1/sdk", {"proxy": f"http://pu:{PROXY}@127.0.0.1:1"}),
        ("https://127.0.0.1:1/sdk", {"proxy": f"https://pu:{PROXY}@127.0.0.1:1"}),
        ("https://127.0.0.1:1/sdk", {"proxy": f"http://pu:{PROXY}\x00@127.0.0.1:1"}),
        ("https://127.0.0.1:1/sdk", {"proxy": f"http://pu:{PROXY}@"}),
        ("https://127.0.0.1:1/sdk", {"connections": 0}),
        ("https://127.0.0.1:1/sdk", {"keepalive": -1, "proxy": f"http://pu:{PROXY}@127.0.0.1:1"}),
    ],
)
async def test_connect_shows_neither_userinfo_nor_the_password_of_a_proxy(
    url: str, how: dict[str, Any]
) -> None:
    async def work() -> None:
        async with vimlib.connect(
            url, "root", PASSWORD, timeouts=SHORT, retries=vimlib.RetryPolicy(attempts=1), **how
        ):
            pass

    error = await failure(work)
    assert error is not None
    check(error, STATIC)
    error = await failure(lambda: _made(url, how))
    check(error, STATIC)


async def _made(url: str, how: dict[str, Any]) -> None:
    parse_address(url)
    HTTPTransport(url, proxy=how.get("proxy"))


async def test_a_proxy_that_refuses_shows_no_credentials(esx: ESXHost) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:

        async def work() -> None:
            proxy = f"http://pu:{PROXY}@127.0.0.1:{port}"
            async with connected(esx, proxy=proxy, retries=QUICK, timeouts=SHORT):
                pass

        error = await failure(work)
    assert error is not None
    check(error, all_secrets(esx))


def test_a_proxy_of_the_environment_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://pu:{PROXY}@127.0.0.1:1")
    with pytest.raises(vimlib.errors.UsageError) as caught:
        find_proxy("environment", parse_address("https://h"))
    check(caught.value, STATIC)


async def test_a_refused_login_shows_no_password(esx: ESXHost) -> None:
    async def work() -> None:
        async with connected(esx, PASSWORD + "-wrong"):
            pass

    for _ in range(2):
        error = await failure(work)
        assert isinstance(error, vimlib.errors.LoginError)
        check(error, all_secrets(esx))


@pytest.mark.parametrize("content", [b"\xff\xfe" + PASSWORD.encode(), b"\n" + PASSWORD.encode()])
def test_a_password_file_that_cannot_be_read_shows_nothing_of_it(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(vimlib.errors.UsageError) as caught:
        read_password(file)
    check(caught.value, STATIC)


# -- every verb of the client, every way to fail ---------------------------------------------------


async def use_all(client: Client) -> None:
    """Call the client's verbs until one fails."""
    root = client.content.rootFolder
    await client.get(root, "name")
    (found,) = await client.collect(vim25.VirtualMachine, "name").all()
    await client.find("/*/vm/*")
    store = client.datastore("datastore1")
    await store.stat("there")
    await store.exists("absent.vmdk")
    async with store.download("there") as body:
        await body.read()
    async with store.download("there", direct=True) as body:
        await body.read()
    await store.upload("new", b"x" * 5000, overwrite=True)
    await store.upload("direct", b"x" * 5000, overwrite=True, direct=True)
    await client.wait(await found.obj.PowerOnVM_Task(), timeout=2)
    driver = ESXDriver(client, config=CONFIG)
    await driver.console("vm-0")
    async with client.watch(vim25.VirtualMachine, "name") as changes:
        async for _ in changes:
            break


# A watch is rebuilt several times before it gives up: ten seconds of real time, or a minute and a half.
SLOW = (
    pytest.param("WaitForUpdatesEx", marks=pytest.mark.slow),
    pytest.param("CreateFilter", marks=pytest.mark.torture),
)


@pytest.mark.parametrize("method", [*METHODS, *SLOW])
async def test_no_failure_of_the_client_shows_a_secret(esx: ESXHost, method: str) -> None:
    failed = 0
    for way in WAYS:
        details: dict[str, Any] = {"times": None}
        if way == "fault":
            details["fault"] = vim25.NoPermission(privilegeId="System.View")
        esx.faults.add(method, way, **details)  # type: ignore[arg-type]

        async def work() -> None:
            async with connected(esx, retries=QUICK, timeouts=SHORT, keepalive=None) as client:
                await use_all(client)

        error = await failure(work)
        failed += error is not None
        check(error, all_secrets(esx))
        esx.faults.clear()
        esx.machine("vm-0").power = "poweredOff"
    assert failed >= (3 if method != "Logout" else 0)


# -- peers that repeat what they were sent ---------------------------------------------------------


def shown_by(error: BaseException) -> str:
    """Return all texts of an error and of its causes: messages, fields, notes, pickles."""
    texts: list[str] = []
    left: list[BaseException | None] = [error]
    while left:
        at = left.pop()
        if at is not None:
            texts += [str(at), repr(at), repr(vars(at)), repr(at.args)]
            if isinstance(at, vimlib.errors.VimlibError):
                texts.append(pickle.dumps(at).decode("latin-1"))
            left += [at.__cause__, at.__context__, *getattr(at, "exceptions", ())]
    return "\n".join(texts)


def check_all(error: BaseException | None, secrets: list[str], log: str = "") -> None:
    assert error is not None
    shown = shown_by(error) + log
    assert not [secret for secret in secrets if secret in shown], shown
    check(error, secrets)


@asynccontextmanager
async def echo(status: str, kind: str = "text/plain", form: str = "body") -> AsyncIterator[int]:
    """Serve on a port: each reply repeats its request."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        body = await reader.readexactly(int(fields.get(b"Content-Length", b"0")))
        lines = head.split(b"\r\n")
        secret = [line for line in lines if b"Cookie" in line or b"uth" in line]
        said = b"; ".join([*secret, lines[0]]) + body
        if form == "head":
            writer.write(b"HTTP/1.1 " + said[:500] + b"\r\n\r\n")
        else:
            start = f"HTTP/1.1 {status} No\r\nContent-Type: {kind}\r\nContent-Length: {len(said)}\r\n\r\n"
            writer.write(start.encode() + said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


COOKIE = '"canary-c00kie-of-a-session"'


def session_at(port: int) -> Any:
    transport = HTTPTransport(
        f"http://127.0.0.1:{port}", tls=vimlib.TLS(verify=False), timeouts=SHORT
    )
    session = Session(
        transport,
        Credentials("root", Secret(PASSWORD)),
        retries=vimlib.RetryPolicy(attempts=1),
    )
    session._caller.cookie = Secret(COOKIE)
    return transport, session


@pytest.mark.parametrize(
    ("status", "kind", "form"),
    [
        ("403", "text/plain", "body"),
        ("502", "text/html", "body"),
        ("200", "text/html", "body"),
        ("200", "text/xml", "body"),
        ("403", "text/plain", "head"),
    ],
)
async def test_what_a_peer_repeats_of_a_call_is_masked(
    caplog: pytest.LogCaptureFixture, status: str, kind: str, form: str
) -> None:
    caplog.set_level(0)
    manager = vim25.SessionManager("sm")
    login = vim25.SessionManager.Login
    async with echo(status, kind, form) as port:
        transport, session = session_at(port)
        async with transport:
            error = await failure(
                lambda: session._caller.read(
                    login, manager, {"userName": "u", "password": PASSWORD}
                )
            )
    check_all(error, [COOKIE.strip('"')], caplog.text)
    assert error is not None
    assert PASSWORD not in shown_by(error) + caplog.text


async def test_what_a_peer_repeats_of_a_transfer_is_masked() -> None:
    async with echo("403") as port:
        transport, _ = session_at(port)
        async with transport:
            headers = {"Cookie": Secret(f"vmware_soap_session={COOKIE}")}

            async def get() -> None:
                async with transport.http(
                    HTTPRequest(method="GET", target="/folder", headers=headers)
                ) as reply:
                    raise vimlib.errors.TransferRejectedError(
                        "refused", status=reply.status, excerpt=await reply.excerpt()
                    )

            error = await failure(get)
    check_all(error, [COOKIE.strip('"')])
    assert isinstance(error, vimlib.errors.TransferRejectedError)
    assert "***" in error.excerpt


async def test_what_a_proxy_repeats_of_its_credentials_is_masked(esx: ESXHost) -> None:
    async with echo("407", form="head") as port:

        async def work() -> None:
            proxy = f"http://pu:{PROXY}@127.0.0.1:{port}"
            async with connected(esx, proxy=proxy, retries=QUICK, timeouts=SHORT):
                pass

        check_all(await failure(work), STATIC)


# -- redirects and addresses -----------------------------------------------------------------------


def test_a_redirect_shows_neither_user_info_nor_query() -> None:
    error = redirect("h:443", f"https://u:{USERINFO}@h2:8443/sdk?sig={SIGNATURE}#{SIGNATURE}")
    check_all(error, STATIC)
    assert error.location == "https://h2:8443/sdk"


@pytest.mark.parametrize(
    "url",
    [
        f"https://h/sdk?sig={SIGNATURE}",
        f"https://h/sdk#{SIGNATURE}",
        f"u:{USERINFO}@h:bad",
        f"ftp://u:{USERINFO}@h/sdk",
        f"https://u:{USERINFO}?x@h/sdk",
        f"https://u:{USERINFO}/x@h/sdk",
        f"https://u:x@{USERINFO}@h:bad/sdk",
    ],
)
def test_a_refused_server_address_shows_neither_user_info_nor_query(url: str) -> None:
    with pytest.raises(vimlib.errors.UsageError) as caught:
        parse_address(url)
    check_all(caught.value, STATIC)


# -- calls with secrets, made by hand --------------------------------------------------------------


@pytest.mark.parametrize("password", [PASSWORD, PASSWORD + "\x00", PASSWORD + "\ud800"])
async def test_no_frame_of_a_call_by_hand_holds_its_password(esx: ESXHost, password: str) -> None:
    async with connected(esx, retries=QUICK, keepalive=None) as client:
        manager = client.content.sessionManager
        assert manager is not None
        # Not the host's own password, so that a host that is logged in refuses it.
        for given in (password, password + "-wrong"):
            error = await failure(lambda given=given: manager.Login("somebody", given))  # type: ignore[misc]
            assert error is not None
            check(error, [PASSWORD])
        with pytest.raises(TypeError) as caught:
            await manager.Login("somebody", password, "surplus")  # type: ignore[call-arg]
        check(caught.value, [PASSWORD])


# -- images --------------------------------------------------------------------------------------


@dataclass
class Site:
    esx: ESXHost
    glance: EmbeddedGlance
    http: HttpClient
    client: Client

    async def push(self, store: Any, ref: str) -> None:
        (result,) = await push_images(self.client, store, [ref], datastore="datastore1")
        if result.error is not None:
            raise result.error

    async def spawn(self, store: Any, ref: str) -> None:
        driver = ESXDriver(self.client, store, CONFIG)
        await driver.spawn(spec(ref, "made", nics=()))

    async def read(self, store: Any, ref: str) -> None:
        async with store.image(ref).open() as body:
            async for _ in body:
                raise RuntimeError("the reader fails itself")

    def check(self, error: BaseException | None) -> None:
        check(error, all_secrets(self.esx))


@pytest.fixture
async def site(esx: ESXHost) -> AsyncIterator[Site]:
    images = [made_image("flat", "raw", Pattern(1, 1 << 20))]
    async with (
        EmbeddedGlance(images, token=TOKEN) as glance,
        HttpClient(stall_timeout=0.3, connect_timeout=2) as http,
        connected(esx, retries=QUICK, keepalive=None) as client,
    ):
        yield Site(esx, glance, http, client)


@pytest.mark.parametrize("fault", [None, *Fault])
async def test_no_failure_of_glance_shows_a_token(site: Site, fault: Fault | None) -> None:
    image = site.glance.named("flat")
    image.fault = fault
    image.hashed = fault is Fault.FLIPPED  # with a hash some are resumed, and do not fail
    store = Glance(site.http, site.glance.url, token=TOKEN)
    for verb in (site.push, site.read):
        error = await failure(lambda verb=verb: verb(store, "flat"))  # type: ignore[misc]
        assert fault is None or error is not None or fault is Fault.DRIP
        site.check(error)


async def test_refused_and_unusable_tokens_are_not_shown(site: Site) -> None:
    async def source(fresh: bool) -> str:
        if fresh:
            raise vimlib.errors.UsageError("no token")
        return TOKEN + "-old"

    def stores() -> list[Glance]:
        url = site.glance.url
        return [
            Glance(site.http, url, token=TOKEN + "-wrong"),
            Glance(site.http, url, token=TOKEN + "\n"),
            Glance(site.http, url, token=source),
            Glance(site.http, "http://127.0.0.1:1", token=TOKEN),
        ]

    for store in stores():
        for verb in (site.push, site.spawn, site.read):
            error = await failure(lambda store=store, verb=verb: verb(store, "flat"))  # type: ignore[misc]
            assert error is not None
            site.check(error)


@pytest.mark.parametrize("way", ["reset", "drop", "html", "status", "lose", "hang"])
async def test_no_failure_of_the_datastore_shows_a_token_or_cookie(site: Site, way: Any) -> None:
    if way == "hang":
        site.esx.faults.add("PUT", "reset", times=None, after=1000)
    else:
        site.esx.faults.add("PUT", way, times=None)
    store = Glance(site.http, site.glance.url, token=TOKEN)
    for verb in (site.push, site.spawn):
        error = await failure(lambda verb=verb: verb(store, "flat"))  # type: ignore[misc]
        site.check(error)


@pytest.mark.parametrize(
    "rest", ["nothing.img", "x.img?sig=" + SIGNATURE, "x.img#zz", "x.img#sha256=00"]
)
@pytest.mark.parametrize("where", ["there", "refused", "not http"])
async def test_no_failure_of_a_url_shows_userinfo_or_signature(
    site: Site, rest: str, where: str
) -> None:
    port = site.glance.url.rsplit(":", 1)[1].split("/")[0]
    base = {
        "there": f"http://u:{USERINFO}@127.0.0.1:{port}",
        "refused": f"http://u:{USERINFO}@127.0.0.1:1",
        "not http": f"https://u:{USERINFO}@127.0.0.1:{port}",
    }[where]
    store = HttpImages(site.http)
    for verb in (site.push, site.spawn, site.read):
        error = await failure(lambda verb=verb: verb(store, f"{base}/{rest}"))  # type: ignore[misc]
        assert error is not None
        site.check(error)


@pytest.mark.parametrize("status", ["403", "500"])
async def test_what_an_image_server_repeats_is_masked(site: Site, status: str) -> None:
    async with echo(status) as port:
        url = f"http://u:{USERINFO}@127.0.0.1:{port}/x.img?a=b&sig={SIGNATURE}"
        stores = [
            (HttpImages(site.http), url),
            (Glance(site.http, f"http://127.0.0.1:{port}", token=TOKEN), "flat"),
        ]
        for store, ref in stores:
            for verb in (site.push, site.read):
                error = await failure(lambda store=store, ref=ref, verb=verb: verb(store, ref))  # type: ignore[misc]
                check_all(error, STATIC)


@pytest.mark.parametrize("url", ["http://u:%s@127.0.0.1:99999/x", "ftp://u:%s@h/x", "http://u:%s@"])
def test_a_malformed_url_is_not_shown(url: str) -> None:
    store = HttpImages(HttpClient())
    with pytest.raises(vimlib.errors.UsageError) as caught:
        store.image(url % USERINFO)
    check(caught.value, STATIC)


async def test_a_cloud_that_cannot_be_reached_shows_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(
        "clouds:\n  mine:\n    auth:\n      auth_url: http://127.0.0.1:1/v3\n      username: u\n"
        f"      password: {PASSWORD}\n      project_name: p\n      user_domain_name: d\n"
        "      project_domain_name: d\n"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    error = await failure(lambda: open_cloud("mine"))
    assert error is not None
    check(error, STATIC)
