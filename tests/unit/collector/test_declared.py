"""A property whose value is not of its declared type ends the reading in a typed error."""

from __future__ import annotations

from typing import Any

import pytest

from vimlib import vim25
from vimlib._collector.declared import check_contents, check_task_result, check_updates
from vimlib.errors import InvalidFieldError
from vimlib.soap import Unknown

VM = vim25.VirtualMachine("1")


def content(path: str, value: Any) -> list[vim25.ObjectContent]:
    return [
        vim25.ObjectContent(obj=VM, propSet=[vim25.DynamicProperty(name=path, val=value)]),
    ]


GOOD = [
    ("name", "web"),
    ("runtime.powerState", "a word of a newer host"),
    ("config.hardware.numCPU", 2),
    ("config.hardware.device", [vim25.VirtualE1000(key=1), vim25.VirtualCdrom(key=2)]),
    ("config.hardware.device", []),
    ("config.hardware.device[4000]", vim25.VirtualE1000(key=1)),
    ("config.extraConfig", [vim25.OptionValue(key="a", value=1)]),
    ("recentTask", [vim25.Task("t")]),
    # References of other types occur: vcsim's Task.info.entity is a FileManager.
    ("recentTask", [VM]),
    ("parent", vim25.ManagedObject("x", kind="FutureEntity")),
    ("summary", vim25.VirtualMachineSummary()),  # type: ignore[call-arg]
    ("summary", Unknown("FutureSummary", "")),
    ("unheardOf", object()),
]
BAD = [
    ("name", 5, "string", "int"),
    ("name", ["web"], "string", "a list of str"),
    ("runtime.powerState", VM, "VirtualMachinePowerState", "VirtualMachine"),
    ("config.hardware.numCPU", "2", "int", "str"),
    ("config.hardware.numCPU", True, "int", "bool"),
    ("config.hardware.device", vim25.VirtualE1000(key=1), "a list of VirtualDevice", "VirtualE1000"),
    ("config.hardware.device", [vim25.VirtualE1000(key=1), 5], "a list of VirtualDevice", "a list of VirtualE1000, int"),
    ("recentTask", "haTask-1", "a list of Task", "str"),
    ("summary", vim25.OptionValue(key="a", value=1), "VirtualMachineSummary", "OptionValue"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), GOOD)
def test_a_value_of_the_declared_type_or_of_a_newer_one_passes(path: str, value: Any) -> None:
    for _ in range(2):  # and again, when it is remembered
        check_contents(content(path, value))


@pytest.mark.parametrize(("path", "value", "wanted", "actual"), BAD)
def test_a_value_of_another_type_is_refused(
    path: str, value: Any, wanted: str, actual: str
) -> None:
    for _ in range(2):
        with pytest.raises(InvalidFieldError) as caught:
            check_contents(content(path, value))
        assert (caught.value.type, caught.value.field) == ("VirtualMachine", path)
        assert caught.value.wanted == wanted
        assert sorted(caught.value.actual.split(", ")) == sorted(actual.split(", ")) or (
            caught.value.actual.startswith("a list of ")
        )


def test_an_update_is_checked_in_the_same_way_and_an_unset_property_passes() -> None:
    def update(value: Any) -> vim25.UpdateSet:
        change = vim25.PropertyChange(name="name", op="assign", val=value)
        item = vim25.ObjectUpdate(kind="modify", obj=VM, changeSet=[change])
        part = vim25.PropertyFilterUpdate(filter=vim25.PropertyFilter("f"), objectSet=[item])
        return vim25.UpdateSet(version="1", filterSet=[part])

    check_updates(update("web"))
    check_updates(update(None))
    with pytest.raises(InvalidFieldError, match=r"VirtualMachine\.name must be string, got int"):
        check_updates(update(5))


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("CreateSnapshot_Task", None),
        ("CreateSnapshot_Task", vim25.VirtualMachine("1")),
        ("CreateSnapshot_Task", "snapshot-1"),
        ("SearchDatastore_Task", "x"),
        ("SearchDatastoreSubFolders_Task", vim25.HostDatastoreBrowserSearchResults()),
        ("SearchDatastore_Task", Unknown("ResultsOfOthers", "")),
        ("SearchDatastoreSubFolders_Task", [Unknown("ResultsOfOthers", "")]),
    ],
)
def test_the_result_of_a_task_is_checked_by_its_method(method: str, result: Any) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        check_task_result(method, result, vim25.Task("t"))
    assert (caught.value.type, caught.value.field) == (method, "info.result")


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("CreateSnapshot_Task", vim25.VirtualMachineSnapshot("s")),
        ("SearchDatastore_Task", None),
        ("CreateVirtualDisk_Task", None),
        ("PowerOnVM_Task", None),
        ("", 5),
        ("Unheard_Task", 5),
    ],
)
def test_a_result_of_its_type_or_of_an_unknown_method_passes(method: str, result: Any) -> None:
    check_task_result(method, result, vim25.Task("t"))
