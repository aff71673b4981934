"""A large file to a datastore and back by the client: memory above idle, and speed compared with
curl.

    python -m bench.transfer [--mib 2048] [--rounds 3] [--json] [--quick]

The host is the simulator, in a process of its own, its datastore in memory; each transfer of ours
is a fresh process that logs in, makes one small transfer, records its memory, and transfers the
file. curl transfers the same bytes with a session's cookie. The simulator, which is the same for
both, takes most of the time; the target here is constant memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import vimlib
from bench._hosts import Host, in_memory, memory_kib, simulator
from bench._raw import Raw
from bench.report import Row, arguments, at_most, beside, emit

__all__ = ["measure", "rows"]

ROOT = Path(__file__).resolve().parents[1]
MEMORY_MIB = 16.0
WARM_UP = 8 << 20


async def ours(url: str, username: str, pin: str, way: str, file: str) -> dict[str, float]:
    """Upload `file`, or download the datastore's copy, and return the figures."""
    password = os.environ["BENCH_PASSWORD"]
    async with vimlib.connect(url, username, password, tls=vimlib.TLS(pin=pin)) as client:
        store = client.datastore("datastore1")
        await store.upload("warm", bytes(WARM_UP), overwrite=True)
        async with store.download("warm") as body:
            async for _ in body:
                pass
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
        idle, cpu, began = memory_kib("VmRSS"), time.process_time(), time.perf_counter()
        moved = 0
        if way == "upload":
            moved = (await store.upload("large", Path(file), overwrite=True)).size or 0
        else:
            async with store.download("large") as body:
                async for chunk in body:
                    moved += len(chunk)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        return {
            "wall": wall,
            "cpu": cpu,
            "grown_mib": (memory_kib("VmHWM") - idle) / 1024,
            "bytes": moved,
        }


def curl(host: Host, cookie: str, way: str, file: Path) -> float:
    """The same with curl; return its seconds."""
    base = host.url.removesuffix("/sdk")
    address = f"{base}/folder/large?dcPath=ha-datacenter&dsName=datastore1"
    what = ["-T", str(file)] if way == "upload" else []
    began = time.perf_counter()
    # Its certificate is generated when it starts; the bytes go over loopback.
    command = ["curl", "-skf", "-H", "Expect:", "-b", cookie, *what, "-o", "/dev/null", address]
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def measure(mib: int, rounds: int) -> dict[str, Any]:
    """Transfer a file of that size `rounds` times each way, ours and curl in turn."""
    found: dict[str, Any] = {"mib": mib, "ours": {}, "curl": {}}
    with tempfile.TemporaryDirectory(prefix="bench-transfer-", dir=in_memory()) as name:
        file = Path(name, "source")
        with file.open("wb") as out:
            for _ in range(mib):
                out.write(os.urandom(1 << 20))
        with simulator() as host:
            raw = Raw(host.url)
            raw.login(host.username, host.password)
            for way in ("upload", "download"):
                found["ours"][way], found["curl"][way] = [], []
                for _ in range(rounds):
                    found["ours"][way].append(_child(host, way, file))
                    found["curl"][way].append(curl(host, raw.cookie, way, file))
            if _digest(file) != _digest(host.folder / "large"):
                raise SystemExit("the datastore has other bytes than were sent")
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _child(host: Host, way: str, file: Path) -> dict[str, float]:
    work = json.dumps([host.url, host.username, host.thumbprint, way, str(file)])
    sample: dict[str, float] = json.loads(
        subprocess.run(
            [sys.executable, "-m", "bench.transfer", "--worker", work],
            cwd=ROOT,
            env={**os.environ, "BENCH_PASSWORD": host.password},
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
    )
    if sample["bytes"] != file.stat().st_size:
        raise SystemExit(f"{way}: {sample['bytes']} bytes moved of {file.stat().st_size}")
    return sample


def rows(found: dict[str, Any]) -> list[Row]:
    """Return the table's rows: the peak memory, the median speed."""
    table = []
    for way in ("upload", "download"):
        samples, name = found["ours"][way], f"{way}, {found['mib']} MiB"
        grown = max(sample["grown_mib"] for sample in samples)
        speed = found["mib"] / statistics.median(sample["wall"] for sample in samples)
        curls = found["mib"] / statistics.median(found["curl"][way])
        table.append(at_most(f"{name}: memory above idle", max(grown, 0.0), "MiB", MEMORY_MIB))
        table.append(beside(f"{name}: speed", speed, "MiB/s", "curl", curls, more_is_better=True))
    return table


def main() -> None:
    """Run the bench."""
    parser = arguments(__doc__)
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", help="(itself)")
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(asyncio.run(ours(*json.loads(given.worker)))))
        return
    found = measure(*((128, 1) if given.quick else (given.mib, given.rounds)))
    emit("transfer", rows(found), found, as_json=given.json)


if __name__ == "__main__":
    main()
