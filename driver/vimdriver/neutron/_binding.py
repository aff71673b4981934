"""Which segments a standard virtual switch can carry, and how a port group for one is named. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KINDS = ("flat", "vlan")


class PortBinding(NamedTuple):
    """A segment to bind, and the details for the compute side."""

    segment: str
    details: dict[str, Any]


def bind(segments: Iterable[Mapping[str, Any]]) -> PortBinding | None:
    """Return the binding to the first flat or VLAN segment; None without one."""
    for segment in segments:
        kind, physical = segment["network_type"], segment.get("physical_network")
        if kind not in KINDS or not physical:
            continue
        vlan = segment.get("segmentation_id") if kind == "vlan" else None
        return PortBinding(
            segment["id"],
            {
                "port_group": f"{physical}-{vlan}" if vlan else physical,
                "vlan": vlan,
                "physical_network": physical,
                "port_filter": False,
            },
        )
    return None


def obstacle(
    port: Mapping[str, Any], host: str, *, hosts: Iterable[str], allow_unfiltered: bool
) -> str | None:
    """Return why a port is not bound, in a sentence; None if nothing is in the way."""
    ours = tuple(hosts)
    if ours and host not in ours:
        return f"host {host!r} is not one of [esx] hosts"
    kind = port.get("binding:vnic_type", "normal")
    if kind != "normal":
        return f"vnic_type must be normal, got {kind!r}"
    if port.get("security_groups") and not allow_unfiltered:
        return (
            "it has security groups, and a standard virtual switch filters nothing; remove them "
            "(openstack port set --no-security-group --disable-port-security), or set "
            "[esx] allow_unfiltered = true"
        )
    return None
