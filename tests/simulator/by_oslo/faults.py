# mypy: disable-error-code="import-not-found,attr-defined"
"""Faults on order: every one that oslo.vmware knows, and some that it does not."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_oslo.stage import ORDERS, Stage, raises, scenario


def order(stage: Stage, what: str, fault: str, **fields: Any) -> None:
    stage.control("order", method="PowerOnVM_Task", what=what, fault=fault, fields=fields)


@scenario(here_only=ORDERS)
def meets_another_task(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    order(stage, "fault", "TaskInProgress", task="Task:haTask-1")
    raises(exceptions.TaskInProgress, stage.call, "PowerOnVM_Task", stage.create())


@scenario(here_only=ORDERS)
def meets_a_fault_that_it_does_not_know(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    vm = stage.create()
    order(stage, "task", "InsufficientMemoryResourcesFault", unreserved=1, requested=2)
    error = raises(exceptions.VimFaultException, stage.done, "PowerOnVM_Task", vm)
    assert "InsufficientMemoryResourcesFault" in error.fault_list


# What a fault must have beside its name.
FIELDS: dict[str, dict[str, Any]] = {
    "DuplicateName": {"name": "x", "object": "VirtualMachine:1"},
    "InvalidPowerState": {"requestedState": "poweredOn", "existingState": "poweredOn"},
    "InvalidProperty": {"name": "no.such"},
    "ManagedObjectNotFound": {"obj": "VirtualMachine:1"},
    "NoDiskSpace": {"file": "[datastore1] x", "datastore": "datastore1"},
    "NoPermission": {"object": "VirtualMachine:1", "privilegeId": "System.View"},
    "TaskInProgress": {"task": "Task:haTask-1"},
    "ToolsUnavailable": {},
    "AlreadyExists": {"name": "x"},
}


@scenario(here_only=ORDERS)
def meets_every_fault_that_it_knows(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    vm = stage.create()
    # An expired session it does not raise: it logs in again.
    known = set(exceptions._fault_classes_registry) - {"NotAuthenticated"}
    for name in sorted(known):
        fields = FIELDS.get(name, {"file": "[datastore1] x"})
        # A fault without fields in a task it takes for a text: its SOAP library looks at children alone.
        for what in ("fault", "task") if fields else ("fault",):
            order(stage, what, name, **fields)
            raises(exceptions.get_fault_class(name), stage.done, "PowerOnVM_Task", vm)
    assert len(known) >= 14
    assert stage.read(vm, "runtime.powerState") == "poweredOff"


@scenario(here_only=ORDERS)
def is_told_which_permission_is_missing(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    vm = stage.create()
    privilege = "VirtualMachine.Interact.PowerOn"
    order(stage, "fault", "NoPermission", object="VirtualMachine:1", privilegeId=privilege)
    error: Any = raises(exceptions.NoPermissionException, stage.call, "PowerOnVM_Task", vm)
    assert error.details["privilegeId"] == privilege
