"""`vimctl host`: the host itself."""

from __future__ import annotations

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.instance import opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver.errors import size_text


async def show(*, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT) -> None:
    """Show the hardware, usage and datastores of the host."""
    async with opened(connection) as driver:
        found = await driver.host_info()
    if output.json:
        output.document(found.to_json())
        return
    fields = found.to_json()
    stores = fields.pop("datastores")
    output.fields(fields)
    print()
    output.table(
        ("name", "kind", "capacity", "free", "accessible"),
        [
            {**store, **{key: size_text(store[key]) for key in ("capacity", "free")}}
            for store in stores
        ],
    )
