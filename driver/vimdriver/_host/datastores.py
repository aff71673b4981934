"""Datastores of the host, chosen by name, type and state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimdriver._verbs import Host, query
from vimlib import vim25
from vimlib._text import printable
from vimlib.errors import UsageError

if TYPE_CHECKING:
    from vimlib._collector import Row

PATHS: Final = ("summary", "host")
"""The properties of a `DatastoreInfo`."""
# What machines' disks can be made on.
_FOR_DISKS: Final = ("VMFS", "NFS", "NFS41", "vsan", "vvol")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatastoreInfo:
    """A datastore of the host."""

    name: str
    kind: str
    """`VMFS`, `NFS`, `NFS41`, `vsan`, ..."""
    capacity: int
    """Bytes."""
    free: int
    """Bytes."""
    uncommitted: int
    """Bytes that thin disks and snapshots of machines may still come to take."""
    accessible: bool
    maintenance: str
    """`normal`, `enteringMaintenance` or `inMaintenance`."""
    writable: bool = True
    """Whether the host may write to it: an NFS export may be mounted read-only."""
    shared: bool
    """Whether several hosts have it."""
    moref: str
    url: str

    @property
    def available(self) -> int:
        """Bytes free less what machines were promised; below 0 where more was promised than there is."""
        return self.free - self.uncommitted

    @property
    def usable(self) -> bool:
        """Whether machines can be made on it now."""
        ready = self.accessible and self.writable and self.maintenance == "normal"
        return ready and self.kind in _FOR_DISKS

    def to_json(self) -> dict[str, Any]:
        """Return its row of `vimctl host datastores --json`."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"available": self.available, "usable": self.usable}


def datastore_of(row: Row[vim25.Datastore]) -> DatastoreInfo:
    """Return a row with `PATHS` as a datastore."""
    mounts: list[vim25.DatastoreHostMount] = row.props.get("host") or []
    read_only = vim25.HostMountMode.readOnly
    summary: vim25.DatastoreSummary = row.require("summary")
    return DatastoreInfo(
        name=summary.name,
        kind=summary.type,
        capacity=summary.capacity or 0,
        free=summary.freeSpace or 0,
        uncommitted=summary.uncommitted or 0,
        accessible=bool(summary.accessible),
        maintenance=summary.maintenanceMode or "normal",
        writable=all(mount.mountInfo.accessMode != read_only for mount in mounts),
        shared=bool(summary.multipleHostAccess),
        moref=row.obj.moref[1],
        url=summary.url or "",
    )


@query
async def datastores(
    host: Host, pattern: str = "", *, kinds: tuple[str, ...] = (), usable: bool = False
) -> list[DatastoreInfo]:
    """Return the host's datastores, the one with the most available space first, in one call.

    Cancelling loses nothing.

    Args:
        pattern: Regular expression that names must match from their beginning; all if empty.
        kinds: Types, such as VMFS or NFS; all if none.
        usable: Only those on which machines can be made now: accessible, writable and not in maintenance.

    Raises:
        UsageError: The pattern is not a regular expression.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            f"pattern must be a regular expression, got {printable(pattern, 80)!r}: {error}",
            field="pattern",
        ) from None
    wanted = {kind.casefold() for kind in kinds}
    rows = (await host.client.gather({vim25.Datastore: PATHS}))[vim25.Datastore]
    found = [
        store
        for store in map(datastore_of, rows)
        if expression.match(store.name)
        and (not wanted or store.kind.casefold() in wanted)
        and (store.usable or not usable)
    ]
    return sorted(found, key=lambda store: (-store.available, store.name))
