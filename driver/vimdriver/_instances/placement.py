"""Where machines go on a host: its machine folder, its root resource pool, its datastores and networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vimdriver._verbs.host import datastore_paths, free_among
from vimlib import vim25
from vimlib._datastore.location import DatastoreLocation
from vimlib._inventory import unescape
from vimlib.errors import HostStateError, NotFoundError

if TYPE_CHECKING:
    from vimdriver._verbs import Host
    from vimlib._collector import Row


@dataclass(frozen=True, slots=True)
class Placement:
    """Where machines go on this host."""

    datacenter: vim25.Datacenter
    folder: vim25.Folder
    pool: vim25.ResourcePool
    host: vim25.HostSystem | None
    """None on vCenter, where the pool decides."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a host has for machines to come."""

    placement: Placement
    networks: frozenset[str]
    """Names of the networks."""
    free: int
    """Bytes that the datastore has free."""


async def gather_placement(host: Host) -> Placement:
    """Read where machines go, in one call. Cancelling loses nothing.

    Raises:
        HostStateError: The host is in maintenance mode or not connected.
        NotFoundError: The host shows none.
    """
    return _placement(await host.client.gather(_PLACES))


async def gather_site(host: Host, datastore: str) -> Site:
    """Read where machines go, the networks, and the space of a datastore, in one call.

    No machine is read, however many there are. Cancelling loses nothing.

    Raises:
        HostStateError: The host is in maintenance mode or not connected.
        NotFoundError: The host shows none, or has no such datastore.
        DatastoreUnusableError: The datastore is not accessible or in maintenance.
    """
    client = host.client
    stores = (*datastore_paths(client), "browser")
    rows = await client.gather(_PLACES | {vim25.Network: ("name",), vim25.Datastore: stores})
    placement = _placement(rows)
    free = free_among(client, datastore, rows[vim25.Datastore])
    if len(rows[vim25.Datacenter]) == 1:
        (center,) = rows[vim25.Datacenter]
        for row in rows[vim25.Datastore]:
            if row.get("summary.name") == datastore and row.get("browser") is not None:
                place = DatastoreLocation(
                    row.obj, row["browser"], center.obj, center.require("name")
                )
                host.datastore(datastore).is_at(place)
    return Site(
        placement,
        # An entity's name has `/`, `\\` and `%` escaped; those of port groups and of cards have not.
        frozenset(unescape(str(row.get("name", ""))) for row in rows[vim25.Network]),
        free,
    )


_PLACES: dict[type[vim25.ManagedObject], tuple[str, ...]] = {
    vim25.Datacenter: ("name", "parent", "vmFolder"),
    vim25.ResourcePool: ("parent",),
    vim25.HostSystem: ("name", "runtime.inMaintenanceMode", "runtime.connectionState"),
}


def _placement(rows: dict[type[vim25.ManagedObject], list[Row[Any]]]) -> Placement:
    """Return the first datacenter's machine folder and the first root resource pool.

    A standalone host has one of each.
    """
    hosts, centers = rows[vim25.HostSystem], rows[vim25.Datacenter]
    pools = [
        row.obj
        for row in rows[vim25.ResourcePool]
        if not isinstance(row.props.get("parent"), vim25.ResourcePool)
    ]
    if not centers or not pools or not hosts:
        raise NotFoundError(
            "no datacenter, resource pool or host system is visible",
            kind="Datacenter",
            hint="Log in as a user with read access to the inventory.",
        )
    center = centers[0]
    if len(hosts) > 1:
        return Placement(center.obj, center.require("vmFolder"), pools[0], None)
    alone = hosts[0]
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
    return Placement(center.obj, center.require("vmFolder"), pools[0], alone.obj)
