"""Plays scenarios on servers: each server its share, one after the other; the servers side by side.

A wait takes vcsim a quarter of a second in which nobody works, so many of them run at once.
A scenario that breaks a server, or changes all of it, is played on a server of its own.
"""

from __future__ import annotations

import gc
import json
import os
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tests.simulator import scenarios as _scenarios  # noqa: F401 - registers them
from tests.simulator.clients import pyvmomi, vimlib
from tests.simulator.clients.base import Client
from tests.simulator.outcomes import OUTCOMES
from tests.simulator.servers import serving
from tests.simulator.stage import SCENARIOS, ClientName, Stage, play
from tests.simulator.values import KINDS, Kind, Server

ROOT = Path(__file__).parents[2]

# How many servers of a kind: for a client that waits, and for one that is busy all the time.
SERVERS: dict[ClientName, dict[Kind, int]] = {
    "vimlib": {"here": 2, "vcsim": 20, "vpx": 20},
    "pyvmomi": {"here": 2, "vcsim": 3, "vpx": 3},
    "oslo": {"here": 1, "vcsim": 1, "vpx": 1},
}
LOGINS: dict[ClientName, Callable[[Server], AbstractContextManager[Client]]] = {
    "vimlib": vimlib.logged_in,
    "pyvmomi": pyvmomi.logged_in,
}
OSLO_PATIENCE = 600
# An older host's description takes half as long to read; the third is nearest to what vcsim speaks, 6.5.
NEWEST, OLDER, AS_VCSIM = "8.0", "4.1", "6.7"

# The outcome of each scenario, or the exception that it raised.
Results = dict[tuple[ClientName, Kind, str], Any]


def shares(client: ClientName, asked: Iterable[tuple[Kind, str]]) -> list[tuple[Kind, list[str]]]:
    """Return which scenarios share a session and a server."""
    wanted = set(asked)
    found: list[tuple[Kind, list[str]]] = []
    for kind in KINDS:
        names = [name for name in SCENARIOS if (kind, name) in wanted]
        together: dict[str, list[str]] = {}
        for name in names:
            if OUTCOMES[name].alone:
                found.append((kind, [name]))
            else:
                apart = SCENARIOS[name].apart if client == "oslo" else ""
                together.setdefault(apart, []).append(name)
        for group in together.values():
            count = SERVERS[client][kind]
            found += [(kind, group[first::count]) for first in range(count)]
    return [(kind, names) for kind, names in found if names]


def play_here(client: ClientName, kind: Kind, names: list[str]) -> Results:
    """Play scenarios on a new server in this process."""
    found: Results = {}
    with serving(kind) as server, LOGINS[client](server) as session:
        stage = Stage(session)
        for name in names:
            try:
                found[client, kind, name] = play(name, stage)
            except Exception as error:  # noqa: BLE001 - raised again by the scenario's own test
                found[client, kind, name] = error
    return found


def play_by_oslo(interpreter: Path, wsdl: str, asked: Iterable[tuple[Kind, str]]) -> Results:
    """Play scenarios by oslo.vmware, a process for each kind of server."""
    asked = list(asked)
    found: Results = {}
    with ExitStack() as stack:
        running: list[subprocess.Popen[str]] = []
        for kind in KINDS:
            parts = []
            for _, names in shares("oslo", [each for each in asked if each[0] == kind]):
                version = OLDER if SCENARIOS[names[0]].apart else NEWEST
                server = stack.enter_context(serving(kind, version))
                given = replace(server, wsdl=None if kind == "here" else wsdl)
                parts.append({"server": asdict(given), "names": names})
            process = subprocess.Popen(
                [interpreter, "-m", "tests.simulator.oslo_player"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            )
            stack.callback(process.kill)
            assert process.stdin is not None
            process.stdin.write(json.dumps({"parts": parts}, default=str))
            process.stdin.close()
            process.stdin = None
            running.append(process)
        for process in running:
            output, complaint = process.communicate(timeout=OSLO_PATIENCE)
            assert process.returncode == 0, complaint[-4000:]
            for line in map(json.loads, output.splitlines()):
                result = AssertionError(line["error"]) if "error" in line else line["found"]
                found["oslo", line["kind"], line["name"]] = result
    return found


def play_all(
    asked: dict[ClientName, list[tuple[Kind, str]]], interpreter: Callable[[], Path]
) -> Results:
    """Play the scenarios of each client and return the outcomes."""
    found: Results = {}
    for client in ("vimlib", "pyvmomi"):
        if parts := shares(client, asked.get(client, ())):
            with ThreadPoolExecutor(len(parts)) as pool:
                for part in [pool.submit(play_here, client, *share) for share in parts]:
                    found |= part.result()
    if asked.get("oslo"):
        with tempfile.TemporaryDirectory() as folder:
            wsdl = write_wsdl(Path(folder))
            found |= play_by_oslo(interpreter(), wsdl, asked["oslo"])
    gc.collect()  # the sockets of logins that failed, while their warnings are still expected
    return found


def write_wsdl(folder: Path) -> str:
    """Write a simulated host's WSDL and return its URL; vcsim has none, and oslo.vmware needs one."""
    names = ("vimService.wsdl", "vim.wsdl", "vim-types.xsd")
    with serving("here", AS_VCSIM) as server:
        trust = ssl.create_default_context(cafile=str(server.ca))
        for name in names:
            with urllib.request.urlopen(f"{server.url}/{name}", context=trust) as answer:
                folder.joinpath(name).write_bytes(answer.read())
    return folder.joinpath(names[0]).as_uri()


def plain(found: Any) -> Any:
    """Return an outcome as JSON has it, or raise the exception."""
    if isinstance(found, Exception):
        raise found
    return json.loads(json.dumps(found))
