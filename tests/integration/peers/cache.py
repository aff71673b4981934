"""The cache of built peers, where each is built exactly once.

`VIMLIB_PEER_CACHE` names the folder; the default is `.nox/peers` in the repository.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def root() -> Path:
    """Return the cache folder; create it if it is missing."""
    named = os.environ.get("VIMLIB_PEER_CACHE")
    folder = Path(named) if named else REPOSITORY / ".nox" / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def built(name: str, inputs: Sequence[str | bytes], build: Callable[[Path], None]) -> Path:
    """Return a folder that `build` filled once for these inputs; remove older ones of the same
    name.

    A failed build leaves no stamp and is repeated. A lock serialises concurrent runs.
    """
    digest = hashlib.sha256()
    for item in inputs:
        digest.update(item if isinstance(item, bytes) else item.encode())
        digest.update(b"\0")
    folder = root() / f"{name}-{digest.hexdigest()[:16]}"
    stamp = folder / ".complete"
    with (root() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            for stale in root().glob(f"{name}-*"):
                shutil.rmtree(stale)
            folder.mkdir()
            build(folder)
            stamp.touch()
    return folder
