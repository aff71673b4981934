"""Disks that belong to no machine."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_pyvmomi.stage import Stage, outcome, scenario
from tests.simulator.vmomi import vim


def manager(stage: Stage) -> Any:
    return stage.content.virtualDiskManager


def copy(stage: Stage, source: str, target: str, **more: Any) -> None:
    stage.done(
        manager(stage).CopyVirtualDisk_Task(
            source,
            sourceDatacenter=stage.datacenter,
            destName=target,
            destDatacenter=stage.datacenter,
            **more,
        )
    )


def listed(stage: Stage, name: str) -> list[str]:
    """Return which of the names that begin with `name` are in the datastore's root."""
    return [item.name.removeprefix(name) for item in stage.files.list("", f"{name}*")]


@scenario
def makes_a_disk(stage: Stage) -> Any:
    name = stage.name()
    stage.create_disk(stage.path(f"{name}.vmdk"))
    return stage.files.exists(f"{name}.vmdk")


@scenario
def makes_a_disk_as_large_as_asked_for(stage: Stage) -> Any:
    name = stage.name()
    stage.create_disk(stage.path(f"{name}.vmdk"), "eagerZeroedThick", 1024)
    return next(e.size for e in stage.files.list("") if e.name == f"{name}-flat.vmdk")


@scenario
def makes_a_disk_that_is_there(stage: Stage) -> Any:
    path = stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    return outcome(lambda: stage.create_disk(path))


@scenario
def makes_a_disk_in_no_folder(stage: Stage) -> Any:
    return outcome(lambda: stage.create_disk(stage.path(f"{stage.name()}/such.vmdk")))


@scenario
def makes_a_disk_of_no_known_type(stage: Stage) -> Any:
    return outcome(lambda: stage.create_disk(stage.path(f"{stage.name()}.vmdk"), "nonsense"))


@scenario
def makes_a_disk_larger_than_the_datastore(stage: Stage) -> Any:
    return outcome(stage.create_disk, stage.path(f"{stage.name()}.vmdk"), "thick", 2 << 30)


@scenario
def copies_a_disk(stage: Stage) -> Any:
    name = stage.name()
    path = stage.create_disk(stage.path(f"{name}.vmdk"))
    copy(stage, path, stage.path(f"{name}-copy.vmdk"))
    return stage.files.exists(f"{name}-copy.vmdk")


@scenario
def copies_a_disk_to_another_type(stage: Stage) -> Any:
    name = stage.name()
    path = stage.create_disk(stage.path(f"{name}.vmdk"))
    spec = vim.VirtualDiskManager.VirtualDiskSpec(diskType="thin", adapterType="lsiLogic")
    return outcome(lambda: copy(stage, path, stage.path(f"{name}-copy.vmdk"), destSpec=spec))


@scenario
def copies_a_disk_that_is_not_there(stage: Stage) -> Any:
    name = stage.name()
    return outcome(lambda: copy(stage, stage.path(f"{name}.vmdk"), stage.path(f"{name}-copy.vmdk")))


@scenario
def moves_a_disk(stage: Stage) -> Any:
    name = stage.name()
    path = stage.create_disk(stage.path(f"{name}.vmdk"))
    stage.done(
        manager(stage).MoveVirtualDisk_Task(
            path,
            sourceDatacenter=stage.datacenter,
            destName=stage.path(f"{name}-moved.vmdk"),
            destDatacenter=stage.datacenter,
        )
    )
    return [stage.files.exists(f"{name}{end}") for end in (".vmdk", "-moved.vmdk")]


@scenario
def deletes_a_disk_and_its_extent(stage: Stage) -> Any:
    name = stage.name()
    path = stage.create_disk(stage.path(f"{name}.vmdk"))
    stage.done(manager(stage).DeleteVirtualDisk_Task(path, datacenter=stage.datacenter))
    return listed(stage, name)


@scenario
def deletes_a_disk_that_is_not_there(stage: Stage) -> Any:
    path = stage.path("no-such.vmdk")
    return outcome(
        lambda: stage.done(manager(stage).DeleteVirtualDisk_Task(path, datacenter=stage.datacenter))
    )


@scenario
def deletes_the_disk_of_a_running_machine(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    stage.done(vm.PowerOnVM_Task())
    path = stage.devices(vm, vim.vm.device.VirtualDisk)[0].backing.fileName
    return outcome(
        lambda: stage.done(manager(stage).DeleteVirtualDisk_Task(path, datacenter=stage.datacenter))
    )


@scenario
def extends_a_disk(stage: Stage) -> Any:
    path = stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    task = manager(stage).ExtendVirtualDisk_Task(
        path, datacenter=stage.datacenter, newCapacityKb=2048, eagerZero=False
    )
    return outcome(lambda: stage.done(task))


@scenario
def inflates_a_disk(stage: Stage) -> Any:
    path = stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    task = manager(stage).InflateVirtualDisk_Task(path, datacenter=stage.datacenter)
    return outcome(lambda: stage.done(task))


@scenario
def asks_for_the_uuid_of_a_disk(stage: Stage) -> Any:
    path = stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    uuid = manager(stage).QueryVirtualDiskUuid(path, datacenter=stage.datacenter)
    return len(uuid.replace(" ", "").replace("-", ""))


@scenario
def gives_a_disk_another_uuid(stage: Stage) -> Any:
    path = stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    given = "60 00 C2 9a 01 02 03 04-05 06 07 08 09 0a 0b 0c"
    manager(stage).SetVirtualDiskUuid(path, datacenter=stage.datacenter, uuid=given)
    found = manager(stage).QueryVirtualDiskUuid(path, datacenter=stage.datacenter)
    return found.lower() == given.lower()


@scenario
def asks_for_the_geometry_of_a_disk(stage: Stage) -> Any:
    path = stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    return outcome(
        lambda: manager(stage).QueryVirtualDiskGeometry(path, datacenter=stage.datacenter)
    )
