"""Reading properties."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_pyvmomi.stage import PC, Stage, named, outcome, scenario
from tests.simulator.vmomi import vim


def collector(stage: Stage) -> Any:
    return stage.content.propertyCollector


def machines(stage: Stage) -> list[Any]:
    """Return what reads the names of the folder's machines."""
    walk = PC.TraversalSpec(type=vim.Folder, path="childEntity", skip=False)
    return [
        PC.FilterSpec(
            objectSet=[PC.ObjectSpec(obj=stage.folder, skip=True, selectSet=[walk])],
            propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
        )
    ]


@scenario
def reads_many_objects_by_a_view(stage: Stage) -> Any:
    vm = stage.create()
    return vm in stage.all(vim.VirtualMachine)


@scenario
def reads_many_objects_by_a_list(stage: Stage) -> Any:
    some = [stage.create(), stage.create()]
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=vm) for vm in some],
        propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=["runtime.powerState"])],
    )
    found = collector(stage).RetrieveContents([spec])
    return [item.propSet[0].val for item in found]


@scenario
def walks_from_the_root_to_machines(stage: Stage) -> Any:
    vm = stage.create()
    again = [PC.SelectionSpec(name="down"), PC.SelectionSpec(name="machines")]
    down = PC.TraversalSpec(name="down", type=vim.Folder, path="childEntity", selectSet=again)
    machines = PC.TraversalSpec(
        name="machines", type=vim.Datacenter, path="vmFolder", selectSet=again[:1]
    )
    root = stage.content.rootFolder
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=root, skip=True, selectSet=[down, machines])],
        propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])],
    )
    return vm in [item.obj for item in collector(stage).RetrieveContents([spec])]


@scenario
def reads_page_by_page(stage: Stage) -> Any:
    some = {stage.create(), stage.create(), stage.create()}
    options = PC.RetrieveOptions(maxObjects=1)
    found = collector(stage).RetrievePropertiesEx(machines(stage), options)
    seen = [item.obj for item in found.objects]
    while found.token:
        found = collector(stage).ContinueRetrievePropertiesEx(found.token)
        seen += [item.obj for item in found.objects]
    return some <= set(seen)


@scenario
def pages_through_a_read(stage: Stage) -> Any:
    stage.create()
    stage.create()
    options = PC.RetrieveOptions(maxObjects=1)
    found = collector(stage).RetrievePropertiesEx(machines(stage), options)
    return bool(found.token)


@scenario
def goes_on_with_a_token_that_is_none(stage: Stage) -> Any:
    return outcome(lambda: collector(stage).ContinueRetrievePropertiesEx("17"))


@scenario
def gives_up_a_read(stage: Stage) -> Any:
    stage.create()
    stage.create()
    options = PC.RetrieveOptions(maxObjects=1)
    found = collector(stage).RetrievePropertiesEx(machines(stage), options)
    return outcome(lambda: collector(stage).CancelRetrievePropertiesEx(found.token or "17"))


@scenario
def reads_a_property_that_is_none(stage: Stage) -> Any:
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=stage.datacenter)],
        propSet=[PC.PropertySpec(type=vim.Datacenter, pathSet=["nonsense"])],
    )
    return outcome(lambda: collector(stage).RetrieveProperties([spec]))


@scenario
def reads_of_an_object_that_is_gone(stage: Stage) -> Any:
    return outcome(lambda: vim.VirtualMachine("no-such", stage.si._stub).name)


@scenario
def reads_a_device_by_its_key(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    device = stage.devices(vm, vim.vm.device.VirtualDisk)[0]
    path = f"config.hardware.device[{device.key}]"
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=vm)],
        propSet=[PC.PropertySpec(type=vim.VirtualMachine, pathSet=[path])],
    )
    found = collector(stage).RetrieveProperties([spec])
    if found[0].missingSet:
        return named(found[0].missingSet[0].fault)
    return named(found[0].propSet[0].val)


@scenario
def reads_machines_and_their_parts(stage: Stage) -> Any:
    vm = stage.create(annotation="note")
    return [vm.config.annotation, vm.config.hardware.memoryMB, vm.summary.config.numCpu]


@scenario
def makes_an_inventory_view(stage: Stage) -> Any:
    views = stage.content.viewManager
    return outcome(views.CreateInventoryView)


@scenario
def changes_a_list_view(stage: Stage) -> Any:
    views = stage.content.viewManager
    one, two = stage.create(), stage.create()
    view = views.CreateListView(obj=[one])
    view.ModifyListView(add=[two], remove=[one])
    shown = view.view
    view.DestroyView()
    return shown == [two]


@scenario
def fetches_a_property_that_is_not_set(stage: Stage) -> Any:
    return stage.create().snapshot
