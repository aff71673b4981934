from __future__ import annotations

import json
from pathlib import Path

import pytest

from vimlib import vim25
from vimlib.model import (
    DataObject,
    Enumeration,
    ManagedObject,
    MethodFault,
    parse_version,
    wire_fields,
)
from vimlib.model._wire import PRIMITIVES

SIDECAR = json.loads((Path(__file__).parents[3] / "wsdl/vim25/vim25.json").read_text("utf-8"))
BINDING = vim25.BINDING
NAMES = sorted(BINDING.names())


def classes(base: type) -> list[str]:
    return [n for n in NAMES if isinstance(c := BINDING.find(n), type) and issubclass(c, base)]


def test_nothing_of_the_api_is_missing() -> None:
    assert sorted(classes(ManagedObject)) == sorted(SIDECAR["managed"])
    assert sorted(classes(DataObject)) == sorted(SIDECAR["data"])
    assert sorted(classes(MethodFault)) == sorted(SIDECAR["faults"])
    assert sorted(classes(Enumeration)) == sorted(SIDECAR["enums"])
    counted = (
        len(SIDECAR["managed"]),
        len(SIDECAR["data"]),
        len(SIDECAR["faults"]),
        len(SIDECAR["enums"]),
    )
    assert counted == (141, 2331, 699, 446)
    assert len(set(BINDING.method_names())) == 975


def test_struct_fields_are_the_wire_fields_in_their_order() -> None:
    for name in classes(DataObject):
        cls = BINDING.find(name)
        assert cls is not None
        assert tuple(f.attribute for f in wire_fields(cls)) == cls.__struct_fields__, name


def test_every_type_that_is_named_exists() -> None:
    for name in NAMES:
        for field in wire_fields(BINDING.find(name)):  # type: ignore[arg-type]
            assert field.type in PRIMITIVES or BINDING.find(field.type) is not None, (name, field)
            assert not field.referent or BINDING.find(field.referent) is not None, (name, field)


def test_methods_say_what_the_sidecar_says() -> None:
    for owner, facts in SIDECAR["managed"].items():
        for said in facts["methods"]:
            method = BINDING.method(said["name"])
            assert method is not None
            assert method.owner.__name__ == owner
            assert method.since == said["since"]
            assert [p.name for p in method.params] == [p["name"] for p in said["params"]]
            assert [p.required for p in method.params] == [
                not p.get("optional") for p in said["params"]
            ]
            assert (method.returns is None) == (said["returns"] is None)
            assert (method.task_result is None) == (said["task_result"] is None)
            assert method.faults == tuple(said["faults"])


def test_no_field_is_older_than_its_class() -> None:
    for name in NAMES:
        cls = BINDING.find(name)
        since = getattr(cls, "_since_", "") or "2.0"
        parse_version(since)
        own = cls.__dict__.get("_wire_", "")
        for field in wire_fields(cls)[-len(own.split()) :] if own else ():  # type: ignore[arg-type]
            assert not field.since or parse_version(field.since) > parse_version(since), (
                name,
                field,
            )


def test_an_area_is_loaded_when_it_is_used() -> None:
    assert BINDING.where["VirtualDisk"] == "_vm_device"
    assert BINDING.find("VirtualDisk") is vim25.VirtualDisk
    assert vim25.VirtualDisk.__module__ == "vimlib.vim25._vm_device"
    assert BINDING.find("NoSuchType") is None
    assert BINDING.method("NoSuchMethod") is None
    with pytest.raises(AttributeError):
        vim25.NoSuchType  # noqa: B018
    assert "VirtualDisk" in dir(vim25)


def test_secret_fields_are_masked_everywhere() -> None:
    spec = vim25.HostConnectSpec(hostName="esx1", userName="root", password="canary-1", force=False)
    assert "canary-1" not in repr(spec)
    assert "canary-1" not in str(list(spec.__rich_repr__()))  # type: ignore[attr-defined]
    assert "esx1" in repr(spec)
