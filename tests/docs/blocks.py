"""Find the code blocks and the links of a Markdown page.

The rule for blocks is in CONTRIBUTING.md, under Documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^`]*)$")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
RUNNABLE = ("python", "console")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    path: Path
    # Line of the opening fence, from 1.
    line: int
    # The words after the fence: language first.
    info: tuple[str, ...]
    text: str

    @property
    def language(self) -> str:
        return self.info[0] if self.info else ""

    @property
    def runs(self) -> bool:
        return self.language in RUNNABLE and "no-run" not in self.info

    @property
    def name(self) -> str:
        return f"{self.path.name}:{self.line}"


@dataclass
class Command:
    """A line of a console block that is run, and the lines that its output must have."""

    command: str
    expected: list[str] = field(default_factory=list)

    def missing_in(self, output: str) -> str | None:
        """Return the first expected line that does not come, in its order; None when all do."""
        lines = iter(output.splitlines())
        for wanted in self.expected:
            if wanted.strip() == "...":
                continue
            parts = map(re.escape, wanted.rstrip().split("..."))
            pattern = re.compile(".*".join(parts) + r"\s*")
            if not any(pattern.fullmatch(line) for line in lines):
                return wanted
        return None


def blocks(path: Path, text: str) -> Iterator[Block]:
    """Return the fenced blocks of a page.

    Raises:
        ValueError: A fence is not closed.
    """
    fence, start, info, body = "", 0, "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        found = FENCE.match(line)
        if not fence and found:
            fence, start, info, body = found["fence"], number, found["info"], []
        elif fence and line.rstrip() == fence:
            yield Block(path, start, tuple(info.split()), "\n".join(body) + "\n")
            fence = ""
        elif fence:
            body.append(line)
    if fence:
        raise ValueError(f"{path}:{start}: the block is not closed")


def commands(text: str) -> list[Command]:
    """Return the commands of a console block; a line that ends with a backslash goes on.

    Raises:
        ValueError: Output comes before the first command.
    """
    found: list[Command] = []
    goes_on = False
    for line in text.splitlines():
        if goes_on:
            found[-1].command += "\n" + line.removeprefix("> ")
        elif line.startswith("$ "):
            found.append(Command(line[2:]))
        elif not line.strip():
            continue
        elif found:
            found[-1].expected.append(line)
        else:
            raise ValueError(f"output before a command: {line!r}")
        goes_on = (goes_on or line.startswith("$ ")) and line.endswith("\\")
    return found


def links(text: str) -> list[str]:
    """Return the targets of a page's links, code blocks and code spans left out."""
    kept, fence = [], ""
    for line in text.splitlines():
        found = FENCE.match(line)
        if not fence and found:
            fence = found["fence"]
        elif fence and line.rstrip() == fence:
            fence = ""
        elif not fence:
            kept.append(re.sub(r"`[^`]*`", "", line))
    return LINK.findall("\n".join(kept))
