"""One scenario with one client: the client in a process of its own, ended at its deadline."""

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
# Imports, and the megabytes of WSDL that one of them reads; no fault is in play yet.
START_SECONDS = 90
# What a client waits for the network, where it lets itself be told.
CLIENT_SECONDS = 2.0
# A logger at the head of a line, as `logging.basicConfig` writes it.
_LOGGER = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):([\w.]+):")


@dataclass(frozen=True)
class Cell:
    """What came of it."""

    verdict: Verdict
    version: str
    leaks: tuple[str, ...]
    """What showed a secret, and which: `logger: the password`."""
    outcome: dict[str, Any] | None
    """What the client told."""
    log: str
    """The last of what it said, for who wants to know why."""


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
    """Let the client do its job; note its outcome. Return its version."""
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
                    await asyncio.sleep(0.1)  # what was reset or expired is so for the client too
                    seen.before = len(scene.relay.calls)
                    say("on")
                seen.outcome = message
        except TimeoutError:
            pass  # the outcome stays None: that is the observation
    finally:
        stdin.close()
        await _ended(process, 0 if seen.outcome is None else 5)
    return version


async def _ended(process: asyncio.subprocess.Process, grace: float) -> None:
    """Let a process end within `grace` seconds, then end it: some clients leave threads that do not."""
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
        # A record may have many lines; what the adapter printed itself begins as it likes.
        logger = head[1] if head else logger
        for secret, what in secrets.items():
            if secret in line:
                found.add(f"{logger}: {what}")
    return found


async def _refuse(conn: Conn) -> None:
    """Take all that comes, and have nothing."""
    while True:
        await conn.request()
        await conn.reply(404, b"")


def write_wsdl(folder: Path) -> None:
    """Write the simulator's WSDL, for a client that reads it before it speaks."""
    release = Registry("8.0").release
    for name in ("vimService.wsdl", "vim.wsdl", "vim-types.xsd"):
        content = document(name, release)
        assert content is not None
        (folder / name).write_bytes(content)
