"""The scenarios, a module for each part of the API; importing the package registers them all.

A scenario speaks the names of the wire and plain data (`values`), so that every client can play it;
a scenario for one client names it. Each returns its outcome, which `outcomes` lists.
"""

from tests.simulator.scenarios import (
    disks,
    faults,
    files,
    hardware,
    machines,
    network,
    properties,
    rest,
    search,
    sessions,
    snapshots,
    updates,
)

__all__ = [
    "disks",
    "faults",
    "files",
    "hardware",
    "machines",
    "network",
    "properties",
    "rest",
    "search",
    "sessions",
    "snapshots",
    "updates",
]
