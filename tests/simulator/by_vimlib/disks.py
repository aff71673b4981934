"""Disks that belong to no machine."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_vimlib.stage import Stage, outcome, scenario, there
from vimlib import vim25


def manager(stage: Stage) -> vim25.VirtualDiskManager:
    return there(stage.client.content.virtualDiskManager)


async def copy(stage: Stage, source: str, target: str, **more: Any) -> None:
    await stage.done(
        manager(stage).CopyVirtualDisk_Task(
            source,
            sourceDatacenter=stage.datacenter,
            destName=target,
            destDatacenter=stage.datacenter,
            **more,
        )
    )


async def listed(stage: Stage, name: str) -> list[str]:
    """Return which of the names that begin with `name` are in the datastore's root."""
    return [item.name.removeprefix(name) for item in await stage.files.list("", f"{name}*")]


@scenario
async def makes_a_disk(stage: Stage) -> Any:
    name = stage.name()
    await stage.create_disk(stage.path(f"{name}.vmdk"))
    return await stage.files.exists(f"{name}.vmdk")


@scenario
async def makes_a_disk_as_large_as_asked_for(stage: Stage) -> Any:
    name = stage.name()
    await stage.create_disk(stage.path(f"{name}.vmdk"), "eagerZeroedThick", 1024)
    return (await stage.files.stat(f"{name}-flat.vmdk")).size


@scenario
async def makes_a_disk_that_is_there(stage: Stage) -> Any:
    path = await stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    return await outcome(stage.create_disk(path))


@scenario
async def makes_a_disk_in_no_folder(stage: Stage) -> Any:
    return await outcome(stage.create_disk(stage.path(f"{stage.name()}/such.vmdk")))


@scenario
async def makes_a_disk_of_no_known_type(stage: Stage) -> Any:
    return await outcome(stage.create_disk(stage.path(f"{stage.name()}.vmdk"), "nonsense"))


@scenario
async def makes_a_disk_larger_than_the_datastore(stage: Stage) -> Any:
    path = stage.path(f"{stage.name()}.vmdk")
    return await outcome(stage.create_disk(path, "thick", 2 << 30))


@scenario
async def copies_a_disk(stage: Stage) -> Any:
    name = stage.name()
    path = await stage.create_disk(stage.path(f"{name}.vmdk"))
    await copy(stage, path, stage.path(f"{name}-copy.vmdk"))
    return await stage.files.exists(f"{name}-copy.vmdk")


@scenario
async def copies_a_disk_to_another_type(stage: Stage) -> Any:
    name = stage.name()
    path = await stage.create_disk(stage.path(f"{name}.vmdk"))
    spec = vim25.VirtualDiskSpec(diskType="thin", adapterType="lsiLogic")
    return await outcome(copy(stage, path, stage.path(f"{name}-copy.vmdk"), destSpec=spec))


@scenario
async def copies_a_disk_that_is_not_there(stage: Stage) -> Any:
    name = stage.name()
    return await outcome(copy(stage, stage.path(f"{name}.vmdk"), stage.path(f"{name}-copy.vmdk")))


@scenario
async def moves_a_disk(stage: Stage) -> Any:
    name = stage.name()
    path = await stage.create_disk(stage.path(f"{name}.vmdk"))
    await stage.done(
        manager(stage).MoveVirtualDisk_Task(
            path,
            sourceDatacenter=stage.datacenter,
            destName=stage.path(f"{name}-moved.vmdk"),
            destDatacenter=stage.datacenter,
        )
    )
    return [await stage.files.exists(f"{name}{end}") for end in (".vmdk", "-moved.vmdk")]


@scenario
async def deletes_a_disk_and_its_extent(stage: Stage) -> Any:
    name = stage.name()
    path = await stage.create_disk(stage.path(f"{name}.vmdk"))
    await stage.done(manager(stage).DeleteVirtualDisk_Task(path, datacenter=stage.datacenter))
    return await listed(stage, name)


@scenario
async def deletes_a_disk_that_is_not_there(stage: Stage) -> Any:
    path = stage.path("no-such.vmdk")
    return await outcome(
        stage.done(manager(stage).DeleteVirtualDisk_Task(path, datacenter=stage.datacenter))
    )


@scenario
async def deletes_the_disk_of_a_running_machine(stage: Stage) -> Any:
    vm = await stage.create(disk_kb=1024)
    await stage.done(vm.PowerOnVM_Task())
    device = (await stage.devices(vm, vim25.VirtualDisk))[0]
    backing = device.backing
    assert isinstance(backing, vim25.VirtualDiskFlatVer2BackingInfo)
    path = backing.fileName
    return await outcome(
        stage.done(manager(stage).DeleteVirtualDisk_Task(path, datacenter=stage.datacenter))
    )


@scenario
async def extends_a_disk(stage: Stage) -> Any:
    path = await stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    task = manager(stage).ExtendVirtualDisk_Task(
        path, datacenter=stage.datacenter, newCapacityKb=2048, eagerZero=False
    )
    return await outcome(stage.done(task))


@scenario
async def inflates_a_disk(stage: Stage) -> Any:
    path = await stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    task = manager(stage).InflateVirtualDisk_Task(path, datacenter=stage.datacenter)
    return await outcome(stage.done(task))


@scenario
async def asks_for_the_uuid_of_a_disk(stage: Stage) -> Any:
    path = await stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    uuid = await manager(stage).QueryVirtualDiskUuid(path, datacenter=stage.datacenter)
    return len(uuid.replace(" ", "").replace("-", ""))


@scenario
async def gives_a_disk_another_uuid(stage: Stage) -> Any:
    path = await stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    given = "60 00 C2 9a 01 02 03 04-05 06 07 08 09 0a 0b 0c"
    await manager(stage).SetVirtualDiskUuid(path, datacenter=stage.datacenter, uuid=given)
    found = await manager(stage).QueryVirtualDiskUuid(path, datacenter=stage.datacenter)
    return found.lower() == given.lower()


@scenario
async def asks_for_the_geometry_of_a_disk(stage: Stage) -> Any:
    path = await stage.create_disk(stage.path(f"{stage.name()}.vmdk"))
    return await outcome(manager(stage).QueryVirtualDiskGeometry(path, datacenter=stage.datacenter))
