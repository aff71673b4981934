# mypy: disable-error-code="import-not-found,attr-defined"
"""Reading properties, and hearing of changes."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_oslo.stage import ORDERS, Stage, scenario


def listed(stage: Stage, most: int) -> Any:
    from oslo_vmware import vim_util

    return stage.session.invoke_api(
        vim_util, "get_objects", stage.vim, "VirtualMachine", most, ["name"]
    )


@scenario()
def reads_many_objects_by_a_view(stage: Stage) -> Any:
    stage.create(name := stage.name())
    return name in stage.all("VirtualMachine")


@scenario(here_only="vcsim's process ends at so deep a traversal")
def walks_from_the_root_to_machines(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    stage.create(name := stage.name())
    with vim_util.WithRetrieval(stage.vim, listed(stage, 100)) as objects:
        return name in [obj.propSet[0].val for obj in objects]


@scenario(here_only="vcsim's process ends at so deep a traversal")
def reads_page_by_page(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    some = {stage.name(), stage.name()}
    for name in some:
        stage.create(name)
    found = listed(stage, 1)
    assert len(found.objects) == 1
    with vim_util.WithRetrieval(stage.vim, found) as objects:
        names = [obj.propSet[0].val for obj in objects]
    assert len(names) == len(set(names))
    return some <= set(names)


@scenario(here_only=ORDERS)
def gives_up_paging(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    stage.create()
    vim_util.cancel_retrieval(stage.vim, listed(stage, 1))
    assert stage.control("calls", method="CancelRetrievePropertiesEx")["calls"][-1]["fault"] is None


@scenario()
def reads_properties_as_a_dictionary(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    found = stage.session.invoke_api(
        vim_util,
        "get_object_properties_dict",
        stage.vim,
        stage.create(),
        ["runtime.powerState", "config.hardware.memoryMB"],
    )
    return sorted(found.items())


@scenario()
def tells_the_path_of_a_machine(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    vm = stage.create(name := stage.name())
    path = stage.session.invoke_api(vim_util, "get_inventory_path", stage.vim, vm)
    return path.strip("/") == f"{stage.center}/vm/{name}"


@scenario()
def reads_of_an_object_that_is_gone(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    return stage.read(vim_util.get_moref("no-such", "VirtualMachine"), "name")


@scenario()
def reads_many_objects_by_a_list(stage: Stage) -> Any:
    from oslo_vmware import vim_util

    found = stage.session.invoke_api(
        vim_util,
        "get_properties_for_a_collection_of_objects",
        stage.vim,
        "VirtualMachine",
        [stage.create(), stage.create()],
        ["runtime.powerState"],
    )
    return [item.propSet[0].val for item in found.objects]


@scenario()
def watches_a_change_of_power(stage: Stage) -> Any:
    vm = stage.create()
    collector = stage.call("CreatePropertyCollector", stage.content.propertyCollector)
    paths = stage.new(
        "PropertySpec", type="VirtualMachine", all=False, pathSet=["runtime.powerState"]
    )
    spec = stage.new(
        "PropertyFilterSpec",
        propSet=[paths],
        objectSet=[stage.new("ObjectSpec", obj=vm, skip=False)],
    )
    stage.call("CreateFilter", collector, spec=spec, partialUpdates=False)
    options = stage.new("WaitOptions", maxWaitSeconds=10)
    first = stage.call("WaitForUpdatesEx", collector, version="", options=options)
    stage.done("PowerOnVM_Task", vm)
    second = stage.call("WaitForUpdatesEx", collector, version=first.version, options=options)
    stage.call("DestroyPropertyCollector", collector)
    return second.filterSet[0].objectSet[0].changeSet[-1].val
