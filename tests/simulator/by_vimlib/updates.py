"""Hearing of changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.simulator.by_vimlib.stage import VM, Stage, outcome, scenario
from vimlib import vim25
from vimlib.model import MethodFault

# What surely comes, comes within this; what surely does not is waited for as long as a test may.
PATIENCE = 30
BRIEFLY = 1


@asynccontextmanager
async def filtered(
    stage: Stage, vm: VM, *paths: str
) -> AsyncIterator[tuple[vim25.PropertyCollector, str]]:
    """Watch properties of a machine by a collector of one's own; give it and its first version."""
    collector = await stage.client.content.propertyCollector.CreatePropertyCollector()
    spec = vim25.PropertyFilterSpec(
        objectSet=[vim25.ObjectSpec(obj=vm)],
        propSet=[vim25.PropertySpec(type="VirtualMachine", pathSet=list(paths))],
    )
    try:
        await collector.CreateFilter(spec, False)
        options = vim25.WaitOptions(maxWaitSeconds=PATIENCE)
        first = await collector.WaitForUpdatesEx(version="", options=options)
        assert first is not None
        yield collector, first.version
    finally:
        await collector.DestroyPropertyCollector()


async def heard(
    collector: vim25.PropertyCollector, version: str, seconds: int = BRIEFLY
) -> list[str]:
    """Return what has changed after a version."""
    options = vim25.WaitOptions(maxWaitSeconds=seconds)
    found = await collector.WaitForUpdatesEx(version=version, options=options)
    if found is None:
        return []
    return [
        change.name
        for item in found.filterSet or ()
        for update in item.objectSet or ()
        for change in update.changeSet or ()
    ]


@scenario
async def watches_a_change_of_power(stage: Stage) -> Any:
    vm = await stage.create()
    async with stage.client.watch(VM, "runtime.powerState", source=[vm]) as watch:
        async with asyncio.timeout(PATIENCE):
            changes = aiter(watch)
            await anext(changes)
            await stage.done(vm.PowerOnVM_Task())
            return (await anext(changes)).row["runtime.powerState"]


@scenario
async def waits_for_a_state(stage: Stage) -> Any:
    vm = await stage.create()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(
            stage.client.wait_for(
                vm, "runtime.powerState", lambda value: value == "poweredOn", PATIENCE
            )
        )
        await stage.done(vm.PowerOnVM_Task())
    return waiting.result()


@scenario
async def watches_machines_come_and_go(stage: Stage) -> Any:
    seen = []
    async with stage.client.watch(VM, "name") as watch, asyncio.timeout(PATIENCE):
        changes = aiter(watch)
        vm = None
        async for change in changes:
            if vm is None:
                vm = await stage.create()
            if change.obj != vm:
                continue
            seen.append(change.kind)
            if change.kind == "leave":
                break
            await stage.done(vm.Destroy_Task())
    return seen


@scenario
async def waits_for_nothing(stage: Stage) -> Any:
    vm = await stage.create()
    async with filtered(stage, vm, "runtime.powerState") as (collector, version):
        return await heard(collector, version)


@scenario
async def hears_of_a_new_name(stage: Stage) -> Any:
    vm = await stage.create()
    async with filtered(stage, vm, "name") as (collector, version):
        await stage.done(vm.Rename_Task(stage.name()))
        return await heard(collector, version)


@scenario
async def hears_of_a_changed_annotation(stage: Stage) -> Any:
    vm = await stage.create()
    async with filtered(stage, vm, "config.annotation") as (collector, version):
        await stage.reconfigure(vm, annotation="changed")
        return await heard(collector, version)


@scenario
async def hears_of_a_snapshot(stage: Stage) -> Any:
    vm = await stage.create()
    async with filtered(stage, vm, "snapshot") as (collector, version):
        await stage.done(vm.CreateSnapshot_Task("one", memory=False, quiesce=False))
        return bool(await heard(collector, version))


@scenario
async def waits_from_a_version_that_is_none(stage: Stage) -> Any:
    vm = await stage.create()
    async with filtered(stage, vm, "name") as (collector, _):
        return await outcome(heard(collector, "nonsense"))


@scenario
async def asks_for_updates_without_waiting(stage: Stage) -> Any:
    vm = await stage.create()
    async with filtered(stage, vm, "name") as (collector, version):
        return await outcome(collector.CheckForUpdates(version=version))


@scenario
async def takes_updates_in_portions(stage: Stage) -> Any:
    collector = await stage.client.content.propertyCollector.CreatePropertyCollector()
    some = [await stage.create(), await stage.create()]
    spec = vim25.PropertyFilterSpec(
        objectSet=[vim25.ObjectSpec(obj=vm) for vm in some],
        propSet=[vim25.PropertySpec(type="VirtualMachine", pathSet=["name"])],
    )
    await collector.CreateFilter(spec, False)
    options = vim25.WaitOptions(maxWaitSeconds=PATIENCE, maxObjectUpdates=1)
    first = await collector.WaitForUpdatesEx(version="", options=options)
    await collector.DestroyPropertyCollector()
    return bool(first and first.truncated)


@scenario
async def calls_a_wait_off(stage: Stage) -> Any:
    vm = await stage.create()
    async with filtered(stage, vm, "name") as (collector, version):
        ended: list[str] = []

        async def wait() -> None:
            ended.append(await outcome(heard(collector, version, 30)))

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(wait())
            while not ended:  # the wait may not have arrived yet
                await collector.CancelWaitForUpdates()
                await asyncio.sleep(0.02)
        return ended[0]


@scenario
async def uses_a_collector_that_was_given_back(stage: Stage) -> Any:
    collector = await stage.client.content.propertyCollector.CreatePropertyCollector()
    await collector.DestroyPropertyCollector()
    with suppress(MethodFault):
        options = vim25.WaitOptions(maxWaitSeconds=0)
        await collector.WaitForUpdatesEx(version="", options=options)
        return "ok"
    return "a fault"
