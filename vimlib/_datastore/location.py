"""Where a datastore is: its object, its browser, its datacenter; asked once and remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vimlib import vim25
from vimlib._collector import collect, get
from vimlib._inventory import Found, paths_of
from vimlib._text import printable
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from vimlib._collector import Context


@dataclass(frozen=True, slots=True)
class DatastoreLocation:
    """A datastore, its browser and its datacenter."""

    datastore: vim25.Datastore
    browser: vim25.HostDatastoreBrowser
    datacenter: vim25.Datacenter
    datacenter_path: str
    """Inventory path, as `ha-datacenter` or `Folder/DC1`; what `/folder` calls dcPath."""


async def locate(
    context: Context, name: str, datacenter: str | Found | vim25.Datacenter | None = None
) -> DatastoreLocation:
    """Find a datastore by name, in a constant number of calls.

    Raises `NotFoundError`, and `UsageError` if several datacenters have one of that name and
    `datacenter` (an inventory path, a name, or what `find` returned) does not select one.
    """
    wanted = datacenter.obj if isinstance(datacenter, Found) else datacenter
    centers = await collect(context, vim25.Datacenter, "name", "datastore").all()
    stores = {store.moref: store for row in centers for store in row.get("datastore") or ()}
    rows = await get(context, stores.values(), "summary.name", "browser")
    named = {row.obj.moref: row for row in rows if row.get("summary.name") == name}
    holders = [
        (row, store)
        for row in centers
        for store in row.get("datastore") or ()
        if store.moref in named
    ]
    # The root folder is no part of a path, and `/folder` wants it without the slash in front.
    paths = await paths_of(context, [row.obj for row, _ in holders])
    found = []
    for (row, store), full in zip(holders, paths, strict=True):
        path = (full or row.require("name")).lstrip("/")
        if wanted is None or _selects(wanted, row.obj, path, row.require("name")):
            found.append((path, row.obj, named[store.moref]))
    if not found:
        known = sorted(printable(str(row.get("summary.name")), 60) for row in rows)
        where = f" in {printable(str(datacenter))}" if datacenter else ""
        raise NotFoundError(
            f"datastore not found{where} on {context.invoker.host}: {printable(name)!r}",
            hint=f"The host has: {', '.join(known) or 'none'}.",
            kind="Datastore",
            name=name,
        )
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} datacenters have a datastore {printable(name)!r}: "
            + ", ".join(printable(path) for path, _, _ in found),
            hint="Choose one: client.datastore(name, datacenter=...).",
        )
    path, center, store_row = found[0]
    return DatastoreLocation(store_row.obj, store_row.require("browser"), center, path)


def _selects(
    wanted: str | vim25.Datacenter, center: vim25.Datacenter, path: str, name: str
) -> bool:
    if isinstance(wanted, str):
        return wanted.strip("/") == path or wanted == name
    return wanted.moref == center.moref
