"""The resource groups of a host's own programs: the tree of `HostSystem.systemResources` (ESX 4.1).

Per-process groups and most of the kernel's slabs are left out; the rest is that tree.
"""

from __future__ import annotations

from typing import Any, Final

from vimlib import vim25

# Key, then reservation, expandable, limit and shares, of processors and of memory. `*` is all there is.
_TREE: Final = """\
host * n * 1000000 * n * 1000000000
host/idle 0 y -1 0 0 n 0 0
host/system 261 y -1 500 0 y -1 500
host/system/minfree 0 n 0 0 465 y -1 1000
host/system/kernel 0 n 0 0 0 y -1 1000
host/system/kernel/kmanaged 0 n 0 0 0 y -1 1000
host/system/kernel/kmanaged/fastslab 0 n -1 0 0 y -1 0
host/system/kernel/kmanaged/fastslab/asyncTokenSlab 0 n -1 0 2 y 27 0
host/system/kernel/kmanaged/fastslab/ScsiCmd 0 n -1 0 1 y 18 0
host/system/kernel/kmanaged/netPageSlab 0 n -1 0 112 y 140 0
host/system/kernel/kunmanaged 0 n 0 0 443 y -1 1000
host/system/helper 78 y -1 1000 0 n 0 0
host/system/drivers 78 y -1 1000 0 n 0 0
host/system/vmotion 0 y -1 1000 0 n 0 0
host/system/vmkapimod 78 y -1 1000 0 n 0 1000
host/system/FT 0 y -1 1000 0 n -1 0
host/vim 0 y -1 500 0 y -1 500
host/vim/vmci 0 n 0 0 0 y -1 1000
host/vim/uwdefault 653 y -1 1000 0 y -1 1000
host/vim/vmkauthd 0 y -1 1000 4 y -1 1000
host/user 0 y -1 9000 0 y -1 9000
"""


def _allocation(words: list[str], whole: int) -> Any:
    reservation, expandable, limit, shares = words
    most = whole if limit == "*" else int(limit)
    return vim25.ResourceAllocationInfo(
        reservation=whole if reservation == "*" else int(reservation),
        expandableReservation=expandable == "y",
        limit=most,
        shares=vim25.SharesInfo(shares=int(shares), level="custom"),
        overheadLimit=-1 if most == -1 else 0,
    )


def system_resources(mhz: int, megabytes: int) -> Any:
    """Return the tree for a host with so many MHz and MB."""
    groups: dict[str, Any] = {}
    for line in _TREE.splitlines():
        key, *words = line.split()
        group = vim25.HostSystemResourceInfo(
            key=key,
            config=vim25.ResourceConfigSpec(
                cpuAllocation=_allocation(words[:4], mhz),
                memoryAllocation=_allocation(words[4:], megabytes),
            ),
        )
        groups[key] = group
        above = groups.get(key.rpartition("/")[0])
        if above is not None:
            above.child.append(group)
    return groups["host"]
