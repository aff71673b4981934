"""A machine's state and use of resources, as nova's `get_diagnostics` needs them, in one call.

The host measures about every 20 seconds; a value that it has not measured or does not know is None.
Counters of disk and network traffic are not here: they are the PerformanceManager's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._instances import machine
from vimdriver._verbs import Host, query
from vimlib import vim25

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from vimdriver._instances.types import Instance

_KIB: Final = 1 << 10
_PATHS: Final = ("summary", "guest", "config.hardware.device", "network", *machine.PATHS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CPUFigures:
    """Processors."""

    count: int
    used_mhz: int | None = None
    """Of all of them together (`quickStats.overallCpuUsage`)."""
    wanted_mhz: int | None = None
    """Their demand if no other machine used the host (`overallCpuDemand`)."""
    limit_mhz: int | None = None
    """`runtime.maxCpuUsage`; None while it does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFigures:
    """Memory, in MiB."""

    size_mb: int
    active_mb: int | None = None
    """Recently used by the guest (`quickStats.guestMemoryUsage`)."""
    host_mb: int | None = None
    """Used of the host's memory (`hostMemoryUsage`)."""
    shared_mb: int | None = None
    ballooned_mb: int | None = None
    swapped_mb: int | None = None
    """By the host, not by the guest."""
    overhead_mb: int | None = None
    """Used by the host to run it (`consumedOverheadMemory`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFigures:
    """A virtual disk."""

    label: str
    """As `Hard disk 1`."""
    path: str
    """Datastore path; "" for a disk without a file."""
    capacity: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystemFigures:
    """A file system of the guest, as its tools report it."""

    path: str
    capacity: int | None
    """Bytes."""
    free: int | None
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NICFigures:
    """A network card."""

    label: str
    model: str
    """The API's type, as `VirtualVmxnet3`."""
    mac: str
    network: str
    """Name of the port group; "" where it is on none of this host."""
    connected: bool
    addresses: tuple[str, ...] = ()
    """As the guest's tools report them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """A machine's state and use of resources, as last measured."""

    uuid: str
    name: str
    moref: str
    power_state: str
    """The API's word."""
    connection_state: str
    health: str
    """`overallStatus`: `green`, `yellow`, `red`, `gray`."""
    heartbeat: str
    """Of the guest's tools: `green`, `yellow`, `red`, `gray` (none)."""
    uptime: int | None
    """Seconds (`quickStats.uptimeSeconds`, API 4.1)."""
    booted: datetime | None
    question: str | None
    """What it asks; until it is answered it stands still."""
    guest_id: str
    """The API's guestId that it is configured for."""
    guest_name: str
    """What runs in it, as its tools tell; else what it is configured for."""
    hostname: str
    tools: str
    """`toolsStatus`: `toolsOk`, `toolsOld`, `toolsNotRunning`, `toolsNotInstalled`; "" if unknown."""
    consoles: int
    """Open connections to its screen."""
    committed: int | None
    """Bytes that it takes on datastores (`summary.storage`, API 4.0)."""
    uncommitted: int | None
    """Bytes more that its disks may come to take."""
    cpu: CPUFigures
    memory: MemoryFigures
    disks: tuple[DiskFigures, ...] = ()
    file_systems: tuple[FileSystemFigures, ...] = ()
    nics: tuple[NICFigures, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what `vimctl instance diagnostics --json` prints."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__slots__"):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return value.isoformat() if hasattr(value, "isoformat") else value


@query
async def diagnostics(host: Host, ref: str) -> Diagnostics:
    """Show a machine's CPU, memory, disk and NIC usage, and the data from its guest tools.

    Cancelling loses nothing.

    Raises:
        NotFoundError: The machine does not exist.
        NoPermission: The role may not read it.
    """
    client = host.client
    row = await machine.look(client, ref, *_PATHS)
    networks = row.props.get("network") or []
    names = {
        found.obj: str(found.props.get("name") or "")
        for found in (await client.get(networks, "name") if networks else ())
    }
    # Without the summary no figure is known: the reason why it could not be read is the error.
    return _of(
        machine.instance_of(row),
        row.props | {"summary": row.require("summary"), "guest": row.known("guest")},
        names,
    )


def _of(
    instance: Instance, props: dict[str, Any], networks: dict[vim25.Network, str]
) -> Diagnostics:
    """Return the diagnostics in a machine's properties. No I/O."""
    summary: vim25.VirtualMachineSummary = props["summary"]
    runtime, stats, storage = summary.runtime, summary.quickStats, summary.storage
    guest: vim25.GuestInfo | None = props.get("guest")
    devices = props.get("config.hardware.device") or []
    told = (guest.net if guest else None) or []
    question = runtime.question
    return Diagnostics(
        uuid=instance.uuid,
        name=instance.name,
        moref=instance.moref,
        power_state=instance.power_state,
        connection_state=instance.connection_state,
        health=summary.overallStatus or "gray",
        heartbeat=stats.guestHeartbeatStatus or "gray",
        uptime=stats.uptimeSeconds,
        booted=runtime.bootTime,
        question=question.text if question else None,
        guest_id=summary.config.guestId or "",
        guest_name=(guest.guestFullName if guest else None) or summary.config.guestFullName or "",
        hostname=(guest.hostName if guest else None) or "",
        tools=(guest.toolsStatus if guest else None) or "",
        consoles=runtime.numMksConnections or 0,
        committed=storage.committed if storage else None,
        uncommitted=storage.uncommitted if storage else None,
        cpu=CPUFigures(
            count=instance.cpus,
            used_mhz=stats.overallCpuUsage,
            wanted_mhz=stats.overallCpuDemand,
            limit_mhz=runtime.maxCpuUsage,
        ),
        memory=MemoryFigures(
            size_mb=instance.memory_mb,
            active_mb=stats.guestMemoryUsage,
            host_mb=stats.hostMemoryUsage,
            shared_mb=stats.sharedMemory,
            ballooned_mb=stats.balloonedMemory,
            swapped_mb=stats.swappedMemory,
            overhead_mb=stats.consumedOverheadMemory,
        ),
        disks=tuple(_disk(d) for d in devices if isinstance(d, vim25.VirtualDisk)),
        file_systems=tuple(
            FileSystemFigures(path=d.diskPath or "", capacity=d.capacity, free=d.freeSpace)
            for d in (guest.disk if guest else None) or []
        ),
        nics=tuple(
            _nic(d, told, networks) for d in devices if isinstance(d, vim25.VirtualEthernetCard)
        ),
    )


def _label(device: vim25.VirtualDevice) -> str:
    return device.deviceInfo.label if device.deviceInfo else f"device {device.key}"


def _disk(disk: vim25.VirtualDisk) -> DiskFigures:
    exact = disk.capacityInBytes  # API 5.5
    return DiskFigures(
        label=_label(disk),
        path=str(getattr(disk.backing, "fileName", None) or ""),
        capacity=exact if exact is not None else disk.capacityInKB * _KIB,
    )


def _nic(
    card: vim25.VirtualEthernetCard,
    told: Iterable[vim25.GuestNicInfo],
    networks: dict[vim25.Network, str],
) -> NICFigures:
    backing = card.backing
    network = ""
    if isinstance(backing, vim25.VirtualEthernetCardNetworkBackingInfo):
        # The name in the device is the one that it was attached by; the object may have a newer one.
        network = networks.get(backing.network, "") if backing.network else ""
        network = network or backing.deviceName
    mac = (card.macAddress or "").lower()
    return NICFigures(
        label=_label(card),
        model=card.type_name,
        mac=mac,
        network=network,
        connected=bool(card.connectable and card.connectable.connected),
        addresses=tuple(
            address
            for one in told
            if (one.macAddress or "").lower() == mac
            for address in one.ipAddress or ()
        ),
    )
