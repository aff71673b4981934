"""Write the sidecar: facts that a WSDL cannot express, as JSON. README.md describes its format.

A key whose value would be false, null or empty is left out, except where README.md
requires it. The text is laid out a line an item, so that a diff names what changed.
"""

import json
from collections.abc import Mapping

from wsdl.schema import SchemaField, SchemaManaged, SchemaMethod, SchemaStruct, Service

FORMAT = 1

_LINE = 150


def sidecar(service: Service, header: str, source: Mapping[str, object]) -> str:
    """The text of the sidecar; `header` and `source` name its origin."""
    document = {
        "about": {"format": FORMAT, "note": header, "source": source, "api": service.api},
        "versions": [
            {
                "id": version.id,
                "vmodl": version.name,
                "urn": f"urn:{version.namespace}" + ("" if version.legacy else f"/{version.id}"),
            }
            for version in service.versions
        ],
        "managed": {managed.name: _managed(managed) for managed in service.managed},
        "data": {struct.name: _struct(struct) for struct in service.structs if not struct.fault},
        "faults": {struct.name: _struct(struct) for struct in service.structs if struct.fault},
        "enums": {enum.name: {"vmodl": enum.vmodl} for enum in service.enums},
    }
    return _layout(document, indent="") + "\n"


def _value(field: SchemaField) -> dict[str, object]:
    """The type of a value, wherever it stands."""
    keys: dict[str, object] = {"type": field.type}
    if field.ref:
        keys["ref"] = field.ref
    if field.link:
        keys["link"] = field.link
    for name in ("array", "optional", "secret"):
        if getattr(field, name):
            keys[name] = True
    return keys


def _field(field: SchemaField) -> dict[str, object]:
    return {"name": field.name, **_value(field), "since": field.since}


def _method(method: SchemaMethod) -> dict[str, object]:
    return {
        "name": method.name,
        "short": method.short,
        "since": method.since,
        "params": [_field(param) for param in method.params],
        "returns": _value(method.returns) if method.returns else None,
        **({"task": True} if method.task else {}),
        "task_result": _value(method.task_result) if method.task_result else None,
        "faults": list(method.faults),
        "privilege": method.privilege,
    }


def _managed(managed: SchemaManaged) -> dict[str, object]:
    return {
        "vmodl": managed.vmodl,
        "base": managed.base,
        "since": managed.since,
        "properties": [_field(item) for item in managed.properties],
        "methods": [_method(method) for method in managed.methods],
    }


def _struct(struct: SchemaStruct) -> dict[str, object]:
    keys: dict[str, object] = {"vmodl": struct.vmodl}
    refs = {field.name: field.ref for field in struct.fields if field.ref}
    links = {field.name: field.link for field in struct.fields if field.link}
    if refs:
        keys["refs"] = refs
    if links:
        keys["links"] = links
    return keys


def _layout(value: object, indent: str, used: int = 0) -> str:
    """JSON with each container on one line if it fits behind `used` characters, else one item per line."""
    flat = json.dumps(value)
    if len(indent) + used + len(flat) <= _LINE or not isinstance(value, dict | list):
        return flat
    inner = indent + " "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _layout(item, inner) for item in value) + f"\n{indent}]"
    keys = {f"{json.dumps(key)}: ": item for key, item in value.items()}
    items = (inner + key + _layout(item, inner, len(key)) for key, item in keys.items())
    return "{\n" + ",\n".join(items) + f"\n{indent}}}"
