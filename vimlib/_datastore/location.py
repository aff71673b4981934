"""Where a datastore is: its object, its browser, its datacenter; asked once and remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimlib import vim25
from vimlib._collector import Hop, Traversal, gather
from vimlib._inventory import Found
from vimlib._text import printable
from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from vimlib._collector import Context, Row

_TO_DATASTORES: Final = Traversal(
    (
        Hop("Folder", "childEntity", ("Folder.childEntity", "Datacenter.datastore")),
        Hop("Datacenter", "datastore"),
    )
)


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
    """Find a datastore by name, in one call.

    Raises `NotFoundError`, and `UsageError` if several datacenters have one of that name and
    `datacenter` (an inventory path, a name, or what `find` returned) does not select one.
    """
    wanted = datacenter.obj if isinstance(datacenter, Found) else datacenter
    found_rows = await gather(
        context,
        {
            vim25.Folder: ("name", "parent"),
            vim25.Datacenter: ("name", "parent", "datastore"),
            vim25.Datastore: ("summary.name", "browser"),
        },
        source=_TO_DATASTORES.start(context.content.rootFolder),
    )
    rows, folders = found_rows[vim25.Datastore], found_rows[vim25.Folder]
    named = {row.obj.moref: row for row in rows if row.get("summary.name") == name}
    holders = [
        (row, store)
        for row in found_rows[vim25.Datacenter]
        for store in row.get("datastore") or ()
        if store.moref in named
    ]
    above = {row.obj.moref: row for row in folders}
    found = []
    for row, store in holders:
        path = _path(row, above, context.content.rootFolder.moref)
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


def _path(
    center: Row[vim25.Datacenter], above: dict[tuple[str, str], Row[Any]], root: tuple[str, str]
) -> str:
    """Return the path of a datacenter below the root folder, as `/folder` wants it.

    It is the name alone where a folder above may not be read.
    """
    name: str = center.require("name")
    parts, parent, left = [name], center.get("parent"), dict(above)
    while parent is not None and parent.moref != root:
        row = left.pop(parent.moref, None)
        if row is None or row.get("name") is None:
            return name
        parts.append(row["name"])
        parent = row.get("parent")
    return "/".join(reversed(parts))


def _selects(
    wanted: str | vim25.Datacenter, center: vim25.Datacenter, path: str, name: str
) -> bool:
    if isinstance(wanted, str):
        return wanted.strip("/") == path or wanted == name
    return wanted.moref == center.moref
