"""`vimctl instance devices`: the devices of a machine."""

from __future__ import annotations

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output

_COLUMNS = ("key", "label", "kind", "model", "connected", "network", "mac", "path", "capacity")


async def list_(
    instance: Ref, /, *, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT
) -> None:
    """List a machine's devices: disks, NICs, drives, ports and controllers."""
    async with opened(connection) as driver:
        found = await driver.devices(instance)
    output.table(_COLUMNS, [device.to_json() for device in found])
