"""The scripted guest of a machine: accounts, files, programs, processes and transfers."""

from __future__ import annotations

import asyncio
import itertools
import posixpath
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from vimlib import vim25
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._guest.files import GuestAccount, GuestTree
from vimlib.simulator._guest.interpreter import Shell
from vimlib.simulator._guest.programs import PROGRAMS, SHELLS, Program, fixed

if TYPE_CHECKING:
    from vimlib.simulator._vm.virtual_machine import VirtualMachine

ROOT: Final = GuestAccount("root", "")
"""Who makes a guest's own files; nobody logs in as it."""
_KEPT: Final = timedelta(minutes=5)
"""How long an ended process is listed (GuestProcessInfo)."""
_TRANSFER_SECONDS: Final = 600
"""How long the URL of a file is good; hosts give about ten minutes."""
_MOST_PROCESSES: Final = 1000
_KILLED: Final = 137
"""Exit code of a terminated process, as a shell reports SIGKILL; our choice."""


@dataclass(eq=False)
class GuestProcess:
    """A process that a client started."""

    pid: int
    name: str
    owner: str
    command: str
    started: datetime
    ended: datetime | None = None
    exit_code: int | None = None
    work: asyncio.Task[None] | None = field(default=None, repr=False)

    def info(self) -> Any:
        """Return it as data."""
        return vim25.GuestProcessInfo(
            name=self.name,
            pid=self.pid,
            owner=self.owner,
            cmdLine=self.command,
            startTime=self.started,
            endTime=self.ended,
            exitCode=self.exit_code,
        )


@dataclass(frozen=True)
class GuestTransfer:
    """The right to read or write one file of a guest over HTTP, once."""

    id: int
    token: str = field(repr=False)
    guest: ScriptedGuest = field(repr=False)
    path: str
    account: GuestAccount
    expires: float
    size: int | None = None
    """Bytes to write; None if the file is to be read."""
    mode: int | None = None
    """Mode of the written file; None leaves the default."""


class ScriptedGuest:
    """The guest of one machine. It is empty but for its own programs; nobody may log in at first."""

    def __init__(self, machine: VirtualMachine) -> None:
        self.machine = machine
        self.registry = machine.registry
        self.accounts: dict[str, GuestAccount] = {}
        """Users that may log in, by name; see `add_account`."""
        self.programs: dict[str, Program] = {}
        """Programs by path; see `script`."""
        self.files = GuestTree(machine.registry.clock.now)
        self.processes: dict[int, GuestProcess] = {}
        self.transfers: dict[int, GuestTransfer] = {}
        self._pids = itertools.count(1200)
        self._numbers = itertools.count(1)
        self._boot: datetime | None = None
        for path in ("/bin", "/etc", "/home", "/root", "/tmp", "/usr/bin", "/var/tmp"):
            self.files.make_directory(path, ROOT, parents=True)
        for path in ("/tmp", "/var/tmp"):
            self.files.find(path, ROOT).mode = 0o777
        self.files.find("/root", ROOT).mode = 0o700
        for path, program in PROGRAMS.items():
            self.script(path, program)
        for path in sorted(SHELLS):
            self._executable(path)

    @property
    def host_name(self) -> str:
        """Its host name."""
        return self.machine.guest.host_name or self.machine.name

    def add_account(self, name: str, password: str) -> GuestAccount:
        """Let a user log in, or change the password; `root` has the id 0, others their own home."""
        known = self.accounts.get(name)
        fresh = 0 if name == "root" else 1000 + len(self.accounts)
        uid = fresh if known is None else known.uid
        home = "/root" if uid == 0 else posixpath.join("/home", name)
        account = self.accounts[name] = GuestAccount(name, password, uid, home)
        if not self.files.exists(home, ROOT):
            self.files.make_directory(home, ROOT)
            self.files.find(home, ROOT).owner = uid
        return account

    def script(
        self,
        path: str,
        program: Program | None = None,
        *,
        exit_code: int = 0,
        stdout: str = "",
        stderr: str = "",
        seconds: float = 0.0,
    ) -> None:
        """Install a program: a function of a `ProgramRun`, or one that writes texts and ends with a code.

        Args:
            path: Absolute path in the guest.
            program: Returns the exit code, or a coroutine of it.
            exit_code: Without `program`, 0 to 255.
            stdout: Without `program`.
            stderr: Without `program`.
            seconds: How long it takes, without `program`, on the host's clock.
        """
        self._executable(path)
        self.programs[path] = program or fixed(exit_code, stdout, stderr, seconds)

    def _executable(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        if folder and not self.files.exists(folder, ROOT):
            self.files.make_directory(folder, ROOT, parents=True)
        self.files.write(path, b"\x7fELF", ROOT).mode = 0o755

    def write(self, path: str, content: bytes) -> None:
        """Write a file as root, its directories too."""
        folder = path.rpartition("/")[0]
        if folder and not self.files.exists(folder, ROOT):
            self.files.make_directory(folder, ROOT, parents=True)
        self.files.write(path, content, ROOT)

    def read(self, path: str) -> bytes:
        """Return a file's content. Raises `vim25.FileNotFound`."""
        return self.files.read(path, ROOT)

    def info_get(self, key: str) -> str | None:
        """Return a value of the machine's extra options, as `vmtoolsd --cmd 'info-get KEY'` does."""
        options = self.machine.config.extraConfig
        return next((str(option.value) for option in options if option.key == key), None)

    def info_set(self, key: str, value: str) -> None:
        """Set a value of the machine's extra options, as `vmtoolsd --cmd 'info-set KEY VALUE'` does.

        The `.vmx` is not written, as a host keeps such values while the machine runs.
        """
        config = self.machine.config
        options = [option for option in config.extraConfig if option.key != key]
        options.append(vim25.OptionValue(key=key, value=value))
        self.machine.set_config(replace(config, extraConfig=options))

    async def sleep(self, seconds: float) -> None:
        """Sleep on the host's clock. Cancelling it is harmless."""
        await self.registry.clock.sleep(seconds)

    def log_in(self, auth: Any) -> GuestAccount:
        """Return the account of credentials. Raises the fault for wrong or other ones."""
        if not isinstance(auth, vim25.NamePasswordAuthentication):
            raise with_message(
                vim25.OperationNotSupportedByGuest(),
                "The operation is not supported by the guest operating system.",
            )
        account = self.accounts.get(auth.username)
        known = account.password if account is not None else secrets.token_hex(8)
        right = secrets.compare_digest(auth.password.encode(), known.encode())
        if account is None or not right:
            raise with_message(
                vim25.InvalidGuestLogin(),
                "Failed to authenticate with the guest operating system using the supplied credentials.",
            )
        return account

    def refresh(self) -> None:
        """Forget the processes and transfers of an earlier boot, and processes that ended long ago."""
        if self._boot != self.machine.booted:
            self._boot = self.machine.booted
            for process in self.processes.values():
                if process.work is not None:
                    process.work.cancel()
            self.processes.clear()
            self.transfers.clear()
        limit = self.registry.clock.now() - _KEPT
        for process in [p for p in self.processes.values() if p.ended is not None]:
            if process.ended is not None and process.ended < limit:
                del self.processes[process.pid]
        now = self.registry.clock.monotonic()
        for transfer in [t for t in self.transfers.values() if t.expires < now]:
            del self.transfers[transfer.id]

    def start(self, account: GuestAccount, spec: Any) -> GuestProcess:
        """Start a program. Raises the fault for one that is not there."""
        node = self.files.find(spec.programPath, account)
        if node.children is not None or not node.allows(account, 1):
            raise with_message(
                vim25.CannotAccessFile(file=spec.programPath),
                f"Unable to access file {spec.programPath}",
            )
        directory = spec.workingDirectory or account.home
        if self.files.find(directory, account).children is None:
            raise with_message(
                vim25.NotADirectory(file=directory), f"{directory} is not a directory"
            )
        if len(self.processes) >= _MOST_PROCESSES:
            raise with_message(vim25.SystemError(reason="Resource temporarily unavailable"))
        command = f'"{spec.programPath}" {spec.arguments}'.strip()
        process = GuestProcess(
            next(self._pids),
            spec.programPath.rpartition("/")[2],
            account.name,
            command,
            self.registry.clock.now(),
        )
        self.processes[process.pid] = process
        variables = self.environment(account) | dict(
            each.partition("=")[::2] for each in spec.envVariables
        )
        shell = Shell(self, self.programs, account, variables, directory)
        process.work = self.registry.spawn(
            self._run(process, shell), f"simulated guest process {process.pid}"
        )
        return process

    async def _run(self, process: GuestProcess, shell: Shell) -> None:
        process.exit_code, _, _ = await shell.run(process.command)
        process.ended = self.registry.clock.now()

    def terminate(self, pid: int) -> None:
        """Kill a process. Raises `GuestProcessNotFound`."""
        process = self.processes.get(pid)
        if process is None or process.ended is not None or process.work is None:
            raise with_message(
                vim25.GuestProcessNotFound(pid=pid), "The process was not found in the guest."
            )
        process.work.cancel()
        process.exit_code, process.ended = _KILLED, self.registry.clock.now()

    def environment(self, account: GuestAccount) -> dict[str, str]:
        """Return the variables of a user's environment."""
        return {
            "HOME": account.home,
            "LOGNAME": account.name,
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "SHELL": "/bin/sh",
            "USER": account.name,
        }

    def transfer(
        self,
        path: str,
        account: GuestAccount,
        *,
        size: int | None = None,
        mode: int | None = None,
    ) -> GuestTransfer:
        """Make the right to read or write a file over HTTP."""
        found = GuestTransfer(
            next(self._numbers),
            secrets.token_hex(16),
            self,
            path,
            account,
            self.registry.clock.monotonic() + _TRANSFER_SECONDS,
            size,
            mode,
        )
        self.transfers[found.id] = found
        return found


def guest_of(machine: VirtualMachine) -> ScriptedGuest:
    """Return the scripted guest of a machine, made when it is first asked for."""
    if machine.scripted is None:
        machine.scripted = ScriptedGuest(machine)
    found: ScriptedGuest = machine.scripted
    found.refresh()
    return found
