"""`vimctl instance diagnostics`: resource usage of a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.instance import Ref, opened
from vimdriver._cli.output import OUTPUT, Output
from vimdriver.errors import size_text

if TYPE_CHECKING:
    from collections.abc import Mapping

# Each of these is printed as a table; `cpu` and `memory` are printed with the fields.
_TABLES = {
    "disks": ("label", "path", "capacity"),
    "file_systems": ("path", "capacity", "free"),
    "nics": ("label", "model", "mac", "network", "connected", "addresses"),
}


async def diagnostics(
    instance: Ref, /, *, connection: ConnectionOptions = CONNECTION, output: Output = OUTPUT
) -> None:
    """Show a machine's CPU, memory, disk and NIC usage, and the data from its guest tools."""
    async with opened(connection) as driver:
        found = (await driver.diagnostics(instance)).to_json()
    if output.json:
        output.document(found)
        return
    tables = {name: found.pop(name) for name in _TABLES}
    for part in ("cpu", "memory"):
        found |= {f"{part}_{name}": value for name, value in found.pop(part).items()}
    output.fields(found)
    for name, columns in _TABLES.items():
        if tables[name]:
            print()
            output.table(columns, [_readable(row) for row in tables[name]])


def _readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with human-readable sizes."""
    sizes = {key: size_text(row[key]) for key in ("capacity", "free") if row.get(key) is not None}
    addresses = {"addresses": " ".join(row["addresses"])} if "addresses" in row else {}
    return {**row, **sizes, **addresses}
