"""The owner of an installation: the mark on the objects of a driver whose settings name none.

One owner for everybody would let the sweep of one user remove what another is still making. So
each installation (user and computer) has its own, made on first use and kept in
`$XDG_STATE_HOME/vimlib/owner` (`~/.local/state/vimlib/owner`), mode 0600. Copy that file, or name an
owner, where several computers are to share one. No asyncio here: it is one small local file, read
once in a process.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Final

from vimdriver.errors import OwnerError
from vimlib._session.state import state_folder

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_OWNER: Final = 255


def is_owner(text: str) -> bool:
    """Return whether a text can be an owner: 1 to 255 printable characters."""
    return 0 < len(text) <= LONGEST_OWNER and text.isprintable()


def installation_owner() -> str:
    """Return the owner of this installation, `vimlib-` and 16 hex digits, made if it has none.

    Raises:
        OwnerError: There is no state folder, or its file `owner` cannot be read, written or used.
    """
    folder = state_folder()
    if folder is None:
        raise OwnerError(
            path="~/.local/state/vimlib/owner", reason="the user has no home directory"
        )
    return _kept(folder / "owner")


@cache
def _kept(path: Path) -> str:
    try:
        with suppress(FileExistsError):
            if not path.exists():
                _make(path)
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb", buffering=0) as file:
            regular = stat.S_ISREG(os.fstat(handle).st_mode)
            data = file.read(4 * LONGEST_OWNER + 2) if regular else b""
    except OSError as error:
        raise OwnerError(path=str(path), reason=error.strerror or str(error)) from error
    owner = data.decode(errors="replace").removesuffix("\n")
    if not is_owner(owner):
        raise OwnerError(
            path=str(path), reason="it must be one line of 1 to 255 printable characters"
        )
    return owner


def _make(path: Path) -> None:
    """Make the file. Raises `FileExistsError` where another process was quicker, whose owner counts."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(f"vimlib-{secrets.token_hex(8)}\n".encode())
            file.flush()
            os.fsync(handle)
        # Unlike a rename it replaces nothing, and it appears with its content.
        os.link(beside, path)
    finally:
        beside.unlink()
