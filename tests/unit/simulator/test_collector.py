from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from vimlib import vim25
from vimlib.simulator import ManualClock

Collector = vim25.PropertyCollector


def spec_of(obj: Any, *paths: str) -> Any:
    return vim25.PropertyFilterSpec(
        propSet=[vim25.PropertySpec(type=obj.moref[0], pathSet=list(paths))],
        objectSet=[vim25.ObjectSpec(obj=obj)],
    )


async def filtered(call: Any, obj: Any, path: str) -> Any:
    """Filter a property by the session's own collector; return the first update set."""
    collector = call.content.propertyCollector
    spec = spec_of(obj, path)
    await call(Collector.CreateFilter, collector, spec=spec, partialUpdates=False)
    return await call(Collector.WaitForUpdatesEx, collector, version="")


async def test_a_lost_update_is_repeated(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    [machine] = call.esx.machines.values()
    collector = call.content.propertyCollector
    first = await filtered(call, machine.ref, "config.annotation")
    again = await call(Collector.WaitForUpdatesEx, collector, version="")
    assert again.filterSet[0].objectSet[0].kind == "enter"
    machine.set_config(type(machine.config)(**{**_fields(machine.config), "annotation": "new"}))
    second = await call(Collector.WaitForUpdatesEx, collector, version=again.version)
    repeated = await call(Collector.WaitForUpdatesEx, collector, version=again.version)
    assert second == repeated
    with pytest.raises(vim25.InvalidCollectorVersion):
        await call(Collector.WaitForUpdatesEx, collector, version=first.version)


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


async def test_a_change_and_back_is_no_change(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    [machine] = call.esx.machines.values()
    collector = call.content.propertyCollector
    first = await filtered(call, machine.ref, "runtime.powerState")
    machine.set_power("poweredOn")
    machine.set_power("poweredOff")
    options = vim25.WaitOptions(maxWaitSeconds=0)
    assert (
        await call(Collector.WaitForUpdatesEx, collector, version=first.version, options=options)
        is None
    )


async def test_a_wait_ends_by_the_clock(make: Callable[..., Any], clock: ManualClock) -> None:
    call = await make(clock=clock)
    collector = call.content.propertyCollector
    host = vim25.HostSystem("ha-host")
    first = await filtered(call, host, "name")
    options = vim25.WaitOptions(maxWaitSeconds=60)
    wait = asyncio.create_task(
        call(Collector.WaitForUpdatesEx, collector, version=first.version, options=options)
    )
    for _ in range(20):
        await asyncio.sleep(0)
    await clock.advance(59)
    assert not wait.done()
    await clock.advance(2)
    assert await wait is None


async def test_a_newer_wait_takes_the_place_of_one_that_hangs(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    collector = call.content.propertyCollector
    host = vim25.HostSystem("ha-host")
    first = await filtered(call, host, "name")
    hung = asyncio.create_task(call(Collector.WaitForUpdatesEx, collector, version=first.version))
    await asyncio.sleep(0.01)
    options = vim25.WaitOptions(maxWaitSeconds=0)
    assert (
        await call(Collector.WaitForUpdatesEx, collector, version=first.version, options=options)
        is None
    )
    with pytest.raises(vim25.RequestCanceled):
        await hung


async def test_filters_leave_no_watchers_behind(make: Callable[..., Any]) -> None:
    call = await make(vms=2)
    registry = call.esx.registry
    collector = call.content.propertyCollector
    view = await call(
        vim25.ViewManager.CreateContainerView, call.content.viewManager,
        container=call.content.rootFolder, type=["VirtualMachine"], recursive=True,
    )  # fmt: skip
    walk = vim25.TraversalSpec(name="v", type="ContainerView", path="view", skip=False)
    spec = vim25.PropertyFilterSpec(
        propSet=[vim25.PropertySpec(type="VirtualMachine", pathSet=["name"])],
        objectSet=[vim25.ObjectSpec(obj=view, skip=True, selectSet=[walk])],
    )
    made = await call(Collector.CreateFilter, collector, spec=spec, partialUpdates=False)
    assert any(obj.watchers for obj in registry.objects.values())
    await call(vim25.PropertyFilter.DestroyPropertyFilter, made)
    await call(vim25.View.DestroyView, view)
    assert not any(obj.watchers for obj in registry.objects.values())
    bad = spec_of(vim25.HostSystem("ha-host"), "nonsense")
    with pytest.raises(vim25.InvalidProperty):
        await call(Collector.CreateFilter, collector, spec=bad, partialUpdates=False)
    assert not any(obj.watchers for obj in registry.objects.values())


async def test_the_objects_of_a_session_end_with_it(make: Callable[..., Any]) -> None:
    call = await make(vms=2)
    registry = call.esx.registry
    before = set(registry.objects)
    await call(vim25.ViewManager.CreateListView, call.content.viewManager)
    made = await call(Collector.CreatePropertyCollector, call.content.propertyCollector)
    await call(
        Collector.CreateFilter,
        made,
        spec=spec_of(vim25.HostSystem("ha-host"), "name"),
        partialUpdates=False,
    )
    assert set(registry.objects) > before
    call.esx.expire_sessions()
    assert set(registry.objects) <= before


async def test_a_denied_property_is_missing(make: Callable[..., Any]) -> None:
    call = await make()
    host = vim25.HostSystem("ha-host")
    fault = vim25.NoPermission(object=host, privilegeId="System.Read")
    call.esx.faults.deny("HostSystem", "name", fault)
    collector = call.content.propertyCollector
    [found] = await call(
        Collector.RetrieveProperties, collector, specSet=[spec_of(host, "name", "parent")]
    )
    assert [prop.name for prop in found.propSet] == ["parent"]
    assert found.missingSet[0].path == "name"
    assert found.missingSet[0].fault.fault == fault
    await call(Collector.CreateFilter, collector, spec=spec_of(host, "name"), partialUpdates=False)
    update = await call(Collector.WaitForUpdatesEx, collector, version="")
    assert update.filterSet[0].objectSet[0].missingSet[0].fault.fault == fault
    call.esx.faults.clear()
    assert await call.read(host, "name") == {"name": "localhost.localdomain"}


async def test_a_wait_ends_with_its_session(make: Callable[..., Any]) -> None:
    for end, fault in (("expire", vim25.NotAuthenticated), ("logout", vim25.RequestCanceled)):
        call = await make()
        collector = call.content.propertyCollector
        host = vim25.HostSystem("ha-host")
        await call(
            Collector.CreateFilter, collector, spec=spec_of(host, "name"), partialUpdates=False
        )
        first = await call(Collector.WaitForUpdatesEx, collector, version="")
        hung = asyncio.create_task(
            call(Collector.WaitForUpdatesEx, collector, version=first.version)
        )
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(call.esx.calls("WaitForUpdatesEx")) == 2
        if end == "expire":
            call.esx.expire_sessions()
        else:
            await call(vim25.SessionManager.Logout, call.content.sessionManager)
        with pytest.raises(fault):
            await hung


async def test_a_host_may_report_changes_at_intervals(make: Callable[..., Any]) -> None:
    clock = ManualClock()
    call = await make(vms=1, clock=clock, update_interval=0.25)
    [machine] = call.esx.machines.values()
    collector = call.content.propertyCollector
    first = await filtered(call, machine.ref, "config.annotation")
    waiting = asyncio.ensure_future(
        call(Collector.WaitForUpdatesEx, collector, version=first.version)
    )
    await clock.advance(0.1)
    machine.set_config(type(machine.config)(**{**_fields(machine.config), "annotation": "new"}))
    await clock.advance(0.14)
    assert not waiting.done()
    await clock.advance(0.02)
    assert (await waiting).filterSet[0].objectSet[0].changeSet[0].val == "new"
