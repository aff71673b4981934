"""`vimctl network`: port groups."""

from __future__ import annotations

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.output import OUTPUT, Output


async def ls(*, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT) -> None:
    """List the host's port groups."""
    from vimdriver._networks import list_port_groups

    async with connection.client() as client:
        groups = await list_port_groups(client)
    output.table(("name", "vlan", "vswitch"), [group.to_json() for group in groups])
