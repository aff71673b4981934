"""Hearing of changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.simulator.by_pyvmomi.stage import PC, Stage, outcome, scenario
from tests.simulator.vmomi import vim

PATIENCE = 30
BRIEFLY = 1


@contextmanager
def filtered(stage: Stage, objects: list[Any], *paths: str) -> Iterator[Any]:
    """Watch properties of machines by a collector of one's own."""
    collector = stage.content.propertyCollector.CreatePropertyCollector()
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=obj) for obj in objects],
        propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=list(paths))],
    )
    try:
        collector.CreateFilter(spec, False)
        yield collector
    finally:
        collector.DestroyPropertyCollector()


def first(collector: Any, **limits: int) -> Any:
    return collector.WaitForUpdatesEx("", PC.WaitOptions(maxWaitSeconds=PATIENCE, **limits))


def heard(collector: Any, version: str, seconds: int = BRIEFLY) -> list[str]:
    """Return what has changed after a version."""
    found = collector.WaitForUpdatesEx(version, PC.WaitOptions(maxWaitSeconds=seconds))
    if found is None:
        return []
    return [
        change.name
        for item in found.filterSet
        for update in item.objectSet
        for change in update.changeSet
    ]


@scenario
def watches_a_change_of_power(stage: Stage) -> Any:
    vm = stage.create()
    with filtered(stage, [vm], "runtime.powerState") as collector:
        version = first(collector).version
        stage.done(vm.PowerOnVM_Task())
        options = PC.WaitOptions(maxWaitSeconds=PATIENCE)
        found = collector.WaitForUpdatesEx(version, options)
        return found.filterSet[0].objectSet[0].changeSet[-1].val


@scenario
def waits_for_nothing(stage: Stage) -> Any:
    with filtered(stage, [stage.create()], "runtime.powerState") as collector:
        return heard(collector, first(collector).version)


@scenario
def hears_of_a_new_name(stage: Stage) -> Any:
    vm = stage.create()
    with filtered(stage, [vm], "name") as collector:
        version = first(collector).version
        stage.done(vm.Rename_Task(stage.name()))
        return heard(collector, version)


@scenario
def hears_of_a_changed_annotation(stage: Stage) -> Any:
    vm = stage.create()
    with filtered(stage, [vm], "config.annotation") as collector:
        version = first(collector).version
        stage.reconfigure(vm, annotation="changed")
        return heard(collector, version)


@scenario
def hears_of_a_snapshot(stage: Stage) -> Any:
    vm = stage.create()
    with filtered(stage, [vm], "snapshot") as collector:
        version = first(collector).version
        stage.done(vm.CreateSnapshot_Task("one", memory=False, quiesce=False))
        return bool(heard(collector, version))


@scenario
def waits_from_a_version_that_is_none(stage: Stage) -> Any:
    with filtered(stage, [stage.create()], "name") as collector:
        first(collector)
        return outcome(heard, collector, "nonsense")


@scenario
def asks_for_updates_without_waiting(stage: Stage) -> Any:
    with filtered(stage, [stage.create()], "name") as collector:
        return outcome(collector.CheckForUpdates, first(collector).version)


@scenario
def takes_updates_in_portions(stage: Stage) -> Any:
    with filtered(stage, [stage.create(), stage.create()], "name") as collector:
        return bool(first(collector, maxObjectUpdates=1).truncated)


@scenario
def calls_a_wait_off(stage: Stage) -> Any:
    with filtered(stage, [stage.create()], "name") as collector:
        version = first(collector).version
        ended: list[str] = []
        waiting = threading.Thread(
            target=lambda: ended.append(outcome(heard, collector, version, 30))
        )
        waiting.start()
        while waiting.is_alive():  # the wait may not have arrived yet
            collector.CancelWaitForUpdates()
            time.sleep(0.02)
        return ended[0]


@scenario
def uses_a_collector_that_was_given_back(stage: Stage) -> Any:
    collector = stage.content.propertyCollector.CreatePropertyCollector()
    collector.DestroyPropertyCollector()
    return "ok" if outcome(collector.CheckForUpdates, "") == "ok" else "a fault"
