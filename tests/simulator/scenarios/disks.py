"""Disks that belong to no machine."""

from __future__ import annotations

from typing import Any

from tests.simulator.stage import Stage, outcome, scenario
from tests.simulator.values import new


def call(stage: Stage, method: str, name: str, **args: Any) -> Any:
    """Call a method of the VirtualDiskManager on a disk and wait for its task, if it has one."""
    manager = stage.content.virtualDiskManager
    call = stage.done if method.endswith("_Task") else stage.call
    return call(method, manager, name=name, datacenter=stage.datacenter, **args)


def create(stage: Stage, path: str, kind: str = "thin", kb: int = 1024) -> str:
    spec = new("FileBackedVirtualDiskSpec", diskType=kind, adapterType="lsiLogic", capacityKb=kb)
    call(stage, "CreateVirtualDisk_Task", path, spec=spec)
    return path


def created(stage: Stage) -> str:
    return create(stage, stage.path(f"{stage.name()}.vmdk"))


def transfer(stage: Stage, method: str, source: str, target: str, **more: Any) -> None:
    stage.done(
        method,
        stage.content.virtualDiskManager,
        sourceName=source,
        sourceDatacenter=stage.datacenter,
        destName=target,
        destDatacenter=stage.datacenter,
        force=False,
        **more,
    )


@scenario()
def makes_a_disk(stage: Stage) -> Any:
    name = stage.name()
    create(stage, stage.path(f"{name}.vmdk"))
    return stage.client.exists(f"{name}.vmdk")


@scenario()
def makes_a_disk_as_large_as_asked_for(stage: Stage) -> Any:
    name = stage.name()
    create(stage, stage.path(f"{name}.vmdk"), "eagerZeroedThick", 1024)
    return next(e.size for e in stage.client.entries("") if e.name == f"{name}-flat.vmdk")


@scenario()
def makes_a_disk_twice(stage: Stage) -> Any:
    return outcome(create, stage, created(stage))


@scenario()
def makes_a_disk_in_a_missing_folder(stage: Stage) -> Any:
    return outcome(create, stage, stage.path(f"{stage.name()}/such.vmdk"))


@scenario()
def makes_a_disk_of_an_unknown_type(stage: Stage) -> Any:
    return outcome(create, stage, stage.path(f"{stage.name()}.vmdk"), "nonsense")


@scenario()
def makes_a_disk_larger_than_the_datastore(stage: Stage) -> Any:
    return outcome(create, stage, stage.path(f"{stage.name()}.vmdk"), "thick", 2 << 30)


@scenario()
def copies_a_disk(stage: Stage) -> Any:
    path, name = created(stage), stage.name()
    transfer(stage, "CopyVirtualDisk_Task", path, stage.path(f"{name}.vmdk"))
    return stage.client.exists(f"{name}.vmdk")


@scenario()
def copies_a_disk_to_another_type(stage: Stage) -> Any:
    path, target = created(stage), stage.path(f"{stage.name()}.vmdk")
    spec = new("VirtualDiskSpec", diskType="thin", adapterType="lsiLogic")
    return outcome(transfer, stage, "CopyVirtualDisk_Task", path, target, destSpec=spec)


@scenario()
def copies_a_missing_disk(stage: Stage) -> Any:
    source, target = (stage.path(f"{stage.name()}.vmdk") for _ in range(2))
    return outcome(transfer, stage, "CopyVirtualDisk_Task", source, target)


@scenario()
def moves_a_disk(stage: Stage) -> Any:
    name = stage.name()
    path = create(stage, stage.path(f"{name}.vmdk"))
    transfer(stage, "MoveVirtualDisk_Task", path, stage.path(f"{name}-moved.vmdk"))
    return [stage.client.exists(f"{name}{end}") for end in (".vmdk", "-moved.vmdk")]


@scenario()
def deletes_a_disk_and_its_extent(stage: Stage) -> Any:
    name = stage.name()
    path = create(stage, stage.path(f"{name}.vmdk"))
    call(stage, "DeleteVirtualDisk_Task", path)
    return [entry.name for entry in stage.client.entries("", f"{name}*")]


@scenario()
def deletes_a_missing_disk(stage: Stage) -> Any:
    return outcome(call, stage, "DeleteVirtualDisk_Task", stage.path("no-such.vmdk"))


@scenario()
def deletes_the_disk_of_a_running_machine(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    stage.done("PowerOnVM_Task", vm)
    path = stage.devices(vm, "VirtualDisk")[0].backing.fileName
    return outcome(call, stage, "DeleteVirtualDisk_Task", path)


@scenario()
def extends_a_disk(stage: Stage) -> Any:
    path = created(stage)
    return outcome(call, stage, "ExtendVirtualDisk_Task", path, newCapacityKb=2048, eagerZero=False)


@scenario()
def inflates_a_disk(stage: Stage) -> Any:
    return outcome(call, stage, "InflateVirtualDisk_Task", created(stage))


@scenario()
def asks_for_the_uuid_of_a_disk(stage: Stage) -> Any:
    uuid = call(stage, "QueryVirtualDiskUuid", created(stage))
    return len(uuid.replace(" ", "").replace("-", ""))


@scenario()
def gives_a_disk_another_uuid(stage: Stage) -> Any:
    path, given = created(stage), "60 00 C2 9a 01 02 03 04-05 06 07 08 09 0a 0b 0c"
    call(stage, "SetVirtualDiskUuid", path, uuid=given)
    return call(stage, "QueryVirtualDiskUuid", path).lower() == given.lower()


@scenario()
def asks_for_the_geometry_of_a_disk(stage: Stage) -> Any:
    return outcome(call, stage, "QueryVirtualDiskGeometry", created(stage))


@scenario("oslo")
def reads_the_space_of_a_datastore(stage: Stage) -> Any:
    from oslo_vmware.objects import datastore

    ref = stage.client.native(stage.client.store())
    store = datastore.get_datastore_by_ref(stage.client.session, ref)
    return store.capacity > store.freespace > 0


@scenario("oslo")
def chooses_a_host_that_reaches_a_datastore(stage: Stage) -> Any:
    from oslo_vmware import vim_util
    from oslo_vmware.objects import datastore

    ref = stage.client.native(stage.client.store())
    store = datastore.get_datastore_by_ref(stage.client.session, ref)
    chosen = datastore.Datastore.choose_host(store.get_connected_hosts(stage.client.session))
    assert store.get_summary(stage.client.session).accessible
    return vim_util.get_moref_value(chosen) in [host.id for host in stage.all("HostSystem")]
