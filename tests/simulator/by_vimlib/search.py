"""Finding objects by what one knows of them."""

from __future__ import annotations

from typing import Any

from tests.simulator.by_vimlib.stage import VM, Stage, scenario, there
from vimlib import vim25
from vimlib._inventory import escape


def index(stage: Stage) -> vim25.SearchIndex:
    return there(stage.client.content.searchIndex)


def place(stage: Stage) -> vim25.VirtualMachineFileInfo:
    """Return a place whose name has nothing of the machine's."""
    name = stage.name()
    return vim25.VirtualMachineFileInfo(vmPathName=stage.path(f"{name}/{name}.vmx"))


@scenario
async def finds_by_a_path(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name())
    return await index(stage).FindByInventoryPath(f"{stage.server.datacenter}/vm/{name}") == vm


@scenario
async def finds_nothing_by_a_path(stage: Stage) -> Any:
    return await index(stage).FindByInventoryPath("no/such/thing")


@scenario
async def finds_by_a_uuid(stage: Stage) -> Any:
    uuid = "42000000-0000-4000-8000-0000000000a1"
    vm = await stage.create(uuid=uuid)
    return await index(stage).FindByUuid(uuid=uuid, vmSearch=True) == vm


@scenario
async def finds_all_by_a_uuid(stage: Stage) -> Any:
    uuid = "42000000-0000-4000-8000-0000000000a2"
    vm = await stage.create(uuid=uuid)
    return await index(stage).FindAllByUuid(uuid=uuid, vmSearch=True) == [vm]


@scenario
async def finds_by_a_datastore_path(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name())
    path = stage.path(f"{name}/{name}.vmx")
    return await index(stage).FindByDatastorePath(stage.datacenter, path) == vm


@scenario
async def finds_a_child(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name())
    return await index(stage).FindChild(stage.folder, name) == vm


@scenario
async def finds_nothing_by_an_address(stage: Stage) -> Any:
    return await index(stage).FindByIp(ip="192.0.2.1", vmSearch=True)


@scenario
async def finds_by_a_pattern(stage: Stage) -> Any:
    vm = await stage.create(name := f"pattern-{stage.name()}")
    found = await stage.client.find("/*/vm/pattern-*", VM)
    return [(item.path.rpartition("/")[2] == name, item.obj == vm) for item in found]


@scenario
async def tells_the_path_of_a_machine(stage: Stage) -> Any:
    vm = await stage.create(name := stage.name())
    return await stage.client.paths([vm]) == [f"/{stage.server.datacenter}/vm/{name}"]


@scenario
async def finds_a_name_with_a_slash(stage: Stage) -> Any:
    vm = await stage.create(name := f"a/b%{stage.name()}", files=place(stage))
    found = await stage.client.find(f"/*/vm/{escape(name)}", VM)
    return [item.obj == vm for item in found]


@scenario
async def shows_a_name_with_a_slash(stage: Stage) -> Any:
    vm = await stage.create("c/d%", files=place(stage))
    return await stage.read(vm, "name")
