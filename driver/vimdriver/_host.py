"""The host's hardware, state and datastores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib.errors import NotFoundError

if TYPE_CHECKING:
    from vimlib._client import Client

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DatastoreInfo:
    """A datastore of the host."""

    name: str
    kind: str
    """`VMFS`, `NFS`, `vsan`, ..."""
    capacity: int
    """Bytes."""
    free: int
    """Bytes."""
    accessible: bool

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl host show --json`."""
        return {
            "name": self.name,
            "kind": self.kind,
            "capacity": self.capacity,
            "free": self.free,
            "accessible": self.accessible,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInfo:
    """A host, as last read. A value that it does not report is 0 or ""."""

    name: str
    product: str
    """As `VMware ESXi 8.0.3 build-24022510`."""
    api_version: str
    model: str
    cpu_model: str
    cpu_cores: int
    cpu_threads: int
    cpu_mhz: int
    """Of one core."""
    cpu_used_mhz: int
    """Of all cores."""
    memory_mb: int
    """MiB."""
    memory_used_mb: int
    """MiB."""
    uptime: int
    """Seconds."""
    connection_state: str
    power_state: str
    maintenance: bool
    datastores: tuple[DatastoreInfo, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document that `vimctl host show --json` prints."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "datastores"}
        return plain | {"datastores": [one.to_json() for one in self.datastores]}


async def host_info(client: Client) -> HostInfo:
    """Return the properties of the only host (`HostSystem.summary`). Cancelling loses nothing.

    Raises:
        NotFoundError: The inventory has no host, or more than one (a vCenter).
    """
    hosts = [row async for row in client.collect(vim25.HostSystem, "name", "summary")]
    if len(hosts) != 1:
        raise NotFoundError(
            f"exactly one host is required, {client.host} has {len(hosts)}",
            kind="HostSystem",
            hint="Connect to the ESX host itself.",
        )
    stores = [row async for row in client.collect(vim25.Datastore, "summary")]
    summary: vim25.HostListSummary = hosts[0].require("summary")
    hardware, stats, runtime = summary.hardware, summary.quickStats, summary.runtime
    return HostInfo(
        name=str(hosts[0].props.get("name") or ""),
        product=client.about.fullName,
        api_version=client.api_version,
        model=f"{hardware.vendor} {hardware.model}" if hardware else "",
        cpu_model=hardware.cpuModel if hardware else "",
        cpu_cores=hardware.numCpuCores if hardware else 0,
        cpu_threads=hardware.numCpuThreads if hardware else 0,
        cpu_mhz=hardware.cpuMhz if hardware else 0,
        cpu_used_mhz=stats.overallCpuUsage or 0,
        memory_mb=hardware.memorySize // _MIB if hardware else 0,
        memory_used_mb=stats.overallMemoryUsage or 0,
        uptime=stats.uptime or 0,
        connection_state=runtime.connectionState if runtime else "",
        power_state=runtime.powerState if runtime else "",
        maintenance=bool(runtime and runtime.inMaintenanceMode),
        datastores=tuple(sorted((_store(row.props) for row in stores), key=lambda s: s.name)),
    )


def _store(props: dict[str, Any]) -> DatastoreInfo:
    summary: vim25.DatastoreSummary | None = props.get("summary")
    return DatastoreInfo(
        name=summary.name if summary else "",
        kind=summary.type if summary else "",
        capacity=summary.capacity if summary else 0,
        free=summary.freeSpace if summary else 0,
        accessible=bool(summary and summary.accessible),
    )
