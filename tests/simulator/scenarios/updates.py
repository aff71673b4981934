"""Waiting for changes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulator.stage import Stage, outcome, scenario
from tests.simulator.values import Ref, new

# A change that is due comes within this; one that is not is waited for as long as a test may.
PATIENCE = 30
BRIEFLY = 1


def updates(stage: Stage, collector: Ref, version: str, seconds: int, **limits: int) -> Any:
    options = new("WaitOptions", maxWaitSeconds=seconds, **limits)
    return stage.call("WaitForUpdatesEx", collector, version=version, options=options)


@contextmanager
def collecting(stage: Stage, vms: list[Ref], path: str) -> Iterator[Ref]:
    """Filter a property of machines by a collector of one's own."""
    collector = stage.call("CreatePropertyCollector", stage.content.propertyCollector)
    try:
        spec = stage.client.filter_spec(vms, path)
        stage.call("CreateFilter", collector, spec=spec, partialUpdates=False)
        yield collector
    finally:
        stage.call("DestroyPropertyCollector", collector)


@contextmanager
def filtered(stage: Stage, vm: Ref, path: str) -> Iterator[tuple[Ref, str]]:
    """Filter a property of a machine; give the collector and its first version."""
    with collecting(stage, [vm], path) as collector:
        yield collector, updates(stage, collector, "", PATIENCE).version


def changed(stage: Stage, collector: Ref, version: str, seconds: int = BRIEFLY) -> list[str]:
    """Return the properties that have changed after a version."""
    found = updates(stage, collector, version, seconds)
    return [
        change.name
        for item in (found and found.filterSet) or ()
        for update in item.objectSet or ()
        for change in update.changeSet or ()
    ]


@scenario()
def watches_a_change_of_power(stage: Stage) -> Any:
    vm = stage.create()
    return stage.client.watch(vm, "runtime.powerState", lambda: stage.done("PowerOnVM_Task", vm))


@scenario("vimlib")
def waits_for_a_state(stage: Stage) -> Any:
    vm = stage.create()

    async def wait() -> Any:
        client, target = stage.client.client, stage.client.native(vm)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(
                client.wait_for(target, "runtime.powerState", "poweredOn".__eq__, PATIENCE)
            )
            await client.wait(await target.PowerOnVM_Task())
        return waiting.result()

    return stage.client.run(wait())


@scenario("vimlib")
def watches_machines_come_and_go(stage: Stage) -> Any:
    from vimlib import vim25

    async def watch() -> list[str]:
        client, seen, vm = stage.client.client, [], None
        async with client.watch(vim25.VirtualMachine, "name") as watch:
            async for change in watch:
                if vm is None:
                    vm = stage.client.native(await asyncio.to_thread(stage.create))
                if change.obj != vm:
                    continue
                seen.append(change.kind)
                if change.kind == "leave":
                    break
                await client.wait(await vm.Destroy_Task())
        return seen

    return stage.client.run(watch())


@scenario()
def waits_without_a_change(stage: Stage) -> Any:
    with filtered(stage, stage.create(), "runtime.powerState") as at:
        return changed(stage, *at)


@scenario()
def receives_a_new_name(stage: Stage) -> Any:
    vm = stage.create()
    with filtered(stage, vm, "name") as at:
        stage.done("Rename_Task", vm, newName=stage.name())
        return changed(stage, *at)


@scenario()
def receives_a_changed_annotation(stage: Stage) -> Any:
    vm = stage.create()
    with filtered(stage, vm, "config.annotation") as at:
        stage.reconfigure(vm, annotation="changed")
        return changed(stage, *at)


@scenario()
def receives_a_snapshot(stage: Stage) -> Any:
    vm = stage.create()
    with filtered(stage, vm, "snapshot") as at:
        stage.done("CreateSnapshot_Task", vm, name="one", memory=False, quiesce=False)
        return bool(changed(stage, *at))


@scenario()
def waits_from_an_unknown_version(stage: Stage) -> Any:
    with filtered(stage, stage.create(), "name") as (collector, _):
        return outcome(changed, stage, collector, "nonsense")


@scenario()
def asks_for_updates_without_waiting(stage: Stage) -> Any:
    with filtered(stage, stage.create(), "name") as (collector, version):
        return outcome(stage.call, "CheckForUpdates", collector, version=version)


@scenario()
def receives_truncated_updates(stage: Stage) -> Any:
    with collecting(stage, [stage.create(), stage.create()], "name") as collector:
        return bool(updates(stage, collector, "", PATIENCE, maxObjectUpdates=1).truncated)


@scenario()
def cancels_a_wait(stage: Stage) -> Any:
    with filtered(stage, stage.create(), "name") as (collector, version):
        ended: list[str] = []
        waiting = threading.Thread(
            target=lambda: ended.append(outcome(changed, stage, collector, version, PATIENCE))
        )
        waiting.start()
        while waiting.is_alive():  # the wait may not have arrived yet
            stage.call("CancelWaitForUpdates", collector)
            time.sleep(0.02)
        return ended[0]


@scenario()
def uses_a_destroyed_collector(stage: Stage) -> Any:
    collector = stage.call("CreatePropertyCollector", stage.content.propertyCollector)
    stage.call("DestroyPropertyCollector", collector)
    found = outcome(updates, stage, collector, "", 0)
    return "ok" if found == "ok" else "a fault"
