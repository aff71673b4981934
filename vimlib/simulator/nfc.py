"""NFC leases: import and export of machines' disks over HTTP."""

from __future__ import annotations

from vimlib.simulator.objects import Served

__all__ = ["OvfManager"]


class OvfManager(Served):
    """Reads and writes OVF descriptors."""

    kind = "OvfManager"
