from __future__ import annotations

from tests.unit.cli.conftest import Vimctl
from vimlib.simulator import ESXHost


def test_a_port_group_is_created_once_and_removed(esx: ESXHost, vimctl: Vimctl) -> None:
    before = vimctl.json("network", "ls")
    assert {"name": "VM Network", "vlan": 0, "vswitch": "vSwitch0"} in before
    made = vimctl.json("network", "ensure-vlan", "blue", "100")
    assert made == {"name": "blue", "vlan": 100, "vswitch": "vSwitch0"}
    assert vimctl.json("network", "ensure-vlan", "blue", "100") == made
    assert len(esx.calls("AddPortGroup")) == 1
    vimctl("network", "ensure-vlan", "blue", "101", code=1)
    assert "blue" in vimctl("network", "ls").out
    assert vimctl.json("network", "remove-vlan", "blue") == {"name": "blue", "removed": True}
    assert vimctl.json("network", "ls") == before


def test_a_foreign_port_group_is_kept(esx: ESXHost, vimctl: Vimctl) -> None:
    done = vimctl("network", "remove-vlan", "VM Network", "--json", code=1)
    assert done.document["error"]["type"] == "ForeignPortGroupError"
    vimctl("network", "remove-vlan", "nosuch", code=4)
    vimctl("network", "ensure-vlan", "x", "5000", code=2)
    vimctl("network", "ensure-vlan", "x", "1", "--interface", "vmnic9", code=4)
