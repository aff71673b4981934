"""Files in datastores: paths, listings, and bodies by the host's `/folder` service.

A helper of the client, over the session and the transport. May import nothing from the client or
the driver.

`path`      `DatastorePath`, no I/O
`url`       addresses on `/folder`, pure
`location`  a datastore's objects in the inventory
`entry`     the properties of a file
`store`     `Datastore`: the verbs on files
`deadline`  how long a verb may take, and how far it came
`source`, `download`, `digest`, `ticket`   bodies up, bodies down, their hash, the direct way to a host
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib._datastore.path import DatastorePath
from vimlib._datastore.url import folder_target
from vimlib._lazy import lazy

if TYPE_CHECKING:
    from vimlib._datastore.download import Download
    from vimlib._datastore.entry import FileEntry
    from vimlib._datastore.store import Datastore

__all__ = ["Datastore", "DatastorePath", "Download", "FileEntry", "folder_target"]

# Paths are requested by those who need no session, so the rest loads on first use.
__getattr__, __dir__ = lazy(
    __name__,
    {"download": "Download", "entry": "FileEntry", "store": "Datastore"},
)
