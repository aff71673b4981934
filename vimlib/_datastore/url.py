"""Addresses of files on the host's `/folder` service. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from vimlib._datastore.path import DatastorePath


def folder_target(path: DatastorePath, datacenter: str) -> str:
    """Return path and query of a file's URL: `/folder/a/b.vmdk?dcPath=...&dsName=...`.

    `datacenter` is its inventory path, as `ha-datacenter` or `Folder/DC1`. Each part is
    percent-encoded by itself, slashes within names too, so that nothing in a name can leave
    `/folder` or end the path.
    """
    way = "/".join(quote(part, safe="") for part in path.parts)
    return (
        f"/folder/{way}?dcPath={quote(datacenter, safe='')}&dsName={quote(path.datastore, safe='')}"
    )
