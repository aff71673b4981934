from __future__ import annotations

import asyncio

import pytest

from vimdriver._cli.exitcodes import Exit, combined, exit_code, primary
from vimdriver.errors import (
    ImageNotFoundError,
    SourceLoginError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnreachableError,
    SourceUntrustedError,
)
from vimlib import vim25
from vimlib.errors import (
    CertificateError,
    ClosedError,
    ConnectError,
    DeadlineError,
    EncodeError,
    LoginError,
    NotFoundError,
    PinMismatchError,
    SessionExpiredError,
    TaskTimeoutError,
    TLSError,
    UsageError,
    VersionError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (EncodeError("x"), 2),
        (VersionError("x"), 1),
        (ClosedError("x"), 1),
        (LoginError("x"), 3),
        (SessionExpiredError("x"), 3),
        (vim25.InvalidLogin(), 3),
        (vim25.NotAuthenticated(), 3),
        (SourceRefusedError(status=401), 3),
        (SourceRefusedError(status=403), 1),
        (vim25.NoPermission(), 1),
        (NotFoundError("x"), 4),
        (ImageNotFoundError(image="x"), 4),
        (vim25.ManagedObjectNotFound(obj=vim25.Folder("x")), 4),
        (vim25.FileNotFound(file="x"), 4),
        (CertificateError("x"), 5),
        (PinMismatchError("x"), 5),
        (TLSError("x"), 5),
        (SourceUntrustedError(host="h", reason="x"), 5),
        (SourceUnreachableError(host="h", reason="x"), 1),
        (SourceLoginError(host="h", reason="x"), 3),
        (DeadlineError("x"), 6),
        (TaskTimeoutError("x"), 6),
        (SourceStalledError(seconds=60), 6),
        (TimeoutError("x"), 6),
        (ConnectError("x"), 1),
        (vim25.InvalidPowerState(existingState="poweredOn"), 1),
        (OSError("x"), 1),
        (RuntimeError("x"), 1),
        (KeyboardInterrupt(), 130),
        (asyncio.CancelledError(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_the_type_determines_the_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_a_group_has_the_code_of_its_cause() -> None:
    cause = LoginError("no")
    group = BaseExceptionGroup("", [asyncio.CancelledError(), ExceptionGroup("", [cause])])
    assert primary(group) is cause
    assert exit_code(group) is Exit.LOGIN


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([None, None], 0),
        ([None, NotFoundError("x")], 7),
        ([NotFoundError("x")], 4),
        ([NotFoundError("x"), ImageNotFoundError(image="y")], 4),
        ([NotFoundError("x"), LoginError("y")], 1),
    ],
)
def test_several_results_have_one_code(errors: list[BaseException | None], code: int) -> None:
    assert combined(errors) == code
