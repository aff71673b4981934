"""What an error means to the shell that called: exit codes, decided by the error's type alone.

==== ============================================================
0    done
1    failed, in a way that has no number of its own
2    usage: the command line, a file or a value in it is wrong
3    login: the host, or Keystone, refused the credentials or the session
4    not found: no such object, file or image
5    certificate: there is no channel that can be trusted
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
    SessionError,
    TLSError,
    UnboundError,
    UsageError,
    VersionError,
    VimlibError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Exit", "combined", "exit_code", "leaves", "primary"]


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
    """Return the code for `error`; of a group, the one of its `primary` error."""
    error = primary(error)
    for types, code in _TABLE:
        if isinstance(error, types):
            return code
    if isinstance(error, VimlibError):
        return _of_ours(error)
    return Exit.FAILED


def _of_ours(error: VimlibError) -> Exit:
    # LookupError is what every "no such thing" of the tree also is.
    if isinstance(error, LookupError):
        return Exit.NOT_FOUND
    from vimdriver.errors import SourceLoginError, SourceRefusedError, SourceUntrustedError

    if isinstance(error, SourceUntrustedError):
        return Exit.CERTIFICATE
    if isinstance(error, SourceLoginError):
        return Exit.LOGIN
    if isinstance(error, SourceRefusedError):
        return Exit.LOGIN if error.status == 401 else Exit.FAILED
    from vimlib.model import MethodFault

    if not isinstance(error, MethodFault):
        return Exit.FAILED
    from vimlib import vim25  # a fault is there, so its area is loaded already

    if isinstance(error, (vim25.InvalidLogin, vim25.NotAuthenticated)):
        # Not its base NoPermission: that login was fine, the role is not.
        return Exit.LOGIN
    if isinstance(error, (vim25.ManagedObjectNotFound, vim25.NotFound, vim25.FileNotFound)):
        return Exit.NOT_FOUND
    if isinstance(error, vim25.Timedout):
        return Exit.DEADLINE
    return Exit.FAILED


# The first that fits decides.
_TABLE: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Exit], ...] = (
    ((KeyboardInterrupt, asyncio.CancelledError), Exit.INTERRUPTED),
    ((LoginError, SessionError), Exit.LOGIN),
    (TLSError, Exit.CERTIFICATE),
    (TimeoutError, Exit.DEADLINE),
    # The command line was right; the host is too old, or the fault is in here.
    ((VersionError, ClosedError, UnboundError), Exit.FAILED),
    (UsageError, Exit.USAGE),
)


def combined(results: Iterable[BaseException | None]) -> Exit:
    """Return the code of many: all done, part failed, or what all of them failed with."""
    codes = [Exit.OK if error is None else exit_code(error) for error in results]
    if all(code is Exit.OK for code in codes):
        return Exit.OK
    if Exit.OK in codes:
        return Exit.PARTIAL
    return codes[0] if len(set(codes)) == 1 else Exit.FAILED


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors in a group, however deep; an error that is no group is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def primary(error: BaseException) -> BaseException:
    """Return the error that caused the others: the first that is no cancellation."""
    found = list(leaves(error))
    for leaf in found:
        if not isinstance(leaf, asyncio.CancelledError):
            return leaf
    return found[0]
