"""Small calls per second, compared with pyVmomi and oslo.vmware, against a stub server of minimal
cost.

    python -m bench.calls [--calls 5000] [--flight 64] [--rounds 5] [--json] [--quick]

The server is a separate process: TLS, keep-alive, canned replies to each method, no XML parsing. No
two replies in a thousand are the same: each has another date in its head and another time in its
body. Each client is a separate process as well: it logs in, makes a few calls to warm up and then
the given number of CurrentTime calls, so many at a time: ours in coroutines over its connection
pool, the others in as many threads, which is their normal use. They run in turn, round after round,
so that a busy moment of the machine affects all of them; medians count. A peer that is not
installed is left out. oslo.vmware uses the WSDL of the simulated host, and the backend of
oslo.service for threads.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import os
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import trustme

import vimlib
from bench.report import Row, arguments, at_most, beside, emit
from vimlib import vim25
from vimlib.simulator._core.versions import find_release
from vimlib.simulator._protocol.wsdl import document
from vimlib.soap import encode_response

WSDL = ("vimService.wsdl", "vim.wsdl", "vim-types.xsd")
"""Documents that oslo.vmware reads at its start."""
WARM_UP = 128
VARIANTS = 1000
"""Number of distinct replies to a method."""
TARGETS = {"pyvmomi": 3.0, "oslo.vmware": 8.0}
"""The required ratio of our rate to theirs."""
MODULES = {"pyvmomi": "pyVmomi", "oslo.vmware": "oslo_vmware"}


# -- the server ------------------------------------------------------------------------------------


def replies(now: datetime) -> dict[bytes, bytes]:
    """Return the canned HTTP replies by method, as of a time."""
    session = vim25.UserSession(
        key="1", userName="root", fullName="root", loginTime=now, lastActiveTime=now, locale="en", messageLocale="en"
    )  # fmt: skip
    content = vim25.ServiceContent(
        rootFolder=vim25.Folder("ha-folder-root"),
        propertyCollector=vim25.PropertyCollector("ha-property-collector"),
        sessionManager=vim25.SessionManager("ha-sessionmgr"),
        about=vim25.AboutInfo(
            name="stub",
            fullName="stub",
            vendor="stub",
            version="8.0.3",
            build="1",
            osType="stub",
            productLineId="embeddedEsx",
            apiType="HostAgent",
            apiVersion="8.0.3.0",
        ),
    )
    bodies = {
        b"RetrieveServiceContent": encode_response(
            vim25.ServiceInstance.RetrieveServiceContent, content
        ),
        b"Login": encode_response(vim25.SessionManager.Login, session),
        b"Logout": encode_response(vim25.SessionManager.Logout),
        b"CurrentTime": encode_response(vim25.ServiceInstance.CurrentTime, now),
    }
    head = (
        f"HTTP/1.1 200 OK\r\nDate: {format_datetime(now, usegmt=True)}\r\n"
        "Content-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n{}\r\n"
    )
    cookie = 'Set-Cookie: vmware_soap_session="stub"; Path=/; HttpOnly\r\n'
    return {
        name: head.format(len(body), cookie if name == b"Login" else "").encode() + body
        for name, body in bodies.items()
    }


class Stub(asyncio.Protocol):
    """One connection: finds the end of each request and the name of its method."""

    canned: dict[bytes, Iterator[bytes]]
    method = re.compile(rb"<(?:\w+:)?(RetrieveServiceContent|Login|Logout|CurrentTime)[ />]")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are complete."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = (
                self.buffer[end + 4 : end + 4 + length],
                self.buffer[end + 4 + length :],
            )
            found = self.method.search(body)
            answer = (
                next(self.canned[found[1]])
                if found
                else b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
            )
            assert isinstance(self.transport, asyncio.Transport)
            self.transport.write(answer)


async def serve(pem: str) -> None:
    """Serve until killed; the first line on stdout is the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    made = [replies(began + timedelta(seconds=n, milliseconds=n)) for n in range(VARIANTS)]
    Stub.canned = {name: itertools.cycle([each[name] for each in made]) for name in made[0]}
    server = await asyncio.get_running_loop().create_server(
        Stub, "127.0.0.1", 0, ssl=context, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# -- the clients -----------------------------------------------------------------------------------


async def ours(port: int, ca: str, calls: int, flight: int) -> tuple[float, float]:
    """Return wall and CPU seconds of the calls alone."""
    async with vimlib.connect(
        f"https://127.0.0.1:{port}/sdk", "root", "stub", tls=vimlib.TLS(ca=ca), connections=flight
    ) as client:
        root = client.bind(vim25.ServiceInstance("ServiceInstance"))

        async def worker(share: int) -> None:
            for _ in range(share):
                await root.CurrentTime()

        async def run(count: int) -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(flight):
                    group.create_task(worker(count // flight + (number < count % flight)))

        await run(WARM_UP)
        began, cpu = time.perf_counter(), time.process_time()
        await run(calls)
        return time.perf_counter() - began, time.process_time() - cpu


def threaded(call: Callable[[], Any], calls: int, flight: int) -> tuple[float, float]:
    """Return wall and CPU seconds of the calls in `flight` threads."""
    with ThreadPoolExecutor(flight) as pool:
        list(pool.map(lambda _: call(), range(WARM_UP)))
        began, cpu = time.perf_counter(), time.process_time()
        list(pool.map(lambda _: call(), range(calls)))
        return time.perf_counter() - began, time.process_time() - cpu


def pyvmomi(port: int, ca: str, calls: int, flight: int) -> tuple[float, float]:
    """As `ours`, by pyVmomi's stub with a pool as large as the number of threads."""
    import pyVmomi

    # Its stubs know only its own version names; the plain API is used.
    untyped: Any = pyVmomi
    stub = untyped.SoapStubAdapter(
        "127.0.0.1",
        port,
        version="vim.version.version8",
        sslContext=ssl.create_default_context(cafile=ca),
        poolSize=flight,
    )
    root = untyped.vim.ServiceInstance("ServiceInstance", stub)
    root.RetrieveContent().sessionManager.Login("root", "stub", None)
    return threaded(root.CurrentTime, calls, flight)


def oslo(port: int, ca: str, calls: int, flight: int) -> tuple[float, float]:
    """As `ours`, by a VMwareAPISession; its certificate checked too."""
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
    # Imported by name: it is installed for the bench only, and has no types.
    api, vim_util = (import_module(f"oslo_vmware.{name}") for name in ("api", "vim_util"))
    session = api.VMwareAPISession(
        "127.0.0.1",
        "root",
        "stub",
        1,
        0.5,
        port=port,
        cacert=ca,
        insecure=False,
        pool_size=flight,
        wsdl_loc=Path(ca).with_name(WSDL[0]).as_uri(),
    )
    root = vim_util.get_moref("ServiceInstance", "ServiceInstance")
    return threaded(lambda: session.invoke_api(session.vim, "CurrentTime", root), calls, flight)


def client(name: str, port: int, ca: str, calls: int, flight: int) -> None:
    """Run one client; print its seconds."""
    if name == "vimlib":
        wall, cpu = asyncio.run(ours(port, ca, calls, flight))
    else:
        wall, cpu = {"pyvmomi": pyvmomi, "oslo.vmware": oslo}[name](port, ca, calls, flight)
    print(json.dumps({"wall": wall, "cpu": cpu}))


# -- the measurement -------------------------------------------------------------------------------


@contextmanager
def server() -> Iterator[tuple[int, str]]:
    """Run the stub; yield its port and the file of its CA, in a folder with a WSDL."""
    with tempfile.TemporaryDirectory(prefix="bench-calls-") as folder:
        ca = trustme.CA()
        cert = ca.issue_cert("127.0.0.1", "localhost")
        pem, ca_file = Path(folder, "both.pem"), Path(folder, "ca.pem")
        cert.private_key_and_cert_chain_pem.write_to_path(str(pem))
        ca.cert_pem.write_to_path(str(ca_file))
        for name in WSDL:
            Path(folder, name).write_bytes(document(name, find_release("8.0")) or b"")
        command = [sys.executable, "-m", "bench.calls", "--serve", str(pem)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield int(process.stdout.readline()), str(ca_file)
            finally:
                process.terminate()


def measure(
    names: list[str], calls: int, flight: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """Run each client `rounds` times, in turn."""
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}  # warnings of a peer are not ours
    with server() as (port, ca):
        for _ in range(rounds):
            for name in names:
                command = [sys.executable, "-m", "bench.calls", "--client", name, str(port), ca]
                command += ["--calls", str(calls), "--flight", str(flight)]
                done = subprocess.run(
                    command, env=environment, check=True, stdout=subprocess.PIPE, text=True
                )
                samples[name].append(json.loads(done.stdout.splitlines()[-1]))
    return samples


def rows(samples: dict[str, list[dict[str, float]]], calls: int) -> list[Row]:
    """Return the table's rows: the rate compared with each peer, then the CPU of one call."""
    rates, cpus = {}, {}
    for name, runs in samples.items():
        rates[name] = calls / statistics.median(sample["wall"] for sample in runs)
        cpus[name] = statistics.median(sample["cpu"] for sample in runs) / calls * 1e6
    peers = [name for name in samples if name != "vimlib"]
    if not peers:
        return [at_most("small calls: CPU of the client a call", cpus["vimlib"], "µs")]
    return [
        *(
            beside(
                "small calls, 64 in flight",
                rates["vimlib"],
                "calls/s",
                name,
                rates[name],
                TARGETS[name],
                more_is_better=True,
            )
            for name in peers
        ),
        *(
            beside("small calls: CPU of the client", cpus["vimlib"], "µs", name, cpus[name])
            for name in peers
        ),
    ]


def main() -> None:
    """Run the bench, or one of its processes."""
    parser = arguments(__doc__)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=MODULES, action="append", help="this peer, repeatable")
    parser.add_argument("--serve", metavar="PEM", help="(itself)")
    parser.add_argument("--client", nargs=3, help="(itself)")
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.serve))
        return
    if given.client:
        name, port, ca = given.client
        client(name, int(port), ca, given.calls, given.flight)
        return
    if given.quick:
        given.calls, given.rounds = 500, 1
    wanted = given.only or list(MODULES)
    peers = [name for name in wanted if importlib.util.find_spec(MODULES[name])]
    samples = measure(["vimlib", *peers], given.calls, given.flight, given.rounds)
    emit("calls", rows(samples, given.calls), samples, as_json=given.json)


if __name__ == "__main__":
    main()
