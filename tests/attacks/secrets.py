"""No secret is shown: not in messages, logs, warnings, frames, pickles, output, journals and state files.

A case gives secrets in every place that takes one (passwords, of the host and of proxies, in addresses, tokens,
signed queries) and learns those that the host gives (cookies, tickets). It runs one operation that fails
somewhere, and then searches everything that a program could show of it, for the plain text and its encodings.
Frames of a traceback count by what their locals print, as tools that report errors show them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import dataclasses
import io
import json
import logging
import os
import pickle
import re
import traceback
import urllib.parse
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

import vimlib
from tests.attacks import lies
from tests.attacks import proxy as acts
from tests.attacks.core import Case
from tests.attacks.images import Images
from tests.attacks.ops import CONFIG, IMAGE
from tests.attacks.proxy import HTML, Act, Proxy, Turn, response
from tests.attacks.world import DATASTORE, TIMEOUTS, World, world
from tests.rig.memory import MemoryLoop, in_memory_folder, run
from vimdriver import (
    ConfigDrive,
    DriverConfig,
    ESXDriver,
    Glance,
    GuestConfig,
    GuestLogin,
    HttpClient,
    HttpImages,
    InstanceSpec,
    push_images,
    push_to_hosts,
)
from vimlib import vim25
from vimlib._secret import Secret
from vimlib.errors import VimlibError

IMAGE_ID = "11111111-2222-3333-4444-555555555555"


def _canary(what: str) -> str:
    return f"canary-{what}-Zq9x7"


PASSWORD, PROXY, USERINFO, TOKEN, SIGNATURE, OTHER, GUEST = map(
    _canary, ("password", "proxy", "userinfo", "token", "signature", "argument", "guest")
)


class Search:
    """Everything that was shown, and the secrets that must not be in it."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {
            "password": PASSWORD,
            "proxy password": PROXY,
            "user info of an address": USERINFO,
            "token": TOKEN,
            "signed query": SIGNATURE,
            "argument of a call": OTHER,
            "password of a guest": GUEST,
        }
        self._known: dict[str, list[str]] = {}
        self.found: dict[str, str] = {}

    def learn(self, name: str, text: str) -> None:
        """Search for one more secret, if it is long enough to be one."""
        if len(text) >= 12:
            self.secrets[f"{name} {len(self.secrets)}"] = text

    def _forms(self, name: str, text: str) -> list[str]:
        if name not in self._known:
            forms = {text, urllib.parse.quote(text, safe=""), text.encode().hex()}
            for before in ("", "root:", "proxyuser:", "user:", ":"):
                coded = base64.b64encode((before + text).encode()).decode()
                # Without the last characters, which depend on what follows.
                forms.add(coded.rstrip("=")[:-2])
            self._known[name] = sorted(forms)
        return self._known[name]

    def look(self, where: str, text: str) -> None:
        """Search in a text that was shown."""
        for name, secret in self.secrets.items():
            for form in self._forms(name, secret):
                if form in text:
                    at = text.index(form)
                    kind = name.rstrip(" 0123456789")
                    self.found.setdefault(
                        f"{kind} in {where}", text[max(0, at - 80) : at + len(form) + 10]
                    )

    # -- errors ----------------------------------------------------------------------------------

    def error(self, error: BaseException) -> None:
        """Search in an error, its causes, its traceback with the locals, its copies."""
        for each in _family(error):
            self.look("a message", f"{each} {each!r} {getattr(each, '__notes__', '')}")
            self.look("a field of an error", repr(vars(each)) + repr(each.args))
            for frame, line in traceback.walk_tb(each.__traceback__):
                place = frame.f_code.co_filename
                if "/tests/" in place:
                    continue
                del line  # equal holes have one name
                where = f"{Path(place).name} {frame.f_code.co_qualname}"
                for name, value in tuple(frame.f_locals.items()):
                    self.look(f"a frame: {name} of {where}", _deep(value))
            self._pickled(each)

    def _pickled(self, error: BaseException) -> None:
        if not isinstance(error, VimlibError):
            return
        try:
            data = pickle.dumps(error)
        except Exception as exc:  # noqa: BLE001 - a finding
            self.found.setdefault(f"{type(error).__name__} cannot be pickled", repr(exc)[:200])
            return
        self.look("a pickle", data.decode("latin-1"))
        again = pickle.loads(data)
        if type(again) is not type(error) or str(again) != str(error):
            self.found.setdefault(f"{type(error).__name__} changes when it is pickled", str(again))
        self.look("a copy", repr(vars(copy.copy(error))))


def _family(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it or are in it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        at = waiting.pop()
        if id(at) in seen:
            continue
        seen.add(id(at))
        yield at
        inner = getattr(at, "exceptions", ())
        waiting += [e for e in (at.__cause__, at.__context__, *inner) if e is not None]


def _deep(value: Any, depth: int = 5) -> str:
    """Return what a value prints, its containers and plain records opened."""
    try:
        text = f"{value!r}"
        if not isinstance(value, str):
            text += f" {value!s}"
    except Exception as exc:  # noqa: BLE001 - a repr that fails hides the error
        return f"<{type(value).__name__}: {exc!r}>"
    if depth:
        inner: list[Any] = []
        if isinstance(value, dict):
            inner = [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            inner = list(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            inner = [getattr(value, f.name, None) for f in dataclasses.fields(value) if f.repr]
        text += "".join(_deep(each, depth - 1) for each in inner[:200])
    return text


class _Logs(logging.Handler):
    """Searches every record of every logger, except the simulated host's own."""

    def __init__(self, search: Search) -> None:
        super().__init__(0)
        self.search = search

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("vimlib.simulator", "aiohttp.server", "aiohttp.access")):
            return
        text = f"{record.getMessage()} {record.args!r}"
        if record.exc_info:
            text += "".join(traceback.format_exception(*record.exc_info))
        self.search.look(f"a log of {record.name}", text)


@contextlib.contextmanager
def watching(search: Search) -> Iterator[None]:
    """Search logs at every level and warnings within the block."""
    root, handler = logging.getLogger(), _Logs(search)
    quieted = [logging.getLogger(name) for name in ("vimlib", "vimdriver", "asyncio", "aiohttp")]
    before = [(each, each.level) for each in (root, *quieted)]
    root.addHandler(handler)
    for each in (root, *quieted):
        each.setLevel(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            root.removeHandler(handler)
            for each, level in before:
                each.setLevel(level)
    for warning in caught:
        search.look("a warning", str(warning.message))


def search_files(search: Search, where: str, folder: Path) -> None:
    """Search in all small files below a folder."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size < 1 << 20:
            search.look(f"a file of {where}", path.read_bytes().decode("latin-1"))


# -- operations ----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Setting:
    """What an operation works with."""

    world: World
    client: vimlib.Client
    images: Proxy
    search: Search
    config: DriverConfig

    def driver(self, store: Any = None) -> ESXDriver:
        return ESXDriver(self.client, store or Images(root=IMAGE), self.config)

    @property
    def url(self) -> str:
        return (
            f"http://user:{USERINFO}@127.0.0.1:{self.images.port}/root.img"
            f"?X-Signature={SIGNATURE}&sig2={SIGNATURE}"
        )


async def _push_url(s: Setting) -> Any:
    async with HttpClient(connect_timeout=5, stall_timeout=10) as http:
        return await _push(s, s.url, HttpImages(http))


async def _push(s: Setting, ref: str, store: Any) -> Any:
    (result,) = await push_images(
        s.client, store, [ref], datastore=DATASTORE, config=s.config, overwrite=True, as_is=True
    )
    # `image` is the reference as the caller gave it, by contract.
    given = dataclasses.replace(result, image="")
    s.search.look("a result", f"{given!r} {json.dumps(given.to_json(), default=repr)}")
    if result.error is not None:
        raise result.error


async def _read(source: Any) -> None:
    await source.info()
    async with source.open() as body:
        async for _ in body:
            pass


async def _read_url(s: Setting) -> None:
    async with HttpClient(connect_timeout=5, stall_timeout=10) as http:
        source = HttpImages(http).image(s.url)
        s.search.look("a repr", f"{source!r} {source}")
        await _read(source)


def _glance(s: Setting, http: HttpClient, *, callable_token: bool) -> Glance:
    async def token(fresh: bool) -> str:
        return TOKEN + ("-fresh" if fresh else "")

    url = f"http://127.0.0.1:{s.images.port}"
    return Glance(http, url, token=token if callable_token else TOKEN)


def glance(
    work: Callable[[Setting, Glance], Awaitable[Any]], *, callable_token: bool = False
) -> Callable[[Setting], Awaitable[Any]]:
    async def do(s: Setting) -> Any:
        async with HttpClient(connect_timeout=5, stall_timeout=10) as http:
            store = _glance(s, http, callable_token=callable_token)
            s.search.look("a repr", f"{store!r} {store.image(IMAGE_ID)!r}")
            return await work(s, store)

    return do


def _spec(image: str) -> InstanceSpec:
    return InstanceSpec(name="web", image=image, datastore=DATASTORE, memory_mb=64)


async def _spawn_url(s: Setting) -> Any:
    async with HttpClient(connect_timeout=5, stall_timeout=10) as http:
        return await s.driver(HttpImages(http)).spawn(_spec(s.url))


async def _bad_url(s: Setting) -> None:
    async with HttpClient() as http:
        for url in (
            f"http://user:{USERINFO}@127.0.0.1:99999/x?X-Signature={SIGNATURE}",
            f"ftp://user:{USERINFO}@host/x?X-Signature={SIGNATURE}",
            f"http://user:{USERINFO}@/x?X-Signature={SIGNATURE}",
            f"http://user:{USERINFO}@no-such-host.invalid/x?X-Signature={SIGNATURE}",
        ):
            try:
                await _read(HttpImages(http).image(url))
            except VimlibError as error:
                s.search.error(error)


async def _console(s: Setting) -> None:
    s.world.esx.machine("vm-0").set_power("poweredOn")
    found = await s.driver().console("vm-0")
    ticket = getattr(found, "ticket", None)
    text = ticket.reveal() if isinstance(ticket, Secret) else str(ticket or "")
    s.search.learn("ticket", text)
    s.search.look("a repr", f"{found!r}")


async def _login_call(s: Setting) -> None:
    manager = s.client.content.sessionManager
    assert manager is not None
    await manager.Login("somebody", OTHER)


async def _expired_login(s: Setting) -> None:
    """Let the session end after the password was changed on the host."""
    s.world.esx.sessions.password = "changed-on-the-host"
    s.world.esx.expire_sessions("fault")
    await lies.names(s.client)


async def _lease(s: Setting) -> None:
    vm = s.client.bind(vim25.VirtualMachine(next(iter(s.world.esx.machines))))
    async with s.client.lease(vm.ExportVm(), timeout=5) as lease:
        s.search.look("a repr", f"{lease!r} {lease.devices!r}")
        for device in lease.devices:
            async for _ in lease.download(device):
                pass


async def _guest(s: Setting, name: str) -> None:
    """Act in a guest that takes the password, or another one."""
    w, driver = s.world, s.driver()
    right = GUEST if name.startswith("right") else "another-password"
    w.esx.set_guest("vm-0", tools=True, accounts={"root": right})
    await driver.power_on("vm-0", foreign=True)
    login = GuestLogin("root", Secret(GUEST))
    s.search.look("a repr", repr(login))
    env = {"PASSWORD": OTHER}
    await driver.guest_exec("vm-0", login, "/bin/true", OTHER, env=env, timeout=30, foreign=True)
    await driver.guest_upload(
        "vm-0", login, OTHER.encode(), "/tmp/up", overwrite=True, foreign=True
    )
    if (found := await driver.guest_download("vm-0", login, "/tmp/up")) != OTHER.encode():
        raise AssertionError(found)


async def _tell_guest(s: Setting) -> None:
    config = GuestConfig(hostname="web", user_data=f"#cloud-config\npassword: {OTHER}\n")
    await s.driver().set_guest_info("vm-0", config, form="versioned", foreign=True)


async def _spawn_with_secrets(s: Setting) -> None:
    drive = ConfigDrive(user_data=OTHER.encode(), files=(("etc/secret", OTHER.encode()),))
    spec = dataclasses.replace(_spec("root"), config_drive=drive)
    s.search.look("a repr", repr(spec))
    del s.search.secrets["argument of a call"]  # the drive is a file of the machine
    await s.driver().spawn(spec)


async def _keys(s: Setting) -> None:
    s.world.esx.machine("vm-0").set_power("poweredOn")
    await s.driver().send_keys("vm-0", OTHER, foreign=True)


async def _fan(s: Setting) -> None:
    """Push to one host by two names, with a token that an image service refuses or takes."""
    async with HttpClient(connect_timeout=5, stall_timeout=10) as http:
        images = _glance(s, http, callable_token=False)
        results = await push_to_hosts(
            [s.client], images, [IMAGE_ID], datastore=DATASTORE, config=s.config, as_is=True
        )
    for result in results:
        s.search.look("a result", f"{result!r} {json.dumps(result.to_json(), default=repr)}")
        if result.error is not None:
            raise result.error


async def _capture(s: Setting) -> None:
    async with HttpClient(connect_timeout=5, stall_timeout=10) as http:
        store = _glance(s, http, callable_token=False)
        await s.driver(store).capture("vm-0", "taken", target=store, foreign=True)


OPS: dict[str, Callable[[Setting], Awaitable[Any]]] = {
    "guest, right password": lambda s: _guest(s, "right"),
    "guest, wrong password": lambda s: _guest(s, "wrong"),
    "set_guest_info": _tell_guest,
    "spawn with user data": _spawn_with_secrets,
    "send_keys": _keys,
    "glance: push to hosts": _fan,
    "glance: capture": _capture,
    "push from a URL": _push_url,
    "read a URL": _read_url,
    "spawn from a URL": _spawn_url,
    "bad addresses of images": _bad_url,
    "glance: push": glance(lambda s, g: _push(s, IMAGE_ID, g)),
    "glance: read": glance(lambda s, g: _read(g.image(IMAGE_ID))),
    "glance: read, fresh tokens": glance(lambda s, g: _read(g.image(IMAGE_ID)), callable_token=True),
    "glance: by name": glance(lambda s, g: _read(g.image("root"))),
    "glance: spawn": glance(lambda s, g: s.driver(g).spawn(_spec(IMAGE_ID))),
    "console": _console,
    "Login by hand": _login_call,
    "a session after the password": _expired_login,
    "lease": _lease,
}  # fmt: skip
IMAGE_OPS = frozenset(name for name in OPS if "URL" in name or "glance" in name)
CHOICES = [*OPS, *IMAGE_OPS, *IMAGE_OPS, *(f"lies: {name}" for name in lies.OPS)]


async def image_server() -> tuple[web.ServerRunner, int]:
    """Serve an image at an address and as Glance does."""
    record = {
        "id": IMAGE_ID,
        "name": "root",
        "status": "active",
        "size": len(IMAGE),
        "disk_format": "raw",
        "container_format": "bare",
    }

    async def serve(request: web.BaseRequest) -> web.Response:
        path = request.rel_url.path
        if path.endswith(("/file", ".img")):
            return web.Response(body=IMAGE, content_type="application/octet-stream")
        lists = path.endswith("/images") and request.method == "GET"
        found: Any = {"images": [record]} if lists else record
        return web.json_response(found)

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MemoryLoop)
    server = await loop.create_server(runner.server, "127.0.0.1", 0)
    return runner, server.sockets[0].getsockname()[1]


def _acts(case: Case) -> dict[str, Act]:
    """Return what can happen to an exchange; servers repeat what they were sent, too."""
    status = case.rng.choice((400, 401, 403, 404, 407, 410, 429, 500, 502, 503, 302))

    async def echoes(turn: Turn) -> None:
        await turn.read_body()
        await turn.send(response(status, turn.head + turn.body))

    async def echoes_in_xml(turn: Turn) -> None:
        await turn.read_body()
        await turn.send(response(200, turn.head + turn.body, kind=b"text/xml"))

    async def echoes_in_head(turn: Turn) -> None:
        line = (turn.head + turn.body).replace(b"\r", b" ").replace(b"\n", b" ")[-600:]
        await turn.send(b"HTTP/1.1 " + line + b"\r\n\r\n")
        turn.close()

    async def echoes_the_cookie(turn: Turn) -> None:
        await turn.read_body()
        cookie = re.search(rb"(?im)^cookie:[^\r\n]*", turn.head)
        await turn.send(response(status, b"you sent " + (cookie[0] if cookie else b"none")))

    return {
        **lies.faults(case),
        "echo": echoes,
        "echo in a 200": echoes_in_xml,
        "echo in a head": echoes_in_head,
        "echo a cookie": echoes_the_cookie,
        "bad JSON": acts.say(response(200, b'{"id": 1', kind=b"application/json")),
        "a redirect with secrets": acts.say(
            response(302, b"", b"Location: http://user:" + USERINFO.encode() + b"@x/?" + SIGNATURE.encode())
        ),
    }  # fmt: skip


def arm(case: Case, target: Proxy, w: World, turns: int) -> None:
    """Choose what is broken and when."""
    rng = case.rng
    first = len(target.seen)
    planned: dict[int, tuple[str, Act]] = {}
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(turns)
        choice = case.choose(_acts(case))
        for again in range(rng.choice((1, 1, 3, 30))):
            planned.setdefault(at + again, choice)
    expire = rng.randrange(turns) if case.chance(0.2) else -1
    face: lies.Face = rng.choice(lies.FACES)
    if case.chance(0.2):
        w.esx.faults.fail_task(rng.choice(lies.TASKS), rng.choice(lies.FAULTS)())

    def plan(turn: Turn) -> Act | None:
        at = len(turn.proxy.seen) - 1 - first
        if at == expire:
            w.esx.expire_sessions(face)
        if at not in planned:
            return None
        name, act = planned[at]
        case.tell(f"{at} {turn.verb}: {name}")
        case.counts[f"fault: {name}"] += 1
        return act

    target.plan = plan


async def operate(case: Case, search: Search) -> None:
    """An operation of a client that is logged in, or is about to be."""
    rng = case.rng
    name = rng.choice(CHOICES)
    case.tell(name)
    case.counts[f"verb: {name}"] += 1
    runner, port = await image_server()
    async with world(vms=2, password=PASSWORD) as w, Proxy(port).running() as images:
        op = lies.OPS.get(name.removeprefix("lies: "))
        if op is not None and op.setup is not None:
            await op.setup(w)
        how: dict[str, Any] = {}
        if name in IMAGE_OPS or case.chance(0.3):
            how["proxy"] = f"http://proxyuser:{PROXY}@127.0.0.1:{w.proxy.port}"
        journal = w.folder / "journal" if case.chance(0.3) else None
        config = dataclasses.replace(CONFIG, journal=journal)
        early = case.chance(0.15)
        target = images if name in IMAGE_OPS and case.chance(0.7) else w.proxy
        turns = 8 if early else 4 if target is images else 24
        if early:
            arm(case, target, w, turns)
        try:
            async with w.client(**how) as client:
                search.look("a repr", f"{client!r} {vars(client)!r}")
                if not early:
                    arm(case, target, w, turns)
                s = Setting(w, client, images, search, config)
                async with asyncio.timeout(3000):
                    work = op.work(client) if op is not None else OPS[name](s)
                    result = await work
                    search.look("a result", f"{result!r} {result}")
        except Exception as error:  # noqa: BLE001 - searched
            for value in w.proxy.cookies:
                search.learn("cookie", value.decode("latin-1"))
            case.counts[f"ends in {type(error).__name__}"] += 1
            search.error(error)
        finally:
            w.proxy.plan = images.plan = None
        for value in w.proxy.cookies:
            search.learn("cookie", value.decode("latin-1"))
        search_files(search, "the datastore", w.root)
        if journal is not None and journal.exists():
            search.look("a journal", journal.read_text("utf-8", "replace"))
    await runner.cleanup()
    if (state := os.environ.get("XDG_STATE_HOME")) and Path(state).is_dir():
        search_files(search, "state", Path(state))


async def fail_to_connect(case: Case, search: Search) -> None:
    """A connection that cannot be: addresses, proxies, passwords and answers that are wrong."""
    rng = case.rng
    async with world(password=PASSWORD) as w:
        port = w.proxy.port
        good_proxy = f"http://proxyuser:{PROXY}@127.0.0.1:{port}"
        bad_proxies = [
            f"http://proxyuser:{PROXY}@127.0.0.1:1",
            f"http://proxyuser:{PROXY}@no-such-host.invalid:3128",
            f"https://proxyuser:{PROXY}@127.0.0.1:{port}",
            f"socks5://proxyuser:{PROXY}@127.0.0.1:{port}",
            f"http://proxyuser:{PROXY}@127.0.0.1:{port}/path?{PROXY}",
            f"http://proxyuser:{PROXY}@127.0.0.1:port",
            f"http://proxyuser:{PROXY}@[::1",
            f"http://{PROXY}\r\n@127.0.0.1:{port}",
            f"proxyuser:{PROXY}@127.0.0.1:{port}",
        ]
        bad_urls = [
            f"https://user:{USERINFO}@127.0.0.1:{port}/sdk",
            f"http://user:{USERINFO}@127.0.0.1:{port}/sdk",
            f"http://user:{USERINFO}@127.0.0.1:bad/sdk",
            f"user:{USERINFO}@127.0.0.1:{port}",
            f"ftp://user:{USERINFO}@127.0.0.1/sdk",
            f"http://127.0.0.1:{port}/sdk?token={SIGNATURE}",
            f"http://user:{USERINFO}@[::1/sdk",
            f"https://user:{USERINFO}\n@127.0.0.1/sdk",
        ]
        url, proxy, user, password = f"http://127.0.0.1:{port}/sdk", None, "root", PASSWORD
        sort = rng.choice(("url", "proxy", "proxy", "password", "answer", "status"))
        refused: Any = None
        if sort == "url":
            url = rng.choice(bad_urls)
        elif sort == "proxy":
            proxy = rng.choice(bad_proxies)
        elif sort == "password":
            user = rng.choice(("root", "root", "nobody", "ro\x00ot"))
            password = rng.choice((PASSWORD + "\x00", PASSWORD + "x", PASSWORD + "\ud800"))
        elif sort == "status":
            refused = rng.choice((407, 403, 502))
            proxy = good_proxy
        else:
            proxy = rng.choice((None, good_proxy))
            arm(case, w.proxy, w, 5)
        if refused:
            w.proxy.on_connect = response(
                refused, HTML + PROXY.encode(), b"X-Echo: " + PROXY.encode()
            )
        case.tell(f"{sort}: {url.replace(USERINFO, '..')} {(proxy or '').replace(PROXY, '..')!r}")
        case.counts[f"connect: {sort}"] += 1
        try:
            async with vimlib.connect(
                url, user, password, proxy=proxy, tls=vimlib.TLS(verify=False), timeouts=TIMEOUTS
            ) as client:  # fmt: skip
                await lies.names(client)
        except Exception as error:  # noqa: BLE001 - searched
            for value in w.proxy.cookies:
                search.learn("cookie", value.decode("latin-1"))
            case.counts[f"ends in {type(error).__name__}"] += 1
            search.error(error)
            if not isinstance(error, VimlibError):
                search.found.setdefault(
                    f"connect: untyped {type(error).__name__}", f"{sort} {error!r}"[:300]
                )
        search.look("a repr", repr(transport_repr(url, proxy, search)))


def transport_repr(url: str, proxy: str | None, search: Search) -> str:
    """Return what a transport prints, made or not."""
    try:
        return repr(vimlib.HTTPTransport(url, proxy=proxy, tls=vimlib.TLS(verify=False)))
    except Exception as error:  # noqa: BLE001 - searched
        search.error(error)
        return ""


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("about",), ("ls",), ("get", "VirtualMachine", "-p", "name"), ("instance", "list"),
    ("instance", "show", "web"), ("instance", "destroy", "web"), ("instance", "console", "web"),
    ("datastore", "ls", "[datastore1]"), ("network", "ls"), ("host", "show"), ("sweep",),
    ("image", "push", "URL", "--datastore", "datastore1"), ("image", "inspect", "URL"),
    ("image", "push", IMAGE_ID, "--datastore", "datastore1", "--glance", "http://127.0.0.1:1"),
    ("instance", "spawn", "--name", "web", "--image", "URL", "--datastore", "datastore1"),
    ("call", "SessionManager:ha-sessionmgr", "Login", json.dumps({"userName": "x", "password": OTHER})),
)  # fmt: skip


def command(case: Case, search: Search, folder: Path) -> None:
    """One call of `vimctl` at a port where nothing listens, or with options that are wrong."""
    from vimdriver._cli import main

    rng = case.rng
    (folder / "password").write_text(PASSWORD + "\n")
    url = f"http://user:{USERINFO}@127.0.0.1:1/x.img?X-Signature={SIGNATURE}"
    words = [url if word == "URL" else word for word in rng.choice(COMMANDS)]
    variables = {"OS_TOKEN": TOKEN, "XDG_STATE_HOME": str(folder)}
    if case.chance(0.5):
        variables |= {"VIMLIB_URL": "127.0.0.1:1", "VIMLIB_USERNAME": "root"}
        if case.chance(0.5):
            variables["VIMLIB_PASSWORD"] = PASSWORD
        else:
            words += ["--password-file", str(folder / "password")]
    else:
        variables["GOVC_URL"] = f"https://user:{USERINFO}@127.0.0.1:{rng.choice(('1', 'bad'))}/sdk"
    words += rng.choice(
        ([], ["--json"], ["--json", "-v"], ["--verbose"], ["--pin", PASSWORD], ["--no-such", "x"],
         ["--insecure"], ["--journal", str(folder)], ["--json", "--timeout", "1"])
    )  # fmt: skip
    if "--pin" in words:
        search.secrets = {k: v for k, v in search.secrets.items() if v != PASSWORD}
    case.tell(f"vimctl {' '.join(words[:4])}")
    case.counts["vimctl"] += 1
    before = dict(os.environ)
    shown = io.StringIO()
    try:
        for name in [n for n in os.environ if n.startswith(("VIMLIB_", "GOVC_", "OS_"))]:
            del os.environ[name]
        os.environ.update(variables)
        with (
            contextlib.redirect_stdout(shown),
            contextlib.redirect_stderr(shown),
            contextlib.suppress(SystemExit),
        ):
            main(words)
    finally:
        os.environ.clear()
        os.environ.update(before)
    text = shown.getvalue()
    if words[0] == "call":
        search.secrets.pop("argument of a call", None)  # the user's own word on the line
    search.look("output of vimctl", text)
    search_files(search, "state", folder / "vimlib")


def attack(case: Case) -> None:
    """Run one case."""
    search = Search()
    sort = case.rng.random()
    with watching(search):
        if sort < 0.03:
            with in_memory_folder() as folder:
                command(case, search, folder)
        elif sort < 0.15:
            run(fail_to_connect(case, search))
        else:
            run(operate(case, search))
    echo = "echo: " * any("echo" in line for line in case.story)
    for what, detail in search.found.items():
        case.find(echo + what, detail)
