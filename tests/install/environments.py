"""The distributions, built as a release does, and clean environments with one of them installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

ROOT = Path(__file__).resolve().parents[2]
# Of one command; an installation fetches packages.
SECONDS = 300

Compiler: TypeAlias = Literal["present", "CC=false", "not on PATH"]


def run(
    *argv: str | Path, cwd: Path, env: dict[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end, which must be `code`."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, timeout=SECONDS)
    assert done.returncode == code, (argv, done.returncode, done.stdout, done.stderr)
    return done


def settings(compiler: Compiler, nothing: Path) -> dict[str, str]:
    """Return the process environment of a machine with such a C compiler; `nothing` is empty."""
    kept = {
        name: value for name, value in os.environ.items()
        if name not in ("CC", "PYTHONPATH", "VIRTUAL_ENV") and not name.startswith("VIMLIB_")
    }  # fmt: skip
    if compiler == "CC=false":
        kept["CC"] = shutil.which("false") or "false"
    elif compiler == "not on PATH":
        kept["PATH"] = str(nothing)
    return kept


@dataclass(frozen=True)
class Distributions:
    """What `python -m build` made: the sdist, and the wheel from that sdist."""

    sdist: Path
    wheel: Path


def build(folder: Path) -> Distributions:
    """Build both into a folder."""
    env = settings("present", folder)
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder, env=env)
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return Distributions(sdist, wheel)


@dataclass(frozen=True)
class Plan:
    """An installation: of which distribution, with which extras, on which machine."""

    source: Literal["sdist", "wheel"]
    compiler: Compiler
    extras: str

    def __str__(self) -> str:
        return f"{self.source}[{self.extras}] compiler {self.compiler}"

    @property
    def backend(self) -> str:
        """The decoder that it should have: the wheel was built where there is a compiler."""
        compiled = self.source == "wheel" or self.compiler == "present"
        return "accelerated" if compiled else "pure"


PLANS = (
    Plan("wheel", "present", ""),
    Plan("wheel", "not on PATH", "cli,simulator"),
    Plan("sdist", "present", "cli,simulator"),
    Plan("sdist", "CC=false", "cli"),
    Plan("sdist", "not on PATH", "cli,simulator"),
)


@dataclass(frozen=True)
class Installation:
    """A clean virtual environment with the project in it, and an empty folder to run in."""

    plan: Plan
    root: Path
    env: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.root / "empty"

    @property
    def version(self) -> str:
        """What its metadata has."""
        return self.python("import importlib.metadata as m; print(m.version('vimlib-esx'))")

    def python(self, program: str, **more: str) -> str:
        """Run a program; return what it printed."""
        argv = (self.root / "bin/python", "-c", program)
        return run(*argv, cwd=self.folder, env=self.env | more).stdout.decode().strip()

    def vimctl(self, *argv: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run the command."""
        return run(self.root / "bin/vimctl", *argv, cwd=self.folder, env=self.env, code=code)

    def pip(self, *argv: str | Path) -> None:
        """Run pip for this environment, which has none of its own."""
        pip = (sys.executable, "-m", "pip", "--python", self.root / "bin/python")
        run(*pip, *argv, cwd=self.folder, env=self.env)


def install(plan: Plan, built: Distributions, root: Path) -> Installation:
    """Make an environment in `root`, which is empty."""
    found = Installation(plan, root, settings(plan.compiler, root / "empty"))
    run(sys.executable, "-m", "venv", "--without-pip", root, cwd=root)
    found.folder.mkdir()
    path = built.sdist if plan.source == "sdist" else built.wheel
    # pip would keep the wheel that it makes of an sdist, and use it where there is another compiler.
    found.pip("install", "--quiet", "--no-deps", "--no-cache-dir", path)
    found.pip("install", "--quiet", f"vimlib-esx[{plan.extras}]=={found.version}")
    return found
