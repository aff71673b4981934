"""The scenarios as oslo.vmware plays them, by an interpreter of its own; importing registers them all.

What oslo.vmware is needed for is imported when a scenario runs, so that their names can be had without it.
"""

from tests.simulator.by_oslo import (
    disks,
    faults,
    machines,
    reading,
    rest,
    sessions,
    stage,
    transfers,
)

__all__ = ["disks", "faults", "machines", "reading", "rest", "sessions", "stage", "transfers"]
