"""Find the code blocks and the links of a Markdown page.

The rule for blocks is in CONTRIBUTING.md, under Documentation.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^`]*)$")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
RUNNABLE = ("python", "console")

# A word after `python`, and the program that such a block is the inside of.
_CLIENT = """\
import asyncio, os
import vimlib
from vimlib import vim25

async def main():
    env = {name: os.environ[f"VIMLIB_{name}"] for name in ("URL", "USERNAME", "PASSWORD", "PIN")}
    tls = vimlib.TLS(pin=env["PIN"])
    async with vimlib.connect(env["URL"], env["USERNAME"], env["PASSWORD"], tls=tls) as client:
"""
_RUN = "\n\nasyncio.run(main())\n"
_DRIVER = """\
        from vimdriver import ESXDriver, InstanceSpec, LocalImages, NICSpec
        driver = ESXDriver(client, LocalImages())
"""
_PYVMOMI = """\
import os
from urllib.parse import urlsplit
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

def main(content):
"""
_RUN_PYVMOMI = """

where = urlsplit(os.environ["VIMLIB_URL"])
si = SmartConnect(
    host=where.hostname, port=where.port, user=os.environ["VIMLIB_USERNAME"],
    pwd=os.environ["VIMLIB_PASSWORD"], thumbprint=os.environ["VIMLIB_PIN"],
)
try:
    main(si.RetrieveContent())
finally:
    Disconnect(si)
"""
INSIDE = {
    "client": (_CLIENT, 8, _RUN),
    "driver": (_CLIENT + _DRIVER, 8, _RUN),
    "pyvmomi": (_PYVMOMI, 4, _RUN_PYVMOMI),
}


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
    def program(self) -> str:
        """The text as a whole program: of a block that is the inside of one, with what is around it."""
        for word in self.info[1:]:
            if word in INSIDE:
                before, indent, after = INSIDE[word]
                return before + textwrap.indent(self.text, " " * indent) + after
        return self.text

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}:{self.line}"


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
