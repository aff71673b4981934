"""The scenarios as pyVmomi plays them; importing the package registers them all."""

from tests.simulator.by_pyvmomi import (
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
