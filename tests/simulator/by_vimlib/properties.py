"""Reading properties: by our helpers, and by the calls below them."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_vimlib.stage import VM, Stage, outcome, scenario, there
from vimlib import vim25
from vimlib._collector import INVENTORY


def collector(stage: Stage) -> vim25.PropertyCollector:
    return stage.client.content.propertyCollector


def machines(stage: Stage) -> list[vim25.PropertyFilterSpec]:
    """Return what reads the names of the folder's machines."""
    walk = vim25.TraversalSpec(type="Folder", path="childEntity", skip=False)
    return [
        vim25.PropertyFilterSpec(
            objectSet=[vim25.ObjectSpec(obj=stage.folder, skip=True, selectSet=[walk])],
            propSet=[vim25.PropertySpec(type="VirtualMachine", pathSet=["name"])],
        )
    ]


@scenario
async def reads_many_objects_by_a_view(stage: Stage) -> Any:
    vm = await stage.create()
    return vm in [row.obj async for row in stage.client.collect(VM, "name")]


@scenario
async def reads_many_objects_by_a_list(stage: Stage) -> Any:
    some = [await stage.create(), await stage.create()]
    rows = await stage.client.get(some, "runtime.powerState")
    return [row["runtime.powerState"] for row in rows]


@scenario
async def walks_from_the_root_to_machines(stage: Stage) -> Any:
    vm = await stage.create()
    walk = INVENTORY.start(stage.client.content.rootFolder)
    return vm in [row.obj async for row in stage.client.collect(VM, "name", source=walk)]


@scenario
async def reads_page_by_page(stage: Stage) -> Any:
    some = {await stage.create(), await stage.create(), await stage.create()}
    rows = await stage.client.collect(VM, "name", page=1).all()
    return some <= {row.obj for row in rows}


@scenario
async def pages_through_a_read(stage: Stage) -> Any:
    await stage.create()
    await stage.create()
    options = vim25.RetrieveOptions(maxObjects=1)
    found = there(await collector(stage).RetrievePropertiesEx(machines(stage), options))
    return bool(found.token)


@scenario
async def goes_on_with_a_token_that_is_none(stage: Stage) -> Any:
    return await outcome(collector(stage).ContinueRetrievePropertiesEx("17"))


@scenario
async def gives_up_a_read(stage: Stage) -> Any:
    await stage.create()
    await stage.create()
    options = vim25.RetrieveOptions(maxObjects=1)
    found = there(await collector(stage).RetrievePropertiesEx(machines(stage), options))
    return await outcome(collector(stage).CancelRetrievePropertiesEx(found.token or "17"))


@scenario
async def reads_a_property_that_is_none(stage: Stage) -> Any:
    spec = vim25.PropertyFilterSpec(
        objectSet=[vim25.ObjectSpec(obj=stage.datacenter)],
        propSet=[vim25.PropertySpec(type="Datacenter", pathSet=["nonsense"])],
    )
    return await outcome(collector(stage).RetrieveProperties([spec]))


@scenario
async def reads_of_an_object_that_is_gone(stage: Stage) -> Any:
    return await outcome(stage.client.get(VM("no-such"), "name"))


@scenario
async def reads_a_device_by_its_key(stage: Stage) -> Any:
    vm = await stage.create(disk_kb=1024)
    device = (await stage.devices(vm, vim25.VirtualDisk))[0]
    path = f"config.hardware.device[{device.key}]"
    spec = vim25.PropertyFilterSpec(
        objectSet=[vim25.ObjectSpec(obj=vm)],
        propSet=[vim25.PropertySpec(type="VirtualMachine", pathSet=[path])],
    )
    found = await collector(stage).RetrieveProperties([spec])
    if found[0].missingSet:
        return found[0].missingSet[0].fault.fault.fault_name
    return type(found[0].propSet[0].val).__name__


@scenario
async def reads_machines_and_their_parts(stage: Stage) -> Any:
    vm = await stage.create(annotation="note")
    row = await stage.client.get(
        vm, "config.annotation", "config.hardware.memoryMB", "summary.config.numCpu"
    )
    return list(row.props.values())


@scenario
async def makes_an_inventory_view(stage: Stage) -> Any:
    views = there(stage.client.content.viewManager)
    return await outcome(views.CreateInventoryView())


@scenario
async def changes_a_list_view(stage: Stage) -> Any:
    views = there(stage.client.content.viewManager)
    one, two = await stage.create(), await stage.create()
    view = await views.CreateListView(obj=[one])
    await view.ModifyListView(add=[two], remove=[one])
    shown = await stage.read(view, "view")
    await view.DestroyView()
    return shown == [two]
