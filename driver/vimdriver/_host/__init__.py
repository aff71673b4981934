"""The host itself: its identity and capacity, its settings, services and actions.

`identity`   the hardware's UUID, and whether it identifies anything
`capacity`   processors, memory, datastores, and what machines were promised of them; `cpuid` feature names
`datastores` datastores, by name, type and state
`info`       what `vimctl host show` prints
"""

from vimdriver._host.capacity import CPUCapacity, HostCapacity, MachineTotals, NUMANode
from vimdriver._host.datastores import DatastoreInfo
from vimdriver._host.identity import HostIdentity, check_identities
from vimdriver._host.info import HostInfo

__all__ = [
    "CPUCapacity",
    "DatastoreInfo",
    "HostCapacity",
    "HostIdentity",
    "HostInfo",
    "MachineTotals",
    "NUMANode",
    "check_identities",
]
