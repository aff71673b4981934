"""All that serves methods: who imports this module finds the table complete."""

from __future__ import annotations

from vimlib.simulator import (
    _browser as browser,
)
from vimlib.simulator import (
    _collector as collector,
)
from vimlib.simulator import (
    _consoles as consoles,
)
from vimlib.simulator import (
    _datastore as datastore,
)
from vimlib.simulator import (
    _datastore_system as datastore_system,
)
from vimlib.simulator import (
    _disk_manager as disk_manager,
)
from vimlib.simulator import (
    _events as events,
)
from vimlib.simulator import (
    _fetch as fetch,
)
from vimlib.simulator import (
    _file_manager as file_manager,
)
from vimlib.simulator import (
    _history as history,
)
from vimlib.simulator import (
    _host_system as host_system,
)
from vimlib.simulator import (
    _inventory as inventory,
)
from vimlib.simulator import (
    _lifecycle as lifecycle,
)
from vimlib.simulator import (
    _managers as managers,
)
from vimlib.simulator import (
    _network as network,
)
from vimlib.simulator import (
    _nfc as nfc,
)
from vimlib.simulator import (
    _options as options,
)
from vimlib.simulator import (
    _performance as performance,
)
from vimlib.simulator import (
    _power as power,
)
from vimlib.simulator import (
    _sessions as sessions,
)
from vimlib.simulator import (
    _snapshots as snapshots,
)
from vimlib.simulator import (
    _tasks as tasks,
)
from vimlib.simulator import (
    _views as views,
)
from vimlib.simulator._objects import METHODS

__all__ = ["METHODS", "MODULES"]

MODULES = (
    browser,
    collector,
    consoles,
    datastore,
    datastore_system,
    disk_manager,
    events,
    fetch,
    file_manager,
    history,
    host_system,
    inventory,
    lifecycle,
    managers,
    network,
    nfc,
    options,
    performance,
    power,
    sessions,
    snapshots,
    tasks,
    views,
)
"""A module for each noun of the API that has methods."""
