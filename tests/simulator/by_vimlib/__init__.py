"""The scenarios as our own client plays them; importing the package registers them all."""

from tests.simulator.by_vimlib import (
    disks,
    files,
    hardware,
    machines,
    network,
    properties,
    rest,
    search,
    sessions,
    snapshots,
    stage,
    updates,
)

__all__ = [
    "disks",
    "files",
    "hardware",
    "machines",
    "network",
    "properties",
    "rest",
    "search",
    "sessions",
    "snapshots",
    "stage",
    "updates",
]
