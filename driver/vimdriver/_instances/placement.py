"""Where machines go on a host: its datacenter's machine folder and its root resource pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vimlib import vim25
from vimlib._collector import INVENTORY
from vimlib.errors import HostStateError, NotFoundError

if TYPE_CHECKING:
    from vimdriver._verbs import Host
    from vimlib._client import Client
    from vimlib._collector import Row


@dataclass(frozen=True, slots=True)
class Placement:
    """Where machines go on this host."""

    datacenter: vim25.Datacenter
    folder: vim25.Folder
    pool: vim25.ResourcePool
    host: vim25.HostSystem | None
    """None on vCenter, where the pool decides."""


async def gather_placement(host: Host) -> Placement:
    """Read the inventory, and return where machines go. Cancelling loses nothing.

    Raises as `placement_of`.
    """
    return await placement_of(host, await entities(host.client))


async def entities(client: Client) -> list[Row[vim25.ManagedEntity]]:
    """Return name and parent of all in the inventory, in one call. Cancelling loses nothing."""
    wanted = {vim25.ManagedEntity: ("name", "parent")}
    source = INVENTORY.start(client.content.rootFolder)
    return (await client.gather(wanted, source=source))[vim25.ManagedEntity]


async def placement_of(host: Host, rows: list[Row[vim25.ManagedEntity]]) -> Placement:
    """Return the first datacenter's machine folder and the first root resource pool.

    A standalone host has one of each. `rows` are all entities, with their `parent`.

    Raises:
        HostStateError: The host is in maintenance mode or not connected.
        NotFoundError: The host shows none.
    """
    client = host.client
    hosts = [row.obj for row in rows if isinstance(row.obj, vim25.HostSystem)]
    centers = [row.obj for row in rows if isinstance(row.obj, vim25.Datacenter)]
    pools = [
        row.obj
        for row in rows
        if isinstance(row.obj, vim25.ResourcePool)
        and not isinstance(row.props.get("parent"), vim25.ResourcePool)
    ]
    if not centers or not pools or not hosts:
        raise NotFoundError(
            "no datacenter, resource pool or host system is visible",
            kind="Datacenter",
            hint="Log in as a user with read access to the inventory.",
        )
    center = await client.get(centers[0], "vmFolder")
    if len(hosts) > 1:
        return Placement(center.obj, center["vmFolder"], pools[0], None)
    alone = await client.get(
        hosts[0], "runtime.inMaintenanceMode", "runtime.connectionState", "name"
    )
    if alone.props.get("runtime.inMaintenanceMode"):
        raise HostStateError(
            f"{alone.props.get('name')} is in maintenance mode",
            state="maintenance",
            hint="Take it out of maintenance mode first.",
        )
    state = alone.props.get("runtime.connectionState")
    if state not in (None, "connected"):
        raise HostStateError(
            f"{alone.props.get('name')} is {state}",
            state=str(state),
            hint="Check the host and the vCenter that manages it.",
        )
    return Placement(center.obj, center["vmFolder"], pools[0], alone.obj)
