"""Files in datastores: paths, listings, and bodies by the host's `/folder` service.

A helper of floor 4: stands on the session and the transport. May import nothing from the client or
the driver.

`path`      `DatastorePath`, no I/O
`url`       addresses on `/folder`, pure
`place`     a datastore's place in the inventory
`store`     `Datastore`: what one does with files
`source`, `download`, `ticket`   bodies up, bodies down, the direct way to a host
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vimlib.datastore.path import DatastorePath
from vimlib.datastore.url import folder_target

if TYPE_CHECKING:
    from vimlib.datastore.download import Download
    from vimlib.datastore.store import Datastore, FileEntry, PutTarget

__all__ = ["Datastore", "DatastorePath", "Download", "FileEntry", "PutTarget", "folder_target"]


def __getattr__(name: str) -> Any:
    # Paths are asked for by those who need no session, so the rest loads on first use.
    if name in {"Datastore", "FileEntry", "PutTarget"}:
        from vimlib.datastore import store

        return getattr(store, name)
    if name == "Download":
        from vimlib.datastore.download import Download

        return Download
    raise AttributeError(f"module 'vimlib.datastore' has no attribute {name!r}")
