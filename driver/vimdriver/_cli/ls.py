"""`vimctl ls`: the inventory, by paths."""

from __future__ import annotations

import shlex
from typing import Annotated, cast

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Flag
from vimdriver._cli.output import OUTPUT, Output
from vimlib._text import printable
from vimlib.errors import NotFoundError


async def ls(
    path: str = "/",
    /,
    *,
    kind: Annotated[str, Parameter(name=("--type", "-t"))] = "ManagedEntity",
    directory: Annotated[Flag, Parameter(name=("--directory", "-d"))] = False,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """List the inventory: the contents of a folder, or the objects that match a pattern.

    In a part of a path `*` matches any characters, `?` one character, and `[a-c]` one of a to c;
    `**` as a whole part matches any number of levels.

    Args:
        path: For example `/ha-datacenter/vm`, `/*/vm/web-*`, or `/**` for everything; a path without
            a leading `/` is relative to the folder of the type.
        kind: Only objects of this type and its subtypes, for example VirtualMachine.
        directory: Show the object at the path itself, not its contents.
    """
    from vimdriver._cli.jsonio import parse_kind, to_json
    from vimlib import vim25

    wanted = cast("type[vim25.ManagedObject]", parse_kind(kind, vim25.BINDING))
    parts = path.split("/")
    pattern = any(char in path for char in "*?[") or "..." in parts
    async with connection.client() as client:
        if pattern or directory:
            found = there = await client.find(path, wanted)
        else:
            # A relative path starts at the folder of the type, so it requires the type.
            home = vim25.ManagedEntity if path.startswith("/") else wanted
            there = await client.find(path, home)
            found = await client.find(f"{path.rstrip('/')}/*", wanted)
            if not found and there and isinstance(there[0].obj, wanted):
                # It has no contents, so the object itself is listed, as `ls` does with a file.
                found = [item for item in there if not isinstance(item.obj, vim25.Folder)]
    if not there:
        raise NotFoundError(
            f"not found in the inventory: {printable(path, 200)!r}",
            kind=kind,
            name=path,
            hint="List everything: vimctl ls '/**'."
            if "/" in path or kind != "ManagedEntity"
            else f"To find a name at any level, give its type: vimctl ls {shlex.quote(path)} -t VirtualMachine.",
        )
    output.table(
        ("type", "path"),
        [
            {"path": item.path, "type": item.obj.moref[0], "obj": to_json(item.obj)}
            for item in found
        ],
    )
