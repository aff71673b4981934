"""The examples of CONTRIBUTING.md, added to a copy of the packages, pass their tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
COPIED = ("vimlib", "tests/unit/simulator", "tests/rig", "tests/conftest.py", "pyproject.toml")


def add(folder: Path, heading: str, code: str) -> Path:
    """Add an example to the file that its first line names, at the end or inside of a class."""
    name, _, cls = heading.removeprefix("# ").partition(", in ")
    path = folder / name
    text = path.read_text() if path.exists() else ""
    if cls:
        before, start, after = text.partition(f"\nclass {cls}")
        body, end, rest = after.partition("\n    @robust\n    def __repr__")
        assert start, f"{path} has no class {cls}"
        assert end, f"{cls} has no __repr__, before which the example goes"
        text = f"{before}{start}{body}\n{code}{end}{rest}"
    else:
        text = f"{text}\n\n{code}"
    path.write_text(text)
    return path


@pytest.mark.slow
def test_the_examples_work(tmp_path: Path) -> None:
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    added = [
        add(tmp_path, *block.text.split("\n", 1))
        for block in blocks(PAGE, PAGE.read_text())
        if block.language == "python" and block.text.startswith("# ")
    ]
    tests = [str(path) for path in added if path.name.startswith("test_")]
    assert len(tests) == 2
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, timeout=110,
        env={"PATH": "", "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
