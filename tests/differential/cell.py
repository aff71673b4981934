"""One scenario with one client, in its own process that is ended at the deadline."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from tests.differential.clients.base import Job
from tests.differential.scenarios import Scenario, Scene
from tests.differential.servers import Kind, served
from tests.differential.verdict import Seen, Verdict
from tests.rig import certs
from tests.rig.relay import relay
from tests.rig.stage import Conn, stage
from vimlib.simulator._core.registry import Registry
from vimlib.simulator._protocol.wsdl import document

ClientName = Literal["ours", "pyvmomi", "oslo"]

REPOSITORY = Path(__file__).resolve().parents[2]
# Imports, and the megabytes of WSDL that one client reads; no fault is active yet.
START_SECONDS = 90
# The network timeout of a client, if it can be configured.
CLIENT_SECONDS = 2.0
# A logger's name at the start of a line, in the format of `logging.basicConfig`.
_LOGGER = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):([\w.]+):")


@dataclass(frozen=True)
class Cell:
    """The result of one scenario with one client."""

    verdict: Verdict
    version: str
    leaks: tuple[str, ...]
    """The places that showed a secret, and which one: `logger: the password`."""
    outcome: dict[str, Any] | None
    """The result or error that the client reported."""
    log: str
    """The tail of its log, to find the reason."""


async def run_cell(
    client: ClientName, scenario: Scenario, kind: Kind, wsdl: Path, keep: Path | None = None
) -> Cell:
    """Run one client through one scenario; its log goes to the folder `keep`, if given.

    Raises `RuntimeError` if the adapter itself fails.
    """
    certificate = certs.make(scenario.certificate)
    with tempfile.TemporaryDirectory(prefix="differential-") as name:
        folder = Path(name)
        (folder / "ca.pem").write_bytes(certs.make("good").ca_pem)
        async with (
            served(kind) as server,
            stage(_refuse, certs.make("good").server_context(), address=scenario.address) as trap,
            relay(
                "127.0.0.1",
                server.port,
                tls=certificate.server_context(),
                address=scenario.address,
            ) as between,
        ):
            scene = Scene(server, between, trap, folder)
            scenario.prepare(scene)
            job = Job(
                action=scenario.action,
                args=scenario.args,
                server=kind,
                host=scenario.address,
                port=between.stage.port,
                username=server.username,
                password=server.password,
                trust=scenario.trust,
                ca=str(folder / "ca.pem"),
                pin=(certs.make("good", 9) if scenario.wrong_pin else certificate).digest(),
                wsdl=str(wsdl),
                deadline=CLIENT_SECONDS,
            )
            seen = Seen(None, scenario.deadline, server, between, trap, notes=scene.notes)
            said = folder / "said"
            with said.open("wb") as stderr:
                version = await _played(client, job, scenario, scene, seen, stderr)
            if seen.outcome is not None and "not_offered" in seen.outcome:
                verdict = Verdict("-", seen.outcome["not_offered"])
            else:
                verdict = await scenario.judge(seen)
            secrets = {server.password: "the password"}
            secrets |= dict.fromkeys(between.cookies, "the session cookie")
            with said.open(errors="replace") as lines:
                leaks = tuple(sorted(_leaks(lines, secrets)))
            if keep is not None:
                shutil.copy(said, keep / f"{kind}-{scenario.row}-{client}.log")
            return Cell(verdict, version, leaks, seen.outcome, _tail(said))


async def _played(
    client: ClientName,
    job: Job,
    scenario: Scenario,
    scene: Scene,
    seen: Seen,
    stderr: BinaryIO,
) -> str:
    """Run the client's action; record its outcome. Return its version."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "ignore", "-m", f"tests.differential.clients.{client}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        cwd=REPOSITORY,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def say(message: Any) -> None:
        stdin.write(json.dumps(message).encode() + b"\n")

    async def hear() -> Any:
        line = await stdout.readline()
        if not line:
            raise RuntimeError(f"the adapter of {client} died\n{_tail(Path(stderr.name))}")
        return json.loads(line)

    try:
        async with asyncio.timeout(START_SECONDS):
            say(asdict(job))
            version: str = (await hear())["ready"]
        try:
            async with asyncio.timeout(scenario.deadline):
                say("go")
                while "at" in (message := await hear()):
                    scenario.between(scene)
                    await asyncio.sleep(0.1)  # a reset or expired connection reaches the client too
                    seen.before = len(scene.relay.calls)
                    say("on")
                seen.outcome = message
        except TimeoutError:
            pass  # the outcome stays None, which is the observation
    finally:
        stdin.close()
        await _ended(process, 0 if seen.outcome is None else 5)
    return version


async def _ended(process: asyncio.subprocess.Process, grace: float) -> None:
    """Let a process end within `grace` seconds, then kill it: some clients leave threads
    running."""
    try:
        await asyncio.wait_for(process.wait(), grace)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            process.kill()
        await process.wait()


def _tail(file: Path) -> str:
    """Return the last of a log."""
    with file.open("rb") as lines:
        lines.seek(max(0, file.stat().st_size - 4000))
        return lines.read().decode(errors="replace")


def _leaks(log: Iterable[str], secrets: dict[str, str]) -> set[str]:
    found, logger = set(), "repr or traceback"
    for line in log:
        head = _LOGGER.match(line)
        # A record may have many lines; lines that the adapter printed have any form.
        logger = head[1] if head else logger
        for secret, what in secrets.items():
            if secret in line:
                found.add(f"{logger}: {what}")
    return found


async def _refuse(conn: Conn) -> None:
    """Accept every connection and reply with nothing."""
    while True:
        await conn.request()
        await conn.reply(404, b"")


def write_wsdl(folder: Path) -> None:
    """Write the simulator's WSDL, for a client that reads it before it connects."""
    release = Registry("8.0").release
    for name in ("vimService.wsdl", "vim.wsdl", "vim-types.xsd"):
        content = document(name, release)
        assert content is not None
        (folder / name).write_bytes(content)
