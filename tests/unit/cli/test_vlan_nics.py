"""The NICs of a spawn, each on its own network, and their guest settings, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Vimctl
from vimdriver._cli.nics import guest_nic, parse_nic
from vimdriver._guestinfo import NIC
from vimdriver._instances.types import NICSpec
from vimlib.errors import UsageError
from vimlib.simulator import ESXHost

MAC = "00:50:56:00:00:01"


def test_a_nic_may_name_a_vlan() -> None:
    assert parse_nic("network=blue,vlan=42") == NICSpec(network="blue", vlan=42)
    assert parse_nic("network=b,vlan=0,interface=vmnic1,model=vmxnet3") == NICSpec(
        network="b", vlan=0, interface="vmnic1", model="vmxnet3"
    )


@pytest.mark.parametrize(
    "text",
    ["network=b,vlan=x", "network=b,vlan=-1", "network=b,vlan=4095", "network=b,vlan=٤", "network=b,interface=vmnic0"],
)  # fmt: skip
def test_an_invalid_vlan_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_nic(text)


def test_guest_settings_need_no_network() -> None:
    assert guest_nic(f"mac={MAC},ip=10.0.0.2/24") == NIC(mac=MAC, addresses=["10.0.0.2/24"])
    with pytest.raises(UsageError, match="a NIC requires mac=ADDRESS"):
        guest_nic("ip=10.0.0.2/24")


def test_guest_settings_of_several_nics_can_be_replaced(
    esx: ESXHost, vimctl: Vimctl, tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"\x01" * 10_000)
    made = vimctl.json(
        "instance", "spawn", "--name", "web", "--image", image, "--datastore", "datastore1",
        "--network", "VM Network", "--memory-mb", "64",
        "--nic", f"network=blue,vlan=42,model=vmxnet3,mac={MAC},ip=10.0.0.2/24",
        "--nic", "network=red,vlan=43,interface=vmnic0,model=pcnet32",
    )  # fmt: skip
    rows = {row["name"]: row["vlan"] for row in vimctl.json("network", "ls")}
    assert (rows["blue"], rows["red"]) == (42, 43)
    assert esx.machine("web").network_names() == {"VM Network", "blue", "red"}
    vimctl("network", "remove-vlan", "blue", code=1)

    set_ = vimctl.json("guest", "set", made["uuid"], "--nic", f"mac={MAC},ip=10.0.0.7/24")
    assert set_ == {"machine.id": f"{MAC};10.0.0.7;255.255.255.0;;10.0.0.255;#"}
    options = {o.key: o.value for o in esx.machine("web").config.extraConfig}
    assert options["machine.id"] == set_["machine.id"]
    wrong = vimctl("guest", "set", "web", "--nic", "mac=00:50:56:00:00:99", code=2)
    assert MAC in wrong.err
    vimctl("guest", "set", "nobody", "--nic", f"mac={MAC}", code=4)

    vimctl("instance", "destroy", "web")
    assert vimctl.json("network", "remove-vlan", "blue") == {"name": "blue", "removed": True}


def test_an_invalid_vlan_creates_nothing(esx: ESXHost, vimctl: Vimctl, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"\x01" * 10_000)
    vimctl("network", "ensure-vlan", "blue", "42")
    done = vimctl(
        "instance", "spawn", "--name", "web", "--image", image, "--datastore", "datastore1",
        "--memory-mb", "64", "--nic", "network=red,vlan=9", "--nic", "network=blue,vlan=43", "--json",
        code=1,
    )  # fmt: skip
    assert done.document["error"]["type"] == "PortGroupMismatchError"
    assert {row["name"] for row in vimctl.json("network", "ls")} == {"VM Network", "Management Network", "blue"}  # fmt: skip
    assert not esx.calls("CreateVM_Task")
