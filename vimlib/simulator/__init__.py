"""An ESX host that runs in this process, for tests and trials.

Uses `vimlib.soap` and `vimlib.vim25` to answer calls on loopback over TLS. Must not
import the client side: session, transport, driver.

`ESXHost`       start one: ``async with vimlib.simulator.ESXHost(vms=3) as esx:``
`in_thread`     start one in a thread, for blocking clients
`serve`         run one until cancelled, for a command
`ManualClock`   a clock that a test advances
`Faults`        fault injection (`esx.faults`)
`ScriptedGuest` the guest of a machine (`esx.guest(name)`); its programs get a `ProgramRun`

Packages, each of which may import only those to its left: `_core`, `_data`, `_service`, `_properties`, `_host`,
`_storage`, `_vm`, `_guest`, `_managers`, `_protocol`; above them `_assemble` makes the objects of a fresh
host, and `_esx` runs it. A module for each noun of the API holds its handlers.

Names are loaded on first use: the pytest plugin lives in this package and is loaded by every
pytest run, which must not pay for a host that no test asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vimlib._lazy import lazy

if TYPE_CHECKING:
    from vimlib.simulator._core.call import CallRecord
    from vimlib.simulator._core.clock import Clock, ManualClock, SystemClock
    from vimlib.simulator._core.injection import Faults, Rule
    from vimlib.simulator._esx import Credentials, ESXHost, describe
    from vimlib.simulator._guest.programs import ProgramRun
    from vimlib.simulator._guest.scripted import ScriptedGuest
    from vimlib.simulator._run import in_thread, serve

__all__ = [
    "CallRecord",
    "Clock",
    "Credentials",
    "ESXHost",
    "Faults",
    "ManualClock",
    "ProgramRun",
    "Rule",
    "ScriptedGuest",
    "SystemClock",
    "describe",
    "in_thread",
    "serve",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "_core.call": "CallRecord",
        "_core.clock": "Clock ManualClock SystemClock",
        "_core.injection": "Faults Rule",
        "_esx": "Credentials ESXHost describe",
        "_guest.programs": "ProgramRun",
        "_guest.scripted": "ScriptedGuest",
        "_run": "in_thread serve",
    },
)
