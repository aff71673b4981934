"""Virtual environments for peers whose packages conflict with ours, in the cache."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.integration.peers import cache
from tests.integration.peers.process import run

INSTALL_SECONDS = 900  # 20 s on an idle machine


def environment(name: str, *requirements: str, constraints: Path | None = None) -> Path:
    """Return a virtual environment with the requirements; create it if it is not cached.

    Raises:
        PeerError: It could not be installed.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"

    def install(folder: Path) -> None:
        run("venv", [sys.executable, "-m", "venv", folder], deadline=INSTALL_SECONDS)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
        limits = [] if constraints is None else ["--constraint", constraints]
        run(f"pip install {name}", [*pip, *limits, *requirements], deadline=INSTALL_SECONDS)

    pins = [] if constraints is None else [constraints.read_bytes()]
    return cache.built(f"{name}-py{python}", [python, *requirements, *pins], install)
