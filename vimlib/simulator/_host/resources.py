"""The compute resource and its resource pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib import vim25
from vimlib.simulator._core.objects import Entity, prop

if TYPE_CHECKING:
    from vimlib.simulator._core.registry import Registry
    from vimlib.simulator._host.folders import Folder
    from vimlib.simulator._host.host_system import HostSystem


class ComputeResource(Entity):
    """The compute resource that consists of this host."""

    kind = "ComputeResource"

    def __init__(self, registry: Registry, folder: Folder, name: str) -> None:
        super().__init__(registry, "ha-compute-res", name, folder)
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
        return [store.ref for store in self.registry.all("Datastore").values()]

    @prop("network", cached=False)
    def _network(self) -> list[Any]:
        return self.host.read("network")  # type: ignore[no-any-return]

    @prop("environmentBrowser")
    def _browser(self) -> Any:
        return self.registry.one("EnvironmentBrowser").ref

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

    @prop("lifecycleManaged")
    def _lifecycle(self) -> bool:
        return False

    @prop("configManagerEnabled")
    def _config_manager(self) -> bool:
        return False

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
        self, registry: Registry, moid: str, name: str, parent: Entity, owner: ComputeResource
    ) -> None:
        self.owner = owner
        self.pools: dict[ResourcePool, None] = {}
        self.machines: dict[Any, None] = {}
        self.allocation: Any = None
        """Its configured allocation; None for the root."""
        super().__init__(registry, moid, name, parent)

    @prop("disabledMethod")
    def _disabled(self) -> list[str]:
        return [
            "CreateVApp",
            "CreateChildVM_Task",
        ]  # recorded of an ESXi 6.5 (govmomi, `simulator/esx`)

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
        """Return the objects that a container view finds in it."""
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


def root_pool(registry: Registry) -> ResourcePool:
    """Return the pool of the whole host."""
    return registry.all(ResourcePool)["ha-root-pool"]
