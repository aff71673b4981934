"""`vimctl watch`: changes of properties as they happen."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from vimdriver._cli.connection import CONNECTION, ConnectionOptions
from vimdriver._cli.flags import Strings, within
from vimdriver._cli.output import OUTPUT, Output, to_text
from vimdriver._cli.properties import refuse_commas, row_document
from vimlib.errors import UsageError


async def watch(
    target: str,
    /,
    *,
    path: Annotated[Strings, Parameter(name=("--path", "-p"))] = (),
    count: Annotated[int | None, within(1)] = None,
    connection: ConnectionOptions = CONNECTION,
    output: Output = OUTPUT,
) -> None:
    """Watch properties of one object, or of all objects of a type, until interrupted.

    The output begins with a line `enter` for each existing object and continues with a line per
    change. `--json` prints lines `{"kind": "enter", "obj": REFERENCE, "changed": {PATH: VALUE},
    "missing": {PATH: FAULT}}`; kinds are `enter`, `modify` and `leave`. The watch of one object ends
    when the object is removed.

    Args:
        target: TYPE for all objects of a type, or TYPE:ID, for example `VirtualMachine:12`.
        path: Property path, for example `runtime.powerState`; repeatable.
        count: Stop after this number of lines.
    """
    from vimdriver._cli.jsonio import parse_kind, parse_reference, to_json
    from vimlib import vim25

    if not path:
        raise UsageError(
            "at least one --path is required", hint=f"Try: vimctl watch {target} -p name"
        )
    refuse_commas(path)
    kind: Any
    one: Any = None
    if ":" in target:
        one = parse_reference(target, vim25.BINDING)
        kind = type(one)
    else:
        kind = parse_kind(target, vim25.BINDING)
    async with connection.client() as client:
        source = None if one is None else client.bind(one)
        told = 0
        async with client.watch(kind, *path, source=source) as changes:
            async for change in changes:
                gone = one is not None and change.kind == "leave"
                reason = next(iter(change.row.missing.values()), None)
                if gone and isinstance(reason, vim25.ManagedObjectNotFound):  # it never existed
                    raise reason.copy()
                document = row_document(change.row)
                changed = {name: to_json(value) for name, value in change.changed.items()}
                if output.json:
                    output.line(
                        {
                            "kind": change.kind,
                            "obj": document["obj"],
                            "changed": changed,
                            "missing": document["missing"],
                        }
                    )
                else:
                    words = [f"{name}={to_text(value)}" for name, value in changed.items()]
                    words += [
                        f"{name}=({fault['_typeName']})"
                        for name, fault in document["missing"].items()
                    ]
                    print(f"{change.kind:<6}  {':'.join(change.obj.moref)}", *words, flush=True)
                told += 1
                if gone or told == count:
                    return
