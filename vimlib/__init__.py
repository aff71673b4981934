"""An asyncio-native, typed client of the vSphere API.

Layout, each part importing only what stands below it:

`vimlib.client`                  what `connect` yields: everything below, put together
`vimlib.collector`, `tasks`, `datastore`, `nfc`, `inventory`, `events`
                                 what one does with a session
`vimlib.session`                 log in, stay logged in, decide what may be repeated
`vimlib.transport`, `vimlib.tls` an encoded call out, a reply back; trust
`vimlib.soap`                    bytes in, objects out; no I/O
`vimlib.vim25`                   the generated types, methods and faults
`vimlib.model`, `vimlib.errors`  the bases; the error tree
`vimlib.simulator`               an ESX host in a process
`vimlib.codegen`                 makes a package like `vim25` from a WSDL

Names are loaded on first use, so that `import vimlib.soap` or `vimlib.vim25` stays small.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vimlib import errors, simulator, soap, vim25
    from vimlib.client import Client, connect
    from vimlib.collector import Row
    from vimlib.datastore import DatastorePath
    from vimlib.errors import VimlibError
    from vimlib.model import DataObject, ManagedObject, MethodFault
    from vimlib.soap import Limits
    from vimlib.tls import TLS
    from vimlib.transport import Timeouts

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "Client",
    "DataObject",
    "DatastorePath",
    "Limits",
    "ManagedObject",
    "MethodFault",
    "Row",
    "Timeouts",
    "VimlibError",
    "connect",
    "errors",
    "simulator",
    "soap",
    "vim25",
]

_HOMES = {
    "TLS": "vimlib.tls",
    "Client": "vimlib.client",
    "DataObject": "vimlib.model",
    "DatastorePath": "vimlib.datastore",
    "Limits": "vimlib.soap",
    "ManagedObject": "vimlib.model",
    "MethodFault": "vimlib.model",
    "Row": "vimlib.collector",
    "Timeouts": "vimlib.transport",
    "VimlibError": "vimlib.errors",
    "connect": "vimlib.client",
}
_MODULES = frozenset({"errors", "simulator", "soap", "vim25"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"vimlib.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'vimlib' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
