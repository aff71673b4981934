"""`vimctl get`: properties of managed objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Strings, within
from vimdriver._cli.output import OUTPUT, Output
from vimlib._text import printable
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vimlib._collector import Row


async def get(
    target: str,
    /,
    *,
    path: Annotated[Strings, Parameter(name=("--path", "-p"))] = (),
    limit: Annotated[int | None, within(0)] = None,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Read properties of one object, or of all objects of a type.

    `--json` prints an object as `{"obj": REFERENCE, "props": {PATH: VALUE}, "missing": {PATH: FAULT}}`:
    one document for TYPE:ID, one per line for TYPE.

    Args:
        target: TYPE:ID, for example `VirtualMachine:12`, or TYPE for all objects of a type.
        path: Property path, for example `config.hardware.numCPU`; repeatable.
        limit: Maximum number of objects.
    """
    from vimdriver._cli.jsonio import parse_kind, parse_reference
    from vimlib import vim25

    refuse_commas(path)
    if ":" in target:
        if not path:
            raise UsageError(
                "at least one --path is required", hint=f"Try: vimctl get {target} -p name"
            )
        proxy = parse_reference(target, vim25.BINDING)
        async with connection.client() as client:
            try:
                row = await client.get(client.bind(proxy), *path)
            except vim25.ManagedObjectNotFound:
                raise NotFoundError(
                    f"object not found on {client.host}: {printable(target, 200)}",
                    kind=proxy.moref[0],
                    name=proxy.moref[1],
                    hint=f"List those of its type: vimctl get {proxy.moref[0]}.",
                ) from None
        document = row_document(row)
        if output.json:
            output.line(document)
        else:
            output.fields(row_text(row, path))
        return
    kind = parse_kind(target, vim25.BINDING)
    async with connection.client() as client:
        if output.json:
            async with client.collect(kind, *path, limit=limit) as rows:
                async for row in rows:
                    output.line(row_document(row))
            return
        found = await client.collect(kind, *path, limit=limit).all()
    output.table(("object", *path), [row_text(row, path) for row in found])


def refuse_commas(paths: Sequence[str]) -> None:
    """Raise `UsageError` for several paths in one option."""
    for path in paths:
        if "," in path:
            again = " ".join(f"-p {part.strip()}" for part in path.split(","))
            raise UsageError(
                f"--path must be one property path, got {printable(path)!r}",
                hint=f"Repeat the option: {again}.",
            )


def row_document(row: Row[Any]) -> dict[str, Any]:
    """Return the JSON form of a row."""
    from vimdriver._cli.jsonio import to_json

    return {
        "obj": to_json(row.obj),
        "props": {path: to_json(value) for path, value in row.props.items()},
        "missing": {path: to_json(fault) for path, fault in row.missing.items()},
    }


def row_text(row: Row[Any], paths: tuple[str, ...]) -> dict[str, Any]:
    """Return a row as text: object and values; for an unreadable value, the fault's name."""
    document = row_document(row)
    cells: dict[str, Any] = {"object": ":".join(row.obj.moref)}
    for path in paths:
        fault = document["missing"].get(path)
        cells[path] = f"({fault['_typeName']})" if fault else document["props"].get(path)
    return cells
