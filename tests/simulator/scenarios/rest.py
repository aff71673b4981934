"""Leases, events, tasks, the host itself."""

from __future__ import annotations

from typing import Any

from tests.simulator.images import CONTENT, stream_optimized
from tests.simulator.stage import Stage, disk, outcome, scenario
from tests.simulator.values import Obj, Ref, new


def by(vm: Ref) -> Obj:
    entity = new("EventFilterSpecByEntity", entity=vm, recursion="self")
    return new("EventFilterSpec", entity=entity)


def imported(stage: Stage, verb: str = "import_vm") -> str:
    """Import a machine with one disk and return its name."""
    changes = disk(len(CONTENT) // 1024, file=stage.path(""))
    config = stage.spec(name := stage.name(), deviceChange=changes)
    spec = new("VirtualMachineImportSpec", configSpec=config)
    image = stream_optimized(CONTENT)
    getattr(stage.client, verb)(spec, stage.pool, stage.folder, image)
    return name


def exists(stage: Stage, name: str) -> bool:
    return name in [stage.get(vm, "name") for vm in stage.all("VirtualMachine")]


@scenario()
def imports_a_machine(stage: Stage) -> Any:
    return exists(stage, imported(stage))


@scenario()
def keeps_what_was_imported(stage: Stage) -> Any:
    name = imported(stage)
    return stage.client.download(f"{name}/{name}-flat.vmdk") == CONTENT


@scenario()
def aborts_an_import(stage: Stage) -> Any:
    return exists(stage, imported(stage, "abort_import"))


@scenario()
def exports_a_machine(stage: Stage) -> Any:
    data = stage.client.export_vm(stage.create(disk_kb=1024))
    return "ok" if data.startswith(b"KDMV") else "another format"


@scenario()
def reads_events_by_a_cursor(stage: Stage) -> Any:
    names = stage.client.events(by(stage.running()))
    return [name for name in ("VmCreatedEvent", "VmPoweredOnEvent") if name in names]


@scenario("vimlib")
def follows_events(stage: Stage) -> Any:
    vm = stage.create()

    async def follow() -> bool:
        target = stage.client.native(vm)
        async for event in stage.client.client.events(stage.client.native(by(vm))):
            if type(event).__name__ == "VmPoweredOnEvent":
                return True
            if type(event).__name__ == "VmCreatedEvent":
                await stage.client.client.wait(await target.PowerOnVM_Task())
        return False

    return stage.client.run(follow())


@scenario()
def asks_for_events_at_once(stage: Stage) -> Any:
    spec = by(stage.create())
    return outcome(stage.call, "QueryEvents", stage.content.eventManager, filter=spec)


@scenario()
def reads_the_latest_event(stage: Stage) -> Any:
    stage.create()
    return stage.get(stage.content.eventManager, "latestEvent") is not None


@scenario()
def logs_an_event_of_its_own(stage: Stage) -> Any:
    args = {"entity": stage.create(), "msg": "hello"}
    return outcome(stage.call, "LogUserEvent", stage.content.eventManager, **args)


@scenario()
def reads_what_a_task_was(stage: Stage) -> Any:
    vm = stage.create()
    task = stage.call("PowerOnVM_Task", vm)
    stage.wait(task)
    info = stage.get(task, "info")
    return info.state, info.descriptionId, info.entity == vm


@scenario()
def reads_the_task_of_a_disk(stage: Stage) -> Any:
    spec = new(
        "FileBackedVirtualDiskSpec", diskType="thin", adapterType="lsiLogic", capacityKb=1024
    )
    task = stage.call(
        "CreateVirtualDisk_Task",
        stage.content.virtualDiskManager,
        name=stage.path(f"{stage.name()}.vmdk"),
        datacenter=stage.datacenter,
        spec=spec,
    )
    stage.wait(task)
    try:
        entity = stage.get(task, "info").entity
    except TypeError:  # pyVmomi's, of an entity that is no ManagedEntity
        return "a task that it cannot read"
    return entity and entity.kind


@scenario()
def cancels_a_finished_task(stage: Stage) -> Any:
    task = stage.call("PowerOnVM_Task", stage.create())
    stage.wait(task)
    return outcome(stage.call, "CancelTask", task)


@scenario()
def creates_a_task_collector(stage: Stage) -> Any:
    tasks, spec = stage.content.taskManager, new("TaskFilterSpec")
    return outcome(stage.call, "CreateCollectorForTasks", tasks, filter=spec)


@scenario()
def queries_available_metrics(stage: Stage) -> Any:
    counters = stage.content.perfManager
    return outcome(stage.call, "QueryAvailablePerfMetric", counters, entity=stage.host)


@scenario()
def queries_a_counter(stage: Stage) -> Any:
    return outcome(stage.call, "QueryPerfCounter", stage.content.perfManager, counterId=[1])


@scenario()
def goes_into_maintenance_and_back(stage: Stage) -> Any:
    seen = []
    for verb in ("Enter", "Exit"):
        stage.done(f"{verb}MaintenanceMode_Task", stage.host, timeout=0)
        seen.append(stage.get(stage.host, "runtime.inMaintenanceMode"))
    return seen


@scenario()
def lists_files_in_a_guest(stage: Stage) -> Any:
    guests = stage.content.guestOperationsManager
    if guests is None:
        return "no such manager"
    files = stage.get(guests, "fileManager")
    auth = new(
        "NamePasswordAuthentication", username="root", password="x", interactiveSession=False
    )
    args = {"vm": stage.running(), "auth": auth, "filePath": "/"}
    return outcome(stage.call, "ListFilesInGuest", files, **args)


@scenario()
def reboots_the_host(stage: Stage) -> Any:
    return outcome(stage.call, "RebootHost_Task", stage.host, force=True)
