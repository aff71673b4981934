"""Programs and files inside a machine's guest, by its VMware Tools: `instance exec`, `ps` and `cp`."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vimdriver._instances.machine import claim, look
from vimdriver._verbs import Host, Rollback, query
from vimdriver.errors import GuestProgramTimeoutError, GuestToolsError, InstanceStateError
from vimlib import vim25
from vimlib._secret import Secret
from vimlib._session.policy import Backoff
from vimlib._shield import finish
from vimlib._text import printable
from vimlib.errors import LimitError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

    from vimlib import GuestSession
    from vimlib._collector import Row

T = TypeVar("T")

MOST_OUTPUT: Final = 16 << 20
"""Bytes of a program's output, and of its errors, that are read."""
# Between two looks at a program that runs.
_PAUSES: Final = Backoff(first=0.05, factor=1.5, longest=2.0, least=0.8)
_CLEANUP_SECONDS: Final = 15.0
_MOST_MODE: Final = 0o7777
# Characters that cmd.exe interprets; a caret before each takes that away.
_CMD_SPECIAL: Final = re.compile(r'[()%!^"<>&|]')


@dataclass(frozen=True, slots=True)
class GuestLogin:
    """A user of a guest."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestResult:
    """A program that has ended in a guest."""

    pid: int
    exit_code: int
    stdout: bytes
    stderr: bytes

    def to_json(self) -> dict[str, Any]:
        """Return what `vimctl instance exec --json` prints; bytes that are no UTF-8 are replaced."""
        return {
            "pid": self.pid,
            "exit_code": self.exit_code,
            "stdout": self.stdout.decode("utf-8", "replace"),
            "stderr": self.stderr.decode("utf-8", "replace"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestProgram:
    """A process of a guest."""

    pid: int
    name: str
    owner: str
    command: str
    started: datetime | None
    exit_code: int | None
    """None while it runs."""

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl instance ps --json`."""
        return {
            "pid": self.pid,
            "owner": self.owner,
            "started": None if self.started is None else self.started.isoformat(),
            "exit_code": self.exit_code,
            "name": self.name,
            "command": self.command,
        }


@contextmanager
def _translated(ref: str, action: str) -> Iterator[None]:
    """Translate the faults of a machine that is off, and of a guest whose tools do not answer."""
    try:
        yield
    except vim25.InvalidPowerState as fault:
        raise InstanceStateError(
            name=ref, state=str(fault.existingState), needed="poweredOn"
        ) from None
    except vim25.GuestOperationsUnavailable as fault:
        raise GuestToolsError(name=ref, action=action, instead="use its console") from fault


_PATHS: Final = ("guest.guestFamily", "config.guestId")


def _check_path(name: str, path: str) -> None:
    if not path or not path.isprintable():
        raise UsageError(
            f"{name} must be a path in the guest, got {printable(path, 80)!r}", field=name
        )


def _guest(
    host: Host, row: Row[vim25.VirtualMachine], login: GuestLogin
) -> tuple[GuestSession, bool]:
    """Return the guest of a machine, given its `_PATHS`, and whether it is Windows."""
    family = str(row.props.get("guest.guestFamily") or "")
    windows = family == "windowsGuest" or str(row.props.get("config.guestId")).startswith("win")
    return host.client.guest(row.obj, login.username, login.password), windows


@query
async def guest_exec(
    host: Host,
    ref: str,
    login: GuestLogin,
    program: str,
    *arguments: str,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    foreign: bool = False,
) -> GuestResult:
    """Run a program in a guest and return its exit code and output.

    Its output goes to files in a temporary folder of the guest, which is removed. The program is
    started once; if the answer to that is lost, it is not known whether it runs.

    Args:
        host: The host.
        ref: uuid, name or moref's value.
        login: A user of the guest.
        program: Absolute path in the guest.
        arguments: Passed as they are.
        cwd: Working directory; None is the Tools' default, the user's home.
        env: Further variables.
        timeout: Seconds for the program; then it is killed.
        foreign: Act on a machine of another owner too.

    Raises:
        UsageError: `timeout` is not positive, or `program` is no path.
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is not running.
        GuestToolsError: VMware Tools do not run in the guest.
        InvalidGuestLogin: The guest refuses user or password.
        GuestProgramTimeoutError: It did not end in time, and was killed.
        LimitError: It wrote more than 16 MiB.
        OutcomeUnknownError: The answer to the start was lost.

    Cancelling kills the program and removes the folder. A note on the error, or a warning in the log, names
    one of them that is left.
    """
    if not timeout > 0:
        raise UsageError(f"timeout must be greater than 0 s, got {timeout:g}", field="timeout")
    _check_path("program", program)
    guest, windows = _guest(host, await claim(host, ref, *_PATHS, foreign=foreign), login)
    with _translated(ref, f"run {program}"):
        folders: list[str] = []
        running: list[int] = []

        async def start() -> None:
            folders.append(await guest.make_temporary_folder())
            path, line = _command(program, arguments, folders[0], windows=windows)
            running.append(await guest.start(path, line, cwd=cwd, env=env))

        async with Rollback(seconds=_CLEANUP_SECONDS) as rollback:
            rollback.push("the folder of its output", lambda: _each(guest.remove_folder, folders))
            rollback.push("the program", lambda: _each(guest.kill, running))
            # To its end, so that a cancellation knows them.
            await finish(start(), what="starting a program in a guest")
            info = await _ended(guest, running[0], ref, program, timeout)
            folder, separator = folders[0], "\\" if windows else "/"
            return GuestResult(
                pid=running.pop(),
                exit_code=info.exitCode or 0,
                stdout=await read_all(guest.download(f"{folder}{separator}out")),
                stderr=await read_all(guest.download(f"{folder}{separator}err")),
            )


def _command(
    program: str, arguments: tuple[str, ...], folder: str, *, windows: bool
) -> tuple[str, str]:
    """Return program and argument text whose output goes to files. No I/O."""
    if windows:
        # The program reads its command line by the rules of list2cmdline, and cmd.exe reads it before.
        quoted = _CMD_SPECIAL.sub(r"^\g<0>", subprocess.list2cmdline(arguments))
        line = f'""{program}" {quoted} > "{folder}\\out" 2> "{folder}\\err""'
        return r"C:\Windows\System32\cmd.exe", f"/s /c {line}"
    out = f"> {shlex.quote(folder)}/out 2> {shlex.quote(folder)}/err"
    return program, " ".join((*map(shlex.quote, arguments), out))


async def _ended(
    guest: GuestSession, pid: int, ref: str, program: str, timeout: float
) -> vim25.GuestProcessInfo:
    clock = asyncio.get_running_loop().time
    end, tries = clock() + timeout, 0
    while True:
        found = await guest.processes([pid])
        if found and found[0].endTime is not None:
            return found[0]
        left = end - clock()
        if left <= 0:
            raise GuestProgramTimeoutError(name=ref, program=program, seconds=timeout)
        tries += 1
        await asyncio.sleep(min(left, _PAUSES.delay(tries, lambda: 1.0)))


async def _each(undo: Callable[[T], Awaitable[None]], items: list[T]) -> None:
    for item in items:
        await undo(item)


async def read_all(
    download: AbstractAsyncContextManager[AsyncIterator[bytes]], most: int = MOST_OUTPUT
) -> bytes:
    """Return the bytes of a file of a guest. Raises `LimitError` for more than `most`."""
    data = bytearray()
    async with download as chunks:
        async for chunk in chunks:
            data += chunk
            if len(data) > most:
                raise LimitError(f"the output must have at most {most} bytes", allowed=most)
    return bytes(data)


@query
async def guest_ps(host: Host, ref: str, login: GuestLogin) -> list[GuestProgram]:
    """Return the processes of a guest, by id. Cancelling loses nothing.

    Raises:
        NotFoundError: The machine does not exist.
        InstanceStateError: It is not running.
        GuestToolsError: VMware Tools do not run in the guest.
        InvalidGuestLogin: The guest refuses user or password.
    """
    guest, _ = _guest(host, await look(host.client, ref, *_PATHS), login)
    with _translated(ref, "list its processes"):
        found = await guest.processes()
    return [
        GuestProgram(
            pid=one.pid,
            name=one.name,
            owner=one.owner or "",
            command=one.cmdLine or "",
            started=one.startTime,
            exit_code=one.exitCode if one.endTime is not None else None,
        )
        for one in sorted(found, key=lambda one: one.pid)
    ]


@query
async def guest_upload(
    host: Host,
    ref: str,
    login: GuestLogin,
    source: Path | bytes,
    path: str,
    *,
    overwrite: bool = False,
    mode: int | None = None,
    foreign: bool = False,
) -> int:
    """Copy a local file, or bytes, to a file of a guest; return its size.

    `mode` are permissions on Linux; `foreign` also writes into the guest of a machine of another owner.
    Cancelling may leave an incomplete file.

    Raises:
        UsageError: `path` is empty, or `mode` is out of range.
        NotFoundError: The machine does not exist.
        ForeignInstanceError: Another made the machine, and `foreign` is false.
        InstanceStateError: It is not running.
        GuestToolsError: VMware Tools do not run in the guest.
        InvalidGuestLogin, FileAlreadyExists, GuestPermissionDenied: The guest's refusal.
        TransferRejectedError, TransferCorruptError, TransportError: The transfer failed.
        SourceError: The local file cannot be read.
    """
    _check_path("path", path)
    if mode is not None and not 0 <= mode <= _MOST_MODE:
        raise UsageError(f"mode must be 0 to 0o7777, got {mode:#o}", field="mode")
    guest, _ = _guest(host, await claim(host, ref, *_PATHS, foreign=foreign), login)
    with _translated(ref, "take a file"):
        return await guest.upload(path, source, overwrite=overwrite, mode=mode)


@query
async def guest_download(host: Host, ref: str, login: GuestLogin, path: str) -> bytes:
    """Return a file of a guest, of at most 16 MiB. Cancelling loses nothing.

    A larger one is read by `client.guest(...).download`.

    Raises:
        UsageError: `path` is empty.
        NotFoundError: The machine does not exist.
        InstanceStateError: It is not running.
        GuestToolsError: VMware Tools do not run in the guest.
        InvalidGuestLogin, FileNotFound, GuestPermissionDenied: The guest's refusal.
        LimitError: The file is larger.
        TransferRejectedError, TransportError: The transfer failed.
    """
    _check_path("path", path)
    guest, _ = _guest(host, await look(host.client, ref, *_PATHS), login)
    with _translated(ref, "send a file"):
        return await read_all(guest.download(path))
