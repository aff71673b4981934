"""`vimctl about`: product, version and build of the host."""

from __future__ import annotations

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.output import OUTPUT, Output


async def about(*, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT) -> None:
    """Show the product, version and build of the host, and the API version in use."""
    from vimdriver._cli.jsonio import to_json

    async with connection.client() as client:
        found = to_json(client.about)
        version = client.api_version
    if output.json:
        output.line(found)
        return
    shown = ("fullName", "name", "vendor", "version", "build", "osType", "apiType", "instanceUuid")
    output.fields({**{key: found[key] for key in shown if key in found}, "api": version})
