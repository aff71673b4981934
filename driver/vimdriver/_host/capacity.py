"""The resources of a host, their use, and those promised to machines, for a scheduler."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._host.cpuid import features
from vimdriver._host.datastores import PATHS, DatastoreInfo, datastore_of
from vimdriver._host.identity import HOST_PATHS, HostIdentity, identity_of, only_host
from vimdriver._verbs import Host, query
from vimlib import vim25
from vimlib._collector import INVENTORY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vimlib._collector import Row

_MIB: Final = 1 << 20
_ON: Final = vim25.VirtualMachinePowerState.poweredOn


@dataclass(frozen=True, slots=True, kw_only=True)
class CPUCapacity:
    """The host's processors."""

    model: str
    vendor: str
    """`intel`, `amd`, ...; "" if unknown."""
    mhz: int
    """Of one core."""
    sockets: int
    cores: int
    """Of all sockets."""
    threads: int
    features: tuple[str, ...]
    """As Linux names them, such as `avx2` and `vmx`; () before the host shows CPUID levels."""
    used_mhz: int
    """Of all cores, as last measured."""
    reserved_mhz: int
    """By machines and resource pools."""
    unreserved_mhz: int
    """What a machine can still reserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCapacity:
    """The host's memory, in MiB."""

    total_mb: int
    used_mb: int
    """As last measured."""
    reserved_mb: int
    """By machines and resource pools."""
    unreserved_mb: int
    """What a machine can still reserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NUMANode:
    """A NUMA node."""

    number: int
    cpus: tuple[int, ...]
    """Numbers of its threads."""
    memory_mb: int
    """MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineTotals:
    """The sums of the resources that a host's machines are configured with."""

    machines: int
    running: int
    cpus: int
    """Of all machines."""
    running_cpus: int
    memory_mb: int
    """MiB, of all machines."""
    running_memory_mb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCapacity:
    """A host's resources, as last read."""

    identity: HostIdentity
    product: str
    """As `VMware ESXi 8.0.3 build-24022510`."""
    version: str
    """As `8.0.3`."""
    connection_state: str
    maintenance: bool
    most_cpus: int
    """That a machine may have (`capability.maxSupportedVcpus`); 0 if unknown."""
    cpu: CPUCapacity
    memory: MemoryCapacity
    numa: tuple[NUMANode, ...]
    """Empty where the host shows none."""
    promised: MachineTotals
    datastores: tuple[DatastoreInfo, ...]
    """By name."""

    def to_json(self) -> dict[str, Any]:
        """Return what `vimctl host capacity --json` prints."""
        return {
            "identity": self.identity.to_json(),
            "product": self.product,
            "version": self.version,
            "connection_state": self.connection_state,
            "maintenance": self.maintenance,
            "most_cpus": self.most_cpus,
            "cpu": asdict(self.cpu) | {"features": list(self.cpu.features)},
            "memory": asdict(self.memory),
            "numa": [asdict(node) | {"cpus": list(node.cpus)} for node in self.numa],
            "promised": asdict(self.promised),
            "datastores": [store.to_json() for store in self.datastores],
        }


_WANTED: Final[dict[type[vim25.ManagedObject], tuple[str, ...]]] = {
    vim25.HostSystem: (
        *HOST_PATHS,
        "summary",
        "hardware.cpuPkg",
        "hardware.numaInfo",
        "hardware.cpuFeature",
        "capability.maxSupportedVcpus",
    ),
    vim25.ResourcePool: ("parent", "runtime"),
    vim25.Datastore: PATHS,
    vim25.VirtualMachine: (
        "runtime.powerState",
        "config.hardware.numCPU",
        "config.hardware.memoryMB",
    ),
}


@query
async def host_capacity(host: Host) -> HostCapacity:
    """Return the host's resources, their use and those promised to machines, in one call.

    One call reads host, resource pools, datastores and three values of each machine; a scheduler may
    call it every minute. Cancelling loses nothing.

    Raises:
        NotFoundError: The inventory has no host, or more than one (a vCenter).
        InvalidFieldError: The host shows no hardware.
    """
    client = host.client
    source = INVENTORY.start(client.content.rootFolder)
    rows = await client.gather(_WANTED, source=source)
    row = only_host(client, rows[vim25.HostSystem])
    summary: vim25.HostListSummary = row.require("summary")
    runtime = summary.runtime
    roots = [
        pool.known("runtime")
        for pool in rows[vim25.ResourcePool]
        if not isinstance(pool.props.get("parent"), vim25.ResourcePool)
    ]
    return HostCapacity(
        identity=identity_of(client, row),
        product=client.about.fullName,
        version=client.about.version,
        connection_state=runtime.connectionState if runtime else "",
        maintenance=bool(runtime and runtime.inMaintenanceMode),
        most_cpus=row.props.get("capability.maxSupportedVcpus") or 0,
        cpu=_cpu(row, summary, roots[0] if roots else None),
        memory=_memory(summary, roots[0] if roots else None),
        numa=_numa(row.known("hardware.numaInfo")),
        promised=_totals(rows[vim25.VirtualMachine]),
        datastores=tuple(
            sorted(map(datastore_of, rows[vim25.Datastore]), key=lambda store: store.name)
        ),
    )


def _cpu(
    row: Row[vim25.HostSystem],
    summary: vim25.HostListSummary,
    pool: vim25.ResourcePoolRuntimeInfo | None,
) -> CPUCapacity:
    hardware, stats = summary.hardware, summary.quickStats
    packages: list[vim25.HostCpuPackage] = row.props.get("hardware.cpuPkg") or []
    levels = row.props.get("hardware.cpuFeature") or [
        level for package in packages[:1] for level in package.cpuFeature or []
    ]
    return CPUCapacity(
        model=hardware.cpuModel if hardware else "",
        vendor=packages[0].vendor if packages else "",
        mhz=hardware.cpuMhz if hardware else 0,
        sockets=hardware.numCpuPkgs if hardware else 0,
        cores=hardware.numCpuCores if hardware else 0,
        threads=hardware.numCpuThreads if hardware else 0,
        features=features(levels),
        used_mhz=stats.overallCpuUsage or 0,
        reserved_mhz=pool.cpu.reservationUsed if pool else 0,
        unreserved_mhz=pool.cpu.unreservedForVm if pool else 0,
    )


def _memory(
    summary: vim25.HostListSummary, pool: vim25.ResourcePoolRuntimeInfo | None
) -> MemoryCapacity:
    return MemoryCapacity(
        total_mb=summary.hardware.memorySize // _MIB if summary.hardware else 0,
        used_mb=summary.quickStats.overallMemoryUsage or 0,
        reserved_mb=pool.memory.reservationUsed // _MIB if pool else 0,
        unreserved_mb=pool.memory.unreservedForVm // _MIB if pool else 0,
    )


def _numa(info: vim25.HostNumaInfo | None) -> tuple[NUMANode, ...]:
    return tuple(
        NUMANode(
            number=node.typeId,
            # Hosts list a node's threads from the last to the first.
            cpus=tuple(sorted(node.cpuID)),
            memory_mb=node.memoryRangeLength // _MIB,
        )
        for node in (info.numaNode if info else None) or []
    )


def _totals(rows: Iterable[Row[vim25.VirtualMachine]]) -> MachineTotals:
    sizes = [
        (
            row.props.get("config.hardware.numCPU") or 0,
            row.props.get("config.hardware.memoryMB") or 0,
            row.props.get("runtime.powerState") == _ON,
        )
        for row in rows
    ]
    return MachineTotals(
        machines=len(sizes),
        running=sum(on for _, _, on in sizes),
        cpus=sum(cpus for cpus, _, _ in sizes),
        running_cpus=sum(cpus for cpus, _, on in sizes if on),
        memory_mb=sum(memory for _, memory, _ in sizes),
        running_memory_mb=sum(memory for _, memory, on in sizes if on),
    )
