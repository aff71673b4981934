"""Finding objects by what one knows of them."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_pyvmomi.stage import Stage, outcome, scenario
from tests.simulator.vmomi import vim


def index(stage: Stage) -> Any:
    return stage.content.searchIndex


def place(stage: Stage) -> Any:
    """Return a place whose name has nothing of the machine's."""
    name = stage.name()
    return vim.vm.FileInfo(vmPathName=stage.path(f"{name}/{name}.vmx"))


@scenario
def finds_by_a_path(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    return index(stage).FindByInventoryPath(f"{stage.server.datacenter}/vm/{name}") == vm


@scenario
def finds_nothing_by_a_path(stage: Stage) -> Any:
    return index(stage).FindByInventoryPath("no/such/thing")


@scenario
def finds_by_a_uuid(stage: Stage) -> Any:
    uuid = "42000000-0000-4000-8000-0000000000a1"
    vm = stage.create(uuid=uuid)
    return index(stage).FindByUuid(uuid=uuid, vmSearch=True) == vm


@scenario
def finds_all_by_a_uuid(stage: Stage) -> Any:
    uuid = "42000000-0000-4000-8000-0000000000a2"
    vm = stage.create(uuid=uuid)
    return index(stage).FindAllByUuid(uuid=uuid, vmSearch=True) == [vm]


@scenario
def finds_by_a_datastore_path(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    path = stage.path(f"{name}/{name}.vmx")
    return index(stage).FindByDatastorePath(stage.datacenter, path) == vm


@scenario
def finds_a_child(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    return index(stage).FindChild(stage.folder, name) == vm


@scenario
def finds_nothing_by_an_address(stage: Stage) -> Any:
    return index(stage).FindByIp(ip="192.0.2.1", vmSearch=True)


@scenario
def tells_the_path_of_a_machine(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    parts, entity = [], vm
    while (above := stage.read(entity, "parent")) is not None:
        parts.append(entity.name)
        entity = above
    return parts[::-1] == [stage.server.datacenter, "vm", name]


@scenario
def shows_a_name_with_a_slash(stage: Stage) -> Any:
    return stage.create("c/d%", files=place(stage)).name


@scenario
def asks_a_datacenter_for_its_datastores(stage: Stage) -> Any:
    return [outcome(lambda store=store: store.name) for store in stage.datacenter.datastore]
