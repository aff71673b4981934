"""Who logs in, with a password from memory or from a file that is read for each login."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from vimlib._secret import Secret
from vimlib._text import printable
from vimlib._tls import file_stamp
from vimlib.errors import UsageError

_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in."""

    username: str
    password: Secret | Path
    """The password, or the file whose first line it is."""
    locale: str | None = None
    """Language of the messages, as `en`; the host's own if None."""

    def current(self) -> tuple[Secret, str]:
        """Return the password and a stamp that changes with the file it comes from.

        The stamp is empty for a password that does not come from a file. Raises `UsageError` for a
        file that cannot be read.
        """
        if isinstance(self.password, Secret):
            return self.password, ""
        # The stamp first: of a file that changes in between, the new content is tried again.
        stamp = self.stamp()
        return read_password(self.password), stamp

    def stamp(self) -> str:
        """Return the stamp alone, without reading the file's content."""
        if isinstance(self.password, Secret):
            return ""
        return file_stamp(self.password)


def read_password(path: Path) -> Secret:
    """Return the first line of a file. Raises `UsageError` if it cannot be read, or is empty."""
    try:
        with path.open(encoding="utf-8") as file:
            return first_line(repr(printable(str(path))), file)
    except OSError as error:
        raise _unreadable(repr(printable(str(path))), error.strerror) from None


def first_line(name: str, file: TextIO) -> Secret:
    """Return the password in the first line of an open file. Raises as `read_password`."""
    password = None
    with contextlib.suppress(UnicodeDecodeError):  # it holds the bytes: it must not be a context
        password = file.readline(_LONGEST).rstrip("\r\n")
    if password is None:
        raise _unreadable(name, "not UTF-8")
    if not password:
        raise UsageError(f"the first line of {name} must be the password, got an empty line")
    return Secret(password)


def _unreadable(name: str, reason: str | None) -> UsageError:
    return UsageError(
        f"cannot read the password from {name}: {reason}",
        hint="Check the path and its permissions.",
    )
