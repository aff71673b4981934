"""Which ports are bound, and to what."""

from __future__ import annotations

from typing import Any

import pytest

from vimdriver.neutron._binding import bind, obstacle


def segment(
    kind: str, physical: str | None = "physnet1", vlan: int | None = None
) -> dict[str, Any]:
    return {"id": f"{kind}-{physical}", "network_type": kind, "physical_network": physical,
            "segmentation_id": vlan}  # fmt: skip


def test_a_flat_segment_has_the_port_group_of_its_physical_network() -> None:
    found = bind([segment("flat")])
    assert found is not None
    assert found.details == {"port_group": "physnet1", "vlan": None,
                             "physical_network": "physnet1", "port_filter": False}  # fmt: skip


def test_a_vlan_has_a_port_group_of_its_own() -> None:
    found = bind([segment("vlan", vlan=100)])
    assert found is not None
    assert (found.details["port_group"], found.details["vlan"]) == ("physnet1-100", 100)


def test_the_first_segment_that_a_switch_can_carry_counts() -> None:
    found = bind([segment("vxlan", None, 7), segment("vlan", vlan=5), segment("flat")])
    assert found is not None
    assert found.segment == "vlan-physnet1"


@pytest.mark.parametrize("kind", ["vxlan", "gre", "geneve", "local"])
def test_tunnels_are_not_bound(kind: str) -> None:
    assert bind([segment(kind, None, 7)]) is None


@pytest.mark.parametrize(
    ("port", "host", "hosts", "allowed", "why"),
    [
        ({}, "c1", [], False, None),
        ({}, "c1", ["c1"], False, None),
        ({}, "c2", ["c1"], False, "host 'c2' is not one of"),
        ({"binding:vnic_type": "direct"}, "c1", [], True, "vnic_type must be normal, got 'direct'"),
        ({"security_groups": ["g"]}, "c1", [], False, "allow_unfiltered = true"),
        ({"security_groups": ["g"]}, "c1", [], True, None),
        ({"security_groups": []}, "c1", [], False, None),
    ],
)
def test_a_port_that_cannot_be_bound_has_a_reason(
    port: dict[str, Any], host: str, hosts: list[str], allowed: bool, why: str | None
) -> None:
    found = obstacle(port, host, hosts=hosts, allow_unfiltered=allowed)
    assert (found is None) if why is None else (found is not None and why in found)
