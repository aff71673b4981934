"""Reading properties."""

from __future__ import annotations

from typing import Any

from tests.simulator.stage import Stage, outcome, scenario
from tests.simulator.values import Obj, Ref, new


def first_page(stage: Stage) -> Obj:
    """Read the names of the folder's machines, of which there are two at least, one at a time."""
    stage.create()
    stage.create()
    walk = new("TraversalSpec", type="Folder", path="childEntity", skip=False)
    start = new("ObjectSpec", obj=stage.folder, skip=True, selectSet=[walk])
    names = new("PropertySpec", type="VirtualMachine", all=False, pathSet=["name"])
    spec = new("PropertyFilterSpec", objectSet=[start], propSet=[names])
    options = new("RetrieveOptions", maxObjects=1)
    collector = stage.content.propertyCollector
    return stage.call("RetrievePropertiesEx", collector, specSet=[spec], options=options)  # type: ignore[no-any-return]


@scenario()
def reads_many_objects_by_a_view(stage: Stage) -> Any:
    return stage.create() in stage.all("VirtualMachine")


@scenario()
def reads_many_objects_by_a_list(stage: Stage) -> Any:
    return stage.client.get_many([stage.create(), stage.create()], "runtime.powerState")


@scenario()
def walks_from_the_root_to_machines(stage: Stage) -> Any:
    return stage.create() in stage.client.walk()


@scenario()
def reads_page_by_page(stage: Stage) -> Any:
    some = {stage.create() for _ in range(3)}
    return some <= set(stage.client.walk_in_pages())


@scenario()
def pages_through_a_read(stage: Stage) -> Any:
    return bool(first_page(stage).token)


@scenario()
def continues_with_an_unknown_token(stage: Stage) -> Any:
    collector = stage.content.propertyCollector
    return outcome(stage.call, "ContinueRetrievePropertiesEx", collector, token="17")


@scenario()
def cancels_a_read(stage: Stage) -> Any:
    token = first_page(stage).token or "17"
    collector = stage.content.propertyCollector
    return outcome(stage.call, "CancelRetrievePropertiesEx", collector, token=token)


@scenario()
def reads_an_unknown_property(stage: Stage) -> Any:
    spec = stage.client.filter_spec([stage.datacenter], "nonsense")
    return outcome(stage.client.retrieve, spec)


@scenario()
def reads_a_missing_object(stage: Stage) -> Any:
    return outcome(stage.get, Ref("VirtualMachine", "no-such"), "name")


@scenario()
def reads_a_device_by_its_key(stage: Stage) -> Any:
    vm = stage.create(disk_kb=1024)
    path = f"config.hardware.device[{stage.devices(vm, 'VirtualDisk')[0].key}]"
    [found] = stage.client.retrieve(stage.client.filter_spec([vm], path))
    if found.missingSet:
        return found.missingSet[0].fault.fault._kind
    return found.propSet[0].val._kind


@scenario()
def reads_machines_and_their_parts(stage: Stage) -> Any:
    vm = stage.create(annotation="note")
    paths = ("config.annotation", "config.hardware.memoryMB", "summary.config.numCpu")
    return [stage.get(vm, path) for path in paths]


@scenario()
def makes_an_inventory_view(stage: Stage) -> Any:
    return outcome(stage.call, "CreateInventoryView", stage.content.viewManager)


@scenario()
def changes_a_list_view(stage: Stage) -> Any:
    one, two = stage.create(), stage.create()
    view = stage.call("CreateListView", stage.content.viewManager, obj=[one])
    stage.call("ModifyListView", view, add=[two], remove=[one])
    shown = stage.get(view, "view")
    stage.call("DestroyView", view)
    return shown == [two]


@scenario("pyvmomi")
def fetches_a_property_that_is_not_set(stage: Stage) -> Any:
    return stage.client.fetch(stage.create(), "snapshot")


@scenario("oslo")
def reads_properties_as_a_dictionary(stage: Stage) -> Any:
    paths = ["runtime.powerState", "config.hardware.memoryMB"]
    vm = stage.client.native(stage.create())
    return sorted(stage.client.helped("get_object_properties_dict", vm, paths).items())
