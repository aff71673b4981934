"""Neutron's ML2 plugin with our mechanism driver. A program for nova's environment."""

# ruff: noqa: E402
from __future__ import annotations

import sys
import unittest
from pathlib import Path
from typing import Any

from tests.nova.inside import Stage, entry_points, run

# Before neutron looks for its drivers: they are found by the entry points of installed packages.
entry_points(Path(Stage.read().state))

from neutron.tests.unit.plugins.ml2 import test_plugin
from neutron_lib.api.definitions import portbindings
from oslo_config import cfg

NET = "provider:network_type", "provider:physical_network", "provider:segmentation_id"


class ESXBindingTestCase(test_plugin.Ml2PluginV2TestCase):  # type: ignore[misc]
    """Ports of the real plugin, over its API."""

    _mechanism_drivers = ["esx"]  # noqa: RUF012  # neutron's own name

    def _bind(self, kind: str, vlan: int | None = None, **port: Any) -> dict[str, Any]:
        values: dict[str, Any] = dict(zip(NET, (kind, "physnet1", vlan), strict=True))
        if vlan is None:
            del values[NET[2]]
        given = {portbindings.HOST_ID: "compute1", **port}
        with (
            self.network(as_admin=True, arg_list=tuple(values), **values) as network,
            self.subnet(network=network),
        ):
            made = self._make_port(
                self.fmt, network["network"]["id"], as_admin=True,
                arg_list=(portbindings.HOST_ID, "security_groups", *port), **given,
            )  # fmt: skip
        shown: dict[str, Any] = made["port"]
        return shown

    def test_a_vlan_is_bound_to_a_port_group_of_its_own(self) -> None:
        port = self._bind("vlan", 7, security_groups=[])
        assert port[portbindings.VIF_TYPE] == "other"
        assert port["status"] == "ACTIVE"
        details = port[portbindings.VIF_DETAILS]
        assert (details["port_group"], details["vlan"]) == ("physnet1-7", 7)
        assert (details["physical_network"], details["port_filter"]) == ("physnet1", False)

    def test_a_flat_network_is_bound(self) -> None:
        cfg.CONF.set_override("flat_networks", ["physnet1"], group="ml2_type_flat")
        port = self._bind("flat", security_groups=[])
        assert port[portbindings.VIF_DETAILS]["port_group"] == "physnet1"

    def test_a_port_with_security_groups_is_not_bound(self) -> None:
        with self.assertLogs("vimdriver.neutron", "ERROR") as seen:
            port = self._bind("vlan", 8)
        assert port[portbindings.VIF_TYPE] == "binding_failed"
        assert "allow_unfiltered = true" in seen.output[0]

    def test_it_is_bound_where_that_is_allowed(self) -> None:
        cfg.CONF.set_override("allow_unfiltered", True, group="esx")
        assert self._bind("vlan", 9)[portbindings.VIF_TYPE] == "other"


if __name__ == "__main__":
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{name}*" for name in sys.argv[1:]] or None
    run(loader.loadTestsFromTestCase(ESXBindingTestCase))
