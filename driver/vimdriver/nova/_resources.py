"""The resources of a host, as nova and placement count them. Pure: values in, dictionaries out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vimlib.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vimdriver._host import DatastoreInfo, HostCapacity

_GIB: Final = 1 << 30
VCPU, MEMORY, DISK = "VCPU", "MEMORY_MB", "DISK_GB"
TRAITS: Final = ("HW_ARCH_X86_64",)
# A placement inventory cannot have less.
_LEAST: Final = 1


@dataclass(frozen=True, slots=True)
class Reserved:
    """Resources that the operator keeps back: `[DEFAULT] reserved_host_*`."""

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
    found = [one for one in stores if one.usable and pattern.fullmatch(one.name)]
    return sorted(found, key=lambda one: (-one.available, one.name))


def emptiest(stores: Iterable[DatastoreInfo], pattern: re.Pattern[str]) -> DatastoreInfo:
    """Return the usable datastore with the most free space, which takes the next machine.

    Raises:
        NotFoundError: No datastore is usable.
    """
    every = tuple(stores)
    for store in usable(every, pattern):
        return store
    raise NotFoundError(
        f"no accessible datastore matches datastore_regex {pattern.pattern!r}",
        kind="Datastore",
        hint=f"The host has: {', '.join(one.name for one in every) or 'none'}.",
    )


def version_number(text: str) -> int:
    """Return a version as nova counts: `8.0.3.0` is 8000003."""
    number = 0
    for part in (*text.split("."), "0", "0")[:3]:
        digits = re.match(r"\d*", part)
        number = number * 1000 + int(digits[0] or 0 if digits else 0)
    return number


def traits(features: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the traits of a host by its processor's features; `known` are those of os-traits."""
    names = [name.upper() for name in features]
    wanted = {f"HW_CPU_X86_{form}" for name in names for form in (name, name.replace("_", ""))}
    return [*TRAITS, *sorted(wanted & frozenset(known))]


def available(
    host: HostCapacity, stores: Sequence[DatastoreInfo], *, nodename: str, uuid: str | None
) -> dict[str, Any]:
    """Return the result of `get_available_resource`. `stores` are the usable datastores."""
    capacity = sum(store.capacity for store in stores)
    free = sum(store.free for store in stores)
    cpu = host.cpu
    topology = {"sockets": cpu.sockets, "cores": cpu.cores, "threads": cpu.threads}
    found: dict[str, Any] = {
        "vcpus": cpu.threads or cpu.cores,
        "memory_mb": host.memory.total_mb,
        "local_gb": capacity // _GIB,
        # Nova adds its own; of the rest only memory and disk are known.
        "vcpus_used": 0,
        "memory_mb_used": host.memory.used_mb,
        "local_gb_used": (capacity - free) // _GIB,
        "disk_available_least": max((store.available for store in stores), default=0) // _GIB,
        "hypervisor_type": "VMware ESXi",
        "hypervisor_version": version_number(host.version),
        "hypervisor_hostname": nodename,
        "cpu_info": json.dumps(
            {
                "model": cpu.model,
                "vendor": cpu.vendor,
                "topology": topology,
                "features": list(cpu.features),
            }
        ),
        "supported_instances": [("x86_64", "vmware", "hvm"), ("i686", "vmware", "hvm")],
        "numa_topology": None,
    }
    if uuid is not None:
        found["uuid"] = uuid
    return found


def inventory(
    host: HostCapacity,
    stores: Sequence[DatastoreInfo],
    *,
    ratios: Mapping[str, float],
    reserved: Reserved,
) -> dict[str, dict[str, Any]]:
    """Return the inventory of a host's resource provider.

    A machine has one datastore for its disks, so `max_unit` of the disk is the largest free space.
    Without a usable datastore there is no disk to offer, and none at all in maintenance mode.
    """
    cpus, memory = host.cpu.threads or host.cpu.cores, host.memory.total_mb
    found = {
        VCPU: _class(cpus, min(cpus, host.most_cpus or cpus), reserved.cpus, ratios[VCPU]),
        MEMORY: _class(memory, memory, reserved.memory_mb, ratios[MEMORY]),
    }
    capacity = 0 if host.maintenance else sum(store.capacity for store in stores) // _GIB
    if capacity:
        largest = max(store.available for store in stores) // _GIB
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
