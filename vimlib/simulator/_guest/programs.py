"""The programs of a scripted guest: what tests script, and the few that every guest has.

A program is a function of a `ProgramRun`; it writes to its streams and returns its exit code. A
guest has those of `PROGRAMS` under their names in `/bin`, and VMware Tools' `vmtoolsd` and
`vmware-rpctool` under theirs in `/usr/bin`, by which a guest reads and writes `guestinfo.*`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from vimlib.model import MethodFault

if TYPE_CHECKING:
    from vimlib.simulator._guest.files import GuestAccount, GuestTree


class GuestView(Protocol):
    """The parts of a guest that programs use."""

    @property
    def files(self) -> GuestTree:
        """Its files."""

    @property
    def host_name(self) -> str:
        """Its host name."""

    def info_get(self, key: str) -> str | None:
        """Return a value of the machine's extra options; None if it has none."""

    def info_set(self, key: str, value: str) -> None:
        """Set a value of the machine's extra options."""

    async def sleep(self, seconds: float) -> None:
        """Sleep on the host's clock."""


@dataclass
class ProgramRun:
    """One run of a program."""

    guest: GuestView
    account: GuestAccount
    args: list[str]
    """Its name, then its arguments."""
    stdin: bytes
    variables: dict[str, str]
    directory: str
    """Its working directory."""
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def path(self, name: str) -> str:
        """Return the absolute path of a name in the working directory."""
        return posixpath.join(self.directory, name)

    def say(self, text: str) -> None:
        """Write a line to the standard output."""
        self.stdout += text.encode() + b"\n"

    def fail(self, text: str, code: int = 1) -> int:
        """Write a line to the standard error and return an exit code."""
        words = f"{posixpath.basename(self.args[0])}: {text}\n"
        self.stderr += words.encode()
        return code


Program = Callable[[ProgramRun], int | Awaitable[int]]


def fixed(exit_code: int, stdout: str, stderr: str, seconds: float) -> Program:
    """Return a program that takes `seconds`, writes two texts and ends with a code."""

    async def run(run: ProgramRun) -> int:
        run.stdout += stdout.encode()
        run.stderr += stderr.encode()
        if seconds > 0:
            await run.guest.sleep(seconds)
        return exit_code

    return run


def _cat(run: ProgramRun) -> int:
    code = 0
    for name in run.args[1:] or ["-"]:
        if name == "-":
            run.stdout += run.stdin
            continue
        try:
            run.stdout += run.guest.files.read(run.path(name), run.account)
        except MethodFault as fault:
            code = run.fail(f"{name}: {fault.localized_message}")
    return code


def _echo(run: ProgramRun) -> int:
    words = run.args[1:]
    newline = words[:1] != ["-n"]
    text = " ".join(words if newline else words[1:])
    run.stdout += text.encode() + b"\n" * newline
    return 0


def _printf(run: ProgramRun) -> int:
    if len(run.args) < 2:
        return run.fail("usage: printf format [arguments]", 2)
    text = run.args[1].replace("\\n", "\n").replace("\\t", "\t")
    for word in run.args[2:]:
        text = text.replace("%s", word, 1)
    run.stdout += text.encode()
    return 0


async def _sleep(run: ProgramRun) -> int:
    try:
        seconds = float(run.args[1])
    except (IndexError, ValueError):
        return run.fail("missing or invalid operand")
    if not 0 <= seconds < float("inf"):
        return run.fail(f"invalid time interval '{run.args[1]}'")
    await run.guest.sleep(seconds)
    return 0


def _ls(run: ProgramRun) -> int:
    code = 0
    for name in [word for word in run.args[1:] if not word.startswith("-")] or ["."]:
        try:
            node = run.guest.files.find(run.path(name), run.account)
        except MethodFault as fault:
            code = run.fail(f"{name}: {fault.localized_message}", 2)
            continue
        for entry in sorted(node.children) if node.children is not None else [name]:
            run.say(entry)
    return code


def _each(action: Callable[[ProgramRun, str, str], None]) -> Program:
    """Return a program that acts on each of the paths that it is given."""

    def run(run: ProgramRun) -> int:
        flags = "".join(word[1:] for word in run.args[1:] if word.startswith("-"))
        code = 0
        for name in [word for word in run.args[1:] if not word.startswith("-")]:
            try:
                action(run, run.path(name), flags)
            except MethodFault as fault:
                code = run.fail(f"{name}: {fault.localized_message}")
        return code

    return run


def _rm(run: ProgramRun, path: str, flags: str) -> None:
    files = run.guest.files
    if "f" in flags and not files.exists(path, run.account):
        return
    if "r" in flags and files.find(path, run.account, follow=False).children is not None:
        files.remove_directory(path, run.account, recursive=True)
    else:
        files.remove_file(path, run.account)


def _mkdir(run: ProgramRun, path: str, flags: str) -> None:
    if "p" in flags and run.guest.files.exists(path, run.account):
        return
    run.guest.files.make_directory(path, run.account, parents="p" in flags)


def _touch(run: ProgramRun, path: str, flags: str) -> None:
    run.guest.files.write(path, b"", run.account, append=True)


def _test(run: ProgramRun) -> int:
    words = run.args[1:]
    if run.args[0].endswith("["):
        if words[-1:] != ["]"]:
            return run.fail("missing ]", 2)
        words = words[:-1]
    match words:
        case ["-e" | "-f" | "-d" as flag, name]:
            try:
                kind = run.guest.files.find(run.path(name), run.account).kind
            except MethodFault:
                return 1
            return 0 if flag == "-e" or (flag == "-d") == (kind == "directory") else 1
        case ["-n", text] | [text]:
            return 0 if text else 1
        case ["-z", text]:
            return 1 if text else 0
        case [left, "=", right]:
            return 0 if left == right else 1
        case [left, "!=", right]:
            return 0 if left != right else 1
    return run.fail("unexpected operator", 2)


def _env(run: ProgramRun) -> int:
    for name, value in sorted(run.variables.items()):
        if name.isidentifier():
            run.say(f"{name}={value}")
    return 0


def _print(text: Callable[[ProgramRun], str]) -> Program:
    def run(run: ProgramRun) -> int:
        run.say(text(run))
        return 0

    return run


def _rpc(run: ProgramRun) -> int:
    """`vmware-rpctool 'info-get guestinfo.x'`, and the same after `vmtoolsd --cmd`."""
    words = run.args[1:]
    if words[:1] == ["--cmd"]:
        words = words[1:]
    verb, _, rest = " ".join(words).partition(" ")
    key, _, value = rest.partition(" ")
    if verb not in ("info-get", "info-set"):
        run.stdout += b"Unknown command\n"
        return 1
    if not key.startswith("guestinfo."):
        run.stdout += b"Permission denied\n"
        return 1
    if verb == "info-set":
        run.guest.info_set(key, value)
        run.say("")
        return 0
    found = run.guest.info_get(key)
    if found is None:
        run.stdout += b"No value found\n"
        return 1
    run.say(found)
    return 0


PROGRAMS: dict[str, Program] = {
    "/bin/[": _test,
    "/bin/cat": _cat,
    "/bin/echo": _echo,
    "/bin/env": _env,
    "/bin/false": lambda run: 1,
    "/bin/hostname": _print(lambda run: run.guest.host_name),
    "/bin/ls": _ls,
    "/bin/mkdir": _each(_mkdir),
    "/bin/printf": _printf,
    "/bin/pwd": _print(lambda run: run.directory),
    "/bin/rm": _each(_rm),
    "/bin/sleep": _sleep,
    "/bin/test": _test,
    "/bin/touch": _each(_touch),
    "/bin/true": lambda run: 0,
    "/bin/uname": _print(lambda run: "Linux"),
    "/bin/whoami": _print(lambda run: run.account.name),
    "/usr/bin/vmtoolsd": _rpc,
    "/usr/bin/vmware-rpctool": _rpc,
}
SHELLS = frozenset({"/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"})
"""Paths at which a guest has its shell, which `ScriptedGuest` runs."""
