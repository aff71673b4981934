"""An asyncio-native, typed client of the vSphere API.

`from vimlib import ...` has what programs use. Beside it these packages are public:

`vimlib.vim25`      the generated types, methods and faults of the API
`vimlib.errors`     every error that this package raises, as one tree
`vimlib.soap`       the codec: bytes in, objects out; no I/O
`vimlib.model`      the bases that generated packages derive from
`vimlib.simulator`  an ESX host in a process, for tests
`vimlib.codegen`    makes a package like `vim25` from a WSDL

Modules whose names begin with an underscore are private. From top to bottom, each imports only
from those below it: `_client` (what `connect` yields); the helpers `_collector`, `_tasks`,
`_datastore`, `_nfc`, `_inventory` and `_events`; `_session`; `_transport` and `_tls`; `soap`;
`vim25`; `model`; `errors`.

Names load on first use, so that importing `vimlib.soap` or `vimlib.vim25` loads no HTTP client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vimlib import codegen, errors, model, simulator, soap, vim25
    from vimlib._client import Client, connect
    from vimlib._collector import Change, Collection, Row, Traversal, Watch, via
    from vimlib._datastore import Datastore, DatastorePath, FileEntry
    from vimlib._events import Events
    from vimlib._inventory import Found, InventoryPath
    from vimlib._nfc import Lease, LeaseDevice
    from vimlib._otel import tracing
    from vimlib._progress import Progress
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
    "codegen",
    "connect",
    "errors",
    "model",
    "simulator",
    "soap",
    "tracing",
    "via",
    "vim25",
]

_HOMES = {
    "TLS": "_tls",
    "Change": "_collector",
    "Client": "_client",
    "Collection": "_collector",
    "DataObject": "model",
    "Datastore": "_datastore",
    "DatastorePath": "_datastore",
    "EncodedCall": "_transport",
    "Events": "_events",
    "Exchange": "_transport",
    "FileEntry": "_datastore",
    "Found": "_inventory",
    "HTTPTransport": "_transport",
    "InventoryPath": "_inventory",
    "Lease": "_nfc",
    "LeaseDevice": "_nfc",
    "Limits": "soap",
    "ManagedObject": "model",
    "MethodFault": "model",
    "Middleware": "_transport",
    "Progress": "_progress",
    "Reply": "_transport",
    "RetryPolicy": "_session.policy",
    "Row": "_collector",
    "ScriptedTransport": "_transport",
    "Timeouts": "_transport",
    "Transport": "_transport",
    "Traversal": "_collector",
    "VimlibError": "errors",
    "Watch": "_collector",
    "connect": "_client",
    "tracing": "_otel",
    "via": "_collector",
}
_MODULES = frozenset({"codegen", "errors", "model", "simulator", "soap", "vim25"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"vimlib.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'vimlib' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"vimlib.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
