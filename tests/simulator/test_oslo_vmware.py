"""oslo.vmware on the simulated host; what it plays is in `oslo_scenarios.py`."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.peers import cache
from vimlib.simulator.run import in_thread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCRIPT = Path(__file__).with_name("oslo_scenarios.py")
# Pinned with the SOAP library that it stands on.
REQUIREMENTS = ("oslo.vmware==4.10.1", "suds-community==1.2.0")


def names() -> list[str]:
    """Return the scenarios, read without running them: what they import is not here."""
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(
            isinstance(mark, ast.Name) and mark.id == "scenario" for mark in node.decorator_list
        )
    ]


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def results(interpreter: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each scenario."""
    folder = tmp_path_factory.mktemp("oslo")
    with in_thread(vms=2, control=True, datastores={"datastore1": folder / "datastore1"}) as esx:
        pem = folder / "host.pem"
        pem.write_bytes(esx.certificate_pem)
        given = {
            "port": esx.world.port,
            "user": esx.credentials.username,
            "password": esx.credentials.password,
            "pem": str(pem),
            "folder": str(folder / "datastore1"),
        }
        played = subprocess.run(
            [interpreter, SCRIPT],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=600,
            cwd=folder,
        )
    lines = [json.loads(line) for line in played.stdout.splitlines() if line.startswith("{")]
    assert lines, played.stderr[-4000:]
    return {line["name"]: line for line in lines}


def test_there_are_enough() -> None:
    assert len(names()) >= 20


@pytest.mark.parametrize("name", names())
def test_scenario(results: dict[str, Any], name: str) -> None:
    result = results[name]
    assert result["ok"], result.get("error")
