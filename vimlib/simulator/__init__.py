"""An ESX host in a process, from the other side of the wire.

Uses `vimlib.soap` and `vimlib.vim25` to serve what a client calls, on loopback, over TLS. May
import nothing of the client side: no session, no transport, no driver.

`ESXHost`       start one: ``async with vimlib.simulator.ESXHost(vms=3) as esx:``
`in_thread`     start one in a thread, for blocking clients
`serve`         run one until cancelled, for a command
`ManualClock`   time that a test turns by hand
`Faults`        what shall go wrong (`esx.faults`)

Where things are: `server` has the socket, `dispatch` turns a body into a call and back, `objects`
holds the table of methods, `world` is the host's state; every noun of the API has its module.

Names are loaded on first use: the pytest plugin lives in this package and is loaded by every
pytest run, which must not pay for a host that no test asks for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vimlib.simulator._call import CallRecord
    from vimlib.simulator._clock import Clock, ManualClock, SystemClock
    from vimlib.simulator._esx import Credentials, ESXHost, describe
    from vimlib.simulator._faults import Faults, Rule
    from vimlib.simulator._run import in_thread, serve

__all__ = [
    "CallRecord",
    "Clock",
    "Credentials",
    "ESXHost",
    "Faults",
    "ManualClock",
    "Rule",
    "SystemClock",
    "describe",
    "in_thread",
    "serve",
]

_HOMES = {
    "CallRecord": "_call",
    "Clock": "_clock",
    "Credentials": "_esx",
    "ESXHost": "_esx",
    "Faults": "_faults",
    "ManualClock": "_clock",
    "Rule": "_faults",
    "SystemClock": "_clock",
    "describe": "_esx",
    "in_thread": "_run",
    "serve": "_run",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
