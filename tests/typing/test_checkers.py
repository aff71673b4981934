"""mypy and pyright agree on what is right and what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def wrong_lines(path: Path) -> set[int]:
    return {n for n, line in enumerate(path.read_text().splitlines(), 1) if "# wrong:" in line}


def mypy(path: Path, cache: Path) -> set[int]:
    command = [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--no-error-summary"]
    done = subprocess.run(
        [*command, "--follow-imports=silent", f"--cache-dir={cache}", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = set()
    for line in done.stdout.splitlines():
        match = re.match(r"(.+?):(\d+): error:", line)
        if match:
            assert Path(ROOT / match[1]) == path, line
            found.add(int(match[2]))
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return found


def pyright(path: Path) -> set[int]:
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    return {d["range"]["start"]["line"] + 1 for d in report["generalDiagnostics"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["good.py", "bad.py"])
def test_mypy(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = HERE / name
    assert mypy(path, tmp_path_factory.getbasetemp() / "mypy") == wrong_lines(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["good.py", "bad.py"])
def test_pyright(name: str) -> None:
    path = HERE / name
    assert pyright(path) == wrong_lines(path)
