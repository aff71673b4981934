"""An ESX host in a process, from the other side of the wire.

Uses `vimlib.soap` and `vimlib.vim25` to serve what a client calls, on loopback, over TLS. May
import nothing of the client side: no session, no transport, no driver.

`ESXHost`       start one: ``async with vimlib.simulator.ESXHost(vms=3) as esx:``
`serve`         run one until cancelled, for a command
`ManualClock`   time that a test turns by hand
`Faults`        what shall go wrong (`esx.faults`)

Where things are: `server` has the socket, `dispatch` turns a body into a call and back, `objects`
holds the table of methods, `world` is the host's state; every noun of the API has its module.
"""

from __future__ import annotations

from vimlib.simulator.call import CallRecord
from vimlib.simulator.clock import Clock, ManualClock, SystemClock
from vimlib.simulator.esx import Credentials, ESXHost, describe
from vimlib.simulator.faults import Faults, Rule
from vimlib.simulator.run import serve

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
    "serve",
]
