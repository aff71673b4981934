from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from vimlib import vim25
from vimlib.simulator import ManualClock
from vimlib.simulator._service.tasks import TaskManager


async def ended(call: Any, ref: Any) -> None:
    """Wait until a task has ended."""
    await asyncio.wait([call.esx.registry.objects["Task", ref.moref[1]].work])


async def test_a_task_goes_through_its_states_by_the_clock(
    make: Callable[..., Any], clock: ManualClock
) -> None:
    call = await make(vms=1, clock=clock, task_seconds=4)
    [machine] = call.esx.machines.values()
    spec = vim25.VirtualMachineConfigSpec(annotation="x")
    task = await call(vim25.VirtualMachine.ReconfigVM_Task, machine.ref, spec=spec)
    seen = []
    for _ in range(4):
        info = (await call.read(task, "info"))["info"]
        seen.append((info.state, info.progress))
        await clock.advance(1)
    assert seen[0][0] in ("queued", "running")
    assert seen[1:] == [("running", 20), ("running", 40), ("running", 60)]
    await ended(call, task)
    info = (await call.read(task, "info"))["info"]
    assert (info.state, info.progress) == ("success", None)
    assert info.completeTime > info.startTime >= info.queueTime


async def test_ended_tasks_are_forgotten_in_the_end(make: Callable[..., Any]) -> None:
    call = await make(vms=1)
    registry = call.esx.registry
    call.esx.registry.one(TaskManager).keep = 5
    [machine] = call.esx.machines.values()
    refs = []
    for number in range(20):
        spec = vim25.VirtualMachineConfigSpec(annotation=str(number))
        refs.append(await call(vim25.VirtualMachine.ReconfigVM_Task, machine.ref, spec=spec))
        await ended(call, refs[-1])
    kept = [kind for kind, _ in registry.objects if kind == "Task"]
    assert len(kept) == 5
    assert len(call.esx.registry.one(TaskManager).recent) <= 11
    assert all(task.alive for task in machine.recent_tasks)


async def test_closing_ends_what_runs(make: Callable[..., Any]) -> None:
    before = len(asyncio.all_tasks())
    call = await make(vms=1, task_seconds=1000)
    [machine] = call.esx.machines.values()
    await call(vim25.VirtualMachine.PowerOnVM_Task, machine.ref)
    await call.esx.aclose()
    await call.esx.aclose()
    assert len(asyncio.all_tasks()) <= before
