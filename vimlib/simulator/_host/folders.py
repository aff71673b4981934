"""The folders of a standalone host, and its datacenter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.handlers import handles
from vimlib.simulator._core.messages import not_supported
from vimlib.simulator._core.objects import Entity, prop

if TYPE_CHECKING:
    from vimlib.simulator._core.call import Call
    from vimlib.simulator._core.registry import Registry


class Folder(Entity):
    """A folder. The folders of a host are fixed."""

    kind = "Folder"

    def __init__(
        self, registry: Registry, moid: str, name: str, parent: Entity | None, types: list[str]
    ) -> None:
        self.types = types
        self.entities: dict[Entity, None] = {}
        super().__init__(registry, moid, name, parent)
        if isinstance(parent, Folder):
            parent.entities[self] = None

    @prop("childType")
    def _types(self) -> list[str]:
        return self.types

    @prop("childEntity")
    def _entities(self) -> list[Any]:
        return [child.ref for child in self.entities]

    def children(self) -> list[Entity]:
        """Return the entities in it."""
        return list(self.entities)

    def add(self, entity: Entity) -> None:
        """Put an entity into it."""
        self.entities[entity] = None
        self.changed("childEntity")

    def drop(self, entity: Entity) -> None:
        """Take an entity out of it."""
        self.entities.pop(entity, None)
        self.changed("childEntity")


class Datacenter(Entity):
    """The one datacenter."""

    kind = "Datacenter"

    def __init__(self, registry: Registry, root: Folder) -> None:
        super().__init__(registry, "ha-datacenter", "ha-datacenter", root)
        root.add(self)
        self.vm = Folder(registry, "ha-folder-vm", "vm", self, ["VirtualMachine"])
        self.hosts = Folder(registry, "ha-folder-host", "host", self, ["ComputeResource"])
        self.datastores = Folder(registry, "ha-folder-datastore", "datastore", self, ["Datastore"])
        self.networks = Folder(registry, "ha-folder-network", "network", self, ["Network"])

    @prop("vmFolder")
    def _vm(self) -> Any:
        return self.vm.ref

    @prop("hostFolder")
    def _hosts(self) -> Any:
        return self.hosts.ref

    @prop("datastoreFolder")
    def _datastores(self) -> Any:
        return self.datastores.ref

    @prop("networkFolder")
    def _networks(self) -> Any:
        return self.networks.ref

    @prop("datastore", cached=False)
    def _datastore(self) -> list[Any]:
        return [store.ref for store in self.datastores.entities]

    @prop("network", cached=False)
    def _network(self) -> list[Any]:
        return [net.ref for net in self.networks.entities]

    @prop("configuration")
    def _configuration(self) -> Any:
        return vim25.DatacenterConfigInfo(defaultHardwareVersionKey=self.registry.release.hardware)

    def children(self) -> list[Entity]:
        """Return its four folders."""
        return [self.vm, self.hosts, self.datastores, self.networks]


@handles(
    Folder,
    "CreateFolder",
    "CreateDatacenter",
    "CreateClusterEx",
    "CreateCluster",
    "AddStandaloneHost_Task",
)
def refuse_to_create(folder: Folder, call: Call) -> Any:
    """Refuse: a host's folders are fixed."""
    raise not_supported()
