"""Refused logins, remembered across processes, so that no password is tried until an account locks.

Hosts since 6.5 lock an account for 900 s after five refused logins (advanced settings
`Security.AccountLockFailures` and `Security.AccountUnlockTime`), for everybody who uses it. After
one refusal the same password is therefore not sent again for as long. Of processes, or event loops
of several threads, that log in at the same moment, one tries first: see `RefusedLogins.reserve`.

The file holds a random salt and, for each refusal, the time and a salted scrypt hash of host, user
name, password and password file's timestamp: nothing from which one of them can be read. No
asyncio here: reading and appending to one small local file takes microseconds. A hash takes 20 ms;
`hashes` returns whether one is needed, and no lock is held for that time.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
import os
import stat
import threading
import time
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from vimlib._repr import robust
from vimlib._session.state import state_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from vimlib._secret import Secret

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
# Locks of logins: as many as can be tried at once by different users and hosts.
_SLOTS: Final = 64
_MOST_ACCEPTED: Final = 1024


def shared_refusals() -> RefusedLogins:
    """Return what all clients share: `refused-logins` in the state folder, if there is one."""
    folder = state_folder()
    return _at(None if folder is None else folder / "refused-logins")


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
        # Event loops of several threads share one object.
        self._lock = threading.Lock()
        self._salt = b""
        # Hash to the time of the refusal: all of them, and those that the file could not take.
        self._known: dict[str, float] = {}
        self._unsaved: dict[str, float] = {}
        # Logins that a host has accepted since this object was made.
        self._accepted: set[LoginKey] = set()
        self._complained = False

    def reserve(self, key: LoginKey) -> IO[bytes] | None:
        """Return a file to close once this login has been answered; None while another holds it.

        Of all processes and threads of the user, one tries a login of a user on a host. The lock
        (flock) ends with the process. Where no lock is possible, the file is an empty one.
        """
        if self.path is None or find_spec("fcntl") is None:  # not on Windows
            return io.BytesIO()
        import fcntl

        slot = zlib.crc32(f"{key.host} {key.username}".encode()) % _SLOTS
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not the file of the refusals, which is replaced when it is rewritten.
            handle = os.open(
                self.path.with_name(f"login-{slot:02}.lock"),
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK,
                0o600,
            )
        except OSError as error:
            with self._lock:
                self._complain(error)
            return io.BytesIO()
        file = os.fdopen(handle, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError:  # a file system without locks
            return file
        return file

    def hashes(self) -> bool:
        """Return whether `seconds_left` and `accept` hash now; `add` always does."""
        with self._lock:
            self._read()
            return bool(self._live())

    def seconds_left(self, key: LoginKey) -> float:
        """Return for how long this login is not to be tried; 0.0 if it may be."""
        with self._lock:
            self._read()
            live, salt = self._live(), self._salt
        at = live.get(key.hashed(salt)) if live else None
        return 0.0 if at is None else at + LOCK_SECONDS - self._clock()

    def add(self, key: LoginKey) -> None:
        """Remember that the host refused this login now."""
        self.doubt(key)
        hashed, salt = "", b""
        while True:
            with self._lock:
                appendable = self._read()
                self._salt = self._salt or os.urandom(_SALT)
                if salt == self._salt:
                    self._keep(hashed, appendable)
                    return
                salt = self._salt  # none yet, or another process made the file in between
            hashed = key.hashed(salt)

    def _keep(self, hashed: str, appendable: bool) -> None:
        now = self._clock()
        self._known[hashed] = self._unsaved[hashed] = now
        if self.path is None:
            return
        try:
            if appendable and self.path.stat().st_size <= _COMPACT:
                self._append(hashed, now)
            else:
                self._rewrite()
        except OSError as error:
            self._complain(error)

    def accepted(self, key: LoginKey) -> bool:
        """Return whether a host accepted this login, and has not refused it since."""
        return key in self._accepted

    def doubt(self, key: LoginKey) -> None:
        """Forget that a host accepted this login."""
        self._accepted.discard(key)

    def accept(self, key: LoginKey) -> None:
        """Forget the refusals of this login: the host accepted it."""
        with self._lock:
            if len(self._accepted) >= _MOST_ACCEPTED:
                self._accepted.clear()
            self._accepted.add(key)
        hashed, salt = "", b""
        while True:
            with self._lock:
                self._read()
                if not self._live():
                    return
                if salt == self._salt:
                    self._drop(hashed)
                    return
                salt = self._salt
            hashed = key.hashed(salt)

    def _drop(self, hashed: str) -> None:
        self._unsaved.pop(hashed, None)
        if self._known.pop(hashed, None) is None or self.path is None:
            return
        try:
            self._rewrite()
        except OSError as error:
            self._complain(error)

    def _live(self) -> dict[str, float]:
        now = self._clock()
        return {name: at for name, at in self._known.items() if _counts(at, now)}

    # The file: the salt in its first line, then a hash and a time in each.

    def _read(self) -> bool:
        """Take over the content of the file. Returns whether it is valid, so that lines may be appended."""
        if self.path is None:
            return False
        try:
            lines = _content(self.path).decode("ascii", "replace").splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as error:
            self._complain(error)
            return False
        try:
            salt = base64.b64decode(lines[0], validate=True) if lines else b""
        except ValueError:
            salt = b""
        if len(salt) != _SALT:
            self._known = dict(self._unsaved)
            return False
        if salt != self._salt:
            self._salt, self._unsaved = salt, {}
        # Another process may have removed what it found accepted.
        self._known = dict(self._unsaved)
        for line in lines[1:]:
            hashed, _, at = line.partition(" ")
            try:
                self._known[hashed] = float(at)
            except ValueError:
                continue  # cut off by a full disk
        return True

    def _append(self, hashed: str, at: float) -> None:
        assert self.path is not None
        # One short write at the end: lines of processes that write at once do not mix. The newline
        # in front ends a line that a full disk cut off.
        with self.path.open("ab", buffering=0) as file:
            file.write(f"\n{hashed} {at!r}\n".encode())
        self._unsaved.pop(hashed, None)

    def _rewrite(self) -> None:
        assert self.path is not None
        live = [f"{name} {at!r}\n" for name, at in self._live().items()]
        text = base64.b64encode(self._salt).decode() + "\n" + "".join(live)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
        beside.replace(self.path)
        self._unsaved.clear()

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            log.warning("cannot keep refused logins in %s: %s", self.path, error.strerror)

    @robust
    def __repr__(self) -> str:
        return f"<RefusedLogins {self.path or 'in memory'}>"


def _content(path: Path) -> bytes:
    """Return the content of the file; nothing of a pipe or device, which could block the event loop."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb", buffering=0, closefd=True) as file:
        return file.read(_LARGEST) if stat.S_ISREG(os.fstat(handle).st_mode) else b""


def _counts(at: float, now: float) -> bool:
    # A time in the future is that of a clock that was set back since: it must not lock for ever.
    return at <= now < at + LOCK_SECONDS
