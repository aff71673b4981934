"""Runs the lines that `shell` parses: streams, exit codes and the shell's own commands."""

from __future__ import annotations

import inspect
import posixpath
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from vimlib.model import MethodFault
from vimlib.simulator._guest.files import SEARCH
from vimlib.simulator._guest.programs import SHELLS, GuestView, ProgramRun
from vimlib.simulator._guest.shell import (
    ShellSyntaxError,
    SimpleCommand,
    expand,
    parse_line,
    split_assignments,
)

if TYPE_CHECKING:
    from vimlib.simulator._guest.files import GuestAccount
    from vimlib.simulator._guest.programs import Program

_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
_DEEPEST: Final = 16
"""Shells within shells, of `sh -c` and of scripts."""
_NUMBER: Final = re.compile("[0-9]{1,9}")
_NOT_FOUND, _NOT_EXECUTABLE, _SYNTAX = 127, 126, 2


class _Exit(Exception):
    """The shell ends."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Shell:
    """A shell of a guest, while it runs."""

    guest: GuestView
    programs: dict[str, Program]
    account: GuestAccount
    variables: dict[str, str]
    directory: str
    depth: int = 0

    async def run(self, line: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        """Run a line; return its exit code and the output that was not redirected. Cancelling it stops it."""
        out, err = bytearray(), bytearray()
        code = 0
        try:
            pipelines = parse_line(line)
        except ShellSyntaxError as error:
            return _SYNTAX, b"", f"sh: {error}\n".encode()
        try:
            for pipeline in pipelines:
                if (pipeline.after == "&&" and code) or (pipeline.after == "||" and not code):
                    continue
                flow = stdin
                for command in pipeline.commands:
                    code, flow, errors = await self._command(command, flow)
                    err += errors
                out += flow
                self.variables["?"] = str(code)
        except _Exit as end:
            code = end.code
        return code, bytes(out), bytes(err)

    async def _command(self, command: SimpleCommand, stdin: bytes) -> tuple[int, bytes, bytes]:
        """Run one command; return its exit code and the output and errors that are not redirected."""
        assignments, words = split_assignments(command.words)
        given = {}
        for each in assignments:
            name, _, value = each.partition("=")
            given[name] = expand(value, self.variables)
        args = [expand(word, self.variables) for word in words]
        left: dict[str, bytearray] = {"1": bytearray(), "2": bytearray()}
        sinks: dict[int, str] = {1: "1", 2: "2"}
        try:
            for redirect in command.redirects:
                if redirect.operator == ">&":
                    sinks[redirect.stream] = sinks.get(int(redirect.target), "2")
                    continue
                path = posixpath.join(self.directory, expand(redirect.target, self.variables))
                if redirect.operator == "<":
                    stdin = self.guest.files.read(path, self.account)
                    continue
                append = redirect.operator == ">>"
                self.guest.files.write(path, b"", self.account, append=append)
                sinks[redirect.stream] = path
            code, out, err = await self._execute(args, given, stdin)
            for stream, data in ((1, out), (2, err)):
                sink = sinks[stream]
                if sink in left:
                    left[sink] += data
                elif data:
                    self.guest.files.write(sink, data, self.account, append=True)
        except MethodFault as fault:
            code = 1
            left["2"] += f"sh: {fault.localized_message}\n".encode()
        return code, bytes(left["1"]), bytes(left["2"])

    async def _execute(
        self, args: list[str], given: dict[str, str], stdin: bytes
    ) -> tuple[int, bytes, bytes]:
        if not args:
            self.variables.update(given)
            return 0, b"", b""
        own = self._builtin(args)
        if own is not None:
            return own
        if args[0] == "exec":
            args = args[1:]
            if not args:
                return 0, b"", b""
        path = self._path(args[0])
        if path is None:
            return _NOT_FOUND, b"", f"sh: {args[0]}: not found\n".encode()
        inner = replace(self, variables={**self.variables, **given}, depth=self.depth + 1)
        if self.depth >= _DEEPEST:
            return _NOT_EXECUTABLE, b"", f"sh: {args[0]}: too many shells\n".encode()
        if path in SHELLS:
            return await inner.shell(args, stdin)
        program = self.programs.get(path)
        if program is None:
            return await inner.script(path, args, stdin)
        run = ProgramRun(self.guest, self.account, args, stdin, inner.variables, self.directory)
        code = program(run)
        if inspect.isawaitable(code):
            code = await code
        return code & 255, bytes(run.stdout), bytes(run.stderr)

    def _builtin(self, args: list[str]) -> tuple[int, bytes, bytes] | None:
        """Run a command of the shell itself; return None for any other."""
        match args:
            case ["exit"]:
                raise _Exit(int(self.variables.get("?", "0")))
            case ["exit", code]:
                raise _Exit(int(code) & 255 if _NUMBER.fullmatch(code) else _SYNTAX)
            case ["cd", *rest]:
                path = posixpath.join(self.directory, rest[0] if rest else self.account.home)
                node = self.guest.files.find(path, self.account)
                if node.children is None or not node.allows(self.account, SEARCH):
                    return 1, b"", f"sh: cd: {path}: not a directory\n".encode()
                self.directory = posixpath.normpath(path)
                return 0, b"", b""
            case ["export", *assignments]:
                for each in assignments:
                    name, equals, value = each.partition("=")
                    if equals:
                        self.variables[name] = value
                return 0, b"", b""
            case [":", *_] | ["set", *_] | ["umask", *_]:
                return 0, b"", b""
        return None

    async def shell(self, args: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        """Run `sh -c LINE`, `sh FILE`, or `sh` with its lines on the standard input."""
        rest = args[1:]
        flags = ""
        while rest and rest[0].startswith("-") and "c" not in flags:
            flags += rest.pop(0)[1:]
        if "c" in flags:
            if not rest:
                return _SYNTAX, b"", b"sh: -c requires an argument\n"
            self._parameters(rest[1:] or ["sh"])
            return await self.run(rest[0], stdin)
        if rest:
            path = posixpath.join(self.directory, rest[0])
            line = self.guest.files.read(path, self.account)
            self._parameters(rest)
            return await self.run(_lines(line), stdin)
        return await self.run(_lines(stdin))

    async def script(self, path: str, args: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        """Run a file that begins with `#!` and the path of a shell."""
        node = self.guest.files.find(path, self.account)
        if node.children is not None or not node.allows(self.account, SEARCH):
            return _NOT_EXECUTABLE, b"", f"sh: {path}: Permission denied\n".encode()
        content = self.guest.files.read(path, self.account)
        first = content.partition(b"\n")[0].decode("utf-8", "replace")
        words = first[2:].split() if first.startswith("#!") else []
        if not words or words[0] not in SHELLS:
            return _NOT_EXECUTABLE, b"", f"sh: {path}: cannot execute binary file\n".encode()
        self._parameters(args)
        return await self.run(_lines(content), stdin)

    def _parameters(self, args: list[str]) -> None:
        self.variables.update({str(number): arg for number, arg in enumerate(args)})

    def _path(self, name: str) -> str | None:
        """Return the path of a program by its name, None if no file has it."""
        places = [posixpath.join(self.directory, name)] if "/" in name else [
            f"{folder}/{name}" for folder in _PATH
        ]  # fmt: skip
        return next((p for p in places if self.guest.files.exists(p, self.account)), None)


def _lines(content: bytes) -> str:
    """Return the lines of a script without its comments; what is not UTF-8 is replaced."""
    text = content.decode("utf-8", "replace")
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
