"""The shell of a scripted guest: command lines as text, parsed into commands.

VMware Tools on Linux give a program's path and arguments to `/bin/sh -c` (open-vm-tools,
`procMgrPosix.c`), so that clients redirect output into a file and fetch that. Understood are quotes,
variables, pipes, `;`, `&&`, `||`, `>`, `>>`, `<` and `2>&1`; a line with anything else is a syntax error, as a
shell reports one, with exit code 2. Nothing here runs anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN: Final = re.compile(
    r"""(?P<blank>[ \t]+|\\\n)
    |(?P<redirect>[0-9]?>&[0-9]|[0-9]?>>|[0-9]?>|0?<(?!<))
    |(?P<operator>&&|\|\||;|\n|\|(?!\|))
    |(?P<word>(?:[^\s'"\\;&|<>()`]|\\[^\n]|'[^']*'|"(?:[^"\\]|\\.)*")+)""",
    re.VERBOSE | re.DOTALL,
)
_PIECE: Final = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|(?P<plain>[^'"\\]+)""",
    re.VERBOSE | re.DOTALL,
)
_VARIABLE: Final = re.compile(
    r"\\(?P<escaped>[$`\"\\])|\$(?:\{(?P<braced>\w+)\}|(?P<name>\w+|[?$]))"
)
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_LITERAL: Final = re.compile(r"'[^']*'|\\.", re.DOTALL)
_SUBSTITUTION: Final = re.compile(r"`|\$\(")
_LONGEST: Final = 1 << 20


class ShellSyntaxError(ValueError):
    """A line that the shell does not understand."""


@dataclass(frozen=True)
class Redirect:
    """One redirection of a command."""

    operator: str
    """`>`, `>>`, `<`, or `>&` for a copy of another stream."""
    stream: int
    """0, 1 or 2."""
    target: str
    """A word that names the file; for `>&` the number of the other stream."""


@dataclass
class SimpleCommand:
    """A command with its words as written, not yet expanded."""

    words: list[str] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)


@dataclass
class ShellPipeline:
    """Commands joined by pipes, and the operator before them."""

    after: str
    """`;`, `&&` or `||`."""
    commands: list[SimpleCommand]


def parse_line(line: str) -> list[ShellPipeline]:
    """Parse a line. Raises `ShellSyntaxError`."""
    if len(line) > _LONGEST:
        raise ShellSyntaxError("Argument list too long")
    found = [ShellPipeline(";", [SimpleCommand()])]
    waiting: tuple[str, int] | None = None
    at = 0
    while at < len(line):
        match = _TOKEN.match(line, at)
        if match is None:
            raise ShellSyntaxError(f'Syntax error: "{line[at]}" unexpected')
        at = match.end()
        kind, text = match.lastgroup, match[0]
        if kind == "blank":
            continue
        command = found[-1].commands[-1]
        if waiting is not None and kind != "word":
            raise ShellSyntaxError(f'Syntax error: "{text}" unexpected')
        if kind == "word":
            if _SUBSTITUTION.search(_LITERAL.sub("", text)):
                raise ShellSyntaxError("Syntax error: no command substitution in a scripted guest")
            if waiting is None:
                command.words.append(text)
            else:
                command.redirects.append(Redirect(*waiting, text))
                waiting = None
        elif kind == "redirect":
            waiting = _redirect(command, text)
        elif not command.words and not command.redirects and text not in ";\n":
            raise ShellSyntaxError(f'Syntax error: "{text}" unexpected')
        elif text == "|":
            found[-1].commands.append(SimpleCommand())
        else:
            found.append(ShellPipeline(";" if text == "\n" else text, [SimpleCommand()]))
    last = found[-1]
    if waiting is not None or (
        (last.after != ";" or len(last.commands) > 1)
        and not last.commands[-1].words
        and not last.commands[-1].redirects
    ):
        raise ShellSyntaxError("Syntax error: end of file unexpected")
    return [each for each in found if each.commands[0].words or each.commands[0].redirects]


def _redirect(command: SimpleCommand, text: str) -> tuple[str, int] | None:
    """Return operator and stream of a redirection whose file name follows."""
    if ">&" in text:
        stream, _, other = text.partition(">&")
        command.redirects.append(Redirect(">&", int(stream or 1), other))
        return None
    if text.endswith("<"):
        return "<", 0
    return text.lstrip("012"), int(text[0]) if text[0].isdigit() else 1


def expand(word: str, variables: Mapping[str, str]) -> str:
    """Return a word without its quotes, with its variables replaced; unset ones are empty."""
    found = []
    for piece in _PIECE.finditer(word):
        if piece["single"] is not None:
            found.append(piece["single"])
        elif piece["escaped"] is not None:
            found.append(piece["escaped"])
        else:
            text = piece["double"] if piece["double"] is not None else piece["plain"]
            found.append(_VARIABLE.sub(lambda match: _value(match, variables), text))
    return "".join(found)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["escaped"] is not None:
        return match["escaped"]
    return variables.get(match["braced"] or match["name"], "")


def split_assignments(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the assignments that open a command, and its other words."""
    count = 0
    while count < len(words) and _ASSIGNMENT.match(words[count]):
        count += 1
    return words[:count], words[count:]
