"""`vimctl instance snapshot`, `snapshots`, `revert` and `remove-snapshot`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, Connection
from vimdriver._cli.flags import Flag
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimlib.errors import printable

__all__ = ["list_", "remove", "revert", "take"]

_COLUMNS = ("name", "moref", "created", "power_state", "parent", "current", "description")
Which = Annotated[str, Parameter(help="The snapshot's reference's value, or its name.")]


async def list_(
    instance: Ref, /, *, connection: Connection = CONNECTION, output: Output = OUTPUT
) -> None:
    """List a machine's snapshots, each before those that came after it."""
    async with opened(connection) as driver:
        found = await driver.snapshots(instance)
    output.table(_COLUMNS, [snapshot.to_json() for snapshot in found])


async def take(
    instance: Ref,
    name: str,
    /,
    *,
    description: str = "",
    memory: Flag = False,
    quiesce: Flag = False,
    connection: Connection = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Take a snapshot of a machine.

    Args:
        name: Its name.
        description: For people.
        memory: With what is in memory, where the machine runs.
        quiesce: Have the guest's tools bring its file systems to rest first.
    """
    async with opened(connection) as driver:
        made = await driver.snapshot(
            instance, name, description=description, memory=memory, quiesce=quiesce
        )
    output.fields(made.to_json())


async def revert(
    instance: Ref,
    snapshot: Which,
    /,
    *,
    connection: Connection = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Make a machine what it was at a snapshot. What it is now is lost."""
    async with opened(connection) as driver:
        found = await driver.revert_snapshot(instance, snapshot)
    output.fields(found.to_json())


async def remove(
    instance: Ref,
    snapshot: Which,
    /,
    *,
    children: Flag = False,
    connection: Connection = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Remove a snapshot; the machine keeps what it is now.

    Args:
        children: Those that came after it too.
    """
    async with opened(connection) as driver:
        await driver.remove_snapshot(instance, snapshot, children=children)
    output.document({"snapshot": snapshot, "removed": True}, f"{printable(snapshot)}: removed")
