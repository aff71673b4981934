"""The same faults for three clients: who duplicates, hangs, lies or trusts.

    python -m tests.rig.differential [--json]

Each case breaks one thing on a simulated host of its own and has each client do the same piece of
work: vimlib, pyVmomi (with its VimSessionOrientedStub, which logs in again) and oslo.vmware (as
nova uses it). What is printed is what was seen: on the client as result or error, on the host as calls.
A client that is not installed is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import ssl
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import vimlib
from tests.rig import certs
from vimlib import vim25
from vimlib.simulator import ESXHost
from vimlib.simulator.run import in_thread

PATIENCE = 25.0
"""Seconds after which a client that has not come back is said to hang."""
SLOW = 5.0
"""Seconds from which on it is said how long it took."""
UPLOAD = 4 << 20
CALLERS = 30
WRONG = certs.make("good", 9).digest("sha256")
WRONG_SHA1 = certs.make("good", 9).digest("sha1")


class Client:
    """One client, with the pieces of work that cases ask for."""

    name = ""
    module = ""

    def __init__(self, esx: ESXHost) -> None:
        self.esx = esx
        self.port = esx.world.port
        self.password = esx.credentials.password

    def login(self) -> None:
        """Log in, the certificate verified."""

    def close(self) -> None:
        """Log out."""

    def create(self) -> Any:
        """Call CreateVM_Task; return what it returns."""
        raise NotImplementedError

    def read(self) -> Any:
        """Call RetrievePropertiesEx for the host's name; return it."""
        raise NotImplementedError

    def time(self) -> Any:
        """Call CurrentTime."""
        raise NotImplementedError

    def upload(self, length: int) -> Any:
        """PUT a file that is announced with UPLOAD bytes and delivers `length`."""
        raise NotImplementedError

    def many_reads(self) -> list[Any]:
        """Read from many callers at once."""
        raise NotImplementedError

    def login_with(self, *, pin: bool) -> None:
        """Log in with a pin that does not fit, or with nothing said about trust."""
        raise NotImplementedError


class Ours(Client):
    """vimlib."""

    name, module = "vimlib", "vimlib"

    def login(self) -> None:
        self.loop = asyncio.new_event_loop()
        timeouts = vimlib.Timeouts(read=4, call=10, logout=2)
        self.context = vimlib.connect(
            self.esx.url, "root", self.password, tls=vimlib.TLS(pin=self.esx.thumbprint), timeouts=timeouts
        )  # fmt: skip
        self.client = self._run(self.context.__aenter__())

    def _run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self._run(self.context.__aexit__(None, None, None))
        self.loop.close()

    def create(self) -> Any:
        folder = self.client.bind(vim25.Folder("ha-folder-vm"))
        spec = vim25.VirtualMachineConfigSpec(
            name="inst-1",
            memoryMB=64,
            numCPUs=1,
            guestId="otherGuest",
            files=vim25.VirtualMachineFileInfo(vmPathName="[datastore1]"),
        )
        return self._run(folder.CreateVM_Task(spec, vim25.ResourcePool("ha-root-pool")))

    async def _read(self) -> Any:
        return (await self.client.get(vim25.Folder("ha-folder-vm"), "name"))["name"]

    def read(self) -> Any:
        return self._run(self._read())

    def many_reads(self) -> list[Any]:
        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*(self._read() for _ in range(CALLERS)))

        found: list[Any] = self._run(all_of_them())
        return found

    def time(self) -> Any:
        return self._run(self.client.bind(vim25.ServiceInstance("ServiceInstance")).CurrentTime())

    def upload(self, length: int) -> Any:
        async def source() -> Any:
            for _ in range(length >> 16):
                yield bytes(1 << 16)

        store = self.client.datastore("datastore1")
        return self._run(store.upload("disk.img", source(), size=UPLOAD))

    def login_with(self, *, pin: bool) -> None:
        async def go() -> None:
            tls = vimlib.TLS(pin=WRONG) if pin else None
            async with vimlib.connect(self.esx.url, "root", self.password, tls=tls):
                pass

        asyncio.run(go())


class PyVmomi(Client):
    """pyVmomi, with the stub that logs in again."""

    name, module = "pyVmomi", "pyVmomi"

    def login(self) -> None:
        pyvmomi: Any = import_module("pyVmomi")
        connect: Any = import_module("pyVim.connect")
        self.vim, self.vmodl = pyvmomi.vim, pyvmomi.vmodl
        context = ssl.create_default_context(cadata=self.esx.certificate_pem.decode())
        context.check_hostname = False
        stub = pyvmomi.SoapStubAdapter(
            "127.0.0.1", self.port, version="vim.version.version8", sslContext=context
        )

        log_in = connect.VimSessionOrientedStub.makeUserLoginMethod("root", self.password)
        self.stub = connect.VimSessionOrientedStub(stub, log_in)
        self.root = self.vim.ServiceInstance("ServiceInstance", self.stub)
        self.content = self.root.RetrieveContent()

    def close(self) -> None:
        self.content.sessionManager.Logout()

    def create(self) -> Any:
        spec = self.vim.vm.ConfigSpec(
            name="inst-1",
            memoryMB=64,
            numCPUs=1,
            guestId="otherGuest",
            files=self.vim.vm.FileInfo(vmPathName="[datastore1]"),
        )
        folder = self.vim.Folder("ha-folder-vm", self.stub)
        return folder.CreateVM_Task(spec, self.vim.ResourcePool("ha-root-pool", self.stub))

    def read(self) -> Any:
        collector = self.vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            propSet=[collector.PropertySpec(type=self.vim.Folder, pathSet=["name"])],
            objectSet=[collector.ObjectSpec(obj=self.vim.Folder("ha-folder-vm", self.stub))],
        )
        found = self.content.propertyCollector.RetrievePropertiesEx(
            [spec], collector.RetrieveOptions()
        )
        return found.objects[0].propSet[0].val if found is not None else None

    def many_reads(self) -> list[Any]:
        return _in_threads(self.read)

    def time(self) -> Any:
        return self.root.CurrentTime()

    def login_with(self, *, pin: bool) -> None:
        connect: Any = import_module("pyVim.connect")
        for _ in range(2):  # the second connection is the one that is not compared
            try:
                connect.SmartConnect(
                    host="localhost", port=self.port, user="root", pwd=self.password,
                    **({"thumbprint": WRONG_SHA1} if pin else {}),
                )  # fmt: skip
            except Exception as exc:  # noqa: BLE001 - the first refusal is what is expected
                last = exc
            else:
                return
        raise last


class Oslo(Client):
    """oslo.vmware, with the arguments that nova gives."""

    name, module = "oslo.vmware", "oslo_vmware"

    def login(self) -> None:
        self._session(cacert=self._ca(), insecure=False)

    def _ca(self) -> str:
        file = Path(self.esx.datastore_path()).parent / "rig-ca.pem"
        file.write_bytes(self.esx.certificate_pem)
        return str(file)

    def _session(self, **trust: Any) -> None:
        api: Any = import_module("oslo_vmware.api")
        self.session = api.VMwareAPISession(
            "127.0.0.1", "root", self.password, 3, 0.1, port=self.port, pool_size=CALLERS,
            **trust,
        )  # fmt: skip
        self.vim = self.session.vim
        self.factory = self.vim.client.factory
        self.ref = import_module("oslo_vmware.vim_util").get_moref

    def close(self) -> None:
        self.session.logout()

    def create(self) -> Any:
        spec = self.factory.create("ns0:VirtualMachineConfigSpec")
        spec.name, spec.memoryMB, spec.numCPUs, spec.guestId = "inst-1", 64, 1, "otherGuest"
        spec.files = self.factory.create("ns0:VirtualMachineFileInfo")
        spec.files.vmPathName = "[datastore1]"
        return self.session.invoke_api(
            self.vim, "CreateVM_Task", self.ref("ha-folder-vm", "Folder"),
            config=spec, pool=self.ref("ha-root-pool", "ResourcePool"),
        )  # fmt: skip

    def read(self) -> Any:
        module = import_module("oslo_vmware.vim_util")
        folder = self.ref("ha-folder-vm", "Folder")
        return self.session.invoke_api(module, "get_object_property", self.vim, folder, "name")

    def many_reads(self) -> list[Any]:
        return _in_threads(self.read)

    def time(self) -> Any:
        return self.session.invoke_api(
            self.vim, "CurrentTime", self.ref("ServiceInstance", "ServiceInstance")
        )

    def upload(self, length: int) -> Any:
        handles: Any = import_module("oslo_vmware.rw_handles")
        handle = handles.FileWriteHandle(
            "127.0.0.1", self.port, "ha-datacenter", "datastore1",
            self.vim.client.cookiejar, "disk.img", UPLOAD, cacerts=self._ca(),
        )  # fmt: skip
        try:
            for _ in range(length >> 16):
                handle.write(bytes(1 << 16))
        finally:
            handle.close()

    def login_with(self, *, pin: bool) -> None:
        if pin:
            raise NotImplementedError("SOAP calls take no thumbprint")
        self._session()


def _in_threads(work: Callable[[], Any]) -> list[Any]:
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as exc:  # noqa: BLE001
            found.append(exc)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return found


# -- the cases -------------------------------------------------------------------------------------

Case = tuple[str, Callable[[Client], str]]


def _said(work: Callable[[], Any]) -> str:
    """Do it; return in a few words what came of it."""
    box: list[str] = []

    def run() -> None:
        try:
            result = work()
        except NotImplementedError as exc:
            box.append(f"cannot: {exc}" if str(exc) else "cannot")
        except Exception as exc:  # noqa: BLE001
            box.append(type(exc).__name__)
        else:
            box.append(
                "returns "
                + (
                    "None"
                    if result is None
                    else repr(result)[:30]
                    if isinstance(result, list)
                    else "a result"
                )
            )

    thread = threading.Thread(target=run, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(PATIENCE)
    took = time.monotonic() - began
    if not box:
        return f"hangs (over {PATIENCE:g} s)"
    return box[0] + (f" after {took:.0f} s" if took > SLOW else "")


def _count(client: Client, method: str) -> int:
    return len(client.esx.calls(method))


def lost_reply(client: Client) -> str:
    """The answer to CreateVM_Task is lost after it was carried out."""
    client.esx.faults.add("CreateVM_Task", "lose")
    said = _said(client.create)
    return f"sent {_count(client, 'CreateVM_Task')}x; {said}"


def not_authenticated_write(client: Client) -> str:
    """A user may do everything but create: the fault NotAuthenticated, the session lives."""
    client.esx.faults.fail("CreateVM_Task", vim25.NotAuthenticated(), times=None)
    before = _count(client, "Login")
    said = _said(client.create)
    return f"{said}; {_count(client, 'Login') - before} new logins"


def expired(client: Client, face: str) -> str:
    """The session has ended, and many read at once."""
    before = _count(client, "Login")
    client.esx.threadsafe(client.esx.expire_sessions, face)
    box: list[Any] = []
    said = _said(lambda: box.extend(client.many_reads()))
    good = sum(result == "vm" for result in box)
    if said.startswith("hangs"):
        return said
    trouble = "" if said.startswith("returns") else f"; {said}"
    late = said[said.index(" after") :] if " after" in said else ""
    logins = _count(client, "Login") - before
    return f"{good} of {CALLERS} get the value{late}; {logins} logins{trouble}"


def html(client: Client) -> str:
    """A page of HTML comes instead of an answer, as gateways send it."""
    client.esx.faults.add("CurrentTime", "html", times=None)
    said = _said(client.time)
    return f"{said}; sent {_count(client, 'CurrentTime')}x"


def empty(client: Client) -> str:
    """An empty body comes with status 200."""
    client.esx.faults.add("CurrentTime", "empty", times=None)
    return _said(client.time)


def silence(client: Client) -> str:
    """The answer never comes."""
    client.esx.faults.add("CurrentTime", "hang", times=None)
    return _said(client.time)


def full(client: Client) -> str:
    """The datastore has no room: HTTP 507 amid the body."""
    client.esx.threadsafe(client.esx.fill, "datastore1", free=1 << 20)
    return _said(lambda: client.upload(UPLOAD))


def forbidden(client: Client) -> str:
    """HTTP 403 to an upload."""
    client.esx.faults.add("PUT", "status", status=403)
    return _said(lambda: client.upload(UPLOAD))


def short(client: Client) -> str:
    """The source ends at half of what was announced."""
    return _said(lambda: client.upload(UPLOAD // 2))


def no_trust(client: Client) -> str:
    """Log in to a host with a self-signed certificate, nothing said about trust."""
    said = _said(lambda: client.login_with(pin=False))
    return "trusts it, sends the password" if _count(client, "Login") else f"refuses: {said}"


def wrong_pin(client: Client) -> str:
    """Log in twice with a pin that does not fit."""
    said = _said(lambda: client.login_with(pin=True))
    if said.startswith("cannot"):
        return said
    return "sends the password all the same" if _count(client, "Login") else f"refuses: {said}"


CASES: list[tuple[str, Callable[[Client], str], bool]] = [
    # what is broken, the case, whether to log in first
    ("answer to CreateVM_Task lost after it was carried out", lost_reply, True),
    ("NotAuthenticated to a write while the session lives", not_authenticated_write, True),
    (f"session ended (fault), {CALLERS} callers", lambda client: expired(client, "fault"), True),
    (
        f"session ended (empty listing), {CALLERS} callers",
        lambda client: expired(client, "empty"),
        True,
    ),
    (
        f"session ended (in missingSet), {CALLERS} callers",
        lambda client: expired(client, "missing"),
        True,
    ),
    ("HTML page instead of an answer", html, True),
    ("empty body with status 200", empty, True),
    ("answer never comes", silence, True),
    ("upload: datastore full (507)", full, True),
    ("upload: 403", forbidden, True),
    ("upload: source ends early", short, True),
    ("self-signed certificate, defaults", no_trust, False),
    ("wrong pin, two connections", wrong_pin, False),
]


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    fault: str
    seen: dict[str, str]


@contextmanager
def prepared(kind: type[Client], login: bool) -> Iterator[Client]:
    """Run a host and have a client on it."""
    with in_thread(datastores={"datastore1": None}) as esx:
        client = kind(esx)
        if login:
            client.login()
        yield client


def installed() -> list[type[Client]]:
    """Return the clients that are there."""
    return [kind for kind in (Ours, PyVmomi, Oslo) if importlib.util.find_spec(kind.module)]


def compare(clients: list[type[Client]]) -> list[Line]:
    """Run all cases against all clients."""
    lines = []
    for fault, case, login in CASES:
        seen = {}
        for kind in clients:
            with prepared(kind, login) as client:
                seen[kind.name] = case(client)
        lines.append(Line(fault, seen))
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    clients = installed()
    lines = compare(clients)
    if given.json:
        print(json.dumps([{"fault": line.fault, **line.seen} for line in lines]))
        return
    names = [kind.name for kind in clients]
    print(f"| fault | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for line in lines:
        print(f"| {line.fault} | {' | '.join(line.seen[name] for name in names)} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
    # Peers that hang hold threads; nobody waits for them.
    import os

    os._exit(0)
