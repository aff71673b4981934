# mypy: disable-error-code="import-not-found,attr-defined"
"""Injected faults, as oslo.vmware meets them: on the simulated host alone, by its control endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulator.scenarios.sessions import SERVICE
from tests.simulator.stage import Stage, scenario


def order(stage: Stage, what: str, fault: str, **fields: Any) -> None:
    stage.client.control("order", method="PowerOnVM_Task", what=what, fault=fault, fields=fields)


def raises(kind: type[BaseException], function: Callable[..., Any], *args: Any) -> Any:
    try:
        function(*args)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def power_on(stage: Stage) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return what powers a new machine on, the second with a wait, by oslo.vmware without us."""
    session, vm = stage.client.session, stage.client.native(stage.create())

    def call() -> Any:
        return session.invoke_api(session.vim, "PowerOnVM_Task", vm)

    return call, lambda: session.wait_for_task(call())


def calls(stage: Stage, method: str) -> list[Any]:
    return stage.client.control("calls", method=method)["calls"]  # type: ignore[no-any-return]


@scenario("oslo")
def meets_another_task(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    call, _ = power_on(stage)
    order(stage, "fault", "TaskInProgress", task="Task:haTask-1")
    raises(exceptions.TaskInProgress, call)


@scenario("oslo")
def meets_an_unknown_fault(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    _, done = power_on(stage)
    order(stage, "task", "InsufficientMemoryResourcesFault", unreserved=1, requested=2)
    error = raises(exceptions.VimFaultException, done)
    assert "InsufficientMemoryResourcesFault" in error.fault_list


# The required fields of faults.
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


@scenario("oslo")
def meets_every_known_fault(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    _, done = power_on(stage)
    # An expired session it does not raise: it logs in again.
    known = set(exceptions._fault_classes_registry) - {"NotAuthenticated"}
    for name in sorted(known):
        fields = FIELDS.get(name, {"file": "[datastore1] x"})
        # A fault without fields in a task it takes for a text: its SOAP library looks at children alone.
        for what in ("fault", "task") if fields else ("fault",):
            order(stage, what, name, **fields)
            raises(exceptions.get_fault_class(name), done)
    assert len(known) >= 14
    calls_before = len(calls(stage, "PowerOnVM_Task"))
    done()  # every order was used up
    assert len(calls(stage, "PowerOnVM_Task")) == calls_before + 1


@scenario("oslo")
def reads_the_missing_permission(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    call, _ = power_on(stage)
    privilege = "VirtualMachine.Interact.PowerOn"
    order(stage, "fault", "NoPermission", object="VirtualMachine:1", privilegeId=privilege)
    assert raises(exceptions.NoPermissionException, call).details["privilegeId"] == privilege


@scenario("oslo")
def cancels_paging(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    stage.create()
    page = stage.client.helped("get_objects", "VirtualMachine", 1, ["name"])
    vim_util.cancel_retrieval(stage.client.vim, page)
    assert calls(stage, "CancelRetrievePropertiesEx")[-1]["fault"] is None


@scenario("oslo", apart="fault")
def logs_in_again_after_a_fault(stage: Stage) -> Any:
    before = len(calls(stage, "Login"))
    stage.client.control("expire", face="fault")
    assert stage.all("ResourcePool") == [stage.pool]
    assert len(calls(stage, "Login")) == before + 1


@scenario("oslo", apart="empty reply")
def logs_in_again_after_an_empty_reply(stage: Stage) -> Any:
    stage.client.control("expire", face="empty")
    found = stage.client.helped("get_objects", "ResourcePool", 100, ["name"])
    assert [item.propSet[0].val for item in found.objects] == ["Resources"]


@scenario("oslo", apart="missing set")
def logs_in_again_after_a_missing_set(stage: Stage) -> Any:
    pool = stage.pool
    stage.client.control("expire", face="missing")
    assert stage.get(pool, "name") == "Resources"


@scenario("oslo")
def gets_a_page_instead_of_a_reply(stage: Stage) -> Any:
    from oslo_vmware import exceptions

    stage.client.control("order", method="CurrentTime", what="html", times=None)
    service = stage.client.native(SERVICE)
    raises(exceptions.VMwareDriverException, stage.client.vim.CurrentTime, service)
    stage.client.control("clear")
