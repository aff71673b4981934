"""What a host offers, as nova and placement count it. Pure: values in, dictionaries out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimlib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vimdriver._host import DatastoreInfo, HostInfo

_GIB: Final = 1 << 30
VCPU, MEMORY, DISK = "VCPU", "MEMORY_MB", "DISK_GB"
TRAITS: Final = ("HW_ARCH_X86_64",)
# A placement inventory cannot have less.
_LEAST: Final = 1


@dataclass(frozen=True, slots=True)
class Reserved:
    """What the operator keeps back: `[DEFAULT] reserved_host_*`."""

    cpus: int = 0
    memory_mb: int = 0
    disk_gb: int = 0


def datastore_pattern(text: str | None) -> re.Pattern[str]:
    """Return the pattern of `[esx] datastore_regex`.

    Raises:
        UsageError: It is not a regular expression.
    """
    try:
        return re.compile(text or ".*")
    except re.error as error:
        raise UsageError(
            f"datastore_regex must be a regular expression, got {text!r}: {error}",
            field="datastore_regex",
        ) from None


def usable(stores: Iterable[DatastoreInfo], pattern: re.Pattern[str]) -> list[DatastoreInfo]:
    """Return the datastores that take machines, the one with the most free space first."""
    found = [one for one in stores if one.accessible and pattern.fullmatch(one.name)]
    return sorted(found, key=lambda one: (-one.free, one.name))


def version_number(text: str) -> int:
    """Return a version as nova counts: `8.0.3.0` is 8000003."""
    number = 0
    for part in (*text.split("."), "0", "0")[:3]:
        digits = re.match(r"\d*", part)
        number = number * 1000 + int(digits[0] or 0 if digits else 0)
    return number


def available(
    info: HostInfo, stores: Sequence[DatastoreInfo], *, nodename: str, uuid: str | None
) -> dict[str, Any]:
    """Return what `get_available_resource` reports. `stores` are the usable datastores."""
    capacity = sum(store.capacity for store in stores)
    free = sum(store.free for store in stores)
    found: dict[str, Any] = {
        "vcpus": info.cpu_threads or info.cpu_cores,
        "memory_mb": info.memory_mb,
        "local_gb": capacity // _GIB,
        # Nova adds its own; of the rest only memory and disk are known.
        "vcpus_used": 0,
        "memory_mb_used": info.memory_used_mb,
        "local_gb_used": (capacity - free) // _GIB,
        "disk_available_least": max((store.free for store in stores), default=0) // _GIB,
        "hypervisor_type": "VMware ESXi",
        "hypervisor_version": version_number(info.api_version),
        "hypervisor_hostname": nodename,
        "cpu_info": json.dumps(
            {
                "model": info.cpu_model,
                "topology": {"cores": info.cpu_cores, "threads": info.cpu_threads},
            }
        ),
        "supported_instances": [("x86_64", "vmware", "hvm"), ("i686", "vmware", "hvm")],
        "numa_topology": None,
    }
    if uuid is not None:
        found["uuid"] = uuid
    return found


def inventory(
    info: HostInfo,
    stores: Sequence[DatastoreInfo],
    *,
    ratios: Mapping[str, float],
    reserved: Reserved,
) -> dict[str, dict[str, Any]]:
    """Return the inventory of a host's resource provider.

    A machine has one datastore for its disks, so `max_unit` of the disk is the largest free space.
    Without a usable datastore there is no disk to offer.
    """
    cpus = info.cpu_threads or info.cpu_cores
    found = {
        VCPU: _class(cpus, cpus, reserved.cpus, ratios[VCPU]),
        MEMORY: _class(info.memory_mb, info.memory_mb, reserved.memory_mb, ratios[MEMORY]),
    }
    capacity = sum(store.capacity for store in stores) // _GIB
    if capacity:
        largest = max(store.free for store in stores) // _GIB
        found[DISK] = _class(capacity, largest, reserved.disk_gb, ratios[DISK])
    return found


def _class(total: int, largest: int, reserved: int, ratio: float) -> dict[str, Any]:
    return {
        "total": max(total, _LEAST),
        "reserved": min(reserved, total),
        "min_unit": 1,
        "max_unit": max(largest, _LEAST),
        "step_size": 1,
        "allocation_ratio": ratio,
    }
