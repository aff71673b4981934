"""Data that a WSDL cannot express: managed types, their methods, task results, versions.

`wsdl/README.md` describes the format of the file. A WSDL without one gives a single service
class and no versions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vimlib.codegen._schema import CodegenError, Element, ManagedType
from vimlib.model._wire import attribute_name

if TYPE_CHECKING:
    from pathlib import Path

    from vimlib.codegen._schema import Schema


def _element(facts: dict[str, Any], name: str) -> Element:
    type_ = facts["type"]
    return Element(
        facts.get("name", name),
        "ref" if type_ == "ManagedObjectReference" else type_.removeprefix("xsd:"),
        array=facts.get("array", False),
        optional=facts.get("optional", False),
        secret=facts.get("secret", False),
        since=facts.get("since", ""),
        referent=facts.get("ref", ""),
    )


def add_sidecar(schema: Schema, path: Path) -> None:
    """Add the content of the sidecar at `path` to `schema`.

    Raises `CodegenError` where the two disagree, and if the file is not a sidecar.
    """
    try:
        _add(schema, json.loads(path.read_text("utf-8")), path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, CodegenError):
            raise
        raise CodegenError(
            f"{path.name} is not a sidecar of this WSDL: {type(error).__name__}: {error}",
            hint="Give another one with --sidecar, or move the JSON file out of the WSDL's folder.",
            where=str(path),
        ) from error


def _add(schema: Schema, facts: dict[str, Any], path: Path) -> None:
    schema.versions = tuple(v["id"] for v in facts["versions"] if v["id"][0].isdigit())
    for name, item in facts["managed"].items():
        schema.managed[name] = ManagedType(
            name,
            item["base"],
            tuple(_element(p, "") for p in item["properties"]),
            tuple(m["name"] for m in item["methods"]),
            item["since"],
            item["vmodl"],
        )
        for method in item["methods"]:
            _method(schema, name, method)
    owned = {o for m in schema.managed.values() for o in m.operations}
    if orphans := sorted(set(schema.operations) - owned):
        raise CodegenError(f"no managed type owns {', '.join(orphans[:5])}", where=path.name)


def _method(schema: Schema, owner: str, facts: dict[str, Any]) -> None:
    operation = schema.operations.get(facts["name"])
    if operation is None:
        raise CodegenError(f"the WSDL has no operation {facts['name']}", where=owner)
    described = tuple(_element(p, "") for p in facts["params"])
    if described != operation.params:
        raise CodegenError("parameters differ between WSDL and sidecar", where=facts["name"])
    operation.since = facts["since"]
    operation.is_task = facts.get("task", False)
    if facts["task_result"] is not None:
        operation.task = _element(facts["task_result"], "result")


def add_service(schema: Schema) -> None:
    """Make one class of all operations, for a WSDL without a sidecar."""
    taken = schema.types.keys() | schema.enums.keys()
    name = attribute_name(schema.service)
    name = f"{name}Service" if name in taken else name
    schema.managed["ManagedObject"] = ManagedType("ManagedObject", None, (), ())
    schema.managed[name] = ManagedType(name, "ManagedObject", (), tuple(schema.operations))
