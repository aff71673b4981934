"""oslo.vmware on the simulated host and on vcsim; what it plays is in `by_oslo`, what it finds in `outcomes.py`."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers import cache
from tests.simulator.by_oslo.stage import SCENARIOS
from tests.simulator.outcomes import OUTCOMES
from tests.simulator.playing import asked_for
from tests.simulator.servers import KINDS, Kind, Server, serving

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]

# Pinned with the SOAP library that it stands on.
REQUIREMENTS = ("oslo.vmware==4.10.1", "suds-community==1.2.0")
ROOT = Path(__file__).parents[2]
PATIENCE = 300
# An older host's description takes half as long to read.
NEWEST, OLDER = "8.0", "4.1"
# Nearest to what vcsim speaks, 6.5.
VCSIM = "6.7"
WSDL = ("vimService.wsdl", "vim.wsdl", "vim-types.xsd")

ASKED = [
    (kind, name)
    for kind in KINDS
    for name, scenario in SCENARIOS.items()
    if kind == "here" or not scenario.here_only
]


@pytest.fixture(scope="module")
def interpreter() -> Path:
    """A Python with oslo.vmware in an environment of its own, made once."""

    def build(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *REQUIREMENTS],
            check=True,
        )

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        folder = cache.built(f"oslo-vmware-py{python}", [*REQUIREMENTS, python], build)
    except subprocess.CalledProcessError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"oslo.vmware cannot be installed: {error}")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def wsdl(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A simulated host's description of the service; vcsim has none, and oslo.vmware needs one."""
    folder = tmp_path_factory.mktemp("wsdl")
    with serving("here", VCSIM) as server:
        trust = ssl.create_default_context(cafile=str(server.ca))
        for name in WSDL:
            with urllib.request.urlopen(f"{server.url}/{name}", context=trust) as answer:
                folder.joinpath(name).write_bytes(answer.read())
    return folder.joinpath(WSDL[0]).as_uri()


def shares(kind: Kind, asked: list[tuple[Kind, str]]) -> dict[str, list[str]]:
    """Return which scenarios share a session and a server."""
    found: dict[str, list[str]] = {}
    for where, name in asked:
        if where == kind:
            found.setdefault(SCENARIOS[name].apart, []).append(name)
    return found


def told(server: Server, wsdl: str) -> dict[str, Any]:
    """Return what the other interpreter has to know of a server."""
    return {
        "kind": server.kind,
        "port": server.port,
        "user": server.username,
        "password": server.password,
        "pem": str(server.ca),
        "datastore": server.datastore,
        "datacenter": server.datacenter,
        "wsdl": None if server.kind == "here" else wsdl,
    }


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, interpreter: Path, wsdl: str
) -> dict[tuple[str, str], Any]:
    """What came of each scenario."""
    asked = asked_for(request)
    lines: list[dict[str, Any]] = []
    with ExitStack() as stack:
        running: list[subprocess.Popen[str]] = []
        for kind in KINDS:
            parts = [
                {
                    "server": told(
                        stack.enter_context(serving(kind, OLDER if apart else NEWEST)), wsdl
                    ),
                    "names": names,
                }
                for apart, names in shares(kind, asked).items()
            ]
            process = subprocess.Popen(
                [interpreter, "-m", "tests.simulator.by_oslo"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            )
            stack.callback(process.kill)
            assert process.stdin is not None
            process.stdin.write(json.dumps({"parts": parts}))
            process.stdin.close()
            process.stdin = None
            running.append(process)
        for process in running:
            said, complaint = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, complaint[-4000:]
            lines += [json.loads(line) for line in said.splitlines()]
    return {(line["kind"], line["name"]): line for line in lines}


def test_there_are_enough() -> None:
    assert len(SCENARIOS) >= 20


@pytest.mark.parametrize(("kind", "name"), ASKED)
def test_scenario(results: dict[tuple[str, str], Any], kind: Kind, name: str) -> None:
    line = results[kind, name]
    assert "error" not in line, line["error"]
    if name in OUTCOMES:
        assert line["found"] == OUTCOMES[name].on(kind, "oslo")
    else:
        # What only the simulated host can be asked for says itself what it expects.
        assert line["found"] is None
