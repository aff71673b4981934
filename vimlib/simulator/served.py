"""All that serves methods: who imports this module finds the table complete."""

from __future__ import annotations

from vimlib.simulator import (
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
from vimlib.simulator.objects import METHODS

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
