"""Exit codes, determined by the type of the error alone.

==== ============================================================
0    done
1    failed, in a way that has no number of its own
2    usage: the command line is wrong, or a value or a file that an option names
3    login: the host, or Keystone, refused the credentials or the session
4    not found: no such object or image, or the local file that the command is about
5    certificate: no channel is trusted
6    deadline: something took longer than allowed
7    part of many failed, the others are done
130  interrupted
==== ============================================================
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING

from vimlib.errors import (
    ClosedError,
    LoginError,
    NoSuchMethodError,
    SessionError,
    TLSError,
    UnboundError,
    UsageError,
    VersionError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Exit(enum.IntEnum):
    """The exit codes of `vimctl`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    LOGIN = 3
    NOT_FOUND = 4
    CERTIFICATE = 5
    DEADLINE = 6
    PARTIAL = 7
    INTERRUPTED = 130


def exit_code(error: BaseException) -> Exit:
    """Return the code for `error`; of a group, the code of its `primary` error."""
    error = primary(error)
    for types, code in _TABLE:
        if isinstance(error, types):
            return code
    if isinstance(error, VimlibError):
        return _of_ours(error)
    return Exit.FAILED


def _of_ours(error: VimlibError) -> Exit:
    # LookupError is the common base of all "not found" errors of the tree.
    if isinstance(error, LookupError):
        return Exit.NOT_FOUND
    from vimdriver.errors import (
        JournalFormatError,
        SourceLoginError,
        SourceRefusedError,
        SourceUntrustedError,
    )

    if isinstance(error, JournalFormatError):
        return Exit.USAGE
    if isinstance(error, SourceUntrustedError):
        return Exit.CERTIFICATE
    if isinstance(error, SourceLoginError):
        return Exit.LOGIN
    if isinstance(error, SourceRefusedError):
        return Exit.LOGIN if error.status == 401 else Exit.FAILED
    from vimlib.model import MethodFault

    if not isinstance(error, MethodFault):
        return Exit.FAILED
    from vimlib import vim25  # a fault exists, so its module is loaded already

    if isinstance(error, (vim25.InvalidLogin, vim25.NotAuthenticated)):
        # Not its base NoPermission: there the login succeeded, but the role lacks a privilege.
        return Exit.LOGIN
    if isinstance(error, (vim25.ManagedObjectNotFound, vim25.NotFound, vim25.FileNotFound)):
        return Exit.NOT_FOUND
    if isinstance(error, vim25.Timedout):
        return Exit.DEADLINE
    return Exit.FAILED


# The first match decides.
_TABLE: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Exit], ...] = (
    ((KeyboardInterrupt, asyncio.CancelledError), Exit.INTERRUPTED),
    ((LoginError, SessionError), Exit.LOGIN),
    (TLSError, Exit.CERTIFICATE),
    (TimeoutError, Exit.DEADLINE),
    # The command line was valid; the host is too old, or the bug is in this program.
    ((VersionError, ClosedError, NoSuchMethodError, UnboundError), Exit.FAILED),
    (UsageError, Exit.USAGE),
)


def combined(results: Iterable[BaseException | None]) -> Exit:
    """Return the code of several results.

    0 if all succeeded, 7 if only some did; else the common code of all errors, or 1.
    """
    codes = [Exit.OK if error is None else exit_code(error) for error in results]
    if all(code is Exit.OK for code in codes):
        return Exit.OK
    if Exit.OK in codes:
        return Exit.PARTIAL
    return codes[0] if len(set(codes)) == 1 else Exit.FAILED


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the leaf errors of a group at any depth; a single error is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def primary(error: BaseException) -> BaseException:
    """Return the error that caused the others: the first that is not a cancellation."""
    found = list(leaves(error))
    for leaf in found:
        if not isinstance(leaf, asyncio.CancelledError):
            return leaf
    return found[0]
