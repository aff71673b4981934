from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vimlib import vim25
from vimlib.simulator._assemble import load_handlers
from vimlib.simulator._core.handlers import HANDLERS
from vimlib.simulator._core.objects import SimObject, declared
from vimlib.simulator._properties.internal_api import METHODS
from vimlib.simulator._protocol.dispatch import Interrupted
from vimlib.soap import decode_response, encode_request


def kinds_below(cls: type[SimObject]) -> set[str]:
    return set(declared(cls.kind).kinds).union(*(kinds_below(sub) for sub in cls.__subclasses__()))


def test_every_handled_method_is_one_of_its_type() -> None:
    load_handlers()
    assert len(HANDLERS) > 140
    for name, handlers in HANDLERS.items():
        if name == "Fetch" or name in METHODS:  # not in the public interface description
            continue
        method = vim25.BINDING.method(name)
        assert method is not None, name
        for cls, _ in handlers:
            assert method.owner.__name__ in kinds_below(cls), (name, cls)


async def test_the_password_is_in_no_record(make: Callable[..., Any]) -> None:
    call = await make()
    assert call.esx.credentials.password not in repr([record.args for record in call.esx.call_log])


async def test_the_call_log_keeps_the_latest(make: Callable[..., Any]) -> None:
    call = await make(call_log_limit=3)
    log = call.esx.call_log
    assert [record.method for record in log] == ["RetrieveServiceContent", "Login"]
    instance = vim25.ServiceInstance("ServiceInstance")
    for _ in range(2):
        await call(vim25.ServiceInstance.CurrentTime, instance)
    assert [record.method for record in log] == ["Login", "CurrentTime", "CurrentTime"]
    assert log.dropped == 1
    log.limit = 1
    await call(vim25.ServiceInstance.RetrieveServiceContent, instance)
    assert [record.method for record in log] == ["RetrieveServiceContent"]
    assert log.dropped == 4
    with pytest.raises(ValueError, match="call_log_limit"):
        call.esx.__class__(call_log_limit=-1)


async def test_a_rule_applies_to_the_nth_call(make: Callable[..., Any]) -> None:
    call = await make()
    esx = call.esx
    instance = vim25.ServiceInstance("ServiceInstance")
    rule = esx.faults.fail("CurrentTime", vim25.HostCommunication(), nth=2, times=2)
    await call(vim25.ServiceInstance.CurrentTime, instance)
    for _ in range(2):
        with pytest.raises(vim25.HostCommunication):
            await call(vim25.ServiceInstance.CurrentTime, instance)
    await call(vim25.ServiceInstance.CurrentTime, instance)
    assert rule.spent
    assert esx.faults.rules == []
    assert [record.fault for record in esx.calls("CurrentTime")] == [
        None,
        "HostCommunication",
        "HostCommunication",
        None,
    ]


async def test_a_dropped_call_is_not_run(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    [machine] = call.esx.machines.values()
    call.esx.faults.add("UnregisterVM", "reset")
    with pytest.raises(Interrupted):
        await call.raw(encode_request(vim25.VirtualMachine.UnregisterVM, machine.ref, {}))
    assert machine.alive


async def test_a_method_of_another_type(make: Callable[..., Any]) -> None:
    call = await make()
    method = vim25.VirtualMachine.PowerOnVM_Task
    body = encode_request(method, vim25.VirtualMachine("ha-host"), {})
    answer = await call.raw(body.replace(b'type="VirtualMachine"', b'type="HostSystem"'))
    with pytest.raises(vim25.MethodNotFound):
        decode_response(method, answer.body)


async def test_a_fault_that_cannot_be_encoded_gets_a_reply(
    make: Callable[..., Any],
) -> None:
    call = await make()
    unfit: Any = vim25.TaskInProgress
    call.esx.faults.fail("CurrentTime", unfit())  # it needs a task
    with pytest.raises(vim25.SystemError):
        await call(vim25.ServiceInstance.CurrentTime, vim25.ServiceInstance("ServiceInstance"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(at=st.integers(0, 2000), change=st.binary(max_size=12))
async def test_changed_requests_are_answered(
    make: Callable[..., Any], at: int, change: bytes
) -> None:
    call = _callers.get("it")
    if call is None or call.esx._server is None:
        call = _callers["it"] = await make(vms=1)
    spec = vim25.VirtualMachineConfigSpec(
        name="x", memoryMB=4, extraConfig=[vim25.OptionValue(key="a", value="b")]
    )
    body = bytearray(
        encode_request(
            vim25.Folder.CreateVM_Task,
            vim25.Folder("ha-folder-vm"),
            {"config": spec, "pool": vim25.ResourcePool("ha-root-pool")},
        )
    )
    at %= len(body)
    body[at : at + len(change)] = change
    answer = await call.raw(bytes(body))
    assert answer.status in (200, 500)
    assert answer.body.startswith(b"<?xml")


_callers: dict[str, Any] = {}
