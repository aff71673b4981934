"""SearchIndex: entities by path, UUID, address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import with_message
from vimlib.simulator._core.objects import Entity, SimObject, escape_name
from vimlib.simulator._host.folders import Folder
from vimlib.simulator._storage.datastore import by_name, split_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vimlib.simulator._core.call import Call


class SearchIndex(SimObject):
    """Finds entities by path, UUID, address."""

    kind = "SearchIndex"


@handles(SearchIndex, "FindByInventoryPath")
def find_by_path(index: SearchIndex, call: Call) -> Any:
    """Find by a path of names such as `ha-datacenter/vm/web-1`."""
    at: Entity = index.registry.all(Folder)["ha-folder-root"]
    for part in call.args["inventoryPath"].strip("/").split("/"):
        found = _child(at, part) if part else at
        if found is None:
            return None
        at = found
    return at.ref


def _child(entity: Entity, name: str) -> Entity | None:
    return next(
        (child for child in entity.children() if name in (child.name, escape_name(child.name))),
        None,
    )


@handles(SearchIndex, "FindChild")
def find_child(index: SearchIndex, call: Call) -> Any:
    """Find right below an entity, by name."""
    entity = index.registry.find(call.args["entity"])
    found = _child(entity, call.args["name"])
    return found.ref if found else None


def _by_uuid(index: SearchIndex, call: Call) -> Iterator[Any]:
    wanted = call.args["uuid"].lower()
    if not call.args["vmSearch"]:
        if index.registry.one("HostSystem").uuid == wanted:
            yield index.registry.one("HostSystem").ref
        return
    instance = bool(call.get("instanceUuid"))
    for machine in index.registry.all("VirtualMachine").values():
        config = machine.config
        if (config.instanceUuid if instance else config.uuid) == wanted:
            yield machine.ref


@handles(SearchIndex, "FindByUuid")
def find_by_uuid(index: SearchIndex, call: Call) -> Any:
    """Find a machine by BIOS or instance UUID, or the host."""
    return next(_by_uuid(index, call), None)


@handles(SearchIndex, "FindAllByUuid")
def find_all_by_uuid(index: SearchIndex, call: Call) -> list[Any]:
    """Find all of a UUID."""
    return list(_by_uuid(index, call))


@handles(SearchIndex, "FindByDatastorePath")
def find_by_datastore_path(index: SearchIndex, call: Call) -> Any:
    """Find a machine by the path of its configuration file."""
    name, path = split_path(call.args["path"])
    if name not in by_name(index.registry):
        raise with_message(vim25.InvalidDatastore(name=name))
    text = f"[{name}] {path}"
    return next(
        (
            m.ref
            for m in index.registry.all("VirtualMachine").values()
            if m.config.files.vmPathName == text
        ),
        None,
    )


def _by_guest(index: SearchIndex, wanted: str, attribute: str) -> Iterator[Any]:
    for machine in index.registry.all("VirtualMachine").values():
        if wanted and getattr(machine.read("guest"), attribute) == wanted:
            yield machine.ref


@handles(SearchIndex, "FindByIp")
def find_by_ip(index: SearchIndex, call: Call) -> Any:
    """Find a machine by its guest's address, or the host by its own."""
    if not call.args["vmSearch"]:
        return (
            index.registry.one("HostSystem").ref
            if call.args["ip"] == index.registry.address
            else None
        )
    return next(_by_guest(index, call.args["ip"], "ipAddress"), None)


@handles(SearchIndex, "FindAllByIp")
def find_all_by_ip(index: SearchIndex, call: Call) -> list[Any]:
    """Find all machines of an address."""
    return list(_by_guest(index, call.args["ip"], "ipAddress")) if call.args["vmSearch"] else []


@handles(SearchIndex, "FindByDnsName")
def find_by_dns_name(index: SearchIndex, call: Call) -> Any:
    """Find a machine by its guest's host name, or the host by its own."""
    if not call.args["vmSearch"]:
        return (
            index.registry.one("HostSystem").ref
            if call.args["dnsName"] == index.registry.one("HostSystem").name
            else None
        )
    return next(_by_guest(index, call.args["dnsName"], "hostName"), None)


@handles(SearchIndex, "FindAllByDnsName")
def find_all_by_dns_name(index: SearchIndex, call: Call) -> list[Any]:
    """Find all machines of a host name."""
    return list(_by_guest(index, call.args["dnsName"], "hostName")) if call.args["vmSearch"] else []
