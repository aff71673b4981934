from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulator.conftest import Host
from tests.simulator.vmomi import GetWsdlMethod, vim, vmodl
from vimlib.simulator._service import tasks

pytestmark = pytest.mark.slow


def about(vm: Any, recursion: str = "self") -> Any:
    entity = vim.event.EventFilterSpec.ByEntity(entity=vm, recursion=recursion)
    return vim.event.EventFilterSpec(entity=entity)


def kinds(events: Any) -> list[str]:
    return [type(event).__name__.rpartition(".")[2] for event in events]


def found(host: Host, spec: Any) -> list[Any]:
    """Return the events of a filter, oldest first."""
    collector = host.content.eventManager.CreateCollectorForEvents(spec)
    collector.RewindCollector()
    events = list(collector.ReadNextEvents(1000))
    collector.DestroyCollector()
    return events


def test_the_life_of_a_machine(shared: Host) -> None:
    vm = shared.create("eventful")
    shared.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="x")))
    shared.done(vm.PowerOnVM_Task())
    shared.done(vm.SuspendVM_Task())
    shared.done(vm.PowerOnVM_Task())
    shared.done(vm.PowerOffVM_Task())
    shared.done(vm.Rename_Task("renamed eventful"))
    events = found(shared, about(vm))
    assert kinds(events) == [
        "VmCreatedEvent",
        "VmReconfiguredEvent",
        "VmPoweredOnEvent",
        "VmSuspendedEvent",
        "VmResumingEvent",
        "VmPoweredOffEvent",
        "VmRenamedEvent",
    ]
    first = events[0]
    assert first.vm.vm == vm
    assert first.vm.name == "eventful"
    assert first.userName == "root"
    assert first.host.host == shared.system
    assert first.fullFormattedMessage == "Created virtual machine eventful on localhost.localdomain"
    assert [event.key for event in events] == sorted(event.key for event in events)


def test_filters_by_type_and_time(shared: Host) -> None:
    vm = shared.create()
    shared.done(vm.PowerOnVM_Task())
    shared.done(vm.PowerOffVM_Task())
    spec = about(vm)
    spec.eventTypeId = ["VmPoweredOnEvent"]
    assert kinds(found(shared, spec)) == ["VmPoweredOnEvent"]
    spec = about(vm)
    spec.type = [vim.event.VmEvent]
    assert len(found(shared, spec)) == 3
    spec = about(vm)
    spec.time = vim.event.EventFilterSpec.ByTime(beginTime=shared.si.CurrentTime())
    assert found(shared, spec) == []
    spec = about(shared.content.rootFolder, "all")
    assert len(found(shared, spec)) >= 3


def test_a_collector_reads_both_ways(shared: Host) -> None:
    vm = shared.create()
    for number in range(5):
        shared.done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation=str(number))))
    collector = shared.content.eventManager.CreateCollectorForEvents(about(vm))
    assert len(collector.latestPage) == 6
    assert kinds(collector.latestPage)[-1] == "VmCreatedEvent"
    collector.RewindCollector()
    assert kinds(collector.ReadNextEvents(2)) == ["VmCreatedEvent", "VmReconfiguredEvent"]
    assert len(collector.ReadNextEvents(10)) == 4
    assert collector.ReadNextEvents(10) == []
    collector.ResetCollector()
    back = collector.ReadPreviousEvents(10)
    assert kinds(back)[-1] == "VmCreatedEvent"
    collector.SetCollectorPageSize(2)
    assert len(collector.latestPage) == 2
    with pytest.raises(vmodl.fault.InvalidArgument):
        collector.ReadNextEvents(0)
    collector.DestroyCollector()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        collector.ReadNextEvents(1)


def test_a_user_logs_an_event(shared: Host) -> None:
    vm = shared.create()
    shared.content.eventManager.LogUserEvent(vm, "hello")
    event = found(shared, about(vm))[-1]
    assert type(event).__name__.endswith("GeneralUserEvent")
    assert event.message == "hello"


@pytest.mark.parametrize("method", sorted({*tasks._OWN_NAMES, *tasks._OWNED_NAMES}))
def test_tasks_are_described_by_the_names_that_pyvmomi_has_for_them(method: str) -> None:
    entity = None if method in tasks._OWNED_NAMES else SimpleNamespace(kind="X")
    described = tasks._description(method, entity)  # type: ignore[arg-type]
    owner, _, name = described.rpartition(".")
    info = GetWsdlMethod("urn:vim25", method).info
    assert name == info.name[:1].lower() + info.name[1:]
    if entity is None:
        assert f"vim.{owner}" == info.type.__name__
