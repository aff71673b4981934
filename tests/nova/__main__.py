"""Run nova's own tests over our driver, print what was exercised, and fail below the bar."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import vimlib
from tests.integration.peers.glance import Glance, glance
from tests.integration.peers.nova import nova_environment
from tests.integration.peers.process import Process, running
from tests.nova.reasons import NO_WORK, REASONS
from vimlib import vim25

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
# The port groups that nova's fixtures name as bridges.
BRIDGES = ("br0", "br100", "br-int")
# Images of nova's fixtures.
IMAGES = {
    "cedef40a-ed67-4d10-800e-17455edce175": "raw",
    "155d900f-4e14-4e4c-a73d-069cbf4541e6": "raw",
    "a2459075-d96c-40d5-893e-577ff92e721c": "raw",
    "76fa36fc-c930-4bf3-8c8a-ea2a2420deb6": "raw",
    "70a599e0-31e7-49b7-b260-868f441e862b": "raw",
    "c905cedb-7281-47e4-8a62-f26bc5fc4c77": "raw",
}
# Level to its program, and how many of nova's cases must pass with a call on the host.
LEVELS = {"virt_driver": 36, "functional": 37, "mechanism": 0}


def main(names: list[str]) -> int:
    """Run the levels that are named (all without a name); return the exit code."""
    levels = [name for name in names if name in LEVELS] or list(LEVELS)
    patterns = [name for name in names if name not in LEVELS]
    good = True
    failed: list[dict[str, Any]] = []
    with stage() as given:
        for level in levels:
            reached, wrong = run(level, given, patterns)
            good, failed = good and reached, failed + wrong
    # Last, and short: a log of CI is cut.
    for row in failed:
        print(f"failed: {row['name']}: {row['why']}"[:250])
    return 0 if good else 1


@contextmanager
def stage() -> Iterator[dict[str, Any]]:
    """Start two simulated hosts and Glance, with what nova's fixtures expect there."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nova-")))
        images = stack.enter_context(glance())
        first, _ = stack.enter_context(host(folder, "first"))
        second, _ = stack.enter_context(host(folder, "second"))
        fill(images, folder)
        (folder / "state").mkdir()
        yield {
            **first,
            "second": second,
            "glance": images.url,
            "results": str(folder / "results.json"),
            "state": str(folder / "state"),
        }


@contextmanager
def host(folder: Path, name: str, *options: object) -> Iterator[tuple[dict[str, str], Process]]:
    """Run a simulated host with `options` of `vimctl sim`.

    Yields its options for nova, with the file of its calls and the folder of its datastore, and its
    process.
    """
    trace, log, password = (folder / f"{name}.{kind}" for kind in ("trace", "log", "password"))
    trace.touch()
    datastore = folder / f"{name}.datastore"
    datastore.mkdir()
    program: list[object] = [Path(sys.executable).with_name("vimctl"), "sim", "--trace", trace]
    program += ["--datastore-dir", datastore, *options]
    with running(name, program, log) as sim:
        sim.wait_until(lambda: "thumbprint" in log.read_text(), 60)
        said = json.loads(log.read_text().splitlines()[0])
        password.write_text(said["password"])
        asyncio.run(prepare(said))
        given = {
            "url": said["url"],
            "username": said["username"],
            "password_file": str(password),
            "pin": said["thumbprint"],
            "trace": str(trace),
            "datastore": str(datastore),
        }
        yield given, sim


async def prepare(said: dict[str, str]) -> None:
    """Make the port groups."""
    tls = vimlib.TLS(pin=said["thumbprint"])
    async with vimlib.connect(said["url"], said["username"], said["password"], tls=tls) as client:
        rows = await client.collect(vim25.HostSystem, "configManager.networkSystem").all()
        system = client.bind(rows[0].require("configManager.networkSystem"))
        for bridge in BRIDGES:
            await system.AddPortGroup(
                vim25.HostPortGroupSpec(
                    name=bridge,
                    vlanId=0,
                    vswitchName="vSwitch0",
                    policy=vim25.HostNetworkPolicy(),
                )
            )


def fill(images: Glance, folder: Path) -> None:
    """Put the images of nova's fixtures into a real Glance, one MiB each."""
    disk = folder / "disk.raw"
    disk.write_bytes(bytes(MIB))
    for image, kind in IMAGES.items():
        images.upload(disk, kind, id=image)


def run(
    level: str, given: dict[str, Any], patterns: list[str]
) -> tuple[bool, list[dict[str, Any]]]:
    """Run one level; print its table; return whether it reaches its bar, and what failed."""
    environment = os.environ | {
        "VIMLIB_NOVA_STAGE": json.dumps(given),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'driver'}",
        "PYTHONWARNINGS": "ignore",
    }
    python = nova_environment() / "bin" / "python"
    program = [str(python), "-m", f"tests.nova.{level}", *patterns]
    Path(given["results"]).unlink(missing_ok=True)  # those of the level before
    subprocess.run(program, env=environment, cwd=ROOT, timeout=900)
    rows = json.loads(Path(given["results"]).read_text())
    for row in rows:
        row["exercised"] = (
            row["outcome"] == "passed" and row["calls"] and row["name"] not in NO_WORK
        )
        figures = f"{row['calls']:4} calls {row['seconds']:5.1f} s"
        print(f"{row['name']:50} {row['outcome']:16} {figures}  {row['why'][:60]}")
    unexplained = []
    for row in rows:
        if row["ours"] or row["exercised"] or row["outcome"] == "failed":
            continue
        why = REASONS.get(row["name"])
        print(f"not exercised: {row['name']:42} {why or 'no reason is known'}")
        if why is None or (row["outcome"] == "passed") is not (row["name"] in NO_WORK):
            unexplained.append(
                {**row, "why": "not exercised, without a reason in tests/nova/reasons.py"}
            )
    for ours, whose in ((False, "nova's"), (True, "our")):
        own = [row for row in rows if row["ours"] is ours]
        counts = {kind: sum(row["outcome"] == kind for row in own)
                  for kind in ("passed", "not implemented", "skipped", "failed")}  # fmt: skip
        exercised = sum(bool(row["exercised"]) for row in own)
        print(f"{level}: {len(own)} of {whose} cases, {counts}; passed with a call: {exercised}")
    failed = [row for row in rows if row["outcome"] == "failed"]
    reached = sum(bool(row["exercised"]) for row in rows if not row["ours"])
    enough = bool(patterns) or reached >= LEVELS[level]
    return bool(rows) and not failed and not unexplained and enough, failed + unexplained


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
