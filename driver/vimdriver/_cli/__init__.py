"""The command `vimctl`: arguments, progress, tables, JSON and exit codes.

It contains no host logic: everything that happens on a host goes through the layers below.

`app`         the tree of commands, by name; a command's module is imported when it is called
`run`         parse, run, report, exit code
`connection`  host, user and password: flags, then the environment; `trust` for certificates
`sources`     image sources
`output`      JSON, tables, messages; `progress` bars and lines
`exitcodes`   the exit code of each error type
`jsonio`      data objects as JSON and back

Every other module holds the commands of one noun. Nothing heavy is imported at the top of any of
them: `vimctl --help` loads neither vim25 nor aiohttp.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vimdriver._cli.exitcodes import Exit
from vimlib._distribution import missing_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `vimctl` with `argv` (the process's own arguments if None) and return its exit code."""
    try:
        import cyclopts  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "cyclopts":
            raise
        missing = missing_extra("vimctl", package="cyclopts", extra="cli")
        print(f"vimctl: {missing}", file=sys.stderr)
        return Exit.USAGE
    from vimdriver._cli.run import run

    return run(list(sys.argv[1:] if argv is None else argv))
