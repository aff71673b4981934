"""Leases, events, tasks, the host itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.simulator.by_pyvmomi.stage import Stage, disk, outcome, scenario
from tests.simulator.images import content, stream_optimized
from tests.simulator.vmomi import vim


def importing(stage: Stage, name: str) -> Any:
    """Return the call that starts to import a machine with one disk."""
    changes = disk(len(content()) // 1024, file=stage.path(""))
    spec = vim.vm.VmImportSpec(configSpec=stage.spec(name, deviceChange=changes))
    return stage.pool.ImportVApp(spec, folder=stage.folder)


def by(vm: Any) -> Any:
    return vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")
    )


def named(stage: Stage, name: str) -> bool:
    return name in [vm.name for vm in stage.all(vim.VirtualMachine)]


@contextmanager
def leased(stage: Stage, lease: Any) -> Iterator[list[Any]]:
    """Wait for a lease, give its devices, and complete it."""
    while lease.state == "initializing":
        time.sleep(0.01)
    if lease.state == "error":
        raise lease.error
    yield lease.info.deviceUrl
    lease.HttpNfcLeaseComplete()


def send(stage: Stage, device: Any, data: bytes) -> int:
    headers = {**cookie(stage), "Content-Type": "application/x-vnd.vmware-streamVmdk"}
    return int(stage.files.web.post(url(stage, device), data=data, headers=headers).status_code)


def url(stage: Stage, device: Any) -> str:
    """Return where a device's bytes go: a host says `*` for itself, with or without its port."""
    return f"https://127.0.0.1:{stage.server.port}{urlsplit(device.url).path}"


def cookie(stage: Stage) -> dict[str, str]:
    return {"Cookie": stage.si._stub.cookie.split(";")[0]}


@scenario
def imports_a_machine(stage: Stage) -> Any:
    name = stage.name()
    with leased(stage, importing(stage, name)) as devices:
        sent = [send(stage, device, stream_optimized(content())) for device in devices]
    assert set(sent) <= {200, 201}, sent
    return named(stage, name)


@scenario
def keeps_what_was_imported(stage: Stage) -> Any:
    name = stage.name()
    with leased(stage, importing(stage, name)) as devices:
        for device in devices:
            send(stage, device, stream_optimized(content()))
    return stage.files.download(f"{name}/{name}-flat.vmdk") == content()


@scenario
def gives_up_an_import(stage: Stage) -> Any:
    lease = importing(stage, name := stage.name())
    while lease.state == "initializing":
        time.sleep(0.01)
    lease.HttpNfcLeaseAbort()
    return named(stage, name)


@scenario
def exports_a_machine(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    lease = vm.ExportVm()
    with leased(stage, lease) as devices:
        answer = stage.files.web.get(url(stage, devices[0]), headers=cookie(stage))
    return "ok" if answer.content.startswith(b"KDMV") else answer.status_code


def history(stage: Stage, vm: Any) -> list[str]:
    """Return what has happened to a machine, oldest first."""
    events = stage.content.eventManager.CreateCollectorForEvents(by(vm))
    events.RewindCollector()
    found: list[str] = []
    while page := events.ReadNextEvents(10):
        found += [type(event).__name__.rpartition(".")[2] for event in page]
    events.DestroyCollector()
    return found


@scenario
def reads_events_by_a_cursor(stage: Stage) -> Any:
    names = history(stage, stage.running())
    return [name for name in ("VmCreatedEvent", "VmPoweredOnEvent") if name in names]


@scenario
def asks_for_events_at_once(stage: Stage) -> Any:
    events = stage.content.eventManager
    return outcome(lambda: events.QueryEvents(by(stage.create())))


@scenario
def reads_the_latest_event(stage: Stage) -> Any:
    stage.create()
    return stage.read(stage.content.eventManager, "latestEvent") is not None


@scenario
def logs_an_event_of_its_own(stage: Stage) -> Any:
    events = stage.content.eventManager
    return outcome(lambda: events.LogUserEvent(stage.create(), "hello"))


@scenario
def reads_what_a_task_was(stage: Stage) -> Any:
    vm = stage.create()
    task = vm.PowerOnVM_Task()
    stage.done(task)
    info = task.info
    return info.state, info.descriptionId, info.entity == vm


@scenario
def reads_the_task_of_a_disk(stage: Stage) -> Any:
    spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
        diskType="thin", adapterType="lsiLogic", capacityKb=1024
    )
    path = stage.path(f"{stage.name()}.vmdk")
    task = stage.content.virtualDiskManager.CreateVirtualDisk_Task(path, stage.datacenter, spec)
    stage.done(task)
    try:
        return task.info.entity
    except TypeError:  # an entity that is no ManagedEntity
        return "a task that it cannot read"


@scenario
def calls_off_a_task_that_is_done(stage: Stage) -> Any:
    task = stage.create().PowerOnVM_Task()
    stage.done(task)
    return outcome(task.CancelTask)


@scenario
def makes_a_history_of_tasks(stage: Stage) -> Any:
    tasks = stage.content.taskManager
    return outcome(lambda: tasks.CreateCollectorForTasks(vim.TaskFilterSpec()))


@scenario
def measures_a_machine(stage: Stage) -> Any:
    measures = stage.content.perfManager
    return outcome(lambda: measures.QueryAvailablePerfMetric(stage.host))


@scenario
def asks_what_a_counter_means(stage: Stage) -> Any:
    measures = stage.content.perfManager
    return outcome(lambda: measures.QueryPerfCounter([1]))


@scenario
def goes_into_maintenance_and_back(stage: Stage) -> Any:
    seen = []
    for start in (stage.host.EnterMaintenanceMode_Task, stage.host.ExitMaintenanceMode_Task):
        stage.done(start(0))
        seen.append(stage.host.runtime.inMaintenanceMode)
    return seen


@scenario
def asks_what_is_in_a_guest(stage: Stage) -> Any:
    guests = stage.content.guestOperationsManager
    if guests is None:
        return "no such manager"
    files = guests.fileManager
    auth = vim.vm.guest.NamePasswordAuthentication(
        username="root", password="x", interactiveSession=False
    )
    return outcome(lambda: files.ListFilesInGuest(stage.running(), auth, "/"))


@scenario
def reboots_the_host(stage: Stage) -> Any:
    return outcome(stage.host.RebootHost_Task, True)
