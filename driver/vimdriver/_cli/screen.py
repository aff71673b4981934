"""`vimctl instance console-log` and `screenshot`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag, within
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimdriver._instances.serial import TAIL
from vimlib._text import printable
from vimlib.errors import UsageError


async def console_log(
    instance: Ref,
    /,
    *,
    tail: Annotated[int, within(1)] = TAIL,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Show the output of a machine's guest on its serial port.

    The machine must have been created with `--serial-log`. Control characters are escaped.

    Args:
        tail: Show this many bytes from the end, at least 1.
    """
    async with opened(connection) as driver:
        found = await driver.console_log(instance, tail=tail)
    lines = (printable(line, tail) for line in found.text.splitlines())
    output.document(found.to_json(), "\n".join(lines))


async def screenshot(
    instance: Ref,
    file: Path,
    /,
    *,
    overwrite: Flag = False,
    foreign: Flag = False,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Save a screenshot (PNG) of a running machine.

    Args:
        file: Local file for the screenshot.
        overwrite: Replace an existing file.
        foreign: Also of a machine of another owner: the host writes the picture into its folder.
    """
    if not overwrite and await asyncio.to_thread(file.exists):
        raise UsageError(
            f"local file already exists: {printable(str(file))!r}",
            hint="Choose another name, or replace it with --overwrite.",
        )
    if not await asyncio.to_thread(file.parent.is_dir):
        raise UsageError(
            f"local folder not found: {printable(str(file.parent))!r}", hint="Create it first."
        )
    async with opened(connection, ownership) as driver:
        picture = await driver.screenshot(instance, foreign=foreign)
    await asyncio.to_thread(file.write_bytes, picture)
    output.document(
        {"file": str(file), "bytes": len(picture)},
        f"{printable(str(file), 1000)}: {len(picture)} bytes",
    )
