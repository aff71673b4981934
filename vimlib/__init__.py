"""An asyncio-native, typed client of the vSphere API.

`from vimlib import ...` has what programs use. Beside it these packages are public:

`vimlib.vim25`      the generated types, methods and faults of the API
`vimlib.errors`     every error that this package raises, as one tree
`vimlib.soap`       the codec: bytes in, objects out; no I/O
`vimlib.model`      the bases that generated packages derive from
`vimlib.blocking`   the bridge from threads to asyncio
`vimlib.simulator`  an ESX host in a process, for tests
`vimlib.codegen`    makes a package like `vim25` from a WSDL

Modules whose names begin with an underscore are private. From top to bottom, each imports only
from those below it: `_client` (what `connect` yields); the helpers `_collector`, `_tasks`,
`_datastore`, `_nfc`, `_guest`, `_inventory` and `_events`; `_session`; `_transport` and `_tls`; `soap`;
`vim25`; `model`; `errors`.

Names load on first use, so that importing `vimlib.soap` or `vimlib.vim25` loads no HTTP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib._lazy import lazy

if TYPE_CHECKING:
    from vimlib import blocking, codegen, errors, model, simulator, soap, vim25
    from vimlib._client import Client, connect
    from vimlib._collector import Change, Collection, Row, Traversal, Watch, via
    from vimlib._datastore import Datastore, DatastorePath, FileEntry
    from vimlib._events import Events
    from vimlib._guest import GuestSession
    from vimlib._inventory import Found, InventoryPath
    from vimlib._nfc import Lease, LeaseDevice
    from vimlib._otel import tracing
    from vimlib._progress import Progress
    from vimlib._session.operation import operation
    from vimlib._session.policy import RetryPolicy
    from vimlib._tls import TLS
    from vimlib._transport import (
        EncodedCall,
        Exchange,
        HTTPTransport,
        Middleware,
        Reply,
        ScriptedTransport,
        Timeouts,
        Transport,
    )
    from vimlib.errors import VimlibError
    from vimlib.model import DataObject, ManagedObject, MethodFault
    from vimlib.soap import Limits

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "Change",
    "Client",
    "Collection",
    "DataObject",
    "Datastore",
    "DatastorePath",
    "EncodedCall",
    "Events",
    "Exchange",
    "FileEntry",
    "Found",
    "GuestSession",
    "HTTPTransport",
    "InventoryPath",
    "Lease",
    "LeaseDevice",
    "Limits",
    "ManagedObject",
    "MethodFault",
    "Middleware",
    "Progress",
    "Reply",
    "RetryPolicy",
    "Row",
    "ScriptedTransport",
    "Timeouts",
    "Transport",
    "Traversal",
    "VimlibError",
    "Watch",
    "blocking",
    "codegen",
    "connect",
    "errors",
    "model",
    "operation",
    "simulator",
    "soap",
    "tracing",
    "via",
    "vim25",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "_client": "Client connect",
        "_collector": "Change Collection Row Traversal Watch via",
        "_datastore": "Datastore DatastorePath FileEntry",
        "_events": "Events",
        "_guest": "GuestSession",
        "_inventory": "Found InventoryPath",
        "_nfc": "Lease LeaseDevice",
        "_otel": "tracing",
        "_progress": "Progress",
        "_session.operation": "operation",
        "_session.policy": "RetryPolicy",
        "_tls": "TLS",
        "_transport": "EncodedCall Exchange HTTPTransport Middleware Reply ScriptedTransport Timeouts Transport",
        "errors": "VimlibError",
        "model": "DataObject ManagedObject MethodFault",
        "soap": "Limits",
    },
    ("blocking", "codegen", "errors", "model", "simulator", "soap", "vim25"),
)
