"""Simulated hosts for the benches, each in its own process, and the cost of a process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Host", "cpu_seconds", "in_memory", "memory_kib", "simulator"]

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 300


@dataclass(frozen=True)
class Host:
    """A running host."""

    url: str
    username: str
    password: str = field(repr=False)
    thumbprint: str
    pid: int
    folder: Path
    """Where its datastore's files are."""
    datastore: str
    seconds: float
    """Seconds from the start of its process until it reported that it serves."""


@contextmanager
def simulator(
    *, vms: int = 0, datastore: Path | None = None, version: str = "8.0"
) -> Iterator[Host]:
    """Run `vimctl sim`; its datastore is in memory where the machine has a folder for that."""
    with tempfile.TemporaryDirectory(prefix="bench-sim-", dir=in_memory()) as name:
        folder = datastore or Path(name)
        options = ["sim", "--vms", str(vms), "--datastore-dir", str(folder)]
        options += ["--api-version", version]
        command = [sys.executable, "-c", "from vimdriver._cli import main; main()", *options]
        began = time.monotonic()
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line:
                    raise SystemExit(f"vimctl sim ended with {process.wait()}")
                ready = json.loads(line)
                yield Host(
                    **ready,
                    pid=process.pid,
                    folder=folder,
                    datastore="datastore1",
                    seconds=time.monotonic() - began,
                )
            finally:
                process.terminate()


def in_memory() -> str | None:
    """Return a folder in memory, so that the disk is not measured; None without such a folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) and _free("/dev/shm") > 8 << 30 else None


def _free(path: str) -> int:
    return shutil.disk_usage(path).free


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(field_name: str, pid: int | str = "self") -> int:
    """Return a memory field of /proc/PID/status: `VmRSS` now, `VmHWM` the peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field_name + ":"):
            return int(line.split()[1])
    raise LookupError(field_name)
