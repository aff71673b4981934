"""Where the files are that all processes of a user share."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path | None:
    """Return `$XDG_STATE_HOME/vimlib`, or `~/.local/state/vimlib`; None where there is no home directory."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        # The XDG base directory specification has relative paths ignored.
        root = state if state.is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return root / "vimlib"
