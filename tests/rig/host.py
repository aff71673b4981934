"""A small vSphere host on a stage: sessions, a call log, and injected faults.

It supports the calls of a session and a few calls that change something, so that a test can define
the exact bytes of a reply. For machines, files and tasks there is the simulator.
"""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from tests.rig import certs
from tests.rig.canary import COOKIE, PASSWORD
from tests.rig.stage import Conn, Request, Stage, stage
from vimlib import vim25
from vimlib.errors import VimlibError
from vimlib.model import Method
from vimlib.soap import decode_request, encode_fault, encode_response

BINDING = vim25.ServiceInstance._binding_
Face = Literal["fault", "empty", "missing", "noPermission", "http401"]
Hook: TypeAlias = Callable[[Conn, Request], Awaitable[bool]]
USERNAME = "root"

VERSIONS = """<?xml version="1.0" encoding="UTF-8" ?><namespaces version="1.0"><namespace>
<name>urn:vim25</name><version>{}</version><priorVersions><version>4.0</version></priorVersions>
</namespace></namespaces>"""


def service_content(version: str = "8.0.3.0") -> vim25.ServiceContent:
    return vim25.ServiceContent(
        rootFolder=vim25.Folder("ha-folder-root"),
        propertyCollector=vim25.PropertyCollector("ha-property-collector"),
        about=vim25.AboutInfo(
            name="rig",
            fullName="rig host",
            vendor="nobody",
            version=version,
            build="1",
            osType="rig",
            productLineId="embeddedEsx",
            apiType="HostAgent",
            apiVersion=version,
        ),
        sessionManager=vim25.SessionManager("ha-sessionmgr"),
        viewManager=vim25.ViewManager("ViewManager"),
        fileManager=vim25.FileManager("ha-nfc-file-manager"),
    )


class RigHost:
    """The host's state and call log."""

    def __init__(self, version: str = "8.0.3.0") -> None:
        self.version = version
        self.versions_document: bytes | None = VERSIONS.format(version).encode()
        self.password = PASSWORD
        self.sessions: set[str] = set()
        self.logins = 0
        self.calls: list[str] = []
        """Wire names of the received calls, in order, including those that a hook intercepted."""
        self.applied: list[str] = []
        """Those that were executed."""
        self.machines: list[str] = []
        self.face: Face = "fault"
        self.cookies: list[str | None] = []
        self.before: dict[str, list[Hook]] = defaultdict(list)
        """Runs before a call is executed; True: the hook handled the connection, do nothing
        more."""
        self.after: dict[str, list[Hook]] = defaultdict(list)
        """Runs after the execution, before the reply."""
        self.every: Hook | None = None
        self.faults: dict[str, list[Any]] = defaultdict(list)
        """Faults to reply with instead, used up in order."""
        self.stage: Stage | None = None

    @property
    def url(self) -> str:
        assert self.stage is not None
        return self.stage.url

    def expire(self, face: Face = "fault") -> None:
        """End all sessions; from now on their calls are answered with `face`."""
        self.sessions.clear()
        self.face = face

    def count(self, *methods: str) -> int:
        return sum(name in methods for name in self.calls)

    async def play(self, conn: Conn) -> None:
        """Serve one connection."""
        while True:
            request = await conn.request()
            if request.method == "GET" and request.target.endswith("vimServiceVersions.xml"):
                if self.versions_document is None:
                    await conn.reply(404, b"<html>no</html>", [("Content-Type", "text/html")])
                else:
                    await conn.reply(200, self.versions_document)
                continue
            if not await self._call(conn, request):
                return

    async def _call(self, conn: Conn, request: Request) -> bool:
        call = decode_request(BINDING, request.body)
        name = call.method.name
        self.calls.append(name)
        cookie = next(
            (
                part.partition("=")[2]
                for part in request.headers.get("cookie", "").split("; ")
                if part.startswith("vmware_soap_session=")
            ),
            None,
        )
        self.cookies.append(cookie)
        for hooks in (self.before[name], [self.every] if self.every is not None else []):
            if hooks and await (hooks.pop(0) if hooks is self.before[name] else hooks[0])(
                conn, request
            ):
                return False
        status, body, headers = self._answer(call.method, call.this, call.args, cookie)
        if self.after[name] and await self.after[name].pop(0)(conn, request):
            return False
        await conn.reply(status, body, [("Content-Type", "text/xml; charset=utf-8"), *headers])
        return True

    def _answer(
        self, method: Method[..., Any], this: Any, args: dict[str, Any], cookie: str | None
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        name = method.name
        if name == "RetrieveServiceContent":
            return 200, encode_response(method, service_content(self.version)), []
        if name == "Login":
            return self._login(method, args, cookie)
        if cookie not in self.sessions:
            return self._expired(method, args)
        if self.faults[name]:
            return 500, encode_fault(self.faults[name].pop(0)), []
        self.applied.append(name)
        if name == "Logout":
            self.sessions.discard(cookie or "")
            return 200, encode_response(method), []
        return 200, encode_response(method, self._result(name, args)), []

    def _login(
        self, method: Method[..., Any], args: dict[str, Any], cookie: str | None
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        self.logins += 1
        if cookie in self.sessions or (args["userName"], args["password"]) != (
            USERNAME,
            self.password,
        ):
            return 500, encode_fault(vim25.InvalidLogin()), []
        new = f"{COOKIE}-{self.logins}"
        self.sessions.add(new)
        self.applied.append("Login")
        headers = [("Set-Cookie", f'vmware_soap_session="{new}"; Path=/; HttpOnly; Secure')]
        self.sessions.discard(new)
        self.sessions.add(f'"{new}"')
        return 200, encode_response(method, session_of(new)), headers

    def _expired(
        self, method: Method[..., Any], args: dict[str, Any]
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        listing = method.name in {"RetrieveProperties", "RetrievePropertiesEx"}
        if self.face == "http401":
            return 401, b"", []
        if listing and self.face == "empty":
            return (
                200,
                encode_response(method, [] if method.name == "RetrieveProperties" else None),
                [],
            )
        if listing and self.face == "missing":
            obj = args["specSet"][0].objectSet[0].obj
            content = vim25.ObjectContent(
                obj=obj,
                missingSet=[
                    vim25.MissingProperty(
                        path=args["specSet"][0].propSet[0].pathSet[0],
                        fault=vim25.LocalizedMethodFault(
                            fault=vim25.NotAuthenticated(object=obj, privilegeId="System.View")
                        ),
                    )
                ],
            )
            found = (
                [content]
                if method.name == "RetrieveProperties"
                else vim25.RetrieveResult(objects=[content])
            )
            return 200, encode_response(method, found), []
        root = vim25.Folder("ha-folder-root")
        fault: VimlibError = vim25.NotAuthenticated(object=root, privilegeId="System.View")
        if self.face == "noPermission":
            fault = vim25.NoPermission(object=root, privilegeId="System.View")
        return 500, encode_fault(fault), []  # type: ignore[arg-type]

    def _result(self, name: str, args: dict[str, Any]) -> Any:
        if name == "CurrentTime":
            return datetime.now(UTC)
        if name == "CreateVM_Task":
            self.machines.append(args["config"].name)
        if name.endswith("_Task"):
            return vim25.Task("haTask-1")
        if name in {"RetrieveProperties", "RetrievePropertiesEx"}:
            found = [
                vim25.ObjectContent(
                    obj=item.obj,
                    propSet=[
                        vim25.DynamicProperty(
                            name=path,
                            val=session_of("x") if path == "currentSession" else f"value of {path}",
                        )
                        for path in args["specSet"][0].propSet[0].pathSet
                    ],
                )
                for item in args["specSet"][0].objectSet
            ]
            if args["specSet"][0].objectSet[0].obj.moref[1] == "nothing":
                found = []
            if name == "RetrieveProperties":
                return found
            return vim25.RetrieveResult(objects=found) if found else None
        return None


def session_of(key: str) -> vim25.UserSession:
    now = datetime.now(UTC)
    return vim25.UserSession(
        key="s-" + str(len(key)),
        userName=USERNAME,
        fullName="Root",
        loginTime=now,
        lastActiveTime=now,
        locale="en",
        messageLocale="en",
    )


# -- hooks ---------------------------------------------------------------------------------------


async def reset(conn: Conn, request: Request) -> bool:
    """Cut by RST."""
    conn.reset()
    return True


async def cut(conn: Conn, request: Request) -> bool:
    """Cut by FIN without a reply."""
    conn.close()
    return True


async def silence(conn: Conn, request: Request) -> bool:
    """Never reply."""
    await conn.hold()
    return True


def answer(
    status: int, body: bytes = b"", *headers: tuple[str, str], length: int | None = None
) -> Hook:
    """Reply with these bytes and close."""

    async def hook(conn: Conn, request: Request) -> bool:
        await conn.reply(status, body, headers, length=length)
        conn.close()
        return True

    return hook


@asynccontextmanager
async def rig_host(
    version: str = "8.0.3.0", *, tls: ssl.SSLContext | Literal["good"] | None = "good"
) -> AsyncIterator[RigHost]:
    """Run a host on loopback, by default over TLS with the good certificate."""
    host = RigHost(version)
    context = certs.make("good").server_context() if tls == "good" else tls
    async with stage(host.play, context) as host.stage:
        yield host
