from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.soap.cases import ANY as OPTIONS
from tests.unit.soap.cases import any_reply
from vimdriver._cli.jsonio import (
    arguments,
    from_json,
    parse_json,
    parse_kind,
    parse_reference,
    to_json,
)
from vimlib import vim25
from vimlib.errors import EncodeError, UsageError
from vimlib.model import Enumeration, Field, wire_fields
from vimlib.soap import Typed, Unknown, decode_response, encode_request

BINDING = vim25.BINDING

# Fields of every kind in the API, and the most used types.
SAMPLE = (
    "VirtualMachineConfigSpec", "VirtualDeviceConfigSpec", "VirtualDisk", "VirtualVmxnet3",
    "PropertyFilterSpec", "TaskInfo", "LocalizedMethodFault", "OptionValue", "HostNetworkInfo",
    "HostDigestInfo", "ObjectContent", "Event", "AboutInfo", "EventFilterSpec", "PerfMetricSeries",
    "HostDatastoreBrowserSearchSpec", "CustomizationSpec", "KeyAnyValue", "InvalidPowerState",
    "HostTpmAttestationReport", "HostNumericSensorInfo", "ClusterConfigSpecEx",
)  # fmt: skip

LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=5),
    "anyURI": st.text(max_size=5),
    "boolean": st.booleans(),
    "byte": st.integers(-128, 127),
    "short": st.integers(-(2**15), 2**15 - 1),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "dateTime": st.datetimes(timezones=st.sampled_from([UTC])),
    "base64Binary": st.binary(max_size=5),
}
ANY = st.one_of(
    st.text(max_size=5), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(),
    LEAVES["dateTime"], st.binary(max_size=5),
    st.builds(Typed, st.just("xsd:short"), LEAVES["short"]),
    st.builds(Typed, st.just("ArrayOfString"), st.lists(st.text(max_size=3), max_size=2)),
    st.builds(Typed, st.just("VirtualMachinePowerState"), st.just("poweredOn")),
)  # fmt: skip


def values_of(field: Field, depth: int) -> st.SearchStrategy[Any]:
    one = one_of_type(field, depth)
    return st.lists(one, min_size=1, max_size=2) if field.array else one


def one_of_type(field: Field, depth: int) -> st.SearchStrategy[Any]:
    if field.type in LEAVES:
        return LEAVES[field.type]
    if field.type == "ref":
        kind = parse_kind(field.referent or "VirtualMachine", BINDING)
        return st.builds(kind, st.text(min_size=1, max_size=4))
    if field.type == "anyType":
        return (
            ANY
            if depth <= 0
            else st.one_of(
                ANY, st.lists(ANY, min_size=1, max_size=2), objects("OptionValue", depth - 1)
            )
        )
    cls = BINDING.find(field.type)
    assert cls is not None, field.type
    if issubclass(cls, Enumeration):
        return st.sampled_from(cls.__values__()) if cls.__values__() else st.text(min_size=1)
    return objects(field.type, depth - 1)


@st.composite
def objects(draw: st.DrawFn, name: str, depth: int) -> Any:
    cls = BINDING.find(name)
    assert cls is not None
    fields = wire_fields(cls)
    if depth <= 0:
        fields = tuple(f for f in fields if f.type in LEAVES)
    chosen = draw(st.lists(st.sampled_from(fields), max_size=5, unique=True)) if fields else []
    return cls(**{f.attribute: draw(values_of(f, depth)) for f in chosen})


def same(left: Any, right: Any) -> bool:
    """Equality in which NaN equals itself."""
    return repr(to_json(left)) == repr(to_json(right)) and type(left) is type(right)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SAMPLE).flatmap(lambda name: objects(name, 3)))
def test_written_values_are_read_back(value: Any) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    field = Field("value", "value", type(value).__name__)
    again = from_json(json.loads(text), field, BINDING)
    assert same(again, value)


def test_a_finite_object_comes_back_equal() -> None:
    spec = vim25.VirtualMachineConfigSpec(
        name="web",
        numCPUs=2,
        memoryMB=512,
        extraConfig=[vim25.OptionValue(key="machine.id", value="a;b#")],
        deviceChange=[
            vim25.VirtualDeviceConfigSpec(
                operation="add",
                device=vim25.VirtualE1000(
                    key=-1,
                    backing=vim25.VirtualEthernetCardNetworkBackingInfo(
                        deviceName="VM Network", network=vim25.Network("n-1")
                    ),
                ),
            )
        ],
    )
    document = to_json(spec)
    assert document["deviceChange"][0]["device"]["_typeName"] == "VirtualE1000"
    assert document["deviceChange"][0]["device"]["backing"]["network"] == {
        "_typeName": "ManagedObjectReference",
        "type": "Network",
        "value": "n-1",
    }
    method = BINDING.method("ReconfigVM_Task")
    assert method is not None
    again = arguments(method, {"spec": document})
    this = vim25.VirtualMachine("1")
    assert encode_request(method, this, again) == encode_request(method, this, {"spec": spec})


def test_the_type_name_may_be_left_out_and_a_reference_be_short() -> None:
    method = BINDING.method("CreateVM_Task")
    assert method is not None
    found = arguments(
        method,
        {
            "config": {"name": "web", "files": {"vmPathName": "[ds]"}},
            "pool": "ResourcePool:ha-root-pool",
        },
    )
    assert found["config"] == vim25.VirtualMachineConfigSpec(
        name="web", files=vim25.VirtualMachineFileInfo(vmPathName="[ds]")
    )
    assert found["pool"] == vim25.ResourcePool("ha-root-pool")


def test_a_python_keyword_keeps_its_wire_name() -> None:
    keyword = next(
        (cls, field)
        for name in BINDING.names()
        for cls in [BINDING.find(name)]
        if cls is not None and hasattr(cls, "_wire_")
        for field in wire_fields(cls)
        if field.attribute != field.name and field.type == "string" and not field.array
    )
    cls, field = keyword
    document = to_json(cls(**{field.attribute: "x"}))
    assert document == {"_typeName": cls.__name__, field.name: "x"}
    assert same(
        from_json(document, Field("v", "v", cls.__name__), BINDING), cls(**{field.attribute: "x"})
    )


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"spec": 5}, "spec"),
        ({"spec": {"name": 5}}, "spec.name"),
        ({"spec": {"nosuch": 5}}, "spec.nosuch"),
        ({"spec": {"numCPUs": True}}, "spec.numCPUs"),
        ({"spec": {"numCPUs": 1.5}}, "spec.numCPUs"),
        ({"spec": {"_typeName": "VirtualDisk"}}, "spec"),
        ({"spec": {"_typeName": "NoSuchType"}}, "spec"),
        ({"spec": {"_typeName": 7}}, "spec"),
        ({"spec": {"deviceChange": {}}}, "spec.deviceChange"),
        ({"spec": {"deviceChange": [{}, 1]}}, "spec.deviceChange[1]"),
        ({"spec": {"extraConfig": [{"value": {}}]}}, "spec.extraConfig[0].value"),
        ({"spec": {"extraConfig": [{"value": {"_typeName": "short", "_value": "x"}}]}}, "spec.extraConfig[0].value"),
        ({"spec": {"extraConfig": [{"value": {"_typeName": "short", "_value": 1, "x": 1}}]}}, "spec.extraConfig[0].value"),
        ({"spec": {"changeTrackingEnabled": "yes"}}, "spec.changeTrackingEnabled"),
        ({"spec": {"createDate": "yesterday"}}, "spec.createDate"),
        ({"nosuch": 1}, "nosuch"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_refused_with_its_path(document: Any, path: str) -> None:
    method = BINDING.method("ReconfigVM_Task")
    assert method is not None
    with pytest.raises(EncodeError) as caught:
        arguments(method, document)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "reference",
    [
        5,
        "12",
        ":1",
        "X:",
        {},
        {"type": "X"},
        {"type": 1, "value": "1"},
        {"type": "X", "value": "1", "z": 1},
    ],
)
def test_a_reference_has_type_and_id(reference: Any) -> None:
    method = BINDING.method("CreateVM_Task")
    assert method is not None
    with pytest.raises(EncodeError):
        arguments(method, {"pool": reference})


def test_a_deep_document_is_refused() -> None:
    document: Any = {}
    for _ in range(300):
        document = {"_typeName": "OptionValue", "key": "k", "value": document}
    with pytest.raises(EncodeError, match="nested too deep"):
        from_json(document, Field("v", "v", "OptionValue"), BINDING)
    with pytest.raises(UsageError):
        parse_json("[" * 100_000, "it")


def test_arguments_are_an_object_or_absent() -> None:
    method = BINDING.method("CurrentTime")
    assert method is not None
    assert arguments(method, None) == {}
    with pytest.raises(EncodeError, match="JSON object"):
        arguments(method, [])


@pytest.mark.parametrize("text", ["", "{", "nil", "{'a': 1}"])
def test_invalid_json_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="the arguments must be JSON"):
        parse_json(text, "the arguments")


def test_leaf_values_have_a_json_form() -> None:
    when = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert to_json([True, 1, "x", None, 1.5, b"\0", when]) == [
        True, 1, "x", None, 1.5, "AA==", "2026-11-24T12:00:00+00:00",
    ]  # fmt: skip
    assert to_json([math.inf, -math.inf, math.nan]) == ["INF", "-INF", "NaN"]
    assert from_json("2026-11-24T12:00:00Z", Field("v", "v", "dateTime"), BINDING) == when


@pytest.mark.parametrize(
    ("kind", "document", "value"),
    [
        ("double", "INF", math.inf),
        ("float", 2, 2.0),
        ("float", 1.5, 1.5),
        ("base64Binary", "AA==", b"\0"),
        ("anyType", {"_typeName": "int", "_value": 5}, Typed("xsd:int", 5)),
        (
            "anyType",
            {"_typeName": "ManagedObjectReference", "type": "Folder", "value": "f"},
            vim25.Folder("f"),
        ),
        ("VirtualMachinePowerState", "poweredOn", "poweredOn"),
    ],
)
def test_plain_values_are_read(kind: str, document: Any, value: Any) -> None:
    assert from_json(document, Field("v", "v", kind), BINDING) == value


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("double", "huge"), ("double", True), ("double", 10**400), ("base64Binary", "%"),
        ("base64Binary", 1), ("dateTime", 1), ("string", 1), ("anyType", None), ("anyType", [{}]),
        ("anyType", {"_typeName": "NoSuch", "_value": 1}), ("NoSuch", {}),
        ("VirtualMachinePowerState", 1), ("ref", "x"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused(kind: str, document: Any) -> None:
    with pytest.raises(EncodeError):
        from_json(document, Field("v", "v", kind), BINDING)


def test_a_reference_to_an_unknown_type_is_kept() -> None:
    kind = "QuantumVirtualMachine"
    found = from_json(f"{kind}:1", Field("v", "v", "ref", "VirtualMachine"), BINDING)
    assert isinstance(found, vim25.VirtualMachine)
    assert found.moref == (kind, "1")


def test_an_unknown_value_is_shown() -> None:
    value = Unknown("New", "", (("a", "1"), ("a", "2"), ("b", Unknown("", "x"))))
    assert to_json(value) == {
        "_typeName": "New",
        "a": ["1", "2"],
        "b": {"_typeName": "", "_value": "x"},
    }


def test_values_of_any_type_keep_their_type_and_others_are_plain() -> None:
    option = vim25.OptionValue(key="k", value=Typed("xsd:long", 5))
    document = {"_typeName": "OptionValue", "key": "k", "value": {"_typeName": "long", "_value": 5}}
    assert to_json(option) == document
    again = from_json(document, Field("v", "v", "OptionValue"), BINDING)
    assert again.value.type == "xsd:long"
    for value in (Typed("xsd:long", 5), Typed("VirtualMachinePowerState", "on"), Typed("", "t")):
        assert to_json(value) == value
        assert type(to_json(value)) in (int, str)


def test_an_object_of_an_unknown_type_has_its_name_and_all_fields() -> None:
    xml = (
        '<value xsi:type="ArrayOfAction"><Action xsi:type="Dream"><sheep>7</sheep>'
        "<kind><a>1</a></kind></Action></value>"
    )
    value = decode_response(OPTIONS, any_reply(xml))[0].value
    assert to_json(value) == [
        {"_typeName": "Dream", "sheep": "7", "kind": {"_typeName": "", "a": "1"}}
    ]


def test_a_fault_keeps_the_name_from_the_host() -> None:
    fault = vim25.InvalidPowerState(requestedState="poweredOn", existingState="poweredOn")
    assert to_json(fault) == {
        "_typeName": "InvalidPowerState",
        "requestedState": "poweredOn",
        "existingState": "poweredOn",
    }


def test_references_are_parsed_from_the_command_line() -> None:
    assert parse_reference("VirtualMachine:12", BINDING) == vim25.VirtualMachine("12")
    assert parse_reference("Datastore:a:b", BINDING) == vim25.Datastore("a:b")
    for wrong in ("VirtualMachine", "VirtualMachine:", "NoSuch:1", "VirtualDisk:1", ""):
        with pytest.raises(UsageError):
            parse_reference(wrong, BINDING)


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError):
        to_json(object())
