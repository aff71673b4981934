from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Mapping
from typing import Any

import pytest

from vimlib import vim25
from vimlib.errors import UnboundError, VimlibError
from vimlib.model import ManagedObject, Method, parse_fields, parse_version
from vimlib.model._wire import attribute_name


class Recorder:
    host = "esx1:443"

    def __init__(self) -> None:
        self.calls: list[tuple[str, ManagedObject, Mapping[str, Any]]] = []

    async def invoke(
        self, method: Method[..., Any], this: ManagedObject, args: Mapping[str, Any]
    ) -> Any:
        self.calls.append((method.name, this, args))
        return "done"


def test_versions_compare_as_numbers() -> None:
    order = [
        "2.0",
        "2.5",
        "2.5u2",
        "4.0",
        "4.1",
        "5.5",
        "6.7",
        "6.7.1",
        "7.0.0.2",
        "8.0.3.0",
        "9.1.1.0",
    ]
    assert sorted([*order[5:], *order[:5]], key=parse_version) == order
    assert parse_version("7.0") == parse_version("7.0.0.0")
    for text in ("banana", "", "8.x"):
        with pytest.raises(ValueError, match="invalid API version"):
            parse_version(text)


def test_wire_notation() -> None:
    key, backing, password, tag = parse_fields(
        "key:int! backing:Info password:string~ tag:ref(Tag)*@5.0"
    )
    assert (key.type, key.required, key.array) == ("int", True, False)
    assert (backing.type, backing.required) == ("Info", False)
    assert password.secret
    assert (tag.type, tag.referent, tag.array, tag.since) == ("ref", "Tag", True, "5.0")
    with pytest.raises(ValueError):
        parse_fields("key")
    assert [attribute_name(n) for n in ("from", "self", "name")] == ["from_", "self_", "name"]
    odd = ("low-power", "a.b c", "2x", "", "-")
    assert [attribute_name(n) for n in odd] == ["low_power", "a_b_c", "_2x", "_", "_"]


def test_a_bound_proxy_calls_and_an_unbound_one_refuses() -> None:
    recorder = Recorder()
    folder = vim25.Folder("group-v3", invoker=recorder)
    spec = vim25.VirtualMachineConfigSpec(name="a")
    pool = vim25.ResourcePool("resgroup-1")
    assert asyncio.run(folder.CreateVM_Task(spec, pool)) == "done"
    assert recorder.calls == [("CreateVM_Task", folder, {"config": spec, "pool": pool})]
    with pytest.raises(UnboundError):
        asyncio.run(vim25.Folder("group-v3").CreateVM_Task(spec, pool))


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2, 3), {}),  # optional ones go by keyword
        ((1,), {}),  # a required one is missing
        ((1, 2), {"bogus": 3}),
        ((1, 2), {"pool": 3}),  # twice
        ((None, 2), {}),
    ],
)
def test_arguments_are_mapped_as_python_would(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        vim25.Folder.CreateVM_Task.arguments(args, kwargs)


def test_a_required_array_may_be_empty_and_must_be_there() -> None:
    method = vim25.PropertyCollector.RetrieveProperties
    assert method.arguments((), {"specSet": []}) == {"specSet": []}
    with pytest.raises(TypeError, match="requires the argument 'specSet'"):
        method.arguments((), {})


def test_proxies_are_equal_by_type_id_and_host() -> None:
    one, two = Recorder(), Recorder()
    two.host = "esx2:443"
    vm = vim25.VirtualMachine
    assert vm("12") == vm("12")
    assert vm("12") != vm("13")
    assert vm("12") != vim25.HostSystem("12")
    assert vm("12", invoker=one) == vm("12", invoker=one)
    assert vm("12", invoker=one) != vm("12", invoker=two)
    assert vm("12", invoker=one) != vm("12")
    assert len({vm("12"), vm("12"), vm("13")}) == 2
    assert vm("12").moref == ("VirtualMachine", "12")
    assert repr(vm("12")) == "<VirtualMachine 12>"
    public = [n for n in dir(vm("12")) if not n.startswith("_")]
    assert set(public) - {"moref"} <= set(vim25.BINDING.method_names())


def test_a_proxy_travels_without_its_client() -> None:
    bound = vim25.VirtualMachine("12", invoker=Recorder(), kind="VirtualMachineNG")
    for twin in (pickle.loads(pickle.dumps(bound)), copy.copy(bound)):
        assert twin.moref == ("VirtualMachineNG", "12")
        with pytest.raises(UnboundError):
            twin.PowerOnVM_Task()


def test_faults_are_matched_by_ancestor_and_compare_by_value() -> None:
    fault = vim25.InvalidPowerState(existingState="poweredOn", requestedState="poweredOff")
    assert isinstance(fault, vim25.VimFault)
    assert isinstance(fault, vim25.MethodFault)
    assert isinstance(fault, VimlibError)
    assert fault.outcome == "refused"
    assert fault == vim25.InvalidPowerState(existingState="poweredOn", requestedState="poweredOff")
    assert fault != vim25.InvalidPowerState(existingState="poweredOff")
    assert len({fault, fault.copy(), vim25.InvalidPowerState(existingState="poweredOff")}) == 2
    assert fault.faultMessage == []
    with pytest.raises(TypeError):
        vim25.InvalidPowerState(bogus=1)  # type: ignore[call-arg]


def test_a_fault_found_as_data_is_raised_as_a_copy() -> None:
    fault = vim25.FileNotFound(file="[ds] a")
    fault.localized_message = "line\nforged \x1b[31m" + "x" * 5000
    for twin in (fault.copy(), pickle.loads(pickle.dumps(fault))):
        assert twin == fault
        assert twin is not fault
        assert twin.localized_message == fault.localized_message
    fault.add_note("first")
    fault.copy().add_note("of the copy")
    assert fault.__notes__ == ["first"]
    text = str(fault)
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 400


def test_transient_faults_say_so() -> None:
    assert vim25.TaskInProgress().retryable  # type: ignore[call-arg]
    assert not vim25.FileNotFound(file="x").retryable


def test_repr_is_short_and_shows_what_is_set() -> None:
    spec = vim25.VirtualMachineConfigSpec(name="a" * 500, deviceChange=[vim25.VirtualDeviceConfigSpec(device=vim25.VirtualDisk(key=1))] * 9)  # type: ignore[call-arg]  # fmt: skip
    text = repr(spec)
    assert "9 in all" in text
    assert len(text) < 500
    assert repr(vim25.VirtualMachineConfigSpec()) == "VirtualMachineConfigSpec()"
    circle = vim25.TraversalSpec(type="Folder", path="childEntity")
    circle.selectSet.append(circle)
    try:
        assert repr(circle) == "TraversalSpec(type='Folder', path='childEntity', selectSet=[...])"
        values: list[Any] = [1]
        values.append(values)
        assert repr(vim25.OptionValue(key="k", value=values)).endswith("value=[1, [1, [...]]])")
    finally:
        circle.selectSet.clear()  # nothing else would free it


def test_a_property_is_no_attribute_and_the_error_says_how_to_read_it() -> None:
    vm: Any = vim25.VirtualMachine("1")
    with pytest.raises(AttributeError, match=r"await client\.get\(obj, 'name'\)"):
        vm.name  # noqa: B018 - reading it is the test
    assert not hasattr(vm, "_nothing")
