"""The host's hardware, state and datastores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from vimdriver._host.datastores import PATHS, DatastoreInfo, datastore_of
from vimdriver._host.identity import only_host
from vimdriver._verbs import Host, query
from vimlib import vim25

_MIB: Final = 1 << 20


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


@query
async def host_info(host: Host) -> HostInfo:
    """Show the hardware, usage and datastores of the host (`HostSystem.summary`), in one call.

    Cancelling loses nothing.

    Raises:
        NotFoundError: The inventory has no host, or more than one (a vCenter).
    """
    client = host.client
    rows = await client.gather({vim25.HostSystem: ("name", "summary"), vim25.Datastore: PATHS})
    row = only_host(client, rows[vim25.HostSystem])
    summary: vim25.HostListSummary = row.require("summary")
    hardware, stats, runtime = summary.hardware, summary.quickStats, summary.runtime
    return HostInfo(
        name=str(row.props.get("name") or ""),
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
        datastores=tuple(
            sorted(map(datastore_of, rows[vim25.Datastore]), key=lambda store: store.name)
        ),
    )
