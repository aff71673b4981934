"""The tree of a standalone host: folders, the datacenter, the compute resource, pools; and its building."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.model import ManagedObject
from vimlib.simulator._collector import SharedCollector
from vimlib.simulator._events import EventManager
from vimlib.simulator._host_system import HostSystem, about
from vimlib.simulator._managers import build_managers
from vimlib.simulator._network import NetworkSystem
from vimlib.simulator._objects import Entity, Served, prop, serves
from vimlib.simulator._sessions import SessionManager
from vimlib.simulator._tasks import TaskManager
from vimlib.simulator._views import ViewManager
from vimlib.simulator._world import say

if TYPE_CHECKING:
    from vimlib.simulator._call import Call
    from vimlib.simulator._world import World

__all__ = ["ComputeResource", "Datacenter", "Folder", "ResourcePool", "ServiceInstance", "build"]


class Folder(Entity):
    """A folder; a host's are fixed."""

    kind = "Folder"

    def __init__(
        self, world: World, moid: str, name: str, parent: Entity | None, types: list[str]
    ) -> None:
        self.types = types
        self.entities: dict[Entity, None] = {}
        super().__init__(world, moid, name, parent)
        if isinstance(parent, Folder):
            parent.entities[self] = None

    @prop("childType")
    def _types(self) -> list[str]:
        return self.types

    @prop("childEntity")
    def _entities(self) -> list[Any]:
        return [child.ref for child in self.entities]

    def children(self) -> list[Entity]:
        """Return what is in it."""
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

    def __init__(self, world: World, root: Folder) -> None:
        super().__init__(world, "ha-datacenter", "ha-datacenter", root)
        root.add(self)
        self.vm = Folder(world, "ha-folder-vm", "vm", self, ["VirtualMachine"])
        self.hosts = Folder(world, "ha-folder-host", "host", self, ["ComputeResource"])
        self.datastores = Folder(world, "ha-folder-datastore", "datastore", self, ["Datastore"])
        self.networks = Folder(world, "ha-folder-network", "network", self, ["Network"])

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
        return [store.ref for store in self.world.datastores.values()]

    @prop("network", cached=False)
    def _network(self) -> list[Any]:
        return [net.ref for net in self.networks.entities]

    @prop("configuration")
    def _configuration(self) -> Any:
        return vim25.DatacenterConfigInfo(defaultHardwareVersionKey=self.world.release.hardware)

    def children(self) -> list[Entity]:
        """Return its four folders."""
        return [self.vm, self.hosts, self.datastores, self.networks]


class ComputeResource(Entity):
    """The host as a place to run machines."""

    kind = "ComputeResource"

    def __init__(self, world: World, folder: Folder, name: str) -> None:
        super().__init__(world, "ha-compute-res", name, folder)
        folder.add(self)
        self.pool: ResourcePool
        self.host: HostSystem

    @prop("resourcePool")
    def _pool(self) -> Any:
        return self.pool.ref

    @prop("host")
    def _host(self) -> list[Any]:
        return [self.host.ref]

    @prop("datastore", cached=False)
    def _datastore(self) -> list[Any]:
        return [store.ref for store in self.world.datastores.values()]

    @prop("network", cached=False)
    def _network(self) -> list[Any]:
        return self.host.read("network")  # type: ignore[no-any-return]

    @prop("environmentBrowser")
    def _browser(self) -> Any:
        return self.world.objects["EnvironmentBrowser", "envbrowser-ha-compute-res"].ref

    @prop("summary")
    def _summary(self) -> Any:
        shape = self.host.shape
        return vim25.ComputeResourceSummary(
            totalCpu=shape.cores * shape.mhz,
            totalMemory=shape.memory,
            numCpuCores=shape.cores,
            numCpuThreads=shape.threads,
            effectiveCpu=shape.cores * shape.mhz,
            effectiveMemory=shape.memory >> 20,
            numHosts=1,
            numEffectiveHosts=1,
            overallStatus="green",
        )

    @prop("configurationEx")
    def _configuration(self) -> Any:
        return vim25.ComputeResourceConfigInfo(vmSwapPlacement="vmDirectory")

    def children(self) -> list[Entity]:
        """Return the host and the root pool."""
        return [self.host, self.pool]


class ResourcePool(Entity):
    """A resource pool."""

    kind = "ResourcePool"

    def __init__(
        self, world: World, moid: str, name: str, parent: Entity, owner: ComputeResource
    ) -> None:
        self.owner = owner
        self.pools: dict[ResourcePool, None] = {}
        self.machines: dict[Any, None] = {}
        self.allocation: Any = None
        """What it was configured with; None for the root."""
        super().__init__(world, moid, name, parent)

    @prop("owner")
    def _owner(self) -> Any:
        return self.owner.ref

    @prop("resourcePool")
    def _pools(self) -> list[Any]:
        return [pool.ref for pool in self.pools]

    @prop("vm")
    def _machines(self) -> list[Any]:
        return [machine.ref for machine in self.machines]

    @prop("config")
    def _config(self) -> Any:
        given = self.allocation
        shape = self.owner.host.shape
        return vim25.ResourceConfigSpec(
            entity=self.ref,
            cpuAllocation=given.cpuAllocation if given else _allocation(shape.cores * shape.mhz),
            memoryAllocation=given.memoryAllocation if given else _allocation(shape.memory >> 20),
        )

    @prop("runtime")
    def _runtime(self) -> Any:
        shape = self.owner.host.shape
        return vim25.ResourcePoolRuntimeInfo(
            memory=_usage(shape.memory), cpu=_usage(shape.cores * shape.mhz), overallStatus="green"
        )

    @prop("summary")
    def _summary(self) -> Any:
        return vim25.ResourcePoolSummary(
            name=self.name,
            config=self.read("config"),
            runtime=self.read("runtime"),
            configuredMemoryMB=sum(machine.config.hardware.memoryMB for machine in self.machines),
        )

    def children(self) -> list[Entity]:
        """Return pools and machines in it."""
        return [*self.pools, *self.machines]

    def contents(self) -> list[Entity]:
        """Return what a container view finds in it."""
        return self.children()


def _allocation(amount: int) -> Any:
    return vim25.ResourceAllocationInfo(
        reservation=amount,
        expandableReservation=False,
        limit=amount,
        shares=vim25.SharesInfo(shares=4000, level="normal"),
    )


def _usage(amount: int) -> Any:
    return vim25.ResourcePoolResourceUsage(
        reservationUsed=0,
        reservationUsedForVm=0,
        unreservedForPool=amount,
        unreservedForVm=amount,
        overallUsage=0,
        maxUsage=amount,
    )


class ServiceInstance(Served):
    """Where a client begins."""

    kind = "ServiceInstance"

    def __init__(self, world: World) -> None:
        super().__init__(world, "ServiceInstance")

    @prop("content")
    def content(self) -> Any:
        """Return the service content: what there is, by well-known names."""
        found = self.world.objects
        # References by name alone: this is the first call, and areas of the API load when they are used.
        refs: dict[str, Any] = {
            name: ManagedObject(moid, kind=kind)
            for name, kind, moid in _CONTENT
            if (kind, moid) in found
        }
        return vim25.ServiceContent(about=about(self.world), **refs)

    @prop("serverClock", cached=False)
    def _clock(self) -> Any:
        return self.world.clock.now()

    @prop("capability")
    def _capability(self) -> Any:
        return vim25.Capability(
            provisioningSupported=False,
            multiHostSupported=False,
            userShellAccessSupported=True,
            supportedEVCMode=[],
        )


_CONTENT = [
    ("rootFolder", "Folder", "ha-folder-root"),
    ("propertyCollector", "PropertyCollector", "ha-property-collector"),
    ("viewManager", "ViewManager", "ViewManager"),
    ("setting", "OptionManager", "HostAgentSettings"),
    ("userDirectory", "UserDirectory", "ha-user-directory"),
    ("sessionManager", "SessionManager", "ha-sessionmgr"),
    ("authorizationManager", "AuthorizationManager", "ha-authmgr"),
    ("perfManager", "PerformanceManager", "ha-perfmgr"),
    ("eventManager", "EventManager", "ha-eventmgr"),
    ("taskManager", "TaskManager", "ha-taskmgr"),
    ("licenseManager", "LicenseManager", "ha-license-manager"),
    ("searchIndex", "SearchIndex", "ha-searchindex"),
    ("fileManager", "FileManager", "ha-nfc-file-manager"),
    ("virtualDiskManager", "VirtualDiskManager", "ha-vdiskmanager"),
    ("ovfManager", "OvfManager", "ha-ovf-manager"),
]


@serves(ServiceInstance, "RetrieveServiceContent")
def retrieve_service_content(instance: ServiceInstance, call: Call) -> Any:
    """Return the service content; needs no session."""
    return instance.content()


@serves(ServiceInstance, "CurrentTime")
def current_time(instance: ServiceInstance, call: Call) -> Any:
    """Return the host's time."""
    return instance.world.clock.now()


@serves(
    Folder,
    "CreateFolder",
    "CreateDatacenter",
    "CreateClusterEx",
    "CreateCluster",
    "AddStandaloneHost_Task",
)
def refuse_to_create(folder: Folder, call: Call) -> Any:
    """Refuse: a host's folders are fixed."""
    raise say(vim25.NotSupported(), "The operation is not supported on the object.")


def build(
    world: World, *, username: str, password: str, session_limit: int, session_timeout: float
) -> None:
    """Make everything that a fresh host has, short of datastores and machines."""
    ServiceInstance(world)
    SharedCollector(world)
    ViewManager(world)
    world.tasks = TaskManager(world)
    world.events = EventManager(world)
    world.sessions = SessionManager(
        world, username, password, limit=session_limit, idle=session_timeout
    )
    root = world.root_folder = Folder(
        world, "ha-folder-root", "ha-folder-root", None, ["Datacenter"]
    )
    datacenter = world.datacenter = Datacenter(world, root)
    world.vm_folder = datacenter.vm
    resource = ComputeResource(world, datacenter.hosts, "localhost.localdomain")
    resource.pool = world.pool = ResourcePool(
        world, "ha-root-pool", "Resources", resource, resource
    )
    resource.host = world.host = HostSystem(world, resource)
    world.networks = NetworkSystem(world, datacenter.networks)
    build_managers(world)
