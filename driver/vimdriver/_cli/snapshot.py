"""`vimctl instance snapshot`, `snapshots`, `revert` and `remove-snapshot`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimlib.errors import printable

_COLUMNS = ("name", "moref", "created", "power_state", "parent", "current", "description")
Which = Annotated[str, Parameter(help="Reference or name of the snapshot.")]


async def list_(
    instance: Ref, /, *, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT
) -> None:
    """List a machine's snapshots, parents before children."""
    async with opened(connection) as driver:
        found = await driver.snapshots(instance)
    output.table(_COLUMNS, [snapshot.to_json() for snapshot in found])


async def remove(
    instance: Ref,
    snapshot: Which,
    /,
    *,
    children: Flag = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Remove a snapshot. The machine's current state does not change.

    Args:
        children: Remove the snapshots below it too.
    """
    async with opened(connection) as driver:
        await driver.remove_snapshot(instance, snapshot, children=children)
    output.document({"snapshot": snapshot, "removed": True}, f"{printable(snapshot)}: removed")
