"""`vimctl instance snapshots`."""

from __future__ import annotations

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output

_COLUMNS = ("name", "moref", "created", "power_state", "parent", "current", "description")


async def list_(
    instance: Ref, /, *, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT
) -> None:
    """List a machine's snapshots, parents before children."""
    async with opened(connection) as driver:
        found = await driver.snapshots(instance)
    output.table(_COLUMNS, [snapshot.to_json() for snapshot in found])
