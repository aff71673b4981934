"""The environment of a run: the machine, its load, and the versions of the peers."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["describe", "sentence", "versions_sentence", "warning"]

PACKAGES = ("aiohttp", "lxml", "msgspec", "pyvmomi", "zeep", "oslo.vmware", "suds-community")
PROGRAMS = {"nginx": "-v", "curl": "--version", "openssl": "version"}
IDLE = 0.15
"""A load of more than this a core means that somebody else was at work."""


def describe() -> dict[str, Any]:
    """Return the state of the machine now; call it before the first measurement."""
    from vimlib import __version__
    from vimlib.soap import backend

    versions = {"vimlib": __version__, "Python": platform.python_version()}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    for program, option in PROGRAMS.items():
        if found := _program(program, option):
            versions[program] = found
    if found := _package("golang-github-vmware-govmomi-dev"):
        versions["vcsim"] = found
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(_kib("/proc/meminfo", "MemTotal") / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(value, 2) for value in os.getloadavg()],
        "backend": backend,
        "versions": versions,
    }


def warning(machine: dict[str, Any]) -> str | None:
    """Return a sentence when the machine was busy before the run."""
    load, cores = machine["load"][0], machine["cores"]
    if load <= IDLE * cores:
        return None
    return f"the machine was not idle: load {load} on {cores} cores; figures and ratios are noisy"


def sentence(machine: dict[str, Any]) -> str:
    """Return the machine in a line."""
    load = ", ".join(map(str, machine["load"]))
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB,"
        f" {machine['system']}; load before the run {load}"
    )


def versions_sentence(machine: dict[str, Any]) -> str:
    """Return the versions of the peers, in a line."""
    listed = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{listed}; codec: {machine['backend']}"


def _field(path: str, name: str) -> str | None:
    with suppress(OSError):
        for line in Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return None


def _kib(path: str, name: str) -> int:
    return int((_field(path, name) or "0 kB").split()[0])


def _program(name: str, option: str) -> str | None:
    """Return the version that a program reports: the first word with a digit and a dot."""
    if shutil.which(name) is None:
        return None
    done = subprocess.run([name, option], capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).replace("/", " ").split()
    return next((word for word in words if word[0].isdigit() and "." in word), None)


def _package(name: str) -> str | None:
    """Return the version of a Debian package."""
    if shutil.which("dpkg-query") is None:
        return None
    command = ["dpkg-query", "-W", "-f", "${Version}", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None
