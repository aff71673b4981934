"""`vimctl host logs`."""

from __future__ import annotations

from typing import Annotated

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import within
from vimdriver._cli.instance import opened
from vimdriver._cli.output import OUTPUT, Output, to_text


async def logs(
    key: str = "hostd",
    /,
    *,
    lines: Annotated[int, within(1)] = 100,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Show the end of one of the host's logs.

    Args:
        key: As hostd, vpxa or vmkernel.
        lines: At most so many lines.
    """
    async with opened(connection) as driver:
        found = await driver.logs(key, lines=lines)
    output.document(found.to_json(), "\n".join(map(to_text, found.lines)))
