"""Finding objects by their path, UUID or address."""

from __future__ import annotations

from typing import Any

from tests.simulator.scenarios.machines import place
from tests.simulator.stage import Stage, outcome, scenario
from tests.simulator.values import Ref


def find(stage: Stage, method: str, **args: Any) -> Any:
    return stage.call(method, stage.content.searchIndex, **args)


@scenario()
def finds_by_a_path(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    path = f"{stage.server.datacenter}/vm/{name}"
    return find(stage, "FindByInventoryPath", inventoryPath=path) == vm


@scenario()
def finds_nothing_by_a_path(stage: Stage) -> Any:
    return find(stage, "FindByInventoryPath", inventoryPath="no/such/thing")


@scenario()
def finds_by_a_uuid(stage: Stage) -> Any:
    vm = stage.create(uuid=(uuid := "42000000-0000-4000-8000-0000000000a1"))
    return find(stage, "FindByUuid", uuid=uuid, vmSearch=True) == vm


@scenario()
def finds_all_by_a_uuid(stage: Stage) -> Any:
    vm = stage.create(uuid=(uuid := "42000000-0000-4000-8000-0000000000a2"))
    return find(stage, "FindAllByUuid", uuid=uuid, vmSearch=True) == [vm]


@scenario()
def finds_by_a_datastore_path(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    path = stage.path(f"{name}/{name}.vmx")
    return find(stage, "FindByDatastorePath", datacenter=stage.datacenter, path=path) == vm


@scenario()
def finds_a_child(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    return find(stage, "FindChild", entity=stage.folder, name=name) == vm


@scenario()
def finds_nothing_by_an_address(stage: Stage) -> Any:
    return find(stage, "FindByIp", ip="192.0.2.1", vmSearch=True)


def matches(stage: Stage, pattern: str) -> list[tuple[str, Ref]]:
    """Return the names and objects that match a pattern, by vimlib's own search."""
    from vimlib import vim25

    found = stage.client.run(stage.client.client.find(pattern, vim25.VirtualMachine))
    return [(item.path.rpartition("/")[2], Ref(*item.obj.moref)) for item in found]


@scenario("vimlib")
def finds_by_a_pattern(stage: Stage) -> Any:
    vm = stage.create(name := f"pattern-{stage.name()}")
    return [(last == name, ref == vm) for last, ref in matches(stage, "/*/vm/pattern-*")]


@scenario("vimlib")
def finds_a_name_with_a_slash(stage: Stage) -> Any:
    from vimlib._inventory import escape

    vm = stage.create(name := f"a/b%{stage.name()}", files=place(stage))
    return [ref == vm for _, ref in matches(stage, f"/*/vm/{escape(name)}")]


@scenario()
def resolves_the_path_of_a_machine(stage: Stage) -> Any:
    vm = stage.create(name := stage.name())
    return stage.client.path_of(vm) == f"{stage.server.datacenter}/vm/{name}"


@scenario()
def shows_a_name_with_a_slash(stage: Stage) -> Any:
    return stage.get(stage.create("c/d%", files=place(stage)), "name")


@scenario()
def asks_a_datacenter_for_its_datastores(stage: Stage) -> Any:
    stores = stage.get(stage.datacenter, "datastore")
    return [outcome(stage.get, store, "name") for store in stores]
