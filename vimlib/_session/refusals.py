"""Refused logins, remembered across processes, so that no password is tried until an account locks.

Hosts since 6.5 lock an account for 900 s after five refused logins (advanced settings
`Security.AccountLockFailures` and `Security.AccountUnlockTime`), for everybody who uses it. After
one refusal the same password is therefore not sent again for as long.

The file holds a random salt and, for each refusal, the time and a salted scrypt hash of host, user
name, password and password file's timestamp: nothing from which one of them can be read. No
asyncio here; reading and appending to one small local file takes microseconds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib._secret import Secret

__all__ = ["LOCK_SECONDS", "LoginKey", "RefusedLogins", "default_path", "shared_refusals"]

log = logging.getLogger("vimlib.session")

LOCK_SECONDS: Final = 900.0
"""How long a refused password is not tried again: the default of `Security.AccountUnlockTime`."""

# A file that grew beyond this is written again with the entries that still count. An entry has
# some 80 bytes; anything larger than the second bound was not written here and is ignored.
_COMPACT: Final = 1 << 14
_LARGEST: Final = 1 << 20
# scrypt with 8 MiB: some 20 ms for each guess of an attacker who got the file, and for us.
_COST: Final = 1 << 13
_SALT: Final = 16
_MOST_ACCEPTED: Final = 1024


def default_path() -> Path | None:
    """Return the file that all processes of this user share: `$XDG_STATE_HOME/vimlib/refused-logins`.

    None where the user has no home directory.
    """
    state = os.environ.get("XDG_STATE_HOME")
    try:
        root = Path(state) if state else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return root / "vimlib" / "refused-logins"


def shared_refusals() -> RefusedLogins:
    """Return what all clients of this process share."""
    return _at(default_path())


@cache
def _at(path: Path | None) -> RefusedLogins:
    return RefusedLogins(path)


@dataclass(frozen=True, slots=True)
class LoginKey:
    """The identity of a login: another password, user, host or password file is another one."""

    host: str
    username: str
    password: Secret
    stamp: str = ""
    """Changes when the password file does; empty where the password did not come from a file."""

    def hashed(self, salt: bytes) -> str:
        """Return a hash that differs for each salt; takes some 20 ms."""
        parts = (self.host, self.username, self.password.reveal(), self.stamp)
        data = json.dumps(parts).encode()
        return base64.b64encode(
            hashlib.scrypt(data, salt=salt, n=_COST, r=8, p=1, dklen=24)
        ).decode()


class RefusedLogins:
    """The refusals of the last 900 seconds.

    Args:
        path: The file; None keeps them in this object alone. A file that cannot be read or
            written is reported once in the log, and does not stop a login.
        clock: Seconds since the epoch, since entries outlive the process.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._salt = b""
        # Hash to the time of the refusal.
        self._known: dict[str, float] = {}
        # Logins that a host has accepted since this object was made.
        self._accepted: set[LoginKey] = set()
        self._complained = False

    def seconds_left(self, key: LoginKey) -> float:
        """Return for how long this login is not to be tried; 0.0 if it may be."""
        self._read()
        now = self._clock()
        live = {name: at for name, at in self._known.items() if _counts(at, now)}
        if not live:
            return 0.0
        at = live.get(key.hashed(self._salt))
        return 0.0 if at is None else at + LOCK_SECONDS - now

    def add(self, key: LoginKey) -> None:
        """Remember that the host refused this login now."""
        self._accepted.discard(key)
        self._read()
        first = not self._salt
        if first:
            self._salt = os.urandom(_SALT)
        now = self._clock()
        hashed = key.hashed(self._salt)
        self._known[hashed] = now
        if self.path is None:
            return
        try:
            if first or self.path.stat().st_size > _COMPACT:
                self._rewrite()
            else:
                self._append(hashed, now)
        except OSError as error:
            self._complain(error)

    def accepted(self, key: LoginKey) -> bool:
        """Return whether a host accepted this login, and has not refused it since."""
        return key in self._accepted

    def accept(self, key: LoginKey) -> None:
        """Forget the refusals of this login: the host accepted it."""
        if len(self._accepted) >= _MOST_ACCEPTED:
            self._accepted.clear()
        self._accepted.add(key)
        if not self._known or self._known.pop(key.hashed(self._salt), None) is None:
            return
        if self.path is not None:
            try:
                self._rewrite()
            except OSError as error:
                self._complain(error)

    # The file: the salt in its first line, then a hash and a time in each.

    def _read(self) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("rb") as file:
                lines = file.read(_LARGEST).decode("ascii", "replace").splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            self._complain(error)
            return
        if not lines:
            return
        try:
            salt = base64.b64decode(lines[0], validate=True)
        except ValueError:
            return
        if len(salt) != _SALT:
            return
        if salt != self._salt:
            self._salt, self._known = salt, {}
        for line in lines[1:]:
            hashed, _, at = line.partition(" ")
            try:
                self._known[hashed] = float(at)
            except ValueError:
                continue  # cut off by a full disk

    def _append(self, hashed: str, at: float) -> None:
        assert self.path is not None
        # One short write at the end: lines of processes that write at once do not mix. The newline
        # in front ends a line that a full disk cut off.
        with self.path.open("ab", buffering=0) as file:
            file.write(f"\n{hashed} {at:.3f}\n".encode())

    def _rewrite(self) -> None:
        assert self.path is not None
        now = self._clock()
        live = [f"{name} {at:.3f}\n" for name, at in self._known.items() if _counts(at, now)]
        text = base64.b64encode(self._salt).decode() + "\n" + "".join(live)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        beside.replace(self.path)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            log.warning("cannot keep refused logins in %s: %s", self.path, error.strerror)

    def __repr__(self) -> str:
        return f"<RefusedLogins {self.path or 'in memory'}>"


def _counts(at: float, now: float) -> bool:
    # A time in the future is that of a clock that was set back since: it must not lock for ever.
    return at <= now < at + LOCK_SECONDS
