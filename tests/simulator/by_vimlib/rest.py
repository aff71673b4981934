"""Leases, events, tasks, the host itself."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulator.by_vimlib.stage import VM, Stage, disk, outcome, scenario, there
from tests.simulator.images import content, stream_optimized
from vimlib import vim25


def importing(stage: Stage, name: str) -> Any:
    """Return the call that starts to import a machine with one disk."""
    changes = disk(len(content()) // 1024, file=stage.path(""))
    spec = vim25.VirtualMachineImportSpec(configSpec=stage.spec(name, deviceChange=changes))
    return stage.pool.ImportVApp(spec, folder=stage.folder)


def by(vm: VM) -> vim25.EventFilterSpec:
    return vim25.EventFilterSpec(entity=vim25.EventFilterSpecByEntity(entity=vm, recursion="self"))


async def named(stage: Stage, name: str) -> bool:
    return name in [row["name"] async for row in stage.client.collect(VM, "name")]


@scenario
async def imports_a_machine(stage: Stage) -> Any:
    name = stage.name()
    async with stage.client.lease(importing(stage, name)) as lease:
        for device in lease.devices:
            await lease.upload(device, stream_optimized(content()))
    return await named(stage, name)


@scenario
async def keeps_what_was_imported(stage: Stage) -> Any:
    name = stage.name()
    async with stage.client.lease(importing(stage, name)) as lease:
        for device in lease.devices:
            await lease.upload(device, stream_optimized(content()))
    async with stage.files.download(f"{name}/{name}-flat.vmdk") as body:
        return await body.read() == content()


@scenario
async def gives_up_an_import(stage: Stage) -> Any:
    name = stage.name()
    try:
        async with stage.client.lease(importing(stage, name)):
            raise RuntimeError("changed my mind")
    except RuntimeError:
        return await named(stage, name)


@scenario
async def exports_a_machine(stage: Stage) -> Any:
    vm = await stage.create(disk_kb=1024)

    async def export() -> None:
        async with stage.client.lease(vm.ExportVm()) as lease:
            async for _ in lease.download(lease.devices[0]):
                pass

    return await outcome(export())


@scenario
async def reads_events_by_a_cursor(stage: Stage) -> Any:
    vm = await stage.running()
    found = [event async for event in stage.client.events(by(vm), follow=False)]
    names = [type(event).__name__ for event in found]
    return [name for name in ("VmCreatedEvent", "VmPoweredOnEvent") if name in names]


@scenario
async def follows_events(stage: Stage) -> Any:
    vm = await stage.create()
    async with asyncio.timeout(10):
        async for event in stage.client.events(by(vm)):
            if isinstance(event, vim25.VmPoweredOnEvent):
                return True
            if isinstance(event, vim25.VmCreatedEvent):
                await stage.done(vm.PowerOnVM_Task())
    return False


@scenario
async def asks_for_events_at_once(stage: Stage) -> Any:
    events = there(stage.client.content.eventManager)
    return await outcome(events.QueryEvents(by(await stage.create())))


@scenario
async def reads_the_latest_event(stage: Stage) -> Any:
    await stage.create()
    return await stage.read(there(stage.client.content.eventManager), "latestEvent") is not None


@scenario
async def logs_an_event_of_its_own(stage: Stage) -> Any:
    events = there(stage.client.content.eventManager)
    return await outcome(events.LogUserEvent(await stage.create(), "hello"))


@scenario
async def reads_what_a_task_was(stage: Stage) -> Any:
    vm = await stage.create()
    task = await vm.PowerOnVM_Task()
    await stage.client.wait(task)
    info = await stage.read(task, "info")
    return info.state, info.descriptionId, info.entity == vm


@scenario
async def reads_the_task_of_a_disk(stage: Stage) -> Any:
    spec = vim25.FileBackedVirtualDiskSpec(diskType="thin", adapterType="lsiLogic", capacityKb=1024)
    manager = there(stage.client.content.virtualDiskManager)
    task = await manager.CreateVirtualDisk_Task(
        stage.path(f"{stage.name()}.vmdk"), datacenter=stage.datacenter, spec=spec
    )
    await stage.client.wait(task)
    entity = (await stage.read(task, "info")).entity
    return entity and entity.moref[0]


@scenario
async def calls_off_a_task_that_is_done(stage: Stage) -> Any:
    task = await (await stage.create()).PowerOnVM_Task()
    await stage.client.wait(task)
    return await outcome(task.CancelTask())


@scenario
async def makes_a_history_of_tasks(stage: Stage) -> Any:
    tasks = there(stage.client.content.taskManager)
    return await outcome(tasks.CreateCollectorForTasks(vim25.TaskFilterSpec()))


@scenario
async def measures_a_machine(stage: Stage) -> Any:
    measures = there(stage.client.content.perfManager)
    return await outcome(measures.QueryAvailablePerfMetric(stage.host))


@scenario
async def asks_what_a_counter_means(stage: Stage) -> Any:
    measures = there(stage.client.content.perfManager)
    return await outcome(measures.QueryPerfCounter([1]))


@scenario
async def goes_into_maintenance_and_back(stage: Stage) -> Any:
    seen = []
    for start in (stage.host.EnterMaintenanceMode_Task, stage.host.ExitMaintenanceMode_Task):
        await stage.done(start(0))
        seen.append(await stage.read(stage.host, "runtime.inMaintenanceMode"))
    return seen


@scenario
async def asks_what_is_in_a_guest(stage: Stage) -> Any:
    guests = stage.client.content.guestOperationsManager
    if guests is None:
        return "no such manager"
    files: vim25.GuestFileManager = await stage.read(guests, "fileManager")
    auth = vim25.NamePasswordAuthentication(username="root", password="x", interactiveSession=False)
    return await outcome(files.ListFilesInGuest(await stage.running(), auth, "/"))


@scenario
async def reboots_the_host(stage: Stage) -> Any:
    return await outcome(stage.host.RebootHost_Task(True))
