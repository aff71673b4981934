"""Where a machine goes: datacenter, folder, resource pool; all checked first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vimlib import vim25
from vimlib.errors import HostStateError, NotFoundError

if TYPE_CHECKING:
    from vimlib._client import Client

__all__ = ["Place", "find_place"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where machines go on this host."""

    datacenter: vim25.Datacenter
    folder: vim25.Folder
    pool: vim25.ResourcePool
    host: vim25.HostSystem | None
    """None on vCenter, where the pool decides."""


async def find_place(client: Client) -> Place:
    """Return the first datacenter's machine folder and the first root resource pool.

    A standalone host has one of each. Cancelling loses nothing.

    Raises:
        HostStateError: The host is in maintenance mode or not connected.
        NotFoundError: The host shows none.
    """
    centers = [row async for row in client.collect(vim25.Datacenter, "vmFolder")]
    pools = [
        pool.obj
        async for pool in client.collect(vim25.ResourcePool, "parent")
        if not isinstance(pool.props.get("parent"), vim25.ResourcePool)
    ]
    hosts = [
        host
        async for host in client.collect(
            vim25.HostSystem, "runtime.inMaintenanceMode", "runtime.connectionState", "name"
        )
    ]
    if not centers or not pools or not hosts:
        raise NotFoundError(
            "no datacenter, resource pool or host system is visible",
            kind="Datacenter",
            hint="Log in as a user with read access to the inventory.",
        )
    alone = hosts[0] if len(hosts) == 1 else None
    if alone is not None and alone.props.get("runtime.inMaintenanceMode"):
        raise HostStateError(
            f"{alone.props.get('name')} is in maintenance mode",
            state="maintenance",
            hint="Take it out of maintenance mode first.",
        )
    state = alone.props.get("runtime.connectionState") if alone is not None else None
    if alone is not None and state not in (None, "connected"):
        raise HostStateError(
            f"{alone.props.get('name')} is {state}",
            state=str(state),
            hint="Check the host and the vCenter that manages it.",
        )
    return Place(
        centers[0].obj,
        centers[0]["vmFolder"],
        pools[0],
        alone.obj if alone is not None else None,
    )
