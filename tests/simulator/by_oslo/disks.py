# mypy: disable-error-code="import-not-found,attr-defined"
"""Disks, files and datastores."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_oslo.stage import Stage, outcome, scenario


def make(stage: Stage, path: str, kb: int = 1024, kind: str = "thin") -> Any:
    spec = stage.new(
        "FileBackedVirtualDiskSpec", diskType=kind, adapterType="lsiLogic", capacityKb=kb
    )
    return stage.done(
        "CreateVirtualDisk_Task",
        stage.content.virtualDiskManager,
        name=stage.path(path),
        datacenter=stage.datacenter,
        spec=spec,
    )


def remove(stage: Stage, path: str) -> Any:
    return stage.done(
        "DeleteVirtualDisk_Task",
        stage.content.virtualDiskManager,
        name=stage.path(path),
        datacenter=stage.datacenter,
    )


@scenario()
def deletes_a_disk_and_its_extent(stage: Stage) -> Any:
    name = stage.name()
    make(stage, f"{name}.vmdk")
    remove(stage, f"{name}.vmdk")
    return stage.files("", f"{name}*")


@scenario()
def copies_a_disk_to_another_type(stage: Stage) -> Any:
    name = stage.name()
    make(stage, f"{name}.vmdk")
    spec = stage.new("VirtualDiskSpec", diskType="thick", adapterType="lsiLogic")
    return outcome(
        stage.done,
        "CopyVirtualDisk_Task",
        stage.content.virtualDiskManager,
        sourceName=stage.path(f"{name}.vmdk"),
        sourceDatacenter=stage.datacenter,
        destName=stage.path(f"{name}-copy.vmdk"),
        destDatacenter=stage.datacenter,
        destSpec=spec,
        force=False,
    )


@scenario()
def extends_a_disk(stage: Stage) -> Any:
    name = stage.name()
    make(stage, f"{name}.vmdk")
    return outcome(
        stage.done,
        "ExtendVirtualDisk_Task",
        stage.content.virtualDiskManager,
        name=stage.path(f"{name}.vmdk"),
        datacenter=stage.datacenter,
        newCapacityKb=2048,
        eagerZero=False,
    )


@scenario()
def makes_a_disk_that_is_there(stage: Stage) -> Any:
    name = stage.name()
    make(stage, f"{name}.vmdk")
    return outcome(make, stage, f"{name}.vmdk")


@scenario()
def makes_a_disk_larger_than_the_datastore(stage: Stage) -> Any:
    return outcome(make, stage, f"{stage.name()}.vmdk", 2 << 30, "thick")


@scenario()
def deletes_what_is_not_there(stage: Stage) -> Any:
    return outcome(
        stage.done,
        "DeleteDatastoreFile_Task",
        stage.content.fileManager,
        name=stage.path("nobody"),
        datacenter=stage.datacenter,
    )


@scenario()
def deletes_the_disk_of_a_running_machine(stage: Stage) -> Any:
    vm = stage.create(kb=1024)
    stage.done("PowerOnVM_Task", vm)
    devices = stage.read(vm, "config.hardware.device").VirtualDevice
    backing = next(d for d in devices if d.__class__.__name__ == "VirtualDisk").backing
    return outcome(
        stage.done,
        "DeleteVirtualDisk_Task",
        stage.content.virtualDiskManager,
        name=backing.fileName,
        datacenter=stage.datacenter,
    )


@scenario()
def finds_the_files_of_a_machine(stage: Stage) -> Any:
    from oslo_vmware.objects import datastore

    ref = next(iter(stage.all("Datastore").values()))
    store = datastore.get_datastore_by_ref(stage.session, ref)
    assert store.capacity > store.freespace > 0
    stage.create(name := stage.name())
    return f"{name}.vmx" in stage.files(name)


@scenario()
def chooses_a_host_that_reaches_a_datastore(stage: Stage) -> Any:
    from oslo_vmware import vim_util
    from oslo_vmware.objects import datastore

    ref = next(iter(stage.all("Datastore").values()))
    store = datastore.get_datastore_by_ref(stage.session, ref)
    chosen = datastore.Datastore.choose_host(store.get_connected_hosts(stage.session))
    assert store.get_summary(stage.session).accessible
    return vim_util.get_moref_value(chosen) in [
        vim_util.get_moref_value(host) for host in stage.all("HostSystem").values()
    ]
