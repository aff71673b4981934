"""Reading properties: pages of them, changes of them, and the traversals between objects.

A helper of the client, over the session. May import nothing from the client or the driver.

`context`    the parts of a client that the helpers need: `Context`
`collect`    all objects of a type, one, or many, read once; `gather` objects of several types
`watch`      their changes, as they happen; `wait_for` one
`row`, `typed`, `paths`   results, and the paths that may be requested
`sources`, `traversal`, `views`   where objects come from
`update_stream`, `shared`   update sets, by a collector of its own, or (before 4.1) a shared one
`filter_set`, `multiplexer`, `stream`   filters of one collector, shared by many subscribers
`object_cache` the last known state of watched objects; detects changes
`owned`, `poll_policy`   temporary objects on the server; patience with a server that is away
"""

from vimlib._collector.collect import PAGE, Collection, collect, get
from vimlib._collector.context import Context
from vimlib._collector.gather import gather
from vimlib._collector.object_cache import Change
from vimlib._collector.row import Row
from vimlib._collector.sources import Source
from vimlib._collector.traversal import HOSTING, INVENTORY, UP, Hop, Traversal, Walk, via
from vimlib._collector.typed import EVERYTHING
from vimlib._collector.views import container_view, list_view
from vimlib._collector.watch import BATCH, Watch, wait_for, watch

__all__ = [
    "BATCH",
    "EVERYTHING",
    "HOSTING",
    "INVENTORY",
    "PAGE",
    "UP",
    "Change",
    "Collection",
    "Context",
    "Hop",
    "Row",
    "Source",
    "Traversal",
    "Walk",
    "Watch",
    "collect",
    "container_view",
    "gather",
    "get",
    "list_view",
    "via",
    "wait_for",
    "watch",
]
