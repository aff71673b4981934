"""`vimctl network`: port groups."""

from __future__ import annotations

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.instance import opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver._cli.ownership import OWNERSHIP, Ownership
from vimlib.errors import printable


async def ls(*, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT) -> None:
    """List the host's port groups."""
    from vimdriver._networks import list_port_groups

    async with connection.client() as client:
        groups = await list_port_groups(client)
    output.table(("name", "vlan", "vswitch"), [group.to_json() for group in groups])


async def remove_vlan(
    name: str,
    /,
    *,
    ownership: Ownership = OWNERSHIP,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Remove an unused port group that vimctl created.

    Args:
        name: Name of the port group.
    """
    async with opened(connection, ownership) as driver:
        await driver.remove_vlan(name)
    output.document({"name": name, "removed": True}, f"{printable(name)}: removed")
